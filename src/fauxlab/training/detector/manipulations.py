"""How each picture is manipulated, as numbers: what the two heads are trained by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fauxlab.data.manifest import Manifest

Manipulations = NDArray[np.int64]  # one of the numbers below for each picture
REAL = 0
MADE = 1
ALTERED = 2
NUMBERS = {"": REAL, "made": MADE, "altered": ALTERED}


def list_manipulations(manifest: Manifest) -> Manipulations:
    """REAL, MADE or ALTERED for each row."""
    numbers = [NUMBERS[row.manipulation] for row in manifest.rows]
    return np.array(numbers, dtype=np.int64)
