"""What the figures of GAN trainings say in plain words: the finding of each run, and what is to be
held against it.
"""

from __future__ import annotations

from collections.abc import Sequence

from fauxlab.training.run_log import RISEN, GanRun, Line, alike, number

FAR = f"{RISEN - 1:.0%} over its best"


def show(value: float | None) -> str:
    """A distance or a ratio with three digits; a dash for None."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:#.3g}"


def share(value: float | None) -> str:
    """A share as a percentage; a dash for None."""
    return "–" if value is None else f"{value:.1%}"


def finding(run: GanRun) -> str:
    """Where the run's distance was best, where it ended, and what the guard made of it."""
    best, last = run.best, run.last
    if best is None or last is None:
        return f"{'No evaluation gave a distance' if run.evals else 'It was not evaluated'}. {watch(run)}"
    words = [
        f"{run.judged.get('label', 'The distance')} was best at {run.when(best['images'])}: {_distance(run, best)}."
    ]
    if len(run.evals) == 1:
        words.append("That was its only evaluation.")
    elif last is best:
        words.append("That was its last evaluation, so it had not turned yet.")
    else:
        ratio = "" if run.ratio is None else f", {show(run.ratio)} times the best"
        words.append(
            f"At the last evaluation, {run.when(last['images'])}, it was {_distance(run, last)}{ratio}."
        )
    recall = number(last, "recall")
    if recall is not None:
        words.append(f"Recall was {recall:.3f} in the end.")
    return " ".join([*words, watch(run)])


def watch(run: GanRun) -> str:
    """Whether the guard alarmed, when, and whether that was before the distance was lost; broken
    losses come first.
    """
    broken = ""
    if run.broken:
        done = (
            "went back to the best state" if run.broken[-1].get("action") == "rollback" else "ended"
        )
        broken = f"Losses were no longer finite {_times(len(run.broken))}, last at " + (
            f"{run.when(run.broken[-1]['images'])}, and training {done}. "
        )
    return broken + _watch(run)


def _watch(run: GanRun) -> str:
    if not run.guard:
        return "The guard made no check."
    checks = f"in {len(run.guard)} check{'s' * (len(run.guard) > 1)}"
    lost = f"at {run.when(run.lost)}" if run.lost else ""
    if not run.alarms:
        so = (
            f"although the distance stood {FAR} {lost}"
            if lost
            else f"and the distance never stood {FAR}"
        )
        return f"The guard did not alarm {checks}, {so}."
    first = run.alarms[0]
    words = [
        f"The guard alarmed {_times(len(run.alarms))} {checks}, first at {run.when(first['images'])}: "
        f"{first.get('state', 'unknown')}."
    ]
    if run.rollbacks:
        words.append(f"It went back to the best state {_times(run.rollbacks)}.")
    if run.alarms[-1].get("action") == "stop":
        words.append("At the last alarm it stopped the training.")
    if run.early:
        many = len(run.early) > 1
        changed = any(alarm.get("action") == "rollback" for alarm in run.early)
        words.append(
            f"{len(run.early) if many else 'One'} alarm{'s' * many} came before the best distance"
            f"{', which followed a rollback' if changed else ', that is too early'}."
        )
    return " ".join([*words, _in_time(run, lost)])


def _in_time(run: GanRun, lost: str) -> str:
    """Whether the first alarm since the best came before the distance was lost."""
    alarm = run.warning
    if alarm is None:
        # One alarm stands for all checks until a healthy one, so silence need not mean that all was
        # well.
        return (
            f"There was none since the best, although the distance stood {FAR} {lost}."
            if lost
            else ""
        )
    since = f"The first since the best, at {run.when(alarm['images'])}, came"
    if run.lost is None:
        return f"{since} although the distance never stood {FAR}."
    if alarm["images"] == run.lost:
        return f"{since} just when the distance first stood {FAR}."
    return f"{since} {'before' if alarm['images'] < run.lost else 'only after'} the distance stood {FAR}, {lost}."


def comparison(group: Sequence[GanRun]) -> str:
    """Which of the runs that were judged alike came nearest to the reals; empty where there is
    nothing to compare.
    """
    known = sorted((above, run.name) for run in group if (above := run.above(run.best)) is not None)
    if len(known) < 2:
        return ""
    judged = group[0].judged
    (least, first), *others = known
    rest = " and ".join(f"{show(above)} ({name})" for above, name in others)
    return (
        f"Of the runs that were judged alike ({judged.get('label')}, N = {judged.get('n')}), {first} came nearest to "
        f"the real photos: {show(least)} above the floor at its best, against {rest}."
    )


def _distance(run: GanRun, line: Line) -> str:
    above = run.above(line)
    return show(number(line, "distance")) + (
        "" if above is None else f" ({show(above)} above the floor)"
    )


def _times(n: int) -> str:
    return {1: "once", 2: "twice"}.get(n, f"{n} times")


def cautions(runs: Sequence[GanRun]) -> list[str]:
    """What the figures do not allow, one sentence each; runs with the same fault share a sentence."""
    found: dict[str, list[str]] = {}
    for run in runs:
        for sentence in _faults(run):
            found.setdefault(sentence, []).append(run.name)
    sentences = [f"{', '.join(names)}: {sentence}" for sentence, names in found.items()]
    if len(alike(runs)) > 1:
        sentences.append(
            "The runs differ in feature network, N, image size or real photos, so not all of their distances compare; "
            "see how each was judged."
        )
    seeds = {(run.part, run.of_recipe("train", "seed")) for run in runs}
    if runs and len(seeds) == len({part for part, _ in seeds}):
        sentences.append(
            "Every recipe was trained once, with one seed; another would move distances and the time of a collapse."
        )
    return sentences


def _faults(run: GanRun) -> list[str]:
    """What is to be said against one run's figures."""
    judged, features = run.judged, run.judged.get("features") or {}
    n, dimension, floor_n = (
        number(x, key) for x, key in ((judged, "n"), (features, "dimension"), (judged, "floor_n"))
    )
    sentences = []
    if run.end is None:
        sentences.append(
            "the training has not reached its end, so its last figures are only the last so far."
        )
    if not run.evals:
        return [*sentences, "the generator was not evaluated."]
    if len(run.evals) == 1:
        sentences.append("there is one evaluation, which is best and last at once.")
    if n is not None and dimension is not None and n < dimension:
        sentences.append(
            f"N = {n:,.0f} is below the {dimension:,.0f} dimensions of {features.get('name')}, so covariances are "
            "rank-deficient and the distance too high: compare equal N only, and better the kernel distance."
        )
    if n is not None and floor_n is not None and floor_n < n:
        sentences.append(
            f"the floor is of {floor_n:,.0f} photos a side, fewer than N = {n:,.0f}, so it is too high and what is "
            "left above it too small."
        )
    if features.get("name") == "randconv":
        sentences.append(
            f"{judged.get('label')} is measured in a network with random weights: it compares runs on this page, but "
            "none of them with a published FID."
        )
    return sentences
