"""What the figures of GAN trainings say in plain words: the result of each run, and its limits."""

from __future__ import annotations

from collections.abc import Sequence

from fauxlab.training.run_log import RISEN, GanRun, Line, alike, number

RISEN_WORDS = f"{RISEN - 1:.0%} over its best"


def format_number(value: float | None) -> str:
    """A distance or a ratio with three digits; a dash for None."""
    if value is None:
        return "–"
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:#.3g}"


def format_share(value: float | None) -> str:
    """A share as a percentage; a dash for None."""
    if value is None:
        return "–"
    return f"{value:.1%}"


def describe_result(run: GanRun) -> str:
    """Where the run's distance was best, where it ended, and what the guard made of it."""
    best = run.best
    last = run.last
    if last is None:
        return f"It was not evaluated. {describe_guard(run)}"
    if best is None:
        return f"No evaluation gave a distance. {describe_guard(run)}"
    label = run.evaluation.get("label", "The distance")
    sentences = [
        f"{label} was best at {run.when(best['images'])}: {_describe_distance(run, best)}."
    ]
    if len(run.evals) == 1:
        sentences.append("That was its only evaluation.")
    elif last is best:
        sentences.append("That was its last evaluation, so it had not turned yet.")
    else:
        distance = _describe_distance(run, last)
        if run.ratio is not None:
            distance += f", {format_number(run.ratio)} times the best"
        sentences.append(f"At the last evaluation, {run.when(last['images'])}, it was {distance}.")
    recall = number(last, "recall")
    if recall is not None:
        sentences.append(f"Recall was {recall:.3f} in the end.")
    sentences.append(describe_guard(run))
    return " ".join(sentences)


def describe_guard(run: GanRun) -> str:
    """Whether the guard alarmed, when, and whether that was before the distance was lost.

    Losses that were no longer finite come first.
    """
    sentences = []
    if run.broken:
        last = run.broken[-1]
        rolled_back = last.get("action") == "rollback"
        then = "went back to the best state" if rolled_back else "ended"
        sentences.append(
            f"Losses were no longer finite {_times(len(run.broken))}, "
            f"last at {run.when(last['images'])}, and training {then}."
        )
    if not run.guard:
        sentences.append("The guard made no check.")
    elif not run.alarms:
        sentences.append(_describe_silence(run))
    else:
        sentences += _describe_alarms(run)
    return " ".join(sentences)


def _describe_silence(run: GanRun) -> str:
    """A guard that never alarmed, and whether it should have."""
    if run.lost:
        outcome = f"although the distance stood {RISEN_WORDS} at {run.when(run.lost)}"
    else:
        outcome = f"and the distance never stood {RISEN_WORDS}"
    return f"The guard did not alarm {_in_checks(run)}, {outcome}."


def _describe_alarms(run: GanRun) -> list[str]:
    """How often the guard alarmed, what it did, and whether it was in time."""
    first = run.alarms[0]
    state = first.get("state", "unknown")
    sentences = [
        f"The guard alarmed {_times(len(run.alarms))} {_in_checks(run)}, "
        f"first at {run.when(first['images'])}: {state}."
    ]
    if run.rollbacks:
        sentences.append(f"It went back to the best state {_times(run.rollbacks)}.")
    if run.alarms[-1].get("action") == "stop":
        sentences.append("At the last alarm it stopped the training.")
    if run.early:
        sentences.append(_describe_early(run))
    in_time = _describe_timing(run)
    if in_time:
        sentences.append(in_time)
    return sentences


def _describe_early(run: GanRun) -> str:
    """The alarms before the best distance: too early, unless a rollback led to it."""
    count = len(run.early)
    alarms = "One alarm" if count == 1 else f"{count} alarms"
    rolled_back = any(alarm.get("action") == "rollback" for alarm in run.early)
    outcome = "which followed a rollback" if rolled_back else "that is too early"
    return f"{alarms} came before the best distance, {outcome}."


def _describe_timing(run: GanRun) -> str:
    """Whether the first alarm since the best came before the distance was lost; may be empty."""
    alarm = run.warning
    if alarm is None:
        # One alarm stands for all checks until a healthy one: silence does not mean all was well.
        if not run.lost:
            return ""
        return (
            f"There was none since the best, although the distance stood {RISEN_WORDS} "
            f"at {run.when(run.lost)}."
        )
    since = f"The first since the best, at {run.when(alarm['images'])}, came"
    if run.lost is None:
        return f"{since} although the distance never stood {RISEN_WORDS}."
    if alarm["images"] == run.lost:
        return f"{since} just when the distance first stood {RISEN_WORDS}."
    order = "before" if alarm["images"] < run.lost else "only after"
    return f"{since} {order} the distance stood {RISEN_WORDS}, at {run.when(run.lost)}."


def describe_nearest(group: Sequence[GanRun]) -> str:
    """Which of the runs that were evaluated alike came nearest to the reals; may be empty.

    Without two runs that have a distance and a floor there is nothing to compare.
    """
    known = []
    for run in group:
        above = run.above(run.best)
        if above is not None:
            known.append((above, run.name))
    if len(known) < 2:
        return ""
    (least, nearest), *others = sorted(known)
    rest = " and ".join(f"{format_number(above)} ({name})" for above, name in others)
    evaluation = group[0].evaluation
    return (
        f"Of the runs that were evaluated alike ({evaluation.get('label')}, "
        f"N = {evaluation.get('n')}), {nearest} came nearest to the real photos: "
        f"{format_number(least)} above the floor at its best, against {rest}."
    )


def list_cautions(runs: Sequence[GanRun]) -> list[str]:
    """What the figures do not allow, one sentence each; runs with the same limit share one."""
    names: dict[str, list[str]] = {}
    for run in runs:
        for sentence in _list_limits(run):
            names.setdefault(sentence, []).append(run.name)
    sentences = [f"{', '.join(shared)}: {sentence}" for sentence, shared in names.items()]
    if len(alike(runs)) > 1:
        sentences.append(
            "The runs differ in feature network, N, image size or real photos, so not all of their "
            "distances compare; see how each was evaluated."
        )
    seeds = {(run.part, run.of_recipe("train", "seed")) for run in runs}
    recipes = {part for part, _ in seeds}
    if runs and len(seeds) == len(recipes):
        sentences.append(
            "Every recipe was trained once, with one seed; another would move distances and the "
            "time of a collapse."
        )
    return sentences


def _list_limits(run: GanRun) -> list[str]:
    """What one run's figures do not allow."""
    sentences = []
    if run.end is None:
        sentences.append(
            "the training has not reached its end, so its last figures are only the last so far."
        )
    if not run.evals:
        sentences.append("the generator was not evaluated.")
        return sentences
    if len(run.evals) == 1:
        sentences.append("there is one evaluation, which is best and last at once.")
    evaluation = run.evaluation
    features = evaluation.get("features") or {}
    n = number(evaluation, "n")
    dimension = number(features, "dimension")
    floor_n = number(evaluation, "floor_n")
    if n is not None and dimension is not None and n < dimension:
        sentences.append(
            f"N = {n:,.0f} is below the {dimension:,.0f} dimensions of {features.get('name')}, so "
            "covariances are rank-deficient and the distance too high: compare equal N only, and "
            "better the kernel distance."
        )
    if n is not None and floor_n is not None and floor_n < n:
        sentences.append(
            f"the floor is of {floor_n:,.0f} photos a side, fewer than N = {n:,.0f}, so it is too "
            "high and what is left above it too small."
        )
    if features.get("name") == "randconv":
        sentences.append(
            f"{evaluation.get('label')} is measured in a network with random weights: it compares "
            "runs on this page, but none of them with a published FID."
        )
    return sentences


def _describe_distance(run: GanRun, line: Line) -> str:
    """A line's distance, and how far above the floor it is."""
    distance = format_number(number(line, "distance"))
    above = run.above(line)
    if above is None:
        return distance
    return f"{distance} ({format_number(above)} above the floor)"


def _in_checks(run: GanRun) -> str:
    count = len(run.guard)
    return "in 1 check" if count == 1 else f"in {count} checks"


def _times(n: int) -> str:
    return {1: "once", 2: "twice"}.get(n, f"{n} times")
