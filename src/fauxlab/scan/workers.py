"""The threads that read pictures."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

from fauxlab.processors import usable_processors


class Workers(NamedTuple):
    """A pool of threads, and whether they are to stop with what they are at."""

    pool: ThreadPoolExecutor
    stopping: threading.Event


@contextmanager
def start_workers() -> Iterator[Workers]:
    """A thread for each processor.

    Whoever leaves early waits for the frames being read, and for nothing more.
    """
    pool = ThreadPoolExecutor(usable_processors())
    stopping = threading.Event()
    try:
        yield Workers(pool, stopping)
    finally:
        stopping.set()
        pool.shutdown(cancel_futures=True)
