"""Listing ahead: the same paths in the same order, bounded, with their total once it is known."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from fauxlab.errors import LabError
from fauxlab.scan.ahead import ListedAhead


def test_the_paths_come_in_order_with_their_total() -> None:
    paths = [str(k) for k in range(100)]
    listed = ListedAhead(paths, most=3)
    assert list(listed) == paths
    assert listed.total == 100
    assert list(ListedAhead([])) == []


def test_the_total_is_known_before_the_end() -> None:
    listed = ListedAhead(["a", "b", "c"])
    listed._thread.join(10)
    assert listed.total == 3
    assert next(iter(listed)) == "a"


def test_no_more_is_listed_than_there_is_room_for() -> None:
    asked: list[int] = []
    full = threading.Event()

    def paths() -> Iterator[str]:
        for k in range(1000):
            asked.append(k)
            if k == 5:
                full.set()
            yield str(k)

    listed = ListedAhead(paths(), most=5)
    assert full.wait(10)
    assert (len(asked), listed.total) == (6, None)
    listed.close()
    listed._thread.join(10)
    assert not listed._thread.is_alive()
    assert len(asked) < 20


def test_a_fault_comes_behind_what_was_listed() -> None:
    def paths() -> Iterator[str]:
        yield "a"
        raise LabError("cannot list")

    listed = iter(ListedAhead(paths()))
    assert next(listed) == "a"
    with pytest.raises(LabError, match="cannot list"):
        next(listed)
