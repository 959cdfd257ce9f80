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
    shares = amount * (np.float32(OUTSIDE) + np.float32(1 - OUTSIDE) * mask)
    image = pixels + shares * (smooth - pixels)
    tones = image / np.float32(255)
    midtones = 4 * tones * (1 - tones)
    light = np.array(SKIN_ROSE, np.float32)[:, None, None] * np.float32(SKIN_LIGHT)
    return to_bytes(image + shares * light * midtones)


def night(pixels: Pixels, strength: float) -> Pixels:
    """A dark scene, amplified: its noise smoothed away, most of all in colours, then sharpened."""
    if strength == 0:
        return pixels.copy()
    seed = zlib.crc32(pixels.tobytes())
    rng = np.random.default_rng(seed)
    side = min(pixels.shape[1:])
    dark = pixels * np.float32(1 - DARKNESS * strength)
    # Photons are counted: noise goes with the root of the light. Amplified, most is in the shadows.
    spread = np.float32(NIGHT_NOISE * strength) * np.sqrt((dark + 20) / 255)
    noisy = to_bytes(dark + spread * rng.standard_normal(pixels.shape, np.float32))
    luma, blue, red = to_picture(noisy).convert("YCbCr").split()
    blur = ImageFilter.GaussianBlur(COLOUR_BLUR * side * strength)
    brightness = np.asarray(luma)[None]
    smooth = _smooth_detail(brightness, 1.2, 1.5 * NIGHT_NOISE * strength)
    # Shadows are lifted again, so that people are seen.
    lifted = 255 * (smooth / 255).clip(0, 1) ** np.float32(1 - 0.2 * strength)
    sharpened = Image.fromarray(to_bytes(lifted)[0]).filter(_unsharp(1.0, 1.2 * strength))
    merged = Image.merge("YCbCr", (sharpened, blue.filter(blur), red.filter(blur)))
    return to_pixels(merged.convert("RGB"))


def upscale(pixels: Pixels, factor: float) -> Pixels:
    """Taken `factor` times smaller, then enlarged by an app: Lanczos and an unsharp mask."""
    image = to_picture(pixels)
    small_size = scaled_size(image.size, 1 / factor, MIN_SIDE // 2)
    small = image.resize(small_size, BICUBIC)
    enlarged = small.resize(image.size, LANCZOS)
    return to_pixels(enlarged.filter(_unsharp(factor / 2, 0.8)))


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
    gains = (light.mean() / light) ** (np.float32(EVENED) * amount)
    detail = np.asarray(luma, dtype=np.float32) - levels
    toned = gains * (smooth + np.float32(LOCAL_CONTRAST) * amount * detail)
    grey = toned.mean(0)
    vivid = grey + (1 + np.float32(VIVID) * amount) * (toned - grey)
    sharpened = to_picture(to_bytes(vivid)).filter(_unsharp(0.8, 1.2 * strength))
    return to_pixels(sharpened)


def screen(pixels: Pixels, scale: float) -> Pixels:
    """Shown at `scale` times its size, captured as it is and brought back; never compressed.

    Screens take the nearest four pixels and no mean over more, so fine detail may alias.
    """
    image = to_picture(pixels)
    shown = _sample(image, scaled_size(image.size, scale, MIN_SIDE))
    return to_pixels(shown.resize(image.size, BICUBIC))


def _sample(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """An image at another size, bilinear and without antialiasing."""
    width, height = size
    matrix = (image.width / width, 0, 0, 0, image.height / height, 0)
    return image.transform(size, Image.Transform.AFFINE, matrix, BILINEAR)


def _smooth_detail(pixels: Pixels, sigma: float, threshold: float) -> Floats:
    """Without detail that is weak against `threshold` (of 255); strong detail, as edges, stays.

    [C, H, W] with three channels or one. Detail is what a Gaussian of `sigma` pixels takes away.
    """
    image = to_picture(pixels) if len(pixels) == 3 else Image.fromarray(pixels[0])
    blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(sigma)), dtype=np.float32)
    soft = blurred.transpose(2, 0, 1) if len(pixels) == 3 else blurred[None]
    detail = pixels - soft
    squares = detail**2
    kept = squares / (squares + np.float32(threshold**2 + 1e-3))
    smooth: Floats = soft + kept * detail
    return smooth


def _unsharp(sigma: float, amount: float) -> ImageFilter.UnsharpMask:
    return ImageFilter.UnsharpMask(sigma, round(100 * amount), 0)


@lru_cache(maxsize=64)
def _face_mask(height: int, width: int) -> Floats:
    """1 in the middle of the face, falling smoothly to 0 around it; float32 [H, W]."""
    down = (np.linspace(0, 1, height) - 0.55) / 0.42
    right = (np.linspace(0, 1, width) - 0.5) / 0.34
    distance = np.hypot(down[:, None], right[None])
    falling = np.clip(1.6 - distance, 0, 1)
    mask = falling * falling * (3 - 2 * falling)
    return mask.astype(np.float32)
