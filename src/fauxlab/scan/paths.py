"""The pictures that the arguments of a scan name, one after the other, each of them once.

Arguments are files, `archive.zip!/member`, folders and glob patterns.
"""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from fauxlab.errors import LabError
from fauxlab.io.sources import SEPARATOR, walk_images, zip_images


def expand_paths(arguments: Iterable[str]) -> Iterator[str]:
    """The pictures that the arguments name, in their order, including those in zips.

    A picture that is named twice is given once: `a.jpg`, `./a.jpg` and the folder that it lies in
    name the same one. Links to it and copies of it are pictures of their own. A path that leads
    nowhere, a pattern that matches nothing and a damaged zip are passed on, so that they are
    reported in their place.

    Takes about 100 bytes of memory a picture, to remember which were given.
    """
    given = set()
    for path in _expand(arguments):
        identity = _normalise(path)
        encoded = identity.encode("utf-8", "surrogatepass")
        # A digest, because paths can be 4,096 bytes long.
        digest = hashlib.blake2b(encoded, digest_size=16).digest()
        if digest not in given:
            given.add(digest)
            yield path


def _expand(arguments: Iterable[str]) -> Iterator[str]:
    for argument in arguments:
        # os.path, not Path: what cannot be asked for (no permission, a name too long) is not there.
        if os.path.isdir(argument):
            yield from _expand_folder(argument)
        elif _is_zip(argument):
            yield from _expand_zip(argument)
        elif _is_pattern(argument):
            yield from _expand_pattern(argument)
        else:
            yield argument


def _expand_folder(folder: str) -> Iterator[str]:
    for file in walk_images(Path(folder), (".zip",)):
        path = str(file)
        if _is_zip(path):
            yield from _expand_zip(path)
        else:
            yield path


def _expand_zip(archive: str) -> Iterator[str]:
    try:
        members = zip_images(Path(archive))
    except LabError:
        # Whoever reads this path opens the zip again, and so learns what is wrong with it.
        members = [""]
    for member in members:
        yield f"{archive}{SEPARATOR}{member}"


def _expand_pattern(pattern: str) -> Iterator[str]:
    matches = list(glob.iglob(pattern, recursive=True))
    if not matches:
        yield pattern
        return
    # Sorted by folders, so that a folder comes right before what lies in it.
    matches.sort(key=_split)
    yield from _expand(_outermost(matches))


def _outermost(matches: Iterable[str]) -> Iterator[str]:
    """Sorted matches without those in a matched folder, of which the pictures alone are wanted."""
    folder = None
    for match in matches:
        if folder is not None and match.startswith(folder):
            continue
        is_folder = os.path.isdir(match)
        folder = os.path.join(match, "") if is_folder else None
        yield match


def _split(path: str) -> list[str]:
    return path.split(os.sep)


def _is_zip(path: str) -> bool:
    return path.lower().endswith(".zip") and os.path.isfile(path)


def _is_pattern(argument: str) -> bool:
    # A file may have a name that looks like a pattern.
    return glob.has_magic(argument) and not os.path.lexists(argument)


def _normalise(path: str) -> str:
    """The same text for all ways to write a path, and never for two different files."""
    # Neither names a file: an empty path would become the working folder.
    if not path or "\0" in path:
        return path
    # The name inside a zip is no path, and stays to the letter.
    outside, separator, member = path.partition(SEPARATOR)
    folder, name = os.path.split(outside)
    if os.pardir in _split(folder):
        # Behind a link to a folder, `..` is not the folder that the link lies in.
        folder = os.path.realpath(folder)
    absolute = os.path.abspath(os.path.join(folder, name))
    return absolute + separator + member
