"""The tables of the GAN page: runs side by side, and how each was evaluated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fauxlab.pages.gan_words import format_number, format_share
from fauxlab.training.run_log import RISEN, GanRun, Line, number

ENDS = {"budget": "budget used up", "guard": "stopped by the guard"}
Cell = tuple[str, str]  # a figure, and the small text below it
Row = tuple[str, list[Cell]]


def summarise(runs: Sequence[GanRun]) -> list[Row]:
    """The headline table: the name of each row, and a cell for each run."""
    cells: dict[str, Callable[[GanRun], Cell]] = {
        "images seen": _seen,
        "ended": _ended,
        "best distance": lambda run: _distance(run, run.best),
        "floor": _floor,
        "best above the floor": lambda run: (format_number(run.above(run.best)), ""),
        "best at": lambda run: _when(run, run.best),
        "last distance": lambda run: _distance(run, run.last),
        "last ÷ best": lambda run: (format_number(run.ratio), ""),
        "kernel distance, best → last": lambda run: _change(run, "kid", _format_fine),
        "recall, best → last": lambda run: _change(run, "recall", _format_fine),
        "near-duplicates, best → last": lambda run: _change(
            run, "near_duplicate_share", format_share
        ),
        "memorised, best → last": lambda run: _change(run, "memorised_share", format_share),
        "guard’s alarms": _alarms,
        "first alarm": lambda run: _when(run, run.alarms[0] if run.alarms else None),
        "first alarm since the best": lambda run: _when(run, run.warning),
        f"{RISEN - 1:.0%} over the best": _lost,
    }
    return [(name, [cell(run) for run in runs]) for name, cell in cells.items()]


def _seen(run: GanRun) -> Cell:
    return f"{run.seen:,}", f"of {run.budget:,}" if run.budget else ""


def _ended(run: GanRun) -> Cell:
    if not run.end:
        return "not yet", ""
    return ENDS.get(str(run.end.get("reason")), "yes"), ""


def _distance(run: GanRun, line: Line | None) -> Cell:
    if not line:
        return "–", ""
    label = str(run.judged.get("label", ""))
    return format_number(number(line, "distance")), _join(label, _format_n(line, "n"))


def _floor(run: GanRun) -> Cell:
    return format_number(number(run.judged, "floor")), _format_n(run.judged, "floor_n")


def _when(run: GanRun, line: Line | None) -> Cell:
    """At how many images a line was written, with the epoch and the guard's state."""
    if line is None:
        return "–", ""
    images = line["images"]
    return f"{images:,.0f} images", _join(run.epoch_of(images), str(line.get("state", "")))


def _lost(run: GanRun) -> Cell:
    if not run.lost:
        return "never", ""
    return _when(run, {"images": run.lost})


def _change(run: GanRun, key: str, form: Callable[[float | None], str]) -> Cell:
    """A figure at the best and at the last evaluation."""
    best = form(number(run.best, key))
    last = form(number(run.last, key))
    return f"{best} → {last}", ""


def _alarms(run: GanRun) -> Cell:
    checks = f"in {len(run.guard)} checks"
    rolled_back = f"{run.rollbacks} rolled back" if run.rollbacks else ""
    return f"{len(run.alarms)}", _join(checks, rolled_back)


def tabulate_evaluation(runs: Sequence[GanRun]) -> list[tuple[str, list[str]]]:
    """How each run was evaluated: the name of each row, and a text for each run."""
    cells: dict[str, Callable[[GanRun], str]] = {
        "distance": lambda run: str(run.judged.get("label", "–")),
        "generated images, and as many real": lambda run: _format_n(run.judged, "n") or "–",
        "floor, real photos a side": lambda run: _format_n(run.judged, "floor_n") or "not recorded",
        "image size": _image_size,
        "real photos of": _sources,
        "feature network": lambda run: _feature(run, "name"),
        "sha256 of its weights": lambda run: _feature(run, "sha256"),
        "dimensions": lambda run: _feature(run, "dimension"),
        "resize": _resize,
        "pixels": lambda run: _feature(run, "input_range"),
        "seed": _seed,
        "guard’s images a check": lambda run: str(run.of_recipe("guard", "n") or "–"),
    }
    return [(name, [cell(run) for run in runs]) for name, cell in cells.items()]


def _image_size(run: GanRun) -> str:
    size = run.of_recipe("data", "size")
    return f"{size} px" if size else "–"


def _sources(run: GanRun) -> str:
    return ", ".join(run.of_recipe("data", "sources") or []) or "all sources"


def _seed(run: GanRun) -> str:
    seed = run.of_recipe("train", "seed")
    return "–" if seed is None else str(seed)


def _resize(run: GanRun) -> str:
    size = _features(run).get("input_size")
    target = f" to {size} px" if size else ""
    return _feature(run, "resize") + target


def _feature(run: GanRun, key: str) -> str:
    return str(_features(run).get(key, "–"))


def _features(run: GanRun) -> dict[str, Any]:
    """The feature network of a run's evaluations; empty where it was not evaluated."""
    return run.judged.get("features") or {}


def _join(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _format_n(line: Line | None, key: str) -> str:
    n = number(line, key)
    return "" if n is None else f"N = {n:,.0f}"


def _format_fine(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
