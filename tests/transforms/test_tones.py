"""Tones against sums done by hand and against Pillow; every one leaves shape and places alone."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from fauxlab.transforms import tones
from fauxlab.transforms.protocol import degrade

ONE_COLOUR = [("sepia", 1), ("duotone", 120), ("duotone", 310), ("saturation", 0)]


def flat(red: int, green: int, blue: int) -> np.ndarray:
    return np.array([red, green, blue], np.uint8)[:, None, None].repeat(4, 1).repeat(4, 2)


def colour_of(pixels: np.ndarray) -> list[int]:
    (colour,) = np.unique(pixels.reshape(3, -1), axis=1).T
    return colour.tolist()


@pytest.fixture
def colours() -> np.ndarray:
    """All kinds of colours, uint8 [3, 40, 40]."""
    return np.random.default_rng(0).integers(0, 256, (3, 40, 40), dtype=np.uint8)


def test_sepia_is_that_of_css() -> None:
    # By hand: of red 100 the matrix leaves .393, .349 and .272; half of the way is the mean.
    assert colour_of(degrade(flat(100, 0, 0), "sepia", 1)) == [39, 35, 27]
    assert colour_of(degrade(flat(100, 0, 0), "sepia", 0.5)) == [70, 17, 14]
    # White burns out in red and green: 255 · (.272 + .534 + .131) = 238.9 in blue.
    assert colour_of(degrade(flat(255, 255, 255), "sepia", 1)) == [255, 255, 239]


@pytest.mark.parametrize(("kind", "level"), ONE_COLOUR)
def test_one_colour_is_left(colours: np.ndarray, kind: str, level: float) -> None:
    """All pixels lie on one line through the colours, up to what burns out."""
    toned = degrade(colours // 2, kind, level).reshape(3, -1)
    spread = np.linalg.eigvalsh(np.cov(toned))
    assert spread[1] < 0.002 * spread[2]


@pytest.mark.parametrize("hue", [0, 120, 220, 310])
def test_duotones_and_tints_have_their_hue(hue: int) -> None:
    for kind in ("duotone", "tint"):
        toned = [value / 255 for value in colour_of(degrade(flat(150, 150, 150), kind, hue))]
        found, strength, _ = colorsys.rgb_to_hsv(*toned)
        difference = abs(found * 360 - hue)
        assert min(difference, 360 - difference) < 3
        assert strength > 0.3


def test_greys_go_from_one_colour_to_the_other() -> None:
    ends = ((0.2, 0.1, 0.0), (1.0, 0.8, 0.6))
    assert colour_of(tones.map_to_colours(flat(0, 0, 0), *ends)) == [51, 26, 0]
    assert colour_of(tones.map_to_colours(flat(255, 255, 255), *ends)) == [255, 204, 153]
    half = tones.map_to_colours(flat(255, 255, 255), *ends, share=0.5)
    assert colour_of(half) == [255, 230, 204]


def test_white_balance_is_warm_above_and_cool_below() -> None:
    red, green, blue = colour_of(degrade(flat(100, 100, 100), "white balance", 150))
    # By hand: gains exp(c2 / wavelength · 150e-6 / 2.2) at 610, 545 and 465 nm are 4.99, 6.05 and
    # 8.24 for red, green and blue, and the light has the inverse of these: 1.65 times as much red
    # as blue.
    assert red / blue == pytest.approx(1.65, rel=0.02)
    assert green / blue == pytest.approx(1.36, rel=0.02)
    assert 0.299 * red + 0.587 * green + 0.114 * blue == pytest.approx(100, abs=0.6)
    red, _, blue = colour_of(degrade(flat(100, 100, 100), "white balance", -80))
    assert blue > red


def test_fading_lifts_black_and_dulls_white() -> None:
    assert colour_of(degrade(flat(0, 0, 0), "faded", 1)) == [70, 70, 70]
    assert colour_of(degrade(flat(255, 255, 255), "faded", 1)) == [230, 230, 230]


def test_auto_contrast_fills_the_range() -> None:
    ramp = np.arange(60, 160, dtype=np.uint8).reshape(1, 10, 10).repeat(3, axis=0)
    stretched = degrade(ramp, "auto-contrast", 0)
    assert (stretched.min(), stretched.max()) == (0, 255)
    cut = degrade(ramp, "auto-contrast", 10)
    assert np.mean(cut == 0) == pytest.approx(0.1, abs=0.02)
    assert np.mean(cut == 255) == pytest.approx(0.1, abs=0.02)


def test_gamma_by_hand() -> None:
    # 255 · (64 / 255) ^ 2 = 16.06 and 255 · (64 / 255) ^ .5 = 127.7
    assert colour_of(degrade(flat(0, 64, 255), "gamma", 2)) == [0, 16, 255]
    assert colour_of(degrade(flat(0, 64, 255), "gamma", 0.5)) == [0, 128, 255]


def test_saturation_is_pillows(colours: np.ndarray) -> None:
    image = Image.fromarray(colours.transpose(1, 2, 0))
    for factor in (0, 0.5, 1.8):
        expected = np.asarray(ImageEnhance.Color(image).enhance(factor)).transpose(2, 0, 1)
        difference = degrade(colours, "saturation", factor).astype(int) - expected
        assert np.abs(difference).max() <= 2


def test_cross_processing_turns_shadows_blue_and_lights_yellow() -> None:
    red, green, blue = colour_of(degrade(flat(30, 30, 30), "cross-process", 1))
    assert blue > green > red
    red, green, blue = colour_of(degrade(flat(220, 220, 220), "cross-process", 1))
    assert red > green > blue


def test_stage_light_comes_from_two_sides() -> None:
    lit = tones.stage_light(np.full((3, 9, 41), 100, np.uint8), hue=0)
    # By hand: at the left, 1 / (1 + e^-4) = .982 of the light is red (1, .4, .4), the rest is
    # (.4, 1, 1). Its luma is .584, and is brought to 1.
    assert lit[:, 4, 0].tolist() == pytest.approx([169, 70, 70], abs=1)
    right = lit[:, 4, 40].tolist()
    assert right[0] < 55
    assert right[1] == right[2] > 115
    # Halfway both lights together are white.
    assert lit[:, 4, 20].tolist() == [100, 100, 100]
    from_above = tones.stage_light(np.full((3, 9, 41), 100, np.uint8), hue=0, angle=90)
    assert from_above[:, 0, 20].tolist() == pytest.approx([169, 70, 70], abs=1)
