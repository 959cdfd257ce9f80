"""Results of a comparison of runs: what differs in them, and what figures they reached."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from fauxlab.records.base import Interval, Record

SCHEMA_VERSION = 5  # of the records in this file

Figures = dict[str, int | float | str | None]


class TableRow(NamedTuple):
    """A row of the table: what it is about, and a cell for each run."""

    name: str
    cells: list[str]


BLANK = TableRow("", [])


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
    figures: Figures = Field(description="from its log, by name")


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
        rows = self._run_rows() + self._difference_rows() + self._paired_rows()
        name_width = 0
        cell_width = 0
        for row in rows:
            name_width = max(name_width, len(row.name))
            for cell in row.cells:
                cell_width = max(cell_width, len(cell))
        lines = []
        for row in rows:
            line = f"{row.name:<{name_width + 2}}"
            for cell in row.cells:
                line += f"{cell:<{cell_width + 2}}"
            lines.append(line.rstrip())
        for remark in self.remarks:
            lines.append(f"note: {remark}")
        return "\n".join(lines)

    def _run_rows(self) -> list[TableRow]:
        rows = [
            TableRow("", [run.name for run in self.runs]),
            TableRow("state", [run.state for run in self.runs]),
            TableRow("recipe", [run.recipe for run in self.runs]),
            TableRow("images", [_word(run.images) for run in self.runs]),
        ]
        names: dict[str, None] = {}
        for run in self.runs:
            names |= dict.fromkeys(run.figures)
        for name in names:
            values = [run.figures.get(name) for run in self.runs]
            rows.append(_value_row(name, values))
        return rows

    def _difference_rows(self) -> list[TableRow]:
        if not self.differences:
            return []
        rows = [BLANK, TableRow("set differently", [])]
        for key, values in self.differences.items():
            rows.append(_value_row(key, values))
        return rows

    def _paired_rows(self) -> list[TableRow]:
        if not self.paired:
            return []
        rows = [BLANK, TableRow("AUC", [])]
        for scores in self.paired:
            name = f"{scores.name} (N {scores.n:,})"
            aucs = [str(auc) for auc in scores.aucs]
            rows.append(TableRow(name, aucs))
        rows.append(TableRow("AUC minus the first's", []))
        for scores in self.paired:
            cells = [""]  # the first has no difference to itself
            for change in scores.changes[1:]:
                cells.append(str(change))
            rows.append(TableRow(scores.name, cells))
        return rows


def _value_row(name: str, values: Sequence[Any]) -> TableRow:
    cells = [_word(value) for value in values]
    return TableRow(name, cells)


def _word(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
