"""Images listed and read from folders and zips, with hostile names and archives in mind.

A member of a zip is written `archive.zip!/member/name.jpg`. Archives are read in place and never
extracted. Files are known for pictures by a picture's suffix, or else by their first bytes.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from fauxlab.errors import LabError
from fauxlab.io.archives import Archive, describe_damage, member_parts
from fauxlab.io.images import MAX_BYTES, SUFFIXES
from fauxlab.io.kinds import (
    EMPTY,
    HEAD_BYTES,
    HIDDEN_FOLDER,
    NAMED_ZIP,
    OTHER,
    PICTURE,
    ZIP,
    ZIP_IN_ZIP,
    ZIP_WITHOUT,
    Kind,
    kind_by_name,
    kind_of,
    kind_of_file,
    suffix_of,
)
from fauxlab.io.limits import ImageError
from fauxlab.io.passed_over import PassedOver, is_hidden
from fauxlab.io.reading import open_at_once

__all__ = [
    "SEPARATOR",
    "STANDARD_INPUT",
    "FileReader",
    "PassedOver",
    "is_hidden",
    "is_picture",
    "stored_path",
    "walk_images",
    "zip_images",
]

SEPARATOR = "!/"
STANDARD_INPUT = "-"
# What may stay open. A process may hold a thousand files or so; a member takes 500 bytes of memory.
KEPT_OPEN = 32
KEPT_MEMBERS = 500_000

# One slash is left of an address that was taken for a path.
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/|data:", re.IGNORECASE)


def walk_images(
    folder: Path, others: tuple[str, ...] = (), passed_over: PassedOver | None = None
) -> Iterator[Path]:
    """Pictures below `folder`, and files with one of the suffixes `others`, sorted.

    A file is a picture by its suffix, or by its first bytes where the suffix is not known. Links
    are followed; a loop of links is entered once. `folder` itself may be hidden, what lies below it
    may not. What is passed over is added to `passed_over`, or logged at the end. A folder that
    cannot be listed is given itself, so that reading it says why and nothing is lost in silence.
    """
    collected = PassedOver() if passed_over is None else passed_over
    wanted = SUFFIXES.union(others)
    entered: set[tuple[int, int]] = set()
    # A list, not recursion: folders can be nested deeper than Python's stack.
    waiting = [str(folder)]
    while waiting:
        here = waiting.pop()
        try:
            names = _enter(here, entered)
        except OSError:
            yield Path(here)
            continue
        folders: list[str] = []
        for name in names:
            path = os.path.join(here, name)
            if os.path.isdir(path):
                if is_hidden(name):
                    collected.add(path, HIDDEN_FOLDER)
                else:
                    folders.append(path)
            elif is_hidden(name):
                collected.add_hidden_file(path)
            elif suffix_of(name) in wanted or is_picture(path, collected):
                yield Path(path)
        waiting.extend(reversed(folders))
    if passed_over is None:
        collected.warn()


def _enter(folder: str, entered: set[tuple[int, int]]) -> list[str]:
    """The sorted names in a folder; none if it was entered before, perhaps by another path."""
    status = os.stat(folder)
    identity = (status.st_dev, status.st_ino)
    if identity in entered:
        return []
    entered.add(identity)
    return sorted(os.listdir(folder))


def zip_images(archive: Path, passed_over: PassedOver | None = None) -> list[str]:
    """Names of the pictures in a zip, in the archive's order, without hidden ones.

    What is a picture is decided as by `walk_images`, and what is passed over is told in the same
    way. Raises LabError on a file that is no zip.
    """
    collected = PassedOver() if passed_over is None else passed_over
    pictures = []
    with Archive(str(archive)) as opened:
        for member in opened.members():
            if _is_picture_member(opened, member, collected):
                pictures.append(member)
    if not pictures:
        collected.add(str(archive), ZIP_WITHOUT)
    if passed_over is None:
        collected.warn()
    return pictures


def is_picture(path: str, passed_over: PassedOver) -> bool:
    """Whether a file is a picture by its first bytes, whatever its suffix.

    If it is none, it is added to `passed_over`. Files that are known for something else by their
    names are not opened.
    """
    kind = kind_by_name(path) or kind_of_file(path)
    if kind == PICTURE:
        return True
    passed_over.add(path, kind)
    return False


def stored_path(path: str) -> str:
    """The path of a zip's member as the zip itself spells it: `a.zip!/1.jpg` for `a.zip!/./1.jpg`.

    Other paths, and members that are spelt plainly or cannot be found, stay as they are.
    """
    archive, member = _divide(path)
    if not archive or member == "/".join(member_parts(member)):
        return path
    try:
        with Archive(archive) as opened:
            stored = opened.find(member)
    except LabError:
        return path
    return path if stored is None else f"{archive}{SEPARATOR}{stored}"


class FileReader:
    """Reads images by path or `archive.zip!/member`; threads may share it.

    The last archives stay open.
    """

    def __init__(self) -> None:
        self._archives: dict[str, Archive] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> FileReader:
        return self

    def __exit__(self, *exc: object) -> None:
        for archive in self._archives.values():
            archive.close()
        self._archives.clear()

    def read(self, path: str) -> bytes:
        """The file's bytes; those of standard input for STANDARD_INPUT.

        Raises ImageError when it is missing, no regular file, above MAX_BYTES, damaged, or a
        known kind of file that is no picture.
        """
        try:
            if path == STANDARD_INPUT:
                return _read_standard_input()
            archive, member = _divide(path)
            if archive:
                return self._read_member(archive, member)
            return _read_file(path)
        except ImageError:
            raise
        except LabError as error:
            raise ImageError(str(error)) from error
        # ValueError: a zero byte in the name
        except (FileNotFoundError, NotADirectoryError, ValueError):
            raise ImageError(_describe_missing(path)) from None
        except OSError as error:
            if _ADDRESS.match(path):
                raise ImageError(_describe_missing(path)) from None
            raise ImageError(f"cannot be read: {error.strerror or error}") from error

    def _read_member(self, archive: str, member: str) -> bytes:
        try:
            # Up to here the archive must stay open. The member's stream outlives its closing.
            with self._lock:
                opened = self._open(archive)
                if SEPARATOR in member and opened.find(member) is None:
                    raise ImageError(ZIP_IN_ZIP.refusal)
                stream, size = opened.open(member)
            with stream:
                head = stream.read(min(size, HEAD_BYTES))
                _refuse_kind(kind_of(head, member), inside_zip=True)
                # One byte more than stated, so that the checksum is compared.
                return head + stream.read(size - len(head) + 1)
        except LabError:
            raise
        except (zipfile.BadZipFile, RuntimeError, EOFError, ValueError) as error:
            raise ImageError(f"cannot be read from the zip: {describe_damage(error)}") from error
        # zlib.error, struct.error and others: each codec has a class of its own
        except Exception as error:
            raise ImageError(f"damaged inside the zip: {describe_damage(error)}") from error

    def _open(self, name: str) -> Archive:
        """The archive, open; those that were not used for longest make room for it."""
        opened = self._archives.pop(name, None)
        if opened is None:
            opened = Archive(name)
        self._archives[name] = opened
        while len(self._archives) > 1 and self._holds_too_much():
            least_used = next(iter(self._archives))
            self._archives.pop(least_used).close()
        return opened

    def _holds_too_much(self) -> bool:
        members = sum(map(len, self._archives.values()))
        return len(self._archives) > KEPT_OPEN or members > KEPT_MEMBERS


def _is_picture_member(opened: Archive, member: str, passed_over: PassedOver) -> bool:
    path = f"{opened.path}{SEPARATOR}{member}"
    if any(map(is_hidden, member_parts(member))):
        passed_over.add_hidden_file(path)
        return False
    if suffix_of(member) in SUFFIXES:
        return True
    kind = kind_by_name(member) or opened.kind(member)
    if kind == PICTURE:
        return True
    passed_over.add(path, kind)
    return False


def _divide(path: str) -> tuple[str, str]:
    """Archive and member, or two empty strings for a plain path.

    Names of folders may end in "!", too. What stands before the separator is an archive where it is
    a file.
    """
    at = path.find(SEPARATOR)
    while at >= 0 and not os.path.isfile(path[:at]):
        at = path.find(SEPARATOR, at + 1)
    if at < 0:
        return "", ""
    archive = path[:at]
    member = path[at:].removeprefix(SEPARATOR)
    return archive, member


def _read_file(path: str) -> bytes:
    status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        # Where the folder may not be listed, this raises the reason to give.
        os.scandir(path).close()
        raise ImageError("is a folder; name the pictures in it")
    # A named pipe or a device would block for ever.
    if not stat.S_ISREG(status.st_mode):
        raise ImageError("not a regular file; a single picture may be piped in, as: scan - < FILE")
    with open_at_once(path) as stream:
        return _read_stream(stream, path, status.st_size)


def _read_stream(stream: BinaryIO, name: str, size: int | None = None) -> bytes:
    """All bytes of a picture. Its kind is looked at first: a video may be larger than memory."""
    head = stream.read(HEAD_BYTES)
    _refuse_kind(kind_of(head, name))
    if size is None or size <= MAX_BYTES:
        data = head + stream.read(MAX_BYTES + 1 - len(head))
        size = len(data)
        if size <= MAX_BYTES:
            return data
    raise ImageError(f"file of {size:,} bytes, above the limit of {MAX_BYTES:,}")


def _read_standard_input() -> bytes:
    stream = getattr(sys.stdin, "buffer", None)
    if stream is None or sys.stdin.isatty():
        raise ImageError("a picture is read from a pipe, and there is none; write: scan - < FILE")
    data = _read_stream(stream, STANDARD_INPUT)
    if not data:
        raise ImageError("nothing came through the pipe")
    return data


def _refuse_kind(kind: Kind, inside_zip: bool = False) -> None:
    """Raise ImageError for a kind of file that is known for no picture, with what to do."""
    if kind in (ZIP, NAMED_ZIP) and inside_zip:
        kind = ZIP_IN_ZIP
    # For these the decoder has messages of its own.
    if kind not in (PICTURE, OTHER, EMPTY):
        raise ImageError(kind.refusal)


def _describe_missing(path: str) -> str:
    """Why there is no such file, and what to do where a path is an address."""
    if path.lower().startswith("file:/"):
        return "an address; give the path of the file, without file://"
    if _ADDRESS.match(path):
        return "an address; pictures are not downloaded: save it and give the file"
    archive, suffix, _ = path.partition(".zip/")
    if suffix and os.path.isfile(f"{archive}.zip"):
        return f"no such file; a picture in a zip is written archive.zip{SEPARATOR}name"
    return "no such file"
