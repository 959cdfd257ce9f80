"""A simulated camera: lens, sensor, colour filter array, tone curve and sharpening.

It leaves the local statistics that real cameras leave. Only these distinguish the real pictures of
toyfaces from the fakes.
"""

from __future__ import annotations

import numpy as np

from fauxlab.datasets.appearance import Array, Shot
from fauxlab.datasets.canvas import clamp

# Margins of a picture [H, W, 3] that is padded by one pixel, as np.pad takes them.
NONE = (0, 0)
PIXEL = (1, 1)
DOWN = (PIXEL, NONE, NONE)
ACROSS = (NONE, PIXEL, NONE)
BOTH = (PIXEL, PIXEL, NONE)

RED, GREEN, BLUE = range(3)
# The colour filters of a cell of 2 × 2 sensor pixels.
BAYER = (
    (RED, GREEN),
    (GREEN, BLUE),
)
# Weights of direct and diagonal neighbours by channel: green has twice the samples.
DIRECT = np.array([2, 1, 2], np.float32) / 4
DIAGONAL = np.array([1, 0, 1], np.float32) / 4

GAMMA = 2.2
GREY_LEVEL = 0.24  # mean light that the automatic exposure aims at
SHOT_NOISE = 0.0013  # variance per unit of light
READ_NOISE = 0.00002  # variance in the dark


def expose(scene: Array, shot: Shot, size: int) -> Array:
    """The light on the sensor, float32 [size, size, 3], of a scene in linear light."""
    sigma = shot.blur * size / 64
    light = _average_down(scene, size)
    light = _blur(light, sigma)
    # Positions from the middle, -1 to 1 from edge to edge.
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    down, right = np.meshgrid(axis, axis, indexing="ij")
    _shift_colours(light, shot.aberration, right, down)
    # The corners are darker.
    from_middle = right**2 + down**2
    strength = shot.vignette * 0.5
    vignette = 1 - strength * from_middle
    # The automatic exposure corrects most of a scene's brightness, but not all.
    mean = float(light.mean())
    brightness = max(mean, 0.02)
    wanted = GREY_LEVEL * shot.exposure
    gain = (wanted / brightness) ** 0.7
    exposure = gain * vignette
    exposed: Array = light * exposure[..., None]
    return exposed


def develop(light: Array, shot: Shot, rng: np.random.Generator) -> Array:
    """A photograph, float32 [size, size, 3] in display values of [0, 1], of the light on a sensor.

    The sensor adds noise; a tone curve and sharpening follow.
    """
    size, _, _ = light.shape
    plane = rng.standard_normal((size, size), np.float32)
    noise = _demosaic(plane)
    # Shot noise grows with the light, read noise does not.
    shot_noise = SHOT_NOISE * clamp(light)
    variance = shot_noise + READ_NOISE
    deviation = np.sqrt(variance)
    relative_size = size / 64
    strength = shot.noise * relative_size**0.25
    noisy = light + strength * deviation * noise
    display = apply_tone(noisy, shot)
    photo = sharpen(display, shot.sharpening)
    return clamp(photo)


def apply_tone(light: Array, shot: Shot) -> Array:
    """Display values in [0, 1] of linear light: gamma and an S-curve."""
    display = clamp(light) ** (1 / GAMMA)
    inverse = 1 - display
    from_middle = display - 0.5
    curve = shot.contrast * display * inverse * from_middle
    return np.asarray(display + curve)


def sharpen(image: Array, amount: float) -> Array:
    """Unsharp masking of a picture [H, W, 3]: its fine detail, `amount` times, is added to it."""
    detail = image - _blur(image, 0.8)
    return image + amount * detail


def _average_down(scene: Array, size: int) -> Array:
    """Means over blocks of pixels: [S, S, 3] to [size, size, 3], where S is a multiple of size."""
    factor = scene.shape[0] // size
    if factor == 1:
        return scene
    blocks = scene.reshape(size, factor, size, factor, 3)
    return np.asarray(blocks.mean(axis=(1, 3)))


def _blur(image: Array, sigma: float) -> Array:
    """Three-tap Gaussian down and across, with repeated edges; sigma in pixels, up to about 0.8."""
    variance = min(sigma**2, 0.66)
    side = 0.5 * variance
    middle = 1 - 2 * side

    padded = np.pad(image, DOWN, mode="edge")
    above, level, below = _split_rows(padded)
    neighbours = above + below
    image = side * neighbours + middle * level

    padded = np.pad(image, ACROSS, mode="edge")
    left, centre, right = _split_columns(padded)
    neighbours = left + right
    image = side * neighbours + middle * centre
    return image


def _split_rows(padded: Array) -> tuple[Array, Array, Array]:
    """The rows above, at and below each row of a picture that is padded by one row."""
    above = padded[:-2]
    level = padded[1:-1]
    below = padded[2:]
    return above, level, below


def _split_columns(padded: Array) -> tuple[Array, Array, Array]:
    """The columns left of, at and right of each column of a picture padded by one column."""
    left = padded[:, :-2]
    centre = padded[:, 1:-1]
    right = padded[:, 2:]
    return left, centre, right


def _shift_colours(light: Array, aberration: float, right: Array, down: Array) -> None:
    """Chromatic aberration, in place: red and blue are magnified a little differently from green.

    `right` and `down` are the pixels' positions, -1 to 1 from edge to edge.
    """
    pixel = 2 / light.shape[0]
    magnifications = {RED: aberration, BLUE: -aberration}
    for channel, magnification in magnifications.items():
        plane = light[..., channel]
        slope_down, slope_right = np.gradient(plane, pixel)
        outward = right * slope_right + down * slope_down
        plane += magnification * outward


def _demosaic(plane: Array) -> Array:
    """Bilinear reading [H, W, 3] of an RGGB sensor plane [H, W].

    Each pixel senses one colour. The other two are means over its neighbours, so neighbouring
    pixels of a photograph share their noise.
    """
    samples = np.zeros((*plane.shape, 3), np.float32)
    for row, filters in enumerate(BAYER):
        for column, channel in enumerate(filters):
            sensed = plane[row::2, column::2]
            samples[row::2, column::2, channel] = sensed
    padded = np.pad(samples, BOTH, mode="reflect")
    above, level, below = _split_rows(padded)
    above_left, straight_above, above_right = _split_columns(above)
    left, _, right = _split_columns(level)
    below_left, straight_below, below_right = _split_columns(below)
    direct = straight_above + straight_below
    direct = direct + left + right
    diagonal = above_left + above_right
    diagonal = diagonal + below_left + below_right
    picture: Array = samples + DIRECT * direct
    picture = picture + DIAGONAL * diagonal
    return picture
