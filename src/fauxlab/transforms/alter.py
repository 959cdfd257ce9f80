"""Real pictures altered inside: self-blends, and regions that are drawn anew or come from others.

A swap, a retouch or an inpainting replaces a part of a real photo. What the part is made of differs
from tool to tool. What they share is that it does not fit the rest: in sharpness, noise, lattice,
colour or place. So each picture gets a region whose content fits in one of many ways not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.transforms.decode import redraw
from fauxlab.transforms.filters import to_bytes
from fauxlab.transforms.regions import face_mask, random_region
from fauxlab.transforms.self_blend import coarsen, move, self_blend, vary

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Floats = NDArray[np.float32]
    Seeds = Sequence[int] | NDArray[np.int64]

Random = np.random.Generator
Change = Callable[["Pixels", Random], "Pixels"]

SELF_BLENDED = 0.4  # share of the pictures
BORROWED = 0.25  # share of the others whose region comes from another picture, where there is one
WHOLE_FACE = 0.7  # share of the borrowed regions that are the inner face, as in a swap
MIRRORED = 0.3  # share of the borrowed pictures
MATCHED = (0.5, 1.0)  # how far their colours are brought to the picture's own
CONTRASTS = (0.6, 1.6)  # most that matching changes the contrast of a channel
SCALES = (0.35, 0.85)  # of what is shrunk and enlarged
OPACITY = (0.7, 1.0)
# A picture that is hardly changed would teach that real ones are fakes. So the mean change within
# the mask is at least this, of 255; otherwise the picture is blended with itself.
LEAST_CHANGE = 1.0


def alter_batch(images: Pixels, seeds: Seeds) -> Pixels:
    """Altered uint8 [N, 3, H, W] of real pictures; same shape.

    Each is a pure function of its seed and the batch: a region may come from another picture of it.
    """
    altered = np.empty_like(images)
    for k, seed in enumerate(seeds):
        rng = np.random.default_rng(int(seed))
        if rng.random() < SELF_BLENDED:
            altered[k] = self_blend(images[k], rng)
        else:
            altered[k] = _alter_region(images, k, rng)
    return altered


def _alter_region(images: Pixels, k: int, rng: Random) -> Pixels:
    """Picture `k` of a batch with one region replaced."""
    picture = images[k]
    _, height, width = picture.shape
    if len(images) > 1 and rng.random() < BORROWED:
        is_face = rng.random() < WHOLE_FACE
        draw = face_mask if is_face else random_region
        mask = draw(height, width, rng)
        other = _choose_other(images, k, rng)
        inner = _match_colours(other, picture, mask, rng)
    else:
        mask = random_region(height, width, rng)
        number = rng.integers(len(CHANGES))
        change = CHANGES[number]
        inner = change(picture, rng).astype(np.float32)
    opacity = rng.uniform(*OPACITY)
    mask = mask * np.float32(opacity)
    replaced = mask * inner
    kept = (1 - mask) * picture
    altered = to_bytes(replaced + kept)
    if _mean_change(altered, picture, mask) < LEAST_CHANGE:
        return self_blend(picture, rng)
    return altered


def _mean_change(altered: Pixels, picture: Pixels, mask: Floats) -> float:
    """How much the pixels within a mask differ on average, of 255."""
    difference = altered - picture.astype(np.float32)
    change = np.abs(difference).mean(0)
    inside = mask * change
    return float(inside.sum()) / _area(mask)


def _area(mask: Floats) -> float:
    """The pixels within a mask, at least 1."""
    return max(float(mask.sum()), 1.0)


# --- what comes from another picture


def _choose_other(images: Pixels, k: int, rng: Random) -> Pixels:
    """Any picture of the batch but `k`, perhaps mirrored."""
    step = int(rng.integers(1, len(images)))
    number = (k + step) % len(images)
    other: Pixels = images[number]
    if rng.random() < MIRRORED:
        other = other[:, :, ::-1]
    return other


def _match_colours(other: Pixels, picture: Pixels, mask: Floats, rng: Random) -> Floats:
    """Another picture with the mean and contrast of this one, as they are within the mask.

    Float32 [3, H, W]. The match is complete or, as in careless work, in part only.
    """
    share = np.float32(rng.uniform(*MATCHED))
    mean, deviation = _measure_colours(picture, mask)
    other_mean, other_deviation = _measure_colours(other, mask)
    ratio = deviation / (other_deviation + 1)
    contrast = np.clip(ratio, *CONTRASTS)
    from_mean = other - other_mean
    matched = mean + contrast * from_mean
    mixed: Floats = share * matched + (1 - share) * other
    return mixed


def _measure_colours(picture: Pixels, mask: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each channel within a mask, float32 [3, 1, 1]."""
    weights = mask / _area(mask)
    image = picture.astype(np.float32)
    mean = _sum_pixels(weights * image)
    squared = (image - mean) ** 2
    variance = _sum_pixels(weights * squared)
    return mean, np.sqrt(variance)


def _sum_pixels(image: Floats) -> Floats:
    """The sum of each channel, [3, 1, 1]."""
    total: Floats = image.sum((1, 2), keepdims=True)
    return total


# --- what is made of the picture itself


def _resample(picture: Pixels, rng: Random) -> Pixels:
    return coarsen(picture, rng.uniform(*SCALES))


def _warp(picture: Pixels, rng: Random) -> Pixels:
    """In other colours or of other sharpness, and moved and scaled a little."""
    varied = vary(picture, rng)
    return move(varied, rng)


CHANGES: tuple[Change, ...] = (
    redraw,
    redraw,
    _resample,
    _warp,
)
