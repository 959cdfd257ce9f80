"""How many groups a rate takes, by hand, and what is said where there are fewer."""

from __future__ import annotations

import pytest

from fauxlab.calibration.counts import (
    Rates,
    check_groups,
    choose_rates,
    describe_counts,
    effective_groups,
    groups_needed,
    lowest_rate,
)
from fauxlab.data.rows import Row
from fauxlab.errors import LabError


@pytest.mark.parametrize(
    ("rate", "needed"), [(0.5, 1), (0.2, 4), (0.1, 9), (0.05, 19), (0.03, 33), (0.01, 99)]
)
def test_groups_needed(rate: float, needed: int) -> None:
    assert groups_needed(rate) == needed
    # 1 / (n + 1) is at most the rate for n = needed, and above it for one group less.
    assert 1 / (needed + 1) <= rate + 1e-12 < 1 / needed


@pytest.mark.parametrize(("n", "rate"), [(1, 0.5), (4, 0.2), (6, 0.143), (15, 0.063), (19, 0.05)])
def test_lowest_rate_is_rounded_up_and_works(n: int, rate: float) -> None:
    assert lowest_rate(n) == rate
    check_groups({"reals": n}, rate, "--rate")


def test_the_smallest_is_named_with_the_rate_that_works_for_all() -> None:
    counts = {"real source 'a'": 12, "real source 'b'": 7, "real source 'c'": 40}
    with pytest.raises(LabError) as caught:
        check_groups(counts, 0.05, "--rate")
    assert "7 group(s) of real source 'b'" in str(caught.value)
    assert "too few of 1 more" in str(caught.value)
    assert str(caught.value).endswith("--rate 0.125")
    check_groups(counts, 0.125, "--rate")


@pytest.mark.parametrize("rate", [0, 1, -0.1, float("nan")])
def test_rates_are_shares(rate: float) -> None:
    with pytest.raises(LabError, match=r"--alpha .*: give a share between 0 and 1"):
        check_groups({"reals": 5}, rate, "--alpha")


def rows(reals: dict[str, int], fakes: dict[str, int]) -> list[Row]:
    """So many pictures of each source and generator, each a group of its own."""
    made = []
    for label, counts in ((0, reals), (1, fakes)):
        for kind, n in counts.items():
            source, generator = ("", kind) if label else (kind, "")
            for number in range(n):
                name = f"{kind}{number}"
                row = Row(
                    path=f"{name}.png",
                    label=label,
                    generator=generator,
                    source=source,
                    compare_to="",
                    group=name,
                    split="calibration",
                    sha256="",
                )
                made.append(row)
    return made


@pytest.mark.parametrize(
    ("counts", "expected"),
    # Of equal kinds all count; of 40 and 10 it is 2² / (1/40 + 1/10) = 32; three groups of a kind
    # count .3 · (.3 / 3): 1.3² / (1/100 + .09/3) = 42.25.
    [([39], 39), ([20, 20], 40), ([40, 10], 32), ([100, 3], 42), ([3], 3), ([], 0)],
)
def test_effective_groups(counts: list[int], expected: int) -> None:
    assert effective_groups(counts) == expected


def test_rates_are_those_asked_for_or_what_the_pictures_allow() -> None:
    many = rows({"a": 60, "b": 60}, {"gan": 20})
    assert choose_rates(many, None, None, None) == Rates(0.02, (0.01,), 0.1)
    assert choose_rates(many, 0.05, [0.01, 0.02, 0.05], 0.2) == Rates(0.05, (0.02, 0.01), 0.2)
    fewer = rows({"a": 30, "b": 30}, {"gan": 20})
    assert choose_rates(fewer, None, None, None) == Rates(0.02, (), 0.1)
    few = rows({"a": 9}, {"gan": 4})
    assert choose_rates(few, None, None, None) == Rates(0.1, (), 0.2)
    with pytest.raises(LabError, match="no fakes"):
        choose_rates(rows({"a": 60}, {}), None, None, None)


def test_a_small_kind_among_many_is_not_refused_and_is_named() -> None:
    kinds = {f"kind {i}": 60 for i in range(8)} | {"small": 4}
    data = rows(kinds, {"gan": 20})
    rates = choose_rates(data, None, None, None)
    assert rates == Rates(0.02, (0.01,), 0.1)
    kept, alone = describe_counts(data, rates, None)
    assert "in 9 of 10 cases" in kept
    assert "too few groups to measure a rate of 0.02 on the kind alone" in alone
    assert "small (4);" in alone
