"""Progress on stderr: a bar with images per second on a terminal, a plain line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PLAIN_SECONDS = 15.0
# Takes (images done, images in all or None, remark).
Show = Callable[[int, int | None, str], None]


@contextmanager
def show_progress(title: str) -> Iterator[Show]:
    """A function to be called with the state so far; what it shows disappears from a terminal when done."""
    with _bar(title) if sys.stderr.isatty() else _lines(title) as show:
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
def _bar(title: str) -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} images, {task.fields[rate]}{task.fields[remark]}"),
        TimeRemainingColumn(),
    )
    # Lines on stdout go above the bar where both are the terminal; a file or a pipe must get them as they are.
    redirect = sys.stdout.isatty()
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=redirect) as progress:
        task = progress.add_task(title, total=None, rate="", remark="")
        rate = _rate()

        def show(done: int, total: int | None, remark: str) -> None:
            shown = f"{rate(done):,.0f}/s"
            progress.update(task, completed=done, total=total, rate=shown, remark=remark and f", {remark}")

        yield show


@contextmanager
def _lines(title: str) -> Iterator[Show]:
    rate, last, pending = _rate(), time.monotonic(), ""

    def show(done: int, total: int | None, remark: str) -> None:
        nonlocal last, pending
        of = f"/{total:,}" if total else ""
        pending = f"{title}: {done:,}{of} images, {rate(done):,.0f}/s{remark and f', {remark}'}"
        if time.monotonic() - last > PLAIN_SECONDS:
            print(pending, file=sys.stderr)
            last, pending = time.monotonic(), ""

    yield show
    if pending:
        print(pending, file=sys.stderr)


def _rate() -> Callable[[int], float]:
    """Images per second between the first call and this one: what a resumed run did before does not count."""
    began = time.monotonic()
    first: int | None = None

    def rate(done: int) -> float:
        nonlocal began, first
        if first is None:
            # A first report of many images is where a resumed run stands, not what it did just now.
            first = done if done > 2000 else 0
            began = time.monotonic() if first else began
        return (done - first) / max(time.monotonic() - began, 1e-3)

    return rate
