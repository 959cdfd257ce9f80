"""Detectors on kinds that they never saw: trained without each in turn, and tested on it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fauxlab.calibration.calibrate import calibrate
from fauxlab.config import Recipe
from fauxlab.data.cache import load_images
from fauxlab.data.manifest import Manifest
from fauxlab.environment import describe_environment
from fauxlab.errors import LabError
from fauxlab.io.reading import read_text
from fauxlab.io.text import replace_file
from fauxlab.models.pretrained import Detector
from fauxlab.records import LeaveOneOutReport
from fauxlab.reproduce.leaving_out import choose_evaluated, parse_splits
from fauxlab.reproduce.left_out_plans import (
    Leaving,
    PlannedPart,
    plan_leave_one_out,
    refuse_untested,
)
from fauxlab.reproduce.left_out_results import Scored, merge_parts, summarise_part
from fauxlab.reproduce.scores import evaluate_and_save
from fauxlab.training.detector.loop import train_detector
from fauxlab.training.run import Run
from fauxlab.training.session import OnStep
from fauxlab.transforms.degradations import degrade_repeatably

RESULTS = "left-out.json"  # of one part, in its run folder
CALIBRATED = "calibrated"  # the part's calibrated bundle, in its run folder


def leave_one_out(
    manifest: Manifest,
    recipe: Recipe,
    out: str | Path = "runs",
    *,
    only: list[str] | None = None,
    leaving: Leaving | None = None,
    max_minutes: float | None = None,
    on_step: Callable[[str], OnStep] | None = None,
) -> LeaveOneOutReport:
    """Train a recipe without each generator in turn, and test it on the one that was left out.

    `leaving` can ask for families of generators or for kinds of real photos instead. Each detector
    is calibrated on the kinds that it knows, where these have enough pictures. A generator is
    compared with its matched reals. Runs are folders below `out`; finished ones are not repeated,
    others resumed. `only` names the generators to leave out, all by default; `on_step` is as for
    `reproduce_detector`. Raises LabError where there is too little to leave out, to test on or to
    calibrate on, and when `max_minutes` were too few to finish a run.

    >>> import fauxlab as fl
    >>> data = fl.index("faces/").split(seed=0)  # doctest: +SKIP
    >>> print(fl.leave_one_out(data, fl.recipe("unified-joint")).table())  # doctest: +SKIP
    """
    leaving = leaving or Leaving(only=only)
    planned = plan_leave_one_out(manifest, recipe, leaving)
    _refuse_unreadable(manifest, planned, leaving, recipe.data.size)
    deadline = _find_deadline(max_minutes)
    results = []
    for plan in planned:
        on_run_step = on_step(plan.recipe.name) if on_step else None
        minutes = _minutes_left(deadline)
        run = train_detector(
            manifest, plan.recipe, out, resume=True, max_minutes=minutes, on_step=on_run_step
        )
        if not run.finished:
            raise LabError(f"{run.folder} is not finished; the same command goes on")
        # Under torchrun all processes train, and the first one alone writes results.
        if _is_first_process():
            results.append(_result_of(manifest, recipe, leaving, plan, run))
    return merge_parts(results, recipe, manifest, leaving.sorts, leaving.split, leaving.families)


def _refuse_unreadable(
    manifest: Manifest, planned: Sequence[PlannedPart], leaving: Leaving, size: int
) -> None:
    """Raise LabError where no picture of a left-out kind can be decoded; told before training."""
    asked = {row.sha256 for plan in planned for row in plan.evaluated.rows}
    images = load_images(manifest.where(lambda row: row.sha256 in asked), size)
    splits = parse_splits(leaving.split)
    for plan in planned:
        readable = choose_evaluated(images.manifest, plan.part, splits)
        refuse_untested(plan.part, readable, leaving.split)


def _result_of(
    manifest: Manifest, recipe: Recipe, leaving: Leaving, plan: PlannedPart, run: Run
) -> LeaveOneOutReport:
    """What one part comes to: as it was saved, or calibrated, scored and saved now."""
    path = run.folder / RESULTS
    trained = run.model
    saved = _read_result(path)
    if saved and _is_current(saved, manifest, leaving, plan, trained.hash):
        return saved
    detector, note = _calibrate(trained, plan, leaving, run.folder / CALIBRATED)
    images = load_images(plan.evaluated, detector.size)
    report = evaluate_and_save(detector, images, run.folder / "test")
    scored = Scored(
        report,
        run,
        plan.recipe,
        plan.part,
        trained_hash=trained.hash,
        config=detector.config,
        rate_asked=leaving.rate,
        degraded=leaving.degraded,
        note=note,
    )
    summary = summarise_part(scored)
    result = LeaveOneOutReport(
        recipe=recipe.name,
        data_hash=manifest.data_hash,
        code_version=report.code_version,
        generators=summary.generators,
        reals=summary.reals,
        parts=[summary.part],
        left_out=list(leaving.sorts),
        split=leaving.split,
        environment=describe_environment(manifest.data_hash),
    )
    replace_file(path, result.model_dump_json(indent=1) + "\n")
    return result


def _calibrate(
    trained: Detector, plan: PlannedPart, leaving: Leaving, folder: Path
) -> tuple[Detector, str]:
    """The detector calibrated on the kinds that it knows, or as it was and why.

    Without a calibration the figures that need no threshold still hold, so it is required where
    kinds of real photos are left out, and nowhere else.
    """
    options: dict[str, Any] = {"degrade": degrade_repeatably if leaving.degraded else None}
    if leaving.rate is not None:
        options["rate"] = leaving.rate
    try:
        if not len(plan.calibration):
            raise LabError("the calibration split is empty")
        found = calibrate(trained, plan.calibration, **options).detector
    except LabError as error:
        if plan.part.reals:
            raise
        return trained, str(error)
    found.save_pretrained(folder)
    return Detector.from_pretrained(folder), ""


def _read_result(path: Path) -> LeaveOneOutReport | None:
    """The result in a file; None where there is none that this version can read."""
    if path.exists():
        with suppress(LabError, ValueError):
            return LeaveOneOutReport.model_validate_json(read_text(path))
    return None


def _is_current(
    saved: LeaveOneOutReport,
    manifest: Manifest,
    leaving: Leaving,
    plan: PlannedPart,
    trained_hash: str,
) -> bool:
    """Whether a saved result is of this detector, these pictures and this calibration."""
    schema = LeaveOneOutReport.model_fields["schema_version"].default
    if saved.schema_version != schema or len(saved.parts) != 1:
        return False
    [part] = saved.parts
    found: Mapping[str, object] = {
        "data": saved.data_hash,
        "split": saved.split,
        "hash": part.trained_hash,
        "rate": part.rate_asked,
        "degraded": part.degraded,
        "left out": [*part.generators, *part.reals],
    }
    wanted: Mapping[str, object] = {
        "data": manifest.data_hash,
        "split": leaving.split,
        "hash": trained_hash,
        "rate": leaving.rate,
        "degraded": leaving.degraded,
        "left out": [*plan.part.generators, *plan.part.reals],
    }
    return found == wanted


def _is_first_process() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _find_deadline(minutes: float | None) -> float | None:
    """The time of the monotonic clock at which so many minutes are over."""
    if minutes is None:
        return None
    return time.monotonic() + 60 * minutes


def _minutes_left(deadline: float | None) -> float | None:
    """Minutes until a time of the monotonic clock, at least 0."""
    if deadline is None:
        return None
    seconds = deadline - time.monotonic()
    return max(seconds, 0) / 60
