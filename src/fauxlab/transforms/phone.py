"""What phones and their apps do to real photos: beauty filters, night mode, upscaling, screens.

Pictures are uint8 [3, H, W] and keep their shape. Each function is pure: noise is seeded by the
pixels. Blurs are Pillow's, which take a tenth of the time of exact ones.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

from fauxlab.io.images import MIN_SIDE, to_picture, to_pixels
from fauxlab.transforms.filters import BICUBIC, BILINEAR, scaled_size, to_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Floats = NDArray[np.float32]

LANCZOS = Image.Resampling.LANCZOS

# Beauty filter at strength 1.
SKIN_BLUR = 0.02  # standard deviation of the smoothing, as a share of the side
SKIN_DETAIL = 22.0  # of 255: detail below is smoothed away, edges above stay
SKIN_LIGHT = 16.0  # that mid-tones get brighter, of 255
SKIN_ROSE = (1.0, 0.85, 0.9)  # of the light, by channel
OUTSIDE = 0.25  # of the smoothing that is left outside the face
# Night mode at strength 1.
DARKNESS = 0.55  # of the brightness that the scene lacks
NIGHT_NOISE = 14.0  # standard deviation of the amplified noise, of 255
COLOUR_BLUR = 0.025  # standard deviation of the denoising of colours, as a share of the side
# Phone camera at strength 1.
EVENED = 0.35  # exponent that brings bright and dark areas together
LOCAL_CONTRAST = 0.4  # more of the detail than there was
VIVID = 0.25  # more of the colour than there was
AREA = 0.08  # standard deviation of what counts as an area, as a share of the side
LEAST_LIGHT = 12.0  # of 255, below which areas get no brighter: it would be noise


def beauty(pixels: Pixels, strength: float) -> Pixels:
    """Skin smoothed and brightened, most in the middle of the face; edges stay."""
    if strength == 0:
        return pixels.copy()
    _, height, width = pixels.shape
    side = min(height, width)
    amount = np.float32(strength)
    smooth = _smooth_detail(pixels, SKIN_BLUR * side, SKIN_DETAIL)
    mask = _face_mask(height, width)
    outside = np.float32(OUTSIDE)
    shares = outside + (1 - outside) * mask
    shares *= amount
    image = pixels.astype(np.float32)
    image += shares * (smooth - image)
    tones = image / np.float32(255)
    midtones = 4 * tones * (1 - tones)
    rose = np.array(SKIN_ROSE, np.float32)
    light = np.float32(SKIN_LIGHT) * rose
    image += shares * light[:, None, None] * midtones
    return to_bytes(image)


def night(pixels: Pixels, strength: float) -> Pixels:
    """A dark scene, amplified: its noise smoothed away, most of all in colours, then sharpened."""
    if strength == 0:
        return pixels.copy()
    seed = zlib.crc32(pixels.tobytes())
    rng = np.random.default_rng(seed)
    side = min(pixels.shape[1:])
    noise = NIGHT_NOISE * strength
    dark = pixels * np.float32(1 - DARKNESS * strength)
    # Photons are counted: noise goes with the root of the light. The camera adds some of its own.
    spread = np.sqrt((dark + 20) / 255)
    spread *= np.float32(noise)
    field = rng.standard_normal(pixels.shape, np.float32)
    noisy = to_picture(to_bytes(dark + spread * field))
    luma, blue, red = noisy.convert("YCbCr").split()
    brightness = np.asarray(luma)[None]
    smooth = _smooth_detail(brightness, 1.2, 1.5 * noise)
    # Shadows are lifted again, so that people are seen.
    shares = np.clip(smooth / 255, 0, 1)
    exponent = np.float32(1 - 0.2 * strength)
    lifted = to_bytes(255 * shares**exponent)
    sharpening = _unsharp(1.0, 1.2 * strength)
    sharpened = Image.fromarray(lifted[0]).filter(sharpening)
    blur = ImageFilter.GaussianBlur(COLOUR_BLUR * side * strength)
    bands = (
        sharpened,
        blue.filter(blur),
        red.filter(blur),
    )
    merged = Image.merge("YCbCr", bands)
    return to_pixels(merged.convert("RGB"))


def upscale(pixels: Pixels, factor: float) -> Pixels:
    """Taken `factor` times smaller, then enlarged by an app: Lanczos and an unsharp mask."""
    image = to_picture(pixels)
    small_size = scaled_size(image.size, 1 / factor, MIN_SIDE // 2)
    small = image.resize(small_size, BICUBIC)
    enlarged = small.resize(image.size, LANCZOS)
    sharpened = enlarged.filter(_unsharp(factor / 2, 0.8))
    return to_pixels(sharpened)


def phone(pixels: Pixels, strength: float) -> Pixels:
    """A phone's camera: areas evened out, local contrast, vivid colours, denoised and sharpened."""
    if strength == 0:
        return pixels.copy()
    side = min(pixels.shape[1:])
    amount = np.float32(strength)
    smooth = _smooth_detail(pixels, 1.0, 6 * strength)
    luma = to_picture(pixels).convert("L")
    area = luma.filter(ImageFilter.GaussianBlur(AREA * side))
    levels = np.asarray(area, dtype=np.float32)
    light = np.maximum(levels, np.float32(LEAST_LIGHT))
    # Areas darker than the picture's mean are brightened, others darkened; detail goes along.
    exponent = np.float32(EVENED) * amount
    gains = (light.mean() / light) ** exponent
    detail = np.asarray(luma, dtype=np.float32) - levels
    contrast = np.float32(LOCAL_CONTRAST) * amount
    toned = gains * (smooth + contrast * detail)
    grey = toned.mean(0)
    saturation = 1 + np.float32(VIVID) * amount
    vivid = grey + saturation * (toned - grey)
    picture = to_picture(to_bytes(vivid))
    sharpened = picture.filter(_unsharp(0.8, 1.2 * strength))
    return to_pixels(sharpened)


def screen(pixels: Pixels, scale: float) -> Pixels:
    """Shown at `scale` times its size, captured as it is and brought back; never compressed.

    Screens take the nearest four pixels and no mean over more, so fine detail may alias.
    """
    image = to_picture(pixels)
    size = scaled_size(image.size, scale, MIN_SIDE)
    shown = _sample(image, size)
    back = shown.resize(image.size, BICUBIC)
    return to_pixels(back)


def _sample(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """An image at another size, bilinear and without antialiasing."""
    width, height = size
    across = image.width / width
    down = image.height / height
    matrix = (across, 0, 0, 0, down, 0)
    return image.transform(
        size,
        Image.Transform.AFFINE,
        matrix,
        BILINEAR,
    )


def _smooth_detail(pixels: Pixels, sigma: float, threshold: float) -> Floats:
    """Without detail that is weak against `threshold` (of 255); strong detail, as edges, stays.

    [C, H, W] to the same shape. Detail is what a Gaussian of `sigma` pixels takes away.
    """
    blur = ImageFilter.GaussianBlur(sigma)
    soft = np.empty(pixels.shape, np.float32)
    for channel, own in zip(pixels, soft, strict=True):
        blurred = Image.fromarray(channel).filter(blur)
        own[:] = np.asarray(blurred)
    detail = pixels - soft
    squares = detail**2
    weak = np.float32(threshold**2 + 1e-3)
    kept = squares / (squares + weak)
    smooth: Floats = soft + kept * detail
    return smooth


def _unsharp(sigma: float, amount: float) -> ImageFilter.UnsharpMask:
    return ImageFilter.UnsharpMask(sigma, round(100 * amount), 0)


@lru_cache(maxsize=64)
def _face_mask(height: int, width: int) -> Floats:
    """1 in the middle of the face, falling smoothly to 0 around it; float32 [H, W]."""
    rows = np.linspace(0, 1, height)[:, None]
    columns = np.linspace(0, 1, width)
    down = (rows - 0.55) / 0.42
    right = (columns - 0.5) / 0.34
    distance = np.hypot(down, right)
    falling = np.clip(1.6 - distance, 0, 1)
    mask = falling * falling * (3 - 2 * falling)
    return mask.astype(np.float32)
