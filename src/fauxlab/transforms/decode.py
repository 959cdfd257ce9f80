"""Real pictures as if the last layers of a generator had drawn them, without a network.

Generators enlarge small maps, by repeated pixels or zeros between them, and convolve the result.
That leaves a pattern that repeats every two or four pixels (Odena et al., 2016; Durall et al.,
2020). Here a picture is shrunk and enlarged in such a way. What that loses is added again, but
through a mixing of each square of 2x2 pixels that is the same in all of them. So the trace is a
periodic pattern, and not blur.

Each picture gets filters of its own, so no particular generator is imitated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

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
        drawn = np.tanh(steepness * drawn) / np.tanh(steepness)
    return to_bytes((drawn + 1) * np.float32(127.5))


def _in_grid(image: Floats, stages: int, style: _Style, rng: Random) -> Floats:
    """Drawn on a lattice that starts anywhere, as in a picture that was cut after it was drawn."""
    _, height, width = image.shape
    step = 2**stages
    top, left = rng.integers(step, 2 * step, 2)
    bottom = step + -(height + top) % step
    right = step + -(width + left) % step
    padded = np.pad(image, ((0, 0), (top, bottom), (left, right)), mode="edge")
    drawn = _draw(padded, stages, style, rng)
    cut: Floats = drawn[:, top : top + height, left : left + width]
    return cut


def _draw(image: Floats, stages: int, style: _Style, rng: Random) -> Floats:
    """An image [3, H, W] of even sides, shrunk and drawn anew; in each stage at half the size."""
    small = _shrink(image, rng)
    enlarge, weights = ENLARGEMENTS[rng.integers(len(ENLARGEMENTS))]
    detail = image - _convolve(enlarge(small), weights)
    if stages > 1:
        small = _draw(small, stages - 1, style, rng)
    if style.noise:
        grains = rng.standard_normal(small.shape[1:], np.float32)
        small = small + np.float32(style.noise) * grains
    kernels = _near(weights, style.kernel, rng)
    colours = _near(np.eye(3, dtype=np.float32), COLOURS, rng)
    enlarged = _mix(colours, _convolve(enlarge(small), kernels))
    kept = np.float32(style.kept)
    return enlarged + kept * _mix_squares(detail, style, rng)


def _shrink(image: Floats, rng: Random) -> Floats:
    """Half the size: means of 2x2 pixels by nearly equal weights."""
    equal = np.full((1, 4), 0.25, np.float32)
    (weights,) = _near(equal, UNEVEN_MEAN / 4, rng)
    squares = _split_squares(image)
    small: Floats = np.tensordot(weights, squares, 1)
    return small


def _mix_squares(detail: Floats, style: _Style, rng: Random) -> Floats:
    """The twelve values of each square of 2x2 pixels, mixed a little, alike in all squares."""
    squares = _split_squares(detail)
    values = squares.reshape(12, *squares.shape[2:])
    matrix = np.eye(12, dtype=np.float32)
    matrix += np.float32(style.mixed) * rng.standard_normal((12, 12), np.float32)
    mixed = _mix(matrix, values)
    return _join_squares(mixed.reshape(squares.shape))


# --- arithmetic


def _log_uniform(bounds: tuple[float, float], rng: Random) -> float:
    low, high = bounds
    return float(low * (high / low) ** rng.random())


def _near(filters: Floats, deviation: float, rng: Random) -> Floats:
    """Filters [N, …] with random changes that leave the sum of each as it is."""
    axes = tuple(range(1, filters.ndim))
    changes = rng.standard_normal(filters.shape, np.float32)
    changes -= changes.mean(axes, keepdims=True)
    return filters + np.float32(deviation) * changes


def _repeat(small: Floats) -> Floats:
    """Each pixel four times: [C, h, w] to [C, 2h, 2w]."""
    return small.repeat(2, 1).repeat(2, 2)


def _put_zeros(small: Floats) -> Floats:
    """Zeros between all pixels: [C, h, w] to [C, 2h, 2w]."""
    channels, height, width = small.shape
    grid = np.zeros((channels, 2 * height, 2 * width), np.float32)
    grid[:, ::2, ::2] = small
    return grid


def _split_squares(image: Floats) -> Floats:
    """The four pixels of each square of 2x2, one after the other: [4, C, H/2, W/2]."""
    return np.stack(
        [
            image[:, ::2, ::2],
            image[:, ::2, 1::2],
            image[:, 1::2, ::2],
            image[:, 1::2, 1::2],
        ]
    )


def _join_squares(squares: Floats) -> Floats:
    """[4, C, h, w] back to [C, 2h, 2w]."""
    _, channels, height, width = squares.shape
    image = np.empty((channels, 2 * height, 2 * width), np.float32)
    image[:, ::2, ::2] = squares[0]
    image[:, ::2, 1::2] = squares[1]
    image[:, 1::2, ::2] = squares[2]
    image[:, 1::2, 1::2] = squares[3]
    return image


def _mix(matrix: Floats, values: Floats) -> Floats:
    """A matrix [C, C] times the channels of [C, H, W]."""
    flat = values.reshape(len(values), -1)
    return (matrix @ flat).reshape(values.shape)


def _convolve(image: Floats, kernels: Floats) -> Floats:
    """Each channel of [C, H, W] with its own kernel of [C, 3, 3], edges repeated."""
    _, height, width = image.shape
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)), mode="edge")
    result = np.zeros_like(image)
    # One array for all products: a new one each time would take longer than the arithmetic.
    product = np.empty_like(image)
    for down in range(3):
        for right in range(3):
            weights = kernels[:, down, right, None, None]
            if weights.any():
                window = padded[:, down : down + height, right : right + width]
                np.multiply(weights, window, out=product)
                result += product
    return result


# --- enlarging: what stands between the pixels, and the convolution [3, 3, 3] that follows

IDENTITY = np.zeros((3, 3), np.float32)
IDENTITY[1, 1] = 1
TRIANGLE = np.array([0.25, 0.5, 0.25], np.float32)
BILINEAR = np.outer(TRIANGLE, TRIANGLE)

ENLARGEMENTS: tuple[tuple[Callable[[Floats], Floats], Floats], ...] = (
    (_repeat, np.stack([IDENTITY] * 3)),
    (_repeat, np.stack([BILINEAR] * 3)),
    # Of four pixels three are 0.
    (_put_zeros, np.stack([4 * BILINEAR] * 3)),
)
