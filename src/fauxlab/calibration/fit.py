"""Scores that mean something: calibrated probabilities, a threshold at a stated false-alarm rate,
an uncertain band.

All is fitted on the manifest's calibration split, which no weight was fitted and no checkpoint
chosen on. Threshold and band are order statistics of the scores, and calibration only stretches the
scores: it moves no score past another, so one split serves both without spoiling the guarantees.
They hold for a new group of pictures that is exchangeable with those of the split (drawn in the
same way, in any order as likely): on a camera, a compression or a generator that the split does not
hold they promise nothing. Label 1 (fake) is the positive class; a score is P(fake).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fauxlab.bundle.config import MOST_BIAS, TEMPERATURES, Calibration
from fauxlab.errors import LabError
from fauxlab.evaluation.detection import ECE_BINS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RIDGE = 1e-8  # decides where the pictures do not: all logits equal
SLACK = 1e-9  # 0.05 · 100 is 5, whatever binary fractions make of it


class Bin(NamedTuple):
    """One bar of a reliability diagram: mean score, share of fakes, and number of pictures."""

    score: float
    share: float
    n: int


def fit_calibration(
    logits: Floats,
    labels: NDArray[np.int64],
    weights: Floats | None = None,
    groups: Sequence[str] | None = None,
) -> Calibration:
    """Temperature and bias of P(fake) = sigmoid(logit / temperature + bias) by maximum likelihood.

    From logits, labels, weights (how many pictures each stands for; 1 by default) and groups, all
    [N]; the pictures of a class that share a group count as one. Each class weighs one half, so
    that the prior is 0.5 whatever the split's. Targets are smoothed as Platt (1999) did, (n + 1)/(n
    + 2) and 1/(n + 2) for n pictures of a class, so that separable classes give no more certainty
    than n pictures can. The temperature (Guo et al., 2017) keeps within TEMPERATURES: logits that
    rank the wrong way round get the highest. Raises LabError when a class is missing or a logit is
    not finite.
    """
    logits, labels = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    weights = np.ones(len(logits)) if weights is None else np.asarray(weights, dtype=np.float64)
    _check_logits(logits, labels)
    if groups is not None:
        weights = weights.copy()
        # a swap and the photo that it was made from may share a group; they are two pictures
        for label in (0, 1):
            weights[labels == label] *= _group_shares(np.asarray(groups)[labels == label])
    n = np.array([weights[labels == c].sum() for c in (0, 1)])
    targets = np.where(labels == 1, (n[1] + 1) / (n[1] + 2), 1 / (n[0] + 2))
    share = weights / (2 * n[labels])
    # Newton's steps on centred logits of unit spread: the sums stay well conditioned whatever the
    # network's scale.
    centre = float(share @ logits)
    spread = float(np.sqrt(share @ (logits - centre) ** 2)) or 1.0
    x = (logits - centre) / spread
    slope, offset = _fit_logistic(
        np.stack([x, np.ones_like(x)], axis=1), 0 * x, targets, share, [spread, 0.0]
    )
    within = float(np.clip(slope, spread / TEMPERATURES[1], spread / TEMPERATURES[0]))
    if within != slope:  # the loss is convex: on the bound lies the best of those within
        slope, (offset,) = (
            within,
            _fit_logistic(np.ones((len(x), 1)), within * x, targets, share, [0.0]),
        )
    bias = float(np.clip(offset - slope * centre / spread, -MOST_BIAS, MOST_BIAS))
    return Calibration(temperature=float(np.clip(spread / slope, *TEMPERATURES)), bias=bias)


def threshold_at_fpr(
    scores: Floats, rate: float, sources: Sequence[str], groups: Sequence[str] | None = None
) -> float:
    """The lowest threshold at which at most `rate` of every source's reals are called fake (score
    >= threshold).

    From the scores, sources and groups [N] of reals. Each source apart, the worst decides. Of n
    reals at most rate · (n + 1) - 1 may lie above, not rate · n: so a new real of that source,
    exchangeable with these, is called fake with probability at most `rate` (an order statistic, as
    in Vovk et al., 2005). Pictures of a group share one vote, and n is the number of groups. Raises
    LabError when a source has too few for that rate.
    """
    _check_rate("false-alarm rate", rate)
    names = np.asarray(sources)
    ids = np.arange(len(names)) if groups is None else np.asarray(groups)
    found = []
    for source in dict.fromkeys(sources):
        part = _Upper.of(scores[names == source], ids[names == source])
        found.append(part.bound(rate, f"real source {source!r}"))
    if not found:
        raise LabError(
            "there are no reals to set a threshold on; index some, with a calibration split"
        )
    return max(found)


def conformal_band(
    labels: NDArray[np.int64], scores: Floats, alpha: float, groups: Sequence[str] | None = None
) -> tuple[float, float]:
    """The uncertain scores [low, high) at error rate `alpha`: split-conformal sets, each class
    apart (Mondrian).

    A picture's set holds "fake" unless its score lies below all but `alpha` of the fakes', and
    "real" unless it lies above all but `alpha` of the reals' (Vovk et al., 2005; Sadinle et al.,
    2019; the correction, and groups, as in `threshold_at_fpr`). Below the band the set is {real},
    from `high` on {fake}, within it both or, where the classes leave a gap, neither. Guarantee: for
    each class, a new picture's set holds its true label with probability at least 1 - alpha, so at
    most `alpha` of a class is certain and wrong. On average over calibration splits, and only for
    pictures exchangeable with the split's: not on unseen generators, and not for each generator
    apart.

    Where the classes part so well that some scores would have an empty set, the rate is lowered to
    where the sets just meet, or else `alpha` of each class would be uncertain for nothing; sets
    only grow with that, so the guarantee stands. Raises LabError when a class has too few pictures
    for `alpha`.
    """
    _check_rate("alpha", alpha)
    ids = np.arange(len(labels)) if groups is None else np.asarray(groups)
    reals = _Upper.of(scores[labels == 0], ids[labels == 0])
    # the fakes' lower end is the upper end of -score
    fakes = _Upper.of(-scores[labels == 1], ids[labels == 1])

    def bounds(rate: float) -> tuple[float, float]:
        # A fake at the bound is still in the set, hence the step back that `bound` took past it.
        low = 0.0 - float(np.nextafter(fakes.bound(rate, "fakes"), -np.inf))
        return low, reals.bound(rate, "reals")

    low, high = bounds(alpha)
    if low <= high:
        return low, high
    rates = np.union1d(reals.rates, fakes.rates)
    rates = rates[
        (rates >= max(reals.rates[0], fakes.rates[0])) & (rates <= alpha + SLACK)
    ].tolist()
    # The last rate at which the two meet, and the first at which they part: whichever leaves fewer
    # pictures between.
    parted = bisect_left(rates, True, key=lambda rate: (b := bounds(rate))[0] > b[1])
    near = [(min(b), max(b)) for b in map(bounds, rates[max(parted - 1, 0) : parted + 1])]
    return min(near, key=lambda b: int(((scores >= b[0]) & (scores < b[1])).sum()))


def log_loss(labels: NDArray[np.int64], logits: Floats, weights: Floats) -> float:
    """Mean of -ln P(label) for P(fake) = sigmoid(logits), all [N]; exact where P rounds to 0 or 1."""
    return float(weights @ np.logaddexp(0, np.where(labels == 1, -logits, logits)) / weights.sum())


def reliability(
    labels: NDArray[np.int64], scores: Floats, bins: int = ECE_BINS, weights: Floats | None = None
) -> list[Bin]:
    """The bars of a reliability diagram over equal-width bins of the scores [N]; empty bins are
    left out.

    Score and share are means by `weights` [N] (1 by default), counts are of pictures.
    """
    weights = np.ones(len(labels)) if weights is None else weights
    place = np.minimum((scores * bins).astype(int), bins - 1)
    found = []
    for b in np.unique(place):
        inside = place == b
        score, share = (
            float(np.average(x[inside], weights=weights[inside])) for x in (scores, labels)
        )
        found.append(Bin(score, share, int(inside.sum())))
    return found


def _fit_logistic(
    columns: Floats, base: Floats, targets: Floats, weights: Floats, towards: Sequence[float]
) -> list[float]:
    """Coefficients [P] of least weighted cross-entropy for base [N] + columns [N, P], by Newton's
    method.
    """
    goal = np.array(towards)
    theta = np.zeros(len(goal))

    def loss(at: Floats) -> float:
        z = base + columns @ at
        return float(
            weights @ (np.logaddexp(0, z) - targets * z) + RIDGE / 2 * np.sum((at - goal) ** 2)
        )

    now = loss(theta)
    for _ in range(200):
        p = np.exp(-np.logaddexp(0, -(base + columns @ theta)))
        gradient = columns.T @ (weights * (p - targets)) + RIDGE * (theta - goal)
        curvature = (columns.T * (weights * p * (1 - p))) @ columns + RIDGE * np.eye(len(goal))
        step = np.linalg.solve(curvature, gradient)
        while loss(theta - step) > now and np.abs(step).max() > 1e-12:
            step /= 2
        theta = theta - step
        now = loss(theta)
        if np.abs(step).max() < 1e-10:
            break
    return theta.tolist()


@dataclass(frozen=True)
class _Upper:
    """The upper end of some values: `values` distinct and falling, `rates[i]` what a bound just
    above values[i] keeps.

    That is (votes above + 1) / (groups + 1), a group's pictures sharing one vote (Dunn et al.,
    2022; Lee et al., 2023).
    """

    values: Floats
    rates: Floats
    n: int

    @classmethod
    def of(cls, values: Floats, groups: NDArray[np.generic]) -> _Upper:
        votes = _group_shares(groups)
        n = len(np.unique(groups))
        distinct, codes = np.unique(-values, return_inverse=True)
        each = np.bincount(codes, votes, len(distinct))
        return cls(-distinct, (np.cumsum(each) - each + 1) / (n + 1), n)

    def bound(self, rate: float, name: str) -> float:
        """The lowest bound that a new value reaches or passes with probability at most `rate`."""
        i = int(np.searchsorted(self.rates, rate + SLACK, side="right")) - 1
        if i < 0:
            needed = ceil(1 / rate - SLACK) - 1
            raise LabError(
                f"a rate of {rate:g} cannot be promised from {self.n} group(s) of {name} in the calibration split, it "
                f"takes {needed}; index more pictures, or ask for a higher rate (--fpr, --alpha)"
            )
        if self.values[i] >= 1:
            raise LabError(
                f"{name}: more than {rate:g} of the pictures get the highest score there is, and no threshold spares "
                "them; ask for a higher rate (--fpr, --alpha), or train the model on more of them"
            )
        return float(np.nextafter(self.values[i], np.inf))


def _group_shares(groups: NDArray[np.generic]) -> Floats:
    """1 / size of its group for each picture [N]."""
    _, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return 1 / sizes[codes]


def _check_rate(name: str, rate: float) -> None:
    if not 0 < rate < 1:
        raise LabError(f"{name} {rate}: give a share between 0 and 1, as 0.05")


def _check_logits(logits: Floats, labels: NDArray[np.int64]) -> None:
    for label, name in enumerate(("real", "fake")):
        if not (labels == label).any():
            raise LabError(
                f"no {name} picture to calibrate on; the calibration split needs both real and fake ones"
            )
    if not np.isfinite(logits).all():
        raise LabError("the model gives no finite score for some pictures; train it again")
