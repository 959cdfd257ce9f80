"""Generators and sources by name: what a table names, and what users may name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fauxlab.data.rows import Row
from fauxlab.errors import LabError, suggest
from fauxlab.io.text import printable

SourcesOf = Mapping[str, Sequence[str]]  # of reals, by generator


def list_compared(fakes: Iterable[Row]) -> dict[str, list[str]]:
    """The sources that the fakes of each generator name, from one pass over their rows."""
    comparisons: dict[str, dict[str, None]] = {}
    for row in fakes:
        of_generator = comparisons.setdefault(row.generator, {})
        of_generator[row.compare_to] = None
    sources = {}
    for generator, texts in comparisons.items():
        parts = [name.strip() for text in texts for name in text.split(";")]
        sources[generator] = [name for name in dict.fromkeys(parts) if name]
    return sources


def check_pairs(
    reals: SourcesOf,
    generators: Sequence[str],
    sources: Sequence[str],
) -> None:
    """Raise LabError where a generator or a source that is paired is not among the known ones."""
    for generator, named in reals.items():
        _check_known(generator, generators, "generator", "pair")
        for source in named:
            _check_known(source, sources, "source", "pair")


def check_altered(named: Sequence[str], generators: Sequence[str]) -> None:
    """Raise LabError where a generator that is named as altering is not among the known ones."""
    for generator in named:
        _check_known(generator, generators, "generator", "mark as altered")


def _check_known(name: str, known: Sequence[str], kind: str, purpose: str) -> None:
    if name not in known:
        there = ", ".join(map(printable, known)) or "none"
        raise LabError(f"no {kind} {name!r} to {purpose}; there are {there}{suggest(name, known)}")
