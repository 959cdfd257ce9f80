"""Files read with limits: regular files only, of a bounded size; and what is parsed from a text.

A path that a user names may lead to a pipe that nobody writes to, to a device that never ends, or
to a file that fills the memory. What is parsed from a text may be nested deeper than Python can
follow, or hold numbers that Python cannot print.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from fauxlab.errors import LabError
from fauxlab.io.text import printable

_NON_BLOCKING = getattr(os, "O_NONBLOCK", 0)  # Windows has no such flag
# Bytes of a text file that a person writes or a program keeps beside its data.
MOST_TEXT = 2**24
DEEPEST = 32  # tables and lists in each other
MOST_BITS = 64  # of a whole number, as TOML allows them
_TOO_LONG = f"it holds a whole number of more than {MOST_BITS} bits"
_TOO_DEEP = f"it is nested deeper than {DEEPEST} tables or lists"

# A key of TOML of more than DEEPEST parts: words or quoted texts with dots between them. For a key
# of n parts, Python's reader takes memory in proportion to n². A value that looks so is refused,
# too: to tell them apart, one would have to read TOML.
_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""
_LONG_KEY = re.compile(rf"(?<![\w-]){_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{DEEPEST},}}+")


def read_text(
    path: str | Path, most: int = MOST_TEXT, *, encoding: str = "utf-8", what: str = ""
) -> str:
    """The text of a file of at most `most` bytes; errors call it `what`, as "recipe".

    Raises LabError as `read_bytes` does, and where the bytes are no text in this encoding.
    """
    data = read_bytes(path, most, what=what)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise LabError(
            f"cannot read {_name(path, what)}: byte {error.start:,} is no text in UTF-8; "
            "name a text file, or save it as UTF-8"
        ) from None
    # As Python does for files that are opened as text.
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_bytes(path: str | Path, most: int = MOST_TEXT, *, what: str = "") -> bytes:
    """The bytes of a regular file of at most `most` bytes.

    Raises LabError where the file is missing, may not be read, is a folder, a pipe or a device, or
    is larger.
    """
    with _told(path, what):
        return _read(path, most)


def open_regular(path: str | Path, *, what: str = "") -> BinaryIO:
    """A regular file opened for reading, of any size.

    Raises LabError where it is missing, may not be read, or is a folder, a pipe or a device.
    """
    with _told(path, what):
        return _open(path)


def open_at_once(path: str | Path) -> BinaryIO:
    """A file, open for reading. A pipe that nobody writes to is not waited for: it reads as empty.

    Raises OSError as `open` does, and ValueError on a zero byte in the path.
    """
    return open(path, "rb", opener=_open_without_waiting)


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | _NON_BLOCKING)


def parse_json(text: str) -> Any:
    """What a JSON text says.

    Raises ValueError where it is no JSON, and as `check_values` does.
    """
    try:
        values = json.loads(text)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except ValueError:  # Python reads no number of more than 4,300 digits
        raise ValueError(_TOO_LONG) from None
    check_values(values)
    return values


def parse_toml(text: str) -> dict[str, Any]:
    """What a TOML text says.

    Raises ValueError where it is no TOML, and as `check_values` does.
    """
    if _LONG_KEY.search(text):
        raise ValueError(_TOO_DEEP)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except ValueError:
        raise ValueError(_TOO_LONG) from None
    check_values(values)
    return values


def check_values(values: Any) -> None:
    """Raise ValueError for what is nested deeper than DEEPEST, or holds a number beyond MOST_BITS.

    `values` are tables and lists, as JSON and TOML give them.
    """
    level = [values]
    for _ in range(DEEPEST + 1):
        level = _next_level(level)
        if not level:
            return
    raise ValueError(_TOO_DEEP)


@contextmanager
def _told(path: str | Path, what: str) -> Iterator[None]:
    """Raise LabError, in one line, for what keeps a file from being read."""
    try:
        yield
    except ValueError as error:  # a zero byte in the path is one, too
        raise LabError(f"cannot read {_name(path, what)}: {error}; name another file") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise LabError(
            f"cannot read {_name(path, what)}: {reason}; check the name, and that it may be read"
        ) from error


def _name(path: str | Path, what: str) -> str:
    name = printable(path)
    return f"{what} {name}" if what else name


def _next_level(level: list[Any]) -> list[Any]:
    """What the tables and lists of a level hold."""
    inside: list[Any] = []
    for value in level:
        if isinstance(value, dict):
            inside += value.values()
        elif isinstance(value, list):
            inside += value
        elif isinstance(value, int) and value.bit_length() > MOST_BITS:
            raise ValueError(_TOO_LONG)
    return inside


def _read(path: str | Path, most: int) -> bytes:
    with _open(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > most:
            raise ValueError(f"its {size:,} bytes are above the limit of {most:,}")
        return stream.read(size)


def _open(path: str | Path) -> BinaryIO:
    stream = open_at_once(path)
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise ValueError("it is no regular file, but a pipe or a device")
    return stream
