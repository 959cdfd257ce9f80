"""How a WebP is divided: chunks of a RIFF file, some with pixels, some beside them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice

from fauxlab.io.decoding.metadata import MAX_EXIF, MAX_PROFILE, MAX_XMP, Stripped
from fauxlab.io.limits import ImageError

MAX_CHUNKS = 50_000

_HEADER_BYTES = 12
_EXTENDED = b"VP8X"
_LOSSY = b"VP8 "
_LOSSLESS = b"VP8L"
_FIRST = (_EXTENDED, _LOSSY, _LOSSLESS)
_FRAME = b"ANMF"
_PIXELS = (_LOSSY, _LOSSLESS, b"ALPH", b"ANIM", _FRAME)
_METADATA = {b"EXIF": "exif", b"ICCP": "icc", b"XMP ": "xmp"}
_ANIMATED = 0x02
# Flags of VP8X: a colour profile, EXIF and XMP are in the file.
_HAS_METADATA = 0x20 | 0x08 | 0x04
_LOSSY_START = b"\x9d\x01\x2a"
_LOSSLESS_START = 0x2F


def is_webp(data: bytes) -> bool:
    """Whether the bytes begin as a WebP does."""
    return data.startswith(b"RIFF") and data[8:12] == b"WEBP" and data[12:16] in _FIRST


def is_animated(data: bytes) -> bool:
    """Whether a WebP says that it holds more than one frame."""
    return data[12:16] == _EXTENDED and bool(_byte(data, 20) & _ANIMATED)


def strip_webp(data: bytes) -> Stripped:
    """Cut the metadata out of a WebP, and complete its frame where the last byte is missing.

    That byte is the padding of a chunk of odd length. The decoder reads nothing of a file that is
    shorter than its frame says. Of an animation that is cut off, the whole frames stay.

    Raises ImageError for more than MAX_CHUNKS chunks.
    """
    size = _read_size(data)
    if data[12:16] != _EXTENDED:
        # A simple file is one chunk. Whatever follows is not part of it.
        kind, start, length = next(_chunks(data))
        return Stripped(_frame([_chunk(data, kind, start, length)]), size)
    kept = []
    metadata: dict[bytes, bytes] = {}
    for number, (kind, start, length) in enumerate(_chunks(data)):
        if number >= MAX_CHUNKS:
            raise ImageError(f"a WebP of more than {MAX_CHUNKS:,} chunks")
        if kind == _EXTENDED and number == 0:
            flags = _byte(data, start) & ~_HAS_METADATA
            body = bytes([flags]) + data[start + 1 : start + length]
            kept.append(kind + struct.pack("<I", length) + body)
        elif kind in _PIXELS:
            if kind == _FRAME and start + length > len(data) and _holds_frame(kept):
                # The decoder would refuse the whole animation.
                break
            kept.append(_chunk(data, kind, start, length))
        elif length <= MAX_PROFILE:
            metadata.setdefault(kind, data[start : start + length])
    return Stripped(
        _frame(kept),
        size,
        exif=metadata.get(b"EXIF", b"")[: MAX_EXIF + 1],
        xmp=metadata.get(b"XMP ", b"")[: MAX_XMP + 1],
        profile=metadata.get(b"ICCP", b""),
    )


def webp_metadata(data: bytes) -> Iterator[tuple[str, int]]:
    """Kind and length of the entries that describe the picture."""
    if data[12:16] != _EXTENDED:
        return
    lengths = {kind: length for kind, _, length in islice(_chunks(data), MAX_CHUNKS)}
    for chunk, kind in _METADATA.items():
        if lengths.get(chunk):
            yield kind, lengths[chunk]


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, first byte and length of each chunk, as its header states them."""
    position = _HEADER_BYTES
    while position + 8 <= len(data):
        kind = data[position : position + 4]
        (length,) = struct.unpack_from("<I", data, position + 4)
        yield kind, position + 8, length
        position += 8 + length + length % 2


def _chunk(data: bytes, kind: bytes, start: int, length: int) -> bytes:
    """A chunk anew, its padding included; without it where more than the padding is missing."""
    body = data[start : start + length]
    is_whole = len(body) == length
    padding = bytes(length % 2) if is_whole else b""
    return kind + struct.pack("<I", length) + body + padding


def _holds_frame(chunks: list[bytes]) -> bool:
    return any(chunk.startswith(_FRAME) for chunk in chunks)


def _frame(chunks: list[bytes]) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _read_size(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == _EXTENDED:
        width = int.from_bytes(data[24:27], "little")
        height = int.from_bytes(data[27:30], "little")
        return width + 1, height + 1
    if kind == _LOSSY and data[23:26] == _LOSSY_START:
        width = int.from_bytes(data[26:28], "little")
        height = int.from_bytes(data[28:30], "little")
        return width & 0x3FFF, height & 0x3FFF
    if kind == _LOSSLESS and _byte(data, 20) == _LOSSLESS_START:
        bits = int.from_bytes(data[21:25], "little")
        width = bits & 0x3FFF
        height = bits >> 14 & 0x3FFF
        return width + 1, height + 1
    return None


def _byte(data: bytes, position: int) -> int:
    """The number at a position, 0 behind the end."""
    return int.from_bytes(data[position : position + 1], "big")
