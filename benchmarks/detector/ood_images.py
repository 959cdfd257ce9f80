"""Pictures that are no photos of faces, drawn to test out-of-distribution detection.

People hand such pictures to a detector of generated faces. A detector that only knows real from
fake gives each of them a score; it should answer "cannot tell". No model is trained on them.

This file holds the list of kinds and the pictures computed from a formula; `ood_drawings.py`
holds those drawn with shapes and letters. Used by `trust.py` and by the tests.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from benchmarks.detector.ood_drawings import (
    draw_cartoon,
    draw_interface,
    draw_strokes,
    draw_text,
    random_colour,
)

from fauxlab.errors import LabError

if TYPE_CHECKING:
    from benchmarks.detector.ood_drawings import Floats, Pixels, Rng

SMALLEST = 32


def draw_ood_image(kind: str, size: int, seed: int) -> Pixels:
    """Draw one picture uint8 [3, size, size]; the same arguments give the same picture.

    Raises LabError on a kind that is not in `KINDS` and on a size below 32 pixels.
    """
    if kind not in KINDS:
        known = ", ".join(KINDS)
        raise LabError(f"no odd picture {kind!r}; there are {known}")
    if size < SMALLEST:
        raise LabError(f"odd pictures are drawn from {SMALLEST} pixels on; got {size}")
    kind_number = zlib.crc32(kind.encode())
    rng = np.random.default_rng((seed, kind_number))
    picture = KINDS[kind](rng, size)
    channels_first = picture.transpose(2, 0, 1)
    return np.ascontiguousarray(channels_first)


def draw_flat(rng: Rng, size: int) -> Pixels:
    """One colour."""
    colour = random_colour(rng)
    return np.broadcast_to(colour, (size, size, 3)).astype(np.uint8)


def draw_gradient(rng: Rng, size: int) -> Pixels:
    """From one colour to another, along a line or around a point."""
    y, x = np.mgrid[:size, :size] / (size - 1)
    if rng.random() < 0.5:
        angle = rng.uniform(0, 2 * np.pi)
        position = np.cos(angle) * x + np.sin(angle) * y
    else:
        across = x - rng.random()
        down = y - rng.random()
        position = np.hypot(across, down)
    return mix_two_colours(rng, stretch(position))


def draw_noise(rng: Rng, size: int) -> Pixels:
    """White noise, uniform or Gaussian, in colour or grey, in cells of 1, 2 or 4 pixels."""
    cell = int(rng.choice((1, 2, 4)))
    cells = -(-size // cell)
    channels = int(rng.choice((1, 3)))
    shape = (cells, cells, channels)
    uniform = rng.random() < 0.5
    if uniform:
        values = rng.uniform(0, 255, shape)
    else:
        deviation = rng.uniform(20, 80)
        values = rng.normal(127, deviation, shape)
    enlarged = values.repeat(cell, 0).repeat(cell, 1)
    cropped = enlarged[:size, :size]
    return to_bytes(np.broadcast_to(cropped, (size, size, 3)))


def draw_checkerboard(rng: Rng, size: int) -> Pixels:
    """Squares of two colours."""
    largest = max(2, size // 4)
    side = int(rng.integers(1, largest))
    rows, columns = np.indices((size, size)) // side
    odd = (rows + columns) % 2
    first = random_colour(rng)
    second = random_colour(rng)
    return to_bytes(np.where(odd[..., None], first, second))


def draw_texture(rng: Rng, size: int) -> Pixels:
    """Two colours mixed by noise with a falling spectrum, as in stone, bark and clouds."""
    exponent = rng.uniform(0.7, 2.0)
    field = falling_noise(rng, size, exponent)
    return mix_two_colours(rng, field)


def draw_blobs(rng: Rng, size: int) -> Pixels:
    """Soft patches of colour: structure at the scale of a face, but no face."""
    y, x = np.mgrid[:size, :size] / size
    ground = random_colour(rng)
    image = np.broadcast_to(ground, (size, size, 3)).astype(np.float64)
    for _ in range(rng.integers(3, 9)):
        radius = rng.uniform(0.06, 0.3)
        across, down = rng.random(2)
        distance = (x - across) ** 2 + (y - down) ** 2
        weight = np.exp(-distance / (2 * radius**2))[..., None]
        image = image + weight * (random_colour(rng) - image)
    return to_bytes(image)


KINDS: dict[str, Callable[[Rng, int], Pixels]] = {
    "flat": draw_flat,
    "gradient": draw_gradient,
    "noise": draw_noise,
    "checkerboard": draw_checkerboard,
    "texture": draw_texture,
    "blobs": draw_blobs,
    "text": draw_text,
    "drawing": draw_strokes,
    "cartoon": draw_cartoon,
    "interface": draw_interface,
}


def falling_noise(rng: Rng, size: int, exponent: float) -> Floats:
    """A field [size, size] in [0, 1] whose amplitude falls as frequency to the power `exponent`."""
    across = np.fft.rfftfreq(size)
    down = np.fft.fftfreq(size)[:, None]
    frequency = np.hypot(across, down)
    # The mean has frequency 0; it gets the amplitude of the lowest frequency.
    frequency = np.maximum(frequency, 1 / size)
    white = rng.standard_normal((size, size))
    spectrum = np.fft.rfft2(white) / frequency**exponent
    return stretch(np.fft.irfft2(spectrum, (size, size)))


def stretch(values: Floats) -> Floats:
    """Move the smallest value to 0 and the largest to 1."""
    stretched: Floats = (values - values.min()) / np.ptp(values)
    return stretched


def mix_two_colours(rng: Rng, share: Floats) -> Pixels:
    """Mix two random colours by a share [size, size]."""
    start = random_colour(rng)
    # A difference of two colours, not one colour: the mixture may reach beyond both and is clipped.
    change = random_colour(rng) - random_colour(rng)
    return to_bytes(start + share[..., None] * change)


def to_bytes(values: Floats) -> Pixels:
    """Round and clip to uint8."""
    clipped = np.clip(np.rint(values), 0, 255)
    return np.asarray(clipped, dtype=np.uint8)
