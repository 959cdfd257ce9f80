"""The thresholds of an adapted detector, at the false-alarm rates that its bundle states."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fauxlab.bundle.config import Calibration, OperatingPoint
from fauxlab.bundle.decision import compute_scores
from fauxlab.calibration.kinds import Kinds, bound_for_next_kind
from fauxlab.errors import LabError

if TYPE_CHECKING:
    from fauxlab.bundle.config import DetectorConfig


class Limits(NamedTuple):
    """The scores from which on verdicts are uncertain, fake, and certainly fake."""

    low: float
    threshold: float
    high: float


def choose_thresholds(
    config: DetectorConfig, reals: Kinds, rate: float
) -> tuple[Calibration, float]:
    """The calibration and the threshold at which these reals' joined logits keep all rates.

    `rate` becomes the default one. A further head can only raise a score. So no threshold falls
    that was there for the same rate, and the lower end of the band still holds. Raises LabError
    where the reals are too few for a rate.
    """
    fit = config.calibration or Calibration(temperature=1, bias=0)
    before = _limits_before(config, fit, rate)
    low, threshold, high = _raise(config, reals, rate, before)
    points = []
    for point in fit.points:
        if point.rate != rate:
            moved = _move(config, reals, point)
            points.append(moved)
    changes: dict[str, object] = {
        "false_alarm_rate": rate,
        "points": tuple(points),
        # Measured before, and not again.
        "ece_before": None,
        "ece_after": None,
        "left_out": None,
    }
    if fit.band is not None:
        changes |= {"low": low, "high": high}
    return fit.model_copy(update=changes), threshold


def _limits_before(config: DetectorConfig, fit: Calibration, rate: float) -> Limits:
    """The limits that the detector has at a rate; at a rate that it does not state, the band's."""
    for point in fit.points:
        if point.rate == rate:
            return Limits(point.low, point.threshold, point.high)
    low, high = fit.band or (0.0, 0.0)
    if rate == fit.false_alarm_rate:
        return Limits(low, config.threshold, high)
    return Limits(low, low, low)


def _raise(
    config: DetectorConfig,
    reals: Kinds,
    rate: float,
    before: Limits,
) -> Limits:
    logit = bound_for_next_kind(reals, rate)
    logits = np.array([logit])
    (score,) = compute_scores(config, logits).tolist()
    # Two logits can have one score: a real just below the threshold must not reach it.
    score = float(np.nextafter(score, np.inf))
    if score >= 1:
        raise LabError(
            f"more than {rate:g} of the real photos would get the highest score there is; ask for "
            "a higher rate (--rate), or give more examples"
        )
    threshold = max(score, before.threshold)
    high = max(before.high, threshold)
    return Limits(before.low, threshold, high)


def _move(config: DetectorConfig, reals: Kinds, point: OperatingPoint) -> OperatingPoint:
    before = Limits(point.low, point.threshold, point.high)
    _, threshold, high = _raise(config, reals, point.rate, before)
    changes = {"threshold": threshold, "high": high, "left_out": None}
    return point.model_copy(update=changes)
