"""Film, denoising and sharpening: what they leave, take away and add."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from fauxlab.transforms.film import sharpen
from fauxlab.transforms.protocol import degrade


def flat(value: int, side: int = 120) -> np.ndarray:
    return np.full((3, side, side), value, np.uint8)


def deviation_in_the_middle(pixels: np.ndarray) -> float:
    return float(pixels[:, 40:80, 40:80].astype(float).std(axis=(1, 2)).mean())


def test_grain_is_strongest_in_the_mid_tones() -> None:
    deviations = [deviation_in_the_middle(degrade(flat(v), "film", 1)) for v in (8, 128, 160, 250)]
    assert deviations[1] == pytest.approx(10, rel=0.15)
    assert deviations[0] < 0.6 * deviations[1]
    assert deviations[3] < 0.6 * deviations[2]


def test_grains_are_larger_than_pixels_and_mostly_grey() -> None:
    grain = degrade(flat(128), "film", 1)[:, 30:90, 30:90].astype(float) - 128
    red, green, _ = grain
    assert np.corrcoef(red.ravel(), green.ravel())[0, 1] > 0.7
    neighbours = np.corrcoef(red[:, 1:].ravel(), red[:, :-1].ravel())[0, 1]
    assert neighbours > 0.4
    # White noise, as a sensor's, has none of this.
    noise = degrade(flat(128), "noise", 10)[0].astype(float)
    assert abs(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]) < 0.05


def test_film_darkens_corners_and_lights_glow() -> None:
    grey = degrade(flat(128), "film", 1).astype(float)
    corner, middle = grey[:, :10, :10].mean(), grey[:, 55:65, 55:65].mean()
    # The corner loses .45 of its brightness, its first ten pixels a little less.
    assert 0.5 < corner / middle < 0.75
    lamp = flat(60)
    lamp[:, 50:70, 50:70] = 255
    around = degrade(lamp, "film", 1).astype(float)[:, 44:48, 50:70].mean(axis=(1, 2))
    assert around[0] > around[2] + 3, "red shines further than blue"


def test_median_is_pillows_and_removes_specks() -> None:
    speck = flat(100, 32)
    speck[:, 10, 10] = 255
    assert np.unique(degrade(speck, "median", 3)).tolist() == [100]
    noise = np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8)
    image = Image.fromarray(noise.transpose(1, 2, 0)).filter(ImageFilter.MedianFilter(5))
    assert np.array_equal(degrade(noise, "median", 5), np.asarray(image).transpose(2, 0, 1))


def test_denoising_keeps_edges_and_takes_noise() -> None:
    rng = np.random.default_rng(0)
    edge = np.full((3, 64, 64), 60.0)
    edge[:, :, 32:] = 190
    noisy = np.clip(edge + rng.normal(0, 4, edge.shape), 0, 255).astype(np.uint8)
    smooth = degrade(noisy, "denoise", 15).astype(float)
    assert smooth[:, :, 4:26].std() < 0.4 * noisy[:, :, 4:26].std()
    step = smooth[:, :, 33].mean() - smooth[:, :, 30].mean()
    assert step > 0.85 * 130
    # A blur that takes as much noise away smears the edge.
    blurred = degrade(noisy, "blur", 2).astype(float)
    assert blurred[:, :, 33].mean() - blurred[:, :, 30].mean() < 0.75 * 130


def test_sharpening_by_hand() -> None:
    ramp = np.tile(np.arange(0, 120, 2, dtype=np.uint8), (3, 60, 1))
    inner = (slice(None), slice(8, -8), slice(8, -8))
    assert np.array_equal(sharpen(ramp, 3)[inner], ramp[inner]), "a slope has no detail"
    edge = np.full((3, 20, 20), 100, np.uint8)
    edge[:, :, 10:] = 150
    row = sharpen(edge, 1, 0.5)[0, 10].astype(int)
    # The blur of 0.5 pixels moves .107 + .0003 of the step of 50 across the edge.
    assert row[9:11].tolist() == [95, 155]
    assert row[[0, 5, 15, 19]].tolist() == [100, 100, 150, 150]


def test_a_scan_is_grey_on_old_paper_with_a_shadow_at_one_side() -> None:
    white = degrade(np.full((3, 64, 64), 255, np.uint8), "scan", 1).astype(float)
    # Paper of 232 · (1, .97, .9); towards the fold a quarter is lost.
    sides = [white[:, :, :4].mean((1, 2)), white[:, :, -4:].mean((1, 2))]
    fold, outer = sorted(sides, key=lambda side: side[0])
    assert outer == pytest.approx([232, 225, 209], abs=2)
    assert fold[0] / outer[0] == pytest.approx(0.77, abs=0.03)
    red = np.zeros((3, 64, 64), np.uint8)
    red[0] = 200
    scanned = degrade(red, "scan", 1).astype(float).mean((1, 2))
    assert scanned[1] / scanned[0] == pytest.approx(0.97, abs=0.01)
