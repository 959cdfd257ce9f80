"""Tint: by hand, and what it parts: greys and photographs from pictures in one colour."""

from __future__ import annotations

import numpy as np
import pytest

from fauxlab.datasets.toyfaces import draw, plan
from fauxlab.io.tint import measure_tint
from fauxlab.transforms.protocol import degrade


def test_by_hand() -> None:
    orange = np.array([200, 150, 100], np.uint8)[:, None, None].repeat(8, 1).repeat(8, 2)
    # The mean is 150, so the colour lies √(50² + 0 + 50²) from grey, and nothing spreads.
    assert measure_tint(orange) == pytest.approx(70.71, abs=0.01)
    grey = np.random.default_rng(0).integers(0, 256, (1, 8, 8), dtype=np.uint8).repeat(3, 0)
    assert measure_tint(grey) == pytest.approx(0, abs=1e-4)
    # Each brightness has its own colour, so the colour follows from the brightness: dark blue with
    # (0, 0, 90) lies √(30² + 30² + 60²) = 73.5 from grey, and yellow (200, 200, 80) lies
    # √(40² + 40² + 80²) = 98.0 from it.
    split = np.zeros((3, 8, 8), np.uint8)
    split[2, :4] = 90
    split[:2, 4:] = 200
    split[2, 4:] = 80
    mean_square = (73.48**2 + 97.98**2) / 2
    assert measure_tint(split) == pytest.approx(mean_square**0.5, abs=0.1)
    # Equally bright red and green: the mean of their level is (75, 75, 0), √(25² · 2 + 50²) = 61.2
    # from its grey, and each lies √(75² · 2) = 106.1 from that mean.
    checks = np.zeros((3, 8, 8), np.uint8)
    checks[0, :4] = 150
    checks[1, 4:] = 150
    assert measure_tint(checks) == pytest.approx(61.24 / 107.07, abs=0.001)


@pytest.mark.parametrize("number", range(4))
def test_one_colour_is_parted_from_many_and_from_grey(number: int) -> None:
    face = draw("wiki", plan(4), number, 96).transpose(2, 0, 1)
    tint = measure_tint(face)
    assert measure_tint(degrade(face, "saturation", 0)) < 0.5
    for kind, level in (("sepia", 1), ("duotone", 220), ("duotone", 310)):
        assert measure_tint(degrade(face, kind, level)) > 2 * tint + 4
