"""The one error that users meet, and what it says of a name that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LabError(Exception):
    """An input that cannot be used: the message says what, where, and what to do next, in one line."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name most like an unknown one, whatever its case; None where none is like it."""
    names = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), names, 1, 0.5)
    return names[close[0]] if close else None


def suggest(word: str, known: Iterable[str]) -> str:
    """What ends a message of an unknown name: the nearest of the known ones, or nothing."""
    close = nearest(word, known)
    return f"; did you mean {close!r}?" if close else ""
