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
Row = dict[str, Any]


def read_loop(loop: dict[str, Any] | None) -> dict[str, Any] | None:
    """The detector on our own faces (first row) and on all others, before and after.

    None where the detector was not tested on any.
    """
    if not loop:
        return None
    reports = _read_reports(loop)
    if not reports:
        return None
    own = _list_rows(reports, "own")
    others = _list_rows(reports, "others")
    any_report = next(iter(reports.values()))
    return {
        "generator": loop.get("generator", "our own faces"),
        "model_hash": loop.get("model_hash", "unknown"),
        "threshold": any_report.threshold,
        "scores": list(SCORES),
        "rows": [*own, *others],
        "own": own[0] if own else None,
        "means": _mean_aucs(others),
    }


def _mean_aucs(rows: Sequence[Row]) -> list[float | None]:
    """The mean AUC over all rows, before and after."""
    pairs = [row["cells"]["AUC"] for row in rows]
    means = []
    for i in range(len(TIMES)):
        aucs = [pair[i] for pair in pairs]
        means.append(mean(aucs))
    return means


def collect_loop_series(
    loop: Mapping[str, Any],
) -> dict[str, dict[str, list[Interval | None]]]:
    """The loop's scores as `draw_overview` takes them: score → time → an interval for each row."""
    series = {}
    for heading in SCORES:
        cells = [row["cells"][heading] for row in loop["rows"]]
        by_time = {}
        for i, time in enumerate(TIMES):
            by_time[time] = [pair[i] for pair in cells]
        series[heading] = by_time
    return series


def _read_reports(loop: dict[str, Any]) -> Reports:
    """The results by time and place, as far as they are there."""
    reports = {}
    for time in TIMES:
        places = loop.get(time) or {}
        for place in PLACES:
            saved = places.get(place)
            if saved:
                report = DetectionReport.model_validate(saved)
                reports[time, place] = report
    return reports


def _list_rows(reports: Reports, place: str) -> list[Row]:
    """A row for each set of fakes at this place."""
    scores: dict[str, dict[str, DetectionScores]] = {}
    for time in TIMES:
        report = reports.get((time, place))
        if report is None:
            continue
        for fakes in report.generators:
            by_time = scores.setdefault(fakes.name, {})
            by_time[time] = fakes
    rows = []
    for name, by_time in scores.items():
        pair = [by_time.get(time) for time in TIMES]
        rows.append(_make_row(name, place, pair))
    return rows


def _make_row(name: str, place: str, pair: Sequence[DetectionScores | None]) -> Row:
    """One set of fakes: for each score a pair (before, after), None where it was not tested."""
    known = next(scores for scores in pair if scores)
    cells: dict[str, list[Interval | None]] = {}
    for heading, metric in SCORES.items():
        cells[heading] = [_interval_of(scores, metric) for scores in pair]
    return {
        "name": name,
        "place": place,
        "n_real": known.n_real,
        "n_fake": known.n_fake,
        "cells": cells,
        "fakes": [_fakes_called_fake(scores) for scores in pair],
        "reals": [_reals_called_fake(scores) for scores in pair],
    }


def _interval_of(scores: DetectionScores | None, metric: str) -> Interval | None:
    if scores is None:
        return None
    interval: Interval = getattr(scores, metric)
    return interval


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
