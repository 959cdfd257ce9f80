"""Decoded images on disk: every picture is decoded once per size, whatever manifests and runs use
it later.

One store per size and pipeline version: `images.u8` holds [3, size, size] uint8 pictures back to
back, `index.sha256` the 32-byte hash of the file behind each. A hash is appended only after its
pixels are safely on disk, so that a process killed at any instant leaves a valid store; one writer
at a time holds a lock. Delete the folder to free the space.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np

from fauxlab.data.manifest import Manifest, Row
from fauxlab.errors import LabError
from fauxlab.io.images import PIPELINE_VERSION, decode, to_square
from fauxlab.io.limits import ImageError
from fauxlab.io.sources import FileReader
from fauxlab.io.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = 256  # pictures decoded and committed together: 50 MB at 256 px
HASH_BYTES = 32
PATIENCE = 2.0  # seconds before a wait for another process is worth a word

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageArray:
    """The manifest's images: `pixels[slots[i]]` is row i, uint8 [3, size, size]."""

    manifest: Manifest
    size: int
    pixels: NDArray[np.uint8]
    slots: NDArray[np.int64]
    skipped: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.slots)

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """uint8 [len(rows), 3, size, size], copied out of the store."""
        return self.pixels[self.slots[rows]]


def cache_folder() -> Path:
    """`$FAUXLAB_CACHE`, else `$XDG_CACHE_HOME/fauxlab`, else `~/.cache/fauxlab`."""
    if folder := os.environ.get("FAUXLAB_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fauxlab"


def load_images(
    manifest: Manifest,
    size: int,
    progress: Callable[[int], None] | None = None,
    workers: int | None = None,
) -> ImageArray:
    """The manifest's images at `size` pixels, decoded now where the store lacks them.

    An image that is in the store needs its file no more; of equal copies one is enough. One that is
    not, and is gone, damaged or no longer what was indexed, is left out of the returned manifest
    and listed in `skipped`. `progress` is called with the number of images just decoded, equal
    copies counted once. While another process decodes into the store, this waits, and logs a
    warning. Raises LabError when the manifest is empty, none is left or the disk is full.
    """
    if not len(manifest):
        raise LabError(
            "no image to load: this manifest, or this split of it, is empty; index more, or name another"
        )
    store = cache_folder() / f"{size}px-v{PIPELINE_VERSION}"
    skipped: dict[str, str] = {}
    with _locked(store):
        known = _read_index(store, size)
        missing: dict[str, dict[str, Row]] = {}
        for row in manifest.rows:
            if row.sha256 not in known:
                missing.setdefault(row.sha256, {})[row.path] = row
        if missing:
            _check_space(store, len(missing) * 3 * size * size)
            copies = [[*rows.values()] for rows in missing.values()]
            skipped = _decode_into(store, manifest, copies, size, progress, workers)
            known = _read_index(store, size)
    kept = manifest.where(lambda row: row.sha256 in known)
    if not len(kept):
        path, reason = next(iter(skipped.items()))
        place = os.path.join(manifest.root, path)
        raise LabError(
            f"none of the manifest's {len(manifest)} images can be read; the first: {printable(place)}: {reason}"
        )
    pixels = np.memmap(store / "images.u8", np.uint8, "r", shape=(len(known), 3, size, size))
    slots = np.array([known[row.sha256] for row in kept.rows], dtype=np.int64)
    return ImageArray(kept, size, pixels, slots, tuple(skipped.items()))


def _decode_into(
    store: Path,
    manifest: Manifest,
    copies: list[list[Row]],
    size: int,
    progress: Callable[[int], None] | None,
    workers: int | None,
) -> dict[str, str]:
    """Append an image for each list of equal copies; returns path → reason for those of which none
    could be read.
    """
    skipped: dict[str, str] = {}

    def square(rows: list[Row]) -> NDArray[np.uint8] | dict[str, str]:
        reasons = {}
        for row in rows:
            try:
                data = reader.read(manifest.resolve(row))
                if hashlib.sha256(data).hexdigest() != row.sha256:
                    raise ImageError("changed since it was indexed; index the folder again")
                return to_square(decode(data), size)
            except ImageError as error:
                reasons[row.path] = str(error)
        return reasons

    with (
        FileReader() as reader,
        ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool,
        # Plain writes, not a memory map: mapped dirty pages would count as this process's memory.
        (store / "images.u8").open("r+b") as images,
        (store / "index.sha256").open("ab") as index,
    ):
        images.seek(0, os.SEEK_END)
        for start in range(0, len(copies), BLOCK):
            block = copies[start : start + BLOCK]
            good = []
            for rows, result in zip(block, pool.map(square, block), strict=True):
                if isinstance(result, dict):
                    skipped |= result
                else:
                    images.write(result.data)
                    good.append(bytes.fromhex(rows[0].sha256))
            images.flush()
            os.fdatasync(images.fileno())
            index.write(b"".join(good))
            index.flush()
            if progress:
                progress(len(block))
    return skipped


def _read_index(store: Path, size: int) -> dict[str, int]:
    """Hash → slot; anything that a killed writer left behind the last full entry is cut off."""
    images, index = store / "images.u8", store / "index.sha256"
    for path in (images, index):
        path.touch()
    picture = 3 * size * size
    count = min(index.stat().st_size // HASH_BYTES, images.stat().st_size // picture)
    for path, length in ((images, count * picture), (index, count * HASH_BYTES)):
        if path.stat().st_size != length:
            os.truncate(path, length)
    data = index.read_bytes()
    return {
        data[i : i + HASH_BYTES].hex(): i // HASH_BYTES for i in range(0, len(data), HASH_BYTES)
    }


def _check_space(store: Path, needed: int) -> None:
    free = shutil.disk_usage(store).free
    if needed > free:
        raise LabError(
            f"the decoded images need {needed / 2**20:,.0f} MiB, {printable(store)} has {free / 2**20:,.0f} MiB free; "
            "set FAUXLAB_CACHE to a folder on a larger disk"
        )


@contextmanager
def _locked(store: Path) -> Iterator[None]:
    """The store, made where it is missing, for this process alone; a disk that refuses is a
    LabError.
    """
    try:
        store.mkdir(parents=True, exist_ok=True)
        with (store / "lock").open("w") as stream:
            _wait_for(stream, store)
            yield
    except OSError as error:
        raise LabError(
            f"cannot keep decoded images in {printable(store)}: {error.strerror or error}; "
            "set FAUXLAB_CACHE to a folder that can be written and has room"
        ) from error


def _wait_for(stream: TextIO, store: Path) -> None:
    """Lock the open file, and say so where another process keeps it for longer than a look."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= until:
                break
            time.sleep(0.05)
    _logger.warning(
        "waiting for another fauxlab process, which is decoding images into %s", printable(store)
    )
    fcntl.flock(stream, fcntl.LOCK_EX)
