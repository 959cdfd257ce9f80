"""Statistics of detectors: rankings, error rates, intervals over groups, logistic regression.

All figures of a ranking come from one table of weighted counts over the sorted scores. A bootstrap
replicate is then a row of weights, and a thousand replicates are one matrix. Label 1 (fake) is the
positive class.

Intervals are written by hand because pictures come in groups (a person, a video, a source photo):
whole groups must be drawn. `scipy.stats.bootstrap` draws single rows and scikit-learn has no
intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.records import Interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Labels = NDArray[np.int64] | NDArray[np.bool_]
    Measure = Callable[[Floats], dict[str, Floats]]

MIN_GROUPS = 10  # of each class; with fewer, a bootstrap interval means nothing
MAX_CELLS = 20_000_000  # weights in memory at once: 160 MB
TAIL = 0.025  # probability on each side of a 95 % interval
PERCENTILES = [2.5, 97.5]

NEWTON_STEPS = 200
SMALL_STEP = 1e-10  # of every coefficient: the fit has converged
LEAST_STEP = 1e-12  # below this, halving a step changes no loss that floats can show


@dataclass(frozen=True)
class Counts:
    """Weighted counts of fakes (`tp`) and reals (`fp`) at or above each distinct score.

    Both are float [R, K], cumulative: R replicates, K distinct scores from the highest down.
    """

    tp: Floats
    fp: Floats

    @classmethod
    def of(cls, labels: Labels, scores: Floats, weights: Floats) -> Counts:
        """Count from labels [N], scores [N] and weights [R, N]; equal scores share a column."""
        order = np.argsort(-scores, kind="stable")
        sorted_scores = scores[order]
        differs_from_next = np.diff(sorted_scores) != 0
        is_last = np.append(differs_from_next, True)
        last_of_score = np.flatnonzero(is_last)
        is_fake = labels[order] == 1
        sorted_weights = weights[:, order]
        fakes = np.where(is_fake, sorted_weights, 0)
        reals = np.where(is_fake, 0, sorted_weights)
        tp = np.cumsum(fakes, axis=1)
        fp = np.cumsum(reals, axis=1)
        tp = tp[:, last_of_score]
        fp = fp[:, last_of_score]
        return cls(tp, fp)

    def rates(self) -> tuple[Floats, Floats]:
        """True and false positive rates [R, K + 1], starting at 0; NaN for a missing class."""
        all_fakes = self.tp[:, -1:]
        all_reals = self.fp[:, -1:]
        with np.errstate(invalid="ignore", divide="ignore"):
            tpr = self.tp / all_fakes
            fpr = self.fp / all_reals
        start = np.zeros_like(all_fakes)
        tpr = np.hstack([start, tpr])
        fpr = np.hstack([start, fpr])
        return tpr, fpr


def auc(counts: Counts) -> Floats:
    """Area under the ROC curve [R]; a tie counts one half."""
    tpr, fpr = counts.rates()
    # Trapezia between neighbouring points of the curve.
    widths = np.diff(fpr)
    left = tpr[:, :-1]
    right = tpr[:, 1:]
    areas = widths * (left + right) / 2
    return areas.sum(axis=1)


def auc_between(high: Floats, low: Floats) -> float:
    """Share of pairs of values from `high` [N] and `low` [M] with `high` above; ties count half."""
    order = np.sort(low)
    below = np.searchsorted(order, high, "left")
    up_to = np.searchsorted(order, high, "right")
    pairs_won = (below + up_to) / 2
    mean_won = pairs_won.mean()
    return float(mean_won / len(low))


def average_precision(counts: Counts) -> Floats:
    """Precision averaged over the steps of recall [R], without interpolation."""
    tpr, fpr = counts.rates()
    called_fake = counts.tp + counts.fp
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = counts.tp / called_fake
    # Before the first image that has a weight, precision is 0/0 and recall does not change.
    precision = np.nan_to_num(precision)
    recall_steps = np.diff(tpr)
    areas = recall_steps * precision
    average = areas.sum(axis=1)
    return average + _nan_if_missing(fpr)


def eer(counts: Counts) -> Floats:
    """Equal error rate [R]: where the ROC curve, drawn with straight lines, has FPR = 1 - TPR."""
    tpr, fpr = counts.rates()
    fnr = 1 - tpr
    gap = fpr - fnr  # rises from -1 to 1
    rows = np.arange(len(gap))
    after = np.argmax(gap >= 0, axis=1)
    before = after - 1
    gap_before = gap[rows, before]
    gap_after = gap[rows, after]
    # How far along the line between the two points the gap is 0.
    rise = gap_after - gap_before
    rises = rise != 0
    share = np.zeros_like(rise)
    np.divide(-gap_before, rise, out=share, where=rises)
    fpr_before = fpr[rows, before]
    fpr_after = fpr[rows, after]
    fpr_step = fpr_after - fpr_before
    crossing = fpr_before + share * fpr_step
    return crossing + _nan_if_missing(tpr)


def tpr_at_fpr(counts: Counts, most: float) -> Floats:
    """Highest true positive rate [R] of a threshold whose false positive rate is up to `most`."""
    tpr, fpr = counts.rates()
    is_allowed = fpr <= most
    # 0 · NaN is NaN: where there are no fakes, there is no rate.
    allowed = np.where(is_allowed, tpr, 0 * tpr)
    highest = allowed.max(axis=1)
    return highest + _nan_if_missing(fpr)


def auc_interval(
    labels: Labels, scores: Floats, groups: Sequence[str], bootstrap: int = 1000, seed: int = 0
) -> Interval:
    """AUC with its 95 % interval over groups; labels, scores and groups are [N].

    The value is None where a class is missing.
    """

    def measure(weights: Floats) -> dict[str, Floats]:
        counts = Counts.of(labels, scores, weights)
        return {"auc": auc(counts)}

    pairs = {"auc": count_pairs(labels, groups)}
    intervals = with_intervals(measure, groups, labels, bootstrap, seed, pairs)
    return intervals["auc"]


def auc_change(
    labels: Labels,
    before: Floats,
    after: Floats,
    groups: Sequence[str],
    bootstrap: int = 1000,
    seed: int = 0,
) -> Interval:
    """AUC of the scores `after` minus that of `before` [N], with its 95 % interval.

    The comparison is paired: both AUCs of a replicate are over the same drawn groups.
    """

    def measure(weights: Floats) -> dict[str, Floats]:
        counts_before = Counts.of(labels, before, weights)
        counts_after = Counts.of(labels, after, weights)
        change = auc(counts_after) - auc(counts_before)
        return {"change": change}

    intervals = with_intervals(measure, groups, labels, bootstrap, seed)
    return intervals["change"]


def count_pairs(labels: Labels, groups: Sequence[str]) -> int:
    """Number of independent pairs of a fake and a real: no two pairs share a group of a class.

    An AUC of 1 means that the fake has the higher score in every one of these pairs.
    """
    names = np.asarray(groups)
    fake_groups = np.unique(names[labels == 1])
    real_groups = np.unique(names[labels == 0])
    return min(len(fake_groups), len(real_groups))


def with_intervals(
    measure: Measure,
    groups: Sequence[str],
    labels: Labels,
    bootstrap: int,
    seed: int,
    shares_of: Mapping[str, int] | None = None,
) -> dict[str, Interval]:
    """Each figure that `measure` gives for weights [R, N], with its 95 % interval over groups.

    Percentile intervals of a bootstrap that draws whole groups with replacement (Efron and
    Tibshirani, 1993). There is no interval where a class has fewer than MIN_GROUPS groups.
    `shares_of` names the figures that are shares, and of how many independent trials: these get an
    exact bound where all trials had the same result.
    """
    names = np.asarray(groups)
    _, codes = np.unique(names, return_inverse=True)
    unweighted = np.ones((1, len(names)))
    figures = measure(unweighted)
    samples: dict[str, list[Floats]] = {}
    for name in figures:
        samples[name] = [np.zeros(0)]
    if _fewest_groups(codes, labels) >= MIN_GROUPS:
        for weights in _draw_groups(codes, bootstrap, seed):
            with np.errstate(invalid="ignore", divide="ignore"):
                drawn = measure(weights)
            for name, values in drawn.items():
                samples[name].append(values)
    n_trials = shares_of or {}
    intervals = {}
    for name, values in figures.items():
        value = float(values[0])
        replicates = np.concatenate(samples[name])
        trials = n_trials.get(name, 0)
        intervals[name] = _interval(value, replicates, trials)
    return intervals


def fit_logistic(
    columns: Floats,
    targets: Floats,
    penalty: Floats,
    *,
    weights: Floats | None = None,
    offset: Floats | None = None,
    goal: Floats | None = None,
) -> Floats:
    """Coefficients [P] of a logistic regression on columns [N, P], by Newton's method.

    With z = offset + columns @ coefficients they make this sum as small as it can be:

        ∑ weights · (ln(1 + exp z) - targets · z) + ½ ∑ penalty · (coefficients - goal)²

    Targets [N] lie in 0 to 1 and need not be labels; weights [N] are 1, offset [N] and goal [P] are
    0 by default; penalty [P] is above 0, which makes the answer unique. Columns should have about
    the same scale. By hand, since scikit-learn takes neither soft targets nor an offset.
    """
    n, size = columns.shape
    if weights is None:
        weights = np.ones(n)
    if offset is None:
        offset = np.zeros(n)
    if goal is None:
        goal = np.zeros(size)
    objective = _LogisticLoss(columns, targets, penalty, weights, offset, goal)
    return objective.minimise()


@dataclass(frozen=True)
class _LogisticLoss:
    """The sum that `fit_logistic` minimises; the fields are its arguments."""

    columns: Floats
    targets: Floats
    penalty: Floats
    weights: Floats
    offset: Floats
    goal: Floats

    def minimise(self) -> Floats:
        """The coefficients [P] with the smallest sum, by Newton's method from 0."""
        coefficients = np.zeros_like(self.goal)
        loss = self.at(coefficients)
        for _ in range(NEWTON_STEPS):
            step = self.newton_step(coefficients)
            # A full step can overshoot where the classes lie far apart: halve it until the sum
            # falls.
            while self.at(coefficients - step) > loss:
                if _largest(step) <= LEAST_STEP:
                    break
                step /= 2
            coefficients = coefficients - step
            loss = self.at(coefficients)
            if _largest(step) < SMALL_STEP:
                break
        return coefficients

    def at(self, coefficients: Floats) -> float:
        """The sum at these coefficients [P]."""
        z = self.offset + self.columns @ coefficients
        losses = np.logaddexp(0, z) - self.targets * z
        squares = (coefficients - self.goal) ** 2
        penalties = self.penalty / 2 * squares
        total = self.weights @ losses + penalties.sum()
        return float(total)

    def newton_step(self, coefficients: Floats) -> Floats:
        """What Newton's method subtracts from these coefficients [P]: Hessian⁻¹ · gradient."""
        z = self.offset + self.columns @ coefficients
        p = np.exp(-np.logaddexp(0, -z))  # the sigmoid, exact at both ends
        residuals = self.weights * (p - self.targets)
        penalty_gradient = self.penalty * (coefficients - self.goal)
        gradient = self.columns.T @ residuals + penalty_gradient
        variance = self.weights * p * (1 - p)
        weighted_columns = self.columns.T * variance
        hessian = weighted_columns @ self.columns + np.diag(self.penalty)
        return np.linalg.solve(hessian, gradient)


def _largest(step: Floats) -> float:
    """The largest change of a coefficient in a step [P]."""
    return float(np.abs(step).max())


def _nan_if_missing(rates: Floats) -> Floats:
    """0 [R] where the class of these rates is there, NaN where it has no image."""
    return 0 * rates[:, -1]


def _fewest_groups(codes: Integers, labels: Labels) -> int:
    """Number of groups of the class that has fewest."""
    counts = []
    for label in np.unique(labels):
        own_groups = np.unique(codes[labels == label])
        counts.append(len(own_groups))
    return min(counts, default=0)


def _draw_groups(codes: Integers, bootstrap: int, seed: int) -> Iterator[Floats]:
    """Weights of `bootstrap` replicates, float [R, N], as many at once as memory allows.

    A picture's weight is how often its group was drawn; `codes` [N] number the groups.
    """
    rng = np.random.default_rng(seed)
    n_groups = len(np.unique(codes))
    chances = np.full(n_groups, 1 / n_groups)
    chunk = MAX_CELLS // max(len(codes), 1)
    chunk = min(bootstrap, chunk)
    chunk = max(1, chunk)
    for start in range(0, bootstrap, chunk):
        size = min(chunk, bootstrap - start)
        times_drawn = rng.multinomial(n_groups, chances, size=size)
        weights = times_drawn[:, codes]
        yield weights.astype(np.float64)


def _interval(value: float, drawn: Floats, trials: int) -> Interval:
    """The figure with its interval; `trials` is 0 where the figure is no share of trials."""
    if not np.isfinite(value):
        return Interval(value=None)
    drawn = drawn[np.isfinite(drawn)]  # a replicate without one of the classes has no ranking
    if not len(drawn):
        return Interval(value=value)
    low, high = np.percentile(drawn, PERCENTILES).tolist()
    has_spread = low < high
    if has_spread or value not in (0.0, 1.0):
        return Interval(value=value, low=low, high=high)
    # Drawing again from equal results gives equal results, and no spread. The exact bound of
    # Clopper and Pearson (1934) says what so many equal results can exclude.
    if not trials:
        return Interval(value=value)
    bound = TAIL ** (1 / trials)
    if value == 0:
        return Interval(value=value, low=0.0, high=1 - bound)
    return Interval(value=value, low=bound, high=1.0)
