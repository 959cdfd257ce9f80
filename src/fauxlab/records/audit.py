"""What is found of a data set: how well each family of traits alone tells fakes from reals."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fauxlab.records.base import Interval, Record

SCHEMA_VERSION = 4  # of the records in this file


class FeatureScore(Record):
    """How well one family of traits tells a generator's fakes from their reals, and what that
    means.
    """

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
    traits: dict[str, FeatureScore] = Field(description="by family")
    file_traits: Interval = Field(
        description="AUC of size, aspect, bytes, encoding and metadata together"
    )


class Finding(Record):
    """One thing that an audit found; generator and family are empty where it concerns the whole
    set.
    """

    kind: Literal["shortcut", "content", "trace", "leak", "note"]
    generator: str = ""
    family: str = ""
    text: str


class AuditReport(Record):
    """What tells fakes from reals in a data set that has nothing to do with the generators, or may
    have.
    """

    schema_version: int = SCHEMA_VERSION
    data_hash: str
    code_version: str
    n: int = Field(description="images measured")
    n_manifest: int = Field(description="images in the manifest")
    limit: int = Field(description="most images measured of a generator or a source of reals")
    seed: int
    bootstrap: int
    threshold: float = Field(
        description="the interval's lower bound above which a family counts as separating"
    )
    verdict: str
    generators: list[GeneratorAudit]
    findings: list[Finding]
    skipped: list[tuple[str, str]] = Field(description="path, reason")

    @property
    def shortcuts(self) -> list[Finding]:
        """What is to be fixed before training."""
        return [finding for finding in self.findings if finding.kind == "shortcut"]

    def table(self) -> str:
        """The report as plain text: AUC with interval, a line a generator and a column a family;
        then the findings.
        """
        part = (
            f"{self.n:,} images"
            if self.n == self.n_manifest
            else f"{self.n:,} of {self.n_manifest:,} images"
        )
        drawn = (
            f", at most {self.limit:,} of a kind, seed {self.seed}"
            if self.n < self.n_manifest
            else ""
        )
        families = list(self.generators[0].traits)
        lines = [
            f"held-out AUC of fakes against their reals by one family of traits alone, 95 % interval over groups "
            f"({part}{drawn}); ! shortcut, ? may be one: lower bound above {_short(self.threshold)}",
            f"{'':<20}" + "".join(f"{family:<16}" for family in families).rstrip(),
        ]
        for found in self.generators:
            lines.append(
                f"{found.generator:<20}"
                + "".join(f"{found.traits[f]!s:<16}" for f in families).rstrip()
            )
        for found in self.generators:
            lines += [
                "",
                f"{found.generator} against {', '.join(found.reals) or 'no reals'} ({found.n_fake:,} fakes, "
                f"{found.n_real:,} reals); all file traits together: AUC {found.file_traits}",
            ]
            own = [f for f in self.findings if f.generator == found.generator]
            lines += [f"  {f.family:<10}{f.text}" for f in own] or ["  nothing separates them"]
        whole = [
            f"{finding.kind}: {finding.text}" for finding in self.findings if not finding.generator
        ]
        if self.skipped:
            whole.append(f"note: {len(self.skipped):,} images could not be read and were left out")
        return "\n".join([*lines, "", *whole, f"verdict: {self.verdict}"])

    def __str__(self) -> str:
        return self.table()


def _short(value: float) -> str:
    """Two digits, without the leading zero: .52, 1.00."""
    return f"{value:.2f}".removeprefix("0")
