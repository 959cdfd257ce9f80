"""What all records have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

# 2: verdicts can be uncertain; 3: they are on faces, and can be "cannot tell"; 4: for blur, too, as `message` says
SCHEMA_VERSION = 4
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


def rounded(value: float | None) -> str:
    """Three digits behind the point, or n/a."""
    return "n/a" if value is None else f"{value:.3f}"
