"""The tables of the detector page: all that its template names, apart from figures and pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import tomli_w

from fauxlab.data.split import SPLITS
from fauxlab.evaluation.metrics import ECE_BINS
from fauxlab.pages.detector_results import (
    SUMMARY,
    TrainedDetector,
    collect_series,
    find_interval,
    list_generators,
    list_specialists,
    list_unified,
    mean,
    mean_scores,
    measure_forgetting,
)
from fauxlab.records import Interval
from fauxlab.statistics import MIN_GROUPS

# Heading → field of DetectionScores.
METRICS = {
    "accuracy": "accuracy",
    "macro F1": "macro_f1",
    "AUC": "auc",
    "average precision": "average_precision",
    "EER": "eer",
    "TPR at 1% FPR": "tpr_at_1_fpr",
    "TPR at 5% FPR": "tpr_at_5_fpr",
    "ECE": "ece",
}
Cell = tuple[Interval | None, bool]  # a figure, and whether it is the best of its row


def collect_facts(results: dict[str, Any], runs: list[TrainedDetector]) -> dict[str, Any]:
    """The template's values by name; `results` is what results.json holds."""
    joint = runs[-1]
    return {
        "data": results["data"],
        "counts": _count_rows(results["data"]),
        "splits": SPLITS,
        "generators": list_generators(runs),
        "summary": _summarise(runs),
        "means": mean_scores(runs),
        "forgetting": measure_forgetting,
        "metrics": METRICS,
        "specialists": list_specialists(runs),
        "tuned": [run for run in runs if run.part in ("sequential", "extended")],
        "joint": [run for run in runs if run.part == "joint"],
        "report_table": results["report_table"],
        "worst": _shorten_paths(results["worst"]),
        "test": joint.test,
        "recipe": joint.recipe,
        "recipes": [(run.name, tomli_w.dumps(run.recipe)) for run in runs],
        "code_version": results["code_version"],
        "environment": results["environment"],
        "find_interval": find_interval,
        "ece_bins": ECE_BINS,
        "min_groups": MIN_GROUPS,
    }


def _count_rows(data: dict[str, Any]) -> list[dict[str, Any]]:
    """Images by split for every generator, then every real source."""
    matched: dict[str, list[str]] = data["matched_reals"]
    rows = []
    all_counts: dict[str, dict[str, int]] = data["counts"]
    for name, reals in matched.items():
        counts = all_counts.get(name, {})
        row = _count_row(name, "fake", reals, counts)
        rows.append(row)
    for name, counts in all_counts.items():
        if name not in matched:
            source = name.removeprefix("real ")
            row = _count_row(source, "real", [], counts)
            rows.append(row)
    return rows


def _count_row(name: str, kind: str, reals: list[str], counts: dict[str, int]) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind,
        "reals": reals,
        "counts": [counts.get(split, 0) for split in SPLITS],
        "total": sum(counts.values()),
    }


def _summarise(runs: Sequence[TrainedDetector]) -> dict[str, Any]:
    """The headline table: by generator, then for their mean, a row of cells for each metric."""
    series = {}
    for heading, metric in SUMMARY.items():
        series[heading] = collect_series(runs, metric)
    generators = list_generators(runs)
    rows: list[tuple[str, list[list[Cell]]]] = []
    for i, name in enumerate(generators):
        groups = []
        for detectors in series.values():
            figures = [intervals[i] for intervals in detectors.values()]
            groups.append(_mark_best(figures))
        rows.append((name, groups))
    if len(generators) > 1:
        groups = []
        for detectors in series.values():
            means = [Interval(value=mean(intervals)) for intervals in detectors.values()]
            groups.append(_mark_best(means))
        rows.append(("mean", groups))
    return {
        "metrics": list(SUMMARY),
        "detectors": list(series["AUC"]),
        "rows": rows,
        "seen": _count_training_images(runs),
    }


def _mark_best(cells: Sequence[Interval | None]) -> list[Cell]:
    """Each figure with whether it is the best of them, to the three digits that are shown."""
    values: list[float | None] = []
    for cell in cells:
        if cell is None or cell.value is None:
            values.append(None)
        else:
            values.append(round(cell.value, 3))
    best = max((value for value in values if value is not None), default=None)
    marked = []
    for cell, value in zip(cells, values, strict=True):
        is_best = value is not None and value == best
        marked.append((cell, is_best))
    return marked


def _count_training_images(runs: Sequence[TrainedDetector]) -> list[str]:
    """Images seen in training by detector, the specialists as one range."""
    cells = []
    seen = {run.images_seen for run in list_specialists(runs).values()}
    if seen:
        ends = sorted({min(seen), max(seen)})
        words = [f"{images:,}" for images in ends]
        cells.append(" to ".join(words) + " each")
    for run in list_unified(runs):
        cells.append(f"{run.images_seen:,}")
    return cells


def _shorten_paths(worst: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The worst errors, their absolute paths from the folder that holds all of them.

    So the page does not name the writer's disk.
    """
    absolute = [item["path"] for item in worst if item["path"].startswith("/")]
    folders = [os.path.dirname(path) for path in absolute]
    common = os.path.commonpath(folders) if folders else ""
    shortened = []
    for item in worst:
        path = item["path"]
        if path.startswith("/"):
            path = path[len(common) :].lstrip("/")
        shortened.append({**item, "path": path})
    return shortened
