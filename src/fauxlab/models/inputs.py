"""Pixels → what networks take: float32 in [-1, 1], in NumPy and in torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def to_input(pixels: torch.Tensor) -> torch.Tensor:
    """uint8 [N, 3, H, W] to float32 in [-1, 1], channels last, on the same device."""
    import torch

    return pixels.to(dtype=torch.float32, memory_format=torch.channels_last).div_(127.5).sub_(1)
