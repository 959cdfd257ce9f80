"""Limits on what the header of a picture may hold, checked before a decoder runs.

A small hostile file can keep a decoder busy for minutes or make it take gigabytes. The checks here
read only how a file is divided into parts, which takes milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from fauxlab.errors import LabError

# JPEG: segments of up to 64 KiB. A depth map or a provenance record of 10 MB takes 160.
MAX_SEGMENTS = 1_000
# JPEG: bytes between segments. Pillow skips them one at a time.
MAX_JUNK = 2**16
# PNG: a file of MAX_BYTES in pieces of 8 KiB, as libpng writes them, has 32,768 chunks.
MAX_CHUNKS = 50_000
# PNG: chunks without pixels. Each may unpack to 1 MB.
MAX_PNG_ENTRIES = 1_000
# TIFF: strips or tiles, and entries of the directory. Encoders write at most one strip a row.
MAX_STRIPS = 2**16

_PNG_HEADER_BYTES = 8
_PNG_PIXELS = (b"IDAT", b"fdAT", b"fcTL")

_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff]")
# The same without the markers of restarts, of which a picture may hold millions.
_JPEG_SEGMENT = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_JPEG_END = 0xD9
_JPEG_SCAN = 0xDA
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_PROGRESSIVE = frozenset({0xC2, 0xCA})
# Markers that no length follows, or that no standard defines. Pillow searches for the next marker
# right behind them.
_JPEG_BARE = frozenset({0x01, 0xC8, *range(0xD0, 0xDA), *range(0xF0, 0xFE)})

# Tags of a TIFF that list a number for each strip, tile or channel. Pillow reads such a list into a
# tuple.
_TIFF_LISTS = frozenset({258, 273, 279, 324, 325, 338, 339})
_BIG_TIFF = 43


class ImageError(LabError):
    """Bytes that are no usable picture; the message is the reason, without the path."""


@dataclass(frozen=True)
class Limits:
    """What one picture may cost: pixels of its largest frame, and seconds until it is decoded.

    Raises LabError on a limit that is not positive.
    """

    max_pixels: int = 2**26
    timeout: float = 20.0

    def __post_init__(self) -> None:
        if self.max_pixels < 1:
            raise LabError(f"max_pixels {self.max_pixels}: a positive number")
        if not self.timeout > 0:
            raise LabError(f"timeout {self.timeout}: a positive number of seconds")


# For a desk. docs/operating.md says what a server sets.
DEFAULT_LIMITS = Limits()


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, first byte and length of each chunk of a PNG.

    Bytes that follow the last chunk are read as if they were chunks, too.
    """
    position = _PNG_HEADER_BYTES
    while position + 8 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        body = position + 8
        yield kind, body, length
        # a checksum of 4 bytes follows the body
        position = body + length + 4


def refuse_segments(data: bytes) -> None:
    """Raise ImageError for a JPEG with too much before its first scan.

    Too much is more than MAX_SEGMENTS segments, or more than MAX_JUNK bytes between them.
    """
    position = 2
    junk = 0
    for _ in range(MAX_SEGMENTS):
        limit = position + MAX_JUNK + 2
        marker = _JPEG_MARKER.search(data, position, limit)
        junk_end = marker.start() if marker else min(len(data), limit)
        junk += junk_end - position
        if junk > MAX_JUNK:
            raise ImageError(
                f"a JPEG with more than {MAX_JUNK:,} bytes between the segments of its header"
            )
        if marker is None:
            return
        code = data[marker.start() + 1]
        if code == _JPEG_SCAN:
            return
        position = marker.end()
        if code not in _JPEG_BARE:
            position += _segment_length(data, position)
    raise ImageError(f"a JPEG with more than {MAX_SEGMENTS:,} segments before its picture")


def refuse_scans(data: bytes, most: int) -> None:
    """Raise ImageError for a JPEG of more than `most` scans.

    Bytes inside segments, such as thumbnails, do not count.
    """
    position = 2
    scans = 0
    progressive = False
    components = 0
    # The tables of a scan stand in segments before it, hence twice the limit of a header.
    for _ in range(2 * MAX_SEGMENTS):
        marker = _JPEG_SEGMENT.search(data, position)
        if marker is None:
            return
        code = data[marker.start() + 1]
        if code == _JPEG_END:
            return
        position = marker.end()
        if code in _JPEG_FRAMES:
            progressive = code in _JPEG_PROGRESSIVE
            components = _byte(data, position + 7)
        elif code == _JPEG_SCAN:
            scans += 1
            if scans > most:
                raise ImageError(f"a JPEG of more than {most:,} scans")
            # One sequential scan of all components is the whole picture. Decoders stop there, and
            # searching through its pixels would take time.
            is_whole = not progressive and _byte(data, position + 2) == components
            if is_whole:
                return
        position += _segment_length(data, position)
    raise ImageError(f"a JPEG of more than {2 * MAX_SEGMENTS:,} segments")


def refuse_chunks(data: bytes) -> None:
    """Raise ImageError for a PNG of more than MAX_CHUNKS chunks, MAX_PNG_ENTRIES without pixels."""
    entries = 0
    for number, (kind, _, _) in enumerate(png_chunks(data)):
        if kind not in _PNG_PIXELS:
            entries += 1
        if number >= MAX_CHUNKS:
            raise ImageError(f"a PNG of more than {MAX_CHUNKS:,} chunks")
        if entries > MAX_PNG_ENTRIES:
            raise ImageError(f"a PNG of more than {MAX_PNG_ENTRIES:,} chunks beside its pixels")
        if kind == b"IEND":
            return


def refuse_strips(data: bytes) -> None:
    """Raise ImageError for a TIFF whose first directory, or a list in it, is too long."""
    byte_order: Literal["little", "big"] = "little" if data.startswith(b"I") else "big"

    def number(start: int, size: int) -> int:
        return int.from_bytes(data[start : start + size], byte_order)

    # A BigTIFF, as far as Pillow knows it, writes every count and place in 8 bytes.
    if data[2] == _BIG_TIFF:
        place_bytes = 8
        count_bytes = 8
        directory_at = 8
    else:
        place_bytes = 4
        count_bytes = 2
        directory_at = 4
    directory = number(directory_at, place_bytes)
    entries = number(directory, count_bytes)
    if entries > MAX_STRIPS:
        raise ImageError(f"a TIFF of more than {MAX_STRIPS:,} entries")
    # An entry holds a tag (2 bytes), a type (2 bytes), the length of its list, and its place.
    entry_bytes = 4 + 2 * place_bytes
    first = directory + count_bytes
    for entry in range(first, first + entries * entry_bytes, entry_bytes):
        tag = number(entry, 2)
        length = number(entry + 4, place_bytes)
        if tag in _TIFF_LISTS and length > MAX_STRIPS:
            raise ImageError(f"a TIFF of more than {MAX_STRIPS:,} strips or tiles")


def _segment_length(data: bytes, position: int) -> int:
    """Length of a JPEG segment with its own two bytes; never less, so that a search moves on."""
    stated = int.from_bytes(data[position : position + 2], "big")
    return max(2, stated)


def _byte(data: bytes, position: int) -> int:
    """The number at a position, 0 behind the end."""
    return int.from_bytes(data[position : position + 1], "big")
