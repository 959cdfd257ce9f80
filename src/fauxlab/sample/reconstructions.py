"""Real photos through an autoencoder: fakes for training that show a decoder's traces only.

What generators of latents have in common is the network that draws their pictures. A real photo
that was encoded and decoded carries its traces, and its content is real (after arXiv 2601.20461).
Where only a region is replaced, the photo stands for one that was altered. Both are written for
training alone, and into no other split.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from fauxlab.data.manifest import Manifest, Row
from fauxlab.data.tables import Manipulation
from fauxlab.errors import LabError
from fauxlab.io.images import decode, to_pixels
from fauxlab.io.limits import ImageError
from fauxlab.io.marking import Mark, save_jpeg
from fauxlab.io.sources import FileReader
from fauxlab.io.squares import cut_square
from fauxlab.io.text import hash_file
from fauxlab.sample.folder import claim_folder
from fauxlab.transforms.filters import to_bytes
from fauxlab.transforms.regions import random_region

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.models.autoencoder import Autoencoder

    Pixels = NDArray[np.uint8]

WHOLE = "reconstructed"
PARTLY = "partly"
MANIPULATIONS: dict[str, Manipulation] = {WHOLE: "made", PARTLY: "altered"}
LONGEST = 512  # pixels; larger pictures are reduced first, since time and memory grow with the area
QUALITY = 92  # of the JPEGs, with halved resolution of colour, as most real photos are stored


def write_reconstructions(
    autoencoder: Autoencoder,
    manifest: Manifest,
    folder: str | Path,
    share: float = 0.3,
    partly: float = 0.0,
    progress: Callable[[int], None] | None = None,
) -> Manifest:
    """Write re-decoded copies of real training photos, and manifest.csv; returns that manifest.

    `share` of the real photos of the train split are written as `reconstructed-NAME`, and of the
    share `partly` one region each as `partly-NAME`. Every kind of real photo gives as many as the
    others, as far as it has them. The returned manifest holds all rows of `manifest` and the new
    ones: in the split and the group of their photo, with the method in the column `pseudo`.

    Pictures that are in the folder already are kept, so the same call continues. `progress` is
    called with the number of pictures just written or found. Photos that cannot be read are listed
    in `skipped`. Raises LabError on shares out of range, on a manifest without splits or real
    training photos, with such fakes already, and on a folder that holds anything else.
    """
    folder = Path(folder).absolute()
    plan = plan_reconstructions(manifest, autoencoder.name, share, partly)
    contents = {"kind": "reconstructions", "autoencoder": autoencoder.sha256}
    kinds = [f"{method}-{autoencoder.name}" for method in MANIPULATIONS]
    claim_folder(folder, contents, [*kinds, "manifest.csv"])
    writer = _Writer(autoencoder, manifest, folder)
    rows = []
    skipped = []
    with FileReader() as reader:
        for method, row in plan:
            try:
                rows.append(writer.write(method, row, reader))
            except ImageError as error:
                skipped.append((row.path, str(error)))
            if progress:
                progress(1)
    if not rows:
        path, reason = skipped[0]
        raise LabError(f"none of {len(skipped)} photos can be read; the first: {path}: {reason}")
    kept = _with_absolute_paths(manifest)
    joined = Manifest((*kept, *rows), folder, tuple(skipped))
    joined.save(folder / "manifest.csv")
    return joined


def plan_reconstructions(
    manifest: Manifest, name: str, share: float, partly: float
) -> list[tuple[str, Row]]:
    """Which photo is re-decoded by which method. Raises LabError as `write_reconstructions`."""
    shares = {WHOLE: share, PARTLY: partly}
    taken = {row.generator for row in manifest.rows}
    for method, part in shares.items():
        if not 0 <= part <= 1:
            raise LabError(f"share {part:g} of {method} photos: give 0 to 1")
        if f"{method}-{name}" in taken:
            raise LabError(
                f"the manifest has a generator {method}-{name} already; "
                "give the manifest from before"
            )
    reals = manifest.train.reals().rows
    plan = []
    for method, part in shares.items():
        count = round(part * len(reals))
        plan += [(method, row) for row in choose_evenly(reals, count, method)]
    if not plan:
        raise LabError(
            f"nothing to write: {len(reals):,} real photos in the train split, and shares of "
            f"{share:g} and {partly:g}"
        )
    return plan


def choose_evenly(reals: Sequence[Row], count: int, salt: str) -> list[Row]:
    """`count` photos of different content, every kind alike; in a kind, every group alike.

    `salt` makes choices differ. They depend on the photos' content and not on their order.
    """

    def draw(row: Row) -> str:
        return hashlib.sha256(f"{salt} {row.image_hash}".encode()).hexdigest()

    contents = {row.image_hash: row for row in reals}
    shuffled = sorted(contents.values(), key=draw)
    in_group: Counter[str] = Counter()
    turns = []
    for row in shuffled:
        turns.append((in_group[row.group], row))
        in_group[row.group] += 1
    # Sorting keeps the drawn order where turns are equal.
    turns.sort(key=lambda item: item[0])
    in_kind: Counter[str] = Counter()
    ranked = []
    for _, row in turns:
        ranked.append((in_kind[row.source], row))
        in_kind[row.source] += 1
    ranked.sort(key=lambda item: item[0])
    return [row for _, row in ranked[:count]]


def re_decode(autoencoder: Autoencoder, pixels: Pixels) -> Pixels:
    """A picture uint8 [3, H, W], encoded and decoded; same shape."""
    batch = torch.from_numpy(pixels[None])
    decoded: Pixels = autoencoder.reconstruct(batch)[0].numpy()
    return decoded


def re_decode_region(autoencoder: Autoencoder, pixels: Pixels, seed: int) -> Pixels:
    """A picture uint8 [3, H, W] of which one random region was encoded and decoded; same shape."""
    _, height, width = pixels.shape
    rng = np.random.default_rng(seed)
    mask = random_region(height, width, rng)
    decoded = re_decode(autoencoder, pixels)
    return to_bytes(mask * decoded + (1 - mask) * pixels)


@dataclass(frozen=True)
class _Writer:
    """Writes re-decoded photos below a folder, and gives their rows."""

    autoencoder: Autoencoder
    manifest: Manifest
    folder: Path

    def write(self, method: str, row: Row, reader: FileReader) -> Row:
        """The row of a re-decoded photo, which is made unless it is there already.

        Raises ImageError where the photo cannot be read.
        """
        kind = f"{method}-{self.autoencoder.name}"
        name = f"{kind}/{row.image_hash[:24]}.jpg"
        path = self.folder / name
        if not path.is_file():
            pixels = self._read(row, reader)
            mark = Mark(self.autoencoder.name, self.autoencoder.sha256)
            save_jpeg(path, self._make(method, row, pixels), mark, QUALITY, halved_colour=True)
        return replace(
            row,
            path=name,
            label=1,
            generator=kind,
            source="",
            compare_to=row.source,
            sha256=hash_file(path),
            manipulation=MANIPULATIONS[method],
            crop=None,
            extra={**row.extra, "pseudo": method},
        )

    def _make(self, method: str, row: Row, pixels: Pixels) -> Pixels:
        if method == WHOLE:
            return re_decode(self.autoencoder, pixels)
        return re_decode_region(self.autoencoder, pixels, int(row.image_hash[:16], 16))

    def _read(self, row: Row, reader: FileReader) -> Pixels:
        data = reader.read(self.manifest.resolve(row))
        if hashlib.sha256(data).hexdigest() != row.sha256:
            raise ImageError("changed since it was indexed; index the folder again")
        picture = decode(data)
        if row.crop:
            picture = cut_square(picture, row.crop)
        # In place, and only where the picture is larger.
        picture.thumbnail((LONGEST, LONGEST), Image.Resampling.BICUBIC)
        return to_pixels(picture)


def _with_absolute_paths(manifest: Manifest) -> list[Row]:
    root = manifest.root.absolute()
    return [replace(row, path=os.path.join(root, row.path)) for row in manifest.rows]
