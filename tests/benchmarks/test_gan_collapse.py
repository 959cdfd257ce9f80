"""What the benchmarks read from a run's log: whether it collapsed, and when."""

from __future__ import annotations

from typing import Any

from benchmarks.gan.collapse import confusion_table, find_collapse

from fauxlab.training.gan.collapse_guard import WARM_UP


def checks(
    *distances: float, recall: float = 0.4, near_duplicates: float = 0.01
) -> list[dict[str, Any]]:
    """Checks every 10 images, the warm-up's first; the signs are the last one's."""
    all_distances = [9.0] * WARM_UP + [*distances]
    entries: list[dict[str, Any]] = []
    for number, distance in enumerate(all_distances, start=1):
        entry = {"images": 10 * number, "distance": distance}
        entries.append(entry | {"recall": 0.4, "near_duplicates": 0.01})
    entries[-1] |= {"recall": recall, "near_duplicates": near_duplicates}
    return entries


def evals(*distances: float) -> list[dict[str, Any]]:
    return [{"images": 30 * i, "distance": d} for i, d in enumerate(distances, start=1)]


def test_a_collapse_is_what_stays_above_to_the_end() -> None:
    rising = checks(4, 3, 2, 2, 2, 3, 3, 4)
    assert find_collapse(rising, evals(5, 2, 4), looks=1) == 110
    assert find_collapse(rising, evals(5, 2, 4)) == 120, "of medians of three, a look later"
    assert find_collapse(rising, evals(5, 2, 2.4)) is None, "whether, the evaluated distance says"
    assert find_collapse(checks(4, 3, 2, 3, 2, 3, 2), evals(5, 2, 4)) == 90, "it says so alone"


def test_a_run_cut_short_collapsed_only_where_variety_was_lost_besides() -> None:
    rising = (4, 3, 2, 2, 2, 3, 3, 4)
    assert find_collapse(checks(*rising), evals(5, 2), finished=False) is None
    for lost in ({"recall": 0.1}, {"near_duplicates": 0.9}):
        assert find_collapse(checks(*rising, **lost), evals(5, 2), finished=False) == 120
        assert find_collapse(checks(*rising, **lost), evals(5, 2), finished=True) is None
        assert find_collapse(checks(4, 3, 2, 2, **lost), evals(5, 2), finished=False) is None


def test_the_table_counts_alarms_against_collapses() -> None:
    def entry(collapsed: int | None, alarm: int | None, ablation: str = "") -> dict[str, Any]:
        return {"ablation": ablation, "at": collapsed, "guard_first_alarm_images": alarm}

    entries = [entry(20, 10), entry(20, 20), entry(20, 30), entry(20, None)]
    entries += [entry(None, 10), entry(None, None)]
    entries += [entry(20, 10, "no EMA"), entry(20, 10, "no penalty rollback")]
    counts = [int(line.split()[0]) for line in confusion_table(entries, "at").splitlines()]
    assert counts == [2, 1, 1, 1, 1], "runs with rollback or without average are left out"
