"""Odd pictures: the same for the same seed, each of its kind, and what they are drawn as."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.detector.ood_images import KINDS, draw_ood_image

from fauxlab.errors import LabError


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [32, 33, 128])
def test_each_repeats_and_differs_by_seed(kind: str, size: int) -> None:
    first = draw_ood_image(kind, size, 1)
    assert (first.shape, first.dtype) == ((3, size, size), np.uint8)
    assert np.array_equal(first, draw_ood_image(kind, size, 1))
    assert not np.array_equal(first, draw_ood_image(kind, size, 2))


def test_kinds_are_what_they_are_called() -> None:
    assert np.ptp(draw_ood_image("flat", 64, 0), axis=(1, 2)).tolist() == [0, 0, 0]
    board = draw_ood_image("checkerboard", 64, 0)
    assert len(np.unique(board.reshape(3, -1), axis=1).T) == 2
    # Neighbours along a row: nearly equal in a gradient, and between them all that a step from end
    # to end allows.
    steps = np.diff(draw_ood_image("gradient", 64, 3).astype(int), axis=2)
    assert np.abs(steps).max() <= 255 / 63 * np.sqrt(2) + 1
    rough, soft = (
        np.abs(np.diff(draw_ood_image(k, 64, 0).astype(int), axis=2)).mean()
        for k in ("noise", "blobs")
    )
    assert rough > 10
    assert soft < 5
    paper = draw_ood_image("text", 128, 0).astype(int)
    assert 200 < np.median(paper) < 256
    assert paper.min() < 120


def test_bad_requests() -> None:
    with pytest.raises(LabError, match="no odd picture 'sea'; there are flat"):
        draw_ood_image("sea", 64, 0)
    with pytest.raises(LabError, match="from 32 pixels on"):
        draw_ood_image("flat", 16, 0)
