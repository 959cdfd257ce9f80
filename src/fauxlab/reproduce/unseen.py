"""What a recipe makes of generators that it never saw: trained without each in turn, tested on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fauxlab import __version__
from fauxlab.config import Recipe, as_name, check_run_name
from fauxlab.data.cache import load_images
from fauxlab.data.manifest import Manifest
from fauxlab.errors import LabError
from fauxlab.records import LeaveOneOutReport, LeftOut
from fauxlab.reproduce.detector import judge
from fauxlab.training.detector import train_detector
from fauxlab.training.detector_plan import check_plan
from fauxlab.training.run import OnStep
from fauxlab.training.stages import run_name


def leave_one_out(
    manifest: Manifest,
    recipe: Recipe,
    out: str | Path = "runs",
    *,
    only: list[str] | None = None,
    max_minutes: float | None = None,
    on_step: Callable[[str], OnStep] | None = None,
) -> LeaveOneOutReport:
    """Train `recipe` without each of the generators in turn, on all reals, and judge it on the test split.

    The left-out generator is judged against its matched reals. Runs are folders below `out`; finished ones are not
    repeated, others resumed. `only` names the generators to leave out, all by default; `on_step` as of
    `reproduce_detector`. Raises LabError where fewer than two generators are there, or none is left of a class, and
    when `max_minutes` were too few to finish a run.
    """
    plans = plan_leave_one_out(manifest, recipe, only)
    names = recipe.data.generators or manifest.generators
    images = load_images(manifest.test, recipe.data.size)
    rows = []
    for name, plan in plans.items():
        bar = on_step(plan.name) if on_step else None
        run = train_detector(manifest, plan, out, resume=True, max_minutes=max_minutes, on_step=bar)
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
                real_accuracy={source: report.real_accuracy[source] for source in scores[name].reals},
                run=run.folder.name,
                model_hash=report.model_hash,
            )
        )
    return LeaveOneOutReport(
        recipe=recipe.name, data_hash=manifest.data_hash, code_version=__version__, generators=rows
    )


def plan_leave_one_out(manifest: Manifest, recipe: Recipe, only: list[str] | None = None) -> dict[str, Recipe]:
    """By generator the recipe without it; raises LabError for what `leave_one_out` refuses before it trains."""
    names = recipe.data.generators or manifest.generators
    if len(names) < 2:
        raise LabError(f"leaving one out needs two generators or more; there is {', '.join(names) or 'none'}")
    if unknown := [name for name in only or [] if name not in names]:
        raise LabError(f"no generator {unknown[0]!r} to leave out; there are {', '.join(names)}")
    if not len(manifest.test):
        raise LabError("the manifest has no images in its test split; index more images")
    plans = {name: without(recipe, name, names) for name in only or names}
    for plan in plans.values():
        check_run_name(plan.name)
        check_plan(manifest, plan)
    return plans


def without(recipe: Recipe, name: str, names: list[str]) -> Recipe:
    """The recipe on all generators but one, and on all reals: those that only it is matched with stay."""
    kept = [other for other in names if other != name]
    data = recipe.data.model_copy(update={"generators": kept, "reals": "all"})
    return recipe.model_copy(update={"name": f"{run_name(recipe)}-without-{as_name(name)}", "data": data})
