"""Changes of colour as editors, apps, lamps and old prints make them; no pixel moves.

Pictures are uint8 [3, H, W] and keep their shape. Each function is pure.
"""

from __future__ import annotations

import colorsys
import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import ImageOps

from fauxlab.io.images import to_picture, to_pixels
from fauxlab.transforms.filters import to_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Floats = NDArray[np.float32]
    Colour = tuple[float, float, float]  # red, green, blue from 0 to 1; above 1 it burns out

# The luma of ITU-R BT.601, as Pillow's mode "L" and JPEG have it.
LUMA = (0.299, 0.587, 0.114)
# The filter function sepia() of CSS ("Filter Effects Module Level 1"), at full strength.
SEPIA = (
    (0.393, 0.769, 0.189),
    (0.349, 0.686, 0.168),
    (0.272, 0.534, 0.131),
)
# White balance: of daylight, and the wavelengths that stand for red, green and blue.
DAYLIGHT = 5500.0  # kelvin
WAVELENGTHS = (610e-9, 545e-9, 465e-9)  # metres
RADIATION = 1.438777e-2  # second radiation constant of Planck's law, metre kelvin
ENCODING = 2.2  # exponent between light and pixel values


def sepia(pixels: Pixels, strength: float) -> Pixels:
    """A share `strength` of the way to sepia; 1 leaves no other colour."""
    whole = np.array(SEPIA, np.float32)
    none = np.eye(3, dtype=np.float32)
    share = np.float32(strength)
    matrix = none + share * (whole - none)
    return to_bytes(np.einsum("oc,chw->ohw", matrix, pixels.astype(np.float32)))


def duotone(pixels: Pixels, hue: float) -> Pixels:
    """One colour of a hue in degrees, from dark in the shadows to pale in the lights."""
    shadows = colorsys.hsv_to_rgb(hue / 360, 0.8, 0.2)
    lights = colorsys.hsv_to_rgb(hue / 360, 0.3, 1.0)
    return map_to_colours(pixels, shadows, lights)


def map_to_colours(pixels: Pixels, shadows: Colour, lights: Colour, share: float = 1.0) -> Pixels:
    """The picture's greys, from one colour in black to another in white.

    A `share` below 1 keeps the rest of the picture's own colours.
    """
    grey = _luma(pixels) / np.float32(255)
    dark = _channels(shadows)
    light = _channels(lights)
    toned = dark + (light - dark) * grey
    weight = np.float32(share)
    return to_bytes(255 * weight * toned + (1 - weight) * pixels)


def tint(pixels: Pixels, hue: float) -> Pixels:
    """Behind a pale coloured glass of a hue in degrees; all colours stay apart."""
    glass = colorsys.hsv_to_rgb(hue / 360, 0.35, 1.0)
    return _scale_channels(pixels, glass)


def white_balance(pixels: Pixels, mired: float) -> Pixels:
    """Light of another temperature, or a camera set for another; above 0 warm, below cool.

    `mired` is the shift in millionths of a reciprocal kelvin, as of filters for lenses: from
    daylight to a light bulb (2,850 K) it is 170. Grey of middle brightness stays as bright.
    """
    daylight = 1e6 / DAYLIGHT
    temperature = 1e6 / (daylight + mired)
    gains = []
    for wavelength in WAVELENGTHS:
        # Wien's approximation of Planck's law, relative to daylight.
        change = 1 / DAYLIGHT - 1 / temperature
        gain = math.exp(RADIATION / wavelength * change)
        gains.append(gain ** (1 / ENCODING))
    brightness = sum(weight * gain for weight, gain in zip(LUMA, gains, strict=True))
    red, green, blue = (gain / brightness for gain in gains)
    return _scale_channels(pixels, (red, green, blue))


def fade(pixels: Pixels, strength: float) -> Pixels:
    """An old print or a matte filter: lifted blacks, dull whites, pale colours."""
    pale = _saturate(pixels, 1 - 0.6 * strength)
    black = 70 * strength
    white = 255 - 25 * strength
    contrast = np.float32((white - black) / 255)
    return to_bytes(np.float32(black) + contrast * pale)


def auto_contrast(pixels: Pixels, percent: float) -> Pixels:
    """Each channel stretched to the full range, with `percent` cut off at both ends."""
    picture = to_picture(pixels)
    stretched = ImageOps.autocontrast(picture, cutoff=percent)
    return to_pixels(stretched)


def gamma(pixels: Pixels, exponent: float) -> Pixels:
    """Values of 0 to 1 to the power of `exponent`: above 1 darker, below brighter."""
    shares = np.arange(256) / 255
    table = to_bytes(255 * shares**exponent)
    return table[pixels]


def saturation(pixels: Pixels, factor: float) -> Pixels:
    """Distances from each pixel's own grey times `factor`; 0 gives a grey picture."""
    return to_bytes(_saturate(pixels, factor))


def cross_process(pixels: Pixels, strength: float) -> Pixels:
    """Slide film in the wrong chemicals: a curve of its own for each channel.

    Red and green get steeper, green less so; blue gets flatter, with blue shadows and yellow
    lights.
    """
    shares = np.linspace(0, 1, 256)
    wave = np.sin(2 * np.pi * shares)
    red = shares - 0.10 * wave
    green = shares - 0.06 * wave
    blue = 0.22 + 0.56 * shares
    result = np.empty_like(pixels)
    for channel, curve in enumerate((red, green, blue)):
        mixed = shares + strength * (curve - shares)
        table = to_bytes(255 * mixed)
        result[channel] = table[pixels[channel]]
    return result


def stage_light(
    pixels: Pixels,
    hue: float,
    other_hue: float | None = None,
    angle: float = 0.0,
    strength: float = 0.6,
) -> Pixels:
    """Light of a hue in degrees from one side, and of another hue from the other side.

    By default the other hue lies opposite. `angle` is the direction of the first light in degrees:
    0 from the left, 90 from above. Mean brightness stays where nothing burns out.
    """
    opposite = hue + 180 if other_hue is None else other_hue
    first = colorsys.hsv_to_rgb(hue % 360 / 360, strength, 1.0)
    second = colorsys.hsv_to_rgb(opposite % 360 / 360, strength, 1.0)
    shares = _gradient(pixels, angle)
    from_second = _channels(second)
    difference = _channels(first) - from_second
    light = from_second + difference * shares
    weights = np.array(LUMA, np.float32)
    light /= np.einsum("c,chw->hw", weights, light)
    # The brightest channel would burn out everywhere.
    bounded = np.minimum(light, np.float32(2))
    image = pixels.astype(np.float32)
    return to_bytes(image * bounded)


def _gradient(pixels: Pixels, angle: float) -> Floats:
    """1 at the side that an angle points to, 0 at the other, with a smooth way between; [H, W]."""
    _, height, width = pixels.shape
    turn = math.radians(angle)
    right = np.linspace(-1, 1, width, dtype=np.float32)[None]
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    toward = -math.cos(turn) * right - math.sin(turn) * down
    shares: Floats = 1 / (1 + np.exp(-4 * toward))
    return shares


def _saturate(pixels: Pixels, factor: float) -> Floats:
    grey = _luma(pixels)
    scale = np.float32(factor)
    result: Floats = grey + scale * (pixels - grey)
    return result


def _luma(pixels: Pixels) -> Floats:
    """Brightness of each pixel, float32 [1, H, W] from 0 to 255."""
    weights = np.array(LUMA, np.float32)
    luma: Floats = np.einsum("c,chw->hw", weights, pixels.astype(np.float32))
    return luma[None]


def _scale_channels(pixels: Pixels, factors: Colour) -> Pixels:
    return to_bytes(pixels * _channels(factors))


def _channels(values: Colour) -> Floats:
    """One value a channel, shaped to act on all pixels."""
    column = np.array(values, np.float32)
    return column[:, None, None]
