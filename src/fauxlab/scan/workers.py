"""The threads that read pictures."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

from fauxlab.io.decoding.children import stop_decoding


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
    """A thread a core. Whoever leaves early waits for the searches under way, for nothing more."""
    threads: set[int] = set()

    def note_thread() -> None:
        threads.add(threading.get_ident())

    pool = ThreadPoolExecutor(usable_cores(), initializer=note_thread)
    stopping = threading.Event()
    try:
        yield Workers(pool, stopping)
    finally:
        stopping.set()
        # Nobody waits for their pictures any more, and each may take the whole timeout.
        with stop_decoding(tuple(threads)):
            pool.shutdown(cancel_futures=True)
