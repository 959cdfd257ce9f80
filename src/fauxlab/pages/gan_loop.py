"""The loop on the GAN page: a detector before and after training with our own faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fauxlab.pages.detector_results import mean
from fauxlab.records import DetectionReport, DetectionScores, Interval

# Heading → field of DetectionScores.
SCORES = {"AUC": "auc", "accuracy": "accuracy", "TPR at 1% FPR": "tpr_at_1_fpr"}
TIMES = ("before", "after")
PLACES = ("own", "others")
Reports = dict[tuple[str, str], DetectionReport]


def read_loop(loop: dict[str, Any] | None) -> dict[str, Any] | None:
    """The detector on our own faces (first row) and on all others, before and after.

    None where the detector was not tested on any.
    """
    if not loop:
        return None
    reports = _read_reports(loop)
    if not reports:
        return None
    rows = []
    for place in PLACES:
        rows += _list_rows(reports, place)
    own = [row for row in rows if row["place"] == "own"]
    others = [row for row in rows if row["place"] == "others"]
    means = []
    for i in range(len(TIMES)):
        means.append(mean([row["cells"]["AUC"][i] for row in others]))
    return {
        "generator": loop.get("generator", "our own faces"),
        "model_hash": loop.get("model_hash", "unknown"),
        "threshold": next(iter(reports.values())).threshold,
        "scores": list(SCORES),
        "rows": rows,
        "own": own[0] if own else None,
        "means": means,
    }


def collect_loop_series(
    loop: Mapping[str, Any],
) -> dict[str, dict[str, list[Interval | None]]]:
    """The loop's scores as `draw_overview` takes them: score → time → an interval for each row."""
    series: dict[str, dict[str, list[Interval | None]]] = {}
    for heading in SCORES:
        series[heading] = {}
        for i, time in enumerate(TIMES):
            series[heading][time] = [row["cells"][heading][i] for row in loop["rows"]]
    return series


def _read_reports(loop: dict[str, Any]) -> Reports:
    """The results by time and place, as far as they are there."""
    reports = {}
    for time in TIMES:
        for place in PLACES:
            report = (loop.get(time) or {}).get(place)
            if report:
                reports[time, place] = DetectionReport.model_validate(report)
    return reports


def _list_rows(reports: Reports, place: str) -> list[dict[str, Any]]:
    """A row for each set of fakes at this place."""
    scores: dict[str, dict[str, DetectionScores]] = {}
    for time in TIMES:
        report = reports.get((time, place))
        for fakes in report.generators if report else []:
            scores.setdefault(fakes.name, {})[time] = fakes
    rows = []
    for name, by_time in scores.items():
        rows.append(_make_row(name, place, [by_time.get(time) for time in TIMES]))
    return rows


def _make_row(name: str, place: str, pair: Sequence[DetectionScores | None]) -> dict[str, Any]:
    """One set of fakes: for each score a pair (before, after), None where it was not tested."""
    known = next(scores for scores in pair if scores)
    cells: dict[str, list[Interval | None]] = {}
    for heading, metric in SCORES.items():
        cells[heading] = [getattr(scores, metric) if scores else None for scores in pair]
    return {
        "name": name,
        "place": place,
        "n_real": known.n_real,
        "n_fake": known.n_fake,
        "cells": cells,
        "fakes": [_fakes_called_fake(scores) for scores in pair],
        "reals": [_reals_called_fake(scores) for scores in pair],
    }


def _fakes_called_fake(scores: DetectionScores | None) -> float | None:
    if scores is None:
        return None
    counts = scores.confusion
    fakes = counts.fake_as_fake + counts.fake_as_real
    return counts.fake_as_fake / max(1, fakes)


def _reals_called_fake(scores: DetectionScores | None) -> float | None:
    if scores is None:
        return None
    counts = scores.confusion
    reals = counts.real_as_fake + counts.real_as_real
    return counts.real_as_fake / max(1, reals)
