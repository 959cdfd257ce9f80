"""Samples of a generator as the fakes of a data set, beside reals they can be compared with.

This closes the loop between the lab's halves: the samples become one more generator in a manifest,
so that a detector can be tested on, and trained with, fakes that it has never seen.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.data.cache import load_images
from fauxlab.data.indexing import Progress
from fauxlab.data.manifest import Manifest, Row
from fauxlab.data.split import connected_components, near_duplicates
from fauxlab.errors import LabError
from fauxlab.io.images import fingerprint, to_picture
from fauxlab.io.marking import Mark, save_jpeg
from fauxlab.io.text import hash_file
from fauxlab.models.pretrained import Generator
from fauxlab.sample.folder import begin_marking, claim_folder
from fauxlab.sample.images import check_count, check_latents, draw_batches

if TYPE_CHECKING:
    from numpy.typing import NDArray

Skipped = tuple[tuple[str, str], ...]  # path and reason
GENERATOR_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def write_dataset(
    generator: Generator,
    folder: str | Path,
    n: int,
    name: str,
    beside: Manifest | None = None,
    *,
    quality: int = 92,
    first_seed: int = 0,
    split_seed: int = 0,
    truncation: float = 1.0,
    mark: bool = True,
    keep: bool = False,
    progress: Progress | None = None,
) -> Manifest:
    """Write n samples as the fakes of generator `name`, with manifest.csv; returns that manifest.

    `beside` holds the generator's training data. Its real images of the collections that the
    generator learned from (all, where the bundle names none) are written again as
    `real/<source>-<size>px/`. They get the same crop, resize and encoder as the fakes, so that size
    and compression give no label away, and the fakes name them as the reals to be compared with.
    They keep their groups and splits. `joint.csv` then lists these images and all of `beside`. The
    copies of real images are for this machine only: most data sets may not be passed on.

    Fakes that look alike are split as one group, so that a generator that repeats itself is not
    tested on its training images. Only fakes carry a mark, as metadata that no detector of this lab
    sees. With `keep`, a folder that holds this very data set already, whole, stays as it is:
    another version's mark would change the bytes of each picture. `progress` is called with the
    number of images just decoded or written. Raises LabError, before anything is written, on values
    out of range, a name that is taken or no plain name, reals that `beside` lacks, and a folder
    that holds anything else.
    """
    folder = Path(folder).absolute()
    check_count(n)
    seeds = range(first_seed, first_seed + n)
    check_latents(seeds, truncation)
    _check_request(name, quality, beside)
    reals = None if beside is None else training_reals(generator, beside)
    contents = {
        "kind": "data set",
        "model_hash": generator.hash,
        "truncation": truncation,
        "marked": mark,
        "name": name,
        "n": n,
        "first_seed": first_seed,
        "split_seed": split_seed,
        "quality": quality,
        "beside": None if beside is None else beside.data_hash,
    }
    claim_folder(folder, contents, ["fake", "real", "manifest.csv", "joint.csv"])
    present = _read_whole(folder, beside) if keep else None
    if present is not None:
        return present
    own_mark = begin_marking(generator, folder, n, mark)
    rows: list[Row] = []
    skipped: Skipped = ()
    if beside is not None and reals is not None:
        copies = _Copies(folder, generator.config.size, quality, progress)
        rows, skipped = copies.write(reals, taken=beside.sources)
    compare_to = ";".join(dict.fromkeys(row.source for row in rows))
    writer = _FakeWriter(folder, name, compare_to, own_mark, quality)
    for batch, pixels in draw_batches(generator, seeds, truncation):
        writer.write(batch, pixels)
        if progress:
            progress(len(batch))
    fakes = Manifest(tuple(writer.grouped_rows()), folder)
    fakes = fakes.split(split_seed)
    manifest = Manifest((*rows, *fakes.rows), folder, skipped)
    manifest.save(folder / "manifest.csv")
    if beside is not None:
        joint = _join(beside, manifest)
        joint.save(folder / "joint.csv")
    return manifest


def _read_whole(folder: Path, beside: Manifest | None) -> Manifest | None:
    """The data set in a folder whose files are all as they were written; None for any other."""
    written_last = folder / ("manifest.csv" if beside is None else "joint.csv")
    if not written_last.is_file():
        return None
    try:
        manifest = Manifest.load(folder / "manifest.csv")
        unchanged = all(hash_file(folder / row.path) == row.sha256 for row in manifest.rows)
    except LabError:
        return None
    return manifest if unchanged else None


def training_reals(generator: Generator, beside: Manifest, instead: str = "") -> Manifest:
    """The real images of the collections that the generator learned from, all splits.

    Raises LabError where one is missing: a distance to other images, or a search for copies among
    them, would mean something else. `instead` is what the message offers besides the manifest.
    """
    wanted = beside.sources
    named = generator.config.training.get("sources")
    if isinstance(named, list) and named:
        wanted = named
    missing = [str(source) for source in wanted if source not in beside.sources]
    if missing or not wanted:
        lacking = ", ".join(missing) or "any"
        present = ", ".join(beside.sources) or "none"
        raise LabError(
            "the manifest lacks the real images that the generator learned from "
            f"({lacking}); it has {present}; give the manifest of its training"
            + (instead and f", {instead}")
        )
    return beside.where(lambda row: not row.label and row.source in wanted)


def _check_request(name: str, quality: int, beside: Manifest | None) -> None:
    if not GENERATOR_NAME.fullmatch(name):
        raise LabError(
            f"generator name {name!r}: up to 64 letters, digits, dots, dashes and underscores"
        )
    if not 1 <= quality <= 100:
        raise LabError(f"JPEG quality {quality}: it must be from 1 to 100")
    if beside is None:
        return
    has_group = any(row.group.startswith(f"{name} seed ") for row in beside.rows)
    if has_group or name in beside.generators:
        raise LabError(f"the manifest has a generator {name!r} already; choose another name")
    if not any(row.split for row in beside.rows):
        raise LabError(
            "the manifest has no splits; assign them with Manifest.split or `fauxlab data index`"
        )


@dataclass(frozen=True)
class _Copies:
    """Writes real images as the fakes are written: same crop, size and encoder."""

    folder: Path
    size: int
    quality: int
    progress: Progress | None

    def write(self, reals: Manifest, taken: Sequence[str]) -> tuple[list[Row], Skipped]:
        """The rows of the copies, and what could not be read; no source gets a name of `taken`."""
        images = load_images(reals, self.size, self.progress)
        names = _name_copies(reals.sources, self.size, taken)
        for name in names.values():
            (self.folder / "real" / name).mkdir(parents=True, exist_ok=True)
        rows = []
        for i, row in enumerate(images.manifest.rows):
            source = names[row.source]
            path = f"real/{source}/{i:06}.jpg"
            (pixels,) = images.take(np.array([i]))
            save_jpeg(self.folder / path, pixels, None, self.quality)
            sha256 = hash_file(self.folder / path)
            copy = replace(row, path=path, source=source, sha256=sha256, crop=None)
            rows.append(copy)
            if self.progress:
                self.progress(1)
        return rows, images.skipped


def _name_copies(sources: Sequence[str], size: int, taken: Sequence[str]) -> dict[str, str]:
    """By source the name of its copies, each used only once."""
    names: dict[str, str] = {}
    for source in sources:
        # The name becomes a folder, and `;` separates sources: only letters and digits are safe.
        plain = re.sub(r"[^A-Za-z0-9-]", "_", source)
        name = f"{plain[:64]}-{size}px"
        while name in taken or name in names.values():
            name += "_"
        names[source] = name
    return names


@dataclass
class _FakeWriter:
    """Writes fakes, and collects what is needed to group those that look alike."""

    folder: Path
    name: str
    compare_to: str  # the sources of the reals to compare with
    mark: Mark | None
    quality: int
    rows: list[Row] = field(default_factory=list)
    keys: list[list[tuple[object, ...]]] = field(default_factory=list)
    fingerprints: dict[int, NDArray[np.bool_]] = field(default_factory=dict)

    def write(self, seeds: Sequence[int], pixels: NDArray[np.uint8]) -> None:
        """Write one batch of images [N, 3, size, size]."""
        fakes = self.folder / "fake" / self.name
        fakes.mkdir(parents=True, exist_ok=True)
        for seed, image in zip(seeds, pixels, strict=True):
            path = f"fake/{self.name}/seed{seed:06}.jpg"
            mark = self.mark and replace(self.mark, seed=seed)
            save_jpeg(self.folder / path, image, mark, self.quality)
            picture = to_picture(image)
            bits = fingerprint(picture)
            if bits is not None:
                self.fingerprints[len(self.rows)] = bits
            digest = hashlib.sha256(image.tobytes()).digest()
            self.keys.append([("pixels", digest)])
            row = Row(
                path=path,
                label=1,
                generator=self.name,
                source="",
                compare_to=self.compare_to,
                group=f"{self.name} seed {seed}",
                split="",
                sha256=hash_file(self.folder / path),
            )
            self.rows.append(row)

    def grouped_rows(self) -> list[Row]:
        """The rows, without splits; images that look alike share the group of their first."""
        firsts = connected_components(self.keys, self._pairs())
        grouped = []
        for row, first in zip(self.rows, firsts, strict=True):
            group = self.rows[first].group
            grouped.append(replace(row, group=group))
        return grouped

    def _pairs(self) -> Iterator[tuple[int, int]]:
        """Rows that look alike, one pair at a time: a collapsed generator gives N² of them."""
        if not self.fingerprints:
            return
        numbers = list(self.fingerprints)
        bits = np.stack(list(self.fingerprints.values()))
        for a, b in near_duplicates(bits):
            yield numbers[a], numbers[b]


def _join(beside: Manifest, manifest: Manifest) -> Manifest:
    """The rows of both manifests; those of `beside` with absolute paths."""
    root = beside.root.absolute()
    # Fakes of `beside` that name no reals are compared with all of its reals. The copies are there
    # for the new fakes only.
    all_sources = ";".join(beside.sources)
    joined = []
    for row in beside.rows:
        path = os.path.join(root, row.path)
        compare_to = row.compare_to
        if row.label and not compare_to:
            compare_to = all_sources
        joined.append(replace(row, path=path, compare_to=compare_to))
    return Manifest((*joined, *manifest.rows), manifest.root)
