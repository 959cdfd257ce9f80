"""Verdicts as a table, JSON or CSV, written as they come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TextIO

from fauxlab.io.text import csv_line
from fauxlab.records import Verdict

FIELDS = (*Verdict.model_fields, *Verdict.model_computed_fields)


def write_verdicts(verdicts: Iterable[Verdict], form: str, stream: TextIO) -> Iterator[Verdict]:
    """Write each verdict and pass it on. `form`: table, json (one array, closed whatever happens)
    or csv.
    """
    if form == "csv":
        stream.write(csv_line(FIELDS))
    elif form == "json":
        stream.write("[")
    else:
        stream.write(f"{'verdict':<12}{'score':>7}  path\n")
    first = True
    try:
        for verdict in verdicts:
            if form == "csv":
                stream.write(csv_line(_cell(value) for value in verdict.model_dump().values()))
            elif form == "json":
                stream.write(("\n" if first else ",\n") + verdict.model_dump_json())
            else:
                stream.write(_line(verdict))
            first = False
            yield verdict
    finally:
        if form == "json":
            stream.write("\n]\n")
        stream.flush()


def _cell(value: object) -> object:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return "" if value is None else value


def _line(verdict: Verdict) -> str:
    if verdict.score is None:
        reason = f": {verdict.message}" if verdict.message else ""
        return f"{verdict.decision:<12}{'':>7}  {verdict.path}{reason}\n"
    place = "" if verdict.face is None else " (face at {}, {} to {}, {})".format(*verdict.face)
    reason = f": {verdict.message}" if verdict.message else ""
    return f"{verdict.decision:<12}{verdict.score:>7.3f}  {verdict.path}{place}{reason}\n"
