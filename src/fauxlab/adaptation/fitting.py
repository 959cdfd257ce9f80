"""Fits a head: logistic regression of a few examples against many real photos.

The classes weigh the same, the kinds of real photos alike, and the examples alike. The known fakes
take no part: the head need not know them, since others do. All that is measured of a head is
measured with fits that had not seen the picture (cross-fitting).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fauxlab.statistics import fit_logistic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.floating]
    Bools = NDArray[np.bool_]
    Integers = NDArray[np.int64]

PENALTY = 1e-3  # of the squared weights, beside a mean loss; benchmarks/detector/adapt.py
FREE = 1e-8  # the penalty of the bias
# Up to so many examples are left out one at a time, more in FOLDS parts.
MOST_LEFT_OUT_SINGLY = 10
FOLDS = 5


class Line(NamedTuple):
    """A head on coordinates: logit = coordinates @ weight + bias."""

    weight: Floats  # [K]
    bias: float

    def logits(self, coordinates: Floats) -> Floats:
        """Logits [..., N] of coordinates [..., N, K]."""
        return coordinates @ self.weight + self.bias


@dataclass(frozen=True)
class Material:
    """What a head is fitted on: reals [N, K], and V views of each of n examples [V, n, K].

    `weights` [N] and `groups` [N] are of the reals. The first view is the example as it is.
    """

    reals: Floats
    weights: Floats
    groups: Integers
    views: Floats

    def fit(self, reals: Bools, examples: Bools) -> Line:
        """The head from these of the reals and these of the examples."""
        negatives = self.reals[reals]
        views = self.views[:, examples]
        positives = np.concatenate(list(views))
        rows = np.concatenate([negatives, positives])
        sizes = [len(negatives), len(positives)]
        targets = np.repeat([0.0, 1.0], sizes)

        # Each class weighs one half.
        of_reals = self.weights[reals]
        of_reals = of_reals / of_reals.sum()
        of_example = 1 / len(positives)
        of_examples = np.full(len(positives), of_example)
        weights = np.concatenate([of_reals, of_examples]) / 2

        ones = np.ones(len(rows))
        columns = np.column_stack([rows, ones])
        penalty = np.full(columns.shape[1], PENALTY)
        penalty[-1] = FREE
        coefficients = fit_logistic(columns, targets, penalty, weights=weights)
        *_, bias = coefficients.tolist()
        return Line(coefficients[:-1], bias)

    def fit_all(self) -> Line:
        """The head from all reals and all examples."""
        n_reals = len(self.reals)
        n_examples = self.views.shape[1]
        reals = np.full(n_reals, True)
        examples = np.full(n_examples, True)
        return self.fit(reals, examples)

    def left_out(self) -> tuple[Floats, Floats]:
        """Logits of reals [N] and examples [n], each of a head that was fitted without it."""
        as_they_are = self.views[0]
        of_reals = np.zeros(len(self.reals))
        of_examples = np.zeros(len(as_they_are))
        for reals, examples in self._folds():
            line = self.fit(~reals, ~examples)
            own_reals = self.reals[reals]
            own_examples = as_they_are[examples]
            of_reals[reals] = line.logits(own_reals)
            of_examples[examples] = line.logits(own_examples)
        return of_reals, of_examples

    def _folds(self) -> Iterator[tuple[Bools, Bools]]:
        """Which reals [N] and which examples [n] each fold leaves out; groups stay together."""
        n_examples = self.views.shape[1]
        count = FOLDS
        if n_examples <= MOST_LEFT_OUT_SINGLY:
            count = n_examples
        fold_of_example = np.arange(n_examples) % count

        names, codes = np.unique(self.groups, return_inverse=True)
        rng = np.random.default_rng(0)
        fold_of_group = rng.permutation(len(names)) % count
        fold_of_real = fold_of_group[codes]
        for fold in range(count):
            reals = fold_of_real == fold
            examples = fold_of_example == fold
            yield reals, examples


class Scaling(NamedTuple):
    """How a head's logits come on the scale that all heads share: (logit - centre) / scale."""

    centre: float
    scale: float

    def apply(self, logits: Floats) -> Floats:
        """The logits on the shared scale."""
        return (logits - self.centre) / self.scale


def match_scale(
    logits: Floats,
    others: Floats,
    weights: Floats,
    threshold: float,
    rate: float,
) -> Scaling:
    """The scaling at which a new head's logits of reals mean what those of the other heads mean.

    From the reals' logits [N] of the new head and [N, H] of the others on their scale. The median
    comes to lie where those of the others lie on average. What half of the stated false-alarm
    `rate` lies above comes to lie at the `threshold`, a joined logit: so the new head uses up at
    most half of the rate, and typical reals keep their scores.
    """
    medians = []
    for column in others.T:
        median = _quantile(column, weights, 0.5)
        medians.append(median)
    typical = np.mean(medians)
    spread = threshold - typical

    own_typical = _quantile(logits, weights, 0.5)
    own_high = _quantile(logits, weights, 1 - rate / 2)
    own_spread = own_high - own_typical
    scale = 1.0
    if spread > 0 and own_spread > 0:
        scale = float(own_spread / spread)
    centre = own_high - threshold * scale
    return Scaling(centre, scale)


def _quantile(values: Floats, weights: Floats, share: float) -> float:
    """The value that this share of values [N] with weights [N] does not pass."""
    order = np.argsort(values)
    rising = values[order]
    shares = np.cumsum(weights[order])
    wanted = share * shares[-1]
    place = int(np.searchsorted(shares, wanted))
    last = len(values) - 1
    place = min(place, last)
    return float(rising[place])
