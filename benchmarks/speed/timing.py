"""Measure rates in alternating rounds and compare them."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

Rates = dict[str, list[float]]


def measure_rounds(contenders: dict[str, Callable[[], float]], rounds: int) -> Rates:
    """Rates of every contender in every round; each round runs all of them once, in order."""
    rates: Rates = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, measure_rate in contenders.items():
            rates[name].append(measure_rate())
        last = {name: round(values[-1], 1) for name, values in rates.items()}
        print(last, file=sys.stderr)
    return rates


def compare(a: list[float], b: list[float]) -> dict[str, float]:
    """Ratios a / b round by round: what slows the machine for a while slows both."""
    ratios = [x / y for x, y in zip(a, b, strict=True)]
    return {"median": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios)}


def time_action(action: Callable[[], object]) -> float:
    """Seconds by the clock."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start
