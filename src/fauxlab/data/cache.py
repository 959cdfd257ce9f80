"""Decoded images on disk: every picture is decoded once per size, for all manifests and runs.

There is one store per size and pipeline version. `images.u8` holds pictures [3, size, size] of
uint8 back to back, `index.sha256` 32 bytes that tell the file behind each and its crop
(`Row.image_hash`), and `checks.crc32` a checksum of each. A hash is appended only once its pixels
are safely on disk, so that a process killed at any instant leaves a valid store. A picture whose
bytes changed since is decoded again. One writer at a time holds a lock. Delete the folder to free
the space.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock, Timeout

from fauxlab.data.checksums import (
    CHECK_BYTES,
    checksum,
    compute_checksums,
    describe_damage,
    find_damaged,
)
from fauxlab.data.manifest import Manifest
from fauxlab.data.rows import Row
from fauxlab.errors import LabError
from fauxlab.io.images import PIPELINE_VERSION, decode, to_square
from fauxlab.io.limits import ImageError
from fauxlab.io.sources import FileReader
from fauxlab.io.squares import cut_square
from fauxlab.io.text import printable, replace_file
from fauxlab.privacy import cache_folder
from fauxlab.processors import usable_processors

if TYPE_CHECKING:
    from numpy.typing import NDArray

Progress = Callable[[int], None]

BLOCK = 256  # pictures decoded and committed together: 50 MB at 256 px
HASH_BYTES = 32
PATIENCE = 2.0  # seconds of waiting for another process before a warning
IMAGES = "images.u8"
INDEX = "index.sha256"
CHECKS = "checks.crc32"
LOCK = "lock"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageArray:
    """The manifest's images: `pixels[slots[i]]` is row i, uint8 [3, size, size].

    `skipped` holds a path and a reason for each image that could not be read.
    """

    manifest: Manifest
    size: int
    pixels: NDArray[np.uint8]
    slots: NDArray[np.int64]
    skipped: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.slots)

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """uint8 [len(rows), 3, size, size], copied out of the store."""
        slots = self.slots[rows]
        return self.pixels[slots]


def load_images(
    manifest: Manifest,
    size: int,
    progress: Progress | None = None,
    workers: int | None = None,
) -> ImageArray:
    """The manifest's images at `size` pixels, decoded now where the store lacks them.

    An image that is in the store no longer needs its file, unless its bytes there have changed. Of
    equal copies one file is enough. An image that is not in the store and whose file is gone,
    damaged or no longer what was indexed, is left out of the returned manifest and listed in
    `skipped`. `progress` is called with the number of images just decoded, equal copies counted
    once. While another process decodes into the store, this waits, and logs a warning. Raises
    LabError when the manifest is empty, no image is left or the disk is full.
    """
    if not len(manifest):
        raise LabError(
            "no image to load: this manifest, or this split of it, is empty; "
            "index more, or name another"
        )
    store = cache_folder() / f"{size}px-v{PIPELINE_VERSION}"
    skipped: dict[str, str] = {}
    with _locked(store):
        hashes = _read_index(store, size)
        damaged = _damaged_slots(store, manifest, hashes, size, workers)
        slot_of = _number_slots(hashes, damaged)
        missing = _missing_copies(manifest, slot_of)
        if missing:
            _check_space(store, len(missing) * _picture_bytes(size))
            try:
                skipped = _decode_into(store, manifest, missing, size, progress, workers)
            finally:
                # Also where the disk is full: what came of the last block gives its room back.
                hashes = _read_index(store, size)
            slot_of = _number_slots(hashes, damaged)
    present = manifest.where(lambda row: row.image_hash in slot_of)
    if not len(present):
        path, reason = next(iter(skipped.items()))
        first = os.path.join(manifest.root, path)
        raise LabError(
            f"none of the manifest's {len(manifest)} images can be read; "
            f"the first: {printable(first)}: {reason}"
        )
    pixels = _map_pixels(store, len(hashes), size)
    slots = np.array([slot_of[row.image_hash] for row in present.rows], dtype=np.int64)
    return ImageArray(present, size, pixels, slots, tuple(skipped.items()))


def _map_pixels(store: Path, count: int, size: int) -> NDArray[np.uint8]:
    """The store's pictures, uint8 [count, 3, size, size]; a picture is read when it is used."""
    shape = (count, 3, size, size)
    return np.memmap(store / IMAGES, np.uint8, "r", shape=shape)


def _damaged_slots(
    store: Path, manifest: Manifest, hashes: Sequence[bytes], size: int, workers: int | None
) -> set[int]:
    """The slots of the manifest's images that do not hold what was stored, with a warning."""
    slot_of = _number_slots(hashes)
    present = slot_of.keys() & {row.image_hash for row in manifest.rows}
    wanted = {slot_of[image_hash] for image_hash in present}
    if not wanted:
        return set()
    pixels = _map_pixels(store, len(hashes), size)
    checks = (store / CHECKS).read_bytes()
    damaged = find_damaged(pixels, hashes, checks, wanted, workers or usable_processors())
    if damaged:
        _logger.warning("%s", describe_damage(len(damaged), store))
    return damaged


def _missing_copies(manifest: Manifest, slot_of: Mapping[str, int]) -> list[list[Row]]:
    """For each image that the store lacks, the rows that hold it, one a path."""
    copies: dict[str, dict[str, Row]] = {}
    for row in manifest.rows:
        if row.image_hash not in slot_of:
            copies.setdefault(row.image_hash, {})[row.path] = row
    return [list(rows.values()) for rows in copies.values()]


def _decode_into(
    store: Path,
    manifest: Manifest,
    copies: Sequence[list[Row]],
    size: int,
    progress: Progress | None,
    workers: int | None,
) -> dict[str, str]:
    """Append an image for each list of equal copies.

    Returns path → reason for the copies of images of which none could be read.
    """
    skipped: dict[str, str] = {}
    with (
        FileReader() as reader,
        ThreadPoolExecutor(workers or usable_processors()) as pool,
        # Plain writes, not a memory map: mapped dirty pages would count as this process's memory.
        (store / IMAGES).open("r+b") as images,
        (store / CHECKS).open("ab") as checks,
        (store / INDEX).open("ab") as index,
    ):
        read = partial(_read_square, reader, manifest, size)
        images.seek(0, os.SEEK_END)
        for start in range(0, len(copies), BLOCK):
            block = copies[start : start + BLOCK]
            hashes = []
            for rows, result in zip(block, pool.map(read, block), strict=True):
                if isinstance(result, dict):
                    skipped.update(result)
                else:
                    image_hash = bytes.fromhex(rows[0].image_hash)
                    images.write(result.data)
                    checks.write(checksum(image_hash, result))
                    hashes.append(image_hash)
            # The pixels must be on disk before the hashes that vouch for them.
            images.flush()
            checks.flush()
            os.fsync(images.fileno())
            index.write(b"".join(hashes))
            index.flush()
            if progress:
                progress(len(block))
    return skipped


def _read_square(
    reader: FileReader, manifest: Manifest, size: int, rows: Sequence[Row]
) -> NDArray[np.uint8] | dict[str, str]:
    """The picture of the first of equal copies that can be read, or path → reason for each."""
    reasons: dict[str, str] = {}
    for row in rows:
        try:
            data = reader.read(manifest.resolve(row))
            if hashlib.sha256(data).hexdigest() != row.sha256:
                raise ImageError("changed since it was indexed; index the folder again")
            picture = decode(data)
            if row.crop:
                picture = cut_square(picture, row.crop)
            return to_square(picture, size)
        except ImageError as error:
            reasons[row.path] = str(error)
    return reasons


def _read_index(store: Path, size: int) -> list[bytes]:
    """The hash of each slot. What a killed writer left behind the last full entry is cut off."""
    images = store / IMAGES
    index = store / INDEX
    checks = store / CHECKS
    images.touch()
    index.touch()
    count = min(
        index.stat().st_size // HASH_BYTES,
        images.stat().st_size // _picture_bytes(size),
    )
    if not checks.exists():
        # A store of fauxlab 0.1, which kept no checksums.
        hashes = _split_hashes(index.read_bytes(), count)
        pixels = _map_pixels(store, count, size) if count else ()
        replace_file(checks, compute_checksums(hashes, pixels))
    count = min(count, checks.stat().st_size // CHECK_BYTES)
    _cut(images, count * _picture_bytes(size))
    _cut(index, count * HASH_BYTES)
    _cut(checks, count * CHECK_BYTES)
    return _split_hashes(index.read_bytes(), count)


def _split_hashes(hashes: bytes, count: int) -> list[bytes]:
    starts = range(0, count * HASH_BYTES, HASH_BYTES)
    return [hashes[start : start + HASH_BYTES] for start in starts]


def _number_slots(
    hashes: Sequence[bytes], damaged: Collection[int] = frozenset()
) -> dict[str, int]:
    """Hash → slot. A picture that was decoded again has two, of which the later counts."""
    slot_of = {}
    for slot, image_hash in enumerate(hashes):
        if slot not in damaged:
            slot_of[image_hash.hex()] = slot
    return slot_of


def _cut(path: Path, length: int) -> None:
    if path.stat().st_size != length:
        os.truncate(path, length)


def _picture_bytes(size: int) -> int:
    return 3 * size * size


def _check_space(store: Path, needed: int) -> None:
    free = shutil.disk_usage(store).free
    if needed > free:
        raise LabError(
            f"the decoded images need {needed / 2**20:,.0f} MiB, "
            f"{printable(store)} has {free / 2**20:,.0f} MiB free; "
            "set FAUXLAB_CACHE to a folder on a larger disk"
        )


@contextmanager
def _locked(store: Path) -> Iterator[None]:
    """The store, made where it is missing, for this process alone.

    Raises LabError where the disk refuses.
    """
    try:
        store.mkdir(parents=True, exist_ok=True)
        lock = FileLock(store / LOCK)
        _acquire(lock, store)
        try:
            yield
        finally:
            lock.release()
    except OSError as error:
        raise LabError(
            f"cannot keep decoded images in {printable(store)}: {error.strerror or error}; "
            "set FAUXLAB_CACHE to a folder that can be written and has room"
        ) from error


def _acquire(lock: FileLock, store: Path) -> None:
    """Take the lock, and log a warning where another process has it for longer than PATIENCE."""
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        _logger.warning(
            "waiting for another fauxlab process, which is decoding images into %s",
            printable(store),
        )
        lock.acquire()
