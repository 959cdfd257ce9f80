"""Paths that are listed ahead of the scan, so that it starts at once and soon knows the total."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from queue import Empty, Queue

# Paths that are listed and not yet asked for. They take some 20 MB.
MOST_AHEAD = 100_000


class ListedAhead:
    """Gives the paths of an iterable, which a thread of its own asks for them.

    `total` is their number, and None until all are listed. What the iterable raises is raised here,
    behind the paths that came before. `close` ends the thread.
    """

    def __init__(self, paths: Iterable[str], most: int = MOST_AHEAD) -> None:
        self.total: int | None = None
        self._paths = paths
        self._queue: Queue[str | Exception | None] = Queue(most)
        self._closed = threading.Event()
        # A daemon: whoever is interrupted does not wait for a slow disk.
        self._thread = threading.Thread(target=self._list, name="listing", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[str]:
        while True:
            item = self._queue.get()
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            yield item

    def close(self) -> None:
        """List no further paths."""
        self._closed.set()
        # The thread may be waiting for room.
        try:
            while True:
                self._queue.get_nowait()
        except Empty:
            pass

    def _list(self) -> None:
        count = 0
        try:
            for path in self._paths:
                if self._closed.is_set():
                    return
                self._queue.put(path)
                count += 1
        except Exception as error:
            self._queue.put(error)
            return
        self.total = count
        self._queue.put(None)
