"""A folder of images to its manifest: each file is read once, and what belongs together is tied."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.data.layouts import Entry, find_images
from fauxlab.data.manifest import Manifest
from fauxlab.data.rows import Row
from fauxlab.data.split import Pair, connected_components, near_duplicates
from fauxlab.errors import LabError
from fauxlab.io.images import decode, fingerprint
from fauxlab.io.limits import ImageError
from fauxlab.io.sources import SEPARATOR, FileReader
from fauxlab.io.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

Progress = Callable[[int], None]
Skipped = list[tuple[str, str]]

WINDOW = 256  # files that are in memory at once
_ARCHIVE = re.compile(rf"\.zip(?={re.escape(SEPARATOR)})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Image:
    """An image that was read; `bits` is its fingerprint, None for too little contrast."""

    entry: Entry
    sha256: str
    bits: NDArray[np.bool_] | None


def index(
    folder: str | Path,
    progress: Progress | None = None,
    workers: int | None = None,
) -> Manifest:
    """Read every image below `folder` into a manifest without splits.

    The layouts are those of `fauxlab.data.layouts`. Each file is hashed and decoded once. Images
    that cannot be decoded are left out and listed in `skipped`. Images that share a declared group,
    equal bytes or nearly equal looks get one group. `progress` is called with the number of images
    just read. Memory: about 2 kB an image. Raises LabError when the layout is unknown or no image
    is left.

    >>> manifest = index("faces/").split(seed=0)  # doctest: +SKIP
    >>> manifest.save("manifest.csv")  # doctest: +SKIP
    """
    root = Path(folder).absolute()
    images: list[_Image] = []
    skipped: Skipped = []
    threads = workers or os.cpu_count() or 1
    with FileReader() as reader, ThreadPoolExecutor(threads) as pool:
        for entry, result in _read_all(find_images(root), reader, pool):
            if isinstance(result, ImageError):
                path = _below(root, entry.path)
                skipped.append((path, str(result)))
            else:
                images.append(result)
            if progress:
                progress(1)
    images = _without_contradictions(images, root, skipped)
    if not images:
        raise LabError(_describe_nothing(root, skipped))
    rows = []
    for image, group in zip(images, _name_groups(images), strict=True):
        rows.append(_to_row(image, group, root))
    return Manifest(tuple(rows), root, tuple(skipped))


def _read_all(
    entries: Iterable[Entry], reader: FileReader, pool: ThreadPoolExecutor
) -> Iterator[tuple[Entry, _Image | ImageError]]:
    """Read images in parallel, in order, with at most WINDOW files in memory."""

    def read(entry: Entry) -> _Image | ImageError:
        try:
            data = reader.read(entry.path)
            thumbnail = decode(data, at_least=64)
            sha256 = hashlib.sha256(data).hexdigest()
            return _Image(entry, sha256, fingerprint(thumbnail))
        except ImageError as error:
            return error

    stream = iter(entries)
    batch = list(islice(stream, WINDOW))
    while batch:
        results = pool.map(read, batch)
        yield from zip(batch, results, strict=True)
        batch = list(islice(stream, WINDOW))


def _without_contradictions(
    images: Sequence[_Image],
    root: Path,
    skipped: Skipped,
) -> list[_Image]:
    """The images whose bytes have one label; the others are added to `skipped`."""
    labels: dict[str, set[int]] = {}
    for image in images:
        labels_of_bytes = labels.setdefault(image.sha256, set())
        labels_of_bytes.add(image.entry.label)
    consistent = []
    for image in images:
        if len(labels[image.sha256]) == 1:
            consistent.append(image)
        else:
            path = _below(root, image.entry.path)
            skipped.append((path, "the same bytes are labelled real and fake"))
    return consistent


def _name_groups(images: Sequence[_Image]) -> list[str]:
    """The name of each image's group: the first declared group of its first image."""
    keys: list[list[Hashable]] = []
    for image in images:
        content = ("sha256", image.sha256)
        declared = [("group", group) for group in image.entry.groups]
        keys.append([content, *declared])
    names = []
    for first in connected_components(keys, _near_pairs(images)):
        declared_groups = images[first].entry.groups
        names.append(declared_groups[0])
    return names


def _near_pairs(images: Sequence[_Image]) -> Iterator[Pair]:
    """Pairs of images that look nearly equal."""
    numbers = []
    fingerprints = []
    for number, image in enumerate(images):
        if image.bits is not None:
            numbers.append(number)
            fingerprints.append(image.bits)
    if fingerprints:
        for a, b in near_duplicates(np.array(fingerprints)):
            yield numbers[a], numbers[b]


def _to_row(image: _Image, group: str, root: Path) -> Row:
    entry = image.entry
    return Row(
        path=_below(root, entry.path),
        label=entry.label,
        generator=entry.generator,
        source=entry.source,
        compare_to=entry.compare_to,
        group=group,
        split="",
        sha256=image.sha256,
        extra=entry.extra,
    )


def _below(root: Path, path: str) -> str:
    """A path from `root` on. The name of a zip's member stays as it is: no other name opens it."""
    path = path.removeprefix(os.path.join(root, ""))
    archive = _ARCHIVE.search(path)
    end = archive.end() if archive else len(path)
    file = os.path.join(root, path[:end])
    return os.path.relpath(file, root) + path[end:]


def _describe_nothing(root: Path, skipped: Skipped) -> str:
    first = ""
    if skipped:
        path, reason = skipped[0]
        first = f", the first: {printable(path)}: {reason}"
    return f"{printable(root)}: no usable image ({len(skipped)} skipped{first})"
