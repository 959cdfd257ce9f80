"""Text and files: printable paths, lines of CSV, hashes, and files that are replaced as a whole."""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import os
import re
from collections.abc import Iterable
from pathlib import Path

from fauxlab.errors import LabError
from fauxlab.io.files import file_aside

FULL = (errno.ENOSPC, errno.EDQUOT)
# Characters that would move a terminal's cursor, break a line, or reverse the reading direction.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def printable(path: str | Path) -> str:
    """A path as text on one line that is safe to print.

    Control characters and bytes that are not UTF-8 appear as escapes.
    """
    raw = str(path).encode("utf-8", "surrogateescape")
    text = raw.decode("utf-8", "backslashreplace")
    return _CONTROL.sub(_escape, text)


def _escape(control: re.Match[str]) -> str:
    return control[0].encode("unicode_escape").decode()


def replace_file(path: Path, content: bytes | str, durable: bool = True) -> None:
    """Write a file as a whole or not at all: beside its place first, then renamed. Text is UTF-8.

    Missing folders are made. `durable` waits until the content is on the disk; pictures by the
    thousand go without. Raises LabError where the file cannot be written, and then leaves no part
    of it behind.
    """
    if not path.name:
        raise LabError(f"{printable(path)} is a folder; name a file in it")
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape")
    try:
        # Renaming would put a file in the place of a device.
        is_device = path.exists() and not path.is_file()
        if is_device:
            path.write_bytes(data)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            with file_aside(path, durable) as stream:
                stream.write(data)
    except OSError as error:
        raise write_fault(path, error) from error


def write_fault(path: Path, error: OSError) -> LabError:
    """The fault of a file or folder that could not be written: why, where, and what to do."""
    folder = printable(os.path.abspath(path.parent))
    advice = "choose a place that can be written and has room"
    if error.errno in FULL:
        advice = f"make room in {folder}, or choose a place on another disk"
    elif error.errno == errno.EIO:
        advice = f"the disk of {folder} fails; choose a place on another one"
    reason = error.strerror or error
    return LabError(f"cannot write {printable(path)}: {reason}; {advice}")


def csv_line(fields: Iterable[object]) -> str:
    r"""One row of CSV that ends in \n. Any reader gets the fields back, whatever they hold."""
    cells = [str(field) for field in fields]
    # Python 3.11 does not quote a field for a \r in it, and its reader then ends the line there.
    has_return = any("\r" in cell for cell in cells)
    stream = io.StringIO()
    writer = csv.writer(
        stream,
        lineterminator="\n",
        quoting=csv.QUOTE_ALL if has_return else csv.QUOTE_MINIMAL,
    )
    writer.writerow(cells)
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
