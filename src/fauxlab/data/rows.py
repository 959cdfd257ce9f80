"""One row of the manifest: its columns, and how it is read from the file."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fauxlab.data.split import SPLITS
from fauxlab.data.tables import (
    Cells,
    Manipulation,
    find_delimiter,
    further_columns,
    name_columns,
    open_table,
    parse_label,
    parse_manipulation,
    read_lines,
    read_sources,
    refuse_repeated,
)
from fauxlab.errors import LabError
from fauxlab.io.squares import TURNS, Square
from fauxlab.io.text import printable

COLUMNS = (
    "path",
    "label",
    "generator",
    "manipulation",
    "source",
    "compare_to",
    "group",
    "split",
    "sha256",
)
# Only where a picture has a crop.
CROP_COLUMNS = ("crop_left", "crop_top", "crop_side", "crop_turn")
OWN_COLUMNS = (*COLUMNS, *CROP_COLUMNS)
REQUIRED = ("path", "label", "generator", "group", "split", "sha256")
_ADVICE = "make one with `fauxlab data index DIR`"


@dataclass(frozen=True, slots=True)
class Row:
    """One image. `label` 1 is fake.

    `manipulation`, of a fake, is "made" if a generator made the whole picture, and "altered" if a
    real photo was altered inside; "made" where nothing is said. `source` says where the picture
    comes from; for a real image it is the name of its collection. `compare_to`, of a fake, names
    the sources of reals that it may fairly be compared with, separated by `;`; empty means all
    reals. `extra` holds the further columns by name. `crop` is the square of the decoded picture
    that stands for it; None for the whole picture.
    """

    path: str
    label: int
    generator: str
    source: str
    compare_to: str
    group: str
    split: str
    sha256: str
    extra: Mapping[str, str] = field(default_factory=dict, hash=False)
    manipulation: Manipulation = ""
    crop: Square | None = None

    def __post_init__(self) -> None:
        if self.label and not self.manipulation:
            object.__setattr__(self, "manipulation", "made")

    @property
    def kind(self) -> str:
        """The generator of a fake, the source of a real image."""
        return self.generator if self.label else self.source

    @property
    def is_pseudo(self) -> bool:
        """Whether it is a real photo changed to train on, which takes part in nothing else.

        The further column `pseudo` says how it was changed.
        """
        return bool(self.extra.get("pseudo"))

    @property
    def image_hash(self) -> str:
        """64 hex digits that tell what is seen of the picture: its content, and its crop if any."""
        if self.crop is None:
            return self.sha256
        seen = f"{self.sha256} {' '.join(map(str, self.crop))}"
        return hashlib.sha256(seen.encode()).hexdigest()

    def cells(self, columns: Sequence[str]) -> list[str]:
        """The values of the named columns, as the file writes them."""
        values = {
            **self.extra,
            "path": self.path,
            "label": "fake" if self.label else "real",
            "generator": self.generator,
            "manipulation": self.manipulation,
            "source": self.source,
            "compare_to": self.compare_to,
            "group": self.group,
            "split": self.split,
            "sha256": self.sha256,
        }
        if self.crop is not None:
            numbers = map(str, self.crop)
            values.update(zip(CROP_COLUMNS, numbers, strict=True))
        return [values.get(column, "") for column in columns]


def read_rows(path: Path) -> tuple[Row, ...]:
    """The rows of a manifest's file.

    Raises LabError on missing columns, bad cells, a group in two splits, or where there is no row.
    """
    try:
        stream = open_table(path, "manifest")
    except LabError as error:
        raise LabError(f"{error}; or {_ADVICE}") from error
    try:
        with stream:
            delimiter = find_delimiter(stream, REQUIRED)
            reader = csv.DictReader(read_lines(stream, path), restval="", delimiter=delimiter)
            _check_columns(path, reader.fieldnames)
            rows = tuple(_parse(path, reader))
    except OSError as error:
        reason = error.strerror or error
        raise LabError(f"cannot read manifest {printable(path)}: {reason}; {_ADVICE}") from error
    except csv.Error as error:
        raise LabError(f"manifest {printable(path)} is not CSV: {error}; {_ADVICE}") from error
    if not rows:
        raise LabError(f"manifest {printable(path)} holds no images; {_ADVICE}")
    divided = _divided_groups(rows)
    if divided:
        raise LabError(
            f"manifest {printable(path)}: group {divided[0]!r:.80} stands in more than one split "
            f"({len(divided)} such groups); make the split again with `fauxlab data index DIR`"
        )
    return rows


def place_groups(rows: Sequence[Row], earlier: Sequence[Row]) -> dict[Hashable, str]:
    """The split of each group that holds an image, or is a group, of earlier rows."""
    by_content: dict[str, str] = {}
    by_group: dict[str, str] = {}
    for row in earlier:
        if row.split:
            by_content[row.sha256] = row.split
            by_group[row.group] = row.split
    placed: dict[Hashable, str] = {}
    for row in rows:
        split_of_content = by_content.get(row.sha256)
        split_of_group = by_group.get(row.group)
        for split in (split_of_content, split_of_group):
            if split:
                # The split nearest to training wins.
                so_far = placed.get(row.group, SPLITS[-1])
                placed[row.group] = min(so_far, split, key=SPLITS.index)
    return placed


def hash_rows(rows: Iterable[Row]) -> str:
    """16 hex digits over what a result depends on: see `Manifest.data_hash`."""
    digest = hashlib.sha256()
    for row in rows:
        reals = row.compare_to if row.label else row.source
        fields = [
            row.image_hash,
            str(row.label),
            row.generator,
            reals,
            row.group,
            row.split,
        ]
        # Only where it says more than the tables of before 0.4, whose hashes stay.
        if row.manipulation == "altered":
            fields.append(row.manipulation)
        line = "\t".join([*fields, "\n"])
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def _check_columns(path: Path, columns: Sequence[str] | None) -> None:
    missing = [column for column in REQUIRED if column not in (columns or ())]
    if missing:
        raise LabError(
            f"manifest {printable(path)} lacks the column {', '.join(missing)} "
            f"(its first line: {name_columns(columns)}); {_ADVICE}"
        )
    refuse_repeated(path, columns or ())


def _parse(path: Path, table: Iterable[dict[str, str]]) -> Iterator[Row]:
    for number, cells in enumerate(table, start=2):
        label = parse_label(cells["label"])
        problem = _find_problem(cells, label)
        if problem or label is None:
            raise LabError(f"manifest {printable(path)}, line {number}: {problem}")
        try:
            manipulation = parse_manipulation(cells, label)
            crop = _parse_crop(cells)
        except ValueError as error:
            raise LabError(f"manifest {printable(path)}, line {number}: {error}") from None
        source, compare_to = read_sources(cells, label)
        if not label and not source:
            source = "real"
        yield Row(
            path=cells["path"],
            label=label,
            generator=printable(cells["generator"]) if label else "",
            source=source,
            compare_to=compare_to,
            group=cells["group"],
            split=cells["split"],
            sha256=cells["sha256"].lower(),
            extra=further_columns(cells, OWN_COLUMNS),
            manipulation=manipulation,
            crop=crop,
        )


def _find_problem(cells: Cells, label: int | None) -> str:
    """What is wrong with a line of the file, or nothing."""
    if label is None:
        return f"label {cells['label']!r:.80}, expected real or fake"
    if cells["split"] not in ("", *SPLITS):
        return f"split {cells['split']!r:.80}, expected one of {', '.join(SPLITS)}"
    if not _is_sha256(cells["sha256"].lower()):
        return f"sha256 {cells['sha256']!r:.80} is not 64 hex digits"
    if label and not cells["generator"]:
        return "a fake without generator"
    for column in ("path", "group"):
        if not cells[column]:
            return f"no {column}"
    return ""


def _parse_crop(cells: Cells) -> Square | None:
    """The crop of a line of the file. Raises ValueError where its columns hold no square."""
    texts = [cells.get(column, "").strip() for column in CROP_COLUMNS]
    if not any(texts):
        return None
    are_numbers = all(text.isascii() and text.isdigit() and len(text) < 10 for text in texts)
    crop = Square(*map(int, texts)) if are_numbers else None
    if crop is None or crop.side < 1 or crop.turn not in TURNS:
        raise ValueError(
            f"crop {' '.join(texts)!r:.80}, expected left, top and side in pixels, and a turn of "
            "0, 90, 180 or 270"
        )
    return crop


def _is_sha256(text: str) -> bool:
    has_64 = len(text) == 64
    are_hex = all(digit in "0123456789abcdef" for digit in text)
    return has_64 and are_hex


def _divided_groups(rows: Iterable[Row]) -> list[str]:
    """The groups that stand in more than one split."""
    splits: dict[str, set[str]] = {}
    for row in rows:
        splits_of_group = splits.setdefault(row.group, set())
        splits_of_group.add(row.split)
    return [group for group in splits if len(splits[group]) > 1]
