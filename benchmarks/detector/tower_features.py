r"""The features of CLIP's tuned tower of all pictures of a manifest, kept in a folder.

    fauxlab models fetch fauxlab-large
    .venv/bin/python -m benchmarks.detector.tower_features faces/manifest.csv tuned features

A picture has up to three views: as it is (clean); of the train split also after random filters and
degradations (changed); of its reals also altered (`fauxlab.transforms.alter`). FOLDER gets a file
for each PART pictures of a view; the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fauxlab.bundle.tower import describe_tokens
from fauxlab.bundle.tower_session import SIZE, Tower
from fauxlab.bundle.tower_store import read_tower
from fauxlab.data.cache import ImageArray, load_images
from fauxlab.data.manifest import Manifest
from fauxlab.transforms.alter import alter_batch
from fauxlab.transforms.degradations import degrade_batch, filter_batch

PART = 256  # pictures in a file of features
CLEAN, CHANGED, ALTERED = "clean", "changed", "altered"
VIEWS = (CLEAN, CHANGED, ALTERED)
DEGRADED = 0.5  # share of the changed and altered pictures

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


class Table(NamedTuple):
    """Features of views of pictures, one row each."""

    features: Floats  # [N, 6656]
    kinds: NDArray[np.str_]
    groups: NDArray[np.str_]
    splits: NDArray[np.str_]
    sorts: NDArray[np.str_]  # "", made, altered
    views: NDArray[np.str_]

    def where(self, rows: Bools) -> Table:
        """The rows for which `rows` is true."""
        return Table(*[column[rows] for column in self])

    @property
    def is_real(self) -> Bools:
        """Which rows show a real photo as it was taken, changed or not."""
        return self.sorts == ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("tuned", type=Path, help="folder of layer_norms.npz")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--views", default=",".join(VIEWS))
    options = parser.parse_args()
    extract(options)


def extract(options: argparse.Namespace) -> None:
    """Write the features of all views, part by part."""
    options.folder.mkdir(parents=True, exist_ok=True)
    manifest = Manifest.load(options.manifest)
    images = load_images(manifest, SIZE)
    tower = Tower(read_tower(), read_layer_norms(options.tuned))
    for view in options.views.split(","):
        rows = rows_of_view(images.manifest, view)
        for start in range(0, len(rows), PART):
            path = options.folder / f"{view}-{start // PART:03d}.npz"
            if path.exists():
                continue
            part = rows[start : start + PART]
            pixels = show(images, part, view)
            described = [describe_tokens(tower.run(picture)) for picture in pixels]
            temporary = path.with_suffix(".tmp.npz")
            keys = [images.manifest.rows[i].image_hash for i in part]
            np.savez(temporary, keys=keys, features=np.stack(described).astype(np.float16))
            temporary.rename(path)
            print(f"{view}: {start + len(part):,} of {len(rows):,}", flush=True)


def rows_of_view(manifest: Manifest, view: str) -> NDArray[np.int64]:
    """All pictures as they are; changed ones of the train split; altered ones of its reals."""
    rows = []
    for number, row in enumerate(manifest.rows):
        is_wanted = view == CLEAN or row.split == "train"
        if view == ALTERED:
            is_wanted = is_wanted and not row.label
        if is_wanted:
            rows.append(number)
    return np.array(rows)


def show(images: ImageArray, rows: NDArray[np.int64], view: str) -> NDArray[np.uint8]:
    """The pixels of these rows in a view; the same for the same rows."""
    pixels = images.take(rows)
    if view == CLEAN:
        return pixels
    seeds = rows.astype(np.int64)
    if view == ALTERED:
        pixels = alter_batch(pixels, seeds + 10**6)
    else:
        pixels = filter_batch(pixels, seeds + 2 * 10**6)
    draws = np.random.default_rng(int(rows[0])).random(len(rows))
    chosen = np.flatnonzero(draws < DEGRADED)
    changed = np.array(pixels)
    changed[chosen] = degrade_batch(changed[chosen], seeds[chosen])
    return changed


def read_layer_norms(folder: Path) -> dict[str, Floats]:
    with np.load(folder / "layer_norms.npz", allow_pickle=False) as arrays:
        return {name: arrays[name].astype(np.float32) for name in arrays.files}


def read_table(manifest: Manifest, folder: Path) -> Table:
    """The features of all parts, with what the manifest says of their pictures."""
    known = {row.image_hash: row for row in manifest.rows}
    columns: list[list[str]] = [[], [], [], [], []]
    features = []
    for path in sorted(folder.glob("*-???.npz")):
        view = path.name.split("-")[0]
        with np.load(path, allow_pickle=False) as part:
            keys = part["keys"].tolist()
            features.append(part["features"].astype(np.float32))
        for key in keys:
            row = known[key]
            sort = "altered" if view == ALTERED else row.manipulation
            values = (row.kind, row.group, row.split, sort, view)
            for column, value in zip(columns, values, strict=True):
                column.append(value)
    return Table(np.concatenate(features), *[np.array(column) for column in columns])


if __name__ == "__main__":
    main()
