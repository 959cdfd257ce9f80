"""Self-blended images: a real face blended onto itself, as a swap is blended onto its target.

After the idea of Shiohara and Yamasaki ("Detecting Deepfakes with Self-Blended Images", 2022). Two
versions of one picture, which differ a little in colour, sharpness, place and scale, are joined
through a soft mask over the face. Only the join remains to be seen. A network that learns to see it
learns nothing about any particular generator.

Faces are taken to stand in the middle of the picture, where every data set of face crops has them.
No landmarks are needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fauxlab.io.images import to_picture, to_pixels
from fauxlab.transforms.film import sharpen
from fauxlab.transforms.filters import BICUBIC, BILINEAR, blur, scaled_size, to_bytes
from fauxlab.transforms.regions import face_mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Seeds = Sequence[int] | NDArray[np.int64]

Random = np.random.Generator

RATIOS = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)  # how much of the face is replaced, drawn evenly
SHIFT = 0.03  # of the side, and of the scale around 1


def self_blend(pixels: Pixels, rng: Random) -> Pixels:
    """A picture uint8 [3, H, W] of a face, blended onto itself; same shape."""
    inner = pixels
    outer = pixels
    # Either side of the join may be the changed one.
    if rng.random() < 0.5:
        inner = vary(inner, rng)
    else:
        outer = vary(outer, rng)
    inner = move(inner, rng)
    _, height, width = pixels.shape
    mask = face_mask(height, width, rng)
    ratio = rng.choice(RATIOS)
    mask *= np.float32(ratio)
    inside = inner * mask
    outside = outer * (1 - mask)
    return to_bytes(inside + outside)


def blend_batch(pixels: Pixels, seeds: Seeds) -> Pixels:
    """Self-blends of uint8 [N, 3, H, W], each a pure function of its picture and its seed."""
    blends = np.empty_like(pixels)
    for k, (picture, seed) in enumerate(zip(pixels, seeds, strict=True)):
        rng = np.random.default_rng(int(seed))
        blends[k] = self_blend(picture, rng)
    return blends


def vary(pixels: Pixels, rng: Random) -> Pixels:
    """The picture in other colours, and then softer, sharper or coarser."""
    tint = rng.uniform(-12, 12, (3, 1, 1))
    image = pixels.astype(np.float32)
    image += tint.astype(np.float32)
    mean = image.mean()
    contrast = np.float32(rng.uniform(0.9, 1.1))
    brightness = np.float32(rng.uniform(-10, 10))
    from_mean = image - mean
    contrasted = mean + from_mean * contrast
    recoloured = to_bytes(contrasted + brightness)
    kind = rng.integers(4)
    if kind == 0:
        return recoloured
    if kind == 1:
        return blur(recoloured, rng.uniform(0.4, 1.2))
    if kind == 2:
        return sharpen(recoloured, rng.uniform(0.3, 1.0))
    return coarsen(recoloured, rng.uniform(0.4, 0.9))


def coarsen(pixels: Pixels, scale: float) -> Pixels:
    """Shrunk to a scale and enlarged again."""
    picture = to_picture(pixels)
    small_size = scaled_size(picture.size, scale, least=8)
    small = picture.resize(small_size, BILINEAR)
    enlarged = small.resize(picture.size, BICUBIC)
    return to_pixels(enlarged)


def move(pixels: Pixels, rng: Random) -> Pixels:
    """Shifted and scaled a little; what comes in from outside repeats the edge."""
    _, height, width = pixels.shape
    scale_x, scale_y = rng.uniform(1 - SHIFT, 1 + SHIFT, 2)
    shift_x, shift_y = rng.uniform(-SHIFT, SHIFT, 2)
    across = shift_x * width
    down = shift_y * height
    # A sixteenth of the side is more than shift and scale together reach beyond the edge (0.045).
    longer = max(height, width)
    margin = math.ceil(longer / 16)
    sides = (margin, margin)
    padded = np.pad(pixels, ((0, 0), sides, sides), mode="edge")
    # Scaled around the centre of the picture. The matrix leads from a pixel of the result to its
    # place in the padded picture.
    centre_x = width / 2
    centre_y = height / 2
    left = margin + across + centre_x * (1 - scale_x)
    top = margin + down + centre_y * (1 - scale_y)
    matrix = (scale_x, 0, left, 0, scale_y, top)
    moved = to_picture(padded).transform(
        (width, height),
        Image.Transform.AFFINE,
        matrix,
        BILINEAR,
    )
    return to_pixels(moved)
