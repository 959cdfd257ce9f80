"""What the arguments of a scan name: files, zip members, folders and glob patterns, one picture
after the other.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from fauxlab.errors import LabError
from fauxlab.io.sources import SEPARATOR, walk_images, zip_images


def expand_paths(arguments: Iterable[str]) -> Iterator[str]:
    """The pictures that the arguments name: files, `archive.zip!/member`, folders, zips in them
    too, glob patterns.

    A path that leads nowhere, a pattern that matches nothing and a damaged zip are passed on, so
    that they are reported in their place.
    """
    for argument in arguments:
        # os.path, not Path: it takes what cannot be asked (no permission, a name too long) for what
        # is not there.
        if os.path.isdir(argument):
            for path in map(str, walk_images(Path(argument), (".zip",))):
                yield from _members(path) if _is_zip(path) else (path,)
        elif _is_zip(argument):
            yield from _members(argument)
        elif (
            glob.has_magic(argument)
            and not os.path.lexists(argument)
            and (
                matches := sorted(
                    glob.iglob(argument, recursive=True), key=lambda match: match.split(os.sep)
                )
            )
        ):
            yield from expand_paths(_outermost(matches))
        else:
            yield argument


def _outermost(matches: Iterable[str]) -> Iterator[str]:
    """Without what lies in a matched folder, which is gone through as a whole; sorted, as `**` may
    match both.
    """
    folder = None
    for match in matches:
        if folder is None or not match.startswith(folder):
            folder = os.path.join(match, "") if os.path.isdir(match) else None
            yield match


def _is_zip(path: str) -> bool:
    return path.lower().endswith(".zip") and os.path.isfile(path)


def _members(archive: str) -> Iterator[str]:
    try:
        members = zip_images(Path(archive))
    except LabError:
        members = [""]  # opening it again will say why
    return (f"{archive}{SEPARATOR}{member}" for member in members)
