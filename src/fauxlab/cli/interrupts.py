"""Ctrl-C and the signals that end a program: each lets it clean up, and a second ends it at once.

Only the command line sets handlers. A program that uses fauxlab as a library keeps its own.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Ctrl-C; what kill, systemd, Docker, Slurm and torchrun send; what a closed terminal sends.
NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
# A repetition within so many seconds is the same event: torchrun passes on to its processes what
# the terminal has sent to them as well.
ECHO = 0.25


class Interrupts:
    """What has come so far: the time of the first signal, None before it."""

    def __init__(self) -> None:
        self._first: float | None = None

    @property
    def came(self) -> bool:
        """Whether a signal has come."""
        return self._first is not None

    def note(self, number: int, _frame: object) -> None:
        """Raise KeyboardInterrupt on the first signal, and end the process on a later one."""
        now = time.monotonic()
        if self._first is None:
            self._first = now
            raise KeyboardInterrupt
        if now - self._first > ECHO:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)


@contextmanager
def noted_interrupts() -> Iterator[Interrupts]:
    """While the block runs, the signals of NAMES raise KeyboardInterrupt in the main thread."""
    interrupts = Interrupts()
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in _signals():
            before[number] = signal.signal(number, interrupts.note)
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _signals() -> list[int]:
    """The signals of NAMES that this system has and that are not ignored, as nohup asks."""
    present = []
    for name in NAMES:
        number = getattr(signal, name, None)
        if number is None:
            continue
        ignored = signal.getsignal(number) == signal.SIG_IGN
        # A shell lets its background processes ignore SIGINT; `kill -INT` still has to reach them.
        if name == "SIGINT" or not ignored:
            present.append(number)
    return present
