"""The GAN page, gan.html: one self-contained file, made from what gan_results.json and the runs'
sample grids hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from fauxlab.pages.detector import mean
from fauxlab.pages.detector_figures import draw_overview
from fauxlab.pages.gan_figures import draw_distance, draw_distances, draw_game, draw_guard
from fauxlab.pages.gan_words import cautions, comparison, finding, share, show
from fauxlab.pages.grids import load_grids, slug
from fauxlab.pages.html import Plate, make_plate, printable, write_page
from fauxlab.records import DetectionReport, DetectionScores, Interval
from fauxlab.training.gan import collapse_guard as guard
from fauxlab.training.run_log import RISEN, GanRun, Line, alike, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCORES = {"AUC": "auc", "accuracy": "accuracy", "TPR at 1% FPR": "tpr_at_1_fpr"}
TIMES = ("before", "after")
ENDS = {"budget": "budget used up", "guard": "stopped by the guard"}


def write_gan_report(results: dict[str, Any], out: Path) -> Path:
    """Write `out/gan.html`, and its figures as PNG into `out/figures/`; returns the page's path.

    `results` is what gan_results.json holds; the runs' folders lie in `out`, where their sample
    grids are looked for.
    """
    folder = out / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    raw = [GanRun.read(run) for run in results.get("runs") or []]
    grids = [
        load_grids(run, out, folder / f"fig6.{i}-faces-{slug(run.name)}")
        for i, run in enumerate(raw, start=1)
    ]
    results = printable(results)
    runs = [GanRun.read(run) for run in results.get("runs") or []]
    loop = _loop(results.get("loop"))
    plates = _plates(runs, loop, folder)
    return write_page(
        out,
        "gan.html",
        "gan.html.j2",
        {"grids": grids, "plates": plates, "closed": loop, **_facts(results, runs)},
    )


def _facts(results: dict[str, Any], runs: list[GanRun]) -> dict[str, Any]:
    """All that the template names, apart from figures, grids and the loop."""
    return {
        "runs": runs,
        "summary": summary(runs),
        "comparisons": [words for group in alike(runs) if (words := comparison(group))],
        "finding": finding,
        "differing": len(alike(runs)) > 1,
        "cautions": cautions(runs),
        "account": results.get("account") or {},
        "data": results.get("data") or {},
        "judging": _judging(runs),
        "recipes": [(run.name, tomli_w.dumps(run.recipe)) for run in runs if run.recipe],
        "code_version": results.get("code_version", "unknown"),
        "environment": results.get("environment") or {},
        "number": number,
        "show": show,
        "share": share,
        "risen": f"{RISEN - 1:.0%}",
        "guard": guard,
    }


def summary(runs: Sequence[GanRun]) -> list[tuple[str, list[tuple[str, str]]]]:
    """The headline table, a column a run: name of the row, and for each run a figure and what
    stands small below it.
    """

    def pair(run: GanRun, key: str, form: Any) -> tuple[str, str]:
        return f"{form(number(run.best, key))} → {form(number(run.last, key))}", ""

    def at(run: GanRun, line: Line | None) -> tuple[str, str]:
        if line is None:
            return "–", ""
        small = [run.epoch_of(line["images"]), str(line.get("state", ""))]
        return f"{line['images']:,.0f} images", ", ".join(filter(None, small))

    rows: dict[str, list[tuple[str, str]]] = {
        "images seen": [
            (f"{run.seen:,}", f"of {run.budget:,}" if run.budget else "") for run in runs
        ],
        "ended": [
            (ENDS.get(str(run.end.get("reason")), "yes") if run.end else "not yet", "")
            for run in runs
        ],
        "best distance": [_distance(run, run.best) for run in runs],
        "floor": [(show(number(run.judged, "floor")), _n(run.judged, "floor_n")) for run in runs],
        "best above the floor": [(show(run.above(run.best)), "") for run in runs],
        "best at": [at(run, run.best) for run in runs],
        "last distance": [_distance(run, run.last) for run in runs],
        "last ÷ best": [(show(run.ratio), "") for run in runs],
        "kernel distance, best → last": [pair(run, "kid", _fine) for run in runs],
        "recall, best → last": [pair(run, "recall", _fine) for run in runs],
        "near-duplicates, best → last": [pair(run, "near_duplicate_share", share) for run in runs],
        "memorised, best → last": [pair(run, "memorised_share", share) for run in runs],
        "guard’s alarms": [(f"{len(run.alarms)}", _of_checks(run)) for run in runs],
        "first alarm": [at(run, run.alarms[0] if run.alarms else None) for run in runs],
        "first alarm since the best": [at(run, run.warning) for run in runs],
        f"{RISEN - 1:.0%} over the best": [
            at(run, {"images": run.lost}) if run.lost else ("never", "") for run in runs
        ],
    }
    return list(rows.items())


def _distance(run: GanRun, line: Line | None) -> tuple[str, str]:
    value = number(line, "distance")
    small = [str(run.judged.get("label", "")), _n(line, "n")]
    return (show(value), ", ".join(filter(None, small))) if line else ("–", "")


def _n(line: Line | None, key: str) -> str:
    n = number(line, key)
    return "" if n is None else f"N = {n:,.0f}"


def _fine(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _of_checks(run: GanRun) -> str:
    back = f", {run.rollbacks} rolled back" if run.rollbacks else ""
    return f"in {len(run.guard)} checks{back}"


def _judging(runs: Sequence[GanRun]) -> list[tuple[str, list[str]]]:
    """How each run was judged, a column a run."""
    features = [run.judged.get("features") or {} for run in runs]
    side = [f.get("input_size") for f in features]
    return [
        ("distance", [str(run.judged.get("label", "–")) for run in runs]),
        ("generated images, and as many real", [_n(run.judged, "n") or "–" for run in runs]),
        (
            "floor, real photos a side",
            [_n(run.judged, "floor_n") or "not recorded" for run in runs],
        ),
        (
            "image size",
            [f"{size} px" if (size := run.of_recipe("data", "size")) else "–" for run in runs],
        ),
        (
            "real photos of",
            [", ".join(run.of_recipe("data", "sources") or []) or "all sources" for run in runs],
        ),
        ("feature network", [str(f.get("name", "–")) for f in features]),
        ("sha256 of its weights", [str(f.get("sha256", "–")) for f in features]),
        ("dimensions", [str(f.get("dimension", "–")) for f in features]),
        (
            "resize",
            [
                f"{f.get('resize', '–')}{f' to {n} px' if n else ''}"
                for f, n in zip(features, side, strict=True)
            ],
        ),
        ("pixels", [str(f.get("input_range", "–")) for f in features]),
        (
            "seed",
            [
                str(seed) if (seed := run.of_recipe("train", "seed")) is not None else "–"
                for run in runs
            ],
        ),
        ("guard’s images a check", [str(run.of_recipe("guard", "n") or "–") for run in runs]),
    ]


def _loop(loop: dict[str, Any] | None) -> dict[str, Any] | None:
    """The detector on our own faces (first row) and on all others, before and after; None where
    nothing was judged.
    """
    if not loop:
        return None
    found = {
        (time, place): DetectionReport.model_validate(report)
        for time in TIMES
        for place in ("own", "others")
        if (report := (loop.get(time) or {}).get(place))
    }
    if not found:
        return None
    rows = []
    for place in ("own", "others"):
        scored = {
            t: {s.name: s for s in found[t, place].generators} for t in TIMES if (t, place) in found
        }
        for name in dict.fromkeys(name for scores in scored.values() for name in scores):
            rows.append(_loop_row(name, place, [scored.get(time, {}).get(name) for time in TIMES]))
    others = [row for row in rows if row["place"] == "others"]
    return {
        "generator": loop.get("generator", "our own faces"),
        "model_hash": loop.get("model_hash", "unknown"),
        "threshold": next(iter(found.values())).threshold,
        "scores": list(SCORES),
        "rows": rows,
        "own": next((row for row in rows if row["place"] == "own"), None),
        "means": [mean([row["cells"]["AUC"][i] for row in others]) for i in range(2)],
    }


def _loop_row(name: str, place: str, pair: Sequence[DetectionScores | None]) -> dict[str, Any]:
    """One set of fakes: a pair (before, after) for each score, None where it was not judged."""
    known = next(scores for scores in pair if scores)
    cells: dict[str, list[Interval | None]] = {
        label: [getattr(scores, metric) if scores else None for scores in pair]
        for label, metric in SCORES.items()
    }
    called = [scores.confusion if scores else None for scores in pair]
    return {
        "name": name,
        "place": place,
        "n_real": known.n_real,
        "n_fake": known.n_fake,
        "cells": cells,
        "fakes": [c and c.fake_as_fake / max(1, c.fake_as_fake + c.fake_as_real) for c in called],
        "reals": [c and c.real_as_fake / max(1, c.real_as_fake + c.real_as_real) for c in called],
    }


def _plates(runs: list[GanRun], loop: dict[str, Any] | None, folder: Path) -> dict[str, Plate]:
    """Draw all figures, save each as PNG in `folder`, and return them for the page by key; a run's
    end with its number.

    The numbers are the report's (its Fig. 5 is the distance, its Fig. 6 the faces) with the run's
    behind the point.
    """
    plates: dict[str, Plate] = {}

    def add(key: str, number: str, file: str, figure: Figure, alt: str) -> None:
        plates[key] = make_plate(figure, number, alt, folder / f"{file}.png")

    if alike(runs):
        add(
            "all",
            "At a glance",
            "all-distances",
            draw_distances(runs),
            "distance of all runs over images seen",
        )
    for i, run in enumerate(runs, start=1):
        name = slug(run.name)
        if run.best:
            add(
                f"distance-{i}",
                f"Fig. 5.{i}",
                f"fig5.{i}-distance-{name}",
                draw_distance(run),
                f"distance of {run.name} over images seen",
            )
        if run.steps:
            add(
                f"training-{i}",
                f"Fig. 7.{i}",
                f"fig7.{i}-training-{name}",
                draw_game(run),
                f"losses, accuracies and updates of {run.name}",
            )
        if run.guard:
            add(
                f"guard-{i}",
                f"Fig. 8.{i}",
                f"fig8.{i}-guard-{name}",
                draw_guard(run),
                f"what the guard saw of {run.name}",
            )
    if loop:
        series = {
            label: {
                time: [row["cells"][label][i] for row in loop["rows"]]
                for i, time in enumerate(TIMES)
            }
            for label in SCORES
        }
        add(
            "loop",
            "Fig. 9",
            "fig9-loop",
            draw_overview([row["name"] for row in loop["rows"]], series),
            "scores of the unified detector before and after it was trained with our own faces",
        )
    return plates
