"""Tables of images in CSV, as people and spreadsheets write them."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from fauxlab.errors import LabError
from fauxlab.io.text import printable

_LABELS = {
    "real": 0,
    "fake": 1,
    "0": 0,
    "1": 1,
}
Cells = Mapping[str, str]  # by the name of their column


def read_table(path: Path, required: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """The rows of a CSV table by column name.

    Raises LabError where it cannot be read or lacks one of the `required` columns.
    """
    try:
        with open_table(path) as stream:
            reader = csv.DictReader(stream, restval="")
            columns = reader.fieldnames or []
            missing = [column for column in required if column not in columns]
            if missing:
                raise LabError(
                    f"{printable(path)} lacks the column {' and '.join(missing)} (its first line: "
                    f"{name_columns(columns)}); save it as CSV with commas, in UTF-8"
                )
            refuse_repeated(path, columns)
            yield from reader
    except OSError as error:
        raise LabError(f"cannot read {printable(path)}: {error.strerror or error}") from error
    except csv.Error as error:
        raise LabError(f"{printable(path)} is not CSV: {error}") from error


def open_table(path: Path) -> TextIO:
    """A table's text, without the byte order mark of spreadsheets, with bytes that are no UTF-8."""
    return path.open(
        encoding="utf-8-sig",
        errors="surrogateescape",
        newline="",
    )


def refuse_repeated(path: Path, columns: Sequence[str]) -> None:
    """Raise LabError where two columns have one name: either might be meant."""
    for column, count in Counter(columns).items():
        if count > 1:
            raise LabError(f"{printable(path)} has {count} columns {printable(column)!r}; keep one")


def name_columns(columns: Sequence[str] | None) -> str:
    """The first line of a table, for a message; of a file that is no table, only its start."""
    line = printable(", ".join(columns or ()))
    if not line:
        return "empty"
    if len(line) <= 100:
        return line
    return f"{line[:100]}…"


def parse_label(text: str) -> int | None:
    """0 for real, 1 for fake, None for anything else."""
    return _LABELS.get(text.strip().lower())


def read_sources(row: Cells, label: int) -> tuple[str, str]:
    """The columns `source` and `compare_to` of a row.

    fauxlab 0.1 had no `compare_to`; there the `source` of a fake named what to compare it with.
    A table without that column is read so.
    """
    source = printable(row.get("source") or "")
    if not label:
        return source, ""
    if "compare_to" not in row:
        return "", source
    return source, printable(row["compare_to"])


def further_columns(row: Cells, known: Collection[str]) -> dict[str, str]:
    """The named columns of a row that are not among the known ones."""
    extra = {}
    for name, value in row.items():
        # A row longer than the table's first line has its rest under None.
        if name and name not in known:
            extra[name] = value
    return extra
