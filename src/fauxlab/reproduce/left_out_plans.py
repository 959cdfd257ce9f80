"""What is trained and measured where kinds are left out; refused before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fauxlab.calibration.counts import choose_rates
from fauxlab.config import Recipe
from fauxlab.data.manifest import Manifest, Row
from fauxlab.errors import LabError
from fauxlab.reproduce.detector import check_names
from fauxlab.reproduce.leaving_out import (
    Families,
    Part,
    Sort,
    choose_evaluated,
    list_parts,
    parse_splits,
)
from fauxlab.training.detector.plan import plan_training
from fauxlab.training.detector.schedule import schedule_stages


@dataclass(frozen=True)
class Leaving:
    """What is left out, and how the detectors without it are calibrated and scored.

    `families` are generators that are left out together. With `folds`, the kinds of each of the
    `sorts` are dealt to so many trainings, and several sorts are left out together. `split` says
    which pictures of the left-out kinds are scored: a split, some joined by +, or all. `rate` is
    the false-alarm rate to calibrate for, None that of `fauxlab.calibrate`; if `degraded`,
    calibration sees pictures recompressed at random.
    `only` names the parts to train, all by default.
    """

    sorts: Sequence[Sort] = ("generators",)
    families: Families = field(default_factory=dict)
    folds: int | None = None
    split: str = "test"
    rate: float | None = None
    degraded: bool = False
    only: Sequence[str] | None = None


@dataclass(frozen=True)
class PlannedPart:
    """One training: what it leaves out, its recipe, and the pictures that are asked for."""

    part: Part
    recipe: Recipe
    calibration: Manifest  # the known kinds' calibration split
    evaluated: Manifest


def plan_leave_one_out(
    manifest: Manifest, recipe: Recipe, leaving: Leaving | None = None
) -> list[PlannedPart]:
    """The recipe without each part.

    Raises LabError for all that `leave_one_out` refuses before it trains.
    """
    leaving = leaving or Leaving()
    generators = schedule_stages(manifest, recipe).generators
    reals = [name for name in manifest.sources if name not in recipe.data.leave_out]
    splits = parse_splits(leaving.split)
    parts = list_parts(manifest, leaving.sorts, generators, reals, leaving.families, leaving.folds)
    planned = []
    for part in _choose(parts, leaving.only):
        without = part.recipe(recipe, generators)
        calibration = _take_calibration(manifest, without, generators)
        evaluated = choose_evaluated(manifest, part, splits)
        refuse_untested(part, evaluated, leaving.split)
        planned.append(PlannedPart(part, without, calibration, evaluated))
    check_names(plan.recipe for plan in planned)
    for plan in planned:
        plan_training(manifest, plan.recipe, read_weights=False)
        if plan.part.reals:
            _refuse_uncalibrated(plan, leaving.rate)
    return planned


def _choose(parts: Sequence[Part], only: Iterable[str] | None) -> list[Part]:
    by_name = {part.name: part for part in parts}
    for name in only or []:
        if name not in by_name:
            known = ", ".join(by_name)
            raise LabError(f"no generator {name!r} to leave out; there are {known}")
    return [by_name[name] for name in only or by_name]


def _take_calibration(manifest: Manifest, recipe: Recipe, generators: Sequence[str]) -> Manifest:
    """The calibration split of the kinds that a recipe trains on; `generators` unless it says."""
    known_generators = recipe.data.generators or generators

    def is_known(row: Row) -> bool:
        if row.split != "calibration":
            return False
        if row.label:
            return row.generator in known_generators
        return row.source not in recipe.data.leave_out

    return manifest.without_pseudo().where(is_known)


def refuse_untested(part: Part, evaluated: Manifest, split: str) -> None:
    """Raise LabError where there is no picture of a kind that is to be left out."""
    present = {*evaluated.generators, *evaluated.sources}
    for name in (*part.generators, *part.reals):
        if name not in present:
            raise LabError(
                f"the {split} split has no image of {name} to evaluate on; index more images of "
                "it, or test on --split all"
            )


def _refuse_uncalibrated(plan: PlannedPart, rate: float | None) -> None:
    """Raise LabError where there is too little to calibrate on: told before the training."""
    if set(plan.calibration.labels.tolist()) != {0, 1}:
        raise LabError(
            f"without {plan.part.name} the calibration split lacks a class, so there is no "
            "threshold for kinds never seen; split the manifest again with `fauxlab data index`"
        )
    try:
        choose_rates(plan.calibration.rows, rate, also=None, alpha=None)
    except LabError as error:
        raise LabError(f"without {plan.part.name}: {error}") from None
