"""The space in which heads are fitted: standardised features, or their principal components.

A head is linear in a detector's features. Thousands of features and a few examples are too many
numbers for too few pictures, and take too much room. The components in which the reference pictures
vary most say nearly as much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.floating]

MOST_COMPONENTS = 256
LEAST_SPREAD = 1e-3  # of a feature: one that hardly varies must not decide alone
LEAST_LENGTH = 1e-6  # of a component, as a share of the longest


class Space(NamedTuple):
    """A linear map from features [N, D] to coordinates [N, K]: (features - mean) / scale @ basis.

    `basis` [D, K] has K = 0 where the standardised features are the coordinates themselves.
    """

    mean: Floats  # [D]
    scale: Floats  # [D]
    basis: Floats  # [D, K]

    def project(self, features: Floats) -> Floats:
        """Coordinates [N, K] of features [N, D]."""
        standardised = (features - self.mean) / self.scale
        if not self.basis.shape[1]:
            return standardised
        return standardised @ self.basis

    def fold(self, weight: Floats, bias: float) -> tuple[Floats, float]:
        """Weight [D] and bias on features, from those on coordinates [K]."""
        standardised = weight
        if self.basis.shape[1]:
            standardised = self.basis @ weight
        on_features = standardised / self.scale
        of_mean = float(on_features @ self.mean)
        return on_features, bias - of_mean


def fit_space(features: Floats, weights: Floats, most: int = MOST_COMPONENTS) -> Space:
    """The space of features [N, D] with weights [N]: of at most `most` dimensions."""
    shares = weights / weights.sum()
    mean = shares @ features
    centred = features - mean
    variance = shares @ centred**2
    spread = np.sqrt(variance)
    mean_spread = spread.mean() or 1.0
    scale = np.maximum(spread, LEAST_SPREAD * mean_spread)
    standardised = centred / scale
    n, size = standardised.shape
    basis = np.zeros((size, 0))
    if size > most:
        roots = np.sqrt(shares)
        weighted = roots[:, None] * standardised
        basis = _principal_components(weighted, min(most, n))
    # The precision in which they are stored, so that heads fit what is read again.
    return Space(
        mean=mean.astype(np.float32),
        scale=scale.astype(np.float32),
        basis=basis.astype(np.float16),
    )


def _principal_components(columns: Floats, count: int) -> Floats:
    """The directions [D, count] in which rows [N, D] vary most, of length 1."""
    # From the products of pictures: there are fewer pictures than features.
    products = columns @ columns.T
    values, vectors = np.linalg.eigh(products)
    falling = np.argsort(-values)
    largest = falling[:count]
    directions = columns.T @ vectors[:, largest]
    lengths = np.linalg.norm(directions, axis=0)
    # Beyond the rank, directions are rounding errors, and no longer at right angles to the others.
    has_length = lengths > LEAST_LENGTH * lengths.max()
    directions = directions[:, has_length]
    components: Floats = directions / lengths[has_length]
    return components
