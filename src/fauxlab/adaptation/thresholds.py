"""The thresholds of an adapted detector, at the false-alarm rates that its bundle states."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fauxlab.bundle.config import Calibration, OperatingPoint
from fauxlab.calibration.counts import groups_needed
from fauxlab.calibration.fit import threshold_at_fpr

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


class Reals(NamedTuple):
    """Scores [N] of real photos, and the kind and group of each."""

    scores: Floats
    kinds: NDArray[np.str_]
    groups: NDArray[np.int64]


def choose_thresholds(
    reals: Reals, fit: Calibration, rate: float, threshold: float
) -> tuple[Calibration, float]:
    """The calibration and the threshold at which these reals keep the stated rates.

    `rate` is the default one; `threshold` is the former one. A further head can only raise a score.
    So no threshold falls that is for the same rate, and the lower end of the band still holds.
    """

    def bound(of_rate: float, least: float) -> float:
        return max(bound_of_reals(reals, of_rate), least)

    is_same_rate = rate == fit.false_alarm_rate
    low = fit.low or 0.0
    new = bound(rate, threshold if is_same_rate else low)
    changes: dict[str, object] = {"false_alarm_rate": rate, "ece_before": None, "ece_after": None}
    if fit.high is not None and fit.alpha is not None:
        changes["high"] = max(bound(fit.alpha, fit.high), new)
    points = [_move(point, bound) for point in fit.points if point.rate != rate]
    changes["points"] = tuple(points)
    return fit.model_copy(update=changes), new


def _move(point: OperatingPoint, bound: Callable[[float, float], float]) -> OperatingPoint:
    threshold = bound(point.rate, point.threshold)
    changes = {"threshold": threshold, "high": max(point.high, threshold)}
    return point.model_copy(update=changes)


def bound_of_reals(reals: Reals, rate: float) -> float:
    """The lowest score that at most `rate` of the reals reach: pooled, and of each large kind.

    Raises LabError where there are too few groups in all.
    """
    groups = [str(group) for group in reals.groups]
    pooled = threshold_at_fpr(reals.scores, rate, ["all"] * len(groups), groups)
    bounds = [pooled]
    for kind in np.unique(reals.kinds):
        own = np.flatnonzero(reals.kinds == kind)
        own_groups = [groups[row] for row in own]
        if len(set(own_groups)) >= groups_needed(rate):
            names = ["one"] * len(own)
            bounds.append(threshold_at_fpr(reals.scores[own], rate, names, own_groups))
    return max(bounds)
