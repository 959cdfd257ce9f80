"""What the lab hands out: verdicts and reports, as typed records with a versioned JSON form."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field, model_validator

SCHEMA_VERSION = 3  # 2: verdicts can be uncertain; 3: they are on faces, and can be "cannot tell"
Box = tuple[int, int, int, int]  # left, top, right, bottom, in pixels


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
    file_auc: dict[str, Interval] = Field(
        {}, description="AUC of each generator by what its files tell without their pixels: what a score has to beat"
    )

    def table(self) -> str:
        """The report as a plain text table, one line a generator."""
        head = f"{'':<20}{'N':>7} {'accuracy':<23}{'macro F1':<23}{'AUC':<23}{'TPR@1%FPR':<23}{'ECE':<23}"
        lines = [f"{head} AUC of file traits alone" if self.file_auc else head.rstrip()]
        for s in [*self.generators, self.pooled]:
            cells = (s.accuracy, s.macro_f1, s.auc, s.tpr_at_1_fpr, s.ece)
            line = f"{s.name:<20}{s.n_real + s.n_fake:>7} " + "".join(f"{cell!s:<23}" for cell in cells)
            lines.append(f"{line} {self.file_auc.get(s.name, '')}".rstrip())
        for source, share in self.real_accuracy.items():
            lines.append(f"{source:<20}{'':>7} {share!s:<23}called real")
        return "\n".join(lines)


class DegradedScores(Record):
    """A detector's figures after one degradation of all pictures, real and fake alike."""

    kind: str
    level: float = Field(description="in the kind's unit: a quality, a factor, a standard deviation")
    name: str = Field(description="kind and level as people write them")
    stands_for: str = Field(description="what happens to pictures like that")
    pooled: DetectionScores
    generators: list[DetectionScores]
    real_accuracy: dict[str, Interval] = Field(description="share of each real source called real")
    auc_change: Interval = Field(description="pooled AUC minus the clean one, paired: over the same drawn groups")


class RobustnessReport(Record):
    """A detector on one split: as it is, and after each degradation."""

    schema_version: int = SCHEMA_VERSION
    clean: DetectionReport
    degraded: list[DegradedScores]
    worst: str | None = Field(description="name of the degradation that costs most pooled AUC; None without an AUC")

    def table(self) -> str:
        """The report as a plain text table, one line a degradation; generators' columns are AUCs."""
        names = [scores.name for scores in self.clean.generators]
        widths = [max(len(name), 5) + 2 for name in names]
        heads = "".join(f"{name:<{width}}" for name, width in zip(names, widths, strict=True))
        lines = [f"{'':<18}{'pooled AUC':<23}{'change':<25}{heads}reals called real"]

        def row(name: str, pooled: DetectionScores, change: str, generators: list[DetectionScores]) -> None:
            aucs = "".join(
                f"{_rounded(scores.auc.value):<{width}}" for scores, width in zip(generators, widths, strict=True)
            )
            called = pooled.confusion.real_as_real / pooled.n_real if pooled.n_real else None
            lines.append(f"{name:<18}{pooled.auc!s:<23}{change:<25}{aucs}{_rounded(called)}")

        row("clean", self.clean.pooled, "", self.clean.generators)
        for scores in self.degraded:
            row(scores.name, scores.pooled, str(scores.auc_change), scores.generators)
        if self.worst:
            lines.append(f"worst: {self.worst}")
        return "\n".join(lines)


class LeftOut(Record):
    """A detector trained without one generator, judged on it."""

    scores: DetectionScores = Field(description="on the generator that it never saw, against its matched reals")
    seen_auc: float | None = Field(description="mean AUC on the generators that it was trained on")
    real_accuracy: dict[str, Interval] = Field(description="share of each of these reals' sources called real")
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
        lines = [f"{'never seen':<20}{'N':>7} {'AUC':<23}{'TPR@1%FPR':<23}{'accuracy':<23}mean AUC on those seen"]
        for found in self.generators:
            s = found.scores
            cells = "".join(f"{cell!s:<23}" for cell in (s.auc, s.tpr_at_1_fpr, s.accuracy))
            lines.append(f"{s.name:<20}{s.n_real + s.n_fake:>7} {cells}{_rounded(found.seen_auc)}")
        return "\n".join(lines)


class FeatureSummary(Record):
    """The network behind a generator's figures, and how pictures reached it."""

    name: str
    sha256: str = Field(description="of the weights")
    dimension: int
    input_size: int | None = Field(description="side in pixels that pictures were resized to; None: taken as they are")
    input_range: str
    resize: str


class GenerationFigures(Record):
    """How two sets of pictures compare."""

    distance: float = Field(description="Fréchet distance; falls with N")
    kid: float = Field(description="kernel distance, unbiased: mean over subsets")
    kid_std: float = Field(description="its standard deviation over subsets")
    precision: float = Field(description="share of fakes among the reals")
    recall: float = Field(description="share of reals among the fakes")
    density: float = Field(description="how many reals' neighbourhoods hold a fake, 1 expected of reals")
    coverage: float = Field(description="share of reals' neighbourhoods that hold a fake")
    pairwise_ratio: float | None = Field(description="mean distance of two fakes over that of two reals")
    near_duplicate_share: float = Field(description="fakes closer to another than 99.5 % of reals are to theirs")


class GenerationReport(Record):
    """Figures of one generator, each beside its floor: the same figure between two sets of reals."""

    schema_version: int = SCHEMA_VERSION
    model: str
    model_hash: str
    data_hash: str
    code_version: str
    size: int
    n: int
    seed: int
    features: FeatureSummary
    distance_label: str
    kid_label: str
    distance: float
    kid: float
    kid_std: float
    precision: float
    recall: float
    density: float
    coverage: float
    pairwise_ratio: float | None
    near_duplicate_share: float
    memorised_share: float | None = Field(description="fakes nearer to a training image than 99 % of held-out reals")
    training_distance_ratio: float | None = Field(
        description="median distance to the nearest training image, fakes over held-out reals"
    )
    n_training: int
    n_heldout: int
    floor: float = Field(description="the Fréchet distance between two sets of floor_n reals")
    floor_n: int
    floor_figures: GenerationFigures

    @property
    def warning(self) -> str:
        """One line on what N does not allow; empty where there is nothing to warn of."""
        short = self.n < self.features.dimension
        parts = [
            f"N = {self.n} is below the {self.features.dimension} dimensions: rank-deficient; compare {self.kid_label}"
            if short
            else f"N = {self.n} is below 2048: {self.distance_label} is biased upwards; compare equal N only"
            if self.n < 2048
            else "",
            f"the floor is of {self.floor_n} images each, too few for N, and too high" if self.floor_n < self.n else "",
        ]
        return "; ".join(part for part in parts if part)

    def table(self) -> str:
        """The report as a plain text table: each figure with its N, and the floor with the floor's."""
        floor = self.floor_figures
        lines = [
            f"{self.model or 'generator'}, {self.size} px, seed {self.seed}, features {self.features.name} "
            f"({self.features.dimension}-d, resize {self.features.resize})",
            f"{'':<28}{'value':>20}{'N':>8}{'floor':>20}{'N':>8}",
        ]

        def row(name: str, value: str, limit: str, floor_n: int | str) -> None:
            lines.append(f"{name:<28}{value:>20}{self.n:>8}{limit:>20}{floor_n:>8}")

        row(self.distance_label, f"{self.distance:.4g}", f"{floor.distance:.4g}", self.floor_n)
        kid, floor_kid = (f"{x.kid:.5f} ± {x.kid_std:.5f}" for x in (self, floor))
        row(self.kid_label, kid, floor_kid, self.floor_n)
        names = ("precision", "recall", "density", "coverage", "pairwise_ratio", "near_duplicate_share")
        for name in names:
            row(name.replace("_", " "), _rounded(getattr(self, name)), _rounded(getattr(floor, name)), self.floor_n)
        held = self.n_heldout or "none"
        row("memorised share", _rounded(self.memorised_share), _rounded(0.01 if self.n_heldout else None), held)
        ratio = self.training_distance_ratio
        row("distance to training, ratio", _rounded(ratio), _rounded(1.0 if self.n_heldout else None), held)
        if self.warning:
            lines.append(f"note: {self.warning}")
        return "\n".join(lines)


def _rounded(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"


class TraitScore(Record):
    """How well one family of traits tells a generator's fakes from their reals, and what that means."""

    auc: Interval
    verdict: Literal["none", "shortcut", "content", "trace", "unknown"]

    def __str__(self) -> str:
        value, low, high = self.auc.value, self.auc.low, self.auc.high
        if value is None:
            return "n/a"
        sign = {"shortcut": "!", "content": "?", "trace": "?"}.get(self.verdict, "")
        bounds = "" if low is None or high is None else f" {_short(low)}–{_short(high)}"
        return f"{_short(value)}{bounds}{sign}"


class GeneratorAudit(Record):
    """One generator's fakes against their reals; counts are of the images measured."""

    generator: str
    reals: list[str] = Field(description="sources of the real images")
    n_real: int
    n_fake: int
    n_groups: int = Field(description="groups that the AUCs are measured on")
    traits: dict[str, TraitScore] = Field(description="by family")
    file_traits: Interval = Field(description="AUC of size, aspect, bytes, encoding and metadata together")


class Finding(Record):
    """One thing that an audit found; generator and family are empty where it concerns the whole set."""

    kind: Literal["shortcut", "content", "trace", "leak", "note"]
    generator: str = ""
    family: str = ""
    text: str


class AuditReport(Record):
    """What tells fakes from reals in a data set that has nothing to do with the generators, or may have."""

    schema_version: int = SCHEMA_VERSION
    data_hash: str
    code_version: str
    n: int = Field(description="images measured")
    n_manifest: int = Field(description="images in the manifest")
    limit: int = Field(description="most images measured of a generator or a source of reals")
    seed: int
    bootstrap: int
    threshold: float = Field(description="the interval's lower bound above which a family counts as separating")
    verdict: str
    generators: list[GeneratorAudit]
    findings: list[Finding]
    skipped: list[tuple[str, str]] = Field(description="path, reason")

    @property
    def shortcuts(self) -> list[Finding]:
        """What is to be fixed before training."""
        return [finding for finding in self.findings if finding.kind == "shortcut"]

    def table(self) -> str:
        """The report as plain text: AUC with interval, a line a generator and a column a family; then the findings."""
        part = f"{self.n:,} images" if self.n == self.n_manifest else f"{self.n:,} of {self.n_manifest:,} images"
        drawn = f", at most {self.limit:,} of a kind, seed {self.seed}" if self.n < self.n_manifest else ""
        families = list(self.generators[0].traits)
        lines = [
            f"held-out AUC of fakes against their reals by one family of traits alone, 95 % interval over groups "
            f"({part}{drawn}); ! shortcut, ? may be one: lower bound above {_short(self.threshold)}",
            f"{'':<20}" + "".join(f"{family:<16}" for family in families).rstrip(),
        ]
        for found in self.generators:
            lines.append(f"{found.generator:<20}" + "".join(f"{found.traits[f]!s:<16}" for f in families).rstrip())
        for found in self.generators:
            lines += [
                "",
                f"{found.generator} against {', '.join(found.reals)} ({found.n_fake:,} fakes, {found.n_real:,} reals); "
                f"all file traits together: AUC {found.file_traits}",
            ]
            own = [f for f in self.findings if f.generator == found.generator]
            lines += [f"  {f.family:<10}{f.text}" for f in own] or ["  nothing separates them"]
        whole = [f"{finding.kind}: {finding.text}" for finding in self.findings if not finding.generator]
        if self.skipped:
            whole.append(f"note: {len(self.skipped):,} images could not be read and were left out")
        return "\n".join([*lines, "", *whole, f"verdict: {self.verdict}"])

    def __str__(self) -> str:
        return self.table()


def _short(value: float) -> str:
    """Two digits, without the leading zero: .52, 1.00."""
    return f"{value:.2f}".removeprefix("0")


Decision = Literal["real", "fake", "uncertain", "cannot tell", "no face", "error"]


class Verdict(Record):
    """What a detector says of one face in a picture, or of one picture that is a face.

    `score` is P(fake) after calibration, or the raw sigmoid where the model carries no calibration
    (`calibrated` tells which). `label` compares the score with the model's threshold; it is `uncertain` where the
    score lies in the calibration's band, in which the stated error allows neither answer, and `atypical` where the
    picture is unlike all that the model was made for, so that its score means nothing. `face` is the square in which a
    face was found, in pixels of the upright picture. A picture without a face has status "no face", one that could not
    be judged "error" and the reason in `message`; neither has a label or a score.
    """

    schema_version: int = SCHEMA_VERSION
    path: str
    status: Literal["ok", "no face", "error"]
    label: Literal["real", "fake"] | None = None
    uncertain: bool = False
    atypical: bool = False
    score: float | None = None
    calibrated: bool = False
    threshold: float | None = None
    width: int | None = None
    height: int | None = None
    face: Box | None = None
    model_hash: str
    message: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _decide_again(cls, told: Any) -> Any:
        return {key: value for key, value in told.items() if key != "decision"} if isinstance(told, dict) else told

    @computed_field  # type: ignore[prop-decorator]  # as pydantic would have it
    @property
    def decision(self) -> Decision:
        """The verdict in a word: the label where it is certain."""
        if self.label is None:
            return "no face" if self.status == "no face" else "error"
        return "cannot tell" if self.atypical else "uncertain" if self.uncertain else self.label
