"""Groups and splits: images that belong together stay on one side.

Groups are the connected components over every tie between images: declared groups, equal bytes,
near-equal looks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPLITS = ("train", "val", "calibration", "test")
FRACTIONS = (0.7, 0.1, 0.1, 0.1)
# Of 256 bits. Recompressed and resized copies differ in about 10, two renderings of one latent in
# up to 24; unrelated photos in about 100, though studio portraits before a plain wall come as near
# as 27.
MAX_DISTANCE = 24


def near_duplicates(
    fingerprints: NDArray[np.bool_], max_distance: int = MAX_DISTANCE, block: int = 1024
) -> Iterator[tuple[int, int]]:
    """Pairs (i, j), i < j, of fingerprints bool [N, B] that differ in at most `max_distance` bits:
    at most N - 1.

    Not all such pairs, which may be N²/2, but as few as tie the same connected components: equal
    ones in a chain, and of those that differ each to one of every component that it joins. Two
    items that any near pair ties, directly or through others, are tied by these.

    Exact, by blocked matrix products: for codes in ±1 the dot product is B - 2·distance. 120,000
    images of 256 bits take 3.7 TFLOP and `block`·N·4 bytes.
    """
    if not len(fingerprints):
        return
    packed = np.packbits(fingerprints, axis=1)
    _, first, which = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    which = which.reshape(-1)
    order = np.argsort(which, kind="stable")
    again = which[order[1:]] == which[order[:-1]]
    yield from zip(order[:-1][again].tolist(), order[1:][again].tolist(), strict=True)
    first.sort()
    codes = np.where(fingerprints[first], 1, -1).astype(np.float32)
    for i, j in _ties(codes, codes.shape[1] - 2 * max_distance, block):
        yield int(first[i]), int(first[j])


def _ties(codes: NDArray[np.float32], least: int, block: int) -> Iterator[tuple[int, int]]:
    """Pairs (i, j), i < j, of codes [N, B] with a dot product of `least` or more that tie
    components not yet tied.
    """
    component = np.arange(len(codes))
    for start in range(0, len(codes), block):
        near = codes[start : start + block] @ codes[start:].T >= least
        # each is near itself
        for row in np.flatnonzero(np.count_nonzero(near, axis=1) > 1).tolist():
            i = start + row
            columns = start + np.flatnonzero(near[row])
            columns = columns[(columns > i) & (component[columns] != component[i])]
            joined, where = np.unique(component[columns], return_index=True)
            yield from ((i, j) for j in columns[where].tolist())
            if len(joined):
                gone = np.zeros(len(codes), dtype=bool)
                gone[joined] = True
                component[gone[component]] = component[i]


def connected_components(
    keys: Sequence[Sequence[Hashable]], pairs: Iterable[tuple[int, int]] = ()
) -> list[int]:
    """For each item the smallest index of an item that it is tied to, directly or through others.

    Items are tied by a shared key, or named as a pair; pairs are taken one by one and not kept.
    """
    parent = list(range(len(keys)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[Hashable, int] = {}
    for i, item in enumerate(keys):
        for key in item:
            a, b = root(first.setdefault(key, i)), root(i)
            parent[max(a, b)] = min(a, b)
    for i, j in pairs:
        a, b = root(i), root(j)
        parent[max(a, b)] = min(a, b)
    return [root(i) for i in range(len(keys))]


def assign_splits(
    groups: Sequence[Hashable],
    strata: Sequence[Hashable],
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
    placed: Mapping[Hashable, str] = MappingProxyType({}),
) -> list[str]:
    """A split name for each item: a group is never divided, and every stratum gets the fractions as
    nearly as can be.

    Groups in `placed` stay in the split that it names. The others are taken in random order, large
    ones first, each to the split that lacks most of what the group holds (iterative stratification
    after Sechidis et al., 2011, over whole groups). Equal input and seed give equal splits,
    whatever the order of the items.
    """
    contents: dict[Hashable, Counter[Hashable]] = {}
    for group, stratum in zip(groups, strata, strict=True):
        contents.setdefault(group, Counter())[stratum] += 1
    names = sorted((name for name in contents if name not in placed), key=repr)
    order = np.random.default_rng(seed).permutation(len(names))
    queue = sorted((names[i] for i in order), key=lambda name: -contents[name].total())
    totals = Counter(strata)
    target = [{s: n * f for s, n in totals.items()} for f in fractions]
    filled: list[Counter[Hashable]] = [Counter() for _ in fractions]
    # Where all lack equally, training comes first and the test split second: tiny sets must have
    # both.
    preference = [0, *range(len(fractions) - 1, 0, -1)]
    places = {name: split for name, split in placed.items() if name in contents}
    for name, split in places.items():
        filled[SPLITS.index(split)].update(contents[name])
    for name in queue:

        def lack(k: int, holds: Counter[Hashable] = contents[name]) -> float:
            return (
                sum(n * (1 - filled[k][s] / target[k][s]) for s, n in holds.items())
                if fractions[k]
                else -np.inf
            )

        best = max(preference, key=lack)
        filled[best].update(contents[name])
        places[name] = SPLITS[best]
    return [places[group] for group in groups]
