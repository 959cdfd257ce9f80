"""Self-blended images: a real face blended onto itself, as a swap is blended onto its target.

After the idea of Shiohara and Yamasaki ("Detecting Deepfakes with Self-Blended Images", 2022): two
versions of one picture, which differ a little in colour, sharpness, place and scale, are joined
through a soft mask over the face. What remains to be seen is the join alone, so a network that
learns it does not learn the hand of one generator. Faces are taken to stand in the middle of the
picture, where every data set of face crops has them; no landmarks are needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fauxlab.io.images import to_picture, to_pixels
from fauxlab.transforms.degradations import blur

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Floats = NDArray[np.float32]

RATIOS = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)  # how much of the face is replaced, drawn evenly
SHIFT = 0.03  # of the side, and of the scale around 1
# across, down; of the side
CENTRE, AXES = ((0.42, 0.58), (0.46, 0.62)), ((0.18, 0.34), (0.24, 0.42))
HARMONICS = 4  # of the mask's outline
SOFT = (0.01, 0.06)  # standard deviation of the mask's edge, of the side


def self_blend(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A picture uint8 [3, H, W] of a face, blended onto itself; same shape."""
    inner, outer = pixels, pixels
    if rng.random() < 0.5:
        inner = _vary(inner, rng)
    else:
        outer = _vary(outer, rng)
    inner = _move(inner, rng)
    mask = _mask(pixels.shape[1], pixels.shape[2], rng) * np.float32(rng.choice(RATIOS))
    mixed = inner * mask + outer * (1 - mask)
    return np.asarray(np.clip(np.rint(mixed), 0, 255), dtype=np.uint8)


def blend_batch(pixels: Pixels, seeds: Sequence[int] | NDArray[np.int64]) -> Pixels:
    """Self-blends of uint8 [N, 3, H, W], each a pure function of its picture and its seed."""
    found = [
        self_blend(x, np.random.default_rng(int(seed)))
        for x, seed in zip(pixels, seeds, strict=True)
    ]
    return np.stack(found) if found else pixels.copy()


def _vary(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Other colours, and then softer, sharper or coarser."""
    image = pixels.astype(np.float32)
    image += rng.uniform(-12, 12, (3, 1, 1)).astype(np.float32)
    mean = image.mean()
    image = (
        mean + (image - mean) * np.float32(rng.uniform(0.9, 1.1)) + np.float32(rng.uniform(-10, 10))
    )
    changed = np.asarray(np.clip(np.rint(image), 0, 255), dtype=np.uint8)
    kind = rng.integers(4)
    if kind == 0:
        return changed
    if kind == 1:
        return blur(changed, rng.uniform(0.4, 1.2))
    if kind == 2:
        soft = blur(changed, 1.0).astype(np.float32)
        sharp = changed + np.float32(rng.uniform(0.3, 1.0)) * (changed - soft)
        return np.asarray(np.clip(np.rint(sharp), 0, 255), dtype=np.uint8)
    picture = to_picture(changed)
    scale = rng.uniform(0.4, 0.9)
    small = picture.resize(
        [max(8, round(side * scale)) for side in picture.size], Image.Resampling.BILINEAR
    )
    return to_pixels(small.resize(picture.size, Image.Resampling.BICUBIC))


def _move(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Shifted and scaled a little; what comes in from outside repeats the edge."""
    height, width = pixels.shape[1:]
    scale = rng.uniform(1 - SHIFT, 1 + SHIFT, 2)
    across, down = rng.uniform(-SHIFT, SHIFT, 2) * (width, height)
    margin = -(-max(height, width) // 16)
    padded = to_picture(np.pad(pixels, ((0, 0), (margin, margin), (margin, margin)), mode="edge"))
    place = (
        scale[0],
        0,
        margin + across + width / 2 * (1 - scale[0]),
        0,
        scale[1],
        margin + down + height / 2 * (1 - scale[1]),
    )
    moved = padded.transform(
        (width, height), Image.Transform.AFFINE, place, Image.Resampling.BILINEAR
    )
    return to_pixels(moved)


def _mask(height: int, width: int, rng: np.random.Generator) -> Floats:
    """A soft, uneven ellipse, float32 [H, W] of 0 to 1."""
    (x0, x1), (y0, y1) = CENTRE
    centre = rng.uniform(x0, x1) * width, rng.uniform(y0, y1) * height
    axes = rng.uniform(*AXES[0]) * width, rng.uniform(*AXES[1]) * height
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    x, y = (columns - centre[0]) / axes[0], (rows - centre[1]) / axes[1]
    angle, outline = np.arctan2(y, x), np.ones((height, width), np.float32)
    for k in range(1, HARMONICS + 1):
        amplitude, phase = rng.normal(0, 0.12 / k), rng.uniform(0, 2 * np.pi)
        outline += np.float32(amplitude) * np.cos(k * angle + np.float32(phase))
    # A logistic edge stands for a blurred one: the same look at none of the cost.
    edge = np.float32(rng.uniform(*SOFT) * np.sqrt(height * width) / np.mean(axes) / 1.7)
    mask: Floats = 1 / (1 + np.exp(np.clip((np.hypot(x, y) - outline) / edge, -30, 30)))
    return mask
