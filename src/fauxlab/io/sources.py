"""Images listed and read from folders and zips, with hostile names and archives in mind.

A member of a zip is written `archive.zip!/member/name.jpg`. Archives are read in place and never
extracted.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from fauxlab.errors import LabError
from fauxlab.io.images import MAX_BYTES, SUFFIXES
from fauxlab.io.limits import ImageError
from fauxlab.io.text import printable

SEPARATOR = "!/"
# Pictures are compressed already. A member that unpacks to so much more than its size in the zip
# was built to fill memory.
MAX_RATIO = 200
KEPT_OPEN = 32  # archives; a process may hold a thousand files or so

# Folders that systems add to people's own, beside those that begin with a dot: macOS puts resource
# forks of a zip into the first, Synology thumbnails into the second.
_SYSTEM_FOLDERS = frozenset({"__MACOSX", "@eaDir"})
# Methods that unpack no more than they are asked for.
_BOUNDED_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

_logger = logging.getLogger(__name__)


def walk_images(folder: Path, others: tuple[str, ...] = ()) -> Iterator[Path]:
    """Files below `folder` with an image suffix or one of `others`, sorted.

    Links are followed; a loop of links is entered once. Hidden files and folders are passed over,
    and a warning names the folders. `folder` itself may be hidden. A folder that cannot be listed
    is given itself, so that reading it says why and nothing is lost in silence.
    """
    wanted = SUFFIXES.union(others)
    entered: set[tuple[int, int]] = set()
    passed_over: list[str] = []
    # A list, not recursion: folders can be nested deeper than Python's stack.
    waiting = [str(folder)]
    while waiting:
        here = waiting.pop()
        try:
            status = os.stat(here)
            identity = (status.st_dev, status.st_ino)
            if identity in entered:
                continue
            entered.add(identity)
            names = sorted(os.listdir(here))
        except OSError:
            yield Path(here)
            continue
        folders: list[str] = []
        for name in names:
            path = os.path.join(here, name)
            hidden = is_hidden(name)
            if os.path.isdir(path):
                group = passed_over if hidden else folders
                group.append(path)
            elif not hidden and _suffix(name) in wanted:
                yield Path(path)
        waiting.extend(reversed(folders))
    if passed_over:
        warn_of_hidden(folder, passed_over)


def zip_images(archive: Path) -> list[str]:
    """Names of the image members of a zip, in the archive's order, without hidden ones.

    Raises LabError on a file that is no zip.
    """
    with _open_zip(archive) as opened:
        members = [info.filename for info in opened.infolist() if not info.is_dir()]
    # A name that stands twice is read once, as its last entry: what unpacking would leave.
    return [member for member in dict.fromkeys(members) if _is_shown_image(member)]


def _suffix(name: str) -> str:
    """A file's suffix in lower case, as `.jpg`."""
    _, suffix = os.path.splitext(name)
    return suffix.lower()


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or a system's own."""
    is_dotted = name.startswith(".") and name not in (".", "..")
    return is_dotted or name in _SYSTEM_FOLDERS


def warn_of_hidden(folder: Path, passed_over: Sequence[str]) -> None:
    """Say how many hidden folders below `folder` are not read, and which is the first."""
    count = len(passed_over)
    _logger.warning(
        "passed over %d hidden %s below %s, the first: %s; rename a folder to read it",
        count,
        "folder" if count == 1 else "folders",
        printable(folder),
        printable(os.path.relpath(passed_over[0], folder)),
    )


class FileReader:
    """Reads images by path or `archive.zip!/member`; threads may share it.

    The last archives stay open.
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
        """The file's bytes.

        Raises ImageError when it is missing, no regular file, above MAX_BYTES, or damaged.
        """
        try:
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
            raise ImageError("no such file") from None
        except OSError as error:
            raise ImageError(f"cannot be read: {error.strerror or error}") from error

    def _read_member(self, archive: str, member: str) -> bytes:
        parts = PurePosixPath(member.replace("\\", "/")).parts
        if member.startswith("/") or ".." in parts:
            raise ImageError("refused: the name inside the zip points outside it")
        try:
            # Up to here the archive must stay open. The member's stream outlives its closing.
            with self._lock:
                opened = self._open(archive)
                info = opened.getinfo(member)
                _refuse_member(info)
                stream = opened.open(info)
            with stream:
                return stream.read(MAX_BYTES + 1)
        except LabError:
            raise
        except KeyError:
            raise ImageError(f"no such member in {printable(archive)}") from None
        except (zipfile.BadZipFile, RuntimeError, EOFError, ValueError) as error:
            raise ImageError(f"cannot be read from the zip: {error}") from error
        # zlib.error, lzma.LZMAError: each codec has a class of its own, and none is public
        except Exception as error:
            raise ImageError(f"damaged inside the zip: {error}") from error

    def _open(self, name: str) -> zipfile.ZipFile:
        """The archive, open; the least recently used one makes room for it."""
        opened = self._archives.pop(name, None)
        if opened is None:
            opened = _open_zip(Path(name))
        self._archives[name] = opened
        if len(self._archives) > KEPT_OPEN:
            oldest = next(iter(self._archives))
            least_used = self._archives.pop(oldest)
            least_used.close()
        return opened


def _is_shown_image(member: str) -> bool:
    path = PurePosixPath(member)
    if any(is_hidden(part) for part in path.parts):
        return False
    return path.suffix.lower() in SUFFIXES


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
        raise ImageError("is a folder")
    # A named pipe or a device would block for ever.
    if not stat.S_ISREG(status.st_mode):
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
