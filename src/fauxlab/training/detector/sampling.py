"""Which images a detector training sees, in which stages, and in which order."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fauxlab.config import Recipe, TrainConfig, as_name
from fauxlab.data.manifest import Manifest
from fauxlab.errors import LabError

Rows = NDArray[np.int64]  # indices into a manifest's rows


@dataclass(frozen=True)
class Stage:
    """A set of training rows seen for some epochs; a joint training is a single stage."""

    name: str
    rows: Rows
    epochs: int
    steps_per_epoch: int
    earlier: Rows = field(default_factory=lambda: np.zeros(0, dtype=np.int64))  # to be replayed

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
    """The run folder's default name: the recipe's, with the generator where it trains on a single
    one.
    """
    single = recipe.train.schedule == "single" and len(recipe.data.generators) == 1
    return f"{recipe.name}-{as_name(recipe.data.generators[0])}" if single else recipe.name


def plan_training(manifest: Manifest, recipe: Recipe) -> Plan:
    """Choose each stage's rows. Raises LabError when generators are unknown or a class has no
    images.
    """
    train = recipe.train
    manifest.in_split("train")  # says so where the manifest was never split
    generators = recipe.data.generators or manifest.generators
    if not generators:
        raise LabError(
            "no fake images to train on: the manifest has none; a detector needs both real and fake ones"
        )
    for name in generators:
        if name not in manifest.generators:
            raise LabError(
                f"no generator {name!r} in the manifest; it has {', '.join(manifest.generators) or 'none'}"
            )
    if train.schedule == "single" and len(generators) != 1:
        raise LabError(
            f"recipe {recipe.name} trains on one generator; add --set data.generators=NAME "
            f"with one of {', '.join(manifest.generators)}"
        )
    parts = [generators] if train.schedule == "joint" else [[name] for name in generators]
    stages: list[Stage] = []
    for part in parts:
        rows = _rows(manifest, part, "train", recipe.data.reals)
        classes = {manifest.rows[i].label for i in rows}
        if classes != {0, 1}:
            lacking = "real" if 1 in classes or not classes else "fake"
            raise LabError(
                f"no {lacking} images to train on (generator {', '.join(part) or 'none'}, split train); "
                "a detector needs both real and fake ones"
            )
        name = part[0] if len(part) == 1 else "joint"
        earlier = np.unique(
            np.concatenate([np.zeros(0, dtype=np.int64), *(stage.rows for stage in stages)])
        )
        stages.append(Stage(name, rows, train.epochs, max(1, len(rows) // train.batch), earlier))
    return Plan(
        tuple(stages), _rows(manifest, generators, "val", recipe.data.reals), tuple(generators)
    )


def stage_order(
    manifest: Manifest, stage: Stage, train: TrainConfig, epoch: int, number: int
) -> Rows:
    """The rows of one epoch of a stage; with train.replay its last share is drawn from the stages
    before.
    """
    key = (train.seed, number, epoch)
    order = epoch_order(manifest, stage.rows, train.balance, key)
    pairs = int(len(order) * train.replay) // 2
    if not pairs or not len(stage.earlier):
        return order
    old = epoch_order(manifest, stage.earlier, train.balance, (*key, 1))
    # in whole pairs, however often repeated
    order[: 2 * pairs] = np.resize(old[: len(old) // 2 * 2], 2 * pairs)
    whole = len(order) // 2 * 2
    # pairs stay real, fake
    mixed = np.random.default_rng((*key, 2)).permutation(order[:whole].reshape(-1, 2))
    return np.concatenate([mixed.ravel(), order[whole:]])


def deal(batch: Rows, rank: int, world: int) -> Rows:
    """One process's rows of a batch, dealt in pairs, so that each gets both classes of a balanced
    batch.

    Batch normalisation and self-blending look at what one process sees.
    """
    return batch if world == 1 else batch.reshape(-1, 2)[rank::world].ravel()


def epoch_order(manifest: Manifest, rows: Rows, balance: str, key: tuple[int, ...]) -> Rows:
    """The rows of one epoch in the order they are seen; as many as `rows` holds, a pure function of
    its arguments.

    Balanced epochs alternate real and fake, so that every even batch is half and half; a small set
    is repeated, each image once before any twice.
    """
    rng = np.random.default_rng(key)
    if balance == "none":
        return rng.permutation(rows)
    kept = [manifest.rows[i] for i in rows]
    label = np.array([row.label for row in kept])
    reals, fakes = [rows[label == 0]], [rows[label == 1]]
    if balance in ("generator", "group"):
        fakes = _parts(rows, [row.generator if row.label else None for row in kept])
    if balance == "group":
        reals = _parts(rows, [None if row.label else row.source for row in kept])
    groups = (
        {int(i): row.group for i, row in zip(rows, kept, strict=True)}
        if balance == "group"
        else None
    )
    n_fake = len(rows) // 2
    order = np.empty(len(rows), dtype=np.int64)
    order[::2] = _draw(reals, len(rows) - n_fake, groups, rng)
    if len(reals) > 1:  # a single pool comes mixed
        order[::2] = rng.permutation(order[::2])
    order[1::2] = rng.permutation(_draw(fakes, n_fake, groups, rng))
    return order


def _parts(rows: Rows, names: list[str | None]) -> list[Rows]:
    """The rows of each name, in the order in which names come; those without one are left out."""
    found: dict[str, list[int]] = {}
    for i, name in zip(rows.tolist(), names, strict=True):
        if name is not None:
            found.setdefault(name, []).append(i)
    return [np.array(part, dtype=np.int64) for part in found.values()]


def _draw(
    pools: list[Rows], count: int, groups: dict[int, str] | None, rng: np.random.Generator
) -> Rows:
    """`count` rows, evenly from the pools, one after the other; with `groups` each pool's evenly
    from its groups.
    """
    shares = [count // len(pools) + (k < count % len(pools)) for k in range(len(pools))]
    return np.concatenate(
        [_repeat(pool, n, groups, rng) for pool, n in zip(pools, shares, strict=True)]
    )


def _repeat(
    pool: Rows, count: int, groups: dict[int, str] | None, rng: np.random.Generator
) -> Rows:
    if groups is None:
        rounds = [rng.permutation(pool) for _ in range(-(-count // len(pool)))]
        return np.concatenate([pool[:0], *rounds])[:count]
    # A round takes one row of each group, another one the next time.
    members: dict[str, list[int]] = {}
    for i in rng.permutation(pool).tolist():
        members.setdefault(groups[i], []).append(i)
    names, found = list(members), [np.zeros(0, dtype=np.int64)]
    for number in range(-(-count // len(names))):
        found.append(
            rng.permutation([members[name][number % len(members[name])] for name in names])
        )
    return np.concatenate(found)[:count]


def _rows(manifest: Manifest, generators: list[str], split: str, reals_of: str) -> Rows:
    """Rows of the generators' fakes and of the reals matched with any of them, or of all."""
    matched = {source for name in generators for source in manifest.matched_reals(name)}
    reals = matched if generators and reals_of == "matched" else set(manifest.sources)
    return np.array(
        [
            i
            for i, row in enumerate(manifest.rows)
            if row.split == split
            and (row.generator in generators if row.label else row.source in reals)
        ],
        dtype=np.int64,
    )
