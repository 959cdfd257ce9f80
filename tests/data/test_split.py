"""The promise of the split: whatever ties images together, they end up on one side."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fauxlab.data.split import (
    FRACTIONS,
    SPLITS,
    assign_splits,
    connected_components,
    describe_uneven,
    near_duplicates,
)

items = st.lists(
    st.tuples(
        st.lists(st.integers(0, 30), min_size=1, max_size=3), st.sampled_from(["real", "a", "b"])
    ),
    min_size=1,
    max_size=80,
)


@given(items, st.integers(0, 5))
@settings(max_examples=200, deadline=None)
def test_no_tie_ever_crosses_a_split(things: list[tuple[list[int], str]], seed: int) -> None:
    keys = [ties for ties, _ in things]
    splits = assign_splits(connected_components(keys), [s for _, s in things], seed=seed)
    seen: dict[int, str] = {}
    for ties, split in zip(keys, splits, strict=True):
        assert split in SPLITS
        for tie in ties:
            assert seen.setdefault(tie, split) == split


@given(items, st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_order_does_not_matter(things: list[tuple[list[int], str]], random: object) -> None:
    groups = [f"g{ties[0]}" for ties, _ in things]
    strata = [s for _, s in things]
    straight = dict(zip(groups, assign_splits(groups, strata, seed=3), strict=True))
    order = list(range(len(things)))
    random.shuffle(order)  # type: ignore[attr-defined]
    mixed = assign_splits([groups[i] for i in order], [strata[i] for i in order], seed=3)
    assert all(straight[groups[i]] == split for i, split in zip(order, mixed, strict=True))


@given(st.integers(40, 400), st.integers(0, 10))
@settings(max_examples=50, deadline=None)
def test_every_stratum_gets_its_fractions(n: int, seed: int) -> None:
    strata = ["real"] * n + ["fake"] * (n // 4)
    splits = assign_splits(list(range(len(strata))), strata, seed=seed)
    for stratum in ("real", "fake"):
        counts = Counter(s for s, name in zip(splits, strata, strict=True) if name == stratum)
        for split, fraction in zip(SPLITS, FRACTIONS, strict=True):
            # The small splits may each be rounded up by less than one, all at the expense of
            # training.
            assert abs(counts[split] - fraction * counts.total()) <= (3 if split == "train" else 1)


def test_seed_changes_the_split_and_nothing_else_does() -> None:
    groups, strata = list(range(100)), ["x"] * 100
    assert assign_splits(groups, strata, seed=1) == assign_splits(groups, strata, seed=1)
    assert assign_splits(groups, strata, seed=1) != assign_splits(groups, strata, seed=2)


@given(st.integers(40, 400), st.integers(0, 10))
@settings(max_examples=50, deadline=None)
def test_what_was_placed_stays_and_the_rest_fills_up(n: int, seed: int) -> None:
    first = assign_splits(range(n), ["x"] * n, seed=seed)
    splits = assign_splits(
        range(2 * n), ["x"] * (2 * n), seed=seed + 1, placed=dict(enumerate(first))
    )
    assert splits[:n] == first
    for split, fraction in zip(SPLITS, FRACTIONS, strict=True):
        assert abs(splits.count(split) - fraction * 2 * n) <= (3 if split == "train" else 1)


def test_components_chain() -> None:
    assert connected_components([["a"], ["b"], ["a", "b"], ["c"], ["c", "d"], ["e"]]) == [
        0,
        0,
        0,
        3,
        3,
        5,
    ]
    assert connected_components([["a"], ["b"], ["b"], ["c"]], iter([(0, 2), (3, 1)])) == [
        0,
        0,
        0,
        0,
    ]


@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.integers(1, 40))
@settings(max_examples=200, deadline=None)
def test_near_duplicates_tie_what_all_close_pairs_tie(seed: int, distance: int, block: int) -> None:
    rng = np.random.default_rng(seed)
    base = rng.random((4, 60)) < 0.5
    bits = base[rng.integers(0, 4, 30)] ^ (
        rng.random((30, 60)) < rng.choice([0, 0.02, 0.2], (30, 1))
    )
    brute = {
        (i, j)
        for i in range(30)
        for j in range(i + 1, 30)
        if int((bits[i] != bits[j]).sum()) <= distance
    }
    ties = list(near_duplicates(bits, distance, block))
    assert brute.issuperset(ties)
    names: list[list[int]] = [[i] for i in range(30)]
    groups = connected_components(names, ties)
    assert groups == connected_components(names, brute)
    assert len(ties) == 30 - len(set(groups)), "no tie joins what is one already"


def test_alike_fingerprints_make_no_more_ties_than_there_are_of_them() -> None:
    rng = np.random.default_rng(0)
    equal = np.repeat(rng.random((1, 256)) < 0.5, 3000, axis=0)
    alike = equal.copy()
    alike[:, :12] = rng.random((3000, 12)) < 0.5
    for bits in (equal, alike):
        ties = list(near_duplicates(bits))
        assert len(ties) == 2999
        assert connected_components([[i] for i in range(3000)], ties) == [0] * 3000


def test_no_fingerprints_have_no_ties() -> None:
    assert list(near_duplicates(np.zeros((0, 256), dtype=bool))) == []
    assert list(near_duplicates(np.zeros((1, 256), dtype=bool))) == []


def test_groups_that_are_too_large_are_told() -> None:
    groups = ["video"] * 60 + [str(k) for k in range(40)]
    splits = assign_splits(groups, ["x"] * 100)
    assert describe_uneven(groups, splits, FRACTIONS) == []
    alone = ["video"] * 100
    (line,) = describe_uneven(alone, assign_splits(alone, ["x"] * 100), FRACTIONS)
    assert "they hold train 100%, val 0%, calibration 0%, test 0%" in line
    assert "the largest group, 'video', holds 100 of 100 images" in line
    halves = ["a"] * 50 + ["b"] * 50
    assert len(describe_uneven(halves, assign_splits(halves, ["x"] * 100), FRACTIONS)) == 1


def test_small_sets_of_single_images_are_not_warned_of() -> None:
    groups = ["a", "b", "c"]
    assert describe_uneven(groups, assign_splits(groups, ["x"] * 3), FRACTIONS) == []
    assert describe_uneven([], [], FRACTIONS) == []
