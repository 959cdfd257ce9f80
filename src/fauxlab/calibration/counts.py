"""Are there enough pictures to promise an error rate? Told before anything is scored."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from math import ceil, floor
from typing import TYPE_CHECKING

from fauxlab.errors import LabError

if TYPE_CHECKING:
    from fauxlab.data.rows import Row

SLACK = 1e-9  # 1 / 0.05 must count as 20 and 0.05 · 100 as 5, whatever rounding makes of it
Groups = dict[str, set[str]]  # groups of pictures by the name of what they are


def check_counts(rows: Iterable[Row], rate: float, alpha: float) -> None:
    """Raise LabError where a calibration split is too small for its two rates.

    `rate` is promised for each source of reals, `alpha` for the reals and for the fakes.
    """
    sources: Groups = {}
    classes: Groups = {}
    for row in rows:
        name = "fakes" if row.label else "reals"
        classes.setdefault(name, set()).add(row.group)
        if not row.label:
            sources.setdefault(f"real source {row.source!r}", set()).add(row.group)
    if classes:
        check_classes(set(classes))
    check_groups(count_groups(sources), rate, "--fpr")
    check_groups(count_groups(classes), alpha, "--alpha")


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


def count_groups(groups: Groups) -> dict[str, int]:
    """Number of groups by name."""
    return {name: len(own) for name, own in groups.items()}


def groups_needed(rate: float) -> int:
    """The fewest groups from which a rate can be promised: 1 / (n + 1) is at most the rate."""
    return ceil(1 / rate - SLACK) - 1


def lowest_rate(n_groups: int) -> float:
    """The lowest rate that n groups can promise, rounded up to three digits after the point."""
    thousandths = 1000 / (n_groups + 1)
    whole = floor(thousandths + SLACK)
    is_whole = abs(thousandths - whole) < SLACK
    return (whole if is_whole else whole + 1) / 1000
