"""Random filters, as of apps, phones, cameras and old prints: tones, structure, processing."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.transforms import film, phone, tones

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

Random = np.random.Generator

TONED = 0.6  # share that gets another tone
TONED_TWICE = 0.2  # share of the toned
RESTRUCTURED = 0.2  # share whose fine structure is changed
PROCESSED = 0.25  # share that went through a phone or an app
# Ranges of levels; they reach as far as those of the protocol.
STRENGTHS = (0.3, 1.0)
HUES = (0.0, 360.0)  # degrees
OLD_PRINTS = (15.0, 55.0)  # their hues
MIREDS = (-100.0, 200.0)
CUT_OFF = (0.0, 4.0)  # percent
GAMMAS = (0.5, 2.0)
SATURATIONS = (0.0, 2.2)
GREY = 0.2  # share of the changes of saturation that leave no colour
WINDOWS = (3, 5)  # pixels
NOISES = (3.0, 20.0)  # of 255
AMOUNTS = (0.3, 3.5)
SHARPENED_SIGMAS = (0.5, 2.0)  # pixels
ANGLES = (0.0, 360.0)  # degrees
LIGHT_STRENGTHS = (0.2, 0.9)
FACTORS = (1.5, 4.0)  # of upscaling
SCREENS = (0.5, 1.4)  # times the size


def random_filter(pixels: Pixels, rng: Random) -> Pixels:
    """A picture uint8 [3, H, W] after no, one or several random filters; the shape stays."""
    is_toned = rng.random() < TONED
    is_toned_again = rng.random() < TONED_TWICE
    is_restructured = rng.random() < RESTRUCTURED
    is_processed = rng.random() < PROCESSED
    if is_processed:
        pixels = _choose(PROCESSES, rng)(pixels, rng)
    if is_toned:
        pixels = _choose(TONES, rng)(pixels, rng)
    if is_toned and is_toned_again:
        pixels = _choose(TONES, rng)(pixels, rng)
    if is_restructured:
        pixels = _choose(STRUCTURES, rng)(pixels, rng)
    return pixels


Filter = Callable[["Pixels", Random], "Pixels"]


def _choose(filters: tuple[Filter, ...], rng: Random) -> Filter:
    number = rng.integers(len(filters))
    return filters[number]


# --- tones


def _sepia(pixels: Pixels, rng: Random) -> Pixels:
    return tones.sepia(pixels, rng.uniform(*STRENGTHS))


def _old_print(pixels: Pixels, rng: Random) -> Pixels:
    return _one_colour(pixels, rng, OLD_PRINTS)


def _duotone(pixels: Pixels, rng: Random) -> Pixels:
    return _one_colour(pixels, rng, HUES)


def _one_colour(pixels: Pixels, rng: Random, hues: tuple[float, float]) -> Pixels:
    """The picture in shades of one random hue, with dark or lifted blacks."""
    hue = rng.uniform(*hues) / 360
    shadow_saturation, light_saturation = rng.uniform((0.0, 0.0), (1.0, 0.4))
    black = rng.uniform(0, 0.3)
    white = rng.uniform(0.85, 1.05)
    shadows = colorsys.hsv_to_rgb(hue, shadow_saturation, black)
    lights = colorsys.hsv_to_rgb(hue, light_saturation, white)
    share = rng.uniform(0.6, 1.0)
    return tones.map_to_colours(pixels, shadows, lights, share)


def _tint(pixels: Pixels, rng: Random) -> Pixels:
    return tones.tint(pixels, rng.uniform(*HUES))


def _white_balance(pixels: Pixels, rng: Random) -> Pixels:
    return tones.white_balance(pixels, rng.uniform(*MIREDS))


def _fade(pixels: Pixels, rng: Random) -> Pixels:
    return tones.fade(pixels, rng.uniform(*STRENGTHS))


def _auto_contrast(pixels: Pixels, rng: Random) -> Pixels:
    return tones.auto_contrast(pixels, rng.uniform(*CUT_OFF))


def _gamma(pixels: Pixels, rng: Random) -> Pixels:
    low, high = GAMMAS
    # Even on a scale of ratios: as often darker as brighter.
    exponent = low * (high / low) ** rng.random()
    return tones.gamma(pixels, exponent)


def _saturation(pixels: Pixels, rng: Random) -> Pixels:
    factor = rng.uniform(*SATURATIONS)
    if rng.random() < GREY:
        factor = 0.0
    return tones.saturation(pixels, factor)


def _cross_process(pixels: Pixels, rng: Random) -> Pixels:
    return tones.cross_process(pixels, rng.uniform(*STRENGTHS))


def _stage_light(pixels: Pixels, rng: Random) -> Pixels:
    hue, other_hue = rng.uniform(*HUES, 2)
    angle = rng.uniform(*ANGLES)
    return tones.stage_light(pixels, hue, other_hue, angle, rng.uniform(*LIGHT_STRENGTHS))


# --- fine structure


def _film(pixels: Pixels, rng: Random) -> Pixels:
    return film.film(pixels, rng.uniform(*STRENGTHS))


def _median(pixels: Pixels, rng: Random) -> Pixels:
    number = rng.integers(len(WINDOWS))
    return film.median(pixels, WINDOWS[number])


def _denoise(pixels: Pixels, rng: Random) -> Pixels:
    return film.denoise(pixels, rng.uniform(*NOISES))


def _sharpen(pixels: Pixels, rng: Random) -> Pixels:
    amount = rng.uniform(*AMOUNTS)
    sigma = rng.uniform(*SHARPENED_SIGMAS)
    return film.sharpen(pixels, amount, sigma)


def _scan(pixels: Pixels, rng: Random) -> Pixels:
    return film.scan(pixels, rng.uniform(*STRENGTHS))


# --- phones and apps


def _beauty(pixels: Pixels, rng: Random) -> Pixels:
    return phone.beauty(pixels, rng.uniform(*STRENGTHS))


def _night(pixels: Pixels, rng: Random) -> Pixels:
    return phone.night(pixels, rng.uniform(*STRENGTHS))


def _upscale(pixels: Pixels, rng: Random) -> Pixels:
    return phone.upscale(pixels, rng.uniform(*FACTORS))


def _phone(pixels: Pixels, rng: Random) -> Pixels:
    return phone.phone(pixels, rng.uniform(*STRENGTHS))


def _screen(pixels: Pixels, rng: Random) -> Pixels:
    return phone.screen(pixels, rng.uniform(*SCREENS))


TONES: tuple[Filter, ...] = (
    _sepia,
    _old_print,
    _duotone,
    _tint,
    _white_balance,
    _fade,
    _auto_contrast,
    _gamma,
    _saturation,
    _cross_process,
    _stage_light,
)
STRUCTURES: tuple[Filter, ...] = (_film, _median, _denoise, _sharpen, _scan)
# Beauty filters twice: they are the most frequent, and look most like a generator's smooth skin.
PROCESSES: tuple[Filter, ...] = (_beauty, _beauty, _night, _upscale, _phone, _screen)
