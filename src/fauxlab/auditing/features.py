"""ShortcutFeatures of image files that a network could take for the difference between real and fake.

Each file is read once. A family of traits is measured so that it holds as little as can be of the
others: the spectrum is of pictures brought to equal contrast, framing says where edges lie and not
how strong they are, bytes leave out the metadata.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.data.manifest import Manifest, Row
from fauxlab.io.encoding import METADATA, Encoding, describe_encoding
from fauxlab.io.images import FORMATS, decode, fingerprint, to_square
from fauxlab.io.limits import ImageError
from fauxlab.io.marking import read_mark
from fauxlab.io.sources import FileReader

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    Floats = NDArray[np.float64]

FILE_FAMILIES = ("size", "aspect", "bytes", "encoding", "metadata")
PIXEL_FAMILIES = ("colour", "spectrum", "framing")
BLOCK = 256  # files in work at a time
# pixels of the picture's centre, as they are: resizing would take the traces away
SPECTRUM_SIDE = 256
SPECTRUM_BANDS = 32
THUMBNAIL = 64
# a side; more of them also tell faces with much around them from faces with little
FRAMING_CELLS = 4
ENDS = 3  # values at each end of the histogram that count as clipped


@dataclass(frozen=True)
class ShortcutFeatures:
    """What was measured of one file: numbers by family, a word on each file family, and the
    picture's fingerprint.
    """

    values: dict[str, Floats]
    looks: dict[str, str]
    bits: NDArray[np.bool_] | None


@dataclass(frozen=True)
class FeatureTable:
    """ShortcutFeatures of the rows that could be measured, in order; the others are in `skipped` with the
    reason.
    """

    rows: tuple[Row, ...]
    traits: tuple[ShortcutFeatures, ...]
    skipped: tuple[tuple[str, str], ...]

    def values(self, family: str, index: NDArray[np.int64]) -> Floats:
        """A family's numbers [len(index), K] of the given rows."""
        return np.array([self.traits[i].values[family] for i in index.tolist()], dtype=np.float64)


def measure_files(
    manifest: Manifest,
    pixels: bool = True,
    progress: Callable[[int], None] | None = None,
    workers: int | None = None,
) -> FeatureTable:
    """Measure every file of the manifest, in threads; without `pixels` only what its header tells.

    Memory: about 3 kB an image and the BLOCK in work. What is gone, damaged or changed since it was
    indexed is skipped.
    """

    def measure(row: Row) -> ShortcutFeatures | ImageError:
        try:
            data = reader.read(manifest.resolve(row))
            if hashlib.sha256(data).hexdigest() != row.sha256:
                raise ImageError("changed since it was indexed; index the folder again")
            return measure_file(data, pixels)
        except ImageError as error:
            return error

    rows, traits, skipped = [], [], []
    with FileReader() as reader, ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        for start in range(0, len(manifest), BLOCK):
            block = manifest.rows[start : start + BLOCK]
            for row, found in zip(block, pool.map(measure, block), strict=True):
                if isinstance(found, ImageError):
                    skipped.append((row.path, str(found)))
                else:
                    rows.append(row)
                    traits.append(found)
                if progress:
                    progress(1)
    return FeatureTable(tuple(rows), tuple(traits), tuple(skipped))


def measure_file(data: bytes, pixels: bool = True) -> ShortcutFeatures:
    """All traits of a file's bytes; without `pixels` those of the file families. Raises ImageError
    on what is no image.

    The mark that this lab puts on generated pictures is no metadata here: it must be there, and
    decoding drops it.
    """
    encoding = describe_encoding(data)
    entries = () if read_mark(data) else encoding.metadata
    # entries may lie in the same bytes
    size = max(len(data) - sum(n for _, n in encoding.metadata), 0)
    width, height = encoding.width, encoding.height
    kinds = [kind for kind in METADATA if any(kind == k for k, _ in entries)]
    sizes = [sum(n for k, n in entries if k == kind) for kind in METADATA]
    ratio = float(np.log2(width / height))
    values = {
        "size": np.log2([width, height]),
        "aspect": np.array([ratio, abs(ratio)]),
        "bytes": np.log2([size + 1, (size + 1) / (width * height)]),
        "encoding": _encoder(encoding),
        "tables": np.log2(
            np.ones(128) if encoding.tables is None else np.maximum(encoding.tables, 1).ravel()
        ),
        "metadata": np.array([len(entries), *np.log2(1 + np.array(sizes))]),
    }
    looks = {
        "size": f"{width}×{height}",
        "aspect": f"{width / height:.2f}",
        "bytes": f"{size / 1000:.3g} kB",
        "encoding": _name_encoding(encoding),
        "metadata": " + ".join(kinds) or "none",
    }
    if not pixels:
        return ShortcutFeatures(values, looks, None)
    image = decode(data)
    thumbnail = to_square(image, THUMBNAIL)
    values |= {
        "colour": colour(image, thumbnail),
        "spectrum": spectrum(image),
        "framing": framing(thumbnail),
    }
    # Reduced as when the manifest was made, so that no pair is near here that was not near there.
    small = decode(data, at_least=64) if encoding.format == "JPEG" else image
    return ShortcutFeatures(values, looks, fingerprint(small))


def colour(image: Image.Image, thumbnail: NDArray[np.uint8]) -> Floats:
    """Of red, green and blue the mean, the deviation and the share at each end [12]; mean and
    deviation of saturation.

    All in 0 to 1; saturation is (max - min) / max of a pixel of the thumbnail uint8 [3, H, W].
    """
    counts = np.array(image.histogram(), dtype=np.float64).reshape(3, 256)
    shares, levels = counts / counts.sum(axis=1, keepdims=True), np.arange(256) / 255
    mean = shares @ levels
    deviation = np.sqrt(np.maximum(shares @ levels**2 - mean**2, 0))
    most = thumbnail.max(axis=0)
    saturation = (most - thumbnail.min(axis=0)) / np.maximum(most, 1)
    ends = shares[:, :ENDS].sum(axis=1), shares[:, -ENDS:].sum(axis=1)
    return np.concatenate([mean, deviation, *ends, [saturation.mean(), saturation.std()]])


def spectrum(image: Image.Image) -> Floats:
    """Mean log power of the luma in SPECTRUM_BANDS rings, from low to high frequencies.

    Of the centre of up to SPECTRUM_SIDE pixels a side under a Hann window, at the picture's own
    scale, brought to mean 0 and deviation 1. A ring is a range of radius, up to that of the corner
    (Durall et al., 2020).
    """
    side = min(*image.size, SPECTRUM_SIDE)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    luma = np.asarray(
        image.crop((left, top, left + side, top + side)).convert("L"), dtype=np.float64
    )
    luma = (luma - luma.mean()) / max(float(luma.std()), 1.0)
    window, ring, counts = _rings(side)
    power = np.abs(np.fft.rfft2(luma * window)) ** 2
    sums = np.bincount(ring, np.log(power + 1e-10).ravel(), minlength=SPECTRUM_BANDS)
    held = np.flatnonzero(counts)  # small pictures leave rings empty
    return np.interp(np.arange(SPECTRUM_BANDS), held, sums[held] / counts[held])


def framing(thumbnail: NDArray[np.uint8]) -> Floats:
    """Where edges lie [16]: root of each cell's share of the gradient's magnitude, on 4×4 cells of
    uint8 [3, S, S].
    """
    down, across = np.gradient(thumbnail.mean(axis=0))
    size = len(down) // FRAMING_CELLS
    cells = (
        np.hypot(down, across).reshape(FRAMING_CELLS, size, FRAMING_CELLS, size).sum(axis=(1, 3))
        + 1e-3
    )
    shares: Floats = np.sqrt(cells / cells.sum()).ravel()
    return shares


@lru_cache(maxsize=32)
def _rings(side: int) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Window [side, side] of power 1; for each frequency its ring, flat; frequencies a ring
    [SPECTRUM_BANDS].
    """
    slope = np.hanning(side + 1)[:side]
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)) / np.sqrt(0.5)
    ring = np.minimum((radius * SPECTRUM_BANDS).astype(np.int64), SPECTRUM_BANDS - 1).ravel()
    return (
        np.outer(slope, slope) / (slope**2).sum(),
        ring,
        np.bincount(ring, minlength=SPECTRUM_BANDS),
    )


def _encoder(encoding: Encoding) -> Floats:
    formats = [float(encoding.format == name) for name in FORMATS]
    return np.array(
        [*formats, encoding.quality or 0, *encoding.subsampling, encoding.progressive],
        dtype=np.float64,
    )


def _name_encoding(encoding: Encoding) -> str:
    if encoding.format != "JPEG":
        return encoding.format
    chroma = {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0"}
    across, down = encoding.subsampling
    name = chroma.get((int(across), int(down)), f"{across:g}×{down:g}")
    return f"JPEG q{encoding.quality or '?'} {name}" + (
        " progressive" if encoding.progressive else ""
    )
