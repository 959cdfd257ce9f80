"""Did a training run collapse, when, and did the collapse guard notice in time?

Works on the log entries of a run: `checks` are those of the guard, `evals` the evaluations.
`recipes.py` puts the answers into its results and prints `confusion_table`.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from fauxlab.training.gan.collapse_guard import ALIKE, WARM_UP, Guard, Signals

# A distance that stays this many times above its best counts as collapsed.
ROSE = 1.25
SIGNALS = [field.name for field in fields(Signals)]

Entry = dict[str, Any]


def reassess(checks: list[Entry], evals: list[Entry], patience: int) -> None:
    """Replace the alarms and states in the log by those of the present guard.

    Only for runs in which the guard watched and did nothing: there the signals do not depend on its
    answers.
    """
    guard = Guard(patience)
    waiting = list(evals)
    for check in checks:
        # In training an evaluation comes before a check at the same image.
        while waiting and waiting[0]["images"] <= check["images"]:
            evaluation = waiting.pop(0)
            guard.note_evaluation(evaluation["images"], evaluation["distance"])
        signals = Signals(**{name: check[name] for name in SIGNALS})
        assessment, alarm = guard.check(signals)
        check["alarm"] = alarm
        check["state"] = assessment.state


def find_collapse(
    checks: list[Entry], evals: list[Entry], finished: bool = True, looks: int = 3
) -> int | None:
    """Images seen when the distance rose a quarter above its best and stayed there to the end.

    None where that did not happen. The evaluated distance decides whether a run collapsed. The
    guard's distance, which is measured far more often, decides when; it is taken as the median of
    `looks` checks, so that a noisy distance that comes back is no collapse.

    A run that was cut short after its last evaluation also counts as collapsed where the guard's
    distance stayed high and its last check shows that variety was lost.
    """
    judged = checks[WARM_UP:]
    onset = find_onset(judged, looks)
    best = min(entry["distance"] for entry in evals)
    if evals[-1]["distance"] > ROSE * best:
        return onset or int(evals[-1]["images"])
    ends_with_check = bool(judged) and judged[-1]["images"] > evals[-1]["images"]
    if not finished and ends_with_check and lost_variety(judged):
        return onset
    return None


def find_onset(checks: list[Entry], looks: int) -> int | None:
    """Images seen at the first check after which the median distance stayed above its best."""
    distances = [check["distance"] for check in checks]
    onset = None
    best = float("inf")
    for number, check in enumerate(checks):
        first = max(0, number + 1 - looks)
        median = float(np.median(distances[first : number + 1]))
        best = min(best, median)
        if median <= ROSE * best:
            onset = None
        elif onset is None:
            onset = int(check["images"])
    return onset


def lost_variety(checks: list[Entry]) -> bool:
    """Whether the last check shows images alike, or half of the best recall lost."""
    last = checks[-1]
    best_recall = max(check["recall"] for check in checks)
    return last["near_duplicates"] > ALIKE or last["recall"] < best_recall / 2


def confusion_table(entries: list[Entry], onset: str) -> str:
    """Count alarms against collapses by distance, over runs in which the guard only watched.

    `onset` is the key of the results that says when a run collapsed. The distance is no proof
    either: look at the faces, too.
    """
    counts = dict.fromkeys(
        (
            "collapsed, alarm before",
            "collapsed, alarm too late",
            "collapsed, no alarm",
            "did not collapse, alarm",
            "did not collapse, no alarm",
        ),
        0,
    )
    for entry in entries:
        if "rollback" in entry["ablation"] or entry["ablation"] == "no EMA":
            continue
        case = classify(entry[onset], entry["guard_first_alarm_images"])
        counts[case] += 1
    return "\n".join(f"{count:>4}  {case}" for case, count in counts.items())


def classify(collapsed_at: int | None, alarm_at: int | None) -> str:
    """The row of the table that a run belongs to."""
    if collapsed_at is None:
        return "did not collapse, no alarm" if alarm_at is None else "did not collapse, alarm"
    if alarm_at is None:
        return "collapsed, no alarm"
    in_time = alarm_at <= collapsed_at
    return "collapsed, alarm before" if in_time else "collapsed, alarm too late"
