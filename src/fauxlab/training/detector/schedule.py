"""Which images a detector is trained on, in which stages, and which it is validated on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fauxlab.config import Recipe, as_name
from fauxlab.data.manifest import Manifest, Row
from fauxlab.errors import LabError

Rows = NDArray[np.int64]  # indices into a manifest's rows
NO_ROWS: Rows = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Stage:
    """A set of training rows that is seen for some epochs; a joint training is a single stage."""

    name: str
    rows: Rows
    epochs: int
    steps_per_epoch: int
    earlier: Rows = field(default_factory=lambda: NO_ROWS)  # rows of the stages before

    @property
    def steps(self) -> int:
        """Steps in all its epochs."""
        return self.epochs * self.steps_per_epoch


class Moment(NamedTuple):
    """A step's place in the schedule, all counted from 0."""

    stage: int
    epoch: int  # within the stage
    step: int  # within the epoch


@dataclass(frozen=True)
class Schedule:
    """The rows that a recipe takes from a manifest."""

    stages: tuple[Stage, ...]
    val_rows: Rows
    generators: tuple[str, ...]

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return sum(stage.steps for stage in self.stages)

    def at(self, step: int) -> Moment:
        """Where a step of the whole training lies. Raises IndexError beyond the last."""
        for number, stage in enumerate(self.stages):
            if step < stage.steps:
                epoch, within = divmod(step, stage.steps_per_epoch)
                return Moment(number, epoch, within)
            step -= stage.steps
        raise IndexError(step)


def run_name(recipe: Recipe) -> str:
    """The run folder's default name: the recipe's, and the generator where there is only one."""
    generators = recipe.data.generators
    if recipe.train.schedule == "single" and len(generators) == 1:
        return f"{recipe.name}-{as_name(generators[0])}"
    return recipe.name


def schedule_stages(manifest: Manifest, recipe: Recipe) -> Schedule:
    """Choose each stage's rows.

    Raises LabError when generators are unknown or a class has no images.
    """
    manifest.in_split("train")  # raises where the manifest was never split
    generators = _choose_generators(manifest, recipe)
    one_by_one = [[name] for name in generators]
    parts = [generators] if recipe.train.schedule == "joint" else one_by_one
    stages: list[Stage] = []
    for part in parts:
        earlier = [stage.rows for stage in stages]
        stages.append(_make_stage(manifest, recipe, part, earlier))
    val_rows = _choose_rows(manifest, generators, "val", recipe.data.reals)
    return Schedule(tuple(stages), val_rows, tuple(generators))


def _choose_generators(manifest: Manifest, recipe: Recipe) -> list[str]:
    generators = recipe.data.generators or manifest.generators
    present = ", ".join(manifest.generators)
    if not generators:
        raise LabError(
            "no fake images to train on: the manifest has none; "
            "a detector needs both real and fake ones"
        )
    for name in generators:
        if name not in manifest.generators:
            raise LabError(f"no generator {name!r} in the manifest; it has {present or 'none'}")
    if recipe.train.schedule == "single" and len(generators) != 1:
        raise LabError(
            f"recipe {recipe.name} trains on one generator; add --set data.generators=NAME "
            f"with one of {present}"
        )
    return generators


def _make_stage(
    manifest: Manifest,
    recipe: Recipe,
    generators: list[str],
    earlier: list[Rows],
) -> Stage:
    rows = _choose_rows(manifest, generators, "train", recipe.data.reals)
    classes = {manifest.rows[i].label for i in rows}
    if classes != {0, 1}:
        lacking = "fake" if classes == {0} else "real"
        raise LabError(
            f"no {lacking} images to train on (generator {', '.join(generators) or 'none'}, "
            "split train); a detector needs both real and fake ones"
        )
    return Stage(
        name=generators[0] if len(generators) == 1 else "joint",
        rows=rows,
        epochs=recipe.train.epochs,
        steps_per_epoch=max(1, len(rows) // recipe.train.batch),
        earlier=np.unique(np.concatenate([NO_ROWS, *earlier])),
    )


def _choose_rows(
    manifest: Manifest,
    generators: list[str],
    split: str,
    reals_of: str,
) -> Rows:
    """Rows of the generators' fakes, and of the reals matched with any of them, or of all."""
    sources = set(manifest.sources)
    if generators and reals_of == "matched":
        sources = set()
        for name in generators:
            sources.update(manifest.matched_reals(name))

    def is_chosen(row: Row) -> bool:
        if row.split != split:
            return False
        return row.generator in generators if row.label else row.source in sources

    chosen = [i for i, row in enumerate(manifest.rows) if is_chosen(row)]
    return np.array(chosen, dtype=np.int64)
