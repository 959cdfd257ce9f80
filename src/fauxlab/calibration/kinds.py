"""Bounds on the logits of pictures of several kinds, each kind counted alike.

A kind is a source of real photos, or a generator of fakes. Kinds differ more from each other than
the pictures of one kind do, so a bound for the next kind follows from how far apart the known ones
lie. In a kind each group (a person, a video) counts alike.

The bounds are written by hand: libraries for conformal prediction take single pictures, and here
pictures come in groups and groups in kinds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.calibration.counts import (
    SLACK,
    check_groups,
    effective_groups,
    kind_weight,
)
from fauxlab.errors import LabError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Bools = NDArray[np.bool_]
    Names = Sequence[str] | NDArray[np.str_] | Integers


@dataclass(frozen=True)
class Kinds:
    """The logits [N] of pictures of one class, and the kind and group of each.

    `codes` [N] number the kinds, and `groups` [N] the groups. `weights` [N] sum to 1.
    """

    values: Floats
    codes: Integers
    groups: Integers
    names: tuple[str, ...]
    weights: Floats
    n_groups: int  # the effective number, see `effective_groups`

    @classmethod
    def of(cls, values: Floats, names: Names, groups: Names) -> Kinds:
        """From the logits, kinds and groups [N] of at least one picture. Raises LabError on none.

        A group counts once in each kind.
        """
        if not len(names):
            raise LabError("no pictures to set a threshold on; index some for calibration")
        kind_names = np.asarray(names, np.str_)
        group_names = np.asarray(groups, np.str_)
        logits = np.asarray(values, np.float64)
        kinds, codes = np.unique(kind_names, return_inverse=True)
        _, group_codes = np.unique(group_names, return_inverse=True)
        known = tuple(kinds.tolist())
        return cls._weighted(logits, codes, group_codes, known)

    @classmethod
    def _weighted(
        cls,
        values: Floats,
        codes: Integers,
        groups: Integers,
        names: tuple[str, ...],
    ) -> Kinds:
        """With the weights that follow from the kinds and groups."""
        counts = []
        for code in range(len(names)):
            own_groups = np.unique(groups[codes == code])
            counts.append(len(own_groups))
        weights = weigh_kinds(codes, groups)
        n_effective = effective_groups(counts)
        return cls(values, codes, groups, names, weights, n_effective)

    def only(self, name: str) -> Kinds:
        """The pictures of one kind."""
        return self.where(self.codes == self.names.index(name))

    def without(self, name: str) -> Kinds | None:
        """The pictures of the other kinds; None where there are no others."""
        if name not in self.names:
            return self
        if len(self.names) == 1:
            return None
        others = self.codes != self.names.index(name)
        return self.where(others)

    def share(self, hits: Bools) -> float:
        """The share of the pictures [N] that are hit."""
        # The weights sum to 1 but for rounding.
        return min(float(self.weights @ hits), 1.0)

    def means(self) -> tuple[Floats, Floats]:
        """The mean of each kind [K], and the weights [K] of the kinds, which sum to 1."""
        parts = self.weights * self.values
        sums = np.bincount(self.codes, parts)
        weights = np.bincount(self.codes, self.weights).astype(np.float64)
        means = sums / weights
        return means, weights

    def scale(self) -> tuple[float, float]:
        """Mean and deviation of all pictures."""
        mean = float(self.weights @ self.values)
        squares = (self.values - mean) ** 2
        variance = float(self.weights @ squares)
        deviation = variance**0.5
        return mean, deviation

    def where(self, rows: Bools) -> Kinds:
        """Some of the pictures [N], at least one."""
        old_codes = self.codes[rows]
        kept, codes = np.unique(old_codes, return_inverse=True)
        names = tuple(self.names[code] for code in kept)
        values = self.values[rows]
        groups = self.groups[rows]
        return Kinds._weighted(values, codes, groups, names)

    @classmethod
    def joined(cls, parts: Sequence[Kinds]) -> Kinds:
        """Several as one, whose kinds are all different."""
        names: tuple[str, ...] = ()
        values = []
        codes = []
        groups = []
        for part in parts:
            values.append(part.values)
            codes.append(part.codes + len(names))
            groups.append(part.groups)
            names += part.names
        return cls._weighted(
            np.concatenate(values),
            np.concatenate(codes),
            # Groups are counted in each kind, so equal numbers of two parts do no harm.
            np.concatenate(groups),
            names,
        )


def weigh_kinds(kinds: Names, groups: Names) -> Floats:
    """Weights [N] that sum to 1: kinds count alike, and in a kind its groups do.

    A kind of fewer than FULL_KIND groups counts less, in proportion.
    """
    kind_names = np.asarray(kinds)
    group_names = np.asarray(groups)
    weights = np.zeros(len(kind_names))
    for kind in np.unique(kind_names):
        own = kind_names == kind
        _, places, sizes = np.unique(
            group_names[own],
            return_inverse=True,
            return_counts=True,
        )
        n_groups = len(sizes)
        kind_share = kind_weight(n_groups)
        group_share = kind_share / n_groups
        weights[own] = group_share / sizes[places]
    total = weights.sum()
    return weights / total


def bound_on_average(kinds: Kinds, rate: float, name: str = "reals") -> float:
    """The lowest bound that at most `rate` of new pictures reach, on average over these kinds.

    Of n groups at most rate · (n + 1) - 1 may lie above, not rate · n: then a new picture,
    exchangeable with these, reaches the bound with probability at most `rate` (an order statistic,
    as in Vovk et al., 2005). The pictures of a group share one vote (Dunn et al., 2022). Raises
    LabError where there are too few groups.
    """
    return _upper_bound(kinds, kinds.values, rate, name)


def bound_for_next_kind(kinds: Kinds, rate: float) -> float:
    """The lowest bound that at most `rate` of a further kind's pictures can be expected to reach.

    A kind's pictures lie around the kind's mean, in a shape that all kinds share. The means are
    taken for draws of a normal distribution. So with K kinds the next mean lies below

        mean + t · deviation · √(1 + 1/K)

    with probability K / (K + 1), where t is that quantile of Student's distribution with K - 1
    degrees of freedom (the prediction interval of a random effect; Higgins et al., 2009). The
    probability is that with which the next of K + 1 exchangeable kinds is not the worst, and K
    kinds can promise no more. The quantile of the common shape comes on top. Unlike the worst
    kind's own quantile, this does not depend on the few highest pictures of one small kind.

    Of one kind, the bound is that kind's. It is never below `bound_on_average`. Raises LabError
    where there are too few groups.
    """
    on_average = bound_on_average(kinds, rate)
    if len(kinds.names) == 1:
        return on_average
    means, weights = kinds.means()
    residuals = kinds.values - means[kinds.codes]
    inside = _upper_bound(kinds, residuals, rate, "reals")

    centre = weights @ means
    squares = (means - centre) ** 2
    spread = weights @ squares
    n_kinds = 1 / float(weights @ weights)
    variance = spread * n_kinds / (n_kinds - 1)
    deviation = np.sqrt(variance)
    next_mean = centre + deviations_to_next(n_kinds) * deviation
    bound = float(next_mean + inside)
    return max(bound, on_average)


def deviations_to_next(n_kinds: float) -> float:
    """How many deviations above the mean of n kinds the next one lies at most, see above.

    Of two kinds this is the higher one.
    """
    n_kinds = max(n_kinds, 2.0)
    probability = n_kinds / (n_kinds + 1)
    normal = NormalDist().inv_cdf(probability)
    student = _student_quantile(normal, n_kinds - 1)
    widening = (1 + 1 / n_kinds) ** 0.5
    return student * widening


def _student_quantile(normal: float, freedom: float) -> float:
    """The quantile of Student's distribution at the probability of a normal quantile.

    The expansion of Abramowitz and Stegun (1964), 26.7.5; off by at most 1 % at one degree of
    freedom for the probabilities that occur here.
    """
    z = normal
    z3 = z**3
    z5 = z**5
    z7 = z**7
    terms = (
        z,
        (z3 + z) / 4,
        (5 * z5 + 16 * z3 + 3 * z) / 96,
        (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / 384,
    )
    quantile = 0.0
    for power, term in enumerate(terms):
        quantile += term / freedom**power
    return quantile


def _upper_bound(
    kinds: Kinds,
    values: Floats,
    rate: float,
    name: str,
) -> float:
    """The lowest bound that a new value reaches with probability at most `rate`; see above."""
    n = kinds.n_groups
    option = "--alpha" if name == "fakes" else "--rate"
    check_groups({name: n}, rate, option)
    falling, codes = np.unique(-values, return_inverse=True)
    shares = np.bincount(codes, kinds.weights, len(falling))
    votes = n * shares
    votes_above = np.cumsum(votes) - votes
    rates = (votes_above + 1) / (n + 1)
    n_allowed = np.searchsorted(rates, rate + SLACK, side="right")
    last_allowed = -falling[n_allowed - 1]
    return float(np.nextafter(last_allowed, np.inf))
