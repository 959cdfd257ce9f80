"""Runs beside each other: what differs in them, and what came of it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from fauxlab.records.base import Interval, Record

SCHEMA_VERSION = 4  # of the records in this file


class RunSummary(Record):
    """One training, or a model that came without its run."""

    name: str
    kind: Literal["detector", "generator"]
    state: str = Field(
        description="finished, unfinished, stopped by the guard, or model: of a bundle without its run"
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

    schema_version: int = SCHEMA_VERSION
    runs: list[RunSummary]
    differences: dict[str, list[Any]] = Field(
        description="recipe key → each run's value, where they are not all equal"
    )
    remarks: list[str] = Field(description="what keeps figures from being compared")
    judged_on: str = Field("", description="data hash of the pictures that `paired` is of")
    paired: list[PairedScores] = Field([], description="by generator, and pooled last")

    def table(self) -> str:
        """The comparison as a plain text table, one column a run."""
        figures = list(dict.fromkeys(name for run in self.runs for name in run.figures))
        rows = [("", [run.name for run in self.runs])]
        rows += [
            (key, [_word(getattr(run, key)) for run in self.runs])
            for key in ("state", "recipe", "images")
        ]
        rows += [(name, [_word(run.figures.get(name)) for run in self.runs]) for name in figures]
        if self.differences:
            rows += [("", []), ("set differently", [])]
            rows += [
                (key, [_word(value) for value in values])
                for key, values in self.differences.items()
            ]
        if self.paired:
            rows += [
                ("", []),
                ("AUC", []),
                *((f"{p.name} (N {p.n:,})", [*map(str, p.aucs)]) for p in self.paired),
            ]
            rows += [
                ("AUC minus the first's", []),
                *((p.name, ["", *map(str, p.changes[1:])]) for p in self.paired),
            ]
        first = max(len(name) for name, _ in rows) + 2
        width = max((len(cell) for _, cells in rows for cell in cells), default=0) + 2
        lines = [
            f"{name:<{first}}" + "".join(f"{cell:<{width}}" for cell in cells)
            for name, cells in rows
        ]
        return "\n".join(
            [*(line.rstrip() for line in lines), *(f"note: {remark}" for remark in self.remarks)]
        )


def _word(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
