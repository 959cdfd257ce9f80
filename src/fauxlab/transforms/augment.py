"""Random changes to training images, on the tensor's own device.

Both classes, or both sides of a GAN, get the same changes with the same odds, or the change itself
would give the label away. Every function takes and gives float [N, 3, H, W] in [-1, 1], draws from a
CPU `generator` (so that one seed gives the same draws on every device; torch's global one by
default), and can be differentiated twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Generator, Tensor, device

CUTOUT = 0.5  # side of the grey square, share of the image's
SHIFT = 0.125  # largest translation, share of the side


def augment(images: Tensor, names: Sequence[str], generator: Generator | None = None) -> Tensor:
    """Apply the named augmentations."""
    for name in names:
        images = AUGMENTATIONS[name](images, generator)
    return images


def augment_some(
    images: Tensor, names: Sequence[str], p: float, generator: Generator | None = None
) -> Tensor:
    """Each image is, with probability `p`, replaced by one that passed through all named
    augmentations.

    With p = 1 this is DiffAugment (Zhao et al., 2020); below, most of what a discriminator sees is
    as it was, which keeps the augmentation out of the generator's images (Karras et al., 2020).
    """
    import torch

    if not names or p <= 0:
        return images
    changed = augment(images, names, generator)
    if p >= 1:
        return changed
    chosen = torch.rand(len(images), generator=generator) < p
    return torch.where(_column(chosen, images), changed, images)


def flip(images: Tensor, generator: Generator | None = None) -> Tensor:
    """Mirror each image left to right with probability one half."""
    import torch

    mirrored = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(_column(mirrored, images), images.flip(3), images)


def translate(images: Tensor, generator: Generator | None = None) -> Tensor:
    """Shift by up to an eighth of the side in each direction; what comes in from outside is
    mid-grey (0).
    """
    import torch
    from torch.nn import functional as F

    n, _, height, width = images.shape
    reach = max(round(height * SHIFT), 1), max(round(width * SHIFT), 1)
    padded = F.pad(images, (reach[1], reach[1], reach[0], reach[0]))
    ranges = [torch.arange(count, device=images.device) for count in (n, height, width)]
    down, right = (
        send(torch.randint(2 * most + 1, (n, 1), generator=generator), images.device)
        for most in reach
    )
    rows, columns = down + ranges[1], right + ranges[2]
    # Indices around a slice put the channels last in memory, which is the layout that networks here
    # run in.
    at = (ranges[0][:, None, None], rows[:, :, None], columns[:, None, :])
    return padded.permute(0, 2, 3, 1)[at].permute(0, 3, 1, 2)


def colour(images: Tensor, generator: Generator | None = None) -> Tensor:
    """Brightness by ±0.5 of the half range, saturation by 0 to 2, contrast by 0.5 to 1.5
    (DiffAugment's ranges).
    """
    import torch

    brightness, saturation, contrast = torch.rand(3, len(images), generator=generator)
    images = images + _column(brightness - 0.5, images)
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * _column(2 * saturation, images)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (images - mean) * _column(contrast + 0.5, images)


def tone(images: Tensor, generator: Generator | None = None) -> Tensor:
    """Brightness by 0.7 to 1.3, contrast by 0.8 to 1.2, saturation by 0.6 to 1.4, cut at white and
    black.
    """
    import torch

    brightness, contrast, saturation = (
        2 * torch.rand(3, len(images), generator=generator) - 1
    ).unbind()
    images = (images + 1) * _column(1 + 0.3 * brightness, images) - 1
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = mean + (images - mean) * _column(1 + 0.2 * contrast, images)
    grey = images.mean(dim=1, keepdim=True)
    return (grey + (images - grey) * _column(1 + 0.4 * saturation, images)).clamp(-1, 1)


def cutout(images: Tensor, generator: Generator | None = None) -> Tensor:
    """Set a square of half the side to mid-grey, its centre anywhere in the image."""
    import torch

    n, _, height, width = images.shape
    kept = None
    for axis, side in ((2, height), (3, width)):
        centre = send(torch.randint(side, (n, 1), generator=generator), images.device)
        inside = (torch.arange(side, device=images.device) - centre).abs() < side * CUTOUT / 2
        inside = inside.view(n, 1, side, 1) if axis == 2 else inside.view(n, 1, 1, side)
        kept = inside if kept is None else kept & inside
    assert kept is not None
    return images * (~kept).to(images)


def send(values: Tensor, to: device) -> Tensor:
    """Values drawn on the CPU, on a device; a GPU gets them when it gets there, so that nothing
    waits for it.
    """
    return values.pin_memory().to(to, non_blocking=True) if to.type == "cuda" else values.to(to)


def _column(values: Tensor, images: Tensor) -> Tensor:
    """One value an image [N], shaped and placed to act on all its pixels."""
    return send(values, images.device)[:, None, None, None]


AUGMENTATIONS = {
    "flip": flip,
    "translation": translate,
    "colour": colour,
    "tone": tone,
    "cutout": cutout,
}
