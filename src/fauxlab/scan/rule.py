"""From which scores on a model says what, and the error rates that it states, in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fauxlab.io.text import printable

if TYPE_CHECKING:
    from fauxlab.bundle.config import Calibration, DetectorConfig, LeftOut


def describe_rule(config: DetectorConfig) -> list[str]:
    """Lines: where scores become verdicts, and how often they err by the calibration."""
    fit = config.calibration
    scores = _describe_scores(config)
    if fit is None or fit.left_out is None or fit.false_alarm_rate is None:
        return [scores, _describe_rates(fit)]
    return [scores, _describe_stated(fit, fit.false_alarm_rate), describe_left_out(fit.left_out)]


def describe_left_out(left_out: LeftOut) -> str:
    """How the stated rate held on kinds of real photos that were left out."""
    n_kinds = len(left_out.called_fake)
    source, worst = left_out.worst
    return (
        f"of {n_kinds} kinds of real photos, each left out of the {left_out.of}: "
        f"{_percent(left_out.mean_called_fake)} called fake on average, {_percent(worst)} at worst "
        f"({printable(source)}), {_percent(left_out.mean_uncertain)} uncertain"
    )


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


def _describe_stated(fit: Calibration, rate: float) -> str:
    line = f"stated false-alarm rate: {_percent(rate)} of real photos"
    if fit.alpha is not None:
        line += f"; at most {_percent(fit.alpha)} of the fakes of known generators are called real"
    return line


def _percent(rate: float) -> str:
    return f"{100 * rate:.3g} %"
