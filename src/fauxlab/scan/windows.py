"""Windows of a face finder, grouped by the face that they show, in little time and memory.

A window or square is three numbers: its middle (right, down) and its side, in pixels. A crowd gives
tens of thousands of windows, too many to compare each with all others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Square = NDArray[np.float64]  # [3]
    Squares = NDArray[np.float64]  # [N, 3]
    Flags = NDArray[np.bool_]  # [N]
    Indices = NDArray[np.intp]
    Cells = NDArray[np.int64]
    Pairs = tuple[Indices, Indices]

NONE = np.empty((0, 3))
PAIRS = 2**16  # pairs of squares that are compared at once: bounds memory
ROWS = PAIRS // 16  # squares whose neighbours are counted at once

# The number of a cell grows by _DOWN from one row to the next, by _LARGER from size to size.
_DOWN = 2**20
_LARGER = 2**40
# Around a cell there are nine ranges of three cells: three sizes of three rows each.
_NEAR_SIZES = np.repeat([-1, 0, 1], 3)
_NEAR_ROWS = np.tile([-_DOWN, 0, _DOWN], 3)


def group_windows(windows: Squares) -> Iterator[Square]:
    """One square for each group of windows that are alike, the largest group first."""
    if not len(windows):
        return
    neighbours = Neighbours(windows)
    # For each window, how many windows like it are in no group yet. 0 or less: it is in one itself.
    counts = neighbours.count()
    best = int(counts.argmax())
    while counts[best] > 0:
        group = neighbours.of(best)
        is_left = counts[group] > 0
        group = group[is_left]
        yield _median(windows[group])
        for _, columns in neighbours.pairs(group):
            np.subtract.at(counts, columns, 1)
        counts[group] = 0
        best = int(counts.argmax())


def _median(squares: Squares) -> Square:
    """The median of each of the three numbers, [3]."""
    # Not np.median, which imports numpy.ma: a tenth of the time that one picture takes.
    ordered = np.sort(squares, axis=0)
    n = len(ordered)
    below = ordered[(n - 1) // 2]
    above = ordered[n // 2]
    median: Square = (below + above) / 2
    return median


def inside_any(square: Square, others: Squares) -> bool:
    """Whether two squares stand in each other's place: this one and any of some others [N, 3].

    They do if the middle of this one lies inside the larger of both, laid around the other's
    middle.
    """
    across, down, side = square
    other_across, other_down, other_side = others.T
    beside = np.abs(across - other_across)
    below = np.abs(down - other_down)
    distance = np.maximum(beside, below)
    larger = np.maximum(side, other_side)
    is_inside = distance < larger / 2
    return bool(is_inside.any())


def alike(squares: Squares, others: Squares) -> Flags:
    """Which pairs of squares show one face, bool [N].

    Their middles lie within a quarter of the smaller side, and their sides within a factor of √2.
    """
    across, down, side = squares.T
    other_across, other_down, other_side = others.T
    smaller = np.minimum(side, other_side)
    quarter = smaller / 4
    beside = np.abs(across - other_across)
    below = np.abs(down - other_down)
    is_near = (beside < quarter) & (below < quarter)
    octaves = np.log2(side / other_side)
    is_as_large = np.abs(octaves) < 0.5
    return np.asarray(is_near & is_as_large)


class Neighbours:
    """Squares [N, 3] sorted into cells, so that each is compared only with those around it.

    Takes O(N + PAIRS) memory.
    """

    def __init__(self, squares: Squares) -> None:
        self._squares = squares
        # Half octaves: the sizes of squares that are alike differ by 1 at most.
        half_octaves = np.floor(2 * np.log2(squares[:, 2]))
        self._size = half_octaves.astype(np.int64)
        cells = _cell(squares, self._size)
        self._order = np.argsort(cells, kind="stable")
        self._cells = cells[self._order]

    def count(self) -> Indices:
        """How many squares each is alike, itself included, [N]."""
        n = len(self._squares)
        counts = np.zeros(n, dtype=np.intp)
        for start in range(0, n, ROWS):
            stop = min(start + ROWS, n)
            rows = np.arange(start, stop)
            for alike_rows, _ in self.pairs(rows):
                np.add.at(counts, alike_rows, 1)
        return counts

    def of(self, row: int) -> Indices:
        """The squares that one is alike, itself included, in ascending order."""
        rows = np.array([row])
        parts = [columns for _, columns in self.pairs(rows)]
        columns = np.concatenate(parts)
        return np.sort(columns)

    def pairs(self, rows: Indices) -> Iterator[Pairs]:
        """The pairs (row, any square) that are alike; at most PAIRS are compared at once."""
        near, first, ends = self._ranges(rows)
        starts = np.concatenate([[0], ends[:-1]])
        total = int(ends[-1])
        for start in range(0, total, PAIRS):
            # The ranges laid end to end, and of each pair the range that it is in.
            stop = min(start + PAIRS, total)
            flat = np.arange(start, stop)
            span = np.searchsorted(ends, flat, side="right")
            within = flat - starts[span]
            place = first[span] + within
            left = near[span]
            right = self._order[place]
            is_alike = alike(self._squares[left], self._squares[right])
            yield left[is_alike], right[is_alike]

    def _ranges(self, rows: Indices) -> tuple[Indices, Indices, Indices]:
        """Where the squares around some rows stand in the order of cells: nine ranges a row.

        Gives the row of each range, where it begins, and where it ends when all ranges are laid end
        to end.
        """
        n = len(rows)
        near = np.repeat(rows, 9)
        squares = self._squares[near]
        sizes = self._size[near]
        sizes = sizes + np.tile(_NEAR_SIZES, n)
        cells = _cell(squares, sizes)
        cells += np.tile(_NEAR_ROWS, n)
        first = np.searchsorted(self._cells, cells - 1)
        stop = np.searchsorted(self._cells, cells + 1, side="right")
        lengths = stop - first
        ends = np.cumsum(lengths)
        return near, first, ends


def _cell(squares: Squares, size: Cells) -> Cells:
    """The number of the cell in which a middle lies, [N]; each size (half octave) has own cells.

    A cell is a little wider than a quarter of the largest square of its size, so that squares that
    are alike lie in cells side by side.
    """
    across, down, _ = squares.T
    octave = (size + 1) / 2
    largest = 2.0**octave
    width = 0.26 * largest
    column = np.floor(across / width)
    row = np.floor(down / width)
    cell: Cells = size * _LARGER
    cell = cell + row.astype(np.int64) * _DOWN
    cell = cell + column.astype(np.int64)
    return cell
