"""Faults of a recipe in words: the key's place, and the key that was probably meant."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import ValidationError

from fauxlab.errors import nearest
from fauxlab.io.text import LONGEST_TEXT, shorten

# pydantic tries both forms of a scheduled value, a number and a schedule, and puts these names into
# the place of a fault.
FORMS = ("constrained-float", "float", "Cosine")
NUMBER_FORMS = FORMS[:2]
MOST_FAULTS = 10  # that are named


def describe_faults(error: ValidationError, recipe: Any) -> str:
    """What pydantic found in a recipe of this class, on one line: the first faults."""
    descriptions: dict[str, None] = {}
    left = 0
    for fault in error.errors(include_url=False):
        if is_other_form(fault):
            continue
        if len(descriptions) < MOST_FAULTS:
            descriptions[describe_fault(fault, recipe)] = None
        else:
            left += 1
    text = "; ".join(descriptions)
    return f"{text}; … and {left:,} more" if left else text


def is_other_form(error: Any) -> bool:
    """Whether the fault is only that a number is no schedule, or that a schedule is no number."""
    form = error["loc"][-1]
    is_table = isinstance(error["input"], dict)
    if form == "Cosine":
        return not is_table
    return form in NUMBER_FORMS and is_table


def describe_fault(error: Any, recipe: Any) -> str:
    """A fault that pydantic found in a recipe of this class."""
    path = [str(part) for part in error["loc"] if part not in FORMS]
    place = shorten(".".join(path))
    if error["type"] == "extra_forbidden":
        return _describe_unknown_key(place, path, recipe)
    message = error["msg"].removeprefix("Value error, ").lower()
    return f"{place} = {shorten(repr(error['input']))}: {message}"


def _describe_unknown_key(place: str, path: list[str], recipe: Any) -> str:
    *tables, key = path
    table = recipe
    for name in tables:
        table = _table_of(table.model_fields[name].annotation)
    known = table.model_fields
    close = nearest(key[:LONGEST_TEXT], known)
    if close:
        return f"unknown key {place}: did you mean {'.'.join([*tables, close])}?"
    # A key in the wrong table is the next most common slip.
    for name, field in recipe.model_fields.items():
        if key in getattr(field.annotation, "model_fields", {}):
            return f"unknown key {place}: did you mean {name}.{key}?"
    return f"unknown key {place}; known here: {', '.join(known)}"


def _table_of(annotation: Any) -> Any:
    """The table among the types that a key may have."""
    for kind in (annotation, *get_args(annotation)):
        if hasattr(kind, "model_fields"):
            return kind
    return annotation
