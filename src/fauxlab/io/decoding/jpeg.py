"""How a JPEG is divided: its segments, its scans, and whether its end is there.

The checks read only markers and lengths, which takes milliseconds. A decoder may need minutes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from fauxlab.io.decoding.metadata import MAX_PROFILE, Stripped
from fauxlab.io.limits import ImageError, most_scans

START = b"\xff\xd8\xff"
END_MARKER = b"\xff\xd9"
# Segments of up to 64 KiB. A depth map or a provenance record of 10 MB takes 160.
MAX_SEGMENTS = 1_000
# Bytes between segments. Pillow skips them one at a time.
MAX_JUNK = 2**16

_MARKER = re.compile(rb"\xff[^\x00\xff]")
# The same without the markers of restarts, of which a picture may hold millions.
_SEGMENT = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_END = 0xD9
_SCAN = 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xCA})
# Markers that no length follows, or that no standard defines. Pillow searches for the next marker
# right behind them.
_BARE = frozenset({0x01, 0xC8, *range(0xD0, 0xDA), *range(0xF0, 0xFE)})
APP0 = 0xE0
APP1 = 0xE1
APP2 = 0xE2
APP14 = 0xEE
COMMENT = 0xFE
# Markers of segments that may be metadata.
METADATA = frozenset({*range(APP0, 0xF0), COMMENT})
# The two application segments that say how to read the pixels, with the length that libjpeg needs.
_NEEDED = {APP0: (b"JFIF\0", 14), APP14: (b"Adobe", 12)}
_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_PROFILE = b"ICC_PROFILE\0"
_COEFFICIENTS = 64  # of a block
_SCAN_BYTES = 6  # of a scan's header with one component
# A run of zeros at the end of a file: not pixels, but a download that stopped.
_PADDING = bytes(512)


def _make_fillers() -> tuple[bytes, ...]:
    """Bytes in the place of pixels that may be missing, unlike each other from the first bits on.

    Restart markers stand among them, since a decoder may skip everything up to the next one.
    """
    fillers = [b""]
    for number in range(8):
        first = number << 5 | 0x15
        piece = bytes((first + 89 * step) % 251 for step in range(64))
        markers = [bytes([0xFF, 0xD0 + restart]) + piece for restart in range(8)]
        fillers.append(piece + 2 * b"".join(markers))
    return tuple(fillers)


FILLERS = _make_fillers()


class Segment(NamedTuple):
    """A part of a JPEG's header: its marker's second byte, first byte, body and end."""

    code: int
    start: int
    body: bytes
    end: int


class _Frame(NamedTuple):
    """What a JPEG says of its picture: sides in pixels, the colour components, how they come."""

    width: int
    height: int
    components: tuple[int, ...]
    progressive: bool


def strip_jpeg(data: bytes) -> Stripped:
    """Cut the metadata out of a JPEG.

    Raises ImageError for more than MAX_SEGMENTS segments or MAX_JUNK bytes between them before the
    first scan, and for more scans than `most_scans` allows.
    """
    kept = []
    exif = xmp = b""
    profile_parts = []
    size = None
    position = 0
    for segment in header_segments(data):
        body = segment.body
        if segment.code in _FRAMES:
            frame = _read_frame(segment.code, body)
            size = frame.width, frame.height
        if not _is_dropped(segment):
            continue
        kept.append(data[position : segment.start])
        position = segment.end
        if segment.code == APP1 and body.startswith(_EXIF):
            exif = exif or body
        elif segment.code == APP1 and body.startswith(_XMP):
            xmp = body
        elif segment.code == APP2 and body.startswith(_PROFILE):
            profile_parts.append(body[len(_PROFILE) :])
    if kept:
        data = b"".join([*kept, data[position:]])
    pixels = size[0] * size[1] if size else 1
    scans = count_scans(data, most_scans(pixels))
    if lacks_end(data):
        # It is decoded with each filler.
        scans *= len(FILLERS) + 1
    return Stripped(data, size, exif, xmp, _join_profile(profile_parts), scans)


def header_segments(data: bytes) -> Iterator[Segment]:
    """The segments before the first scan. Raises ImageError as `strip_jpeg` does."""
    position = 2
    junk = 0
    for _ in range(MAX_SEGMENTS):
        limit = position + MAX_JUNK + 2
        marker = _MARKER.search(data, position, limit)
        junk_end = marker.start() if marker else min(len(data), limit)
        junk += junk_end - position
        if junk > MAX_JUNK:
            raise ImageError(
                f"a JPEG with more than {MAX_JUNK:,} bytes between the segments of its header"
            )
        if marker is None:
            return
        code = data[marker.start() + 1]
        if code == _SCAN:
            return
        position = marker.end()
        if code not in _BARE:
            body = position + 2
            position += _segment_length(data, position)
            yield Segment(code, marker.start(), data[body:position], position)
    raise ImageError(f"a JPEG with more than {MAX_SEGMENTS:,} segments before its picture")


def count_scans(data: bytes, most: int) -> int:
    """The scans of a JPEG. Raises ImageError for more than `most`.

    Bytes inside segments, such as thumbnails, do not count.
    """
    scans = 0
    frame = None
    # The tables of a scan stand in segments before it, hence twice the limit of a header.
    for number, (code, body) in enumerate(_all_segments(data)):
        if number >= 2 * MAX_SEGMENTS:
            raise ImageError(f"a JPEG of more than {2 * MAX_SEGMENTS:,} segments")
        if code in _FRAMES:
            frame = _read_frame(code, body)
        elif code == _SCAN:
            scans += 1
            if scans > most:
                raise ImageError(f"a JPEG of more than {most:,} scans")
            # One sequential scan of all components is the whole picture. Decoders stop there, and
            # searching through its pixels would take time.
            if frame and not frame.progressive and body[:1] == bytes([len(frame.components)]):
                break
    return scans


def lacks_end(data: bytes) -> bool:
    """Whether no marker of the end follows the first scan of a stripped JPEG."""
    scan = data.find(bytes([0xFF, _SCAN]))
    # From behind, since nearly always the marker is the last.
    return data.rfind(END_MARKER, max(scan, 0)) < 0


def without_padding(data: bytes) -> bytes:
    """A JPEG without an end, and without half an end or zeros there."""
    if data.endswith(_PADDING):
        data = data.rstrip(b"\0")
        # The zero behind 255 belongs to the pixels.
        return data + b"\0" if data.endswith(b"\xff") else data
    return data.removesuffix(b"\xff")


def has_all_scans(data: bytes) -> bool:
    """Whether the scans of a JPEG bring every coefficient of every component to full precision.

    A progressive JPEG that is cut off between two scans would otherwise look complete.
    """
    missing_bits: dict[tuple[int, int], int] = {}
    for code, body in _all_segments(data):
        if code in _FRAMES:
            frame = _read_frame(code, body)
            if not frame.progressive:
                return True
            for component in frame.components:
                for coefficient in range(_COEFFICIENTS):
                    missing_bits[component, coefficient] = 1
        elif code == _SCAN:
            if len(body) < _SCAN_BYTES:
                return False
            components = body[1:-3:2]
            first, last, precision = body[-3:]
            for component in components:
                for coefficient in range(first, last + 1):
                    missing_bits[component, coefficient] = precision & 15
    return not any(missing_bits.values())


def _all_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Code and body of every segment up to the end, those between the scans included."""
    position = 2
    while True:
        marker = _SEGMENT.search(data, position)
        if marker is None:
            return
        code = data[marker.start() + 1]
        if code == _END:
            return
        position = marker.end()
        length = _segment_length(data, position)
        yield code, data[position + 2 : position + length]
        position += length


def _read_frame(code: int, body: bytes) -> _Frame:
    height = int.from_bytes(body[1:3], "big")
    width = int.from_bytes(body[3:5], "big")
    components = tuple(body[6::3])
    count = int.from_bytes(body[5:6], "big")
    return _Frame(width, height, components[:count], code in _PROGRESSIVE)


def _is_dropped(segment: Segment) -> bool:
    if segment.code not in METADATA:
        return False
    start, length = _NEEDED.get(segment.code, (b"", 0))
    is_whole = segment.body.startswith(start) and len(segment.body) >= length
    is_needed = segment.code in _NEEDED and is_whole
    return not is_needed


def _join_profile(parts: list[bytes]) -> bytes:
    """A colour profile from its parts: each begins with its number, from 1, and their count."""
    parts.sort()
    if not parts or parts[0][1:2] != bytes([len(parts) & 255]):
        return b""
    profile = b"".join(part[2:] for part in parts)
    return profile if len(profile) <= MAX_PROFILE else b""


def _segment_length(data: bytes, position: int) -> int:
    """Length of a segment with its own two bytes; never less, so that a search moves on."""
    stated = int.from_bytes(data[position : position + 2], "big")
    return max(2, stated)
