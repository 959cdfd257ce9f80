"""From a detector's figures to its decision: the score, the label, "uncertain" and "cannot tell".

A score in the uncertain band is "uncertain". A picture that is out of distribution, too blurred, or
in nearly one colour gets "cannot tell", whatever its score. `fauxlab.calibration` fits the limits,
the detector's `config.json` holds them, and `fauxlab.records.Verdict.decision` puts the answers
into a word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.bundle.config import DetectorConfig, Label


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
