"""Progress on stderr: on a terminal a bar with images per second, in a log a line now and then."""

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
            fields = {"rate": rate(done), "remark": f", {remark}" if remark else ""}
            progress.update(task, completed=done, total=total, **fields)  # type: ignore[arg-type]

        yield show


@contextmanager
def _lines(title: str, start: int) -> Iterator[Show]:
    rate = _rate(start)
    last = time.monotonic()
    pending = ""  # what the last call said, where it was not printed

    def show(done: int, total: int | None, remark: str) -> None:
        nonlocal last, pending
        of_all = f"/{total:,}" if total else ""
        end = f", {remark}" if remark else ""
        pending = f"{title}: {done:,}{of_all} images{rate(done)}{end}"
        if time.monotonic() - last > PLAIN_SECONDS:
            print(pending, file=sys.stderr)
            pending = ""
            last = time.monotonic()

    yield show
    if pending:
        print(pending, file=sys.stderr)


def _rate(start: int) -> Callable[[int], str]:
    """Images per second from now on, as ", 12/s" behind a count; empty before the first image."""
    began = time.monotonic()

    def rate(done: int) -> str:
        if done <= start:
            return ""
        seconds = max(time.monotonic() - began, 1e-3)
        return f", {(done - start) / seconds:,.0f}/s"

    return rate
