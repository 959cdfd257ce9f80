"""Real pictures as if the last layers of a generator had drawn them, without a network.

Generators enlarge small maps, by repeated pixels or zeros between them, and convolve the result.
That leaves a pattern that repeats every two or four pixels (Odena et al., 2016; Durall et al.,
2020). Here a picture is shrunk and enlarged in such a way. What that loses is added again, but
through a mixing of each square of 2x2 pixels that is the same in all of them. So the trace is a
periodic pattern, and not blur.

Each picture gets filters of its own, so no particular generator is imitated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from fauxlab.transforms.filters import to_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Floats = NDArray[np.float32]
    Seeds = Sequence[int] | NDArray[np.int64]

Random = np.random.Generator

TWO_STAGES = 0.4  # share of the pictures that are shrunk to a quarter of the side
# Strengths are drawn evenly on a scale of ratios, since traces of generators differ that much.
MIXED = (0.02, 0.1)  # deviation of the mixing of a square's pixels from none
KERNEL = (0.003, 0.03)  # deviation of a convolution's weights from those that enlarge smoothly
COLOURS = 0.02  # deviation of the mixing of channels from none
UNEVEN_MEAN = 0.1  # deviation of the weights that shrink from equal ones, as a share of them
KEPT = (0.75, 1.0)  # of what the small picture lacks
NOISY = 0.5  # share of the pictures whose small maps get noise
NOISE = (0.002, 0.02)  # its standard deviation; pictures reach from -1 to 1
CLIPPED = 0.5  # share of the pictures that are bounded softly
BOUNDS = (0.1, 0.5)  # steepness of the bound: 0 would be none


@dataclass(frozen=True)
class _Style:
    """What is alike in all stages of one picture."""

    mixed: float
    kernel: float
    kept: float
    noise: float


def decode_batch(pixels: Pixels, seeds: Seeds) -> Pixels:
    """Redrawn uint8 [N, 3, H, W], each a pure function of its picture and its seed; same shape."""
    drawn = np.empty_like(pixels)
    for k, (picture, seed) in enumerate(zip(pixels, seeds, strict=True)):
        rng = np.random.default_rng(int(seed))
        drawn[k] = redraw(picture, rng)
    return drawn


def redraw(pixels: Pixels, rng: Random) -> Pixels:
    """A picture uint8 [3, H, W] with the traces of a random decoder; same shape."""
    stages = 1 + int(rng.random() < TWO_STAGES)
    noise = 0.0
    if rng.random() < NOISY:
        noise = _log_uniform(NOISE, rng)
    style = _Style(
        mixed=_log_uniform(MIXED, rng),
        kernel=_log_uniform(KERNEL, rng),
        kept=rng.uniform(*KEPT),
        noise=noise,
    )
    image = pixels.astype(np.float32)
    image /= np.float32(127.5)
    image -= np.float32(1)
    drawn = _in_grid(image, stages, style, rng)
    if rng.random() < CLIPPED:
        steepness = np.float32(rng.uniform(*BOUNDS))
        bounded = np.tanh(steepness * drawn)
        drawn = bounded / np.tanh(steepness)
    brighter = drawn + 1
    return to_bytes(brighter * np.float32(127.5))


def _in_grid(image: Floats, stages: int, style: _Style, rng: Random) -> Floats:
    """Drawn on a lattice that starts anywhere, as in a picture that was cut after it was drawn."""
    _, height, width = image.shape
    step = 2**stages
    top, left = rng.integers(step, 2 * step, 2)
    bottom = step + -(height + top) % step
    right = step + -(width + left) % step
    none = (0, 0)
    down = (top, bottom)
    across = (left, right)
    padded = np.pad(image, (none, down, across), mode="edge")
    drawn = _draw(padded, stages, style, rng)
    end = top + height
    rows = drawn[:, top:end]
    end = left + width
    cut: Floats = rows[:, :, left:end]
    return cut


def _draw(image: Floats, stages: int, style: _Style, rng: Random) -> Floats:
    """An image [3, H, W] of even sides, shrunk and drawn anew; in each stage at half the size."""
    squares = _split_squares(image)
    small = _shrink(squares, rng)
    number = rng.integers(len(ENLARGEMENTS))
    spread, weights = ENLARGEMENTS[number]
    detail = squares - _enlarge(small, spread, weights)
    if stages > 1:
        small = _draw(small, stages - 1, style, rng)
    if style.noise:
        small = _add_noise(small, style.noise, rng)
    same = np.eye(3, dtype=np.float32)
    colours = _near(same, COLOURS, rng)
    kernels = _near(weights, style.kernel, rng)
    mixed = _mix(colours, small)
    drawn = _enlarge(mixed, spread, kernels)
    kept = np.float32(style.kept)
    drawn += kept * _mix_squares(detail, style, rng)
    return _join_squares(drawn)


def _add_noise(small: Floats, deviation: float, rng: Random) -> Floats:
    """A map [C, h, w] with the same noise in all channels."""
    _, height, width = small.shape
    grains = rng.standard_normal((height, width), np.float32)
    return small + np.float32(deviation) * grains


def _shrink(squares: Floats, rng: Random) -> Floats:
    """Half the size: means of 2x2 pixels by nearly equal weights."""
    equal = np.full((1, 4), 0.25, np.float32)
    (weights,) = _near(equal, UNEVEN_MEAN / 4, rng)
    small: Floats = np.tensordot(weights, squares, 1)
    return small


def _mix_squares(squares: Floats, style: _Style, rng: Random) -> Floats:
    """The twelve values of each square of 2x2 pixels, mixed a little, alike in all squares."""
    _, _, height, width = squares.shape
    values = squares.reshape(12, height, width)
    matrix = np.eye(12, dtype=np.float32)
    changes = rng.standard_normal((12, 12), np.float32)
    matrix += np.float32(style.mixed) * changes
    mixed = _mix(matrix, values)
    return mixed.reshape(squares.shape)


# --- arithmetic

_ALL = slice(None)
_EVEN = slice(0, None, 2)
_ODD = slice(1, None, 2)
# The places of a square's four pixels in an image [C, H, W].
SQUARE = (
    (_ALL, _EVEN, _EVEN),
    (_ALL, _EVEN, _ODD),
    (_ALL, _ODD, _EVEN),
    (_ALL, _ODD, _ODD),
)


def _log_uniform(bounds: tuple[float, float], rng: Random) -> float:
    low, high = bounds
    ratio = high / low
    drawn = ratio ** rng.random()
    return float(low * drawn)


def _near(filters: Floats, deviation: float, rng: Random) -> Floats:
    """Filters [N, …] with random changes that leave the sum of each as it is."""
    axes = tuple(range(1, filters.ndim))
    changes = rng.standard_normal(filters.shape, np.float32)
    changes -= changes.mean(axes, keepdims=True)
    return filters + np.float32(deviation) * changes


def _split_squares(image: Floats) -> Floats:
    """The four pixels of each square of 2x2, one after the other: [4, C, H/2, W/2]."""
    channels, height, width = image.shape
    small = (channels, height // 2, width // 2)
    squares = np.empty((4, *small), np.float32)
    for square, place in zip(squares, SQUARE, strict=True):
        square[:] = image[place]
    return squares


def _join_squares(squares: Floats) -> Floats:
    """[4, C, h, w] back to [C, 2h, 2w]."""
    _, channels, height, width = squares.shape
    image = np.empty((channels, 2 * height, 2 * width), np.float32)
    for square, place in zip(squares, SQUARE, strict=True):
        image[place] = square
    return image


def _mix(matrix: Floats, values: Floats) -> Floats:
    """A matrix [C, C] times the channels of [C, H, W]."""
    flat = values.reshape(len(values), -1)
    return (matrix @ flat).reshape(values.shape)


def _enlarge(small: Floats, spread: Floats, kernels: Floats) -> Floats:
    """Twice the size and convolved, as squares [4, C, h, w] of the result, from [C, h, w].

    `spread` says how pixels are set apart, `kernels` [C, 3, 3] convolve what comes of that. Both
    are joined to one kernel for each of a square's four pixels, which takes a third of the time.
    """
    channels, height, width = small.shape
    joined = np.einsum("aip,bjq,cij->abpqc", spread, spread, kernels)
    none = (0, 0)
    edge = (1, 1)
    padded = np.pad(small, (none, edge, edge), mode="edge")
    windows = sliding_window_view(padded, (height, width), (1, 2))
    result = np.zeros((2, 2, channels, height, width), np.float32)
    # One array for all products: a new one each time would take longer than the arithmetic.
    product = np.empty_like(small)
    has_weight = joined.any(-1)
    for a, b, p, q in np.argwhere(has_weight):
        weights = joined[a, b, p, q]
        np.multiply(weights[:, None, None], windows[:, p, q], out=product)
        result[a, b] += product
    return result.reshape(4, channels, height, width)


# --- enlarging, along one axis
# Which small pixel (before, same, next) a kernel's three taps meet, at either of the two places
# that a pixel becomes: [place, tap, small pixel].

REPEATED = np.array(
    [
        [[1, 0, 0], [0, 1, 0], [0, 1, 0]],
        [[0, 1, 0], [0, 1, 0], [0, 0, 1]],
    ],
    np.float32,
)
# Every other place holds a zero.
WITH_ZEROS = np.array(
    [
        [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
        [[0, 1, 0], [0, 0, 0], [0, 0, 1]],
    ],
    np.float32,
)
IDENTITY = np.zeros((3, 3), np.float32)
IDENTITY[1, 1] = 1
TRIANGLE = np.array([0.25, 0.5, 0.25], np.float32)
BILINEAR = np.outer(TRIANGLE, TRIANGLE)
# How pixels are set apart, and the kernels [3, 3, 3] that follow.
ENLARGEMENTS: tuple[tuple[Floats, Floats], ...] = (
    (REPEATED, np.stack([IDENTITY] * 3)),
    (REPEATED, np.stack([BILINEAR] * 3)),
    # Of four pixels three are 0.
    (WITH_ZEROS, np.stack([4 * BILINEAR] * 3)),
)
