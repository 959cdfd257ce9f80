"""Detectors on generators they have never seen: trained without each in turn, tested on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from fauxlab.config import Recipe, as_name
from fauxlab.data.cache import load_images
from fauxlab.data.manifest import Manifest
from fauxlab.errors import LabError
from fauxlab.records import DetectionReport, LeaveOneOutReport, LeftOut
from fauxlab.reproduce.detector import check_names
from fauxlab.reproduce.scores import evaluate_and_save
from fauxlab.training.detector.loop import train_detector
from fauxlab.training.detector.plan import plan_training
from fauxlab.training.detector.schedule import run_name
from fauxlab.training.run import Run
from fauxlab.training.session import OnStep
from fauxlab.version import __version__


def leave_one_out(
    manifest: Manifest,
    recipe: Recipe,
    out: str | Path = "runs",
    *,
    only: list[str] | None = None,
    max_minutes: float | None = None,
    on_step: Callable[[str], OnStep] | None = None,
) -> LeaveOneOutReport:
    """Train a recipe without each generator in turn, and test it on the one that was left out.

    Training takes all reals; the test compares the generator with its matched reals. Runs are
    folders below `out`; finished ones are not repeated, others resumed. `only` names the generators
    to leave out, all by default; `on_step` is as for `reproduce_detector`. Raises LabError where
    there are fewer than two generators, or no images of a class, and when `max_minutes` were too
    few to finish a run.

    >>> import fauxlab as fl
    >>> data = fl.index("faces/").split(seed=0)  # doctest: +SKIP
    >>> print(fl.leave_one_out(data, fl.recipe("unified-joint")).table())  # doctest: +SKIP
    """
    plans = plan_leave_one_out(manifest, recipe, only)
    names = recipe.data.generators or manifest.generators
    images = load_images(manifest.test, recipe.data.size)
    _refuse_untested(plans, images.manifest)
    deadline = _find_deadline(max_minutes)
    rows = []
    for name, plan in plans.items():
        on_run_step = on_step(plan.name) if on_step else None
        minutes = _minutes_left(deadline)
        run = train_detector(
            manifest, plan, out, resume=True, max_minutes=minutes, on_step=on_run_step
        )
        if not run.finished:
            raise LabError(f"{run.folder} is not finished; the same command goes on")
        report = evaluate_and_save(run.model, images, run.folder / "test")
        rows.append(_summarise(report, run, name, names))
    return LeaveOneOutReport(
        recipe=recipe.name, data_hash=manifest.data_hash, code_version=__version__, generators=rows
    )


def plan_leave_one_out(
    manifest: Manifest, recipe: Recipe, only: list[str] | None = None
) -> dict[str, Recipe]:
    """The recipe without each generator, by the generator's name.

    Raises LabError for all that `leave_one_out` refuses before it trains.
    """
    names = recipe.data.generators or manifest.generators
    if len(names) < 2:
        raise LabError(
            f"leaving one out needs two generators or more; there is {', '.join(names) or 'none'}"
        )
    for name in only or []:
        if name not in names:
            raise LabError(f"no generator {name!r} to leave out; there are {', '.join(names)}")
    plans = {name: without(recipe, name, names) for name in only or names}
    check_names(plans.values())
    _refuse_untested(plans, manifest.test)
    for plan in plans.values():
        plan_training(manifest, plan, read_weights=False)
    return plans


def without(recipe: Recipe, name: str, names: list[str]) -> Recipe:
    """The recipe on all generators but one, and on all reals.

    Reals that only this generator is compared with stay in training.
    """
    others = [other for other in names if other != name]
    data = recipe.data.model_copy(update={"generators": others, "reals": "all"})
    new_name = f"{run_name(recipe)}-without-{as_name(name)}"
    return recipe.model_copy(update={"name": new_name, "data": data})


def _refuse_untested(names: Iterable[str], test: Manifest) -> None:
    """Raise LabError where the test split has no image of a generator that is to be left out."""
    for name in names:
        if name not in test.generators:
            raise LabError(
                f"the test split has no image of {name} to evaluate on; index more images of it"
            )


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


def _summarise(report: DetectionReport, run: Run, name: str, names: list[str]) -> LeftOut:
    """One row: the results on the generator left out, and the mean AUC on the others."""
    scores = {part.name: part for part in report.generators}
    aucs = []
    for other in names:
        if other != name and other in scores:
            auc = scores[other].auc.value
            if auc is not None:
                aucs.append(auc)
    seen_auc = None
    if aucs:
        seen_auc = sum(aucs) / len(aucs)
    unseen = scores[name]
    return LeftOut(
        scores=unseen,
        seen_auc=seen_auc,
        real_accuracy={source: report.real_accuracy[source] for source in unseen.reals},
        run=run.folder.name,
        model_hash=report.model_hash,
    )
