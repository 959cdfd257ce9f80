"""Files and folders that are written beside their place, then moved there in one step.

A reader finds the old or the new content, never a part. Until it is complete, the new content has
a name of its own: `.NAME.PID-RANDOM.tmp`. Its writer holds a lock on it, which the system drops
when the process ends, in whatever way. So a later writer can tell what a dead process left behind
from the work of a living one, and removes it. Process numbers alone could not tell: they are used
again, and every container has its own.
"""

from __future__ import annotations

import ctypes
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows has no such locks: what a dead process left there stays
    fcntl = None  # type: ignore[assignment]

OWN_NAME = re.compile(r"\.(?P<name>.+)\.[0-9]+-[0-9a-f]{8}\.(?P<kind>tmp|old)")
# What versions 0.1 and 0.2 wrote, with the name of the file or folder that it was to become.
FORMER_NAME = re.compile(r"\.?(?P<name>.+?)\.(?P<pid>[0-9]{1,9})\.(rows\.)?(?P<kind>tmp|old)")
LONGEST_NAME = 200  # bytes; file systems allow 255
# A folder is listed again after this many times the time that listing it took. So the search for
# left-overs stays cheap where thousands of pictures are written into one folder.
LISTING_PAUSE = 20

_not_listed_before: dict[Path, float] = {}  # by folder, in time.monotonic()


# --- write


@contextmanager
def file_aside(path: Path, durable: bool = True) -> Iterator[BinaryIO]:
    """A stream for what is to stand at `path`, and does once the block has ended.

    Where the block raises, `path` stays as it was, and the room is free again. `durable` waits
    until the content is on the disk, so that a power cut cannot leave an empty file in the place.
    """
    sweep(path)
    with _claim(path, _make_file) as aside:
        with aside.open("wb") as stream:
            yield stream
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        os.replace(aside, path)


@contextmanager
def folder_aside(folder: Path) -> Iterator[Path]:
    """An empty folder, which takes the place of `folder` once the block has ended.

    Where the block raises, `folder` stays as it was, and the room is free again.
    """
    with scratch_folder(folder) as aside:
        yield aside
        for path in aside.iterdir():
            _wait_for_disk(path)
        _replace_folder(folder, aside)


@contextmanager
def scratch_folder(beside: Path) -> Iterator[Path]:
    """An empty folder beside a place, for the time of the block."""
    beside.parent.mkdir(parents=True, exist_ok=True)
    sweep(beside)
    with _claim(beside, Path.mkdir) as aside:
        yield aside


# --- left-overs


def sweep(path: Path) -> None:
    """Remove what dead processes left in the folder of `path`; never raises.

    Names of the present pattern are removed whatever they were to become. Names of versions 0.1
    and 0.2 are removed only where they were to become `path`: their pattern is a common one.
    """
    folder = path.parent
    start = time.monotonic()
    if start < _not_listed_before.get(folder, 0):
        return
    with suppress(OSError):
        for name in os.listdir(folder):
            own = OWN_NAME.fullmatch(name)
            former = FORMER_NAME.fullmatch(name)
            if own:
                _remove_abandoned(folder / name, own)
            elif former and former["name"] == path.name and not _is_alive(int(former["pid"])):
                _remove(folder / name, former)
    took = time.monotonic() - start
    _not_listed_before[folder] = start + LISTING_PAUSE * took


def _remove_abandoned(path: Path, match: re.Match[str]) -> None:
    """Remove a left-over unless its writer lives, or the file system knows no locks."""
    if fcntl is None:
        return
    with suppress(OSError):
        lock = _open_to_lock(path)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(path, match)
        finally:
            os.close(lock)


def _remove(path: Path, match: re.Match[str]) -> None:
    place = path.with_name(match["name"])
    if match["kind"] == "old" and not os.path.lexists(place):
        # Its writer died between two renames: this is the only copy.
        os.rename(path, place)
    elif path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _is_alive(pid: int) -> bool:
    """Whether another process with this number runs here."""
    if pid == os.getpid():  # this version writes no such names, so a process before this one did
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


# --- names and locks


@contextmanager
def _claim(path: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    """Something new beside `path`, made by `make` and locked; removed if it is still there."""
    while True:
        aside = _beside(path, "tmp")
        make(aside)
        lock = _lock(aside)
        # In the instant before the lock, another process could take it for a left-over.
        if os.path.lexists(aside):
            break
        _unlock(lock)
    try:
        yield aside
    finally:
        if aside.is_dir():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            with suppress(OSError):
                aside.unlink()
        _unlock(lock)


def _make_file(path: Path) -> None:
    with path.open("xb"):
        pass


def _beside(path: Path, kind: str) -> Path:
    encoded = os.fsencode(path.name)
    name = os.fsdecode(encoded[:LONGEST_NAME])
    return path.with_name(f".{name}.{os.getpid()}-{secrets.token_hex(4)}.{kind}")


def _lock(path: Path) -> int | None:
    """A locked file descriptor, or None where the file system knows no locks."""
    if fcntl is None:
        return None
    lock = None
    try:
        lock = _open_to_lock(path)
        fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError:
        _unlock(lock)
        return None
    return lock


def _unlock(lock: int | None) -> None:
    if lock is not None:
        os.close(lock)


def _open_to_lock(path: Path) -> int:
    # Network file systems lock only what is open for writing, which a folder cannot be.
    access = os.O_RDONLY if path.is_dir() else os.O_RDWR
    return os.open(path, access | os.O_NOFOLLOW | os.O_NONBLOCK)


# --- folders


def _wait_for_disk(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _replace_folder(folder: Path, aside: Path) -> None:
    """Put one folder in the place of another."""
    if not folder.exists():
        os.replace(aside, folder)
    elif not _exchange(aside, folder):
        _replace_in_two_steps(folder, aside)


def _replace_in_two_steps(folder: Path, aside: Path) -> None:
    """Where folders cannot change places at one stroke: the old one away, the new one there."""
    old = _beside(folder, "old")
    lock = _lock(folder)  # or else another process could put it back between the two steps
    try:
        os.replace(folder, old)
        try:
            os.replace(aside, folder)
        except BaseException:
            os.replace(old, folder)
            raise
        shutil.rmtree(old)
    finally:
        _unlock(lock)


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change places at one stroke; False where that cannot be done.

    A folder cannot be renamed over one that is not empty, so without this there is an instant
    between two renames in which there is no model. A training killed in that instant would lose
    its best model, and a scan that starts in it would find none. Python has no function for the
    system call; Linux has had it since 2014, on nearly all of its file systems.
    """
    if sys.platform != "linux":
        return False
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename is None:
        return False
    current_folder, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    paths = [os.fsencode(path) for path in (one, other)]
    failed = rename(current_folder, paths[0], current_folder, paths[1], exchange)
    return not failed
