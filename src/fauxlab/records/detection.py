"""Results of detectors: figures per generator, per kind and subgroup, and after degradations."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from fauxlab.records.base import Interval, Record, rounded
from fauxlab.records.decisions import (
    DecisionShares,
    KindMeans,
    Subgroups,
    cut,
    format_kinds,
    width_of_names,
)

# 6: the decisions of a scan on each kind and subgroup; means in which every kind weighs alike.
SCHEMA_VERSION = 6  # of the records in this file and in `left_out`

WIDTH = 23  # of a column that holds a figure with its interval


class Confusion(Record):
    """Counts at the threshold; "positive" is fake."""

    real_as_real: int
    real_as_fake: int
    fake_as_real: int
    fake_as_fake: int


class DetectionScores(Record):
    """How well one set of fakes is told from the reals that it is compared with."""

    name: str = Field(description="generator, or 'pooled'")
    reals: list[str] = Field(description="sources of the real images")
    n_real: int
    n_fake: int
    n_groups: int
    accuracy: Interval
    macro_f1: Interval
    auc: Interval
    kind_auc: Interval | None = Field(
        None, description="AUC with every kind of the reals weighing alike; null of 'pooled'"
    )
    average_precision: Interval
    eer: Interval
    tpr_at_1_fpr: Interval
    tpr_at_5_fpr: Interval
    ece: Interval = Field(description="expected calibration error, both classes weighing as much")
    ece_expected: float | None = Field(
        None, description="what it would be of so many pictures were the scores right"
    )
    confusion: Confusion

    @property
    def n(self) -> int:
        """Number of images."""
        return self.n_real + self.n_fake

    @property
    def ece_words(self) -> str:
        """The calibration error beside the error that chance alone would make."""
        if self.ece_expected is None:
            return str(self.ece)
        return f"{self.ece} ({self.ece_expected:.3f} if right)"


class DetectionReport(Record):
    """Figures of one detector on one split: pooled, and per generator against its matched reals.

    >>> import fauxlab as fl
    >>> from pathlib import Path
    >>> text = Path("evaluation.json").read_text()  # doctest: +SKIP
    >>> results = fl.DetectionReport.model_validate_json(text)  # doctest: +SKIP
    >>> results.pooled.auc.value  # doctest: +SKIP
    0.987
    """

    schema_version: int = SCHEMA_VERSION
    model: str
    model_hash: str
    data_hash: str
    split: str
    n: int
    seed: int
    bootstrap: int
    threshold: float
    code_version: str
    pooled: DetectionScores
    generators: list[DetectionScores]
    real_accuracy: dict[str, Interval] = Field(
        description="share of each real source that scores below the threshold"
    )
    real_decisions: dict[str, DecisionShares] = Field(
        {}, description="what a scan says of each source of reals"
    )
    fake_decisions: dict[str, DecisionShares] = Field(
        {}, description="what a scan says of each generator's fakes"
    )
    kind_means: KindMeans | None = None
    subgroups: list[Subgroups] = Field([], description="by the columns that were asked for")
    file_auc: dict[str, Interval] = Field(
        {},
        description="AUC of each generator by what its files tell without their pixels: a detector "
        "must do better",
    )
    skipped: list[tuple[str, str]] = Field(
        [], description="path and reason of each image that could not be decoded and has no score"
    )

    def table(self) -> str:
        """The results as plain text, a line for each generator."""
        lines = [self._head()]
        for scores in self.generators:
            lines.append(self._line(scores, ece=""))
        # The scores are calibrated for all generators together, so the error is shown for these.
        lines.append(self._line(self.pooled, ece=self.pooled.ece_words))
        if self.real_decisions or self.fake_decisions:
            kinds = format_kinds(self.real_decisions, self.fake_decisions, self.kind_means)
            lines += ["", kinds]
        else:
            for source, share in self.real_accuracy.items():
                lines.append(f"{source:<20}{'':>7} {share!s:<{WIDTH}}called real")
        for subgroups in self.subgroups:
            lines += ["", subgroups.table()]
        if self.skipped:
            lines.append(f"note: {len(self.skipped):,} images could not be read and were left out")
        return "\n".join(lines)

    def _head(self) -> str:
        names = ("accuracy", "macro F1", "AUC", "TPR@1%FPR", "ECE")
        head = f"{'':<{self._width}}{'N':>7} {cells(names)}"
        if self.file_auc:
            return f"{head} AUC of file features alone"
        return head.rstrip()

    def _line(self, scores: DetectionScores, ece: str) -> str:
        figures = (scores.accuracy, scores.macro_f1, scores.auc, scores.tpr_at_1_fpr, ece)
        file_auc = self.file_auc.get(scores.name, "")
        name = f"{cut(scores.name):<{self._width}}"
        return f"{name}{scores.n:>7} {cells(figures)} {file_auc}".rstrip()

    @property
    def _width(self) -> int:
        """Of the column of names."""
        return width_of_names(scores.name for scores in self.generators)


class DegradedScores(Record):
    """A detector's figures after one degradation of all pictures, real and fake alike."""

    kind: str
    level: float = Field(
        description="in the kind's unit: a quality, a factor, a standard deviation"
    )
    name: str = Field(description="kind and level as people write them")
    stands_for: str = Field(description="what happens to pictures like that")
    pooled: DetectionScores
    generators: list[DetectionScores]
    real_accuracy: dict[str, Interval] = Field(
        description="share of each real source that scores below the threshold"
    )
    real_decisions: dict[str, DecisionShares] = Field(
        {}, description="what a scan says of each source of reals"
    )
    fake_decisions: dict[str, DecisionShares] = Field(
        {}, description="what a scan says of each generator's fakes"
    )
    kind_means: KindMeans | None = None
    auc_change: Interval = Field(
        description="pooled AUC minus the clean one, paired: over the same drawn groups"
    )


class RobustnessReport(Record):
    """A detector on one split: on the pictures as they are, and after each degradation."""

    schema_version: int = SCHEMA_VERSION
    clean: DetectionReport
    degraded: list[DegradedScores]
    worst: str | None = Field(
        description="name of the degradation that costs most pooled AUC; None without an AUC"
    )

    def table(self) -> str:
        """The results as plain text, a line for each degradation; generators' columns are AUCs."""
        widths = [max(len(scores.name), 5) + 2 for scores in self.clean.generators]
        names = [scores.name for scores in self.clean.generators]
        head = f"{'':<18}{'pooled AUC':<23}{'change':<25}{_columns(names, widths)}"
        lines = [f"{head}reals called real"]
        clean = self.clean
        lines.append(_degraded_line("clean", clean.pooled, "", clean.generators, widths))
        for scores in self.degraded:
            change = str(scores.auc_change)
            line = _degraded_line(scores.name, scores.pooled, change, scores.generators, widths)
            lines.append(line)
        if self.worst:
            lines.append(f"worst: {self.worst}")
        return "\n".join(lines)


def cells(values: Sequence[object]) -> str:
    """Values side by side, in columns of WIDTH."""
    return "".join(f"{value!s:<{WIDTH}}" for value in values)


def _columns(values: Sequence[str], widths: Sequence[int]) -> str:
    """Values side by side, each in a column of its own width."""
    pairs = zip(values, widths, strict=True)
    return "".join(f"{value:<{width}}" for value, width in pairs)


def _degraded_line(
    name: str,
    pooled: DetectionScores,
    change: str,
    generators: Sequence[DetectionScores],
    widths: Sequence[int],
) -> str:
    aucs = [rounded(scores.auc.value) for scores in generators]
    called_real = None
    if pooled.n_real:
        called_real = pooled.confusion.real_as_real / pooled.n_real
    cells = f"{pooled.auc!s:<23}{change:<25}{_columns(aucs, widths)}"
    return f"{name:<18}{cells}{rounded(called_real)}"
