"""Results of an audit: how well each family of shortcut features tells fakes from reals."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from fauxlab.records.base import Interval, Record

SCHEMA_VERSION = 5  # of the records in this file

# What a family of features is to a detector that uses it:
# - none: it does not tell fakes from reals;
# - shortcut: it does, and has nothing to do with how the fakes were made;
# - content: it does, because of what the pictures show, or as a shortcut;
# - trace: it does, because of how the fakes were made, or of compression;
# - unknown: there are too few groups to tell.
Cue = Literal["none", "shortcut", "content", "trace", "unknown"]
FindingKind = Literal["shortcut", "content", "trace", "leak", "note"]
MARKS = {"shortcut": "!", "content": "?", "trace": "?"}
COLUMN = 16  # width of a family's column


class FeatureScore(Record):
    """How well one family of features tells a generator's fakes from their reals."""

    FORMER_NAMES: ClassVar = {"verdict": "cue"}
    auc: Interval
    cue: Cue

    def __str__(self) -> str:
        value, low, high = self.auc.value, self.auc.low, self.auc.high
        if value is None:
            return "n/a"
        mark = MARKS.get(self.cue, "")
        if low is None or high is None:
            return f"{_short(value)}{mark}"
        return f"{_short(value)} {_short(low)}–{_short(high)}{mark}"


class GeneratorAudit(Record):
    """One generator's fakes against their reals; counts are of the images measured."""

    FORMER_NAMES: ClassVar = {"traits": "shortcut_features", "file_traits": "file_features"}
    generator: str
    reals: list[str] = Field(description="sources of the real images")
    n_real: int
    n_fake: int
    n_groups: int = Field(description="groups that the AUCs are measured on")
    shortcut_features: dict[str, FeatureScore] = Field(description="by family")
    file_features: Interval = Field(
        description="AUC of size, aspect, bytes, encoding and metadata together"
    )


class Finding(Record):
    """One finding of an audit; generator and family are empty where it concerns the whole set."""

    kind: FindingKind
    generator: str = ""
    family: str = ""
    text: str


class AuditReport(Record):
    """What tells fakes from reals in a data set without being a trace of the generators."""

    FORMER_NAMES: ClassVar = {"verdict": "summary"}
    schema_version: int = SCHEMA_VERSION
    data_hash: str
    code_version: str
    n: int = Field(description="images measured")
    n_manifest: int = Field(description="images in the manifest")
    limit: int = Field(description="most images measured of a generator or a source of reals")
    seed: int
    bootstrap: int
    threshold: float = Field(
        description="a family tells fakes from reals if the lower bound of its AUC is above this"
    )
    summary: str
    generators: list[GeneratorAudit]
    findings: list[Finding]
    skipped: list[tuple[str, str]] = Field(description="path, reason")

    @property
    def shortcuts(self) -> list[Finding]:
        """The findings to fix before training."""
        return [finding for finding in self.findings if finding.kind == "shortcut"]

    def table(self) -> str:
        """The results as plain text: AUCs, a line a generator, a column a family; then findings."""
        lines = self._auc_lines()
        for audited in self.generators:
            lines += ["", *self._generator_lines(audited)]
        lines.append("")
        for finding in self.findings:
            if not finding.generator:
                lines.append(f"{finding.kind}: {finding.text}")
        if self.skipped:
            lines.append(f"note: {len(self.skipped):,} images could not be read and were left out")
        lines.append(f"summary: {self.summary}")
        return "\n".join(lines)

    def _auc_lines(self) -> list[str]:
        measured = f"{self.n:,} images"
        if self.n < self.n_manifest:
            measured = (
                f"{self.n:,} of {self.n_manifest:,} images, at most {self.limit:,} of a kind, "
                f"seed {self.seed}"
            )
        families = list(self.generators[0].shortcut_features)
        heads = "".join(f"{family:<{COLUMN}}" for family in families)
        lines = [
            "held-out AUC of fakes against their reals by one family of shortcut features alone, "
            f"95 % interval over groups ({measured}); ! shortcut, ? may be one: lower bound above "
            f"{_short(self.threshold)}",
            f"{'':<20}{heads}".rstrip(),
        ]
        for audited in self.generators:
            scores = [audited.shortcut_features[family] for family in families]
            cells = "".join(f"{score!s:<{COLUMN}}" for score in scores)
            lines.append(f"{audited.generator:<20}{cells.rstrip()}")
        return lines

    def _generator_lines(self, audited: GeneratorAudit) -> list[str]:
        reals = ", ".join(audited.reals) or "no reals"
        lines = [
            f"{audited.generator} against {reals} ({audited.n_fake:,} fakes, {audited.n_real:,} "
            f"reals); all file features together: AUC {audited.file_features}"
        ]
        own = [finding for finding in self.findings if finding.generator == audited.generator]
        for finding in own:
            lines.append(f"  {finding.family:<10}{finding.text}")
        if not own:
            lines.append("  nothing separates them")
        return lines

    def __str__(self) -> str:
        return self.table()


def _short(value: float) -> str:
    """Two digits, without the leading zero: .52, 1.00."""
    return f"{value:.2f}".removeprefix("0")
