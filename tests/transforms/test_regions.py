"""Regions: where they lie, how soft they are, and how often hard."""

from __future__ import annotations

import numpy as np
import pytest

from fauxlab.transforms import regions
from fauxlab.transforms.regions import random_region


def centre_of(mask: np.ndarray) -> tuple[float, float]:
    """Row and column of a mask's centre of mass, as shares of the side."""
    rows, columns = np.indices(mask.shape)
    total = mask.sum()
    height, width = mask.shape
    return float((rows * mask).sum() / total / height), float(
        (columns * mask).sum() / total / width
    )


def test_regions_are_shares_and_a_function_of_the_seed() -> None:
    masks = np.stack([random_region(60, 48, np.random.default_rng(seed)) for seed in range(200)])
    assert (masks.shape, masks.dtype) == ((200, 60, 48), np.float32)
    assert masks.min() >= 0
    assert masks.max() <= 1
    assert np.array_equal(masks[3], random_region(60, 48, np.random.default_rng(3)))
    is_hard = ((masks == 0) | (masks == 1)).all((1, 2))
    assert is_hard.mean() == pytest.approx(0.2, abs=0.08)
    areas = masks.mean((1, 2))
    assert areas.min() < 0.03
    assert areas.max() > 0.25
    assert (areas > 0.002).all()


@pytest.mark.parametrize(
    ("place", "row", "column"),
    [(regions.EYES, 0.43, 0.5), (regions.LEFT_EYE, 0.43, 0.375), (regions.MOUTH, 0.68, 0.5)],
)
def test_parts_of_the_face_lie_where_faces_have_them(
    place: regions.Ellipse, row: float, column: float
) -> None:
    draw = regions._ellipse(place)
    centres = [centre_of(draw(80, 80, np.random.default_rng(seed))) for seed in range(40)]
    rows, columns = zip(*centres, strict=True)
    assert np.mean(rows) == pytest.approx(row, abs=0.02)
    assert np.mean(columns) == pytest.approx(column, abs=0.02)
