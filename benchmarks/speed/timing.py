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
            rate = measure_rate()
            rates[name].append(rate)
            print(f"{name}: {rate:.1f}/s", file=sys.stderr)
    return rates


def compare(a: list[float], b: list[float]) -> dict[str, float]:
    """Ratios a / b round by round: what slows the machine for a while slows both."""
    ratios = []
    for of_a, of_b in zip(a, b, strict=True):
        ratios.append(of_a / of_b)
    return {
        "median": statistics.median(ratios),
        "lowest": min(ratios),
        "highest": max(ratios),
    }


def time_action(action: Callable[[], object]) -> float:
    """Seconds by the clock."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start
