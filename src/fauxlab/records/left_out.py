"""Results of detectors on kinds of pictures that they never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from fauxlab.records.base import Interval, Record, rounded
from fauxlab.records.decisions import DecisionShares, cut, format_shares, width_of_names
from fauxlab.records.detection import SCHEMA_VERSION, DetectionScores, cells


class LeftOut(Record):
    """A detector that was trained without one generator, scored on that generator."""

    scores: DetectionScores = Field(
        description="on the generator that it never saw, against its matched reals"
    )
    seen_auc: float | None = Field(description="mean AUC on the generators that it was trained on")
    real_accuracy: dict[str, Interval] = Field(
        description="share of each of these reals' sources that scores below the threshold"
    )
    decisions: DecisionShares | None = Field(
        None, description="what a scan says of the generator's fakes"
    )
    family: str = Field("", description="the family that was left out with it")
    run: str = Field(description="run folder's name")
    model_hash: str = Field(description="of the detector that was scored")


class LeftOutReal(Record):
    """A detector that was trained and calibrated without one kind of real photos, scored on it."""

    name: str
    decisions: DecisionShares
    below_threshold: Interval = Field(description="share that scores below the threshold")
    run: str


class LeftOutPart(Record):
    """One training without some kinds, and the calibration on the kinds that remained."""

    name: str
    run: str
    generators: list[str] = Field(description="that were left out")
    reals: list[str] = Field(description="sources of real photos that were left out")
    seed: int
    trained_hash: str = Field(description="of the model in best/, before its calibration")
    rate_asked: float | None = Field(description="false-alarm rate; null: as calibration has it")
    rate: float | None = Field(description="the false-alarm rate that it states")
    degraded: bool
    threshold: float
    calibrated: bool
    note: str = Field("", description="why it could not be calibrated")
    n: int = Field(description="pictures that it was scored on, the known kinds' among them")
    known_reals_called_fake: float | None = Field(
        description="mean over the kinds of real photos that it knows"
    )


class LeaveOneOutReport(Record):
    """One recipe trained without each generator, family or kind of real photos in turn."""

    schema_version: int = SCHEMA_VERSION
    recipe: str
    data_hash: str
    code_version: str
    generators: list[LeftOut]
    reals: list[LeftOutReal] = Field([])
    parts: list[LeftOutPart] = Field([], description="the trainings, in their order")
    left_out: list[str] = Field([], description="what was left out: generators, families, …")
    split: str = Field("test", description="of the left-out kinds' pictures that were scored")
    environment: dict[str, Any] = Field({}, description="versions, machine and command")

    def means(self) -> dict[str, float | None]:
        """Mean figures over the kinds that were left out, every kind weighing alike.

        `family_auc` is a mean over families of the means in them; a generator without a family is
        one of its own. `auc` of each generator has all kinds of reals weighing alike.
        """
        aucs = [self._auc(row) for row in self.generators]
        families: dict[str, list[float | None]] = {}
        for row, auc in zip(self.generators, aucs, strict=True):
            families.setdefault(row.family or row.scores.name, []).append(auc)
        family_aucs = [_mean(members) for members in families.values()]
        caught = [row.decisions.called_fake.value for row in self.generators if row.decisions]
        alarms = [row.decisions.called_fake.value for row in self.reals]
        uncertain = [row.decisions.uncertain.value for row in self.reals]
        return {
            "auc": _mean(aucs),
            "family_auc": _mean(family_aucs),
            "fakes_called_fake": _mean(caught),
            "reals_called_fake": _mean(alarms),
            "reals_called_fake_worst": max(_numbers(alarms), default=None),
            "reals_uncertain": _mean(uncertain),
        }

    def table(self) -> str:
        """The results as plain text, a line for each left-out generator and kind of reals."""
        blocks = []
        if self.generators:
            blocks.append(self._generators_table())
            caught = {row.scores.name: row.decisions for row in self.generators if row.decisions}
            if caught:
                blocks.append(format_shares("fakes never seen", list(caught.items())))
        if self.reals:
            lines = [(row.name, row.decisions) for row in self.reals]
            blocks.append(format_shares("reals never seen", lines))
        blocks += _format_means(self.means(), [row.name for row in self.reals], self._worst())
        for part in self.parts:
            if part.note:
                blocks.append(f"note: {part.run} is not calibrated: {part.note}")
        return "\n\n".join(blocks)

    def _generators_table(self) -> str:
        head = cells(("AUC", "TPR@1%FPR", "accuracy"))
        width = width_of_names(left_out.scores.name for left_out in self.generators)
        lines = [f"{'never seen':<{width}}{'N':>7} {head}mean AUC on those seen"]
        for left_out in self.generators:
            scores = left_out.scores
            figures = cells((scores.auc, scores.tpr_at_1_fpr, scores.accuracy))
            seen = rounded(left_out.seen_auc)
            name = f"{cut(scores.name):<{width}}"
            lines.append(f"{name}{scores.n:>7} {figures}{seen}")
        return "\n".join(lines)

    @staticmethod
    def _auc(row: LeftOut) -> float | None:
        alike = row.scores.kind_auc
        return (alike or row.scores.auc).value

    def _worst(self) -> str:
        """The kind of reals that is called fake most often."""

        def rate(row: LeftOutReal) -> float:
            return row.decisions.called_fake.value or 0.0

        return max(self.reals, key=rate).name if self.reals else ""


def _format_means(means: Mapping[str, float | None], reals: Sequence[str], worst: str) -> list[str]:
    """The means as lines, where there is something to average."""
    lines = []
    if means["auc"] is not None:
        lines.append(
            f"never seen: mean AUC {rounded(means['auc'])} over generators, "
            f"{rounded(means['family_auc'])} over families"
        )
    if means["fakes_called_fake"] is not None:
        lines.append(f"fakes never seen: {rounded(means['fakes_called_fake'])} called fake")
    if reals:
        lines.append(
            f"reals never seen, {len(reals)} kinds: {rounded(means['reals_called_fake'])} called "
            f"fake on average, {rounded(means['reals_called_fake_worst'])} at worst ({worst}); "
            f"{rounded(means['reals_uncertain'])} uncertain"
        )
    return ["\n".join(lines)] if lines else []


def _numbers(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: Sequence[float | None]) -> float | None:
    """Mean of the values that are there; None without any."""
    numbers = _numbers(values)
    return sum(numbers) / len(numbers) if numbers else None
