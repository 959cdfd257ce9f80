"""Files: images listed and read from folders and zips with hostile names and archives in mind, results replaced whole.

A zip member is written `archive.zip!/member/name.jpg`. Archives are read in place and never extracted.
"""

from __future__ import annotations

import os
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from fauxlab.data.images import MAX_BYTES, SUFFIXES, ImageError
from fauxlab.errors import LabError

SEPARATOR = "!/"
# Pictures are compressed already: a member that shrinks this much inside a zip was built to fill memory.
MAX_RATIO = 200


def show(path: str | Path) -> str:
    """A path as printable text: bytes that are no UTF-8 appear as escapes."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def replace_file(path: Path, content: bytes | str) -> None:
    """Write a file whole or not at all: aside first, then renamed over what was there. Text becomes UTF-8."""
    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    aside.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape"))
    os.replace(aside, path)


def walk_images(folder: Path) -> Iterator[Path]:
    """Files below `folder` with an image suffix, sorted; links are followed, loops are entered once."""
    seen = set()
    for root, folders, files in os.walk(folder, followlinks=True):
        status = os.stat(root)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders.sort()
        for name in sorted(files):
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES:
                yield Path(root, name)


def zip_images(archive: Path) -> list[str]:
    """Names of the image members of a zip, in the archive's order. Raises LabError on what is no zip."""
    with _open_zip(archive) as opened:
        names = [info.filename for info in opened.infolist() if not info.is_dir()]
    return [
        name for name in names if PurePosixPath(name).suffix.lower() in SUFFIXES and not name.startswith("__MACOSX/")
    ]


class FileReader:
    """Reads images by path or `archive.zip!/member`; keeps archives open. Safe to share between threads."""

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
        """The file's bytes. Raises ImageError when it is missing, no regular file, above MAX_BYTES, or damaged."""
        archive, separator, member = path.partition(SEPARATOR)
        try:
            return self._member(archive, member) if separator else _file(path)
        except ImageError:
            raise
        except LabError as error:
            raise ImageError(str(error)) from error
        except OSError as error:
            raise ImageError(f"cannot be read: {error.strerror or error}") from error

    def _member(self, archive: str, member: str) -> bytes:
        if member.startswith("/") or ".." in PurePosixPath(member.replace("\\", "/")).parts:
            raise ImageError("refused: the name inside the zip points outside it")
        with self._lock:
            if archive not in self._archives:
                self._archives[archive] = _open_zip(Path(archive))
            opened = self._archives[archive]
        try:
            info = opened.getinfo(member)
            if info.file_size > MAX_BYTES or info.file_size > MAX_RATIO * max(info.compress_size, 1):
                raise ImageError(f"refused: {info.compress_size:,} bytes in the zip unpack to {info.file_size:,}")
            with opened.open(info) as stream:
                return stream.read(MAX_BYTES + 1)
        except KeyError:
            raise ImageError(f"no such member in {show(archive)}") from None
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, ValueError) as error:
            raise ImageError(f"cannot be read from the zip: {error}") from error
        except Exception as error:  # zlib.error, lzma.LZMAError: one class a codec, none of them public
            raise ImageError(f"damaged inside the zip: {error}") from error


def _file(path: str) -> bytes:
    if not os.path.isfile(path):  # a named pipe or device would block for ever
        raise ImageError("is a folder" if os.path.isdir(path) else "no such file" if not os.path.exists(path)
                         else "not a regular file")  # fmt: skip
    size = os.path.getsize(path)
    if size > MAX_BYTES:
        raise ImageError(f"file of {size:,} bytes, above the limit of {MAX_BYTES:,}")
    with open(path, "rb") as stream:
        return stream.read(MAX_BYTES + 1)


def _open_zip(archive: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise LabError(f"{show(archive)} is not a readable zip ({error}); fetch or pack it again") from error
