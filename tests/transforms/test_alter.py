"""Altered pictures: only a region differs, never too little, and others may lend it."""

from __future__ import annotations

import numpy as np
import pytest

from fauxlab.datasets.toyfaces import draw, plan
from fauxlab.transforms import alter
from fauxlab.transforms.alter import _match_colours, alter_batch


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    photos = plan(6)
    return np.stack([draw("wiki", photos, k, 80).transpose(2, 0, 1) for k in range(6)])


def test_each_is_a_function_of_seed_and_batch(faces: np.ndarray) -> None:
    before = faces.copy()
    altered = alter_batch(faces, range(6))
    assert (altered.shape, altered.dtype) == (faces.shape, np.uint8)
    assert np.array_equal(altered, alter_batch(faces, range(6)))
    assert np.array_equal(faces, before)
    change = np.abs(altered.astype(int) - faces)
    assert (change.max((1, 2, 3)) > 0).all()
    # Alone in a batch, a picture has nobody to borrow from.
    assert alter_batch(faces[:1], [3]).shape == (1, 3, 80, 80)


def test_regions_leave_the_rest_as_it_was(
    faces: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alter, "SELF_BLENDED", 0.0)
    monkeypatch.setattr(alter, "LEAST_CHANGE", 0.0)
    many = np.concatenate([faces] * 10)
    change = np.abs(alter_batch(many, range(60)).astype(int) - many).max(1)
    untouched = (change == 0).mean((1, 2))
    assert np.median(untouched) > 0.7
    assert (untouched > 0.2).all()


def test_hardly_changed_pictures_are_blended_instead(
    faces: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alter, "SELF_BLENDED", 0.0)
    monkeypatch.setattr(alter, "BORROWED", 0.0)
    monkeypatch.setattr(alter, "CHANGES", (lambda picture, rng: picture,))
    altered = alter_batch(faces, range(6))
    assert (np.abs(altered.astype(int) - faces).max((1, 2, 3)) > 3).all()


def test_borrowed_regions_come_from_another_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alter, "SELF_BLENDED", 0.0)
    monkeypatch.setattr(alter, "BORROWED", 1.0)
    monkeypatch.setattr(alter, "MATCHED", (0.0, 0.0))
    monkeypatch.setattr(alter, "OPACITY", (1.0, 1.0))
    levels = np.array([40, 120, 220], np.uint8)
    batch = np.broadcast_to(levels[:, None, None, None], (3, 3, 64, 64))
    altered = alter_batch(batch, [1, 2, 3])
    for k, picture in enumerate(altered):
        assert picture[0, 0, 0] == levels[k]
        others = set(levels.tolist()) - {int(levels[k])}
        assert {int(picture.max()), int(picture.min())} & others


def test_matched_colours_have_mean_and_contrast_of_the_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alter, "MATCHED", (1.0, 1.0))
    rng = np.random.default_rng(0)
    picture = rng.normal(150, 20, (3, 50, 50)).clip(0, 255).astype(np.uint8)
    other = rng.normal(80, 25, (3, 50, 50)).clip(0, 255).astype(np.uint8)
    mask = np.ones((50, 50), np.float32)
    matched = _match_colours(other, picture, mask, rng)
    assert matched.mean((1, 2)) == pytest.approx(picture.mean((1, 2)), abs=0.5)
    assert matched.std((1, 2)) == pytest.approx(picture.std((1, 2)), rel=0.06)
