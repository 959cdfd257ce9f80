"""The tables of the GAN page: runs side by side, and how each was evaluated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from fauxlab.pages.gan_words import format_number, format_share
from fauxlab.training.run_log import RISEN, GanRun, Line, number

ENDS = {"budget": "budget used up", "guard": "stopped by the guard"}
Cell = tuple[str, str]  # a figure, and the small text below it
C = TypeVar("C")


def summarise(runs: Sequence[GanRun]) -> list[tuple[str, list[Cell]]]:
    """The headline table: the name of each row, and a cell for each run."""
    return _transpose([_summarise_run(run) for run in runs])


def _summarise_run(run: GanRun) -> dict[str, Cell]:
    """One run's column, by the names of the rows."""
    first_alarm = run.alarms[0] if run.alarms else None
    return {
        "images seen": _seen(run),
        "ended": _ended(run),
        "best distance": _distance(run, run.best),
        "floor": _floor(run),
        "best above the floor": _number(run.above(run.best)),
        "best at": _when(run, run.best),
        "last distance": _distance(run, run.last),
        "last ÷ best": _number(run.ratio),
        "kernel distance, best → last": _change(run, "kid", _format_fine),
        "recall, best → last": _change(run, "recall", _format_fine),
        "near-duplicates, best → last": _change(run, "near_duplicate_share", format_share),
        "memorised, best → last": _change(run, "memorised_share", format_share),
        "guard’s alarms": _alarms(run),
        "first alarm": _when(run, first_alarm),
        "first alarm since the best": _when(run, run.warning),
        f"{RISEN - 1:.0%} over the best": _lost(run),
    }


def _transpose(columns: Sequence[dict[str, C]]) -> list[tuple[str, list[C]]]:
    """Rows by name, from columns that all have the same rows."""
    if not columns:
        return []
    rows = []
    for name in columns[0]:
        cells = [column[name] for column in columns]
        rows.append((name, cells))
    return rows


def _number(value: float | None) -> Cell:
    return format_number(value), ""


def _seen(run: GanRun) -> Cell:
    seen = f"{run.seen:,}"
    budget = ""
    if run.budget:
        budget = f"of {run.budget:,}"
    return seen, budget


def _ended(run: GanRun) -> Cell:
    if not run.end:
        return "not yet", ""
    reason = str(run.end.get("reason"))
    words = ENDS.get(reason, "yes")
    return words, ""


def _distance(run: GanRun, line: Line | None) -> Cell:
    if not line:
        return "–", ""
    distance = number(line, "distance")
    label = str(run.evaluation.get("label", ""))
    n = _format_n(line, "n")
    return format_number(distance), _join(label, n)


def _floor(run: GanRun) -> Cell:
    floor = number(run.evaluation, "floor")
    n = _format_n(run.evaluation, "floor_n")
    return format_number(floor), n


def _when(run: GanRun, line: Line | None) -> Cell:
    """At how many images a line was written, with the epoch and the guard's state."""
    if line is None:
        return "–", ""
    images = line["images"]
    epoch = run.epoch_of(images)
    state = str(line.get("state", ""))
    return f"{images:,.0f} images", _join(epoch, state)


def _lost(run: GanRun) -> Cell:
    if not run.lost:
        return "never", ""
    return _when(run, {"images": run.lost})


def _change(run: GanRun, key: str, form: Callable[[float | None], str]) -> Cell:
    """A figure at the best and at the last evaluation."""
    best = number(run.best, key)
    last = number(run.last, key)
    return f"{form(best)} → {form(last)}", ""


def _alarms(run: GanRun) -> Cell:
    alarms = str(len(run.alarms))
    checks = f"in {len(run.guard)} checks"
    rolled_back = ""
    if run.rollbacks:
        rolled_back = f"{run.rollbacks} rolled back"
    return alarms, _join(checks, rolled_back)


def tabulate_evaluation(runs: Sequence[GanRun]) -> list[tuple[str, list[str]]]:
    """How each run was evaluated: the name of each row, and a text for each run."""
    return _transpose([_describe_evaluation(run) for run in runs])


def _describe_evaluation(run: GanRun) -> dict[str, str]:
    """One run's column, by the names of the rows."""
    return {
        "distance": str(run.evaluation.get("label", "–")),
        "generated images, and as many real": _format_n(run.evaluation, "n") or "–",
        "floor, real photos a side": _format_n(run.evaluation, "floor_n") or "not recorded",
        "image size": _image_size(run),
        "real photos of": _sources(run),
        "feature network": _feature(run, "name"),
        "sha256 of its weights": _feature(run, "sha256"),
        "dimensions": _feature(run, "dimension"),
        "resize": _resize(run),
        "pixels": _feature(run, "input_range"),
        "seed": _seed(run),
        "guard’s images a check": str(run.of_recipe("guard", "n") or "–"),
    }


def _image_size(run: GanRun) -> str:
    size = run.of_recipe("data", "size")
    if not size:
        return "–"
    return f"{size} px"


def _sources(run: GanRun) -> str:
    sources = run.of_recipe("data", "sources")
    if not sources:
        return "all sources"
    return ", ".join(sources)


def _seed(run: GanRun) -> str:
    seed = run.of_recipe("train", "seed")
    if seed is None:
        return "–"
    return str(seed)


def _resize(run: GanRun) -> str:
    method = _feature(run, "resize")
    size = _features(run).get("input_size")
    if not size:
        return method
    return f"{method} to {size} px"


def _feature(run: GanRun, key: str) -> str:
    features = _features(run)
    return str(features.get(key, "–"))


def _features(run: GanRun) -> dict[str, Any]:
    """The feature network of a run's evaluations; empty where it was not evaluated."""
    return run.evaluation.get("features") or {}


def _join(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _format_n(line: Line | None, key: str) -> str:
    n = number(line, key)
    if n is None:
        return ""
    return f"N = {n:,.0f}"


def _format_fine(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}"
