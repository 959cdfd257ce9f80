"""The pictures that the arguments of a scan name, one after the other, each of them once.

Arguments are files, `archive.zip!/member`, folders, glob patterns, and `-` for standard input.
"""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from fauxlab.errors import LabError
from fauxlab.io.images import SUFFIXES
from fauxlab.io.kinds import FOLDER_WITHOUT, HIDDEN_FOLDER, PICTURE, kind_of_file, suffix_of
from fauxlab.io.passed_over import PassedOver, is_hidden
from fauxlab.io.sources import (
    SEPARATOR,
    STANDARD_INPUT,
    is_picture,
    stored_path,
    walk_images,
    zip_images,
)


def expand_paths(arguments: Iterable[str], passed_over: PassedOver | None = None) -> Iterator[str]:
    """The pictures that the arguments name, in their order, including those in zips.

    A picture that is named twice is given once: `a.jpg`, `./a.jpg` and the folder that it lies in
    name the same one. Links to it and copies of it are pictures of their own. A path that leads
    nowhere, a pattern that matches nothing and a damaged zip are passed on, so that they are
    reported in their place. Files in folders, zips and patterns that are no pictures are added to
    `passed_over`, or logged at the end.

    Takes about 100 bytes of memory a picture, to remember which were given.
    """
    collected = PassedOver() if passed_over is None else passed_over
    given = set()
    for path in _expand(arguments, collected):
        identity = _normalise(path)
        encoded = identity.encode("utf-8", "surrogatepass")
        # A digest, because paths can be 4,096 bytes long.
        digest = hashlib.blake2b(encoded, digest_size=16).digest()
        if digest not in given:
            given.add(digest)
            yield path
    if passed_over is None:
        collected.warn()


def _expand(arguments: Iterable[str], passed_over: PassedOver) -> Iterator[str]:
    for argument in arguments:
        # os.path, not Path: what cannot be asked for (no permission, a name too long) is not there.
        if os.path.isdir(argument):
            yield from _expand_folder(argument, passed_over)
        elif _is_zip(argument):
            yield from _expand_zip(argument, passed_over)
        elif _is_pattern(argument):
            yield from _expand_pattern(argument, passed_over)
        else:
            yield stored_path(argument)


def _expand_folder(folder: str, passed_over: PassedOver) -> Iterator[str]:
    is_empty = True
    for file in walk_images(Path(folder), (".zip",), passed_over):
        is_empty = False
        path = str(file)
        if _is_zip(path):
            yield from _expand_zip(path, passed_over)
        else:
            yield _as_file(path)
    if is_empty:
        passed_over.add(folder, FOLDER_WITHOUT)


def _expand_zip(archive: str, passed_over: PassedOver) -> Iterator[str]:
    try:
        members = zip_images(Path(archive), passed_over)
    except LabError:
        if kind_of_file(archive) == PICTURE:
            yield archive
            return
        # Whoever reads this path opens the zip again, and so learns what is wrong with it.
        members = [""]
    for member in members:
        yield f"{archive}{SEPARATOR}{member}"


def _expand_pattern(pattern: str, passed_over: PassedOver) -> Iterator[str]:
    matches = set(glob.iglob(pattern, recursive=True))
    literal = _escape_existing(pattern)
    if literal != pattern:
        matches.update(glob.iglob(literal, recursive=True))
    if not matches:
        yield pattern
        return
    # Sorted by folders, so that a folder comes right before what lies in it.
    in_order = sorted(matches, key=_split)
    for match in _outermost(in_order):
        if _is_wanted(match, pattern, passed_over):
            yield from _expand([_as_file(match)], passed_over)


def _escape_existing(pattern: str) -> str:
    """The pattern with those of its folders taken literally that exist under such a name.

    `Trip [2023]/*.jpg` means the folder "Trip [2023]" where there is one.
    """
    parts = _split(pattern)
    escaped = []
    for number, part in enumerate(parts, start=1):
        exists = glob.has_magic(part) and os.path.lexists(os.sep.join(parts[:number]))
        escaped.append(glob.escape(part) if exists else part)
    return os.sep.join(escaped)


def _is_wanted(match: str, pattern: str, passed_over: PassedOver) -> bool:
    """Whether a match is to be read: no file that is no picture, and nothing of a system's own.

    What the pattern names to the letter may be a system's. Names that begin with a dot match only
    patterns that do.
    """
    is_folder = os.path.isdir(match)
    unnamed = set(_split(match)).difference(_split(pattern))
    if any(is_hidden(part) and not part.startswith(".") for part in unnamed):
        if is_folder:
            passed_over.add(match, HIDDEN_FOLDER)
        else:
            passed_over.add_hidden_file(match)
        return False
    is_known = is_folder or _is_zip(match) or suffix_of(match) in SUFFIXES
    return is_known or is_picture(match, passed_over)


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


def _as_file(path: str) -> str:
    """The path of a file that was found, which may be named like standard input."""
    return os.path.join(os.curdir, path) if path == STANDARD_INPUT else path


def _is_zip(path: str) -> bool:
    return path.lower().endswith(".zip") and os.path.isfile(path)


def _is_pattern(argument: str) -> bool:
    # A file may have a name that looks like a pattern.
    return glob.has_magic(argument) and not os.path.lexists(argument)


def _normalise(path: str) -> str:
    """The same text for all ways to write a path, and never for two different files."""
    # None of them names a file: an empty path would become the working folder.
    if not path or "\0" in path or path == STANDARD_INPUT:
        return path
    # The name inside a zip is no path, and stays to the letter.
    outside, separator, member = path.partition(SEPARATOR)
    folder, name = os.path.split(outside)
    if os.pardir in _split(folder):
        # Behind a link to a folder, `..` is not the folder that the link lies in.
        folder = os.path.realpath(folder)
    absolute = os.path.abspath(os.path.join(folder, name))
    return absolute + separator + member
