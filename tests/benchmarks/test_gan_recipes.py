"""What the benchmarks make of a run's log: whether it collapsed, and when."""

from __future__ import annotations

from typing import Any

from benchmarks.gan import recipes

from fauxlab.training.gan.collapse_guard import WARM_UP


def checks(
    *distances: float, recall: float = 0.4, near_duplicates: float = 0.01
) -> list[dict[str, Any]]:
    """Checks every 10 images, the warm-up's first; the signs are the last one's."""
    found = [
        {"images": 10 * i, "distance": d}
        for i, d in enumerate([9.0] * WARM_UP + [*distances], start=1)
    ]
    for check in found:
        check |= {"recall": 0.4, "near_duplicates": 0.01}
    found[-1] |= {"recall": recall, "near_duplicates": near_duplicates}
    return found


def evals(*distances: float) -> list[dict[str, Any]]:
    return [{"images": 30 * i, "distance": d} for i, d in enumerate(distances, start=1)]


def test_a_collapse_is_what_stays_above_to_the_end() -> None:
    rising = checks(4, 3, 2, 2, 2, 3, 3, 4)
    assert recipes.collapse(rising, evals(5, 2, 4), looks=1) == 110
    assert recipes.collapse(rising, evals(5, 2, 4)) == 120, "of medians of three, a look later"
    assert recipes.collapse(rising, evals(5, 2, 2.4)) is None, (
        "whether, the evaluated distance says"
    )
    assert recipes.collapse(checks(4, 3, 2, 3, 2, 3, 2), evals(5, 2, 4)) == 90, "it says so alone"


def test_a_run_cut_short_collapsed_only_where_variety_was_lost_besides() -> None:
    rising = (4, 3, 2, 2, 2, 3, 3, 4)
    assert recipes.collapse(checks(*rising), evals(5, 2), finished=False) is None
    for lost in ({"recall": 0.1}, {"near_duplicates": 0.9}):
        assert recipes.collapse(checks(*rising, **lost), evals(5, 2), finished=False) == 120
        assert recipes.collapse(checks(*rising, **lost), evals(5, 2), finished=True) is None
        assert recipes.collapse(checks(4, 3, 2, 2, **lost), evals(5, 2), finished=False) is None
