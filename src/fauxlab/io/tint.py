"""How far a picture is from all greys and colours but one: sepia, duotones, coloured light."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def measure_tint(pixels: NDArray[np.uint8]) -> float:
    """Tint of a picture uint8 [3, H, W]: 0 for greys, about 1 to 3 for most photographs.

    The distance of its mean colour from grey, divided by how far its colours spread to the side of
    their main axis, which mostly leads from dark to bright (plus 1, both of 255). A sepia print has
    nearly no such spread and a tint of 10 and more; a grey picture has none either, but its mean
    colour is grey.
    """
    colours = pixels.reshape(3, -1).astype(np.float32)
    mean = colours.mean(1)
    distance = np.linalg.norm(mean - mean.mean())
    variances = np.linalg.eigvalsh(np.cov(colours))
    to_the_side = np.sqrt(max(variances[1], 0.0))
    return float(distance / (to_the_side + 1))
