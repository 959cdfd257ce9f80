"""What a scan says of pictures by a column of the manifest: by sex, by age, by camera, …"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.errors import LabError, suggest
from fauxlab.evaluation.decisions import shares_of
from fauxlab.io.text import shorten
from fauxlab.records import Subgroup, Subgroups

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.data.manifest import Manifest
    from fauxlab.evaluation.decisions import Decided

    Bools = NDArray[np.bool_]

NONE = "(none)"  # the row of pictures without a value
NO_NUMBER = "(no number)"  # the row of values that no band can hold
MOST_ROWS = 50  # values of a column that get a row
MOST_COLUMNS = 20  # that a message names
LONGEST_VALUE = 60  # characters of a value that are shown


@dataclass(frozen=True)
class Grouping:
    """A column whose values are looked at apart.

    `edges` divide numbers into bands: each begins at an edge and ends before the next, the last has
    no end. Without edges every value is apart.
    """

    column: str
    edges: tuple[float, ...] = ()


def parse_grouping(text: str, columns: Sequence[str]) -> Grouping:
    """A grouping as users write it: COLUMN, or COLUMN:EDGE,EDGE,… for bands of numbers.

    Raises LabError where there is no such column, or where the edges are no rising numbers.
    """
    if text in columns:
        return Grouping(text)
    column, colon, numbers = text.rpartition(":")
    if not colon:
        column = text
    if column not in columns:
        raise LabError(
            f"no column {shorten(column)!r} to group by; the manifest has {_list(columns)}"
            f"{suggest(column, columns)}"
        )
    return Grouping(column, _parse_edges(text, numbers))


def _parse_edges(text: str, numbers: str) -> tuple[float, ...]:
    try:
        edges = tuple(float(number) for number in numbers.split(","))
    except ValueError:
        edges = ()
    are_finite = all(math.isfinite(edge) for edge in edges)
    rise = all(low < high for low, high in pairwise(edges))
    if not edges or not are_finite or not rise or len(edges) >= MOST_ROWS:
        raise LabError(
            f"--by {shorten(text)!r}: write up to {MOST_ROWS - 1} rising numbers behind the colon, "
            "as age:0,13,20,40,60"
        )
    return edges


def _list(columns: Sequence[str]) -> str:
    """The first columns, and how many more there are."""
    named = [shorten(column, LONGEST_VALUE) for column in columns[:MOST_COLUMNS]]
    more = len(columns) - MOST_COLUMNS
    shown = ", ".join(named)
    return f"{shown} and {more:,} more" if more > 0 else shown


def measure_subgroups(
    manifest: Manifest, decided: Decided, grouping: Grouping, bootstrap: int = 1000, seed: int = 0
) -> Subgroups:
    """The decisions on the pictures of each value or band, the reals apart from the fakes.

    Bands stand in order; values stand by their number of pictures, and only the most frequent
    `MOST_ROWS` have a row. Pictures without a value come last.
    """
    values = _take_values(manifest, grouping)
    listed = _order_values(values, grouping)
    # As numbers: an array of texts takes as much for each as the longest needs.
    number_of = {value: number for number, value in enumerate(listed)}
    numbers = np.array([number_of[value] for value in values], dtype=np.int64)
    rows = []
    for number, value in enumerate(listed[:MOST_ROWS]):
        inside = numbers == number
        row = _measure_value(manifest, decided, value, inside, bootstrap, seed)
        rows.append(row)
    return Subgroups(
        column=grouping.column,
        edges=list(grouping.edges),
        rows=rows,
        further=max(len(listed) - MOST_ROWS, 0),
    )


def _measure_value(
    manifest: Manifest, decided: Decided, value: str, inside: Bools, bootstrap: int, seed: int
) -> Subgroup:
    shares = {}
    for name, label in (("reals", 0), ("fakes", 1)):
        rows = inside & (manifest.labels == label)
        if rows.any():
            shares[name] = shares_of(manifest, decided, rows, bootstrap, seed)
    return Subgroup(value=shorten(value or NONE, LONGEST_VALUE), **shares)


def _take_values(manifest: Manifest, grouping: Grouping) -> list[str]:
    """The value or band of each picture [N]; "" where it has none."""
    values = []
    for row in manifest.rows:
        value = row.cells([grouping.column])[0].strip()
        if value and grouping.edges:
            value = _find_band(value, grouping.edges)
        values.append(value)
    return values


def _find_band(value: str, edges: Sequence[float]) -> str:
    """The band of a number, as [13, 20)."""
    try:
        number = float(value)
    except ValueError:
        return NO_NUMBER
    if not math.isfinite(number):
        return NO_NUMBER
    return _name_bands(edges)[int(np.searchsorted(edges, number, "right"))]


def _name_bands(edges: Sequence[float]) -> list[str]:
    """The names of all bands, that below the first edge included."""
    starts = ["(-∞", *(f"[{edge:g}" for edge in edges)]
    ends = [*(f"{edge:g})" for edge in edges), "∞)"]
    return [f"{start}, {end}" for start, end in zip(starts, ends, strict=True)]


def _order_values(values: Sequence[str], grouping: Grouping) -> list[str]:
    """The values that occur, in the order of their rows."""
    counts = Counter(values)
    has_empty = counts.pop("", 0) > 0
    if grouping.edges:
        bands = [*_name_bands(grouping.edges), NO_NUMBER]
        ordered = [band for band in bands if band in counts]
    else:
        ordered = sorted(counts, key=lambda value: (-counts[value], value))
        if has_empty:
            # The row of those without a value is always shown.
            most = MOST_ROWS - 1
            return [*ordered[:most], "", *ordered[most:]]
    return [*ordered, ""] if has_empty else ordered
