"""The threads that read pictures."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

from fauxlab.io.decoding.children import stop_decoding
from fauxlab.processors import usable_processors


class Workers(NamedTuple):
    """A pool of threads, and whether they are to stop with what they are at."""

    pool: ThreadPoolExecutor
    stopping: threading.Event


@contextmanager
def start_workers() -> Iterator[Workers]:
    """A thread for each processor.

    Whoever leaves early waits for the searches under way, and for nothing more.
    """
    threads: set[int] = set()

    def note_thread() -> None:
        threads.add(threading.get_ident())

    pool = ThreadPoolExecutor(usable_processors(), initializer=note_thread)
    stopping = threading.Event()
    try:
        yield Workers(pool, stopping)
    finally:
        stopping.set()
        # Nobody waits for their pictures any more, and each may take the whole timeout.
        with stop_decoding(tuple(threads)):
            pool.shutdown(cancel_futures=True)
