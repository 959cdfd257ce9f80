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
    # Red and green as often: the colours spread by 127.5 along the line between these two, the main
    # axis, and not to its side. The mean is (127.5, 127.5, 0), √(42.5² · 2 + 85²) = 104.1 from grey.
    checks = np.zeros((3, 8, 8), np.uint8)
    checks[0, :4] = 255
    checks[1, 4:] = 255
    assert measure_tint(checks) == pytest.approx(104.1, abs=0.1)


@pytest.mark.parametrize("number", range(4))
def test_one_colour_is_parted_from_many_and_from_grey(number: int) -> None:
    face = draw("wiki", plan(4), number, 96).transpose(2, 0, 1)
    tint = measure_tint(face)
    assert measure_tint(degrade(face, "saturation", 0)) < 0.5
    for kind, level in (("sepia", 1), ("duotone", 220), ("duotone", 310)):
        assert measure_tint(degrade(face, kind, level)) > 2 * tint + 4
