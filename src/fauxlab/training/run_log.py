"""A GAN's training as the page reads it: its lines, and the figures that follow from them.

A run that was stopped early has no end, one without a guard no checks, and a generator of one image
no distance: every part may be missing, and every figure here is None where it cannot be given.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Line = Mapping[str, Any]  # one line of log.jsonl

RISEN = 1.25  # of the distance over its best: lost, whatever the guard says
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
    """One training of gan_results.json. Lines are those of its log, sorted by event, each with its
    `images` seen.
    """

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
        """From one entry of `runs`; lines that do not say at how many images they were written are
        left out.
        """

        def lines(key: str) -> list[Line]:
            return [line for line in run.get(key) or [] if number(line, "images") is not None]

        end = run.get("end")
        return cls(
            name=str(run.get("name", "unnamed")),
            part=str(run.get("part", "")),
            recipe=run.get("recipe") or {},
            epoch=run.get("images_an_epoch") or None,
            budget=run.get("budget") or None,
            **{
                key: lines(key)
                for key in ("steps", "evals", "guard", "controller", "samples", "broken")
            },
            end=end if end and number(end, "images") is not None else None,
        )

    @classmethod
    def from_log(cls, log: Iterable[Line]) -> GanRun:
        """From the lines of log.jsonl alone, without recipe and epochs."""
        found: dict[str, Any] = {
            "steps": [],
            "evals": [],
            "guard": [],
            "controller": [],
            "broken": [],
            "end": None,
        }
        for line in log:
            key = EVENTS.get(line["event"])
            if key == "end":
                found[key] = line
            elif key:
                found[key].append(line)
        return cls.read(found)

    @property
    def title(self) -> str:
        """What its section is called."""
        return PARTS.get(self.part, self.name)

    @property
    def seen(self) -> int:
        """Images seen, repeats counted."""
        return max(
            (int(line["images"]) for line in (*self.steps, *self.evals, *self.guard)), default=0
        )

    @property
    def best(self) -> Line | None:
        """The evaluation nearest to the reals, the first of equals."""
        return nearest(self.evals)

    @property
    def last(self) -> Line | None:
        """The last evaluation, whatever came out."""
        return self.evals[-1] if self.evals else None

    @property
    def judged(self) -> Line:
        """An evaluation that tells how all were made: label, N, floor, feature network; empty
        without one.
        """
        return self.best or self.last or {}

    @property
    def ratio(self) -> float | None:
        """Last distance over the best."""
        best, last = number(self.best, "distance"), number(self.last, "distance")
        return last / best if best and last is not None else None

    @property
    def alarms(self) -> list[Line]:
        """Checks at which the guard alarmed."""
        return [line for line in self.guard if line.get("alarm")]

    @property
    def rollbacks(self) -> int:
        """How often training went back to the best state: by the guard, or as losses were no longer
        finite.
        """
        return sum(line.get("action") == "rollback" for line in (*self.guard, *self.broken))

    @property
    def lost(self) -> int | None:
        """Images at which the distance first stood RISEN over its best, by evaluations or by the
        guard's own checks.

        Both are asked, each against its own best, and the earlier counts, so that rare evaluations
        do not make the guard look early. What came before the best evaluation was not lost.
        """
        since = self.best["images"] if self.best else 0
        found = [
            images
            for lines in (self.evals, self.guard)
            if (images := risen(lines, since)) is not None
        ]
        return min(found, default=None)

    @property
    def early(self) -> list[Line]:
        """Alarms before the best distance: too early, unless the guard then changed something."""
        return [line for line in self.alarms if self.best and line["images"] < self.best["images"]]

    @property
    def warning(self) -> Line | None:
        """The first alarm since the best distance, the one that is to come before it is lost."""
        return next(
            (line for line in self.alarms if self.best and line["images"] >= self.best["images"]),
            None,
        )

    def above(self, line: Line | None) -> float | None:
        """An evaluation's distance above the floor: what is left when that between two sets of
        reals is taken off.
        """
        distance, floor = number(line, "distance"), number(line, "floor")
        return None if distance is None or floor is None else distance - floor

    def epoch_of(self, images: float) -> str:
        """Images seen as an epoch, for example "epoch 9.3"; empty where the epoch's length is not
        known.
        """
        if not self.epoch:
            return ""
        epochs = images / self.epoch
        return f"epoch {epochs:.{int(epochs < 9.95)}f}"

    def when(self, images: float) -> str:
        """Images seen in words, with the epoch where its length is known."""
        return ", ".join(filter(None, [f"{images:,.0f} images", self.epoch_of(images)]))

    def of_recipe(self, table: str, key: str) -> Any:
        """A value of the recipe; None where it is not given."""
        return (self.recipe.get(table) or {}).get(key)


def number(line: Line | None, key: str) -> float | None:
    """A line's value as a finite number, or None."""
    value = line.get(key) if line else None
    usable = isinstance(value, int | float) and math.isfinite(value)
    return float(value) if usable and value is not None else None


def nearest(lines: Sequence[Line]) -> Line | None:
    """The line with the least distance, the first of equals; None where none has a distance."""
    judged = [line for line in lines if number(line, "distance") is not None]
    return min(judged, key=lambda line: line["distance"], default=None)


def risen(lines: Sequence[Line], since: float = 0) -> int | None:
    """Images of the first line after the best, and after `since`, with RISEN times its distance;
    None without one.
    """
    best = nearest(lines)
    if best is None:
        return None
    for line in lines:
        distance = number(line, "distance")
        after = line["images"] > max(best["images"], since)
        if after and distance is not None and distance >= RISEN * best["distance"]:
            return int(line["images"])
    return None


def alike(runs: Sequence[GanRun]) -> list[list[GanRun]]:
    """The runs that were evaluated at all, by what makes distances comparable: network, N, image
    size and reals.
    """
    groups: dict[Any, list[GanRun]] = {}
    for run in runs:
        if run.best:
            features, sources = (
                run.judged.get("features") or {},
                run.of_recipe("data", "sources") or [],
            )
            size = run.of_recipe("data", "size")
            key = (
                run.judged.get("label"),
                features.get("sha256"),
                run.judged.get("n"),
                size,
                tuple(sources),
            )
            groups.setdefault(key, []).append(run)
    return list(groups.values())
