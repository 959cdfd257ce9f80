"""How many groups a rate takes, by hand, and what is said where there are fewer."""

from __future__ import annotations

import pytest

from fauxlab.calibration.counts import check_groups, groups_needed, lowest_rate
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
    check_groups({"reals": n}, rate, "--fpr")


def test_the_smallest_is_named_with_the_rate_that_works_for_all() -> None:
    counts = {"real source 'a'": 12, "real source 'b'": 7, "real source 'c'": 40}
    with pytest.raises(LabError) as caught:
        check_groups(counts, 0.05, "--fpr")
    assert "7 group(s) of real source 'b'" in str(caught.value)
    assert "too few of 1 more" in str(caught.value)
    assert str(caught.value).endswith("--fpr 0.125")
    check_groups(counts, 0.125, "--fpr")


@pytest.mark.parametrize("rate", [0, 1, -0.1, float("nan")])
def test_rates_are_shares(rate: float) -> None:
    with pytest.raises(LabError, match=r"--alpha .*: give a share between 0 and 1"):
        check_groups({"reals": 5}, rate, "--alpha")
