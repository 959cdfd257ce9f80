"""Text and files written whole: printable paths, CSV lines, hashes, and results that replace a file
at one stroke.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
from collections.abc import Iterable
from pathlib import Path

from fauxlab.errors import LabError

# Bytes that would move a terminal's cursor, break a line, or turn the reading direction around.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def printable(path: str | Path) -> str:
    """A path as printable text on one line: control characters and bytes that are no UTF-8 appear
    as escapes.
    """
    text = str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def replace_file(path: Path, content: bytes | str) -> None:
    """Write a file whole or not at all: aside first, then renamed over what was there. Text becomes
    UTF-8.

    Missing folders are made. Raises LabError, and leaves nothing lying about, where the file cannot
    be written.
    """
    if not path.name:
        raise LabError(f"{printable(path)} is a folder; name a file in it")
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape")
    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        # a device is written to: renaming would take its place
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            aside.write_bytes(data)
            os.replace(aside, path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise LabError(
            f"cannot write {printable(path)}: {error.strerror or error}; choose a place that can be written and has room"
        ) from error


def csv_line(fields: Iterable[object]) -> str:
    r"""A row of CSV with \n at its end, which any reader takes back, whatever the fields hold."""
    cells = [str(field) for field in fields]
    # Python 3.11 quotes a field for a \n in it and not for a \r, which its own reader then takes
    # for a line's end.
    told = any("\r" in cell for cell in cells)
    stream = io.StringIO()
    csv.writer(
        stream, lineterminator="\n", quoting=csv.QUOTE_ALL if told else csv.QUOTE_MINIMAL
    ).writerow(cells)
    return stream.getvalue()


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits. Raises LabError where it cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise LabError(
            f"cannot read {printable(path)}: {error.strerror}; make it readable, or name another"
        ) from error
