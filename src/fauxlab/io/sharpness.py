"""How sharp a picture is: the share of it that is lost at half its size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray


def measure_sharpness(pixels: NDArray[np.uint8]) -> float:
    """Sharpness of a square picture uint8 [3, side, side], from 0 (flat or blurred) to 1.

    The luma is halved in size and enlarged again. The root mean square of the difference is divided
    by the standard deviation of the luma itself. At 160 px, photographed faces are around 0.1, also
    when recompressed; enlarged from a quarter of the size they are at 0.01 to 0.02.
    """
    picture = Image.fromarray(pixels.transpose(1, 2, 0))
    grey = picture.convert("L")
    luma = np.asarray(grey, dtype=np.float32)
    deviation = float(luma.std())
    if deviation == 0:
        return 0.0
    side = len(luma)
    half_side = side // 2
    full = Image.fromarray(luma)
    half = full.resize((half_side, half_side), Image.Resampling.BICUBIC)
    enlarged = half.resize((side, side), Image.Resampling.BICUBIC)
    lost = luma - np.asarray(enlarged)
    mean_square = np.mean(lost**2)
    rms = float(np.sqrt(mean_square))
    return min(rms / deviation, 1.0)
