"""The threads that read pictures."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple


def usable_cores() -> int:
    """The cores that this process may use, at least 1: a container may have a part of them."""
    if hasattr(os, "process_cpu_count"):  # since Python 3.13
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Workers(NamedTuple):
    """A pool of threads, and whether they are to stop with what they are at."""

    pool: ThreadPoolExecutor
    stopping: threading.Event


@contextmanager
def start_workers() -> Iterator[Workers]:
    """A thread a core. Whoever leaves early waits for the frames being read, for nothing more."""
    pool = ThreadPoolExecutor(usable_cores())
    stopping = threading.Event()
    try:
        yield Workers(pool, stopping)
    finally:
        stopping.set()
        pool.shutdown(cancel_futures=True)
