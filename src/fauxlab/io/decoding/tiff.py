"""How a TIFF is divided: directories, one a page, of entries that lead to lists of numbers.

A decoder sees only those entries that it needs for the pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from fauxlab.io.decoding.jpeg import count_scans
from fauxlab.io.decoding.metadata import MAX_PROFILE, MAX_XMP, ORIENTATION, Stripped
from fauxlab.io.limits import MAX_SCANNED, MAX_SCANS, ImageError

# Byte order, then a number: 42, or 43 in a BigTIFF. Some writers turn the bytes of 42.
PREFIXES = (b"II*\0", b"MM\0*", b"II\0*", b"MM*\0", b"II+\0", b"MM\0+")
# Strips or tiles, and entries of a directory. Encoders write at most one strip a row.
MAX_STRIPS = 2**16
MAX_PAGES = 1_000
_BIG = 43

_KIND = 254
_WIDTH = 256
_HEIGHT = 257
_BITS = 258
_COMPRESSION = 259
_PHOTOMETRIC = 262
_STRIPS = 273
_ROWS = 278
_STRIP_BYTES = 279
_PLANAR = 284
_COLOUR_MAP = 320
_TILE_WIDTH = 322
_TILE_HEIGHT = 323
_TILES = 324
_TILE_BYTES = 325
_NUMBERS = 339
_UNSIGNED = 1
_SIGNED = 2
_JPEG_START = 513
_JPEG_BYTES = 514
_XMP = 700
_PROFILE = 34675
# Tags that say how to read pixels: TIFF 6.0, its supplements, and the tags of its JPEGs.
_NEEDED = frozenset(
    {_KIND, 255, _WIDTH, _HEIGHT, 258, _COMPRESSION, 262, 266, _STRIPS, ORIENTATION, 277, _ROWS}
    | {_STRIP_BYTES, 280, 281, 284, 290, 291, 292, 293, 317, _COLOUR_MAP}
    | {_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES, 332, 333, 334, 336, 338, 339, 340, 341}
    | {347, *range(512, 522), 529, 530, 531, 532, 50674}
)
# Numbers that a tag may list, where it may be more than 64.
_MOST_NUMBERS = {
    **dict.fromkeys((258, _STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES, 338, 339), MAX_STRIPS),
    **dict.fromkeys((280, 281, 290, 291, 333, 340, 341, 347), MAX_STRIPS),
    _COLOUR_MAP: 3 * 2**16,
}
_MOST_OTHERS = 64
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 7: 1, 8: 2, 9: 4, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS = frozenset({1, 3, 4, 6, 8, 9, 13, 16})
_OLD_JPEG = 6
_JPEG = 7
# Bits of the tag 254: a smaller copy of another page, a mask of another page.
_COPY = 1 | 4


@dataclass(frozen=True)
class _Entry:
    """An entry of a directory, and the bytes that it takes there."""

    tag: int
    type: int
    count: int
    raw: bytes


@dataclass(frozen=True)
class _Directory:
    """A page: where its directory stands, and the entries in it that matter, by tag."""

    place: int
    entries: dict[int, _Entry]


def strip_tiff(data: bytes, pages: bool) -> Stripped:
    """A TIFF whose first page, or with `pages` each page, has the entries for its pixels only.

    Pages that are smaller copies or masks of others are left out. Raises ImageError for directories
    or lists that are longer than encoders write, and for more JPEG scans than `_refuse_scans`
    allows.
    """
    reader = _Reader(data)
    directories = reader.directories(MAX_PAGES if pages else 1)
    if not directories:
        return Stripped(data)
    first, *others = directories
    shown = [first]
    for directory in others:
        if not reader.integer(directory, _KIND) & _COPY:
            shown.append(directory)
    for directory in shown:
        _refuse_layout(reader, directory)
        _refuse_scans(reader, directory)
    xmp = b"" if ORIENTATION in first.entries else reader.body(first, _XMP, MAX_XMP)
    profile = reader.body(first, _PROFILE, MAX_PROFILE)
    return Stripped(reader.write(shown), xmp=xmp, profile=profile)


def tiff_metadata(data: bytes) -> Iterator[tuple[str, int]]:
    """Kind and length of the entries that describe the first page."""
    for directory in _Reader(data).directories(1):
        for tag, kind in ((_PROFILE, "icc"), (_XMP, "xmp")):
            entry = directory.entries.get(tag)
            if entry and entry.count:
                yield kind, entry.count * _TYPE_BYTES.get(entry.type, 0)


class _Reader:
    """Reads and writes the directories of one file."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.byte_order: Literal["little", "big"] = "little" if data[:1] == b"I" else "big"
        # A BigTIFF writes every count and place in 8 bytes.
        self.is_big = _BIG in data[2:4]
        self.place_bytes = 8 if self.is_big else 4
        self.count_bytes = 8 if self.is_big else 2
        self.first_at = 8 if self.is_big else 4
        # An entry holds a tag (2 bytes), a type (2 bytes), the length of its list, and its place.
        self.entry_bytes = 4 + 2 * self.place_bytes

    def number(self, start: int, size: int) -> int:
        return int.from_bytes(self.data[start : start + size], self.byte_order)

    def directories(self, most: int) -> list[_Directory]:
        """The first pages."""
        found: list[_Directory] = []
        seen: set[int] = set()
        place = self.number(self.first_at, self.place_bytes)
        while 0 < place < len(self.data) and place not in seen and len(found) < most:
            seen.add(place)
            count = self.number(place, self.count_bytes)
            if count > MAX_STRIPS:
                raise ImageError(f"a TIFF of more than {MAX_STRIPS:,} entries")
            first = place + self.count_bytes
            behind = first + count * self.entry_bytes
            entries = self._entries(first, behind)
            found.append(_Directory(place, entries))
            place = self.number(behind, self.place_bytes)
        return found

    def _entries(self, first: int, behind: int) -> dict[int, _Entry]:
        entries: dict[int, _Entry] = {}
        last_whole = len(self.data) - self.entry_bytes
        for start in range(first, min(behind, last_whole + 1), self.entry_bytes):
            tag = self.number(start, 2)
            if tag not in _NEEDED and tag not in (_XMP, _PROFILE):
                continue
            kind = self.number(start + 2, 2)
            count = self.number(start + 4, self.place_bytes)
            most = _MOST_NUMBERS.get(tag, _MOST_OTHERS)
            if tag == ORIENTATION and count != 1:
                continue
            if tag in _NEEDED and count > most:
                what = "strips or tiles" if most == MAX_STRIPS else f"numbers for its tag {tag}"
                raise ImageError(f"a TIFF of more than {most:,} {what}")
            raw = self.data[start : start + self.entry_bytes]
            entries.setdefault(tag, _Entry(tag, kind, count, raw))
        return entries

    def body(self, directory: _Directory, tag: int, most: int) -> bytes:
        """The bytes that an entry leads to; empty where it is missing or longer than `most`."""
        entry = directory.entries.get(tag)
        if entry is None:
            return b""
        length = entry.count * _TYPE_BYTES.get(entry.type, 0)
        if length > most:
            return b""
        if length <= self.place_bytes:
            return entry.raw[-self.place_bytes :][:length]
        place = int.from_bytes(entry.raw[-self.place_bytes :], self.byte_order)
        return self.data[place : place + length]

    def integers(self, directory: _Directory, tag: int) -> list[int]:
        """The numbers that an entry lists; none where it is missing or lists no integers."""
        entry = directory.entries.get(tag)
        if entry is None or entry.type not in _INTEGERS:
            return []
        size = _TYPE_BYTES[entry.type]
        body = self.body(directory, tag, 8 * MAX_STRIPS)
        starts = range(0, len(body), size)
        return [int.from_bytes(body[start : start + size], self.byte_order) for start in starts]

    def integer(self, directory: _Directory, tag: int, otherwise: int = 0) -> int:
        numbers = self.integers(directory, tag)
        return numbers[0] if numbers else otherwise

    def write(self, directories: list[_Directory]) -> bytes:
        """The file with these directories only, each in its place and without other entries.

        Nothing is put behind the end, where a decoder would take it for pixels that are missing.
        """
        changed = bytearray(self.data)
        following = 0
        for directory in reversed(directories):
            entries = sorted(directory.entries.items())
            kept = [entry.raw for tag, entry in entries if tag in _NEEDED]
            count = self._bytes(len(kept), self.count_bytes)
            written = b"".join([count, *kept, self._bytes(following, self.place_bytes)])
            changed[directory.place : directory.place + len(written)] = written
            following = directory.place
        return bytes(changed)

    def _bytes(self, number: int, size: int) -> bytes:
        return number.to_bytes(size, self.byte_order)


def _refuse_layout(reader: _Reader, directory: _Directory) -> None:
    """Raise ImageError for numbers of more than 8 bits that Pillow takes for others."""
    bits = max(reader.integers(directory, _BITS), default=1)
    if bits <= 8:
        return
    white_is_zero = reader.integer(directory, _PHOTOMETRIC, 1) == 0
    is_apart = reader.integer(directory, _PLANAR, 1) == 2
    is_raw = reader.integer(directory, _COMPRESSION, 1) == 1
    kind = reader.integer(directory, _NUMBERS, _UNSIGNED)
    is_odd = bits == 12 or (bits, kind) in ((16, _SIGNED), (32, _UNSIGNED))
    if white_is_zero or (is_apart and is_raw) or is_odd:
        raise ImageError(f"a TIFF that stores numbers of {bits} bits in a rare way; save it as PNG")


def _refuse_scans(reader: _Reader, directory: _Directory) -> None:
    """Raise ImageError where the JPEGs of a page have too many scans.

    Each strip or tile is a JPEG of its own, and one of them may be named by many entries.
    """
    compression = reader.integer(directory, _COMPRESSION)
    if compression not in (_OLD_JPEG, _JPEG):
        return
    width = reader.integer(directory, _WIDTH)
    height = reader.integer(directory, _HEIGHT)
    if _TILES in directory.entries:
        columns = reader.integer(directory, _TILE_WIDTH, width)
        rows = reader.integer(directory, _TILE_HEIGHT, height)
    else:
        columns = width
        rows = min(reader.integer(directory, _ROWS, height), height)
    starts = reader.integers(directory, _STRIPS) or reader.integers(directory, _TILES)
    lengths = reader.integers(directory, _STRIP_BYTES) or reader.integers(directory, _TILE_BYTES)
    parts = list(zip(starts, lengths, strict=False))
    if compression == _OLD_JPEG and _JPEG_START in directory.entries:
        start = reader.integer(directory, _JPEG_START)
        length = reader.integer(directory, _JPEG_BYTES, len(reader.data))
        parts.append((start, length))
    counted: dict[tuple[int, int], int] = {}
    scanned = 0
    for part in parts:
        start, length = part
        if part not in counted:
            counted[part] = count_scans(reader.data[start : start + length], MAX_SCANS)
        scanned += counted[part] * columns * rows
        if scanned > MAX_SCANNED:
            raise ImageError(f"a TIFF whose JPEGs have scans over more than {MAX_SCANNED:,} pixels")
