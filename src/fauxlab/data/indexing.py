"""A folder of images → its manifest: each file read once, what belongs together found."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.data.layouts import Found, find_images
from fauxlab.data.manifest import Manifest, Row
from fauxlab.data.split import connected_components, near_duplicates
from fauxlab.errors import LabError
from fauxlab.io.images import decode, fingerprint
from fauxlab.io.limits import ImageError
from fauxlab.io.sources import SEPARATOR, FileReader
from fauxlab.io.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ARCHIVE = re.compile(rf"\.zip(?={re.escape(SEPARATOR)})", re.IGNORECASE)
Progress = Callable[[int], None]


def index(
    folder: str | Path, progress: Progress | None = None, workers: int | None = None
) -> Manifest:
    """Read every image below `folder` (layouts: see `fauxlab.data.layouts`) into a manifest without
    splits.

    Each file is hashed and decoded once; what cannot be decoded is left out and listed in
    `skipped`. Images that share a declared group, equal bytes or near-equal looks get one group.
    `progress` is called with the number of images just read. Memory: about 2 kB an image. Raises
    LabError when the layout is unknown or no image is left.
    """
    root = Path(folder).absolute()
    found: list[Found] = []
    hashes: list[str] = []
    prints: list[NDArray[np.bool_] | None] = []
    skipped: list[tuple[str, str]] = []
    with FileReader() as reader, ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        for item, result in _inspect_all(find_images(root), reader, pool):
            if isinstance(result, ImageError):
                skipped.append((_below(root, item.path), str(result)))
            else:
                found.append(item)
                hashes.append(result[0])
                prints.append(result[1])
            if progress:
                progress(1)
    ambiguous = _with_both_labels(found, hashes)
    skipped += [
        (_below(root, found[i].path), "the same bytes are labelled real and fake")
        for i in ambiguous
    ]
    keep = [i for i in range(len(found)) if i not in ambiguous]
    if not keep:
        raise LabError(
            f"{printable(root)}: no usable image ({len(skipped)} skipped"
            + (f", the first: {printable(skipped[0][0])}: {skipped[0][1]})" if skipped else ")")
        )
    found, hashes, prints = ([x[i] for i in keep] for x in (found, hashes, prints))  # type: ignore[assignment]
    groups = _groups(found, hashes, prints)
    rows = tuple(
        Row(_below(root, item.path), item.label, item.generator, item.source, group, "", sha)
        for item, group, sha in zip(found, groups, hashes, strict=True)
    )
    return Manifest(rows, root, tuple(skipped))


def _below(root: Path, path: str) -> str:
    """A path from `root` on. A zip's member keeps its name to the letter: no other opens it."""
    path = path.removeprefix(os.path.join(root, ""))
    found = _ARCHIVE.search(path)
    end = found.end() if found else len(path)
    return os.path.relpath(os.path.join(root, path[:end]), root) + path[end:]


def _inspect_all(
    items: Iterable[Found], reader: FileReader, pool: ThreadPoolExecutor, window: int = 256
) -> Iterator[tuple[Found, tuple[str, NDArray[np.bool_] | None] | ImageError]]:
    """Inspect in parallel, in order, with at most `window` files in memory."""

    def inspect(item: Found) -> tuple[str, NDArray[np.bool_] | None] | ImageError:
        try:
            data = reader.read(item.path)
            return hashlib.sha256(data).hexdigest(), fingerprint(decode(data, at_least=64))
        except ImageError as error:
            return error

    stream = iter(items)
    while batch := list(islice(stream, window)):
        yield from zip(batch, pool.map(inspect, batch), strict=True)


def _with_both_labels(found: list[Found], hashes: list[str]) -> set[int]:
    labels: dict[str, set[int]] = {}
    for item, sha in zip(found, hashes, strict=True):
        labels.setdefault(sha, set()).add(item.label)
    return {i for i, sha in enumerate(hashes) if len(labels[sha]) > 1}


def _groups(
    found: list[Found], hashes: list[str], prints: list[NDArray[np.bool_] | None]
) -> list[str]:
    keys: list[list[tuple[object, ...]]] = [
        [("sha256", sha), *(("group", group) for group in item.groups)]
        for item, sha in zip(found, hashes, strict=True)
    ]
    told = [i for i, bits in enumerate(prints) if bits is not None]
    codes = np.array([prints[i] for i in told], dtype=bool).reshape(len(told), -1)
    near = ((told[a], told[b]) for a, b in (near_duplicates(codes) if len(told) > 1 else ()))
    return [found[i].groups[0] for i in connected_components(keys, near)]
