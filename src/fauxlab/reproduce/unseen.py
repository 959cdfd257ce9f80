"""What a recipe makes of generators that it never saw: trained without each in turn, tested on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from fauxlab.config import Recipe, as_name
from fauxlab.data.cache import load_images
from fauxlab.data.manifest import Manifest
from fauxlab.errors import LabError
from fauxlab.records import LeaveOneOutReport, LeftOut
from fauxlab.reproduce.detector import check_names, judge
from fauxlab.training.detector.loop import train_detector
from fauxlab.training.detector.plan import plan_training
from fauxlab.training.detector.schedule import run_name
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
    """Train `recipe` without each of the generators in turn, on all reals, and judge it on the test
    split.

    The left-out generator is judged against its matched reals. Runs are folders below `out`;
    finished ones are not repeated, others resumed. `only` names the generators to leave out, all by
    default; `on_step` as of `reproduce_detector`. Raises LabError where fewer than two generators
    are there, or none is left of a class, and when `max_minutes` were too few to finish a run.
    """
    plans = plan_leave_one_out(manifest, recipe, only)
    names = recipe.data.generators or manifest.generators
    images = load_images(manifest.test, recipe.data.size)
    _refuse_untested(plans, images.manifest)
    rows = []
    deadline = None if max_minutes is None else time.monotonic() + 60 * max_minutes
    for name, plan in plans.items():
        bar = on_step(plan.name) if on_step else None
        left = None if deadline is None else max(deadline - time.monotonic(), 0) / 60
        run = train_detector(manifest, plan, out, resume=True, max_minutes=left, on_step=bar)
        if not run.finished:
            raise LabError(f"{run.folder} is not finished; the same command goes on")
        report = judge(run.model, images, run.folder / "test")
        scores = {part.name: part for part in report.generators}
        seen = [scores[other].auc.value for other in names if other != name and other in scores]
        known = [value for value in seen if value is not None]
        rows.append(
            LeftOut(
                scores=scores[name],
                seen_auc=sum(known) / len(known) if known else None,
                real_accuracy={
                    source: report.real_accuracy[source] for source in scores[name].reals
                },
                run=run.folder.name,
                model_hash=report.model_hash,
            )
        )
    return LeaveOneOutReport(
        recipe=recipe.name, data_hash=manifest.data_hash, code_version=__version__, generators=rows
    )


def plan_leave_one_out(
    manifest: Manifest, recipe: Recipe, only: list[str] | None = None
) -> dict[str, Recipe]:
    """By generator the recipe without it; raises LabError for what `leave_one_out` refuses before
    it trains.
    """
    names = recipe.data.generators or manifest.generators
    if len(names) < 2:
        raise LabError(
            f"leaving one out needs two generators or more; there is {', '.join(names) or 'none'}"
        )
    if unknown := [name for name in only or [] if name not in names]:
        raise LabError(f"no generator {unknown[0]!r} to leave out; there are {', '.join(names)}")
    plans = {name: without(recipe, name, names) for name in only or names}
    check_names(plans.values())
    _refuse_untested(plans, manifest.test)
    for plan in plans.values():
        plan_training(manifest, plan)
    return plans


def _refuse_untested(names: Iterable[str], test: Manifest) -> None:
    """Raise LabError where the test split has no image of a generator that is to be judged on it."""
    if lost := [name for name in names if name not in test.generators]:
        raise LabError(
            f"the test split has no image of {lost[0]} to judge on; index more images of it"
        )


def without(recipe: Recipe, name: str, names: list[str]) -> Recipe:
    """The recipe on all generators but one, and on all reals: those that only it is matched with
    stay.
    """
    kept = [other for other in names if other != name]
    data = recipe.data.model_copy(update={"generators": kept, "reals": "all"})
    return recipe.model_copy(
        update={"name": f"{run_name(recipe)}-without-{as_name(name)}", "data": data}
    )
