"""From which scores on a model says what, and the error rates that it states, in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fauxlab.bundle.config import Calibration, DetectorConfig


def describe_rule(config: DetectorConfig) -> list[str]:
    """Two lines: where scores become verdicts, and how often they err by the calibration."""
    return [_describe_scores(config), _describe_rates(config.calibration)]


def _describe_scores(config: DetectorConfig) -> str:
    threshold = config.threshold
    low, high = config.band or (threshold, threshold)
    if low == high:
        return f"threshold {threshold:.3f}: real below it, fake from it on"
    return (
        f"threshold {threshold:.3f}: real below {low:.3f}, "
        f"uncertain from {low:.3f} to below {high:.3f}, fake from {high:.3f} on"
    )


def _describe_rates(calibration: Calibration | None) -> str:
    if calibration is None:
        return "not calibrated: scores are raw, and no error rate is stated"
    of_fakes = calibration.alpha
    # The band promises something of reals, too. Certain fakes lie above it, and keep both promises.
    promises = [rate for rate in (calibration.false_alarm_rate, of_fakes) if rate is not None]
    if not promises:
        return "its calibration states no error rate"
    rates = f"{_percent(min(promises))} of the real ones are called fake"
    if of_fakes is not None:
        rates += f", and {_percent(of_fakes)} of the fakes real"
    return f"of pictures like those of its calibration at most {rates}"


def _percent(rate: float) -> str:
    return f"{100 * rate:g} %"
