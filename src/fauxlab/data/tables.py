"""Tables of images in CSV and JSON Lines, as people, spreadsheets and programs write them."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, TextIO

from fauxlab.errors import LabError
from fauxlab.io.reading import open_regular, parse_json
from fauxlab.io.text import printable, shorten

JSON_LINES = "metadata.jsonl"
LONGEST_LINE = 2**20  # characters for one image

_LABELS = {
    "real": 0,
    "fake": 1,
    "0": 0,
    "1": 1,
    "0.0": 0,
    "1.0": 1,
}
Cells = Mapping[str, str]  # by the name of their column
Manipulation = Literal["", "made", "altered"]


def read_table(path: Path, required: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """The rows of a CSV table by column name.

    Cells may be separated by commas, by semicolons as in the spreadsheets of many countries, or by
    tabs. Raises LabError where it cannot be read or lacks one of the `required` columns.
    """
    try:
        with open_table(path) as stream:
            delimiter = find_delimiter(stream, required)
            reader = csv.DictReader(read_lines(stream, path), restval="", delimiter=delimiter)
            columns = reader.fieldnames = _tidy_columns(reader.fieldnames or [], required)
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
        raise LabError(
            f"{printable(path)} is not CSV: {error}; save it as CSV, in UTF-8"
        ) from error


def read_json_lines(path: Path, required: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """The rows of a table in JSON Lines: an object a line; values become text.

    Raises LabError where it cannot be read, or a line lacks one of the `required` keys.
    """
    try:
        with open_table(path) as stream:
            for number, line in enumerate(read_lines(stream, path), start=1):
                if line.strip():
                    yield _parse_object(f"{printable(path)}, line {number}", line, required)
    except OSError as error:
        raise LabError(f"cannot read {printable(path)}: {error.strerror or error}") from error


def _parse_object(where: str, line: str, required: tuple[str, ...]) -> dict[str, str]:
    advice = "write one object a line, as JSON Lines"
    try:
        fields = parse_json(line)
    except ValueError as error:
        reason = str(error)[:80]
        raise LabError(f"{where} is not JSON ({reason}); {advice}") from None
    if not isinstance(fields, dict):
        raise LabError(f"{where} holds no object; {advice}")
    missing = [name for name in required if fields.get(name) in (None, "")]
    if missing:
        raise LabError(f"{where} lacks {' and '.join(missing)}; {advice}")
    return {name: _as_text(value) for name, value in fields.items()}


def _as_text(value: object) -> str:
    """A JSON value as a cell: null as nothing, lists of texts as `a;b`."""
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = ";".join(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        # Half of a pair of escapes, which no file name holds and no table can keep.
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def find_delimiter(stream: TextIO, required: tuple[str, ...]) -> str:
    """What separates the cells of a table, by its first line, where the stream stands afterwards.

    A line `sep=;`, which spreadsheets understand, is skipped.
    """
    start = 0
    line = stream.readline(LONGEST_LINE)
    if line.strip().strip('"').lower().startswith("sep="):
        start = stream.tell()
        line = stream.readline(LONGEST_LINE)
    stream.seek(start)
    for delimiter in (",", ";", "\t"):
        cells = next(csv.reader([line], delimiter=delimiter), [])
        if set(required) <= set(_tidy_columns(cells, required)):
            return delimiter
    return ","


def _tidy_columns(columns: Sequence[str], required: tuple[str, ...]) -> list[str]:
    """The columns, with the `required` ones in lower case and without spaces around them."""
    tidied = []
    for column in columns:
        plain = column.strip().lower()
        tidied.append(plain if plain in required else column)
    return tidied


def open_table(path: Path, what: str = "table") -> TextIO:
    """A table's text, without the byte order mark of spreadsheets, with bytes that are no UTF-8.

    Raises LabError where there is no such regular file.
    """
    return io.TextIOWrapper(
        open_regular(path, what=what),
        encoding="utf-8-sig",
        errors="surrogateescape",
        newline="",
    )


def read_lines(stream: TextIO, path: Path) -> Iterator[str]:
    """The lines of a table, none longer than LONGEST_LINE. Raises LabError on a longer one."""
    number = 0
    while line := stream.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise LabError(
                f"{printable(path)}, line {number} has more than {LONGEST_LINE:,} characters; "
                "is it a table, with a line for each image?"
            )
        yield line


def refuse_repeated(path: Path, columns: Sequence[str]) -> None:
    """Raise LabError where two columns have one name: either might be meant."""
    for column, count in Counter(columns).items():
        if count > 1:
            raise LabError(f"{printable(path)} has {count} columns {printable(column)!r}; keep one")


def name_columns(columns: Sequence[str] | None) -> str:
    """The first line of a table, for a message; of a file that is no table, only its start."""
    line = ", ".join(columns or ())
    return shorten(line, 100) or "empty"


def parse_label(text: str) -> int | None:
    """0 for real, 1 for fake, None for anything else."""
    return _LABELS.get(text.strip().lower())


def parse_manipulation(row: Cells, label: int) -> Manipulation:
    """The column `manipulation` of a row: made or altered, of a fake; empty where nothing is said.

    Raises ValueError on any other text, and on a real picture that is said to be made or altered.
    """
    text = row.get("manipulation", "").strip().lower()
    if not text:
        return ""
    if not label:
        raise ValueError(f"manipulation {text!r:.80} of a real picture; leave it empty")
    if text == "made":
        return "made"
    if text == "altered":
        return "altered"
    raise ValueError(f"manipulation {text!r:.80}, expected made or altered")


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
