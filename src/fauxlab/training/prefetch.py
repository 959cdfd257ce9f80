"""The next step's input, prepared in a background thread while this step computes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Prefetcher(Generic[Item]):
    """Makes numbered items with `make`, one of them ahead of time.

    `make` must be a pure function of the number: the thread may prepare an item that nobody takes.
    Its errors are raised where the item is taken. Use it as a context manager, which ends the
    thread.
    """

    def __init__(self, make: Callable[[int], Item]) -> None:
        self._make = make
        self._thread = ThreadPoolExecutor(1, "prefetch")
        self._ahead: dict[int, Future[Item]] = {}

    def take(self, number: int, then: int | None) -> Item:
        """Item `number`; preparing item `then` begins, where there is one."""
        future = self._ahead.pop(number, None)
        self._ahead.clear()
        if future is None:
            future = self._start(number)
        item = future.result()
        if then is not None:
            self._ahead[then] = self._start(then)
        return item

    def _start(self, number: int) -> Future[Item]:
        return self._thread.submit(self._make, number)

    def __enter__(self) -> Prefetcher[Item]:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)
