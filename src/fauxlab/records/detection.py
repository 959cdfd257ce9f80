"""What is found of detectors: scores a generator, after degradations, and without a generator in
training.
"""

from __future__ import annotations

from pydantic import Field

from fauxlab.records.base import Interval, Record, rounded

SCHEMA_VERSION = 4  # of the records in this file


class Confusion(Record):
    """Counts at the threshold; "positive" is fake."""

    real_as_real: int
    real_as_fake: int
    fake_as_real: int
    fake_as_fake: int


class DetectionScores(Record):
    """How well one set of fakes is told from the reals it is judged against."""

    name: str = Field(description="generator, or 'pooled'")
    reals: list[str] = Field(description="sources of the real images")
    n_real: int
    n_fake: int
    n_groups: int
    accuracy: Interval
    macro_f1: Interval
    auc: Interval
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
    def ece_words(self) -> str:
        """The calibration error beside what chance alone would make of it."""
        return (
            str(self.ece)
            if self.ece_expected is None
            else f"{self.ece} ({self.ece_expected:.3f} if right)"
        )


class DetectionReport(Record):
    """Scores of one detector on one split: pooled, and per generator against its matched reals."""

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
    real_accuracy: dict[str, Interval] = Field(description="share of each real source called real")
    file_auc: dict[str, Interval] = Field(
        {},
        description="AUC of each generator by what its files tell without their pixels: what a score has to beat",
    )

    def table(self) -> str:
        """The report as a plain text table, one line a generator."""
        head = f"{'':<20}{'N':>7} {'accuracy':<23}{'macro F1':<23}{'AUC':<23}{'TPR@1%FPR':<23}{'ECE':<23}"
        lines = [f"{head} AUC of file traits alone" if self.file_auc else head.rstrip()]
        for s in [*self.generators, self.pooled]:
            # Scores are calibrated for all generators together, and need not be so for one of them.
            ece = s.ece_words if s is self.pooled else ""
            cells = (s.accuracy, s.macro_f1, s.auc, s.tpr_at_1_fpr, ece)
            line = f"{s.name:<20}{s.n_real + s.n_fake:>7} " + "".join(
                f"{cell!s:<23}" for cell in cells
            )
            lines.append(f"{line} {self.file_auc.get(s.name, '')}".rstrip())
        for source, share in self.real_accuracy.items():
            lines.append(f"{source:<20}{'':>7} {share!s:<23}called real")
        return "\n".join(lines)


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
    real_accuracy: dict[str, Interval] = Field(description="share of each real source called real")
    auc_change: Interval = Field(
        description="pooled AUC minus the clean one, paired: over the same drawn groups"
    )


class RobustnessReport(Record):
    """A detector on one split: as it is, and after each degradation."""

    schema_version: int = SCHEMA_VERSION
    clean: DetectionReport
    degraded: list[DegradedScores]
    worst: str | None = Field(
        description="name of the degradation that costs most pooled AUC; None without an AUC"
    )

    def table(self) -> str:
        """The report as a plain text table, one line a degradation; generators' columns are AUCs."""
        names = [scores.name for scores in self.clean.generators]
        widths = [max(len(name), 5) + 2 for name in names]
        heads = "".join(f"{name:<{width}}" for name, width in zip(names, widths, strict=True))
        lines = [f"{'':<18}{'pooled AUC':<23}{'change':<25}{heads}reals called real"]

        def row(
            name: str, pooled: DetectionScores, change: str, generators: list[DetectionScores]
        ) -> None:
            aucs = "".join(
                f"{rounded(scores.auc.value):<{width}}"
                for scores, width in zip(generators, widths, strict=True)
            )
            called = pooled.confusion.real_as_real / pooled.n_real if pooled.n_real else None
            lines.append(f"{name:<18}{pooled.auc!s:<23}{change:<25}{aucs}{rounded(called)}")

        row("clean", self.clean.pooled, "", self.clean.generators)
        for scores in self.degraded:
            row(scores.name, scores.pooled, str(scores.auc_change), scores.generators)
        if self.worst:
            lines.append(f"worst: {self.worst}")
        return "\n".join(lines)


class LeftOut(Record):
    """A detector trained without one generator, judged on it."""

    scores: DetectionScores = Field(
        description="on the generator that it never saw, against its matched reals"
    )
    seen_auc: float | None = Field(description="mean AUC on the generators that it was trained on")
    real_accuracy: dict[str, Interval] = Field(
        description="share of each of these reals' sources called real"
    )
    run: str = Field(description="run folder's name")
    model_hash: str


class LeaveOneOutReport(Record):
    """One recipe trained without each generator in turn."""

    schema_version: int = SCHEMA_VERSION
    recipe: str
    data_hash: str
    code_version: str
    generators: list[LeftOut]

    def table(self) -> str:
        """The report as a plain text table, one line a left-out generator."""
        lines = [
            f"{'never seen':<20}{'N':>7} {'AUC':<23}{'TPR@1%FPR':<23}{'accuracy':<23}mean AUC on those seen"
        ]
        for found in self.generators:
            s = found.scores
            cells = "".join(f"{cell!s:<23}" for cell in (s.auc, s.tpr_at_1_fpr, s.accuracy))
            lines.append(f"{s.name:<20}{s.n_real + s.n_fake:>7} {cells}{rounded(found.seen_auc)}")
        return "\n".join(lines)
