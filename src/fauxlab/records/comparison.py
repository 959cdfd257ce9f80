"""Results of a comparison of runs: what differs in them, and what figures they reached."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from fauxlab.records.base import Interval, Record

SCHEMA_VERSION = 5  # of the records in this file

Line = tuple[str, list[str]]  # the name of a row, and its cells


class RunSummary(Record):
    """One training, or a model that came without its run."""

    name: str
    kind: Literal["detector", "generator"]
    state: str = Field(
        description="finished, unfinished, stopped by the guard, or model: of a bundle without its "
        "run"
    )
    recipe: str
    images: int | None = Field(description="seen in training")
    data_hash: str
    fauxlab: str = Field(description="version that trained it")
    figures: dict[str, int | float | str | None] = Field(description="from its log, by name")


class PairedScores(Record):
    """Detectors on one generator's fakes and their matched reals, in the order of the runs."""

    name: str
    n: int
    aucs: list[Interval]
    changes: list[Interval] = Field(
        description="each AUC minus the first's, paired: over the same drawn groups"
    )


class RunComparison(Record):
    """Two runs or more."""

    FORMER_NAMES: ClassVar = {"judged_on": "scored_on"}
    schema_version: int = SCHEMA_VERSION
    runs: list[RunSummary]
    differences: dict[str, list[Any]] = Field(
        description="recipe key → each run's value, where they are not all equal"
    )
    remarks: list[str] = Field(description="what keeps figures from being compared")
    scored_on: str = Field("", description="data hash of the pictures that `paired` is of")
    paired: list[PairedScores] = Field([], description="by generator, and pooled last")

    def table(self) -> str:
        """The comparison as plain text, a column for each run."""
        rows = [*self._run_rows(), *self._difference_rows(), *self._paired_rows()]
        names = [name for name, _ in rows]
        all_cells = [cell for _, cells in rows for cell in cells]
        first_width = max(map(len, names)) + 2
        width = max(map(len, all_cells), default=0) + 2
        lines = []
        for name, cells in rows:
            columns = "".join(f"{cell:<{width}}" for cell in cells)
            lines.append(f"{name:<{first_width}}{columns}".rstrip())
        for remark in self.remarks:
            lines.append(f"note: {remark}")
        return "\n".join(lines)

    def _run_rows(self) -> list[Line]:
        rows: list[Line] = [("", [run.name for run in self.runs])]
        for key in ("state", "recipe", "images"):
            rows.append((key, [_word(getattr(run, key)) for run in self.runs]))
        names = dict.fromkeys(name for run in self.runs for name in run.figures)
        for name in names:
            rows.append((name, [_word(run.figures.get(name)) for run in self.runs]))
        return rows

    def _difference_rows(self) -> list[Line]:
        if not self.differences:
            return []
        rows: list[Line] = [("", []), ("set differently", [])]
        for key, values in self.differences.items():
            rows.append((key, [_word(value) for value in values]))
        return rows

    def _paired_rows(self) -> list[Line]:
        if not self.paired:
            return []
        rows: list[Line] = [("", []), ("AUC", [])]
        for scores in self.paired:
            rows.append((f"{scores.name} (N {scores.n:,})", [str(auc) for auc in scores.aucs]))
        rows.append(("AUC minus the first's", []))
        for scores in self.paired:
            changes = [str(change) for change in scores.changes[1:]]
            rows.append((scores.name, ["", *changes]))
        return rows


def _word(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
