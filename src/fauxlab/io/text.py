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
# Characters that would move a terminal's cursor, break a line, reverse the reading direction, or
# show nothing at all, so that two names look the same or a name holds hidden text: controls,
# separators of lines, halves of surrogate pairs, and Unicode's "default ignorable code points".
_UNSHOWN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufff9-\ufffb"
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    r"\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# What a spreadsheet takes for the beginning of a formula, also behind blanks and in full width. A
# mere "-" is none: it stands for standard input.
_FORMULA = re.compile(r"(?!-\Z)\s*[=+\-@\t\r\n＝＋－＠]")


def printable(path: str | Path) -> str:
    """A path as text on one line that is safe to print.

    Characters that control a terminal or show nothing, and bytes that are not UTF-8, appear as
    escapes.
    """
    return _UNSHOWN.sub(_escape, str(path))


def _escape(unshown: re.Match[str]) -> str:
    code = ord(unshown[0])
    # Python keeps a byte of a name that is not UTF-8 as such a half.
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return unshown[0].encode("unicode_escape").decode()


def spreadsheet_path(path: str) -> str:
    """A path for a cell of a table: the same file, and never a formula."""
    return f"./{path}" if _FORMULA.match(path) else path


def spreadsheet_text(text: str) -> str:
    """Text for a cell of a table, marked as text where it could be taken for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


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
