"""Bounds over kinds: order statistics by hand, the next kind's mean against the normal model, and
rates over many simulated draws.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from fauxlab.calibration.kinds import (
    Kinds,
    bound_for_next_kind,
    bound_on_average,
    deviations_to_next,
    weigh_kinds,
)
from fauxlab.errors import LabError


def one_kind(values: np.ndarray, groups: Sequence[str] | None = None) -> Kinds:
    """Pictures of one source, each a group of its own unless groups are given."""
    return Kinds.of(values, ["a"] * len(values), groups or [str(i) for i in range(len(values))])


def many_kinds(values: Sequence[np.ndarray]) -> Kinds:
    names = np.repeat([f"kind {i}" for i in range(len(values))], [len(own) for own in values])
    logits = np.concatenate(values)
    return Kinds.of(logits, names.tolist(), [str(i) for i in range(len(logits))])


def test_bound_of_one_kind_by_hand() -> None:
    values = np.arange(1, 40) / 100  # .01 to .39
    # 39 reals: .05 · 40 = 2, so one may lie above: the bound is just past the second highest, .38.
    assert bound_on_average(one_kind(values), 0.05) == np.nextafter(0.38, 1)
    # 38 reals: .05 · 39 < 2, none may.
    assert bound_on_average(one_kind(values[:38]), 0.05) == np.nextafter(0.38, 1)
    assert bound_on_average(one_kind(values[:19]), 0.05) == np.nextafter(0.19, 1)
    with pytest.raises(LabError, match=r"18 group\(s\) of reals .* takes 19"):
        bound_on_average(one_kind(values[:18]), 0.05)
    # Equal values fall on one side together.
    repeated = np.repeat([0.2, 0.6], [36, 3])
    assert bound_on_average(one_kind(repeated), 0.05) == np.nextafter(0.6, 1)
    # Nothing is known of how kinds differ.
    assert bound_for_next_kind(one_kind(values), 0.05) == np.nextafter(0.38, 1)


def test_pictures_of_a_group_share_one_vote() -> None:
    alone = np.random.default_rng(0).random(39)
    copies, ids = np.repeat(alone, 7), [str(i // 7) for i in range(39 * 7)]
    expected = bound_on_average(one_kind(alone), 0.05)
    assert bound_on_average(one_kind(copies, ids), 0.05) == expected
    with pytest.raises(LabError, match=r"7 group\(s\)"):
        bound_on_average(one_kind(copies[:49], ids[:49]), 0.05)


def test_kinds_count_alike_whatever_their_size() -> None:
    many = np.linspace(0, 0.3, 1000)
    few = np.linspace(0.5, 0.9, 20)
    kinds = many_kinds([many, few])
    assert kinds.share(np.concatenate([many, few]) > 0.4) == pytest.approx(0.5)
    # A tenth of both is a fifth of the few: four of twenty, less the vote for a new picture.
    assert 0.8 < bound_on_average(kinds, 0.1) < 0.9
    assert kinds.means()[0] == pytest.approx([0.15, 0.7])
    only = kinds.only("kind 1")
    assert only.names == ("kind 1",)
    assert only.values.tolist() == few.tolist()
    rest = kinds.without("kind 1")
    assert rest is not None
    assert rest.names == ("kind 0",)
    assert only.without("kind 1") is None
    assert only.without("kind 0") is only


def test_kinds_and_their_groups_weigh_alike() -> None:
    # Kind a has two of ten groups, kind b one.
    weights = weigh_kinds(["a", "a", "a", "b"], ["g", "g", "h", "g"])
    assert weights == pytest.approx([1 / 6, 1 / 6, 1 / 3, 1 / 3])
    kinds = ["a"] * 12 + ["b"] * 20 + ["c"] * 2
    weights = weigh_kinds(kinds, np.array([*range(11), 10, *range(20), 0, 0]))
    # Kind c has one group, a tenth of a full kind; kinds a and b count in full.
    assert weights[:12].sum() == pytest.approx(1 / 2.1)
    assert weights[12:32].sum() == pytest.approx(1 / 2.1)
    assert weights[32:].sum() == pytest.approx(0.1 / 2.1)


def test_a_kind_of_few_groups_counts_for_less() -> None:
    # Three of the ten groups that a kind needs to count in full.
    kinds = many_kinds([np.zeros(50), np.ones(3)])
    assert kinds.share(kinds.values == 1) == pytest.approx(0.3 / 1.3)


@pytest.mark.parametrize(
    ("n", "expected"),
    # Quantiles of Student's distribution at n / (n + 1), by scipy, times √(1 + 1/n).
    [(2, 0.70711), (3, 0.94281), (5, 1.20428), (10, 1.51761), (20, 1.79912), (50, 2.13972)],
)
def test_deviations_to_the_next_kind(n: int, expected: float) -> None:
    assert deviations_to_next(n) == pytest.approx(expected, rel=0.008)


def test_of_two_kinds_the_higher_one_decides() -> None:
    shape = np.arange(49) / 100
    kinds = many_kinds([shape, shape + 5])
    # 98 residuals of equal shape: .02 · 99 - 1 = .98 may lie above, so none of a tied pair.
    higher = 5 + shape[-1]
    assert bound_for_next_kind(kinds, 0.02) == pytest.approx(higher, abs=0.04)


def test_the_next_kind_lies_below_as_often_as_stated() -> None:
    rng = np.random.default_rng(0)
    n_kinds, draws = 9, 800
    kept = 0
    for _ in range(draws):
        means = rng.standard_normal(n_kinds + 1)
        known = many_kinds([np.full(11, mean) for mean in means[:-1]])
        kept += means[-1] < bound_for_next_kind(known, 0.02)
    share = n_kinds / (n_kinds + 1)
    assert kept / draws == pytest.approx(share, abs=3 * (share * (1 - share) / draws) ** 0.5)


def test_one_small_kinds_highest_picture_does_not_decide() -> None:
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(40) for _ in range(10)]
    expected = bound_for_next_kind(many_kinds(values), 0.02)
    values[3][0] = 60.0
    found = bound_for_next_kind(many_kinds(values), 0.02)
    assert found < expected + 3, "the kind's mean rises by 1.5, and not by 60"


def test_bound_keeps_its_rate_on_new_pictures_of_known_kinds() -> None:
    # The second highest of 39 uniform values: a new one lies above it with probability 2/40.
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(2000):
        values = rng.random(40)
        alarms += values[39] >= bound_on_average(one_kind(values[:39]), 0.05)
    assert alarms / 2000 == pytest.approx(0.05, abs=3 * (0.05 * 0.95 / 2000) ** 0.5)


def test_no_pictures_and_no_shares_are_refused() -> None:
    with pytest.raises(LabError, match="no pictures"):
        Kinds.of(np.zeros(0), [], [])
    for rate in (0.0, 1.0, -1, float("nan")):
        with pytest.raises(LabError, match="between 0 and 1"):
            bound_on_average(one_kind(np.zeros(50)), rate)


def test_joined_kinds_are_those_of_all_parts() -> None:
    values = [np.zeros(50), np.ones(3), np.arange(20.0)]
    whole = many_kinds(values)
    parts = [whole.only(name) for name in whole.names]
    joined = Kinds.joined(parts)
    assert joined.names == whole.names
    assert joined.weights.tolist() == whole.weights.tolist()
    assert joined.n_groups == whole.n_groups
