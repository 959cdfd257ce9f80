"""Which images a model was trained on, kept in its run folder: 8 bytes of each image's SHA-256.

A million images take 8 MB. Two different images share these bytes once in 10^13 pairs or so, thus
the count of known images is exact in practice.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from fauxlab.data.manifest import Manifest
from fauxlab.io.reading import read_bytes
from fauxlab.io.text import printable, replace_file

MOST_BYTES = 2**30  # for 134 million images
FILE = "training-images.u64"
_DIGEST = np.dtype(">u8")
_HEX_DIGITS = 16


def keep_training_images(run: Path, hashes: Iterable[str]) -> None:
    """Write the list of a run's training images, by their SHA-256 in hexadecimal digits."""
    replace_file(run / FILE, _digests(hashes).tobytes())


def count_training_images(model: str | Path, manifest: Manifest) -> int:
    """How many of the manifest's images a model was trained on, by their content.

    The list is sought beside the bundle and in it. 0 where there is none, as beside a bundle that
    was moved out of its run folder.
    """
    bundle = Path(model)
    for place in (bundle, bundle.absolute().parent):
        path = place / FILE
        if path.is_file():
            content = read_bytes(path, MOST_BYTES)
            whole = len(content) // _DIGEST.itemsize * _DIGEST.itemsize
            known = np.frombuffer(content[:whole], _DIGEST)
            shown = _digests(row.sha256 for row in manifest.rows)
            return int(np.isin(shown, known).sum())
    return 0


def describe_training_images(model: str | Path, manifest: Manifest) -> str:
    """A warning where the manifest holds images that a model was trained on, or nothing."""
    count = count_training_images(model, manifest)
    if not count:
        return ""
    return (
        f"{printable(model)} was trained on {count:,} of these {len(set(_hashes(manifest))):,} "
        "images: the figures say little about images that it never saw; evaluate on others"
    )


def _hashes(manifest: Manifest) -> list[str]:
    return [row.sha256 for row in manifest.rows]


def _digests(hashes: Iterable[str]) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """The first 8 bytes of each hash as numbers, sorted, each once."""
    numbers = [int(text[:_HEX_DIGITS], 16) for text in hashes]
    return np.unique(np.array(numbers, dtype=_DIGEST))
