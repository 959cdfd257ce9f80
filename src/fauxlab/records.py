"""What the lab hands out: verdicts and reports, as typed records with a versioned JSON form."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1


class Record(BaseModel):
    """Base of all records: immutable, and strict about unknown fields when read back."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Interval(Record):
    """A figure with its 95 % bootstrap interval; the bounds are None when too few groups allow one."""

    value: float | None
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.value is None:
            return "n/a"
        if self.low is None or self.high is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


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
    ece: Interval
    confusion: Confusion


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

    def table(self) -> str:
        """The report as a plain text table, one line a generator."""
        head = f"{'':<20}{'N':>7} {'accuracy':<23}{'macro F1':<23}{'AUC':<23}{'TPR@1%FPR':<23}{'ECE':<23}"
        lines = [head.rstrip()]
        for s in [*self.generators, self.pooled]:
            cells = (s.accuracy, s.macro_f1, s.auc, s.tpr_at_1_fpr, s.ece)
            line = f"{s.name:<20}{s.n_real + s.n_fake:>7} " + "".join(f"{cell!s:<23}" for cell in cells)
            lines.append(line.rstrip())
        for source, share in self.real_accuracy.items():
            lines.append(f"{source:<20}{'':>7} {share!s:<23}called real")
        return "\n".join(lines)


class Verdict(Record):
    """What a detector says of one picture.

    `score` is P(fake) after calibration, or the raw sigmoid where the model carries no calibration
    (`calibrated` tells which). `label` compares the score with the model's threshold. A picture that
    could not be judged has status "error", the reason in `message`, and neither label nor score.
    """

    schema_version: int = SCHEMA_VERSION
    path: str
    status: Literal["ok", "error"]
    label: Literal["real", "fake"] | None = None
    score: float | None = None
    calibrated: bool = False
    threshold: float | None = None
    width: int | None = None
    height: int | None = None
    model_hash: str
    message: str | None = None
