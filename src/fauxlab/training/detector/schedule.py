"""Which images a detector is trained on, in which stages, and which it is validated on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fauxlab.config import Recipe, as_name
from fauxlab.data.manifest import Manifest
from fauxlab.errors import LabError, suggest

Rows = NDArray[np.int64]  # indices into a manifest's rows
LISTED = 20  # names in a message
NO_ROWS: Rows = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Stage:
    """A set of training rows that is seen for some epochs; a joint training is a single stage.

    Stages of the same reals share one array of them, since there may be thousands of stages.
    """

    name: str
    reals: Rows
    fakes: Rows
    epochs: int
    steps_per_epoch: int
    previous: Stage | None = field(default=None, repr=False)

    @property
    def rows(self) -> Rows:
        """All its rows, in the manifest's order."""
        return np.sort(np.concatenate([self.reals, self.fakes]))

    @property
    def earlier(self) -> Rows:
        """The rows of the stages before."""
        parts = [NO_ROWS]
        stage = self.previous
        while stage is not None:
            parts += [stage.reals, stage.fakes]
            stage = stage.previous
        return np.unique(np.concatenate(parts))

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
    _check_left_out(manifest, recipe)
    generators = _choose_generators(manifest, recipe)
    pools = _Pools(manifest, recipe, "train")
    stages: list[Stage] = []
    if recipe.train.schedule == "joint":
        stages.append(_make_stage(pools, generators, None))
    else:
        for name in generators:
            previous = stages[-1] if stages else None
            stages.append(_make_stage(pools, [name], previous))
    to_validate = _Pools(manifest, recipe, "val")
    val_rows = [to_validate.reals(generators), to_validate.fakes(generators)]
    return Schedule(tuple(stages), np.sort(np.concatenate(val_rows)), tuple(generators))


def _choose_generators(manifest: Manifest, recipe: Recipe) -> list[str]:
    known = manifest.generators
    generators = recipe.data.generators or known
    present = _list(known)
    if not generators:
        raise LabError(
            "no fake images to train on: the manifest has none; "
            "a detector needs both real and fake ones"
        )
    for name in generators:
        if name not in known:
            raise LabError(f"no generator {name!r} in the manifest; it has {present or 'none'}")
    if recipe.train.schedule == "single" and len(generators) != 1:
        raise LabError(
            f"recipe {recipe.name} trains on one generator; add --set data.generators=NAME "
            f"with one of {present}"
        )
    return generators


def _check_left_out(manifest: Manifest, recipe: Recipe) -> None:
    known = manifest.sources
    for name in recipe.data.leave_out:
        if name not in known:
            raise LabError(
                f"no real source {name!r} to leave out; the manifest has {_list(known)}"
                f"{suggest(name, known)}"
            )


def _make_stage(pools: _Pools, generators: list[str], previous: Stage | None) -> Stage:
    reals = pools.reals(generators)
    fakes = pools.fakes(generators)
    if not len(reals) or not len(fakes):
        lacking = "real" if len(fakes) else "fake"
        raise LabError(
            f"no {lacking} images to train on (generator {_list(generators) or 'none'}, "
            "split train); a detector needs both real and fake ones"
        )
    fakes = pools.with_pseudo_fakes(fakes, reals)
    train = pools.recipe.train
    count = len(reals) + len(fakes)
    return Stage(
        name=generators[0] if len(generators) == 1 else "joint",
        reals=reals,
        fakes=fakes,
        epochs=train.epochs,
        steps_per_epoch=max(1, count // train.batch),
        previous=previous,
    )


class _Pools:
    """The rows of a split by generator and by source, from one pass over the manifest."""

    def __init__(self, manifest: Manifest, recipe: Recipe, split: str) -> None:
        self.manifest = manifest
        self.recipe = recipe
        self._sources = frozenset(manifest.sources)
        self._numbers: dict[tuple[int, str], list[int]] = {}
        self._reals: dict[frozenset[str], Rows] = {}
        self._pseudo: list[int] = []
        for number, row in enumerate(manifest.rows):
            if row.split != split:
                continue
            if row.is_pseudo:
                self._pseudo.append(number)
            else:
                self._numbers.setdefault((row.label, row.kind), []).append(number)

    def fakes(self, generators: Iterable[str]) -> Rows:
        """The rows of the generators' fakes."""
        return self._rows(1, generators)

    def reals(self, generators: Sequence[str]) -> Rows:
        """The rows of the reals matched with any of the generators, or of all."""
        sources = self._sources
        if generators and self.recipe.data.reals == "matched":
            sources = self._matched(generators)
        sources = sources.difference(self.recipe.data.leave_out)
        if sources not in self._reals:
            self._reals[sources] = self._rows(0, sources)
        return self._reals[sources]

    def with_pseudo_fakes(self, fakes: Rows, reals: Rows) -> Rows:
        """The fakes, and the pseudo-fakes made of reals of these sources, or of no named source.

        A pseudo-fake names the source of its real photo as `source`, or as what it compares with.
        """
        if not self._pseudo:
            return fakes
        rows = self.manifest.rows
        sources = {rows[i].source for i in reals} | {""}
        pseudo = []
        for i in self._pseudo:
            origin = rows[i].source or rows[i].compare_to
            if origin in sources:
                pseudo.append(i)
        return np.sort(np.concatenate([fakes, np.array(pseudo, dtype=np.int64)]))

    def _matched(self, generators: Iterable[str]) -> frozenset[str]:
        matched: set[str] = set()
        for name in generators:
            if not self.manifest.names_reals(name):
                return self._sources
            matched.update(self.manifest.matched_reals(name))
        return frozenset(matched)

    def _rows(self, label: int, names: Iterable[str]) -> Rows:
        numbers: list[int] = []
        for name in set(names):
            numbers += self._numbers.get((label, name), [])
        return np.array(sorted(numbers), dtype=np.int64)


def _list(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    listed = list(names)
    more = len(listed) - LISTED
    shown = ", ".join(listed[:LISTED])
    return f"{shown} and {more:,} more" if more > 0 else shown
