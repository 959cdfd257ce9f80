"""Folds over whole groups, for kinds of which one test split holds too few pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.errors import LabError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.data.manifest import Manifest

FOLDS = 5
FEWEST = 60  # test pictures from which a kind needs no folds


def assign_folds(manifest: Manifest, folds: int = FOLDS, seed: int = 0) -> NDArray[np.int64]:
    """The fold of each row [N], 0 to `folds` - 1: no group is divided, and kinds spread evenly.

    The groups are taken in random order, large ones first. Each goes to the fold that has fewest
    pictures of the kinds that it holds. Equal rows and seed give equal folds, whatever the order of
    the rows.
    """
    if folds < 2:
        raise LabError(f"{folds} folds: give 2 or more")
    contents: dict[str, Counter[Hashable]] = {}
    for row in manifest.rows:
        content = contents.setdefault(row.group, Counter())
        content[row.label, row.kind] += 1

    filled: list[Counter[Hashable]] = [Counter() for _ in range(folds)]
    fold_of: dict[str, int] = {}
    for group in _queue(contents, seed):
        content = contents[group]
        sizes = []
        for fold in filled:
            # Kinds first; between folds that hold equally many of these, the smaller one.
            of_kinds = sum(fold[kind] for kind in content)
            sizes.append((of_kinds, fold.total()))
        smallest = sizes.index(min(sizes))
        filled[smallest].update(content)
        fold_of[group] = smallest
    return np.array([fold_of[row.group] for row in manifest.rows], dtype=np.int64)


def _queue(contents: dict[str, Counter[Hashable]], seed: int) -> list[str]:
    """The groups in random order, then sorted by size, largest first."""
    names = sorted(contents)
    order = np.random.default_rng(seed).permutation(len(names))
    shuffled = [names[i] for i in order]
    return sorted(shuffled, key=lambda name: -contents[name].total())


def list_small_kinds(manifest: Manifest, fewest: int = FEWEST, folds: int = FOLDS) -> list[str]:
    """The kinds with fewer test pictures, and with a group for each fold.

    A kind of fewer groups cannot be scored out of fold; it has to be left out as a whole.
    """
    in_test: Counter[str] = Counter()
    groups: dict[str, set[str]] = {}
    for row in manifest.rows:
        in_test[row.kind] += row.split == "test"
        groups.setdefault(row.kind, set()).add(row.group)
    return [kind for kind, own in groups.items() if in_test[kind] < fewest and len(own) >= folds]


def fold_manifests(
    manifest: Manifest, kinds: Collection[str], folds: int = FOLDS, seed: int = 0
) -> list[Manifest]:
    """One manifest a fold, with other splits for these kinds: all their pictures are tested once.

    In manifest k the test split holds fold k of the kinds, and the train split what the others have
    in theirs. Rows of other kinds keep their splits, unless their group holds a picture of these.
    """
    wanted = set(kinds)
    moved = {row.group for row in manifest.rows if row.kind in wanted}
    chosen = manifest.where(lambda row: row.group in moved)
    numbers = assign_folds(chosen, folds, seed).tolist()
    fold_of = {row.group: number for row, number in zip(chosen.rows, numbers, strict=True)}
    manifests = []
    for number in range(folds):
        rows = []
        for row in manifest.rows:
            split = row.split
            if fold_of.get(row.group) == number:
                split = "test"
            elif row.group in fold_of and split == "test":
                split = "train"
            rows.append(replace(row, split=split))
        manifests.append(replace(manifest, rows=tuple(rows)))
    return manifests
