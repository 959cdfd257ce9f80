"""From stored pixels to the numbers that a network takes, in NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def to_floats(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pixels uint8 of any shape to float32 in [-1, 1]."""
    scaled = pixels.astype(np.float32)
    scaled /= 127.5
    scaled -= 1
    return scaled
