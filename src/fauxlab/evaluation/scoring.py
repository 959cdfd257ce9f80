"""All figures of one set of images: rankings, error rates and calibration, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.evaluation.metrics import (
    accuracy,
    balanced,
    confusion_counts,
    expected_calibration_error,
    expected_ece,
    macro_f1,
)
from fauxlab.records import Confusion, DetectionScores, Interval
from fauxlab.statistics import (
    Counts,
    auc,
    average_precision,
    count_pairs,
    eer,
    tpr_at_fpr,
    with_intervals,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Bools = NDArray[np.bool_]


def score_set(
    name: str,
    labels: Integers,
    scores: Floats,
    groups: Sequence[str],
    reals: list[str],
    threshold: float = 0.5,
    bootstrap: int = 1000,
    seed: int = 0,
) -> DetectionScores:
    """All figures of one set of images, with 95 % intervals over groups.

    Labels, scores and groups are [N]; `reals` are the sources of the real images.
    """
    called_fake = scores >= threshold

    def measure(weights: Floats) -> dict[str, Floats]:
        counts = Counts.of(labels, scores, weights)
        cells = confusion_counts(labels, called_fake, weights)
        return {
            "accuracy": accuracy(cells),
            "macro_f1": macro_f1(cells),
            "auc": auc(counts),
            "average_precision": average_precision(counts),
            "eer": eer(counts),
            "tpr_at_1_fpr": tpr_at_fpr(counts, 0.01),
            "tpr_at_5_fpr": tpr_at_fpr(counts, 0.05),
        }

    trials = _count_trials(labels, groups)
    figures = with_intervals(measure, groups, labels, bootstrap, seed, trials)
    confusion = _confusion(labels, called_fake)
    return DetectionScores(
        name=name,
        reals=reals,
        n_real=confusion.real_as_real + confusion.real_as_fake,
        n_fake=confusion.fake_as_real + confusion.fake_as_fake,
        n_groups=len(set(groups)),
        # No interval: chance raises this error, and raises it more in a drawn set.
        ece=Interval(value=_balanced_ece(labels, scores)),
        ece_expected=expected_ece(labels, scores, seed),
        confusion=confusion,
        **figures,
    )


def _count_trials(labels: Integers, groups: Sequence[str]) -> dict[str, int]:
    """Independent trials behind each figure that is a share; see `with_intervals`."""
    fake_groups = {group for group, label in zip(groups, labels, strict=True) if label}
    return {
        "accuracy": len(set(groups)),
        "auc": count_pairs(labels, groups),
        "tpr_at_1_fpr": len(fake_groups),
        "tpr_at_5_fpr": len(fake_groups),
    }


def _confusion(labels: Integers, called_fake: Bools) -> Confusion:
    cells = confusion_counts(labels, called_fake, np.ones((1, len(labels))))
    tn, fp, fn, tp = cells[0].astype(int).tolist()
    return Confusion(real_as_real=tn, real_as_fake=fp, fake_as_real=fn, fake_as_fake=tp)


def _balanced_ece(labels: Integers, scores: Floats) -> float | None:
    """The calibration error with both classes weighing one half; None where a class is missing."""
    if not 0 < labels.sum() < len(labels):
        return None
    weights = balanced(labels)[None]
    return float(expected_calibration_error(labels, scores, weights)[0])
