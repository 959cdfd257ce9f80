"""What all records have in common."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

# 2: verdicts can be uncertain; 3: they are on faces, and can be "cannot tell"; 4: for blur, too, as
# `message` says
SCHEMA_VERSION = 4
Box = tuple[int, int, int, int]  # left, top, right, bottom, in pixels


class Record(BaseModel):
    """Base of all records: immutable, and strict about unknown fields when read back.

    `FORMER_NAMES` maps what a field was called before 0.2 to its name. All of 0.2 reads and writes
    both.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    FORMER_NAMES: ClassVar[dict[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _read_former_names(cls, fields: Any) -> Any:
        if not isinstance(fields, dict):
            return fields
        former = {cls.FORMER_NAMES[key]: fields[key] for key in fields if key in cls.FORMER_NAMES}
        present = {key: value for key, value in fields.items() if key not in cls.FORMER_NAMES}
        return former | present

    @model_serializer(mode="wrap")
    def _write_former_names(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = write(self)
        former = {old: fields[new] for old, new in self.FORMER_NAMES.items() if new in fields}
        return fields | former


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
