"""Verdicts as a table, JSON or CSV, written to a stream as they come.

Each writer is a sink: something that takes one verdict after the other with `add`. The other sinks
are the page (`page.py`) and the folder of explanations (`explain.py`). No sink keeps what it took.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, Protocol, TextIO

from fauxlab.io.text import csv_line, spreadsheet_path, spreadsheet_text
from fauxlab.records import Verdict

if TYPE_CHECKING:
    from fauxlab.scan.explain import Explained

Form = Literal["table", "json", "csv"]
# In the order of `Verdict.model_dump`, which writes the former names last.
COLUMNS = (*Verdict.model_fields, *Verdict.model_computed_fields, *Verdict.FORMER_NAMES)


class Sink(Protocol):
    """Takes the verdicts of a scan, one by one."""

    def add(self, explained: Explained) -> None:
        """Take one verdict."""


class Writer(Sink, Protocol):
    """A sink that writes to a stream, and ends what it wrote."""

    def close(self) -> None:
        """Write the end."""


class TableWriter:
    """Verdicts as a plain text table, one line a verdict."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        stream.write(f"{'verdict':<12}{'score':>7}  path\n")

    def add(self, explained: Explained) -> None:
        """Write one line."""
        self._stream.write(_table_line(explained.verdict))

    def close(self) -> None:
        """Write nothing: a table has no end."""


class CsvWriter:
    """Verdicts as CSV with a header, one row a verdict; an empty cell stands for None."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        stream.write(csv_line(COLUMNS))

    def add(self, explained: Explained) -> None:
        """Write one row."""
        fields = explained.verdict.model_dump()
        # A name may be a formula where a spreadsheet opens the table.
        fields["path"] = spreadsheet_path(fields["path"])
        cells = [_csv_cell(fields[name]) for name in COLUMNS]
        self._stream.write(csv_line(cells))

    def close(self) -> None:
        """Write nothing: CSV has no end."""


class JsonWriter:
    """Verdicts as one JSON array, one line a verdict."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._separator = "\n"
        stream.write("[")

    def add(self, explained: Explained) -> None:
        """Write one element of the array."""
        element = explained.verdict.model_dump_json()
        self._stream.write(self._separator + element)
        self._separator = ",\n"

    def close(self) -> None:
        """Close the array."""
        self._stream.write("\n]\n")


WRITERS: dict[Form, Callable[[TextIO], Writer]] = {
    "table": TableWriter,
    "csv": CsvWriter,
    "json": JsonWriter,
}


@contextmanager
def open_writer(form: Form, stream: TextIO) -> Iterator[Sink]:
    """A sink that writes to a stream; a JSON array is closed even if the scan breaks off."""
    writer: Writer = WRITERS[form](stream)
    try:
        yield writer
    finally:
        writer.close()
        stream.flush()


def _csv_cell(value: object) -> object:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    if value is None:
        return ""
    if isinstance(value, str):
        return spreadsheet_text(value)
    return value


def _table_line(verdict: Verdict) -> str:
    words = verdict.path
    score = ""
    if verdict.score is not None:
        score = f"{verdict.score:.3f}"
        if verdict.face is not None:
            left, top, right, bottom = verdict.face
            words += f" (face at {left}, {top} to {right}, {bottom})"
    if verdict.message:
        words += f": {verdict.message}"
    return f"{verdict.decision:<12}{score:>7}  {words}\n"
