"""In which order the images of an epoch are seen, and which process sees which of a batch.

Every order is a pure function of its arguments, so a resumed run sees the same one.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator, default_rng

from fauxlab.config import TrainConfig
from fauxlab.data.manifest import Manifest
from fauxlab.training.detector.schedule import NO_ROWS, Rows, Stage

Key = tuple[int, ...]  # seeds of a draw
Groups = dict[int, str]  # the group of each row

# The labels of an epoch go real, fake, real, fake, …
PAIR = 2


def stage_order(
    manifest: Manifest,
    stage: Stage,
    train: TrainConfig,
    epoch: int,
    number: int,
    altered: float | None = None,
) -> Rows:
    """The rows of one epoch of a stage; `number` is the stage's.

    With train.replay a share of the epoch is drawn from the stages before, so that they are not
    forgotten. `altered` is as for `epoch_order`.
    """
    key = (train.seed, number, epoch)
    shares = (altered, train.matched)
    order = epoch_order(manifest, stage.rows, train.balance, key, *shares)
    replayed = _even(int(len(order) * train.replay))
    if not replayed or not len(stage.earlier):
        return order

    # The first pairs of the epoch give way to pairs of earlier stages, repeated where they are few.
    earlier = epoch_order(manifest, stage.earlier, train.balance, (*key, 1), *shares)
    earlier_pairs = earlier[: _even(len(earlier))]
    order[:replayed] = np.resize(earlier_pairs, replayed)

    # Then all pairs are shuffled as pairs, so that reals and fakes still take turns.
    end = _even(len(order))
    pairs = order[:end].reshape(-1, PAIR)
    shuffler = default_rng((*key, 2))
    mixed = shuffler.permutation(pairs)
    last = order[end:]
    return np.concatenate([mixed.ravel(), last])


def _even(count: int) -> int:
    """A number of rows, rounded down to whole pairs."""
    return count // PAIR * PAIR


def deal(batch: Rows, process: int, processes: int) -> Rows:
    """One process's rows of a batch, dealt in pairs.

    Each process then gets both classes of a balanced batch, which batch normalisation and
    self-blending need.
    """
    if processes == 1:
        return batch
    pairs = batch.reshape(-1, PAIR)
    return pairs[process::processes].ravel()


def epoch_order(
    manifest: Manifest,
    rows: Rows,
    balance: str,
    key: Key,
    altered: float | None = None,
    matched: float = 0.0,
) -> Rows:
    """The rows of one epoch in the order they are seen; as many as `rows` holds.

    Balanced epochs alternate real and fake, so that every even batch is half and half. A small set
    is repeated, each image once before any comes twice. `altered` is the share of the fakes that
    are altered ones, where there are fakes of both kinds; None draws no difference. `matched` is
    the share of the reals that comes from the sources which fakes among the rows are matched with.
    """
    rng = default_rng(key)
    if balance == "none":
        return rng.permutation(rows)

    labels = manifest.labels[rows]
    groups = None
    if balance == "group":
        groups = {int(i): manifest.rows[i].group for i in rows}

    n_fake = len(rows) // 2
    n_real = len(rows) - n_fake
    real_parts = []
    n_pools = 0
    for part, count in _share_reals(manifest, rows, n_real, matched):
        real_pools = _real_pools(manifest, part, balance)
        n_pools += len(real_pools)
        real_parts.append(_draw(real_pools, count, groups, rng))
    reals = np.concatenate(real_parts)
    if n_pools > 1:  # the draws of a single pool are mixed already
        reals = rng.permutation(reals)
    parts = []
    for part, count in _share_fakes(manifest, rows[labels == 1], n_fake, altered):
        fake_pools = _fake_pools(manifest, part, balance)
        parts.append(_draw(fake_pools, count, groups, rng))
    fakes = np.concatenate(parts)
    fakes = rng.permutation(fakes)

    order = np.empty(len(rows), dtype=np.int64)
    order[::2] = reals
    order[1::2] = fakes
    return order


def _share_reals(
    manifest: Manifest, rows: Rows, count: int, share: float
) -> list[tuple[Rows, int]]:
    """Sets of reals, and how many images an epoch takes of each.

    Without more of the matched reals, a network would take their origin for a sign of their fakes.
    """
    reals = rows[manifest.labels[rows] == 0]
    n_matched = round(share * count)
    if not n_matched:
        return [(reals, count)]
    generators = {manifest.rows[i].generator for i in rows}
    sources: set[str] = set()
    for name in generators - {""}:
        if manifest.names_reals(name):
            sources.update(manifest.matched_reals(name))
    is_matched = np.array([manifest.rows[i].source in sources for i in reals])
    if not is_matched.any():
        return [(reals, count)]
    return [(reals[is_matched], n_matched), (reals, count - n_matched)]


def _real_pools(manifest: Manifest, reals: Rows, balance: str) -> list[Rows]:
    """Sets of reals, from each of which an epoch takes as many images."""
    if balance != "group":
        return [reals]
    return _split_by([manifest.rows[i].source for i in reals], reals)


def _fake_pools(manifest: Manifest, fakes: Rows, balance: str) -> list[Rows]:
    """Sets of fakes, from each of which an epoch takes as many images."""
    if balance == "label":
        return [fakes]
    return _split_by([manifest.rows[i].generator for i in fakes], fakes)


def _share_fakes(
    manifest: Manifest, fakes: Rows, count: int, altered: float | None
) -> list[tuple[Rows, int]]:
    """Sets of fakes, and how many images an epoch takes of each."""
    if altered is None:
        return [(fakes, count)]
    manipulations = np.array([manifest.rows[i].manipulation for i in fakes])
    is_altered = manipulations == "altered"
    if is_altered.all() or not is_altered.any():
        return [(fakes, count)]
    n_altered = round(altered * count)
    n_made = count - n_altered
    return [(fakes[~is_altered], n_made), (fakes[is_altered], n_altered)]


def _split_by(names: list[str], rows: Rows) -> list[Rows]:
    """The rows of each name, in the order in which the names come first."""
    parts: dict[str, list[int]] = {}
    for name, row in zip(names, rows.tolist(), strict=True):
        part = parts.setdefault(name, [])
        part.append(row)
    return [np.array(part, dtype=np.int64) for part in parts.values()]


def _draw(
    pools: list[Rows],
    count: int,
    groups: Groups | None,
    rng: Generator,
) -> Rows:
    """`count` rows, as many from each pool; with `groups` as many from each of a pool's groups."""
    share, rest = divmod(count, len(pools))
    drawn = []
    for number, pool in enumerate(pools):
        wanted = share
        if number < rest:
            wanted += 1
        if groups is None:
            drawn.append(_repeat(pool, wanted, rng))
        else:
            drawn.append(_repeat_by_group(pool, wanted, groups, rng))
    return np.concatenate(drawn)


def _repeat(pool: Rows, count: int, rng: Generator) -> Rows:
    """`count` rows in shuffled passes through the pool."""
    passes = math.ceil(count / len(pool))
    drawn = [NO_ROWS]
    for _ in range(passes):
        drawn.append(rng.permutation(pool))
    repeated = np.concatenate(drawn)
    return repeated[:count]


def _repeat_by_group(
    pool: Rows,
    count: int,
    groups: Groups,
    rng: Generator,
) -> Rows:
    """`count` rows in passes that take one row of each group, a group's next one each time."""
    members: dict[str, list[int]] = {}
    for row in rng.permutation(pool).tolist():
        group = groups[row]
        members.setdefault(group, []).append(row)
    passes = math.ceil(count / len(members))
    drawn = [NO_ROWS]
    for number in range(passes):
        one_of_each = [rows[number % len(rows)] for rows in members.values()]
        drawn.append(rng.permutation(one_of_each))
    repeated = np.concatenate(drawn)
    return repeated[:count]
