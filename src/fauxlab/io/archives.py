"""Zips that are read in place, with hostile ones in mind.

Nothing is ever extracted. What opening a zip and reading a member may cost is bounded.
"""

from __future__ import annotations

import os
import re
import stat
import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO

from fauxlab.errors import LabError
from fauxlab.io.images import MAX_BYTES
from fauxlab.io.kinds import HEAD_BYTES, UNREADABLE, ZIP, ZIP_IN_ZIP, Kind, kind_of, suffix_of
from fauxlab.io.limits import ImageError
from fauxlab.io.text import describe_error, printable

# Pictures are compressed already. A member that unpacks to so much more than its size in the zip
# was built to fill memory.
MAX_RATIO = 200
# The list of all members is read as a whole. Python takes two seconds and 150 MB for so many.
MAX_MEMBERS = 300_000
MAX_DIRECTORY = 2**26  # bytes
# After so many members that cannot be opened, no other is opened to see whether it is a picture.
MAX_UNREADABLE = 1_000
# Sizes of all members against that of the zip. Members of a bomb lie over each other.
MAX_OVERLAP = 2

_UNPACK = "unpack it and give the folder"
# Methods that unpack no more than they are asked for.
_BOUNDED_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# The records at the end of a zip that state how long the list of members is. A comment of up to
# 65,535 bytes may follow the first.
_END = re.compile(rb"PK\x05\x06.{8}(.{4})", re.DOTALL)
_LARGE_END = re.compile(rb"PK\x06\x06.{36}(.{8})", re.DOTALL)
_END_BYTES = 2**16 + 128
_FOLDER_ENDS = ("/", "\\")  # Windows writes its own separator
_MEMBER = b"PK\x01\x02"  # begins each entry of the list
_SMALLEST_ENTRY = 46


class Archive:
    """A zip, open for reading. Not safe in threads, except for the streams of its members.

    Raises LabError where the file is no zip, or costs too much to open.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._zip = _open(path)
        self._by_plain_name: dict[str, str] | None = None
        self._folders: set[str] | None = None  # in which files lie directly
        self._unreadable = 0

    def __len__(self) -> int:
        return len(self._zip.filelist)

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Streams of members that are open stay so."""
        self._zip.close()

    def members(self) -> Iterator[str]:
        """The names of the files in the zip, in its order, each of them once.

        A name that stands twice is read as its last entry: what unpacking would leave.
        """
        for name in self._zip.NameToInfo:
            if not name.endswith(_FOLDER_ENDS):
                yield name

    def find(self, member: str) -> str | None:
        """The name under which the zip has a member that may be spelt otherwise, as `./a.jpg`."""
        if member.endswith(_FOLDER_ENDS):
            return None
        if member in self._zip.NameToInfo:
            return member
        if self._by_plain_name is None:
            self._by_plain_name = {_plain(name): name for name in self.members()}
        return self._by_plain_name.get(_plain(member))

    def open(self, member: str) -> tuple[IO[bytes], int]:
        """A stream of a member's bytes, and how many they are.

        Raises ImageError on a member that is missing, encrypted, packed by a rare method, or too
        large; and what zipfile raises on damaged ones.
        """
        if ".." in member_parts(member) or member.startswith(("/", "\\")):
            raise ImageError("refused: the name inside the zip points outside it")
        name = self.find(member)
        if name is None:
            raise ImageError(self._describe_missing(member))
        info = self._zip.NameToInfo[name]
        _refuse_member(info)
        return self._zip.open(info), info.file_size

    def _describe_missing(self, member: str) -> str:
        if self._folders is None:
            self._folders = {_plain(name).rpartition("/")[0] for name in self.members()}
        if _plain(member) in self._folders:
            return "a folder inside a zip; give the zip as a whole, or unpack it"
        return f"no such member in {printable(self.path)}"

    def kind(self, member: str) -> Kind:
        """The kind of a member by its first bytes."""
        if suffix_of(member) == ".zip":
            return ZIP_IN_ZIP
        if self._unreadable > MAX_UNREADABLE:
            return UNREADABLE
        try:
            stream, _ = self.open(member)
            with stream:
                head = stream.read(HEAD_BYTES)
        # As many kinds of errors as there are ways to damage a zip.
        except Exception:
            self._unreadable += 1
            return UNREADABLE
        kind = kind_of(head, member)
        return ZIP_IN_ZIP if kind == ZIP else kind


def member_parts(member: str) -> tuple[str, ...]:
    """Folders and name of a member. Packers on Windows may write backslashes."""
    return PurePosixPath(member.replace("\\", "/")).parts


def _plain(member: str) -> str:
    return "/".join(member_parts(member))


def _open(path: str) -> zipfile.ZipFile:
    try:
        _refuse_directory(path)
        opened = zipfile.ZipFile(path)
    except LabError:
        raise
    except OSError as error:
        reason = error.strerror or describe_error(error)
    # zipfile raises almost anything on damaged files: struct.error, UnicodeDecodeError,
    # NotImplementedError and more
    except Exception as error:
        reason = describe_error(error)
    else:
        if not _overlaps(opened, path):
            return opened
        opened.close()
        reason = "its members lie over each other, as in a zip bomb"
    raise LabError(f"{printable(path)} is not a readable zip ({reason}); fetch or pack it again")


def _refuse_directory(path: str) -> None:
    """Raise LabError for a zip whose list of members is too long, ValueError for a pipe."""
    status = os.stat(path)
    # A pipe would block for ever.
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("not a regular file")
    size = status.st_size
    if size <= MAX_MEMBERS * _SMALLEST_ENTRY:
        return
    with open(path, "rb") as stream:
        length = _directory_bytes(stream, size)
        if length > MAX_DIRECTORY:
            raise LabError(f"{printable(path)} lists members in {length:,} bytes; {_UNPACK}")
        stream.seek(max(0, size - length - _END_BYTES))
        members = stream.read().count(_MEMBER)
    if members > MAX_MEMBERS:
        raise LabError(
            f"{printable(path)} has {members:,} members, above the limit of {MAX_MEMBERS:,}; "
            f"{_UNPACK}"
        )


def _directory_bytes(stream: IO[bytes], size: int) -> int:
    """The length of the list of members, as the end of a zip states it.

    What looks like such a statement may be part of a comment. The largest is taken that the file
    has room for, because zipfile refuses those beyond.
    """
    stream.seek(max(0, size - _END_BYTES))
    end = stream.read()
    stated = [*_END.findall(end), *_LARGE_END.findall(end)]
    lengths = [int.from_bytes(length, "little") for length in stated]
    return max((length for length in lengths if length < size), default=0)


def _overlaps(opened: zipfile.ZipFile, path: str) -> bool:
    """Whether the members claim far more bytes than the zip has.

    A single damaged member is refused when it is read, and does not count here.
    """
    sizes = [info.compress_size for info in opened.filelist]
    largest = max(sizes, default=0)
    return sum(sizes) - largest > MAX_OVERLAP * os.path.getsize(path)


def _refuse_member(info: zipfile.ZipInfo) -> None:
    """Raise ImageError for a member that is not to be unpacked."""
    is_encrypted = info.flag_bits & 1
    if is_encrypted:
        raise ImageError("encrypted; unpack the zip with its password and give the folder")
    if info.compress_type not in _BOUNDED_METHODS:
        raise ImageError("packed by a rare method; unpack the zip and give the folder")
    most = min(MAX_BYTES, MAX_RATIO * max(info.compress_size, 1))
    if info.file_size > most:
        raise ImageError(
            f"refused: {info.compress_size:,} bytes in the zip unpack to {info.file_size:,}"
        )
