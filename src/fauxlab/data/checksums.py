"""Checksums of decoded images: bytes that changed on disk are found when a store is opened.

There is one of 4 bytes for each picture, over its file's hash and its pixels. So a list of hashes
that belongs to another store is found as well. Checking reads each picture once, at a gigabyte a
second or more; a training reads it many times.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from fauxlab.io.text import printable

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

CHECK_BYTES = 4
PART = 1024  # pictures that a thread checks at once


def checksum(content_hash: bytes, pixels: Pixels) -> bytes:
    """The checksum of one picture; `content_hash` is that of the file that it was decoded from."""
    start = zlib.crc32(content_hash)
    return zlib.crc32(pixels.data, start).to_bytes(CHECK_BYTES, "little")


def compute_checksums(hashes: Sequence[bytes], pixels: Iterable[Pixels]) -> bytes:
    """The checksums of all pictures, each uint8 [3, size, size], back to back."""
    parts = zip(hashes, pixels, strict=True)
    return b"".join(checksum(content_hash, picture) for content_hash, picture in parts)


def find_damaged(
    pixels: Pixels, hashes: Sequence[bytes], checks: bytes, slots: Iterable[int], workers: int
) -> set[int]:
    """The slots whose pictures are not those that were stored."""

    def check(part: Sequence[int]) -> list[int]:
        damaged = []
        for slot in part:
            start = slot * CHECK_BYTES
            stored = checks[start : start + CHECK_BYTES]
            if checksum(hashes[slot], pixels[slot]) != stored:
                damaged.append(slot)
        return damaged

    ordered = sorted(slots)
    parts = [ordered[start : start + PART] for start in range(0, len(ordered), PART)]
    with ThreadPoolExecutor(workers) as pool:
        return {slot for damaged in pool.map(check, parts) for slot in damaged}


def describe_damage(count: int, store: Path) -> str:
    """A warning about pictures of a store that are not what was stored."""
    nouns = "image" if count == 1 else "images"
    return (
        f"{count:,} decoded {nouns} in {printable(store)} damaged: the bytes on disk are not those "
        "that were stored; decoding again"
    )
