"""The trainings in results.json, and the figures that the detector page compares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fauxlab.records import DetectionReport, Interval

# Heading → field of DetectionScores.
SUMMARY = {"AUC": "auc", "accuracy": "accuracy"}


@dataclass(frozen=True)
class TrainedDetector:
    """One training of results.json; `stages` has the results after each of its stages."""

    name: str
    part: str
    recipe: dict[str, Any]
    steps: list[dict[str, Any]]
    epochs: list[dict[str, Any]]
    test: DetectionReport
    stages: list[tuple[str, DetectionReport]]

    @classmethod
    def read(cls, run: dict[str, Any]) -> TrainedDetector:
        """From one entry of `runs` in results.json."""
        stages = []
        for stage in run["stages"]:
            report = DetectionReport.model_validate(stage["test"])
            stages.append((stage["name"], report))
        return cls(
            name=run["name"],
            part=run["part"],
            recipe=run["recipe"],
            steps=run["steps"],
            epochs=run["epochs"],
            test=DetectionReport.model_validate(run["test"]),
            stages=stages,
        )

    @property
    def label(self) -> str:
        """What the page calls it."""
        if self.part == "specialist":
            generators = ", ".join(self.recipe["data"]["generators"])
            return f"specialist {generators}"
        return self.part

    @property
    def images_seen(self) -> int:
        """Images seen in training, repeats counted."""
        if not self.steps:
            return 0
        last = self.steps[-1]
        return int(last["images"])


def list_specialists(runs: Sequence[TrainedDetector]) -> dict[str, TrainedDetector]:
    """The specialists by the generator that each was trained on."""
    specialists = {}
    for run in runs:
        if run.part == "specialist":
            generators = run.recipe["data"]["generators"]
            specialists[generators[0]] = run
    return specialists


def list_unified(runs: Sequence[TrainedDetector]) -> list[TrainedDetector]:
    """The detectors that were trained on all generators."""
    return [run for run in runs if run.part != "specialist"]


def list_generators(runs: Sequence[TrainedDetector]) -> list[str]:
    """The generators that the last detector, and so every one, was tested on."""
    return [scores.name for scores in runs[-1].test.generators]


def find_interval(report: DetectionReport, generator: str, metric: str) -> Interval | None:
    """A metric on one generator; None where the detector was not tested on it."""
    for scores in report.generators:
        if scores.name == generator:
            interval: Interval = getattr(scores, metric)
            return interval
    return None


def mean(intervals: Sequence[Interval | None]) -> float | None:
    """Plain mean; None without values, or where one is missing: such means do not compare."""
    values = []
    for interval in intervals:
        if interval is None or interval.value is None:
            return None
        values.append(interval.value)
    if not values:
        return None
    return sum(values) / len(values)


def measure_forgetting(run: TrainedDetector, metric: str) -> tuple[float, float] | None:
    """Mean of a metric over all generators but the last trained: at first, and at the end.

    At first means right after a generator's own stage. None with less than two stages, when there
    is nothing to forget.
    """
    if not run.stages:
        return None
    *earlier, (_, end) = run.stages
    after_own_stage = [find_interval(report, name, metric) for name, report in earlier]
    at_first = mean(after_own_stage)
    after_last_stage = [find_interval(end, name, metric) for name, _ in earlier]
    at_end = mean(after_last_stage)
    if at_first is None or at_end is None:
        return None
    return at_first, at_end


def collect_series(
    runs: Sequence[TrainedDetector], metric: str
) -> dict[str, list[Interval | None]]:
    """Detector → its interval for every generator.

    The specialists count as one detector, each on its own generator.
    """
    generators = list_generators(runs)
    specialists = list_specialists(runs)
    series: dict[str, list[Interval | None]] = {}
    if specialists:
        series["specialists"] = []
        for name in generators:
            own = None
            if name in specialists:
                own = find_interval(specialists[name].test, name, metric)
            series["specialists"].append(own)
    for run in list_unified(runs):
        series[run.label] = [find_interval(run.test, name, metric) for name in generators]
    return series


def mean_scores(runs: Sequence[TrainedDetector]) -> dict[str, tuple[float, float]]:
    """Detector → mean AUC and mean accuracy over all generators.

    Detectors that were not tested on every generator are left out.
    """
    accuracies = collect_series(runs, "accuracy")
    means = {}
    for name, aucs in collect_series(runs, "auc").items():
        auc = mean(aucs)
        accuracy = mean(accuracies[name])
        if auc is not None and accuracy is not None:
            means[name] = (auc, accuracy)
    return means
