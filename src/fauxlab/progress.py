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
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=None, rate="", remark="")
        rate = _rate()

        def show(done: int, total: int | None, remark: str) -> None:
            shown = f"{rate(done):,.0f}/s"
            progress.update(task, completed=done, total=total, rate=shown, remark=remark and f", {remark}")

        yield show


@contextmanager
def _lines(title: str) -> Iterator[Show]:
    rate, last = _rate(), time.monotonic()
    state: tuple[int, int | None, str] | None = None

    def line() -> None:
        if state:
            done, total, remark = state
            of = f"/{total:,}" if total else ""
            print(f"{title}: {done:,}{of} images, {rate(done):,.0f}/s{remark and f', {remark}'}", file=sys.stderr)

    def show(done: int, total: int | None, remark: str) -> None:
        nonlocal state, last
        state = (done, total, remark)
        if time.monotonic() - last > PLAIN_SECONDS:
            last = time.monotonic()
            line()

    yield show
    line()


def _rate() -> Callable[[int], float]:
    """Images per second since the first call's count: a resumed run does not count what it did before."""
    start: tuple[int, float] | None = None

    def rate(done: int) -> float:
        nonlocal start
        now = time.monotonic()
        start = start or (0 if done < 1000 else done, now - 1e-3)
        return (done - start[0]) / max(now - start[1], 1e-3)

    return rate
