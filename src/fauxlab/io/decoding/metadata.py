"""What a file says about its picture, as far as that changes pixels: rotation and colour profile.

The decoders never see metadata. They would parse all of it, however large or broken, and refuse a
sound picture for it. The modules of the formats (`jpeg`, `png`, `webp`, `tiff`, `heif`) cut it out
of a file's bytes. The little that counts is read here; what cannot be read is ignored.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Literal

# Longer metadata is ignored. A segment of a JPEG, where EXIF comes from, holds 64 KiB. The largest
# profiles in use, of printing presses, take 3 MB.
MAX_EXIF = 2**16
MAX_XMP = 2**20
MAX_PROFILE = 2**22

ORIENTATION = 0x0112  # the EXIF tag
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')
_EXIF_START = b"Exif\0\0"
# Types of a TIFF entry that hold an integer, and its bytes.
_INTEGER_BYTES = {1: 1, 3: 2, 4: 4, 6: 1, 8: 2, 9: 4}
_ENTRY_BYTES = 12


@dataclass(frozen=True)
class Stripped:
    """A file without its metadata, and the entries that may change pixels, empty where missing.

    `size` is the width and height in the file's header, before any rotation; None where only the
    decoder can tell. `scans` is how often a decoder passes over all pixels.
    """

    data: bytes
    size: tuple[int, int] | None = None
    exif: bytes = b""
    xmp: bytes = b""
    profile: bytes = b""
    scans: int = 1


def read_orientation(exif: bytes, xmp: bytes) -> int:
    """How the picture is to be turned, 1 to 8 as in EXIF; 1 where nothing sound says it."""
    if len(exif) <= MAX_EXIF:
        orientation = _exif_orientation(exif.removeprefix(_EXIF_START))
        if orientation is not None:
            return orientation
    if len(xmp) <= MAX_XMP:
        found = _XMP_ORIENTATION.search(xmp)
        if found:
            return int(found[1])
    return 1


def inflate(packed: bytes, most: int) -> bytes:
    """What zlib packed; empty where it is broken, or more than `most` bytes."""
    unpacker = zlib.decompressobj()
    try:
        unpacked = unpacker.decompress(packed, most + 1)
    except zlib.error:
        return b""
    return unpacked if len(unpacked) <= most else b""


def _exif_orientation(tiff: bytes) -> int | None:
    """The tag's value in the first directory, None where it is missing or no single integer."""
    byte_order: Literal["little", "big"]
    if tiff.startswith(b"II"):
        byte_order = "little"
    elif tiff.startswith(b"MM"):
        byte_order = "big"
    else:
        return None

    def number(start: int, size: int) -> int:
        return int.from_bytes(tiff[start : start + size], byte_order)

    directory = number(4, 4)
    entries = number(directory, 2)
    first = directory + 2
    last = min(first + entries * _ENTRY_BYTES, len(tiff) - _ENTRY_BYTES + 1)
    for entry in range(first, last, _ENTRY_BYTES):
        if number(entry, 2) != ORIENTATION:
            continue
        size = _INTEGER_BYTES.get(number(entry + 2, 2))
        count = number(entry + 4, 4)
        if size is None or count != 1:
            return None
        return number(entry + 8, size)
    return None
