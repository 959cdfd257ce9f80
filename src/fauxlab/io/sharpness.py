"""How sharp a picture is: what of it is lost at half its size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray


def measure_sharpness(pixels: NDArray[np.uint8]) -> float:
    """How much of a picture uint8 [3, side, side] is lost at half its size, 0 to 1: rms over the
    picture's own.

    Of its luma; 0 where that is flat. Faces of cameras at 160 px are around .1, recompressed ones
    too, at a quarter of the size .01 to .02.
    """
    luma = np.asarray(Image.fromarray(pixels.transpose(1, 2, 0)).convert("L"), dtype=np.float32)
    side = len(luma)
    half = Image.fromarray(luma).resize((side // 2, side // 2), Image.Resampling.BICUBIC)
    rest = luma - np.asarray(half.resize((side, side), Image.Resampling.BICUBIC))
    spread = float(luma.std())
    return min(float(np.sqrt(np.mean(rest**2))) / spread, 1.0) if spread else 0.0
