"""Are there enough pictures to promise an error rate? Told before anything is scored."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import ceil, floor
from typing import TYPE_CHECKING, NamedTuple

from fauxlab.errors import LabError

if TYPE_CHECKING:
    from fauxlab.data.rows import Row

SLACK = 1e-9  # 1 / 0.05 must count as 20 and 0.05 · 100 as 5, whatever rounding makes of it
DEFAULT_RATE = 0.02
DEFAULT_FURTHER = 0.01
DEFAULT_ALPHA = 0.1
# Groups of a kind that counts in full. One with fewer counts for less, in proportion: a share of
# its pictures cannot be measured finer than that, and must not decide alone.
FULL_KIND = 10
MOST_NAMED = 5  # kinds in a message
GroupCounts = dict[str, int]  # number of groups by kind: source of reals, generator of fakes


class Rates(NamedTuple):
    """The rates that a calibration states.

    False-alarm rates: the default, and `further` ones. `alpha`: of the fakes that are called real.
    """

    default: float
    further: tuple[float, ...]
    alpha: float


def choose_rates(
    rows: Iterable[Row],
    rate: float | None,
    also: Sequence[float] | None,
    alpha: float | None,
) -> Rates:
    """The rates to state: those that are asked for, or what the pictures can promise.

    A rate of None is DEFAULT_RATE, and an alpha of None DEFAULT_ALPHA, or the lowest that can be
    promised. Further rates of None are DEFAULT_FURTHER, where that can be promised. Raises LabError
    where a class is missing, or has too few groups for what is asked.
    """
    reals, fakes = count_kinds(rows)
    if reals or fakes:
        counts = {"reals": reals, "fakes": fakes}
        check_classes([name for name, own in counts.items() if own])
    n_real = effective_groups(reals.values())
    n_fake = effective_groups(fakes.values())
    if alpha is None:
        alpha = max(DEFAULT_ALPHA, lowest_rate(n_fake))
    if rate is None:
        rate = max(DEFAULT_RATE, lowest_rate(n_real))
    check_groups({"reals": n_real}, rate, "--rate")
    check_groups({"fakes": n_fake}, alpha, "--alpha")
    if also is None:
        is_possible = groups_needed(DEFAULT_FURTHER) <= n_real
        also = [DEFAULT_FURTHER] if is_possible else []
    for further in also:
        check_groups({"reals": n_real}, further, "--also")
    others = sorted({further for further in also if further != rate}, reverse=True)
    return Rates(rate, tuple(others), alpha)


def describe_counts(rows: Iterable[Row], rates: Rates, asked: float | None) -> list[str]:
    """What the number of kinds and of their groups does not allow to promise, a line each."""
    reals, fakes = count_kinds(rows)
    lines = []
    if asked is None and rates.default > DEFAULT_RATE:
        n_real = effective_groups(reals.values())
        lines.append(
            f"{n_real} group(s) of real photos cannot promise a false-alarm rate of "
            f"{DEFAULT_RATE:g}; the stated rate is {rates.default:g}"
        )
    n_fake = effective_groups(fakes.values())
    if groups_needed(DEFAULT_ALPHA) > n_fake:
        lines.append(
            f"{n_fake} group(s) of fakes: up to {rates.alpha:g} of the fakes may be called real"
        )
    if len(reals) == 1:
        lines.append("one kind of real photos: nothing can be said of other kinds")
    else:
        lines.append(
            f"{len(reals)} kinds of real photos: a further kind can be expected to keep the rate "
            f"in {len(reals)} of {len(reals) + 1} cases, and no more can be promised"
        )
    needed = groups_needed(rates.default)
    small = [f"{name} ({n})" for name, n in reals.items() if n < needed]
    if small and len(reals) > 1:
        named = ", ".join(small[:MOST_NAMED])
        unnamed = len(small) - MOST_NAMED
        more = f" and {unnamed} more" if unnamed > 0 else ""
        lines.append(
            f"too few groups to measure a rate of {rates.default:g} on the kind alone, which takes "
            f"{needed}: {named}{more}; the spread of all kinds stands in for it"
        )
    return lines


def count_kinds(rows: Iterable[Row]) -> tuple[GroupCounts, GroupCounts]:
    """Number of groups of each kind: of the reals by source, of the fakes by generator."""
    groups: dict[tuple[int, str], set[str]] = {}
    for row in rows:
        own = groups.setdefault((row.label, row.kind), set())
        own.add(row.group)
    reals: GroupCounts = {}
    fakes: GroupCounts = {}
    for (label, kind), own in groups.items():
        counts = fakes if label else reals
        counts[kind] = len(own)
    return reals, fakes


def kind_weight(n_groups: int) -> float:
    """How much a kind of so many groups counts, from 0 to 1; FULL_KIND groups count in full."""
    return min(n_groups / FULL_KIND, 1.0)


def effective_groups(counts: Iterable[int]) -> int:
    """The number of equal groups that say as much as these groups do, whose kinds count alike.

    (Σ weight)² / Σ weight² over all groups (Kish, 1965). Of one kind, its own number.
    """
    total = 0.0
    squares = 0.0
    for n_groups in counts:
        weight = kind_weight(n_groups)
        total += weight
        squares += weight**2 / n_groups
    if not squares:
        return 0
    return floor(total**2 / squares + SLACK)


def check_classes(names: Collection[str]) -> None:
    """Raise LabError where "reals" or "fakes" are missing."""
    for name in ("reals", "fakes"):
        if name not in names:
            raise LabError(
                f"no {name} to calibrate on; the calibration split needs both reals and fakes"
            )


def check_groups(counts: Mapping[str, int], rate: float, option: str) -> None:
    """Raise LabError where some of these have too few groups to promise a rate.

    The message names the smallest, how many it takes, and the lowest rate that works with what is
    there.
    """
    check_rate(rate, option)
    needed = groups_needed(rate)
    short = [name for name, count in counts.items() if count < needed]
    if not short:
        return
    smallest = min(short, key=lambda name: counts[name])
    others = f", and too few of {len(short) - 1} more" if len(short) > 1 else ""
    lowest = lowest_rate(counts[smallest])
    raise LabError(
        f"a rate of {rate:g} cannot be promised from {counts[smallest]} group(s) of {smallest} in "
        f"the calibration split{others}: it takes {needed}, of about {10 * needed} pictures where "
        f"a tenth is for calibration; index more, or ask for what these can promise: {option} "
        f"{lowest:g}"
    )


def check_rate(rate: float, option: str) -> None:
    """Raise LabError where a rate is no share between 0 and 1."""
    if not 0 < rate < 1:
        raise LabError(f"{option} {rate}: give a share between 0 and 1, as 0.05")


def groups_needed(rate: float) -> int:
    """The fewest groups from which a rate can be promised: 1 / (n + 1) is at most the rate."""
    return ceil(1 / rate - SLACK) - 1


def lowest_rate(n_groups: int) -> float:
    """The lowest rate that n groups can promise, rounded up to three digits after the point."""
    thousandths = 1000 / (n_groups + 1)
    whole = floor(thousandths + SLACK)
    is_whole = abs(thousandths - whole) < SLACK
    return (whole if is_whole else whole + 1) / 1000
