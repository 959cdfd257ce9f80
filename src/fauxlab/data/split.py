"""Groups and splits: images that belong together stay on one side.

A group is a connected component over all ties between images: declared groups, equal bytes, and
looks that are nearly equal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.errors import LabError
from fauxlab.io.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Codes = NDArray[np.float32]
    Numbers = NDArray[np.int64]

Pair = tuple[int, int]
Counts = Counter[Hashable]

SPLITS = ("train", "val", "calibration", "test")
FRACTIONS = (0.7, 0.1, 0.1, 0.1)
UNEVEN = 0.1  # between the share of a split and the one asked for
# Of 256 bits. Recompressed and resized copies differ in about 10, two renderings of one latent in
# up to 24, unrelated photos in about 100. Only studio portraits before a plain wall come as near as
# 27.
MAX_DISTANCE = 24


def near_duplicates(
    fingerprints: NDArray[np.bool_],
    max_distance: int = MAX_DISTANCE,
    block: int = 1024,
) -> Iterator[Pair]:
    """Pairs (i, j), i < j, of fingerprints bool [N, B] that differ in at most `max_distance` bits.

    There may be N²/2 such pairs. Only as many are given as it takes to tie the same connected
    components, at most N - 1. Equal fingerprints are tied in a chain; of the others, each is tied
    to one of every component that it joins.

    The search is exact, by blocked matrix products: for codes of ±1 the dot product is
    B - 2·distance. 120,000 images of 256 bits take 3.7 TFLOP and `block`·N·4 bytes.
    """
    if not len(fingerprints):
        return
    packed = np.packbits(fingerprints, axis=1)
    _, firsts, code_of = np.unique(
        packed,
        axis=0,
        return_index=True,
        return_inverse=True,
    )
    yield from _chain_equal(code_of.reshape(-1))
    # Each code once from here on, in the order of its first image.
    firsts.sort()
    distinct = fingerprints[firsts]
    codes = np.where(distinct, 1, -1).astype(np.float32)
    bits = codes.shape[1]
    least_product = bits - 2 * max_distance
    images = firsts.tolist()
    for i, j in _tie_near(codes, least_product, block):
        yield images[i], images[j]


def _chain_equal(code_of: Numbers) -> Iterator[Pair]:
    """Pairs of neighbours among the images of each code; `code_of` [N] numbers the codes."""
    order = np.argsort(code_of, kind="stable")
    before = order[:-1]
    after = order[1:]
    is_equal = code_of[before] == code_of[after]
    firsts = before[is_equal].tolist()
    seconds = after[is_equal].tolist()
    yield from zip(firsts, seconds, strict=True)


def _tie_near(codes: Codes, least_product: int, block: int) -> Iterator[Pair]:
    """Pairs (i, j), i < j, of codes [N, B] with a dot product of at least `least_product`.

    Only pairs that tie components that no earlier pair has tied.
    """
    component = np.arange(len(codes))
    for start in range(0, len(codes), block):
        rows = codes[start : start + block]
        # What stands before the block was compared with it as a row of its own.
        others = codes[start:]
        near = rows @ others.T >= least_product
        neighbours = np.count_nonzero(near, axis=1)
        # Each code is near itself, so a row of one neighbour has nothing to tie.
        for row in np.flatnonzero(neighbours > 1).tolist():
            i = start + row
            later = start + np.flatnonzero(near[row])
            is_untied = component[later] != component[i]
            candidates = later[(later > i) & is_untied]
            joined, where = np.unique(component[candidates], return_index=True)
            for j in candidates[where].tolist():
                yield i, j
            if len(joined):
                # Everything in the joined components now belongs to the component of i.
                is_joined = np.zeros(len(codes), dtype=bool)
                is_joined[joined] = True
                component[is_joined[component]] = component[i]


def connected_components(
    keys: Sequence[Sequence[Hashable]],
    pairs: Iterable[Pair] = (),
) -> list[int]:
    """For each item the smallest index of an item that it is tied to, directly or through others.

    Items are tied by a shared key, or named as a pair. Pairs are taken one by one and not stored.
    """
    parent = list(range(len(keys)))

    def root(i: int) -> int:
        while parent[i] != i:
            # Halving the path keeps later look-ups short.
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    def tie(i: int, j: int) -> None:
        a = root(i)
        b = root(j)
        parent[max(a, b)] = min(a, b)

    first_with: dict[Hashable, int] = {}
    for i, item_keys in enumerate(keys):
        for key in item_keys:
            first = first_with.setdefault(key, i)
            tie(first, i)
    for i, j in pairs:
        tie(i, j)
    return [root(i) for i in range(len(keys))]


def check_fractions(fractions: Sequence[float]) -> None:
    """Raise LabError where these are no shares of the four splits."""
    are_four = len(fractions) == len(SPLITS)
    # Asked so that a NaN is refused: every comparison with it is false.
    are_positive = all(fraction >= 0 for fraction in fractions)
    sum_to_one = abs(sum(fractions) - 1) < 1e-6
    if not (are_four and are_positive and sum_to_one):
        raise LabError(
            f"split fractions {list(fractions)}: give four that sum to 1, for {', '.join(SPLITS)}"
        )


def assign_splits(
    groups: Sequence[Hashable],
    strata: Sequence[Hashable],
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
    placed: Mapping[Hashable, str] = MappingProxyType({}),
) -> list[str]:
    """A split name for each item: no group is divided, and strata get the fractions nearly.

    Groups in `placed` stay in the split that it names. The others are taken in random order, large
    ones first. Each goes to the split that lacks most of what the group holds (iterative
    stratification after Sechidis et al., 2011, over whole groups). Equal input and seed give equal
    splits, whatever the order of the items.
    """
    contents: dict[Hashable, Counts] = {}
    for group, stratum in zip(groups, strata, strict=True):
        contents.setdefault(group, Counter())[stratum] += 1
    totals = Counter(strata)
    filled: list[Counts] = [Counter() for _ in fractions]
    split_of: dict[Hashable, str] = {}
    for group, split in placed.items():
        if group in contents:
            split_of[group] = split
            number = SPLITS.index(split)
            filled[number].update(contents[group])

    # Splits that lack equally much: training comes first and the test split second, since even a
    # tiny set must have both.
    last = len(fractions) - 1
    preference = [0, *range(last, 0, -1)]
    open_splits = [k for k in preference if fractions[k] > 0]
    for group in _queue(contents, placed, seed):
        content = contents[group]
        lacks = [_lack(content, filled[k], totals, fractions[k]) for k in open_splits]
        place = lacks.index(max(lacks))
        neediest = open_splits[place]
        filled[neediest].update(content)
        split_of[group] = SPLITS[neediest]
    return [split_of[group] for group in groups]


def describe_uneven(
    groups: Sequence[str], splits: Sequence[str], fractions: Sequence[float]
) -> list[str]:
    """A warning where the largest group keeps the splits from having nearly these shares."""
    total = len(groups)
    if not total:
        return []
    name, largest = Counter(groups).most_common(1)[0]
    asked = dict(zip(SPLITS, fractions, strict=True))
    smallest = min(share for share in asked.values() if share > 0)
    sizes = Counter(splits)
    shares = {split: sizes[split] / total for split in SPLITS}
    is_empty = any(asked[split] > 0 and not sizes[split] for split in SPLITS)
    is_far = any(abs(shares[split] - asked[split]) > UNEVEN for split in SPLITS)
    if largest < 2 or largest <= smallest * total or not (is_empty or is_far):
        return []
    listed = ", ".join(f"{split} {shares[split]:.0%}" for split in SPLITS)
    return [
        f"whole groups do not divide into these splits: they hold {listed}, and the largest group, "
        f"{printable(name)!r:.80}, holds {largest:,} of {total:,} images; if it ties too much, "
        "choose another --group-by, or name the groups in a metadata.csv"
    ]


def _queue(
    contents: Mapping[Hashable, Counts],
    placed: Mapping[Hashable, str],
    seed: int,
) -> list[Hashable]:
    """The groups that are not placed yet, in random order, then sorted by size, largest first."""
    names = [name for name in contents if name not in placed]
    # In an order that does not depend on that of the items.
    names.sort(key=repr)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(names))
    shuffled = [names[i] for i in order]
    return sorted(shuffled, key=lambda name: -contents[name].total())


def _lack(
    content: Counts,
    filled: Counts,
    totals: Counts,
    fraction: float,
) -> float:
    """The share that a split still lacks of each stratum, summed over the images of a group."""
    lack = 0.0
    for stratum, images in content.items():
        target = totals[stratum] * fraction
        share = filled[stratum] / target
        lack += images * (1 - share)
    return lack
