"""Files: images listed and read from folders and zips with hostile names and archives in mind,
results replaced whole.

A zip member is written `archive.zip!/member/name.jpg`. Archives are read in place and never
extracted.
"""

from __future__ import annotations

import os
import stat
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from fauxlab.errors import LabError
from fauxlab.io.images import MAX_BYTES, SUFFIXES
from fauxlab.io.limits import ImageError
from fauxlab.io.text import printable

SEPARATOR = "!/"
# Pictures are compressed already: a member that shrinks this much inside a zip was built to fill
# memory.
MAX_RATIO = 200
KEPT_OPEN = 32  # archives; a process may hold a thousand files or so


def walk_images(folder: Path, others: tuple[str, ...] = ()) -> Iterator[Path]:
    """Files below `folder` with an image suffix or one of `others`, sorted; links are followed,
    loops entered once.

    A folder that cannot be listed is given itself, so that reading it says why and nothing is lost
    in silence.
    """
    seen = set()
    wanted = SUFFIXES.union(others)
    waiting = [str(folder)]
    while waiting:  # a list, not recursion: folders can be nested deeper than Python's stack
        here = waiting.pop()
        try:
            status = os.stat(here)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            names = sorted(os.listdir(here))
        except OSError:
            yield Path(here)
            continue
        folders = []
        for name in names:
            path = os.path.join(here, name)
            if os.path.isdir(path):
                folders.append(path)
            elif not name.startswith(".") and os.path.splitext(name)[1].lower() in wanted:
                yield Path(path)
        waiting += reversed(folders)


def zip_images(archive: Path) -> list[str]:
    """Names of the image members of a zip, in the archive's order. Raises LabError on what is no
    zip.
    """
    with _open_zip(archive) as opened:
        # A name that stands twice is read once, as its last entry: what unpacking would leave.
        names = dict.fromkeys(info.filename for info in opened.infolist() if not info.is_dir())
    return [
        name
        for name in names
        if PurePosixPath(name).suffix.lower() in SUFFIXES and not name.startswith("__MACOSX/")
    ]


class FileReader:
    """Reads images by path or `archive.zip!/member`; keeps the last archives open. Safe to share
    between threads.
    """

    def __init__(self) -> None:
        self._archives: dict[str, zipfile.ZipFile] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> FileReader:
        return self

    def __exit__(self, *exc: object) -> None:
        for archive in self._archives.values():
            archive.close()
        self._archives.clear()

    def read(self, path: str) -> bytes:
        """The file's bytes. Raises ImageError when it is missing, no regular file, above MAX_BYTES,
        or damaged.
        """
        try:
            archive, member = _divide(path)
            return self._member(archive, member) if archive else _file(path)
        except ImageError:
            raise
        except LabError as error:
            raise ImageError(str(error)) from error
        # ValueError: a zero byte in the name
        except (FileNotFoundError, NotADirectoryError, ValueError):
            raise ImageError("no such file") from None
        except OSError as error:
            raise ImageError(f"cannot be read: {error.strerror or error}") from error

    def _member(self, archive: str, member: str) -> bytes:
        if member.startswith("/") or ".." in PurePosixPath(member.replace("\\", "/")).parts:
            raise ImageError("refused: the name inside the zip points outside it")
        try:
            with self._lock:  # up to the member's own stream, which outlives its archive's closing
                opened = self._archive(archive)
                info = opened.getinfo(member)
                _refuse(info)
                stream = opened.open(info)
            with stream:
                return stream.read(MAX_BYTES + 1)
        except LabError:
            raise
        except KeyError:
            raise ImageError(f"no such member in {printable(archive)}") from None
        except (
            zipfile.BadZipFile,
            RuntimeError,
            NotImplementedError,
            EOFError,
            ValueError,
        ) as error:
            raise ImageError(f"cannot be read from the zip: {error}") from error
        # zlib.error, lzma.LZMAError: one class a codec, none of them public
        except Exception as error:
            raise ImageError(f"damaged inside the zip: {error}") from error

    def _archive(self, name: str) -> zipfile.ZipFile:
        """The archive, open; the one that was asked for longest ago makes room."""
        opened = self._archives.pop(name, None) or _open_zip(Path(name))
        self._archives[name] = opened
        if len(self._archives) > KEPT_OPEN:
            self._archives.pop(next(iter(self._archives))).close()
        return opened


def _refuse(info: zipfile.ZipInfo) -> None:
    """Raise ImageError for a member that is not to be unpacked."""
    if info.flag_bits & 1:
        raise ImageError("encrypted; unpack the zip with its password and give the folder")
    # others unpack without a bound
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ImageError("packed by a rare method; unpack the zip and give the folder")
    if info.file_size > MAX_BYTES or info.file_size > MAX_RATIO * max(info.compress_size, 1):
        raise ImageError(
            f"refused: {info.compress_size:,} bytes in the zip unpack to {info.file_size:,}"
        )


def _divide(path: str) -> tuple[str, str]:
    """(archive, member), or ("", "") for a plain path: folder names may end in "!" too, an archive
    is a file.
    """
    at = path.find(SEPARATOR)
    while at >= 0 and not os.path.isfile(path[:at]):
        at = path.find(SEPARATOR, at + 1)
    return (path[:at], path[at + len(SEPARATOR) :]) if at >= 0 else ("", "")


def _file(path: str) -> bytes:
    status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        os.scandir(path).close()  # where it may not be listed, that is the reason to give
        raise ImageError("is a folder")
    if not stat.S_ISREG(status.st_mode):  # a named pipe or device would block for ever
        raise ImageError("not a regular file")
    if status.st_size > MAX_BYTES:
        raise ImageError(f"file of {status.st_size:,} bytes, above the limit of {MAX_BYTES:,}")
    with open(path, "rb") as stream:
        return stream.read(MAX_BYTES + 1)


def _open_zip(archive: Path) -> zipfile.ZipFile:
    try:
        if archive.exists() and not archive.is_file():
            raise ValueError("not a regular file")
        return zipfile.ZipFile(archive)
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise LabError(
            f"{printable(archive)} is not a readable zip ({reason}); fetch or pack it again"
        ) from error
