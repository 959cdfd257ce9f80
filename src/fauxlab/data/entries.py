"""One image as its layout describes it, before it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fauxlab.data.tables import Manipulation
from fauxlab.io.text import printable


@dataclass(frozen=True, slots=True)
class Entry:
    """One image; the fields that a Row has, too, have the same meaning.

    Images that share any of `groups` must stay on one side of a split. Where there is none, `name`
    decides, the path below its source or generator; `own` is the group that it has where the name
    says nothing. `is_free` says that no layout gives the folders in `name` a meaning. An entry with
    a `problem` cannot be read; the text says why.
    """

    path: str
    label: int
    generator: str = ""
    source: str = ""
    manipulation: Manipulation = ""
    compare_to: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    own: str = ""
    is_free: bool = False
    problem: str = ""


def split_top(name: str, otherwise: str) -> tuple[str, str]:
    """The first folder of a name, and the rest; `otherwise` where the name has no folder."""
    top, slash, rest = name.partition("/")
    if slash:
        return top, rest
    return otherwise, name


def collection_name(name: str) -> str:
    """The name of a collection of reals, without the `;` that separates names in `compare_to`."""
    return printable(name).replace(";", "_")


def stem_of(name: str) -> str:
    """A name without its suffix."""
    stem, _, _ = name.rpartition(".")
    return stem or name
