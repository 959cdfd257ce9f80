"""A manifest's tables as CSV files, each written as a whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from fauxlab.data.rows import Row
from fauxlab.io.text import csv_line, replace_file

SKIPPED_COLUMNS = ("path", "reason")


def save_rows(table: Path, root: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Write rows, whose paths start from `root`."""
    prefix = _prefix(table, root)
    lines = [csv_line(columns)]
    for row in rows:
        place = os.path.join(prefix, row.path)
        moved = replace(row, path=place)
        cells = moved.cells(columns)
        lines.append(csv_line(cells))
    replace_file(table, "".join(lines))


def save_skipped(table: Path, root: Path, skipped: Iterable[tuple[str, str]]) -> None:
    """Write pictures that were left out (path, reason), with paths as `save_rows` writes them."""
    prefix = _prefix(table, root)
    lines = [csv_line(SKIPPED_COLUMNS)]
    for path, reason in skipped:
        place = os.path.join(prefix, path)
        lines.append(csv_line((place, reason)))
    replace_file(table, "".join(lines))


def _prefix(table: Path, root: Path) -> str | Path:
    """What leads from the folder of a table to the images' root."""
    folder = table.absolute().parent
    if root == folder:
        return ""
    if root.is_relative_to(folder):
        return root.relative_to(folder)
    return root
