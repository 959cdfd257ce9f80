"""What a listing does not read, counted, so that no picture is passed over in silence."""

from __future__ import annotations

import logging
import os
from collections import Counter

from fauxlab.io.images import SUFFIXES
from fauxlab.io.kinds import HIDDEN_PICTURE, Kind, suffix_of
from fauxlab.io.text import printable

LISTED = 5  # names of each kind
LONGEST_NAME = 300  # characters of a name in a message

# Folders that systems and programs add to people's own, beside those that begin with a dot:
# resource forks of macOS, thumbnails of NAS devices, bins of deleted files, snapshots.
_SYSTEM_FOLDERS = frozenset(
    {"__macosx", "@eadir", "@__thumb", "@recycle", "#recycle", "#snapshot", "@tmp"}
    | {"$recycle.bin", "recycler", "recycled", "system volume information", "lost+found"}
    | {"network trash folder", "temporary items"}
)
_SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "picasa.ini", "icon\r"})
# What macOS writes beside each file on a foreign disk. It may be named like a picture and is none.
_APPLE_DOUBLE = "._"

_logger = logging.getLogger(__name__)


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or a system's own."""
    is_dotted = name.startswith(".") and name not in (".", "..")
    small = name.casefold()
    return is_dotted or small in _SYSTEM_FOLDERS or small in _SYSTEM_FILES


class PassedOver:
    """Counts the files and folders that listings do not read, and keeps the first names.

    One may be given to several listings, and counts a file once that several of them meet. It takes
    about 100 bytes of memory a file.
    """

    def __init__(self) -> None:
        self._counts: Counter[Kind] = Counter()
        self._names: dict[Kind, list[str]] = {}
        self._met: set[int] = set()

    @property
    def files(self) -> int:
        """How many files were passed over; folders and zips do not count."""
        return sum(count for kind, count in self._counts.items() if kind.noun == "file")

    def add(self, path: str, kind: Kind) -> None:
        """Count a file, a member of a zip, or a folder that is not read."""
        identity = hash(os.path.abspath(path))
        if identity in self._met:
            return
        self._met.add(identity)
        self._counts[kind] += 1
        names = self._names.setdefault(kind, [])
        if len(names) < LISTED:
            names.append(printable(path)[:LONGEST_NAME])

    def add_hidden_file(self, path: str) -> None:
        """Count a hidden file if its name is a picture's; the others are of no interest."""
        _, _, name = path.replace("\\", "/").rpartition("/")
        if suffix_of(name) in SUFFIXES and not name.startswith(_APPLE_DOUBLE):
            self.add(path, HIDDEN_PICTURE)

    def describe(self) -> list[str]:
        """What a user should know, one line a kind; none where nothing was passed over."""
        return [self._describe(kind) for kind in self._counts]

    def warn(self) -> None:
        """Log the lines of `describe` as warnings."""
        for line in self.describe():
            _logger.warning("%s", line)

    def _describe(self, kind: Kind) -> str:
        count = self._counts[kind]
        names = self._names[kind]
        nouns = kind.noun if count == 1 else f"{kind.noun}s"
        what = kind.one if count == 1 else kind.many
        line = f"{count:,} {nouns} passed over ({what}): {', '.join(names)}"
        unlisted = count - len(names)
        if unlisted:
            line += f" and {unlisted:,} more"
        if kind.advice:
            line += f"; {kind.advice}"
        return line
