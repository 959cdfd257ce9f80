"""Progress on stderr: on a terminal a bar, in a log a line now and then.

Both say how many images of all are done, how many a second, and how much time is left.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PLAIN_SECONDS = 15.0
# Called with (images done, images in all or None, remark).
Show = Callable[[int, int | None, str], None]


@contextmanager
def show_progress(title: str, start: int = 0) -> Iterator[Show]:
    """A function to be called with the progress so far; a terminal shows a bar until the end.

    `start` images were done before: they count as done, but not in the rate.
    """
    shown = _bar if sys.stderr.isatty() else _lines
    with shown(title, start) as show:
        yield show


@contextmanager
def count_images(title: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A function to be called with the number of images just done."""
    with show_progress(title) as show:
        done = 0

        def advance(n: int) -> None:
            nonlocal done
            done += n
            show(done, total, "")

        yield advance


@contextmanager
def _bar(title: str, start: int) -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[words]}"),
    )
    # Lines on stdout go above the bar where both are the terminal; a file or a pipe must get them
    # as they are.
    redirect = sys.stdout.isatty()
    with Progress(
        *columns, console=Console(stderr=True), transient=True, redirect_stdout=redirect
    ) as progress:
        task = progress.add_task(title, total=None, completed=start, words="")
        pace = _Pace(start)

        def show(done: int, total: int | None, remark: str) -> None:
            words = pace.describe(done, total, remark)
            progress.update(task, completed=done, total=total, words=words)

        yield show


@contextmanager
def _lines(title: str, start: int) -> Iterator[Show]:
    pace = _Pace(start)
    last = time.monotonic()
    pending = ""  # what the last call said, where it was not printed

    def show(done: int, total: int | None, remark: str) -> None:
        nonlocal last, pending
        pending = f"{title}: {pace.describe(done, total, remark)}"
        if time.monotonic() - last > PLAIN_SECONDS:
            print(pending, file=sys.stderr)
            pending = ""
            last = time.monotonic()

    yield show
    if pending:
        print(pending, file=sys.stderr)


class _Pace:
    """How fast images are done from now on; `start` of them were done before."""

    def __init__(self, start: int) -> None:
        self._start = start
        self._began = time.monotonic()

    def describe(self, done: int, total: int | None, remark: str) -> str:
        """The progress in words, as "50/200 images, 5/s, 30 s left, loss 0.5"."""
        of_all = f"/{total:,}" if total else ""
        parts = [f"{done:,}{of_all} images"]
        new = done - self._start
        if new > 0:
            seconds = max(time.monotonic() - self._began, 1e-3)
            rate = new / seconds
            parts.append(f"{rate:,.0f}/s" if rate >= 1 else f"{rate:.2f}/s")
            if total and total > done:
                left = (total - done) * seconds / new
                parts.append(f"{describe_seconds(left)} left")
        if remark:
            parts.append(remark)
        return ", ".join(parts)


def describe_seconds(seconds: float) -> str:
    """A duration as people say it: "40 s", "12 min", "3.5 h", "4.0 days"."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    if minutes < 99.5:
        return f"{minutes:.0f} min"
    hours = minutes / 60
    if hours < 48:
        return f"{hours:.1f} h"
    return f"{hours / 24:.1f} days"
