"""The folder that samples are written into: whose it is, and whether its pictures are marked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fauxlab.errors import LabError
from fauxlab.io.marking import Mark
from fauxlab.io.reading import parse_json, read_text
from fauxlab.io.text import printable, replace_file
from fauxlab.models.pretrained import Generator

MARKER = "samples.json"
UNMARKED = "unmarked.log"
MOST_MARKER = 2**28  # bytes of the marker, which lists a folder's files


def claim_folder(folder: Path, contents: dict[str, Any], names: Sequence[str]) -> None:
    """Take a folder for `contents`, and note in it which files are to be written.

    Raises LabError where the folder, or one of the files, was not written by this lab, and where it
    was written with other parameters.
    """
    marker = folder / MARKER
    own: set[str] = set()
    if marker.is_file():
        before, own = _read_marker(marker)
        _check_unchanged(folder, before, contents)
    elif not _is_free(folder):
        raise LabError(
            f"{printable(folder)} is not empty and was not written by this command; "
            "give another folder"
        )
    for name in names:
        path = folder / name
        if name not in own and path.exists():
            raise LabError(
                f"{printable(path)} was not written by this command; move it or give another folder"
            )
    folder.mkdir(parents=True, exist_ok=True)
    files = sorted(own.union(names))
    note = {"what": contents, "files": files}
    replace_file(marker, json.dumps(note) + "\n")


def list_written(folder: Path) -> set[str]:
    """The names that this lab has written into a folder."""
    marker = folder / MARKER
    if not marker.is_file():
        return set()
    _, own = _read_marker(marker)
    return {name for name in own if (folder / name).is_file()}


def _is_free(folder: Path) -> bool:
    """Whether there is nothing at this place, or an empty folder."""
    if not folder.exists():
        return True
    if not folder.is_dir():
        return False
    return not any(folder.iterdir())


def begin_marking(generator: Generator, folder: Path, count: int, mark: bool) -> Mark | None:
    """The mark of pictures by this generator, without a seed.

    With `mark` False there is none, and a line in the folder's log records that.
    """
    if mark:
        return Mark(generator.config.architecture, generator.hash)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    model = generator.hash or "unknown"
    line = f"{now} {count} files of model hash {model} written without a mark\n"
    with (folder / UNMARKED).open("a", encoding="utf-8") as log:
        log.write(line)
    return None


def _read_marker(marker: Path) -> tuple[dict[str, Any], set[str]]:
    """The contents that a folder was taken for, and the files written into it."""
    try:
        note = parse_json(read_text(marker, MOST_MARKER))
        return dict(note["what"]), set(note["files"])
    except (ValueError, KeyError, TypeError):
        raise LabError(f"{printable(marker)} is damaged; give another folder") from None


def _check_unchanged(folder: Path, before: dict[str, Any], contents: dict[str, Any]) -> None:
    for key, value in contents.items():
        value_before = before.get(key)
        if value_before != value:
            raise LabError(
                f"{printable(folder)} holds pictures of {key} {value_before!r}, "
                f"these have {key} {value!r}; give another folder"
            )
