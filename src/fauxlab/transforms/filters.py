"""Single changes of a picture, each a pure function: encoding, resizing, blur, noise, crop, light.

Pictures are uint8 [3, H, W] and keep their shape.
"""

from __future__ import annotations

import io
import math
import zlib
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fauxlab.io.images import MIN_SIDE, decode, to_picture, to_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Floats = NDArray[np.float32]

BICUBIC = Image.Resampling.BICUBIC
BILINEAR = Image.Resampling.BILINEAR
Picture = Image.Image
Size = tuple[int, int]  # width, height


def jpeg(pixels: Pixels, quality: float) -> Pixels:
    """Through a JPEG file of a quality of 1 to 100, with halved colour resolution (4:2:0)."""
    image = to_picture(pixels)
    encoded = encode(image, "JPEG", int(quality))
    return to_pixels(encoded)


def webp(pixels: Pixels, quality: float) -> Pixels:
    """Through a lossy WebP file of a quality of 1 to 100."""
    image = to_picture(pixels)
    encoded = encode(image, "WEBP", int(quality))
    return to_pixels(encoded)


def resize(pixels: Pixels, scale: float) -> Pixels:
    """To `scale` times the size and back, both bicubic and antialiased."""
    image = to_picture(pixels)
    rescaled_size = scaled_size(image.size, scale)
    rescaled = image.resize(rescaled_size, BICUBIC)
    back = rescaled.resize(image.size, BICUBIC)
    return to_pixels(back)


def blur(pixels: Pixels, sigma: float) -> Pixels:
    """Convolved with a Gaussian of standard deviation `sigma` pixels, with repeated edges.

    The kernel is cut at 3 sigma, one pixel at least.
    """
    if sigma == 0:
        return pixels.copy()
    image = pixels.astype(np.float32)
    # A Gaussian in two dimensions is one along the rows after one along the columns.
    for axis in (1, 2):
        image = convolve(image, axis, sigma)
    return to_bytes(image)


def noise(pixels: Pixels, sigma: float) -> Pixels:
    """With white Gaussian noise of standard deviation `sigma` (of 255) added.

    A picture always gets the same field of noise, scaled by the level.
    """
    seed = zlib.crc32(pixels.tobytes())
    rng = np.random.default_rng(seed)
    field = rng.standard_normal(pixels.shape, np.float32)
    level = np.float32(sigma)
    return to_bytes(pixels + level * field)


def crop(pixels: Pixels, keep: float) -> Pixels:
    """The middle `keep` of each side, in whole pixels, brought back to the full size (bicubic)."""
    image = to_picture(pixels)
    width, height = scaled_size(image.size, keep)
    margin_x = image.width - width
    margin_y = image.height - height
    left = margin_x // 2
    top = margin_y // 2
    right = left + width
    bottom = top + height
    # Not resize(box=…), whose filter would still see what was cut off.
    middle = image.crop((left, top, right, bottom))
    enlarged = middle.resize(image.size, BICUBIC)
    return to_pixels(enlarged)


def screenshot(pixels: Pixels, times: float) -> Pixels:
    """A screenshot that is sent on, `times` times in a row.

    The picture is shown at 0.8 of its size (bilinear), saved as JPEG of quality 80, brought back to
    its size and sent as JPEG of quality 70.
    """
    image = to_picture(pixels)
    size = image.size
    shown_size = scaled_size(size, 0.8, MIN_SIDE)
    for _ in range(int(times)):
        shown = image.resize(shown_size, BILINEAR)
        saved = encode(shown, "JPEG", 80)
        brought_back = saved.resize(size, BILINEAR)
        image = encode(brought_back, "JPEG", 70)
    return to_pixels(image)


def brightness(pixels: Pixels, factor: float) -> Pixels:
    """Pixel values times `factor`, rounded and cut at 255."""
    all_values = np.arange(256)
    new_values = to_bytes(all_values * factor)
    return new_values[pixels]


def encode(picture: Picture, form: str, quality: int, **options: int) -> Picture:
    """The picture after it was saved in a format at a quality, and opened again."""
    stream = io.BytesIO()
    picture.save(stream, form, quality=quality, **options)
    data = stream.getvalue()
    return decode(data)


def scaled_size(size: Size, scale: float, least: int = 1) -> Size:
    """Width and height times `scale`, rounded, and at least `least` each."""
    width, height = size
    scaled_width = round(width * scale)
    scaled_height = round(height * scale)
    return max(least, scaled_width), max(least, scaled_height)


def to_bytes(values: NDArray[np.floating]) -> Pixels:
    """Values rounded to whole numbers and cut to 0 to 255."""
    rounded = np.rint(values)
    bounded = np.clip(rounded, 0, 255)
    return np.asarray(bounded, dtype=np.uint8)


def convolve(image: Floats, axis: int, sigma: float) -> Floats:
    """An image float32 [C, H, W], convolved along one axis with a Gaussian of `sigma` pixels."""
    kernel = _gaussian(sigma)
    reach = len(kernel) // 2
    side = image.shape[axis]
    padded = _pad(image, axis, reach)
    result: Floats = kernel[reach] * image
    # The kernel is symmetric: one product serves both neighbours.
    for step in range(1, reach + 1):
        before = _window(padded, axis, reach - step, side)
        after = _window(padded, axis, reach + step, side)
        neighbours = before + after
        weight = kernel[reach + step]
        result += weight * neighbours
    return result


def _gaussian(sigma: float) -> Floats:
    """A Gaussian kernel of sum 1, float32 [2 reach + 1], cut at 3 sigma."""
    reach = max(1, math.ceil(3 * sigma))
    pixels = np.arange(-reach, reach + 1)
    offsets = pixels / sigma
    exponents = -(offsets**2) / 2
    gaussian = np.exp(exponents)
    kernel = gaussian.astype(np.float32)
    kernel /= kernel.sum()
    return kernel


def _pad(image: Floats, axis: int, reach: int) -> Floats:
    """The image with its edges along one axis repeated `reach` times."""
    margins = [(0, 0)] * image.ndim
    margins[axis] = (reach, reach)
    return np.pad(image, margins, mode="edge")


def _window(image: Floats, axis: int, start: int, side: int) -> Floats:
    """`side` rows or columns of an image from `start` on."""
    stop = start + side
    if axis == 1:
        return image[:, start:stop]
    return image[:, :, start:stop]
