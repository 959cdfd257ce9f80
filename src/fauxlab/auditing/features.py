"""Shortcut features: what a network could take for the difference between real and fake.

Each file is read once. The families of features overlap as little as possible: the spectrum is
measured at equal contrast, framing says where edges lie and not how strong they are, and bytes
leave out the metadata.
"""

from __future__ import annotations

import hashlib
from collections import Counter
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
from fauxlab.io.squares import Square, cut_square
from fauxlab.processors import usable_processors

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

FILE_FAMILIES = ("size", "aspect", "bytes", "encoding", "metadata")
PIXEL_FAMILIES = ("colour", "spectrum", "framing")
BLOCK = 256  # files in work at a time
# Pixels from the picture's centre, not resized: that would remove the traces.
SPECTRUM_SIDE = 256
SPECTRUM_BANDS = 32
THUMBNAIL = 64
# On a side. More cells would also tell faces with much background from faces with little.
FRAMING_CELLS = 4
ENDS = 3  # values at each end of the histogram that count as clipped
# How many times fewer values the chroma has, across and down → the usual name.
SUBSAMPLINGS = {
    (1, 1): "4:4:4",
    (2, 1): "4:2:2",
    (2, 2): "4:2:0",
}


@dataclass(frozen=True)
class ShortcutFeatures:
    """The features of one file: numbers by family, and what these look like in words.

    `looks` has a short text for each file family; `bits` is the picture's fingerprint, None where
    the pixels were not measured.
    """

    values: dict[str, Floats]
    looks: dict[str, str]
    bits: NDArray[np.bool_] | None


@dataclass(frozen=True)
class FeatureTable:
    """The features of the rows that could be measured, in order.

    The others are in `skipped` (path, reason).
    """

    rows: tuple[Row, ...]
    features: tuple[ShortcutFeatures, ...]
    skipped: tuple[tuple[str, str], ...]

    def values(self, family: str, index: Integers) -> Floats:
        """A family's numbers [len(index), K] of the given rows."""
        chosen = [self.features[i] for i in index.tolist()]
        values = [features.values[family] for features in chosen]
        return np.array(values, dtype=np.float64)


def measure_files(
    manifest: Manifest,
    pixels: bool = True,
    progress: Callable[[int], None] | None = None,
    workers: int | None = None,
) -> FeatureTable:
    """Measure every file of the manifest, in threads; without `pixels` only its header.

    Files that are gone, damaged, or changed since they were indexed are skipped. Memory: about 3 kB
    an image, and BLOCK files.
    """

    def measure(row: Row) -> ShortcutFeatures | ImageError:
        try:
            data = reader.read(manifest.resolve(row))
            digest = hashlib.sha256(data)
            if digest.hexdigest() != row.sha256:
                raise ImageError("changed since it was indexed; index the folder again")
            return measure_file(data, pixels, row.crop)
        except ImageError as error:
            return error

    rows: list[Row] = []
    features: list[ShortcutFeatures] = []
    skipped: list[tuple[str, str]] = []
    threads = workers or usable_processors()
    with FileReader() as reader, ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(manifest), BLOCK):
            block = manifest.rows[start : start + BLOCK]
            results = pool.map(measure, block)
            for row, result in zip(block, results, strict=True):
                if isinstance(result, ImageError):
                    skipped.append((row.path, str(result)))
                else:
                    rows.append(row)
                    features.append(result)
                if progress:
                    progress(1)
    return FeatureTable(tuple(rows), tuple(features), tuple(skipped))


def measure_file(data: bytes, pixels: bool = True, crop: Square | None = None) -> ShortcutFeatures:
    """All features of a file's bytes; without `pixels` only those of the file families.

    Where a crop stands for the picture, size, aspect, colour, spectrum and framing are the crop's,
    and the bytes are its share of the file by area: a network sees no more.

    The mark that this lab puts on generated pictures does not count as metadata: the mark is
    required, and decoding drops it. Raises ImageError on bytes that are no image, and on a crop
    that reaches beyond it.
    """
    encoding = describe_encoding(data)
    values, looks = _measure_header(data, encoding, crop)
    if not pixels:
        return ShortcutFeatures(values, looks, None)
    image = decode(data)
    seen = cut_square(image, crop) if crop else image
    thumbnail = to_square(seen, THUMBNAIL)
    values["colour"] = colour(seen, thumbnail)
    values["spectrum"] = spectrum(seen)
    values["framing"] = framing(thumbnail)
    # Reduced in the same way as when the manifest was made, so that both find the same
    # near-duplicates.
    if encoding.format == "JPEG":
        image = decode(data, at_least=64)
    return ShortcutFeatures(values, looks, fingerprint(image))


def colour(image: Image.Image, thumbnail: NDArray[np.uint8]) -> Floats:
    """Colour statistics [14] in 0 to 1.

    Of red, green and blue the mean, the deviation and the share of pixels at each end of the range;
    then mean and deviation of the saturation, (max - min) / max of a pixel of the thumbnail
    uint8 [3, H, W].
    """
    histogram = np.array(image.histogram(), dtype=np.float64)
    counts = histogram.reshape(3, 256)
    shares = counts / counts.sum(axis=1, keepdims=True)
    levels = np.arange(256) / 255
    mean = shares @ levels
    mean_square = shares @ levels**2
    variance = np.maximum(mean_square - mean**2, 0)
    deviation = np.sqrt(variance)
    darkest = shares[:, :ENDS]
    brightest = shares[:, -ENDS:]
    dark = darkest.sum(axis=1)
    bright = brightest.sum(axis=1)
    highest = thumbnail.max(axis=0)
    lowest = thumbnail.min(axis=0)
    divisor = np.maximum(highest, 1)
    saturation = (highest - lowest) / divisor
    of_saturation = [saturation.mean(), saturation.std()]
    return np.concatenate([mean, deviation, dark, bright, of_saturation])


def spectrum(image: Image.Image) -> Floats:
    """Mean log power of the luma in SPECTRUM_BANDS rings, from low to high frequencies.

    It is measured on the centre of the picture, up to SPECTRUM_SIDE pixels a side, which is not
    resized. The luma is brought to mean 0 and deviation 1, under a Hann window. A ring is a range
    of frequencies by their radius, up to the radius of the corner (Durall et al., 2020).
    """
    side = min(*image.size, SPECTRUM_SIDE)
    left = (image.width - side) // 2
    top = (image.height - side) // 2
    box = (left, top, left + side, top + side)
    centre = image.crop(box)
    luma = np.asarray(centre.convert("L"), dtype=np.float64)
    contrast = max(float(luma.std()), 1.0)
    luma = (luma - luma.mean()) / contrast
    window, ring, counts = _rings(side)
    transform = np.fft.rfft2(luma * window)
    power = np.abs(transform) ** 2
    log_power = np.log(power + 1e-10).ravel()
    sums = np.bincount(ring, log_power, minlength=SPECTRUM_BANDS)
    filled = np.flatnonzero(counts)  # small pictures leave rings empty
    means = sums[filled] / counts[filled]
    all_rings = np.arange(SPECTRUM_BANDS)
    return np.interp(all_rings, filled, means)


def framing(thumbnail: NDArray[np.uint8]) -> Floats:
    """Where edges lie [16]: the root of each cell's share of all gradients.

    On 4×4 cells of a thumbnail uint8 [3, S, S]; shares, so that the contrast does not count.
    """
    grey = thumbnail.mean(axis=0)
    down, across = np.gradient(grey)
    magnitude = np.hypot(down, across)
    size = len(down) // FRAMING_CELLS
    tiles = magnitude.reshape(FRAMING_CELLS, size, FRAMING_CELLS, size)
    cells = tiles.sum(axis=(1, 3)) + 1e-3
    shares = cells / cells.sum()
    roots: Floats = np.sqrt(shares).ravel()
    return roots


def _measure_header(
    data: bytes, encoding: Encoding, crop: Square | None
) -> tuple[dict[str, Floats], dict[str, str]]:
    """Numbers and texts of the file families."""
    width = encoding.width
    height = encoding.height
    metadata_size = sum(size for _, size in encoding.metadata)
    size = max(len(data) - metadata_size, 0)  # entries can share bytes
    bytes_per_pixel = (size + 1) / (width * height)
    if crop:
        width = height = crop.side
        size = round(bytes_per_pixel * width * height)
    ratio = width / height
    log_ratio = float(np.log2(ratio))
    metadata, kinds = _measure_metadata(data, encoding)
    values = {
        "size": np.log2([width, height]),
        "aspect": np.array([log_ratio, abs(log_ratio)]),
        "bytes": np.log2([size + 1, bytes_per_pixel]),
        "encoding": _encoding_numbers(encoding),
        "tables": _table_numbers(encoding),
        "metadata": metadata,
    }
    looks = {
        "size": f"{width}×{height}",
        "aspect": f"{ratio:.2f}",
        "bytes": f"{size / 1000:.3g} kB",
        "encoding": _name_encoding(encoding),
        "metadata": kinds,
    }
    return values, looks


def _measure_metadata(data: bytes, encoding: Encoding) -> tuple[Floats, str]:
    """The number of metadata entries, the logarithm of each kind's bytes, and the kinds in words.

    A picture with this lab's mark counts as one without metadata.
    """
    entries = () if read_mark(data) else encoding.metadata
    sizes: Counter[str] = Counter()
    for kind, size in entries:
        sizes[kind] += size
    present = [kind for kind in METADATA if kind in sizes]
    sizes_in_order = np.array([sizes[kind] for kind in METADATA])
    logs = np.log2(1 + sizes_in_order)
    values = np.array([len(entries), *logs])
    return values, " + ".join(present) or "none"


@lru_cache(maxsize=32)
def _rings(side: int) -> tuple[Floats, Integers, Integers]:
    """For pictures of one size: the window, each frequency's ring, and the frequencies in a ring.

    The window is [side, side], with power 1; the rings of all frequencies are flat; the counts are
    [SPECTRUM_BANDS].
    """
    hann = np.hanning(side + 1)[:side]
    power = (hann**2).sum()
    window = np.outer(hann, hann) / power
    down = np.fft.fftfreq(side)
    across = np.fft.rfftfreq(side)
    # The radius of a frequency, as a share of the corner's, whose frequency is 0.5 on both axes.
    radius = np.hypot(down[:, None], across) / np.sqrt(0.5)
    ring = (radius * SPECTRUM_BANDS).astype(np.int64)
    ring = np.minimum(ring, SPECTRUM_BANDS - 1).ravel()
    counts = np.bincount(ring, minlength=SPECTRUM_BANDS)
    return window, ring, counts


def _encoding_numbers(encoding: Encoding) -> Floats:
    is_format = [encoding.format == name for name in FORMATS]
    quality = encoding.quality or 0
    numbers = [*is_format, quality, *encoding.subsampling, encoding.progressive]
    return np.array(numbers, dtype=np.float64)


def _table_numbers(encoding: Encoding) -> Floats:
    """Logarithms [128] of the quantisation tables, 0 where there are none."""
    if encoding.tables is None:
        return np.zeros(128)
    tables = np.maximum(encoding.tables, 1)
    return np.log2(tables.ravel())


def _name_encoding(encoding: Encoding) -> str:
    if encoding.format != "JPEG":
        return encoding.format
    across, down = encoding.subsampling
    factors = (int(across), int(down))
    chroma = SUBSAMPLINGS.get(factors, f"{across:g}×{down:g}")
    name = f"JPEG q{encoding.quality or '?'} {chroma}"
    if encoding.progressive:
        name += " progressive"
    return name
