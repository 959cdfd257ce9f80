"""Random changes to training images, on the tensor's own device.

Both classes get the same changes with the same odds, or the change itself would give the label away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def augment(images: Tensor, names: Sequence[str]) -> Tensor:
    """Apply the named augmentations to float [N, 3, H, W] in [-1, 1], drawing from the global generator."""
    for name in names:
        images = AUGMENTATIONS[name](images)
    return images


def flip(images: Tensor) -> Tensor:
    """Mirror each image left to right with probability one half."""
    import torch

    chosen = torch.rand(len(images)) < 0.5
    return torch.where(chosen.to(images.device)[:, None, None, None], images.flip(3), images)


AUGMENTATIONS = {"flip": flip}
