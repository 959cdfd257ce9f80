"""How a detector's figures change when pictures are recompressed, resized, blurred or cropped.

Each degradation changes every picture, real or fake, in the same way, and the whole set is scored
again. The change of the AUC is paired: both AUCs are over the same drawn groups. That shows a loss
far smaller than the width of either interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.errors import LabError
from fauxlab.evaluation.detection import report_on
from fauxlab.evaluation.predicting import predict_decisions
from fauxlab.processors import usable_processors
from fauxlab.records import DegradedScores, DetectionReport, Interval, RobustnessReport
from fauxlab.statistics import auc_change
from fauxlab.transforms.protocol import (
    DEGRADATIONS,
    degrade,
    list_degradations,
    name_degradation,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.bundle.detector import AnyDetector
    from fauxlab.data.cache import ImageArray
    from fauxlab.evaluation.subgroups import Grouping

    Pixels = NDArray[np.uint8]


def robustness_report(
    detector: AnyDetector,
    images: ImageArray,
    kinds: Sequence[str] | None = None,
    *,
    bootstrap: int = 1000,
    seed: int = 0,
    by: Sequence[Grouping] = (),
    progress: Callable[[int], None] | None = None,
) -> RobustnessReport:
    """Score pictures as they are, then after each degradation of `kinds` (by default all).

    `by` are columns whose values are looked at apart, on the pictures as they are. `progress` is
    called with the number of pictures just scored; all pictures are scored `1 +
    len(list_degradations(kinds))` times. Raises LabError on an unknown kind, where there is no
    picture, and where the pictures have another size than the detector's.

    >>> import fauxlab as fl
    >>> from fauxlab.data.cache import load_images
    >>> data = fl.Manifest.load("manifest.csv")  # doctest: +SKIP
    >>> detector = fl.Detector.from_pretrained("runs/latest/best")  # doctest: +SKIP
    >>> images = load_images(data.test, detector.size)  # doctest: +SKIP
    >>> print(fl.robustness_report(detector, images, ["jpeg", "blur"]).table())  # doctest: +SKIP
    """
    steps = list_degradations(kinds)
    _check_images(detector, images)

    labels = images.manifest.labels
    groups = images.manifest.groups.tolist()
    clean_scores, clean_decided = predict_decisions(detector, images, progress=progress)
    degraded = []
    with ThreadPoolExecutor(usable_processors()) as pool:
        for kind, level in steps:
            change = _degrade_in(pool, kind, level)
            scores, decided = predict_decisions(detector, images, change, progress)
            lost = auc_change(labels, clean_scores, scores, groups, bootstrap, seed)
            report = report_on(detector, images, scores, decided, (), bootstrap, seed)
            degraded.append(_degraded_scores(kind, level, report, lost))
    clean = report_on(detector, images, clean_scores, clean_decided, by, bootstrap, seed)
    return RobustnessReport(clean=clean, degraded=degraded, worst=_find_worst(degraded))


def _check_images(detector: AnyDetector, images: ImageArray) -> None:
    if not len(images):
        raise LabError("there is no image to evaluate on: this split of the manifest is empty")
    if images.size != detector.size:
        raise LabError(
            f"images of {images.size} px for a detector of {detector.size} px; load them at its "
            "size"
        )


def _degrade_in(pool: ThreadPoolExecutor, kind: str, level: float) -> Callable[[Pixels], Pixels]:
    """What degrades a batch of pictures uint8 [n, 3, size, size], several at once in threads."""

    def degrade_one(picture: Pixels) -> Pixels:
        return degrade(picture, kind, level)

    def degrade_batch(pixels: Pixels) -> Pixels:
        return np.stack([*pool.map(degrade_one, pixels)])

    return degrade_batch


def _degraded_scores(
    kind: str, level: float, report: DetectionReport, change: Interval
) -> DegradedScores:
    return DegradedScores(
        kind=kind,
        level=level,
        name=name_degradation(kind, level),
        stands_for=DEGRADATIONS[kind].stands_for,
        pooled=report.pooled,
        generators=report.generators,
        real_accuracy=report.real_accuracy,
        real_decisions=report.real_decisions,
        fake_decisions=report.fake_decisions,
        kind_means=report.kind_means,
        auc_change=change,
    )


def _find_worst(degraded: Sequence[DegradedScores]) -> str | None:
    """Name of the degradation that costs most pooled AUC; None where there is no AUC."""
    changes = []
    for scores in degraded:
        if scores.auc_change.value is not None:
            changes.append((scores.auc_change.value, scores.name))
    return min(changes)[1] if changes else None
