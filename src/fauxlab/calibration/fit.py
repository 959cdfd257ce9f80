"""The arithmetic of calibration: temperature and bias, threshold, uncertain band.

All is fitted on the manifest's calibration split, on which no weight was fitted and no checkpoint
chosen. Temperature and bias stretch and shift the logits, and so keep the order of the scores.
Threshold and band depend on this order only, so one split serves both, and their guarantees hold.

The guarantees are for a new group of pictures that is exchangeable with those of the split: drawn
in the same way. For a camera, a compression or a generator that the split does not have, they
promise nothing. Label 1 (fake) is the positive class; a score is P(fake).

Threshold and band are written by hand: libraries for conformal prediction take single pictures,
and here the pictures of a group (a person, a video) share one vote.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fauxlab.bundle.config import MOST_BIAS, TEMPERATURES, Calibration
from fauxlab.calibration.counts import SLACK, check_classes, check_groups, check_rate
from fauxlab.errors import LabError
from fauxlab.evaluation.metrics import ECE_BINS, score_bins
from fauxlab.statistics import fit_logistic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Groups = NDArray[np.generic]

RIDGE = 1e-8  # decides only where the pictures do not: all logits equal


class Bin(NamedTuple):
    """One bar of a reliability diagram: mean score, share of fakes, and number of pictures."""

    score: float
    share: float
    n: int


def fit_calibration(
    logits: Floats,
    labels: Integers,
    weights: Floats | None = None,
    groups: Sequence[str] | None = None,
) -> Calibration:
    """Temperature and bias of P(fake) = sigmoid(logit / temperature + bias), by maximum likelihood.

    Logits, labels, weights (how many pictures each stands for, by default 1) and groups are [N];
    the pictures of a class that share a group count as one. Each class weighs one half, so the
    prior is 0.5 whatever the split's. The temperature (Guo et al., 2017) stays within TEMPERATURES:
    logits with the wrong order get the highest. Raises LabError when a class is missing or a logit
    is not finite.
    """
    logits = np.asarray(logits, dtype=np.float64)
    labels = np.asarray(labels)
    _check_logits(logits, labels)
    weights = _picture_weights(labels, weights, groups)

    n_real = weights[labels == 0].sum()
    n_fake = weights[labels == 1].sum()
    targets = _smoothed_targets(labels, n_real, n_fake)
    class_sizes = np.where(labels == 1, n_fake, n_real)
    shares = weights / (2 * class_sizes)

    # Fitted to centred logits of unit spread: sums stay accurate whatever the network's scale.
    centre = float(shares @ logits)
    centred = logits - centre
    variance = shares @ centred**2
    spread = float(np.sqrt(variance)) or 1.0
    slope, offset = _fit_slope(centred / spread, targets, shares, spread)

    # Back to the scale of the logits: slope · (logit - centre) / spread + offset.
    temperature = np.clip(spread / slope, *TEMPERATURES)
    bias = offset - slope * centre / spread
    bias = np.clip(bias, -MOST_BIAS, MOST_BIAS)
    return Calibration(temperature=float(temperature), bias=float(bias))


def threshold_at_fpr(
    scores: Floats, rate: float, sources: Sequence[str], groups: Sequence[str] | None = None
) -> float:
    """The lowest threshold at which at most `rate` of the reals of each source are called fake.

    From the scores, sources and groups [N] of reals; a picture is called fake if its score is at
    least the threshold, and the worst source decides. Of n reals at most rate · (n + 1) - 1 may lie
    above, not rate · n: then a new real of that source, exchangeable with these, is called fake
    with probability at most `rate` (an order statistic, as in Vovk et al., 2005). The pictures of a
    group share one vote, and n is the number of groups. Raises LabError when a source has too few.
    """
    check_rate(rate, "--fpr")
    names = np.asarray(sources)
    group_ids = _group_ids(groups, len(names))
    thresholds = []
    for source in dict.fromkeys(sources):
        own = names == source
        tail = _UpperTail.of(scores[own], group_ids[own])
        threshold = tail.bound(rate, f"real source {source!r}", "--fpr")
        thresholds.append(threshold)
    if not thresholds:
        raise LabError(
            "there are no reals to set a threshold on; index some, with a calibration split"
        )
    return max(thresholds)


def conformal_band(
    labels: Integers, scores: Floats, alpha: float, groups: Sequence[str] | None = None
) -> tuple[float, float]:
    """The uncertain scores [low, high) at error rate `alpha`: split-conformal sets for each class.

    Each picture gets a prediction set, the labels that `alpha` does not rule out. At most `alpha`
    of fakes have a score so low that "fake" is left out of the set, and at most `alpha` of the
    reals a score so high that "real" is left out (Vovk et al., 2005; Sadinle et al., 2019; counted
    as in `threshold_at_fpr`). Below the band the set is {real}, from `high` on it is {fake}. Inside
    the band the set holds both labels or, where the classes leave a gap, neither.

    Guarantee: for each class (Mondrian), a new picture's set holds its true label with probability
    at least 1 - alpha, so at most `alpha` of a class is certain and wrong. This is on average over
    calibration splits, and only for pictures exchangeable with the split's: not for new generators,
    and not for each generator apart. Raises LabError when a class has too few pictures.
    """
    check_rate(alpha, "--alpha")
    group_ids = _group_ids(groups, len(labels))
    is_real = labels == 0
    is_fake = labels == 1
    reals = _UpperTail.of(scores[is_real], group_ids[is_real])
    # The lower tail of the fakes' scores is the upper tail of their negatives.
    fakes = _UpperTail.of(-scores[is_fake], group_ids[is_fake])

    low, high = _band_ends(reals, fakes, alpha)
    if low <= high:
        return low, high
    # The classes lie so far apart that scores between them have an empty set, and `alpha` of each
    # class would be uncertain for nothing. So lower the rate to where the two ends just meet. A
    # lower rate only makes sets larger, so the guarantee still holds.
    return _narrowest_band(scores, reals, fakes, alpha)


def log_loss(labels: Integers, logits: Floats, weights: Floats) -> float:
    """Mean of -ln P(label) for P(fake) = sigmoid(logits), all [N]; exact also near 0 and 1."""
    against = np.where(labels == 1, -logits, logits)
    losses = np.logaddexp(0, against)
    mean = weights @ losses / weights.sum()
    return float(mean)


def reliability(
    labels: Integers, scores: Floats, bins: int = ECE_BINS, weights: Floats | None = None
) -> list[Bin]:
    """The bars of a reliability diagram, over equal-width bins of the scores [N]; no empty ones.

    Score and share are means with `weights` [N] (by default 1); counts are of pictures.
    """
    if weights is None:
        weights = np.ones(len(labels))
    bin_numbers = score_bins(scores, bins)
    bars = []
    for number in np.unique(bin_numbers):
        inside = bin_numbers == number
        bin_weights = weights[inside]
        score = np.average(scores[inside], weights=bin_weights)
        share = np.average(labels[inside], weights=bin_weights)
        n = inside.sum()
        bars.append(Bin(float(score), float(share), int(n)))
    return bars


def _picture_weights(
    labels: Integers, weights: Floats | None, groups: Sequence[str] | None
) -> Floats:
    """How much each picture [N] counts: its weight, shared with its group."""
    if weights is None:
        weights = np.ones(len(labels))
    weights = np.array(weights, dtype=np.float64)  # a copy, which is changed below
    if groups is not None:
        # Per class: a swapped face and its source photo can share a group, and are two pictures.
        group_ids = np.asarray(groups)
        for label in (0, 1):
            own = labels == label
            weights[own] *= _group_shares(group_ids[own])
    return weights


def _smoothed_targets(labels: Integers, n_real: float, n_fake: float) -> Floats:
    """Targets [N] as Platt (1999) has them: for n pictures, (n + 1)/(n + 2) and 1/(n + 2).

    With targets 1 and 0, classes that do not overlap would get scores of exactly 1 and 0.
    """
    real_target = 1 / (n_real + 2)
    fake_target = (n_fake + 1) / (n_fake + 2)
    return np.where(labels == 1, fake_target, real_target)


def _fit_slope(x: Floats, targets: Floats, shares: Floats, spread: float) -> tuple[float, float]:
    """Slope and offset of the best sigmoid(slope · x + offset), within the allowed temperatures.

    A slope of `spread` is a temperature of 1.
    """
    ones = np.ones_like(x)
    columns = np.stack([x, ones], axis=1)
    penalty = np.full(2, RIDGE)
    goal = np.array([spread, 0.0])
    coefficients = fit_logistic(columns, targets, penalty, weights=shares, goal=goal)
    slope, offset = coefficients.tolist()
    coldest, hottest = TEMPERATURES
    allowed = float(np.clip(slope, spread / hottest, spread / coldest))
    if allowed == slope:
        return slope, offset
    # The loss is convex, so the best allowed slope lies on the bound; fit the offset again for it.
    column = ones[:, None]
    penalty = np.full(1, RIDGE)
    coefficients = fit_logistic(column, targets, penalty, weights=shares, offset=allowed * x)
    (offset,) = coefficients.tolist()
    return allowed, offset


@dataclass(frozen=True)
class _UpperTail:
    """How many of some values lie above a bound, in votes: each group has one vote.

    `values` are distinct and falling; a bound just above values[i] is reached or passed by a new
    value with probability at most rates[i] = (votes above + 1) / (groups + 1) (Dunn et al., 2022;
    Lee et al., 2023).
    """

    values: Floats
    rates: Floats
    n_groups: int

    @classmethod
    def of(cls, values: Floats, groups: Groups) -> _UpperTail:
        n_groups = len(np.unique(groups))
        falling, codes = np.unique(-values, return_inverse=True)
        votes = np.bincount(codes, _group_shares(groups), len(falling))
        votes_above = np.cumsum(votes) - votes
        rates = (votes_above + 1) / (n_groups + 1)
        return cls(-falling, rates, n_groups)

    def bound(self, rate: float, name: str, option: str) -> float:
        """The lowest bound that a new value reaches or passes with probability at most `rate`."""
        check_groups({name: self.n_groups}, rate, option)
        n_allowed = np.searchsorted(self.rates, rate + SLACK, side="right")
        last_allowed = self.values[n_allowed - 1]
        if last_allowed >= 1:
            raise LabError(
                f"{name}: more than {rate:g} of the pictures get the highest score there is, and "
                f"no threshold spares them; ask for a higher rate ({option}), or train the model "
                "on more of them"
            )
        return float(np.nextafter(last_allowed, np.inf))


def _band_ends(reals: _UpperTail, fakes: _UpperTail, rate: float) -> tuple[float, float]:
    """The lowest score of the fakes and the highest of the reals at this rate.

    The first is above the second where the classes lie far apart.
    """
    fake_bound = fakes.bound(rate, "fakes", "--alpha")
    # A fake exactly at the bound keeps "fake" in its set: undo the step that `bound` took.
    lowest_fake = np.nextafter(fake_bound, -np.inf)
    low = 0.0 - float(lowest_fake)  # subtracted from 0, so that 0 does not become -0
    high = reals.bound(rate, "reals", "--alpha")
    return low, high


def _narrowest_band(
    scores: Floats, reals: _UpperTail, fakes: _UpperTail, alpha: float
) -> tuple[float, float]:
    """The band where the two ends meet as the rate falls from `alpha`."""

    def are_parted(rate: float) -> bool:
        low, high = _band_ends(reals, fakes, rate)
        return low > high

    def count_uncertain(band: tuple[float, float]) -> int:
        low, high = band
        inside = (scores >= low) & (scores < high)
        return int(inside.sum())

    rates = _shared_rates(reals, fakes, alpha)
    first_parted = bisect_left(rates, True, key=are_parted)
    last_met = max(first_parted - 1, 0)
    # Two bands are possible: at the last rate where the ends meet, and at the next rate, where they
    # part. Take the band that leaves fewer pictures uncertain.
    bands = []
    for rate in rates[last_met : first_parted + 1]:
        ends = _band_ends(reals, fakes, rate)
        bands.append((min(ends), max(ends)))
    return min(bands, key=count_uncertain)


def _shared_rates(reals: _UpperTail, fakes: _UpperTail, alpha: float) -> list[float]:
    """The rates up to `alpha` at which a bound changes, and which both classes can promise."""
    rates = np.union1d(reals.rates, fakes.rates)
    lowest = max(reals.rates[0], fakes.rates[0])
    can_promise = rates >= lowest
    is_wanted = rates <= alpha + SLACK
    possible = can_promise & is_wanted
    return rates[possible].tolist()


def _group_ids(groups: Sequence[str] | None, n: int) -> Groups:
    """The group of each of n pictures; without groups, each picture is a group of its own."""
    if groups is None:
        return np.arange(n)
    return np.asarray(groups)


def _group_shares(groups: Groups) -> Floats:
    """1 / size of its group for each picture [N]."""
    _, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return 1 / sizes[codes]


def _check_logits(logits: Floats, labels: Integers) -> None:
    check_classes(["fakes" if label else "reals" for label in np.unique(labels)])
    if not np.isfinite(logits).all():
        raise LabError("the model gives no finite score for some pictures; train it again")
