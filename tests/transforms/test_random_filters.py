"""Random filters: functions of picture and seed, in the shares that they state."""

from __future__ import annotations

import numpy as np
import pytest

from fauxlab.transforms import random_filters
from fauxlab.transforms.degradations import degrade_repeatably, filter_batch
from fauxlab.transforms.random_filters import PROCESSES, STRUCTURES, TONES, random_filter


@pytest.fixture
def picture() -> np.ndarray:
    """Colours and grain, uint8 [3, 24, 24]."""
    rng = np.random.default_rng(3)
    return rng.integers(40, 200, (3, 24, 24), dtype=np.uint8)


def test_each_is_a_function_of_picture_and_seed(picture: np.ndarray) -> None:
    before = picture.copy()
    seeds = list(range(120))
    many = np.broadcast_to(picture, (120, *picture.shape))
    found = filter_batch(many, seeds, workers=2)
    assert (found.shape, found.dtype) == (many.shape, np.uint8)
    assert np.array_equal(found[7], random_filter(picture, np.random.default_rng(7)))
    assert np.array_equal(picture, before)
    untouched = np.mean([np.array_equal(x, picture) for x in found])
    # .4 not toned × .8 not restructured × .75 not processed
    assert untouched == pytest.approx(0.24, abs=0.12)
    assert len({x.tobytes() for x in found}) > 70
    assert filter_batch(many[:0], []).shape == (0, *picture.shape)


@pytest.mark.parametrize("filters", [TONES, STRUCTURES, PROCESSES])
def test_every_filter_changes_pictures_within_its_levels(
    picture: np.ndarray, filters: tuple[random_filters.Filter, ...]
) -> None:
    for change in filters:
        found = [change(picture, np.random.default_rng(seed)) for seed in range(8)]
        assert all((x.shape, x.dtype) == (picture.shape, np.uint8) for x in found)
        differing = [x for x in found if not np.array_equal(x, picture)]
        assert len(differing) >= 7
        assert len({x.tobytes() for x in found}) >= 2


def test_calibration_sees_filters_too(picture: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    from fauxlab.transforms import degradations

    seen = []

    def note(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        seen.append(pixels)
        return pixels

    monkeypatch.setattr(degradations, "random_filter", note)
    degrade_repeatably(picture)
    assert len(seen) == 1
    assert np.array_equal(seen[0], picture)
