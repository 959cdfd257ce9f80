"""Pixels to what networks take: float32 in [-1, 1], in torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def to_input(pixels: torch.Tensor) -> torch.Tensor:
    """uint8 [N, 3, H, W] to float32 in [-1, 1], channels last, on the same device.

    >>> import torch
    >>> pixels = torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 1, 2)
    >>> to_input(pixels).flatten().tolist()
    [-1.0, 1.0]
    """
    import torch

    floats = pixels.to(dtype=torch.float32, memory_format=torch.channels_last)
    return floats.div_(127.5).sub_(1)
