"""Progress on stderr: a bar with images per second on a terminal, a plain line now and then in a
log.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PLAIN_SECONDS = 15.0
# Takes (images done, images in all or None, remark).
Show = Callable[[int, int | None, str], None]


@contextmanager
def show_progress(title: str, start: int = 0) -> Iterator[Show]:
    """A function to be called with the state so far; what it shows disappears from a terminal when
    done.

    `start` images were done before: they count as done, but not in the rate.
    """
    with (_bar if sys.stderr.isatty() else _lines)(title, start) as show:
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
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} images{task.fields[rate]}{task.fields[remark]}"),
        TimeRemainingColumn(),
    )
    # Lines on stdout go above the bar where both are the terminal; a file or a pipe must get them
    # as they are.
    redirect = sys.stdout.isatty()
    with Progress(
        *columns, console=Console(stderr=True), transient=True, redirect_stdout=redirect
    ) as progress:
        task = progress.add_task(title, total=None, completed=start, rate="", remark="")
        rate = _rate(start)

        def show(done: int, total: int | None, remark: str) -> None:
            shown = rate(done)
            progress.update(
                task, completed=done, total=total, rate=shown, remark=remark and f", {remark}"
            )

        yield show


@contextmanager
def _lines(title: str, start: int) -> Iterator[Show]:
    rate, last, pending = _rate(start), time.monotonic(), ""

    def show(done: int, total: int | None, remark: str) -> None:
        nonlocal last, pending
        of = f"/{total:,}" if total else ""
        pending = f"{title}: {done:,}{of} images{rate(done)}{remark and f', {remark}'}"
        if time.monotonic() - last > PLAIN_SECONDS:
            print(pending, file=sys.stderr)
            last, pending = time.monotonic(), ""

    yield show
    if pending:
        print(pending, file=sys.stderr)


def _rate(start: int) -> Callable[[int], str]:
    """What to add to a count, as ", 12/s": images per second from now on; nothing while there are
    none.
    """
    began = time.monotonic()

    def rate(done: int) -> str:
        return (
            f", {(done - start) / max(time.monotonic() - began, 1e-3):,.0f}/s"
            if done > start
            else ""
        )

    return rate
