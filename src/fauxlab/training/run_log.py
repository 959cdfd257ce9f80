"""A GAN run's log as records: its lines, and the figures that follow from them.

Every part may be missing: a run that was stopped early has no end, one without a guard no checks,
and a generator of one image no distance. So every figure here may be None.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Line = Mapping[str, Any]  # one line of log.jsonl

# The distance over its best from which on a run counts as lost, whatever the guard says.
RISEN = 1.25
# Events of log.jsonl, and the names of their lists here.
EVENTS = {
    "step": "steps",
    "eval": "evals",
    "guard": "guard",
    "controller": "controller",
    "not_finite": "broken",
    "end": "end",
}
PARTS = {
    "v1": "Iteration 1: initial GAN training",
    "v2": "Iteration 2: enhanced GAN training",
    "r3": "Beyond the report: a relativistic pair with gradient penalties",
}


@dataclass(frozen=True)
class GanRun:
    """One training of gan_results.json: its log lines by event, each with its `images` seen."""

    name: str
    part: str
    recipe: dict[str, Any]
    epoch: int | None  # images in one pass through the training set
    budget: int | None
    steps: list[Line]
    evals: list[Line]
    guard: list[Line]
    controller: list[Line]
    samples: list[Line]
    broken: list[Line]  # where losses were no longer finite
    end: Line | None

    @classmethod
    def read(cls, run: Mapping[str, Any]) -> GanRun:
        """From one entry of `runs`; lines without their number of images are left out."""

        def lines(key: str) -> list[Line]:
            return [line for line in run.get(key) or [] if has_images(line)]

        end = run.get("end")
        return cls(
            name=str(run.get("name", "unnamed")),
            part=str(run.get("part", "")),
            recipe=run.get("recipe") or {},
            epoch=run.get("images_an_epoch") or None,
            budget=run.get("budget") or None,
            steps=lines("steps"),
            evals=lines("evals"),
            guard=lines("guard"),
            controller=lines("controller"),
            samples=lines("samples"),
            broken=lines("broken"),
            end=end if has_images(end) else None,
        )

    @classmethod
    def from_log(cls, log: Iterable[Line]) -> GanRun:
        """From the lines of log.jsonl alone, without recipe and epochs."""
        entry: dict[str, Any] = {}
        for line in log:
            key = EVENTS.get(line["event"])
            if key == "end":
                entry[key] = line
            elif key:
                entry.setdefault(key, []).append(line)
        return cls.read(entry)

    @property
    def title(self) -> str:
        """The heading of its section on the page."""
        return PARTS.get(self.part, self.name)

    @property
    def seen(self) -> int:
        """Images seen, repeats counted."""
        lines = [*self.steps, *self.evals, *self.guard]
        images = [int(line["images"]) for line in lines]
        return max(images, default=0)

    @property
    def best(self) -> Line | None:
        """The evaluation nearest to the reals, the first of equals."""
        return nearest(self.evals)

    @property
    def last(self) -> Line | None:
        """The last evaluation, with or without a distance."""
        if not self.evals:
            return None
        return self.evals[-1]

    @property
    def evaluation(self) -> Line:
        """An evaluation whose label, N, floor and feature network are those of all; or empty."""
        return self.best or self.last or {}

    @property
    def ratio(self) -> float | None:
        """Last distance over the best."""
        best = number(self.best, "distance")
        last = number(self.last, "distance")
        if not best or last is None:
            return None
        return last / best

    @property
    def alarms(self) -> list[Line]:
        """Checks at which the guard alarmed."""
        return [line for line in self.guard if line.get("alarm")]

    @property
    def rollbacks(self) -> int:
        """How often training went back to the best state, at an alarm or after broken losses."""
        lines = [*self.guard, *self.broken]
        return sum(line.get("action") == "rollback" for line in lines)

    @property
    def lost(self) -> int | None:
        """Images at which the distance first stood RISEN over its best; None if it never did.

        Evaluations and the guard's checks are each compared with their own best, and the earlier
        counts: rare evaluations must not make the guard seem early. A rise before the best
        evaluation was no loss.
        """
        since = self.best["images"] if self.best else 0
        by_evaluations = risen(self.evals, since)
        by_checks = risen(self.guard, since)
        rises = [images for images in (by_evaluations, by_checks) if images is not None]
        return min(rises, default=None)

    @property
    def early(self) -> list[Line]:
        """Alarms before the best distance: too early, unless the guard then changed something."""
        best = self.best
        if best is None:
            return []
        return [alarm for alarm in self.alarms if alarm["images"] < best["images"]]

    @property
    def warning(self) -> Line | None:
        """The first alarm since the best distance; it should come before the run is lost."""
        best = self.best
        if best is None:
            return None
        for alarm in self.alarms:
            if alarm["images"] >= best["images"]:
                return alarm
        return None

    def above(self, line: Line | None) -> float | None:
        """An evaluation's distance minus its floor, the distance between two sets of reals."""
        distance, floor = number(line, "distance"), number(line, "floor")
        if distance is None or floor is None:
            return None
        return distance - floor

    def epoch_of(self, images: float) -> str:
        """Images seen as an epoch, for example "epoch 9.3"; empty where its length is unknown."""
        if not self.epoch:
            return ""
        epochs = images / self.epoch
        digits = 1 if epochs < 9.95 else 0
        return f"epoch {epochs:.{digits}f}"

    def when(self, images: float) -> str:
        """Images seen in words, with the epoch where its length is known."""
        words = f"{images:,.0f} images"
        epoch = self.epoch_of(images)
        if epoch:
            words += f", {epoch}"
        return words

    def of_recipe(self, table: str, key: str) -> Any:
        """A value of the recipe; None where it is not given."""
        values = self.recipe.get(table) or {}
        return values.get(key)


def number(line: Line | None, key: str) -> float | None:
    """A line's value as a finite number, or None."""
    value = line.get(key) if line else None
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    return None


def has_images(line: Line | None) -> bool:
    """Whether a line says at how many images it was written."""
    return number(line, "images") is not None


def nearest(lines: Sequence[Line]) -> Line | None:
    """The line with the least distance, the first of equals; None where none has a distance."""
    measured = [line for line in lines if number(line, "distance") is not None]
    return min(measured, key=lambda line: line["distance"], default=None)


def risen(lines: Sequence[Line], since: float = 0) -> int | None:
    """Images of the first line after the best that has RISEN times its distance; None without one.

    Lines up to `since` images do not count.
    """
    best = nearest(lines)
    if best is None:
        return None
    start = max(best["images"], since)
    bar = RISEN * best["distance"]
    for line in lines:
        images = line["images"]
        distance = number(line, "distance")
        has_risen = distance is not None and distance >= bar
        if has_risen and images > start:
            return int(images)
    return None


def alike(runs: Sequence[GanRun]) -> list[list[GanRun]]:
    """The runs that were evaluated, in groups whose distances can be compared."""
    groups: dict[Any, list[GanRun]] = {}
    for run in runs:
        if run.best:
            group = groups.setdefault(_conditions(run), [])
            group.append(run)
    return list(groups.values())


def _conditions(run: GanRun) -> tuple[Any, ...]:
    """What a distance depends on besides the generator: feature network, N, image size, reals."""
    features = run.evaluation.get("features") or {}
    sources = run.of_recipe("data", "sources") or []
    return (
        run.evaluation.get("label"),
        features.get("sha256"),
        run.evaluation.get("n"),
        run.of_recipe("data", "size"),
        tuple(sources),
    )
