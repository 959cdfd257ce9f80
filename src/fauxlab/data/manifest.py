"""The manifest: one row an image, the table from which all training and evaluation starts."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.data.naming import SourcesOf, check_altered, check_pairs, list_compared
from fauxlab.data.rows import (
    COLUMNS,
    CROP_COLUMNS,
    REQUIRED,
    Row,
    hash_rows,
    place_groups,
    read_rows,
)
from fauxlab.data.saving import SKIPPED_COLUMNS, save_rows, save_skipped
from fauxlab.data.split import (
    FRACTIONS,
    assign_splits,
    check_fractions,
    describe_uneven,
)
from fauxlab.errors import LabError
from fauxlab.io.sources import SEPARATOR

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "COLUMNS",
    "REQUIRED",
    "SKIPPED_COLUMNS",
    "Manifest",
    "Row",
    "check_fractions",
]

Skipped = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Manifest:
    """Rows, the folder that their relative paths start from, and what indexing left out.

    `skipped` holds a path and a reason for each image that was left out.

    >>> manifest = Manifest.load("manifest.csv")  # doctest: +SKIP
    >>> len(manifest.test), manifest.generators  # doctest: +SKIP
    (41, ['inpainting', 'insight', 'text2img'])
    """

    rows: tuple[Row, ...]
    root: Path
    skipped: Skipped = ()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the table: the known ones, those of crops, and further ones."""
        further = _distinct(name for row in self.rows for name in row.extra)
        crop = CROP_COLUMNS if self.has_crops else ()
        return (*COLUMNS, *crop, *further)

    @property
    def has_crops(self) -> bool:
        """Whether a square stands for any of the images in place of the whole picture."""
        return any(row.crop for row in self.rows)

    @property
    def generators(self) -> list[str]:
        """Names of the fakes' generators, in order of first appearance; no pseudo-fakes'."""
        return list(self._reals_of)

    @property
    def sources(self) -> list[str]:
        """Names of the reals' collections, in order of first appearance."""
        return list(self._sources)

    @property
    def labels(self) -> NDArray[np.int64]:
        """int64 [N], 1 = fake."""
        labels = [row.label for row in self.rows]
        return np.array(labels, dtype=np.int64)

    @property
    def groups(self) -> NDArray[np.str_]:
        """Text [N], the name of each row's group."""
        return np.array([row.group for row in self.rows], dtype=np.str_)

    @property
    def data_hash(self) -> str:
        """16 hex digits over everything that a result depends on, wherever the files lie.

        That is the content, label, generator, group and split of each image, the source of a real
        one, what a fake one is compared to, whether it is altered, and the crop. Other columns only
        describe.
        """
        return hash_rows(self.rows)

    def resolve(self, row: Row) -> str:
        r"""Where the row's image lies: an absolute path, or `archive.zip!/member`.

        A path that Windows wrote, as `img\1.jpg`, is found as well.
        """
        path = os.path.join(self.root, row.path)
        is_windows = "\\" in row.path and SEPARATOR not in row.path and not os.path.lexists(path)
        if is_windows:
            return os.path.join(self.root, row.path.replace("\\", "/"))
        return path

    def matched_reals(self, generator: str) -> list[str]:
        """Sources of the reals that a generator's fakes are compared with.

        All sources where its rows name none. No source where they name only ones that are not in
        this manifest: others would differ in more than being real.
        """
        named = self._reals_of.get(generator)
        if not named:
            return self.sources
        # In the order of the sources, without a look at each of them for a few names.
        present = [name for name in named if name in self._sources]
        return sorted(present, key=self._sources.__getitem__)

    def names_reals(self, generator: str) -> bool:
        """Whether fakes of a generator name the reals that they may be compared with."""
        return bool(self._reals_of.get(generator))

    def missing_reals(self) -> dict[str, list[str]]:
        """By generator, the sources that its fakes name and of which no real image is here."""
        missing: dict[str, list[str]] = {}
        for generator, named in self._reals_of.items():
            unknown = [name for name in named if name not in self._sources]
            if unknown:
                missing[generator] = unknown
        return missing

    @cached_property
    def _sources(self) -> dict[str, int]:
        """The sources of reals, numbered in order of first appearance."""
        reals = [row for row in self.rows if not row.label and not row.is_pseudo]
        names = _distinct(row.source for row in reals)
        return {name: number for number, name in enumerate(names)}

    @cached_property
    def _reals_of(self) -> dict[str, list[str]]:
        """The sources that the fakes of each generator name, from one pass over the rows."""
        fakes = [row for row in self.rows if row.label and not row.is_pseudo]
        return list_compared(fakes)

    def where(self, keep: Callable[[Row], bool]) -> Manifest:
        """The rows for which `keep` holds."""
        rows = tuple(row for row in self.rows if keep(row))
        return replace(self, rows=rows)

    def without_pseudo(self) -> Manifest:
        """The rows to measure on: without real photos that were changed to train on."""
        if not any(row.is_pseudo for row in self.rows):
            return self
        return self.where(lambda row: not row.is_pseudo)

    def reals(self, *sources: str) -> Manifest:
        """The real images of the named collections, or of all.

        Raises LabError on a name that is not there.
        """
        for name in sources:
            if name not in self._sources:
                there = ", ".join(self.sources) or "none"
                raise LabError(f"no real source {name!r} in the manifest; it has {there}")
        wanted = frozenset(sources or self._sources)
        return self.where(lambda row: not row.label and row.source in wanted)

    def in_split(self, *names: str) -> Manifest:
        """The rows of the named splits. Raises LabError when no row has a split yet."""
        has_splits = any(row.split for row in self.rows)
        if self.rows and not has_splits:
            raise LabError(
                "this manifest has no splits; "
                "assign them with Manifest.split or `fauxlab data index`"
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
        self,
        seed: int = 0,
        fractions: Sequence[float] = FRACTIONS,
        earlier: Manifest | None = None,
    ) -> Manifest:
        """Assign train, val, calibration and test by whole groups.

        The splits are stratified by generator and source. Images that `earlier` holds stay in its
        splits, and so does every other image of a group that it holds. So nothing that a model
        learned from gets among its tests: not with other bytes, and no other picture of the same
        person. Where a new image ties groups of different splits together, all go to the split that
        comes first in the order above.
        """
        check_fractions(fractions)
        if seed < 0:
            raise LabError(f"split seed {seed}: give 0 or more")
        groups = [row.group for row in self.rows]
        strata = [_kind(row) for row in self.rows]
        earlier_rows = earlier.rows if earlier else ()
        placed = place_groups(self.rows, earlier_rows)
        splits = assign_splits(groups, strata, fractions, seed, placed)
        rows = []
        for row, split in zip(self.rows, splits, strict=True):
            rows.append(replace(row, split=split))
        return replace(self, rows=tuple(rows))

    def pair(self, reals: SourcesOf) -> Manifest:
        """Set which sources of reals each named generator's fakes are compared to.

        Raises LabError on unknown names.
        """
        if not reals:
            return self
        check_pairs(reals, self.generators, self.sources)
        rows = []
        for row in self.rows:
            if row.label and row.generator in reals:
                named = ";".join(reals[row.generator])
                rows.append(replace(row, compare_to=named))
            else:
                rows.append(row)
        return replace(self, rows=tuple(rows))

    def mark_altered(self, generators: Sequence[str]) -> Manifest:
        """Say that the fakes of these generators are real photos that were altered inside.

        Raises LabError on unknown names.
        """
        check_altered(generators, self.generators)
        rows = []
        for row in self.rows:
            is_named = row.label and row.generator in generators
            rows.append(replace(row, manipulation="altered") if is_named else row)
        return replace(self, rows=tuple(rows))

    def describe_uneven(self, fractions: Sequence[float] = FRACTIONS) -> list[str]:
        """Warnings where large groups keep the splits from having nearly these shares."""
        splits = [row.split for row in self.rows]
        return describe_uneven(self.groups.tolist(), splits, fractions)

    def counts(self) -> Counter[tuple[str, str]]:
        """Number of images by (generator, or `real <source>`; split)."""
        return Counter((_kind(row), row.split) for row in self.rows)

    def save(self, path: str | Path) -> None:
        """Write the table as CSV, as a whole or not at all.

        Paths are relative where the images lie below the folder of the table.
        """
        save_rows(Path(path), self.root, self.columns, self.rows)

    def save_skipped(self, path: str | Path) -> None:
        """Write what indexing left out as CSV (path, reason), with paths as `save` writes them."""
        save_skipped(Path(path), self.root, self.skipped)

    @classmethod
    def load(cls, path: str | Path) -> Manifest:
        """Read a manifest's CSV file.

        Raises LabError on missing columns, bad cells, a group in two splits, or where there is no
        row.
        """
        path = Path(path)
        return cls(read_rows(path), path.absolute().parent)


def _distinct(names: Iterable[str]) -> list[str]:
    """Each name once, in order of first appearance."""
    return list(dict.fromkeys(names))


def _kind(row: Row) -> str:
    """The generator of a fake; "real" and the source of a real."""
    if row.label:
        return row.generator
    return f"real {row.source}"
