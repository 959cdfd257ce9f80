"""What the header of a picture may hold at most, asked before a decoder takes minutes or gigabytes
for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from fauxlab.errors import LabError

MAX_SEGMENTS = 1_000  # of 64 KiB; a depth map or a provenance record of 10 MB takes 160
MAX_JUNK = 2**16  # bytes between segments, which Pillow takes one by one
MAX_CHUNKS = 50_000  # a PNG of MAX_BYTES in pieces of 8 KiB, which libpng writes, has 32,768
MAX_PNG_ENTRIES = 1_000  # chunks without pixels: each may unpack to 1 MB
# of a TIFF, and entries of its directory: encoders write at most one strip a row
MAX_STRIPS = 2**16
# What a TIFF's header lists once a strip or tile (offsets and sizes) or a channel, and Pillow as a
# tuple of numbers.
_TIFF_LISTS = frozenset({258, 273, 279, 324, 325, 338, 339})
_PNG_PIXELS = (b"IDAT", b"fdAT", b"fcTL")
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff]")
_JPEG_SEGMENT = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")  # of restarts there may be millions
# Markers that no length follows, or that nobody knows: Pillow looks for the next one in what
# follows.
_JPEG_BARE = frozenset({0x01, 0xC8, *range(0xD0, 0xDA), *range(0xF0, 0xFE)})
_JPEG_PROGRESSIVE = (0xC2, 0xCA)


class ImageError(LabError):
    """Bytes that are no usable picture; the message is the reason, without the path."""


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, first byte and length of each chunk, and of what may pass for one behind the last."""
    position = 8
    while position + 8 <= len(data):
        length, kind = (
            int.from_bytes(data[position : position + 4], "big"),
            data[position + 4 : position + 8],
        )
        yield kind, position + 8, length
        position += length + 12


def refuse_segments(data: bytes) -> None:
    """Raises ImageError on a JPEG of too many segments, or too much between them, before its first
    scan.
    """
    position, junk = 2, 0
    for _ in range(MAX_SEGMENTS):
        found = _JPEG_MARKER.search(data, position, position + MAX_JUNK + 2)
        junk += (found.start() if found else min(len(data), position + MAX_JUNK + 2)) - position
        if junk > MAX_JUNK:
            raise ImageError(
                f"a JPEG with more than {MAX_JUNK:,} bytes between the segments of its header"
            )
        if not found or (code := data[found.start() + 1]) == 0xDA:
            return
        position = found.end() + (0 if code in _JPEG_BARE else _length(data, found.end()))
    raise ImageError(f"a JPEG with more than {MAX_SEGMENTS:,} segments before its picture")


def refuse_scans(data: bytes, most: int) -> None:
    """Raises ImageError on a JPEG of more than `most` scans. Bytes inside segments (thumbnails) do
    not count.
    """
    position, scans, progressive, components = 2, 0, False, 0
    for _ in range(2 * MAX_SEGMENTS):  # a scan's tables stand before it
        found = _JPEG_SEGMENT.search(data, position)
        if not found or (code := data[found.start() + 1]) == 0xD9:
            return
        position = found.end()
        if 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):
            progressive, components = (
                code in _JPEG_PROGRESSIVE,
                int.from_bytes(data[position + 7 : position + 8]),
            )
        elif code == 0xDA:
            scans += 1
            if scans > most:
                raise ImageError(f"a JPEG of more than {most:,} scans")
            if not progressive and int.from_bytes(data[position + 2 : position + 3]) == components:
                # the whole picture: no decoder looks further, and the search would take time
                return
        position += _length(data, position)
    raise ImageError(f"a JPEG of more than {2 * MAX_SEGMENTS:,} segments")


def _length(data: bytes, position: int) -> int:
    return max(2, int.from_bytes(data[position : position + 2]))


def refuse_chunks(data: bytes) -> None:
    """Raises ImageError on a PNG of too many chunks."""
    entries = 0
    for number, (kind, _, _) in enumerate(png_chunks(data)):
        entries += kind not in _PNG_PIXELS
        if number >= MAX_CHUNKS:
            raise ImageError(f"a PNG of more than {MAX_CHUNKS:,} chunks")
        if entries > MAX_PNG_ENTRIES:
            raise ImageError(f"a PNG of more than {MAX_PNG_ENTRIES:,} chunks beside its pixels")
        if kind == b"IEND":
            return


def refuse_strips(data: bytes) -> None:
    """Raises ImageError on a TIFF whose first directory, or a list in it, is longer than encoders
    write.
    """

    def number(start: int, size: int) -> int:
        return int.from_bytes(
            data[start : start + size], "little" if data.startswith(b"I") else "big"
        )

    # A BigTIFF, as far as Pillow knows one, writes every count and place in 8 bytes.
    wide, head, at = (8, 8, 8) if data[2] == 43 else (4, 2, 4)
    start = number(at, wide)
    entries = number(start, head)
    if entries > MAX_STRIPS:
        raise ImageError(f"a TIFF of more than {MAX_STRIPS:,} entries")
    for entry in range(start + head, start + head + entries * (4 + 2 * wide), 4 + 2 * wide):
        if number(entry, 2) in _TIFF_LISTS and number(entry + 4, wide) > MAX_STRIPS:
            raise ImageError(f"a TIFF of more than {MAX_STRIPS:,} strips or tiles")
