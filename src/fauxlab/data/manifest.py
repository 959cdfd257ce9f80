"""The manifest: one row an image, the table from which all training and evaluation starts."""

from __future__ import annotations

import csv
import hashlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.data.layouts import LABELS, name_columns
from fauxlab.data.split import FRACTIONS, SPLITS, assign_splits
from fauxlab.errors import LabError, suggest
from fauxlab.io.text import csv_line, printable, replace_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLUMNS = ("path", "label", "generator", "source", "group", "split", "sha256")
REQUIRED = tuple(c for c in COLUMNS if c != "source")
SKIPPED_COLUMNS = ("path", "reason")


@dataclass(frozen=True, slots=True)
class Row:
    """One image. `label` 1 is fake.

    `source` of a real image is the collection it comes from; of a fake one the collections of reals
    that it may fairly be compared with, separated by `;` (empty: all).
    """

    path: str
    label: int
    generator: str
    source: str
    group: str
    split: str
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """Rows, the folder that relative paths start from, and what indexing had to leave out (path,
    reason).
    """

    rows: tuple[Row, ...]
    root: Path
    skipped: tuple[tuple[str, str], ...] = field(default=())

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def generators(self) -> list[str]:
        """Names of the fakes' generators, in order of first appearance."""
        return list(dict.fromkeys(row.generator for row in self.rows if row.label))

    @property
    def sources(self) -> list[str]:
        """Names of the reals' collections, in order of first appearance."""
        return list(dict.fromkeys(row.source for row in self.rows if not row.label))

    @property
    def labels(self) -> NDArray[np.int64]:
        """int64 [N], 1 = fake."""
        return np.array([row.label for row in self.rows], dtype=np.int64)

    @property
    def data_hash(self) -> str:
        """16 hex digits over content, labels, groups and splits; independent of where the files
        lie.
        """
        digest = hashlib.sha256()
        for row in self.rows:
            digest.update(
                "\t".join(
                    (
                        row.sha256,
                        str(row.label),
                        row.generator,
                        row.source,
                        row.group,
                        row.split,
                        "\n",
                    )
                ).encode("utf-8", "surrogateescape")
            )
        return digest.hexdigest()[:16]

    def resolve(self, row: Row) -> str:
        """Where the row's image lies: an absolute path, or `archive.zip!/member`."""
        return os.path.join(self.root, row.path)

    def matched_reals(self, generator: str) -> list[str]:
        """Sources of the reals that a generator's fakes are compared with: all where its rows name
        none.

        Empty where none of those that they name is in this manifest: others would differ in more
        than being real.
        """
        named = self._named_reals(generator)
        return [s for s in self.sources if not named or s in named]

    def missing_reals(self) -> dict[str, list[str]]:
        """By generator, the sources that its fakes name and of which there is no real image here."""
        known = set(self.sources)
        missing = {
            name: [s for s in self._named_reals(name) if s not in known] for name in self.generators
        }
        return {name: sources for name, sources in missing.items() if sources}

    def _named_reals(self, generator: str) -> list[str]:
        named = (
            s
            for row in self.rows
            if row.label and row.generator == generator
            for s in row.source.split(";")
        )
        return [s for s in dict.fromkeys(named) if s]

    def where(self, keep: Callable[[Row], bool]) -> Manifest:
        """The rows for which `keep` holds."""
        return replace(self, rows=tuple(row for row in self.rows if keep(row)))

    def reals(self, *sources: str) -> Manifest:
        """The real images of the named collections, or of all. Raises LabError on a name that is
        not there.
        """
        for name in sources:
            if name not in self.sources:
                raise LabError(
                    f"no real source {name!r} in the manifest; it has {', '.join(self.sources) or 'none'}"
                )
        return self.where(lambda row: not row.label and (not sources or row.source in sources))

    def in_split(self, *names: str) -> Manifest:
        """The rows of the named splits. Raises LabError when no row has been given a split yet."""
        if self.rows and not any(row.split for row in self.rows):
            raise LabError(
                "this manifest has no splits; assign them with Manifest.split or `fauxlab data index`"
            )
        return self.where(lambda row: row.split in names)

    @property
    def train(self) -> Manifest:
        """Rows to fit weights on."""
        return self.in_split("train")

    @property
    def val(self) -> Manifest:
        """Rows to choose a checkpoint on."""
        return self.in_split("val")

    @property
    def calibration(self) -> Manifest:
        """Rows to fit scores and thresholds on."""
        return self.in_split("calibration")

    @property
    def test(self) -> Manifest:
        """Rows to report on, and for nothing else."""
        return self.in_split("test")

    def split(
        self, seed: int = 0, fractions: Sequence[float] = FRACTIONS, earlier: Manifest | None = None
    ) -> Manifest:
        """Assign train, val, calibration and test by whole groups, stratified by generator and
        source.

        Images that `earlier` holds, or others of whose group it holds, stay in its splits, so that
        nothing a model learned from gets among its tests: not with other bytes, and no other
        picture of a person either. Where a new image ties some of different splits together, all go
        to the first of those: training before the rest, test last.
        """
        check_fractions(fractions)
        if seed < 0:
            raise LabError(f"split seed {seed}: give 0 or more")
        before = [row for row in earlier.rows if row.split] if earlier else []
        by_content, by_group = (
            {getattr(row, key): row.split for row in before} for key in ("sha256", "group")
        )
        placed: dict[Hashable, str] = {}
        for row in self.rows:
            for split in (by_content.get(row.sha256), by_group.get(row.group)):
                if split:
                    placed[row.group] = min(
                        placed.get(row.group, SPLITS[-1]), split, key=SPLITS.index
                    )
        strata = [row.generator if row.label else f"real {row.source}" for row in self.rows]
        names = assign_splits([row.group for row in self.rows], strata, fractions, seed, placed)
        rows = tuple(replace(row, split=name) for row, name in zip(self.rows, names, strict=True))
        return replace(self, rows=rows)

    def pair(self, reals: Mapping[str, Sequence[str]]) -> Manifest:
        """Set which real sources each named generator's fakes are compared with. Raises LabError on
        unknown names.
        """
        check_pairs(reals, self.generators, self.sources)
        return replace(
            self,
            rows=tuple(
                replace(row, source=";".join(reals[row.generator]))
                if row.label and row.generator in reals
                else row
                for row in self.rows
            ),
        )

    def counts(self) -> Counter[tuple[str, str]]:
        """Number of images by (generator, or `real <source>`; split)."""
        return Counter(
            (row.generator if row.label else f"real {row.source}", row.split) for row in self.rows
        )

    def save(self, path: str | Path) -> None:
        """Write the table as CSV, whole or not at all; paths are relative where the data lies below
        it.
        """
        path = Path(path)
        prefix = self._prefix(path)
        lines = [csv_line(COLUMNS)]
        for row in self.rows:
            label = ("real", "fake")[row.label]
            place = os.path.join(prefix, row.path)
            lines.append(
                csv_line(
                    (place, label, row.generator, row.source, row.group, row.split, row.sha256)
                )
            )
        replace_file(path, "".join(lines))

    def save_skipped(self, path: str | Path) -> None:
        """Write what indexing left out as CSV (path, reason), with paths as `save` writes them."""
        path = Path(path)
        prefix = self._prefix(path)
        lines = [csv_line((os.path.join(prefix, place), reason)) for place, reason in self.skipped]
        replace_file(path, "".join([csv_line(SKIPPED_COLUMNS), *lines]))

    def _prefix(self, path: Path) -> str | Path:
        """What leads from the folder of a table at `path` to the images' root."""
        base = path.absolute().parent
        inside = self.root.is_relative_to(base)
        return "" if self.root == base else self.root.relative_to(base) if inside else self.root

    @classmethod
    def load(cls, path: str | Path) -> Manifest:
        """Read a manifest CSV. Raises LabError on missing columns, bad labels, splits or hashes, or
        no rows.
        """
        path = Path(path)
        advice = "make one with `fauxlab data index DIR`"
        try:
            mode = path.stat().st_mode
            # a named pipe or device can keep one waiting for ever
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise LabError(f"manifest {printable(path)} is not a regular file; {advice}")
            with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
                reader = csv.DictReader(stream, restval="")
                rows = tuple(_parse(path, reader.fieldnames, reader))
        except OSError as error:
            raise LabError(
                f"cannot read manifest {printable(path)}: {error.strerror}; {advice}"
            ) from error
        except csv.Error as error:
            raise LabError(f"manifest {printable(path)} is not CSV: {error}; {advice}") from error
        if not rows:
            raise LabError(f"manifest {printable(path)} holds no images; {advice}")
        divided = [g for g, splits in _splits_by_group(rows).items() if len(splits) > 1]
        if divided:
            raise LabError(
                f"manifest {printable(path)}: group {divided[0]!r:.80} stands in more than one split ({len(divided)} such "
                "groups); make the split again with `fauxlab data index DIR`"
            )
        return cls(rows, path.absolute().parent)


def check_fractions(fractions: Sequence[float]) -> None:
    """Raise LabError where these are no shares of the four splits."""
    # Asked so that a NaN is refused: it compares with nothing.
    if len(fractions) != len(SPLITS) or not (
        min(fractions) >= 0 and abs(sum(fractions) - 1) < 1e-6
    ):
        raise LabError(
            f"split fractions {list(fractions)}: give four that sum to 1, for {', '.join(SPLITS)}"
        )


def check_pairs(
    reals: Mapping[str, Sequence[str]], generators: Sequence[str], sources: Sequence[str]
) -> None:
    """Raise LabError where a pair (generator, sources of reals) names what is not among these."""
    for name, named in reals.items():
        for word, known, kind in (
            (name, generators, "generator"),
            *((s, sources, "source") for s in named),
        ):
            if word not in known:
                there = ", ".join(map(printable, known)) or "none"
                raise LabError(
                    f"no {kind} {word!r} to pair; there are {there}{suggest(word, known)}"
                )


def _splits_by_group(rows: Sequence[Row]) -> dict[str, set[str]]:
    splits: dict[str, set[str]] = {}
    for row in rows:
        splits.setdefault(row.group, set()).add(row.split)
    return splits


def _parse(
    path: Path, columns: Sequence[str] | None, reader: Iterable[dict[str, str]]
) -> Iterator[Row]:
    missing = [c for c in REQUIRED if c not in (columns or ())]
    if missing:
        raise LabError(
            f"manifest {printable(path)} lacks the column {', '.join(missing)} (its first line: {name_columns(columns)}); "
            "make one with `fauxlab data index DIR`"
        )
    for number, row in enumerate(reader, start=2):
        label = LABELS.get(row["label"].strip().lower())
        problem = (
            f"label {row['label']!r:.80}, expected real or fake"
            if label is None
            else f"split {row['split']!r:.80}, expected one of {', '.join(SPLITS)}"
            if row["split"] not in ("", *SPLITS)
            else f"sha256 {row['sha256']!r:.80} is not 64 hex digits"
            if not _is_sha256(row["sha256"].lower())
            else "a fake without generator"
            if label and not row["generator"]
            else "no path"
            if not row["path"]
            else "no group"
            if not row["group"]
            else ""
        )
        if problem or label is None:
            raise LabError(f"manifest {printable(path)}, line {number}: {problem}")
        source = printable(row.get("source") or ("" if label else "real"))
        generator = printable(row["generator"]) if label else ""
        yield Row(
            row["path"], label, generator, source, row["group"], row["split"], row["sha256"].lower()
        )


def _is_sha256(text: str) -> bool:
    return len(text) == 64 and all(c in "0123456789abcdef" for c in text)
