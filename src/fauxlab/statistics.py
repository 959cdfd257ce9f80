"""What a ranking is worth: areas, rates, and their intervals over groups.

All is computed from one table of weighted counts over the sorted scores, so that the bootstrap over
groups (whole groups drawn with replacement, Efron and Tibshirani, 1993, percentile intervals) is a
matrix product rather than a thousand passes. Label 1 (fake) is the positive class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.records import Interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Labels = NDArray[np.int64] | NDArray[np.bool_]

MIN_GROUPS = 10  # of each class; below this a bootstrap interval says nothing
MAX_CELLS = 20_000_000  # weights held at once: 160 MB


@dataclass(frozen=True)
class Counts:
    """Weighted counts of R replicates at each of K distinct scores, from the highest down: float
    [R, K] cumulative.
    """

    tp: Floats
    fp: Floats

    @classmethod
    def of(cls, labels: Labels, scores: Floats, weights: Floats) -> Counts:
        """From labels [N], scores [N] and weights [R, N]. Equal scores share one column."""
        order = np.argsort(-scores, kind="stable")
        ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
        sorted_weights = weights[:, order]
        fake = labels[order] == 1
        return cls(
            np.cumsum(np.where(fake, sorted_weights, 0), axis=1)[:, ends],
            np.cumsum(np.where(fake, 0, sorted_weights), axis=1)[:, ends],
        )

    def rates(self) -> tuple[Floats, Floats]:
        """True and false positive rates [R, K + 1], starting at 0."""
        start = np.zeros((len(self.tp), 1))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.hstack([start, self.tp / self.tp[:, -1:]]), np.hstack(
                [start, self.fp / self.fp[:, -1:]]
            )


def auc(counts: Counts) -> Floats:
    """Area under the ROC curve [R], ties counted half."""
    tpr, fpr = counts.rates()
    return np.sum(np.diff(fpr) * (tpr[:, 1:] + tpr[:, :-1]) / 2, axis=1)


def average_precision(counts: Counts) -> Floats:
    """Precision averaged over the recall steps [R], without interpolation."""
    tpr, fpr = counts.rates()
    with np.errstate(invalid="ignore", divide="ignore"):
        # Before the first image of weight, precision is 0/0 and its recall step is 0.
        precision = np.nan_to_num(counts.tp / (counts.tp + counts.fp))
    return np.sum(np.diff(tpr) * precision, axis=1) + 0 * fpr[:, -1]  # NaN where there are no reals


def eer(counts: Counts) -> Floats:
    """Equal error rate [R]: where the ROC curve, joined by straight lines, meets FPR = 1 - TPR."""
    tpr, fpr = counts.rates()
    gap = fpr - (1 - tpr)  # rises from -1 to 1
    k = np.argmax(gap >= 0, axis=1)
    r = np.arange(len(k))
    before, after = gap[r, k - 1], gap[r, k]
    share = np.divide(-before, after - before, out=np.zeros_like(before), where=after != before)
    # NaN where a class is missing
    return fpr[r, k - 1] + share * (fpr[r, k] - fpr[r, k - 1]) + 0 * tpr[:, -1]


def tpr_at_fpr(counts: Counts, most: float) -> Floats:
    """Highest true positive rate [R] of any threshold whose false positive rate is at most `most`."""
    tpr, fpr = counts.rates()
    return np.where(fpr <= most, tpr, 0 * tpr).max(axis=1) + 0 * fpr[:, -1]


def auc_interval(
    labels: Labels, scores: Floats, groups: Sequence[str], bootstrap: int = 1000, seed: int = 0
) -> Interval:
    """AUC with its 95 % interval over groups. Labels, scores and groups are [N]; None where a class
    is missing.
    """

    def measure(weights: Floats) -> dict[str, Floats]:
        return {"auc": auc(Counts.of(labels, scores, weights))}

    return with_intervals(
        measure, groups, labels, bootstrap, seed, {"auc": count_pairs(labels, groups)}
    )["auc"]


def auc_change(
    labels: Labels,
    before: Floats,
    after: Floats,
    groups: Sequence[str],
    bootstrap: int = 1000,
    seed: int = 0,
) -> Interval:
    """AUC of the scores `after` minus that of those `before` [N], paired: both over the same drawn
    groups.
    """

    def measure(weights: Floats) -> dict[str, Floats]:
        return {
            "change": auc(Counts.of(labels, after, weights))
            - auc(Counts.of(labels, before, weights))
        }

    return with_intervals(measure, groups, labels, bootstrap, seed)["change"]


def count_pairs(labels: Labels, groups: Sequence[str]) -> int:
    """Pairs of a fake and a real that use no group of a class twice: an AUC of 1 is that many wins
    of as many.
    """
    names = np.asarray(groups)
    return min(len(np.unique(names[labels == label])) for label in (0, 1))


def with_intervals(
    measure: Callable[[Floats], dict[str, Floats]],
    groups: Sequence[str],
    labels: Labels,
    bootstrap: int,
    seed: int,
    shares_of: Mapping[str, int] | None = None,
) -> dict[str, Interval]:
    """Each figure that `measure` gives for weights [R, N], with its percentile interval over drawn
    groups.

    `shares_of` names the figures that are shares, and of how many groups or pairs of groups: these
    have an exact bound where the bootstrap shows no spread.
    """
    unique, codes = np.unique(np.asarray(groups), return_inverse=True)
    n_groups = len(unique)
    point = {name: float(value[0]) for name, value in measure(np.ones((1, len(codes)))).items()}
    samples: dict[str, list[Floats]] = {name: [] for name in point}
    if (
        min((len(np.unique(codes[labels == label])) for label in np.unique(labels)), default=0)
        >= MIN_GROUPS
    ):
        rng = np.random.default_rng(seed)
        chunk = max(1, min(bootstrap, MAX_CELLS // max(len(codes), 1)))
        for start in range(0, bootstrap, chunk):
            drawn = rng.multinomial(
                n_groups, np.full(n_groups, 1 / n_groups), size=min(chunk, bootstrap - start)
            )
            with np.errstate(invalid="ignore", divide="ignore"):
                for name, value in measure(drawn[:, codes].astype(np.float64)).items():
                    samples[name].append(value)
    return {
        name: _interval(
            value, np.concatenate([np.zeros(0), *samples[name]]), (shares_of or {}).get(name, 0)
        )
        for name, value in point.items()
    }


def _interval(value: float, drawn: Floats, n: int) -> Interval:
    """`n` is the number of groups that the figure is a share of, 0 where it is none."""
    if not np.isfinite(value):
        return Interval(value=None)
    drawn = drawn[np.isfinite(drawn)]  # a draw without one of the classes has no ranking
    if not len(drawn):
        return Interval(value=value)
    low, high = np.percentile(drawn, [2.5, 97.5]).tolist()
    if low == high and value in (0.0, 1.0):
        # Drawing again cannot show what was never seen: the exact bound instead (Clopper and
        # Pearson, 1934), or none.
        if not n:
            return Interval(value=value)
        least = 0.025 ** (1 / n)
        low, high = (0.0, 1 - least) if value == 0 else (least, 1.0)
    return Interval(value=value, low=low, high=high)
