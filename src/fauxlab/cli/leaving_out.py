"""`fauxlab detector train --leave-out`: detectors that never saw a kind of pictures."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from fauxlab.cli.common import is_main, say, step_bar
from fauxlab.errors import LabError, suggest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fauxlab.config import Recipe
    from fauxlab.data.manifest import Manifest
    from fauxlab.reproduce.left_out_plans import Leaving


def parse_leaving(
    sorts: Sequence[str],
    families: Sequence[str],
    folds: int | None,
    split: str,
    rate: float | None,
    degraded: bool,
) -> Leaving:
    """What the options ask to leave out. Raises LabError where they make no sense."""
    from fauxlab.reproduce.leaving_out import SORTS, parse_families, parse_splits
    from fauxlab.reproduce.left_out_plans import Leaving

    known = {str(sort): sort for sort in SORTS}
    for sort in sorts:
        if sort not in known:
            raise LabError(f"--leave-out {sort!r}: one of {', '.join(SORTS)}{suggest(sort, SORTS)}")
    if {"generators", "families"} <= {*sorts}:
        raise LabError("--leave-out takes generators or families, not both: a family is of these")
    parse_splits(split)
    if rate is not None and not 0 < rate < 1:
        raise LabError(f"--rate {rate}: give a share between 0 and 1, as 0.02")
    return Leaving(
        sorts=[known[sort] for sort in dict.fromkeys(sorts)],
        families=parse_families(families),
        folds=folds,
        split=split,
        rate=rate,
        degraded=degraded,
    )


def print_plans(data: Manifest, experiment: Recipe, leaving: Leaving | None) -> None:
    """What --dry-run shows: the plan, or one for each training without some kinds."""
    from fauxlab.reproduce.left_out_plans import plan_leave_one_out
    from fauxlab.training.detector.plan import describe_plan, plan_training

    recipes = [experiment]
    if leaving:
        recipes = [planned.recipe for planned in plan_leave_one_out(data, experiment, leaving)]
    plans = [plan_training(data, recipe, read_weights=False) for recipe in recipes]
    print("\n\n".join(describe_plan(plan) for plan in plans))


def train_without_each(
    data: Manifest, experiment: Recipe, out: Path, leaving: Leaving, max_minutes: float | None
) -> None:
    """Print how the recipe does on kinds that it never saw, and write it beside the runs."""
    from fauxlab.io.text import replace_file
    from fauxlab.reproduce.unseen import leave_one_out
    from fauxlab.training.detector.schedule import run_name

    with ExitStack() as stack:
        report = leave_one_out(
            data,
            experiment,
            out,
            leaving=leaving,
            max_minutes=max_minutes,
            on_step=(lambda title: step_bar(stack, title)) if is_main() else None,
        )
    if not is_main():
        return
    path = out / f"{run_name(experiment)}-{_name_result(leaving)}.json"
    replace_file(path, report.model_dump_json(indent=1) + "\n")
    print(report.table())
    say(f"wrote {path}")


def _name_result(leaving: Leaving) -> str:
    """What the name of the results' file says of them."""
    if list(leaving.sorts) == ["generators"] and leaving.folds is None:
        return "leave-one-out"
    sorts = "-".join(leaving.sorts)
    return f"leave-out-{sorts}" + (f"-{leaving.folds}-folds" if leaving.folds else "")
