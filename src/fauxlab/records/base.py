"""What all records have in common.

Each kind of record has a `SCHEMA_VERSION` of its own, which stands beside it. It rises when fields
are added, renamed or change their meaning, so that readers of one format need not follow another.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import (
    BaseModel,
    ConfigDict,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

Box = tuple[int, int, int, int]  # left, top, right, bottom, in pixels


class Record(BaseModel):
    """Base of all records: immutable, and strict about unknown fields when read back.

    `FORMER_NAMES` maps the name that a field had before version 0.2 to its present name. Both are
    read; the present one is written.

    `PLACES` maps a computed field to the field behind which it is written. Others come last.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    FORMER_NAMES: ClassVar[dict[str, str]] = {}
    PLACES: ClassVar[dict[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _read_former_names(cls, fields: Any) -> Any:
        if not isinstance(fields, dict):
            return fields
        former, present = {}, {}
        for name, value in fields.items():
            if name in cls.FORMER_NAMES:
                former[cls.FORMER_NAMES[name]] = value
            else:
                present[name] = value
        return former | present

    # Without a return type: with one, pydantic would describe that type in JSON schemas, and not
    # the record's own fields.
    @model_serializer(mode="wrap")
    def _write_in_order(self, write: SerializerFunctionWrapHandler):  # type: ignore[no-untyped-def]
        fields: dict[str, Any] = write(self)
        return _put_in_place(fields, self.PLACES)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """The schema, with the fields in the order in which they are written."""
        schema = handler(core_schema)
        resolved = handler.resolve_ref_schema(schema)
        properties = resolved.get("properties", {})
        resolved["properties"] = _put_in_place(properties, cls.PLACES)
        return schema


def _put_in_place(fields: dict[str, Any], places: dict[str, str]) -> dict[str, Any]:
    """The same fields, with each name of `places` right behind the name that stands there."""
    names = list(fields)
    for name, before in places.items():
        if name in fields and before in fields:
            names.remove(name)
            names.insert(names.index(before) + 1, name)
    return {name: fields[name] for name in names}


class Interval(Record):
    """A figure with its 95 % bootstrap interval.

    The bounds are None where there are too few groups for an interval.
    """

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
    """A number with three digits after the point, or n/a."""
    return "n/a" if value is None else f"{value:.3f}"
