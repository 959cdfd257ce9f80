"""What is left of a detector's figures once pictures have been recompressed, resized, blurred or
cropped.

Each degradation of the protocol is laid on every picture, real or fake alike and without knowledge
of which, and the whole set is judged again. Changes of the AUC are paired: both figures are taken
over the same drawn groups, which tells a loss far below the width of either interval.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.errors import LabError
from fauxlab.evaluation.detection import detection_report, predict_scores
from fauxlab.records import DegradedScores, DetectionReport, Interval, RobustnessReport
from fauxlab.statistics import auc_change
from fauxlab.transforms.degradations import (
    DEGRADATIONS,
    degrade,
    list_degradations,
    name_degradation,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.bundle.detector import AnyDetector
    from fauxlab.data.cache import ImageArray

    Floats = NDArray[np.float64]
    Pixels = NDArray[np.uint8]

BLOCK = 128  # pictures degraded and scored together: 6 MB at 128 px


def robustness_report(
    detector: AnyDetector,
    images: ImageArray,
    kinds: Sequence[str] | None = None,
    *,
    bootstrap: int = 1000,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> RobustnessReport:
    """Judge a detector on pictures at its size as they are, then after each degradation of `kinds`
    (default: all).

    `progress` is called with the number of pictures just scored; there are `1 +
    len(list_degradations(kinds))` rounds over all. Scores one round at a time, a block of pictures
    in memory. Raises LabError on an unknown kind, and where there is no picture or the size is not
    the detector's.
    """
    steps = list_degradations(kinds)
    if not len(images):
        raise LabError("there is no image to evaluate on: this split of the manifest is empty")
    if images.size != detector.size:
        raise LabError(
            f"images of {images.size} px for a detector of {detector.size} px; load them at its size"
        )

    def judge(scores: Floats) -> DetectionReport:
        return detection_report(
            images.manifest,
            scores,
            model=detector.config.architecture,
            model_hash=detector.hash,
            threshold=detector.config.threshold,
            bootstrap=bootstrap,
            seed=seed,
        )

    rows = []
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        groups = [row.group for row in images.manifest.rows]
        clean_scores = _score(detector, images, lambda block: block, progress)
        for kind, level in steps:
            scores = _score(detector, images, partial(_degrade_block, pool, kind, level), progress)
            lost = auc_change(images.manifest.labels, clean_scores, scores, groups, bootstrap, seed)
            rows.append(_row(kind, level, judge(scores), lost))
    changes = [(row.auc_change.value, row.name) for row in rows if row.auc_change.value is not None]
    return RobustnessReport(
        clean=judge(clean_scores), degraded=rows, worst=min(changes)[1] if changes else None
    )


def _degrade_block(pool: ThreadPoolExecutor, kind: str, level: float, block: Pixels) -> Pixels:
    return np.stack([*pool.map(lambda pixels: degrade(pixels, kind, level), block)])


def _score(
    detector: AnyDetector,
    images: ImageArray,
    change: Callable[[Pixels], Pixels],
    progress: Callable[[int], None] | None,
) -> Floats:
    """P(fake) [N] of the changed pictures."""
    found = []
    for start in range(0, len(images), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(images)))
        part = replace(images.manifest, rows=images.manifest.rows[start : start + BLOCK])
        block = replace(
            images, manifest=part, pixels=change(images.take(rows)), slots=np.arange(len(rows))
        )
        found.append(predict_scores(detector, block))
        if progress:
            progress(len(rows))
    return np.concatenate(found)


def _row(kind: str, level: float, report: DetectionReport, change: Interval) -> DegradedScores:
    return DegradedScores(
        kind=kind,
        level=level,
        name=name_degradation(kind, level),
        stands_for=DEGRADATIONS[kind].stands_for,
        pooled=report.pooled,
        generators=report.generators,
        real_accuracy=report.real_accuracy,
        auc_change=change,
    )
