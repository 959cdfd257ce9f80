"""The layout of a table: `metadata.csv` or `metadata.jsonl`, beside images or beside their zips."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from fauxlab.data.entries import Entry, collection_name, split_top
from fauxlab.data.names import names_a_split
from fauxlab.data.parts import plain_name
from fauxlab.data.rows import OWN_COLUMNS
from fauxlab.data.sides import label_in_words
from fauxlab.data.tables import (
    JSON_LINES,
    Cells,
    further_columns,
    parse_label,
    parse_manipulation,
    read_json_lines,
    read_sources,
    read_table,
)
from fauxlab.errors import LabError
from fauxlab.io.sources import SEPARATOR, zip_images
from fauxlab.io.text import printable

CSV = "metadata.csv"
PARQUET = "metadata.parquet"
REQUIRED = ("file_name", "label")
MembersOf = dict[Path, dict[str, str]]

_DRIVE = re.compile(r"[a-z]:[/\\]", re.IGNORECASE)
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
ADDRESS = "an address; pictures are not downloaded: save it and name the file"
OUTSIDE = "refused: the name in the table leads outside its folder; name files from the table on"


def find_table(folder: Path) -> Path | None:
    """The table of a folder, where there is one. A pipe or a lost link is refused on reading."""
    for name in (CSV, JSON_LINES):
        table = folder / name
        if os.path.lexists(table) and not table.is_dir():
            return table
    return None


def find_tables_of_splits(folder: Path) -> list[Path]:
    """The tables in the folders of a folder that name a split, as in `train/metadata.jsonl`."""
    names = sorted(name for name in os.listdir(folder) if names_a_split(name))
    tables = [find_table(folder / name) for name in names]
    return [table for table in tables if table]


def read_entries(table: Path, place: str = "") -> Iterator[Entry]:
    """The images of a table with the columns file_name, label (real or fake, 0 or 1; 1 = fake).

    It may also have generator, manipulation (made or altered), source, compare_to (`a;b`) and group
    (`a;b`). Further columns are kept, apart from those that indexing itself fills: path, split,
    sha256 and the crop. A name that leads out of the table's folder is refused. `place` tells equal
    names in several tables apart. Raises LabError on a table that cannot be read, and on a label or
    manipulation that is none.
    """
    members: MembersOf = {}
    read = read_json_lines if table.name == JSON_LINES else read_table
    for line, row in enumerate(read(table, REQUIRED), start=2):
        label = parse_label(row["label"])
        if label is None:
            label = label_in_words(row["label"])
        number = line - 1 if table.name == JSON_LINES else line
        if label is None:
            raise LabError(
                f"{printable(table)}, line {number}: "
                f"label {row['label']!r:.80}; write real or fake (0 or 1)"
            )
        try:
            manipulation = parse_manipulation(row, label)
        except ValueError as error:
            raise LabError(f"{printable(table)}, line {number}: {error}") from None
        entry = _to_entry(table.parent, row, label, members, place)
        yield replace(entry, manipulation=manipulation)


def _to_entry(folder: Path, row: Cells, label: int, members: MembersOf, place: str) -> Entry:
    named = _below(folder, row["file_name"])
    name = plain_name(named or row["file_name"])
    top, rest = split_top(name, otherwise="fake" if label else "real")
    source, compare_to = read_sources(row, label)
    generator = printable(row.get("generator") or top)
    return Entry(
        _locate(folder, named, members) if named else str(folder / name),
        label,
        generator=generator if label else "",
        source=source if label else collection_name(source or top),
        compare_to=compare_to,
        groups=_declared_groups(row, place + name),
        extra=further_columns(row, ("file_name", *OWN_COLUMNS)),
        name=rest,
        own=place + name,
        is_free=True,
        problem="" if named else _refusal(row["file_name"]),
    )


def _declared_groups(row: Cells, name: str) -> tuple[str, ...]:
    """The groups of a row. Where the table declares none for it, it is alone."""
    if "group" not in row:
        return ()
    groups = tuple(group for group in row["group"].split(";") if group)
    return groups or (name,)


def _refusal(name: str) -> str:
    return ADDRESS if _ADDRESS.match(name) else OUTSIDE


def _below(folder: Path, name: str) -> str:
    """A name as a path from the folder of the table on, or nothing where it leads outside."""
    slashed = name.replace("\\", "/")
    is_foreign = _DRIVE.match(name) or _ADDRESS.match(name)
    if is_foreign or ".." in PurePosixPath(slashed).parts:
        return ""
    if not slashed.startswith("/"):
        return name
    try:
        return str(PurePosixPath(name).relative_to(folder))
    except ValueError:
        return ""


def _locate(folder: Path, written: str, members: MembersOf) -> str:
    """The image beside the table, or in the zip named like its first folder.

    A missing one is noticed on reading. `members` holds, for each zip, its members by the names
    that a table may give them.
    """
    name = plain_name(written)
    top, _, rest = name.partition("/")
    archive = folder / f"{top}.zip"
    is_packed = bool(rest) and archive.is_file() and not (folder / top).is_dir()
    if not is_packed:
        return _find_file(folder, written)
    if archive not in members:
        members[archive] = _members_by_name(archive)
    inside = members[archive]
    member = inside.get(rest) or inside.get(name, name)
    return f"{archive}{SEPARATOR}{member}"


def _find_file(folder: Path, written: str) -> str:
    """The file of a name, which Windows may have written with its own separator and letters."""
    plain = os.path.join(folder, plain_name(written))
    is_simple = written.isascii() and "\\" not in written
    if is_simple or os.path.lexists(plain):
        return plain
    raw = written.encode("utf-8", "surrogateescape")
    of_windows = raw.decode("cp1252", "replace")
    for other in (os.path.join(folder, written), os.path.join(folder, plain_name(of_windows))):
        if os.path.lexists(other):
            return other
    return plain


def _members_by_name(archive: Path) -> dict[str, str]:
    try:
        names = zip_images(archive)
    except LabError:
        # Whoever reads a picture opens the zip again, and so learns what is wrong with it.
        return {}
    by_plain_name = {plain_name(member): member for member in names}
    by_own_name = {member: member for member in names}
    return by_plain_name | by_own_name
