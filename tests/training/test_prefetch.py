"""Inputs made ahead are the ones asked for, and their errors are not lost."""

from __future__ import annotations

import threading

import pytest

from fauxlab.training.prefetch import Prefetcher


def test_the_next_item_is_made_while_this_one_is_used() -> None:
    made: list[int] = []
    next_is_made = threading.Event()

    def make(number: int) -> int:
        made.append(number)
        if number == 1:
            next_is_made.set()
        return number * number

    with Prefetcher(make) as items:
        assert items.take(0, 1) == 0
        assert next_is_made.wait(timeout=10), "before it is asked for"
        assert items.take(1, 2) == 1
        assert items.take(2, None) == 4
    assert made == [0, 1, 2], "each once"


def test_an_item_out_of_order_is_made_when_it_is_asked_for() -> None:
    with Prefetcher(lambda number: number) as items:
        assert items.take(0, 1) == 0
        assert items.take(7, 8) == 7
        assert items.take(1, None) == 1


def test_an_error_comes_where_the_item_is_taken() -> None:
    def make(number: int) -> int:
        if number == 1:
            raise ValueError("no such item")
        return number

    with Prefetcher(make) as items:
        assert items.take(0, 1) == 0
        with pytest.raises(ValueError, match="no such item"):
            items.take(1, None)
