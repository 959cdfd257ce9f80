"""Which images a detector training sees, in which stages, and in which order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fauxlab.config import Recipe
from fauxlab.data.manifest import Manifest
from fauxlab.errors import LabError
from fauxlab.models import create_detector

Rows = NDArray[np.int64]  # indices into a manifest's rows


@dataclass(frozen=True)
class Stage:
    """A set of training rows seen for some epochs; a joint training is a single stage."""

    name: str
    rows: Rows
    epochs: int
    steps_per_epoch: int

    @property
    def steps(self) -> int:
        """Steps in all its epochs."""
        return self.epochs * self.steps_per_epoch


@dataclass(frozen=True)
class Plan:
    """What a recipe means for a manifest, before any image is decoded."""

    stages: tuple[Stage, ...]
    val_rows: Rows
    generators: tuple[str, ...]

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return sum(stage.steps for stage in self.stages)

    def at(self, step: int) -> tuple[int, int, int]:
        """(stage, epoch within the stage, step within the epoch) of a global step."""
        for number, stage in enumerate(self.stages):
            if step < stage.steps:
                return number, step // stage.steps_per_epoch, step % stage.steps_per_epoch
            step -= stage.steps
        raise IndexError(step)


def run_name(recipe: Recipe) -> str:
    """The run folder's default name: the recipe's, with the generator where it trains on a single one."""
    single = recipe.train.schedule == "single" and len(recipe.data.generators) == 1
    return f"{recipe.name}-{recipe.data.generators[0].replace('/', '_')}" if single else recipe.name


def plan_training(manifest: Manifest, recipe: Recipe) -> Plan:
    """Choose each stage's rows. Raises LabError when generators are unknown or a class has no images."""
    train = recipe.train
    manifest.in_split("train")  # says so where the manifest was never split
    generators = recipe.data.generators or manifest.generators
    for name in generators:
        if name not in manifest.generators:
            raise LabError(f"no generator {name!r} in the manifest; it has {', '.join(manifest.generators) or 'none'}")
    if train.schedule == "single" and len(generators) != 1:
        raise LabError(
            f"recipe {recipe.name} trains on one generator; add --set data.generators=NAME "
            f"with one of {', '.join(manifest.generators)}"
        )
    parts = [generators] if train.schedule == "joint" else [[name] for name in generators]
    stages = []
    for part in parts:
        rows = _rows(manifest, part, "train")
        classes = {manifest.rows[i].label for i in rows}
        if classes != {0, 1}:
            lacking = "real" if 1 in classes or not classes else "fake"
            raise LabError(
                f"no {lacking} images to train on (generator {', '.join(part) or 'none'}, split train); "
                "a detector needs both real and fake ones"
            )
        name = part[0] if len(part) == 1 else "joint"
        stages.append(Stage(name, rows, train.epochs, max(1, len(rows) // train.batch)))
    return Plan(tuple(stages), _rows(manifest, generators, "val"), tuple(generators))


def describe_plan(manifest: Manifest, recipe: Recipe) -> str:
    """The recipe as TOML, and in comments what it comes to on this manifest."""
    plan = plan_training(manifest, recipe)
    network = create_detector(recipe.model.name, recipe.data.size, **recipe.model.options)
    parameters = sum(p.numel() for p in network.parameters())
    lines = [recipe.to_toml(), f"# {parameters:,} parameters; data hash {manifest.data_hash}"]
    for stage in plan.stages:
        fakes = sum(manifest.rows[i].label for i in stage.rows)
        lines.append(f"# stage {stage.name}: {len(stage.rows) - fakes:,} real, {fakes:,} fake, {stage.steps:,} steps")
    lines.append(f"# {plan.steps * recipe.train.batch:,} images in all; {len(plan.val_rows):,} to validate on")
    return "\n".join(lines)


def epoch_order(manifest: Manifest, rows: Rows, balance: str, key: tuple[int, int, int]) -> Rows:
    """The rows of one epoch in the order they are seen; as many as `rows` holds, a pure function of its arguments.

    Balanced epochs alternate real and fake, so that every even batch is half and half; a small set is repeated, each
    image once before any twice.
    """
    rng = np.random.default_rng(key)
    if balance == "none":
        return rng.permutation(rows)
    label = np.array([manifest.rows[i].label for i in rows])
    generator = np.array([manifest.rows[i].generator for i in rows])
    pools = [rows[label == 1]]
    if balance == "generator":
        pools = [rows[(label == 1) & (generator == name)] for name in dict.fromkeys(generator[label == 1])]
    n_fake = len(rows) // 2
    shares = [n_fake // len(pools) + (k < n_fake % len(pools)) for k in range(len(pools))]
    order = np.empty(len(rows), dtype=np.int64)
    order[::2] = _repeat(rows[label == 0], len(rows) - n_fake, rng)
    order[1::2] = rng.permutation(np.concatenate([_repeat(p, n, rng) for p, n in zip(pools, shares, strict=True)]))
    return order


def _repeat(pool: Rows, count: int, rng: np.random.Generator) -> Rows:
    rounds = [rng.permutation(pool) for _ in range(-(-count // len(pool)))]
    return np.concatenate([pool[:0], *rounds])[:count]


def _rows(manifest: Manifest, generators: list[str], split: str) -> Rows:
    """Rows of the generators' fakes and of the reals matched with any of them."""
    reals = {source for name in generators for source in manifest.matched_reals(name)} or set(manifest.sources)
    return np.array(
        [
            i
            for i, row in enumerate(manifest.rows)
            if row.split == split and (row.generator in generators if row.label else row.source in reals)
        ],
        dtype=np.int64,
    )
