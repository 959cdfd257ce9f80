"""A detector's results on the test images, saved so that they are computed only once."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.data.cache import ImageArray
from fauxlab.data.manifest import Manifest
from fauxlab.data.tables import read_table
from fauxlab.errors import LabError
from fauxlab.evaluation.detection import report_on
from fauxlab.evaluation.predicting import predict_decisions
from fauxlab.io.reading import read_text
from fauxlab.io.text import csv_line, printable, replace_file
from fauxlab.models.pretrained import Detector
from fauxlab.records import DetectionReport

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESULTS = "evaluation.json"
SCORES = "scores.csv"
COLUMNS = ("path", "label", "generator", "source", "group", "score")
LABELS = ("real", "fake")


def evaluate_and_save(detector: Detector, images: ImageArray, folder: Path) -> DetectionReport:
    """Evaluate a detector on `images`; `folder` gets the scores (CSV) and the results (JSON).

    Results that the folder holds already are returned, if they are of the same detector and images
    and have the present schema.
    """
    saved = _read_results(folder / RESULTS)
    has_scores = (folder / SCORES).is_file()
    if saved and has_scores and _is_current(saved, detector, images.manifest):
        return saved
    scores, decided = predict_decisions(detector, images)
    report = report_on(detector, images, scores, decided)
    folder.mkdir(parents=True, exist_ok=True)
    _write_scores(folder / SCORES, images.manifest, scores)
    replace_file(folder / RESULTS, report.model_dump_json(indent=1) + "\n")
    return report


def read_scores(folder: Path) -> NDArray[np.float64]:
    """The scores that `evaluate_and_save` wrote, in the order of the images."""
    path = folder / SCORES
    try:
        scores = [float(row["score"]) for row in read_table(path, ("score",))]
    except ValueError as error:
        raise LabError(
            f"{printable(path)} is damaged ({error}); delete {printable(folder)} to evaluate again"
        ) from None
    return np.array(scores)


def _read_results(path: Path) -> DetectionReport | None:
    """The results in a file; None where there are none that this version can read."""
    if path.exists():
        with suppress(LabError, ValueError):
            return DetectionReport.model_validate_json(read_text(path))
    return None


def _is_current(report: DetectionReport, detector: Detector, manifest: Manifest) -> bool:
    """Whether results are of this detector and these images, and of the present schema.

    An older schema can be read, but its figures may have been computed differently.
    """
    schema = DetectionReport.model_fields["schema_version"].default
    return (
        report.schema_version == schema
        and report.model_hash == detector.hash
        and report.data_hash == manifest.data_hash
    )


def _write_scores(path: Path, manifest: Manifest, scores: NDArray[np.float64]) -> None:
    lines = [csv_line(COLUMNS)]
    for row, score in zip(manifest.rows, scores.tolist(), strict=True):
        fields = (
            row.path,
            LABELS[row.label],
            row.generator,
            row.source,
            row.group,
            f"{score:.6g}",
        )
        lines.append(csv_line(fields))
    replace_file(path, "".join(lines))
