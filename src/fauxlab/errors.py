"""The one error that users meet, and suggestions for names that are not known."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable

# What the system says where a disk, or a user's share of it, has no room left.
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
LIKENESS = 0.5  # least ratio of equal letters, as difflib counts it, for a suggestion


class LabError(Exception):
    """An input that cannot be used; the message says what, where, and what to do, in one line.

    >>> import fauxlab as fl
    >>> fl.Scanner.from_pretrained("no-such-model")
    Traceback (most recent call last):
        ...
    fauxlab.errors.LabError: no config.json in no-such-model; a model is a folder such as \
runs/<name>/best
    """


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name that is most like a word, in any case; None where no name is like it.

    >>> nearest("Detecter", ["detector", "generator"])
    'detector'
    """
    names = {name.casefold(): name for name in known}
    matches = difflib.get_close_matches(word.casefold(), names, n=1, cutoff=LIKENESS)
    if not matches:
        return None
    closest = matches[0]
    return names[closest]


def suggest(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known name, or nothing."""
    name = nearest(word, known)
    if name is None:
        return ""
    return f"; did you mean {name!r}?"
