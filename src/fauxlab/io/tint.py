"""How near a picture is to one colour that is not grey: sepia, duotones, coloured light."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LEVELS = 64  # of brightness


def measure_tint(pixels: NDArray[np.uint8]) -> float:
    """Tint of a picture uint8 [3, H, W]: 0 for greys, about 1 to 3 for most photographs.

    In a toned picture the colour follows from the brightness. So the pixels are sorted by
    brightness. The tint is how far the mean colour of each level lies from grey, divided by how far
    the pixels of a level lie from its mean (plus 1, both of 255). A sepia print has a tint of 10
    and more, also where its lights burn out.
    """
    colours = pixels.reshape(3, -1).astype(np.float64)
    brightness = colours.mean(0)
    from_grey = colours - brightness
    levels = np.minimum(brightness * LEVELS / 256, LEVELS - 1).astype(np.int64)
    counts = np.bincount(levels, minlength=LEVELS)
    means = _sums_by_level(from_grey, levels) / np.maximum(counts, 1)
    total = np.sum(from_grey**2)
    of_means = np.sum(counts * means**2)
    n = len(brightness)
    toned = np.sqrt(of_means / n)
    others = np.sqrt(max(total - of_means, 0.0) / n)
    return float(toned / (others + 1))


def _sums_by_level(values: Floats, levels: NDArray[np.int64]) -> Floats:
    """Sums of values [3, N] over the pixels of each level: [3, LEVELS]."""
    sums = [np.bincount(levels, channel, LEVELS) for channel in values]
    return np.stack(sums)
