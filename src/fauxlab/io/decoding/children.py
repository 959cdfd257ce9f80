"""Child processes that decode pictures: few, started on first need, kept, killed when they hang.

They are plain subprocesses. So they work in a notebook, in threads, and in programs without the
`__main__` guard that multiprocessing asks for.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from PIL import Image

from fauxlab.io.decoding.messages import Connection, bands
from fauxlab.io.interpreter import find_interpreter, import_path
from fauxlab.io.limits import ImageError, Limits
from fauxlab.processors import usable_processors

if TYPE_CHECKING:
    from io import RawIOBase

# Pictures that are decoded at the same time, and children that are kept.
MOST = min(4, usable_processors())
START_SECONDS = 60.0
# Above so many pixels a picture takes hundreds of megabytes on its way to RGB. Such pictures are
# decoded one after the other.
LARGE_PIXELS = 2**24

# The child needs none of the threads that libraries start at import, and writes no file.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    # What a picture took goes back to the system. Else glibc keeps it, and how large the next
    # picture may be would depend on those before.
    "MALLOC_MMAP_THRESHOLD_": "262144",
}


class _Child:
    """One child process."""

    def __init__(self) -> None:
        # Most programs never start a child.
        import subprocess

        self._killed = False
        self._process = subprocess.Popen(
            [find_interpreter(), "-P", "-m", "fauxlab.io.decoding.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={**os.environ, **_ENVIRONMENT, "PYTHONPATH": os.pathsep.join(import_path())},
            # Ctrl-C on a terminal reaches the whole group of this process.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        self.connection = Connection(
            cast("RawIOBase", self._process.stdout), cast("RawIOBase", self._process.stdin)
        )
        try:
            with self.within(START_SECONDS, START_SECONDS):
                self.connection.receive()
        except BaseException:
            self.close()
            raise

    @property
    def is_usable(self) -> bool:
        return not self._killed and self._process.poll() is None

    @contextmanager
    def within(self, seconds: float, limit: float) -> Iterator[None]:
        """Kill the child unless the block ends in time. Raises ImageError if it is killed or dies.

        `limit` is the timeout that the message names. A reply that came at the last moment counts,
        but the child is not used again.
        """
        timer = threading.Timer(seconds, self.kill)
        timer.daemon = True
        timer.start()
        try:
            yield
        except ImageError:
            raise
        # The child may be gone in the middle of a message, or send what is none.
        except Exception as error:
            was_late = self._killed
            self.kill()
            if was_late:
                raise ImageError(_describe_timeout(limit)) from error
            raise ImageError("cannot be decoded: its decoder crashed") from error
        except BaseException:
            # Interrupted in the middle of a message.
            self.kill()
            raise
        finally:
            timer.cancel()

    def kill(self) -> None:
        self._killed = True
        self._process.kill()

    def close(self) -> None:
        """End the child, and wait until it has."""
        self.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


class _Children:
    """The children of this process."""

    def __init__(self) -> None:
        self._of_others: list[_Child] = []
        self._idle: list[_Child] = []
        # Which thread each child works for.
        self._busy: dict[_Child, int] = {}
        self._stopped: set[int] = set()
        self._lock = threading.Lock()
        self.slots = threading.BoundedSemaphore(MOST)
        self.one_large = threading.Lock()

    def start_anew(self) -> None:
        """In a forked process: leave alone the children and locks of the process it came from."""
        self._of_others += [*self._idle, *self._busy]
        self._idle = []
        self._busy = {}
        self._stopped = set()
        self._lock = threading.Lock()
        self.slots = threading.BoundedSemaphore(MOST)
        self.one_large = threading.Lock()

    def take(self) -> _Child:
        """An idle child, or a new one."""
        with self._lock:
            child = self._take_idle()
        if child is None:
            try:
                child = _Child()
            except (OSError, ImageError) as error:
                raise ImageError(f"no process can be started to decode it in: {error}") from error
        thread = threading.get_ident()
        with self._lock:
            self._busy[child] = thread
            # It may have been stopped while the child started.
            if thread in self._stopped:
                child.kill()
        return child

    def _take_idle(self) -> _Child | None:
        while self._idle:
            child = self._idle.pop()
            if child.is_usable:
                return child
        return None

    def give_back(self, child: _Child) -> None:
        """Keep a child for the next picture, or end it where there are enough."""
        with self._lock:
            self._busy.pop(child, None)
            is_kept = child.is_usable and len(self._idle) < MOST
            if is_kept:
                self._idle.append(child)
        if not is_kept:
            child.close()

    @contextmanager
    def stopped(self, threads: Collection[int]) -> Iterator[None]:
        """As `stop_decoding`."""
        with self._lock:
            self._stopped.update(threads)
            for child, thread in self._busy.items():
                if thread in threads:
                    child.kill()
        try:
            yield
        finally:
            with self._lock:
                self._stopped.difference_update(threads)

    def close(self) -> None:
        """End all idle children."""
        with self._lock:
            idle, self._idle = self._idle, []
        for child in idle:
            child.close()


_children = _Children()
atexit.register(_children.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_children.start_anew)


class Remote:
    """A picture in a child process. Use it in a `with` block.

    `count` is the number of its frames. Raises ImageError as `decode` does.
    """

    def __init__(
        self, data: bytes, limits: Limits, at_least: int | None = None, frames: bool = False
    ) -> None:
        self._limits = limits
        self._left = limits.timeout
        self._open: dict[str, Any] = {
            "do": "open",
            "bytes": len(data),
            "at_least": at_least,
            "frames": frames,
            "max_pixels": limits.max_pixels,
        }
        self._data = data
        self._child: _Child | None = None
        self._pool = _children
        self.count = 1
        self._is_large = False

    def __enter__(self) -> Remote:
        with self._pool.slots:
            self._reopen()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._release()

    def frame(self, number: int) -> Image.Image:
        """A frame of the picture. All its frames together must be decoded within the timeout."""
        if self._is_large:
            with self._pool.one_large, self._pool.slots:
                return self._frame(number)
        with self._pool.slots:
            return self._frame(number)

    def _frame(self, number: int) -> Image.Image:
        if self._child is None:
            self._reopen()
        child = self._child
        assert child is not None
        request = {"do": "frame", "number": number, "max_pixels": self._limits.max_pixels}
        with self._clock(child):
            child.connection.send({**request, "seconds": self._left})
            header = self._reply(child)
            picture = self._receive(child, header["width"], header["height"])
        if self._is_large:
            # Its memory is not kept while somebody looks at the frame.
            self._release()
        return picture

    def _reopen(self) -> None:
        """Send the file to a child."""
        child = self._pool.take()
        self._child = child
        try:
            with self._clock(child):
                child.connection.send({**self._open, "seconds": self._left}, self._data)
                header = self._reply(child)
                pixels = int(header["width"]) * int(header["height"])
                self.count = int(header["count"])
        except ImageError:
            self._release()
            raise
        self._is_large = pixels > LARGE_PIXELS

    @contextmanager
    def _clock(self, child: _Child) -> Iterator[None]:
        """Count the time of the block against the timeout of the picture."""
        if self._left <= 0:
            raise ImageError(_describe_timeout(self._limits.timeout))
        start = time.monotonic()
        try:
            with child.within(self._left, self._limits.timeout):
                yield
        finally:
            self._left -= time.monotonic() - start

    def _reply(self, child: _Child) -> dict[str, Any]:
        header = child.connection.receive()
        if "error" in header:
            raise ImageError(str(header["error"]))
        return header

    def _receive(self, child: _Child, width: int, height: int) -> Image.Image:
        """The rows of a picture. The child may have been taken over: believe nothing it says."""
        is_size = isinstance(width, int) and isinstance(height, int) and min(width, height) > 0
        if not is_size or width * height > self._limits.max_pixels:
            raise ValueError("not the size of a picture")
        picture = Image.new("RGB", (width, height))
        for top, bottom in bands(width, height):
            size = (width, bottom - top)
            rows = child.connection.receive_bytes(3 * size[0] * size[1])
            picture.paste(Image.frombytes("RGB", size, rows), (0, top))
        return picture

    def _release(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        if child.is_usable:
            try:
                child.connection.send({"do": "forget", "seconds": self._limits.timeout})
            except OSError:
                child.kill()
        self._pool.give_back(child)


def describe(data: bytes, limits: Limits) -> dict[str, Any]:
    """What `describe_here` finds out about a file, as a child tells it."""
    with _children.slots:
        child = _children.take()
        try:
            with child.within(limits.timeout, limits.timeout):
                request = {"do": "describe", "bytes": len(data), "seconds": limits.timeout}
                child.connection.send({**request, "max_pixels": limits.max_pixels}, data)
                header = child.connection.receive()
        finally:
            _children.give_back(child)
    if "error" in header:
        raise ImageError(str(header["error"]))
    return header


def stop_decoding(threads: Collection[int]) -> AbstractContextManager[None]:
    """While the block runs, children decode nothing for these threads, given by their numbers.

    What they were at is ended at once, with an ImageError.
    """
    return _children.stopped(threads)


def _describe_timeout(seconds: float) -> str:
    return f"took longer than {seconds:g} seconds"
