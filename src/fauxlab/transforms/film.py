"""Changes of fine structure: film and its grain, scanned prints, denoising, sharpening.

Pictures are uint8 [3, H, W] and keep their shape. Each function is pure: grain is seeded by the
pixels.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np
from PIL import ImageFilter

from fauxlab.io.images import to_picture, to_pixels
from fauxlab.transforms.filters import blur, convolve, to_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Floats = NDArray[np.float32]

# Film at strength 1.
SOFTNESS = 0.6  # standard deviation of the lens's and the scanner's blur, pixels
GLOW = 0.25  # of the lights' brightness that comes back from the film's base, in red
GLOW_FROM = 170.0  # of 255: what counts as lights
GLOW_REACH = 0.04  # standard deviation of the glow, as a share of the longer side
VIGNETTE = 0.45  # of the brightness that corners lose
GRAIN = 10.0  # standard deviation in the mid-tones, of 255
GRAIN_SIZE = 0.7  # standard deviation of a grain, pixels
COLOUR_GRAIN = 0.35  # of the grain that differs between the channels
RADIUS = 3  # of the window of denoising, pixels
# A scanned print at strength 1.
PAPER_BLACK = 55.0  # of 255
PAPER_WHITE = 232.0
PAPER_TINT = (1.0, 0.97, 0.9)  # of the white of old paper, by channel
SHADOW = 0.25  # of the brightness that the side of a page loses towards its fold
PAPER_GRAIN = 5.0  # standard deviation of the paper's fibres, of 255


def film(pixels: Pixels, strength: float) -> Pixels:
    """A photograph on film: soft, with glowing lights, darker corners and grain.

    A picture always gets the same field of grain, scaled by the strength.
    """
    if strength == 0:
        return pixels.copy()
    seed = zlib.crc32(pixels.tobytes())
    rng = np.random.default_rng(seed)
    soft = blur(pixels, SOFTNESS * strength)
    image = soft.astype(np.float32)
    image = _glow(image, strength)
    image *= _vignette(image.shape, strength)
    level = np.float32(GRAIN * strength)
    return to_bytes(image + level * _grain(image, rng))


def scan(pixels: Pixels, strength: float) -> Pixels:
    """A grey print out of a book, faded and scanned: dull tones, a soft lens, paper, a shadow."""
    if strength == 0:
        return pixels.copy()
    seed = zlib.crc32(pixels.tobytes())
    rng = np.random.default_rng(seed)
    picture = to_picture(pixels)
    grey = np.asarray(picture.convert("L"), dtype=np.float32)
    contrast = (PAPER_WHITE - PAPER_BLACK) / 255
    printed = np.float32(PAPER_BLACK) + np.float32(contrast) * grey
    fibres = rng.standard_normal(grey.shape, np.float32)
    printed = printed + np.float32(PAPER_GRAIN) * fibres
    paper = np.array(PAPER_TINT, np.float32)[:, None, None]
    _, _, width = pixels.shape
    towards_fold = np.linspace(0, 1, width, dtype=np.float32) ** 4
    if rng.random() < 0.5:
        towards_fold = towards_fold[::-1]
    page = paper * printed * (1 - np.float32(SHADOW) * towards_fold)
    share = np.float32(strength)
    mixed = to_bytes(share * page + (1 - share) * pixels)
    soft = to_picture(mixed).filter(ImageFilter.GaussianBlur(0.7 * strength))
    return to_pixels(soft)


def median(pixels: Pixels, side: float) -> Pixels:
    """The median of each channel in a window of an odd number of pixels a side."""
    # An even side has no middle pixel; the next odd one is taken.
    odd = 2 * (int(side) // 2) + 1
    filtered = to_picture(pixels).filter(ImageFilter.MedianFilter(odd))
    return to_pixels(filtered)


def denoise(pixels: Pixels, sigma: float) -> Pixels:
    """Smoothed where the picture varies by less than about `sigma` (of 255); edges stay.

    This is what noise reduction of cameras and skin smoothing of apps do. It is the guided filter
    (He, Sun and Tang, 2013), each channel guided by itself.
    """
    if sigma == 0:
        return pixels.copy()
    image = pixels.astype(np.float32)
    mean = _window_mean(image)
    variance = _window_mean(image**2) - mean**2
    variance = np.maximum(variance, 0)
    slope = variance / (variance + np.float32(sigma**2))
    offset = mean - slope * mean
    return to_bytes(_window_mean(slope) * image + _window_mean(offset))


def sharpen(pixels: Pixels, amount: float, sigma: float = 1.0) -> Pixels:
    """Unsharp masking: what a blur takes away is added again, times `amount`."""
    soft = blur(pixels, sigma)
    detail = pixels - soft.astype(np.float32)
    strength = np.float32(amount)
    return to_bytes(pixels + strength * detail)


def _glow(image: Floats, strength: float) -> Floats:
    """With light around bright places, red more than green, as film's base scatters it back."""
    reach = GLOW_REACH * max(image.shape)
    lights = np.maximum(image.mean(0, keepdims=True) - GLOW_FROM, 0)
    for axis in (1, 2):
        lights = convolve(lights, axis, reach)
    colour = np.array([1.0, 0.45, 0.2], np.float32)
    amount = np.float32(3 * GLOW * strength)
    light: Floats = amount * colour[:, None, None] * lights
    return image + light


def _vignette(shape: tuple[int, ...], strength: float) -> Floats:
    """Factors float32 [H, W]: 1 in the middle, less towards the corners."""
    _, height, width = shape
    down = np.linspace(-1, 1, height)[:, None]
    right = np.linspace(-1, 1, width)[None]
    squared_radius = (down**2 + right**2) / 2
    factors = 1 - VIGNETTE * strength * squared_radius**2
    return factors.astype(np.float32)


def _grain(image: Floats, rng: np.random.Generator) -> Floats:
    """A field of grain [3, H, W], of standard deviation 1 in the mid-tones.

    Grains are larger than a pixel and mostly grey. Black and white show little of them.
    """
    _, height, width = image.shape
    grey = rng.standard_normal((1, height, width), np.float32)
    colours = rng.standard_normal(image.shape, np.float32)
    own = np.float32(COLOUR_GRAIN)
    field = np.sqrt(1 - own**2) * grey + own * colours
    for axis in (1, 2):
        field = convolve(field, axis, GRAIN_SIZE)
    field /= field.std()
    shares = np.clip(image / 255, 0, 1)
    tones = np.float32(0.25) + 3 * shares * (1 - shares)
    result: Floats = field * tones
    return result


def _window_mean(image: Floats) -> Floats:
    """Means over windows of RADIUS pixels around each pixel, with repeated edges."""
    for axis in (1, 2):
        margins = [(0, 0)] * image.ndim
        margins[axis] = (RADIUS + 1, RADIUS)
        padded = np.pad(image, margins, mode="edge")
        # Sums of many squares: single precision would lose the variance of smooth places.
        sums = np.cumsum(padded, axis, dtype=np.float64)
        width = 2 * RADIUS + 1
        ends = np.split(sums, [width], axis)[1]
        starts = sums[:, :-width] if axis == 1 else sums[:, :, :-width]
        means = (ends - starts) / width
        image = means.astype(np.float32)
    return image
