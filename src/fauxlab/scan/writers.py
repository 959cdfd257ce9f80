"""Verdicts as a table, JSON, JSON Lines or CSV, written to a stream as they come.

Each writer is a sink: something that takes one verdict after the other with `add`. The other sinks
are the page (`page.py`) and the folder of explanations (`explain.py`). No sink keeps what it took.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, Protocol, TextIO

from fauxlab.io.text import csv_line, spreadsheet_path, spreadsheet_text
from fauxlab.records import Verdict

if TYPE_CHECKING:
    from fauxlab.scan.explain import Explained

Form = Literal["table", "json", "jsonl", "csv"]
# In the order of `Verdict.model_dump`.
COLUMNS = tuple(Verdict(path="", status="error", model_hash="").model_dump())


class Sink(Protocol):
    """Takes the verdicts of a scan, one by one."""

    def add(self, explained: Explained) -> None:
        """Take one verdict."""


class Writer(Sink, Protocol):
    """A sink that writes to a stream, and ends what it wrote."""

    def close(self) -> None:
        """Write the end."""


class TableWriter:
    """Verdicts as a plain text table, one line a verdict, and below it how to read the scores."""

    def __init__(self, stream: TextIO, rule: Sequence[str] = ()) -> None:
        self._stream = stream
        self._rule = rule
        self._is_empty = True

    def add(self, explained: Explained) -> None:
        """Write one line."""
        if self._is_empty:
            self._stream.write(f"{'verdict':<12}{'score':>7}  path\n")
            self._is_empty = False
        self._stream.write(_table_line(explained.verdict))

    def close(self) -> None:
        """Write what the scores mean."""
        if self._is_empty or not self._rule:
            return
        self._stream.write("\n")
        for line in self._rule:
            self._stream.write(f"{line}\n")


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
        self._before = "[\n"

    def add(self, explained: Explained) -> None:
        """Write one element of the array."""
        text = self._before + explained.verdict.model_dump_json()
        # Before it is written: an interrupt in between would leave two brackets.
        self._before = ",\n"
        self._stream.write(text)

    def close(self) -> None:
        """Close the array."""
        is_empty = self._before == "[\n"
        self._stream.write("[\n]\n" if is_empty else "\n]\n")


class JsonLinesWriter:
    """Verdicts as JSON Lines: a record a line, which a reader gets as soon as it is known."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def add(self, explained: Explained) -> None:
        """Write one line, and let it out."""
        record = explained.verdict.model_dump_json()
        self._stream.write(f"{record}\n")
        self._stream.flush()

    def close(self) -> None:
        """Write nothing: every line is complete."""


@contextmanager
def open_writer(form: Form, stream: TextIO, rule: Sequence[str] = ()) -> Iterator[Sink]:
    """A sink that writes to a stream; a JSON array is closed even if the scan breaks off.

    A table ends with the lines of `rule`, which say how its scores are to be read.
    """
    writer = _make_writer(form, stream, rule)
    try:
        yield writer
    finally:
        writer.close()
        stream.flush()


def _make_writer(form: Form, stream: TextIO, rule: Sequence[str]) -> Writer:
    if form == "json":
        return JsonWriter(stream)
    if form == "jsonl":
        return JsonLinesWriter(stream)
    if form == "csv":
        return CsvWriter(stream)
    return TableWriter(stream, rule)


def _csv_cell(value: object) -> object:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    if value is None:
        return ""
    if isinstance(value, str):
        return spreadsheet_text(value)
    return value


def _table_line(verdict: Verdict) -> str:
    score = "" if verdict.score is None else f"{verdict.score:.3f}"
    words = verdict.path
    places = _list_places(verdict)
    if places:
        words += f" ({', '.join(places)})"
    if verdict.message:
        words += f": {verdict.message}"
    return f"{_name_decision(verdict):<13}{score:>6}  {words}\n"


def _name_decision(verdict: Verdict) -> str:
    """The decision, and of a fake how it was made, as "fake, altered"."""
    if verdict.manipulation is None:
        return verdict.decision
    return f"{verdict.decision}, {verdict.manipulation}"


def _list_places(verdict: Verdict) -> list[str]:
    """Where in the file the face is, in words."""
    places = []
    if verdict.face is not None:
        left, top, right, bottom = verdict.face
        places.append(f"face at {left}, {top} to {right}, {bottom}")
    if verdict.turned:
        places.append(f"upright if turned by {verdict.turned}°")
    if verdict.frame is not None:
        places.append(f"frame {verdict.frame + 1} of {verdict.frames}")
    return places
