"""Squares cut out of pictures."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from fauxlab.io.limits import ImageError
from fauxlab.io.squares import TURNS, Square, cut_square

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)


@pytest.mark.parametrize("turn", TURNS)
def test_a_square_is_cut_and_turned_upright(turn: int) -> None:
    cut = cut_square(Image.fromarray(PIXELS), Square(10, 4, 20, turn))
    expected = np.rot90(PIXELS[4:24, 10:30], turn // 90)
    np.testing.assert_array_equal(np.asarray(cut), expected)


@pytest.mark.parametrize("place", [(-1, 0), (0, -1), (31, 0), (0, 11)])
def test_a_square_beyond_the_picture_is_refused(place: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match=r"20 pixels from \(.*\) on, reaches beyond .* of 50×30"):
        cut_square(Image.fromarray(PIXELS), Square(*place, 20))
