"""Random changes to training images, on the tensor's own device.

Both classes, or both sides of a GAN, get the same changes with the same odds. Otherwise the change
itself would give the label away.

Every function takes and gives float [N, 3, H, W] in [-1, 1] and can be differentiated twice. It
draws from a CPU `generator`, so that one seed gives the same draws on every device; by default that
is torch's global one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Generator, Tensor, device

CUTOUT = 0.5  # side of the grey square, as a share of the image's
SHIFT = 0.125  # largest translation, as a share of the side


def augment(images: Tensor, names: Sequence[str], generator: Generator | None = None) -> Tensor:
    """Apply the named augmentations, one after the other."""
    for name in names:
        images = AUGMENTATIONS[name](images, generator)
    return images


def augment_some(
    images: Tensor,
    names: Sequence[str],
    p: float,
    generator: Generator | None = None,
) -> Tensor:
    """Pass each image, with probability `p`, through all named augmentations.

    With p = 1 this is DiffAugment (Zhao et al., 2020). Below 1, most of what a discriminator sees
    is as it was, which keeps the augmentation out of the generator's images (Karras et al., 2020).
    """
    import torch

    if not names or p <= 0:
        return images
    changed = augment(images, names, generator)
    if p >= 1:
        return changed
    draws = torch.rand(len(images), generator=generator)
    is_chosen = _column(draws < p, images)
    return torch.where(is_chosen, changed, images)


def flip(images: Tensor, generator: Generator | None = None) -> Tensor:
    """Mirror each image left to right with probability one half."""
    import torch

    draws = torch.rand(len(images), generator=generator)
    is_mirrored = _column(draws < 0.5, images)
    mirrored = images.flip(3)
    return torch.where(is_mirrored, mirrored, images)


def translate(images: Tensor, generator: Generator | None = None) -> Tensor:
    """Shift by up to an eighth of the side in each direction, with mid-grey (0) coming in."""
    import torch
    from torch.nn import functional as F

    n, _, height, width = images.shape
    device = images.device
    reach_down = max(round(height * SHIFT), 1)
    reach_right = max(round(width * SHIFT), 1)
    margins = (reach_right, reach_right, reach_down, reach_down)
    padded = F.pad(images, margins)
    # 0 to twice the reach, since the padding has moved the image by the reach.
    down = torch.randint(2 * reach_down + 1, (n, 1), generator=generator)
    right = torch.randint(2 * reach_right + 1, (n, 1), generator=generator)
    rows = torch.arange(height, device=device)
    rows = rows + send(down, device)
    columns = torch.arange(width, device=device)
    columns = columns + send(right, device)
    numbers = torch.arange(n, device=device)
    # Indexing the first three axes leaves the channels last in memory, which is the layout that
    # networks here run in.
    channels_last = padded.permute(0, 2, 3, 1)
    shifted = channels_last[
        numbers[:, None, None],
        rows[:, :, None],
        columns[:, None, :],
    ]
    return shifted.permute(0, 3, 1, 2)


def colour(images: Tensor, generator: Generator | None = None) -> Tensor:
    """Change brightness, saturation and contrast, in the ranges of DiffAugment.

    Brightness by ±0.5 (of the half range), saturation by 0 to 2, contrast by 0.5 to 1.5.
    """
    import torch

    draws = torch.rand(3, len(images), generator=generator)
    brightness, saturation, contrast = draws
    offsets = _column(brightness - 0.5, images)
    images = images + offsets
    images = _saturate(images, 2 * saturation)
    return _contrast(images, contrast + 0.5)


def tone(images: Tensor, generator: Generator | None = None) -> Tensor:
    """Change brightness, contrast and saturation mildly, and cut at white and black.

    Brightness by 0.7 to 1.3, contrast by 0.8 to 1.2, saturation by 0.6 to 1.4.
    """
    import torch

    draws = torch.rand(3, len(images), generator=generator)
    brightness, contrast, saturation = 2 * draws - 1
    # Brightness counts from black, which is -1.
    from_black = images + 1
    factors = _column(1 + 0.3 * brightness, images)
    images = from_black * factors - 1
    images = _contrast(images, 1 + 0.2 * contrast)
    images = _saturate(images, 1 + 0.4 * saturation)
    return images.clamp(-1, 1)


def cutout(images: Tensor, generator: Generator | None = None) -> Tensor:
    """Set a square of half the side to mid-grey, its centre anywhere in the image."""
    import torch

    n, _, height, width = images.shape
    centre_rows = torch.randint(height, (n, 1), generator=generator)
    centre_columns = torch.randint(width, (n, 1), generator=generator)
    in_rows = _near(send(centre_rows, images.device), height)
    in_columns = _near(send(centre_columns, images.device), width)
    rows = in_rows[:, None, :, None]
    columns = in_columns[:, None, None, :]
    in_square = rows & columns
    visible = ~in_square
    return images * visible.to(images)


def send(values: Tensor, to: device) -> Tensor:
    """Values drawn on the CPU, on a device. Nothing waits for the transfer to a GPU."""
    if to.type == "cuda":
        pinned = values.pin_memory()
        return pinned.to(to, non_blocking=True)
    return values.to(to)


def _saturate(images: Tensor, factors: Tensor) -> Tensor:
    """Distances from each pixel's own grey times a factor an image [N]."""
    grey = images.mean(dim=1, keepdim=True)
    colour = images - grey
    return grey + colour * _column(factors, images)


def _contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Distances from each image's mean times a factor an image [N]."""
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    from_mean = images - mean
    return mean + from_mean * _column(factors, images)


def _near(centres: Tensor, side: int) -> Tensor:
    """Whether each place along a side lies in the cutout around a centre [N, 1]: bool [N, side]."""
    import torch

    places = torch.arange(side, device=centres.device)
    distances = (places - centres).abs()
    half_side = side * CUTOUT / 2
    return distances < half_side


def _column(values: Tensor, images: Tensor) -> Tensor:
    """One value an image [N], shaped and placed to act on all its pixels."""
    sent = send(values, images.device)
    return sent[:, None, None, None]


AUGMENTATIONS = {
    "flip": flip,
    "translation": translate,
    "colour": colour,
    "tone": tone,
    "cutout": cutout,
}
