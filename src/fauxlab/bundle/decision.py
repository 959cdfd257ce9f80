"""From a detector's figures to its decision: the score, the label, "uncertain", "cannot tell".

A score in the uncertain band is "uncertain". A picture that is out of distribution, too blurred, or
in nearly one colour gets "cannot tell", whatever its score. `fauxlab.calibration` fits the limits,
the detector's `config.json` holds them, and `fauxlab.records.Verdict.decision` puts the answers
into a word.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.errors import LabError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.bundle.config import (
        Calibration,
        DetectorConfig,
        Label,
        Manipulation,
        OperatingPoint,
    )

BLURRED = "too blurred or too small"
TINTED = "nearly one colour, as of a sepia filter"
UNLIKE = "unlike the faces that the model was made for"


def compute_scores(config: DetectorConfig, logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """P(fake) [N] from logits [N]: calibrated, or the plain sigmoid without a calibration."""
    # In single precision the most certain pictures would all get the same score.
    precise = logits.astype(np.float64)
    fit = config.calibration
    if fit is not None:
        precise = precise / fit.temperature + fit.bias
    with np.errstate(over="ignore"):  # e^710 is infinite, and the score rightly 0
        odds_of_real = np.exp(-precise)
        scores = 1 / (1 + odds_of_real)
    return np.asarray(scores, dtype=np.float64)


def decide(config: DetectorConfig, score: float) -> tuple[Label, bool]:
    """The label of a score P(fake), and whether the score is in the uncertain band."""
    label: Label = "fake" if score >= config.threshold else "real"
    band = config.band
    if band is None:
        return label, False
    low, high = band
    return label, low <= score < high


def name_manipulation(
    config: DetectorConfig, head_logits: NDArray[np.float32]
) -> Manipulation | None:
    """How a fake was manipulated, by the head with the highest logit [H]; None without heads."""
    if not config.heads or not len(head_logits):
        return None
    highest = int(np.argmax(head_logits))
    return config.heads[highest].manipulation


def at_rate(config: DetectorConfig, rate: float | None) -> DetectorConfig:
    """The config with threshold and band of one of its stated false-alarm rates.

    None leaves it as it is. Raises LabError on a rate that the config does not state.
    """
    fit = config.calibration
    if rate is None or (fit is not None and _is_same(rate, fit.false_alarm_rate)):
        return config
    if fit is not None:
        for point in fit.points:
            if _is_same(rate, point.rate):
                changed = _at_point(fit, point)
                return config.model_copy(
                    update={"calibration": changed, "threshold": point.threshold}
                )
    stated = ", ".join(f"{known:g}" for known in stated_rates(config)) or "none"
    raise LabError(
        f"the model states no false-alarm rate of {rate:g}; it states: {stated}; "
        "`fauxlab detector calibrate --also RATE` adds another"
    )


def stated_rates(config: DetectorConfig) -> list[float]:
    """The false-alarm rates that a scan may ask for; the default first."""
    fit = config.calibration
    if fit is None:
        return []
    rates = [point.rate for point in fit.points]
    if fit.false_alarm_rate is not None:
        rates.insert(0, fit.false_alarm_rate)
    return rates


def why_cannot_tell(
    config: DetectorConfig, distance: float, sharpness: float, tint: float
) -> str | None:
    """Why a picture at this distance, of this sharpness and tint gets no verdict; None if it does.

    Blur and tint come first, because they say more than the distance, which they raise.
    """
    if not sharp_enough(config, sharpness):
        return BLURRED
    if not has_colours(config, tint):
        return TINTED
    if not in_distribution(config, distance):
        return UNLIKE
    return None


def can_tell(config: DetectorConfig, distance: float, sharpness: float, tint: float) -> bool:
    """Whether a picture at this distance, of this sharpness and tint gets a verdict."""
    return why_cannot_tell(config, distance, sharpness, tint) is None


def in_distribution(config: DetectorConfig, distance: float) -> bool:
    """Whether a picture at this distance is like those of the fit; True without a limit."""
    return config.ood is None or distance <= config.ood.limit


def sharp_enough(config: DetectorConfig, sharpness: float) -> bool:
    """Whether a picture of this sharpness shows enough for a verdict; True without a limit."""
    if config.ood is None or config.ood.sharpness is None:
        return True
    return sharpness >= config.ood.sharpness


def has_colours(config: DetectorConfig, tint: float) -> bool:
    """Whether a picture of this tint shows more than one colour, or greys; True without a limit."""
    if config.ood is None or config.ood.tint is None:
        return True
    return tint <= config.ood.tint


def _at_point(fit: Calibration, point: OperatingPoint) -> Calibration:
    """The calibration with a further rate as its default."""
    changes: dict[str, object] = {
        "false_alarm_rate": point.rate,
        "low": point.low,
        "high": point.high,
        "left_out": point.left_out,
    }
    if point.alpha is not None:
        changes["alpha"] = point.alpha
    return fit.model_copy(update=changes)


def _is_same(rate: float, stated: float | None) -> bool:
    return stated is not None and math.isclose(rate, stated, rel_tol=1e-6)
