"""Self-blends: a face that is still there, changed inside the mask and joined softly."""

from __future__ import annotations

import numpy as np

from fauxlab.datasets.toyfaces import draw, plan
from fauxlab.transforms.regions import face_mask
from fauxlab.transforms.self_blend import blend_batch


def faces(n: int, size: int = 96) -> np.ndarray:
    photos = plan(n)
    return np.stack([draw("wiki", photos, k, size).transpose(2, 0, 1) for k in range(n)])


def test_a_blend_is_its_picture_changed_in_part() -> None:
    pictures = faces(8)
    blended = blend_batch(pictures, range(8))
    assert blended.shape == pictures.shape
    assert blended.dtype == np.uint8
    np.testing.assert_array_equal(blended, blend_batch(pictures, range(8)))
    difference = np.abs(blended.astype(float) - pictures)
    assert 0.2 < difference.mean() < 25
    others = np.abs(blended[:, None].astype(float) - pictures[None]).mean((2, 3, 4))
    assert (others.argmin(1) == np.arange(8)).all(), "nearest to its own source"


def test_a_picture_of_one_colour_shows_the_mask() -> None:
    flat = np.full((1, 3, 64, 64), 128, np.uint8)
    touched = 0
    for seed in range(12):
        difference = np.abs(blend_batch(flat, [seed])[0].astype(int) - 128).max(0)
        corner, middle = difference[0, 0], difference[36, 32]
        touched += corner != middle
    assert touched >= 8, "inside and outside differ"


def test_masks_are_soft_lie_over_the_face_and_vary() -> None:
    masks = np.stack([face_mask(64, 64, np.random.default_rng(seed)) for seed in range(20)])
    assert masks.min() >= 0
    assert masks.max() <= 1
    assert (masks[:, 34, 32] > 0.9).all()
    assert (masks[:, 0, 0] < 0.1).all()
    assert ((masks > 0.05) & (masks < 0.95)).any((1, 2)).all()
    assert masks.mean((1, 2)).std() > 0.01
