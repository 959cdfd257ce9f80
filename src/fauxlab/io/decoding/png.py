"""How a PNG is divided: chunks with pixels, and chunks beside them.

Only the former reach the decoder. It would refuse a picture for a wrong checksum of a comment.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from fauxlab.io.decoding.metadata import MAX_EXIF, MAX_PROFILE, MAX_XMP, Stripped, inflate
from fauxlab.io.limits import ImageError

START = b"\x89PNG\r\n\x1a\n"
# A file of MAX_BYTES in pieces of 8 KiB, as libpng writes them, has 32,768 chunks.
MAX_CHUNKS = 50_000
# Chunks without pixels.
MAX_ENTRIES = 1_000

_PIXELS = (b"IDAT", b"fdAT", b"fcTL")
_PICTURE = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_ANIMATION = (b"acTL", b"fcTL", b"fdAT")
_TRANSPARENCY = b"tRNS"
_XMP = b"XML:com.adobe.xmp\0"
_RAW_EXIF = b"Raw profile type exif\0"
# Bytes of the chunk tRNS, by the colour type of the picture: grey, RGB; for a palette at most.
_TRANSPARENT_GREY = {0: 2, 2: 6}
_PALETTE = 3
_COLOURS = 256


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, first byte and length of each chunk of a PNG.

    Bytes that follow the last chunk are read as if they were chunks, too.
    """
    position = len(START)
    while position + 8 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        body = position + 8
        yield kind, body, length
        # a checksum of 4 bytes follows the body
        position = body + length + 4


def is_animated(data: bytes) -> bool:
    """Whether a PNG says that it holds more than one frame."""
    for number, (kind, _, _) in enumerate(png_chunks(data)):
        if kind == b"acTL":
            return True
        if kind == b"IDAT" or number > MAX_ENTRIES:
            break
    return False


def strip_png(data: bytes, frames: bool) -> Stripped:
    """Cut out of a PNG what is beside its pixels; without `frames` also the animation's frames.

    Raises ImageError for more than MAX_CHUNKS chunks, or MAX_ENTRIES without pixels.
    """
    wanted = _PICTURE + _ANIMATION if frames else _PICTURE
    kept = []
    exif = raw_exif = xmp = profile = b""
    position = 0
    for kind, body, length in _bounded_chunks(data):
        start = body - 8
        end = min(body + length + 4, len(data))
        # With full colours a palette is advice for old screens.
        is_advice = kind == b"PLTE" and data[25:26] != bytes([_PALETTE])
        is_wanted = kind in wanted or not kind.isalpha()
        if is_wanted and not is_advice:
            continue
        if kind == _TRANSPARENCY and _fits(data, _sound_body(data, body, length)):
            continue
        kept.append(data[position:start])
        position = end
        if kind == b"eXIf" and length <= MAX_EXIF:
            exif = _sound_body(data, body, length)
        elif kind == b"iCCP" and length <= MAX_PROFILE:
            profile = _unpack_profile(_sound_body(data, body, length))
        elif kind == b"iTXt" and data.startswith(_XMP, body) and length <= MAX_XMP:
            xmp = _unpack_xmp(_sound_body(data, body, length))
        elif data.startswith(_RAW_EXIF, body) and length <= 3 * MAX_EXIF:
            raw_exif = _unpack_raw_exif(kind, _sound_body(data, body, length))
    if kept:
        data = b"".join([*kept, data[position:]])
    return Stripped(data, _read_size(data), exif or raw_exif, xmp, profile)


def _bounded_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    entries = 0
    for number, (kind, body, length) in enumerate(png_chunks(data)):
        if kind not in _PIXELS:
            entries += 1
        if number >= MAX_CHUNKS:
            raise ImageError(f"a PNG of more than {MAX_CHUNKS:,} chunks")
        if entries > MAX_ENTRIES:
            raise ImageError(f"a PNG of more than {MAX_ENTRIES:,} chunks beside its pixels")
        yield kind, body, length
        if kind == b"IEND":
            return


def _read_size(data: bytes) -> tuple[int, int] | None:
    if data[12:16] != b"IHDR":
        return None
    width = int.from_bytes(data[16:20], "big")
    height = int.from_bytes(data[20:24], "big")
    return width, height


def _sound_body(data: bytes, start: int, length: int) -> bytes:
    """The body of a chunk; empty where its checksum is wrong or missing."""
    body = data[start : start + length]
    kind = data[start - 4 : start]
    stated = data[start + length : start + length + 4]
    checksum = zlib.crc32(kind + body).to_bytes(4, "big")
    return body if stated == checksum else b""


def _fits(data: bytes, transparency: bytes) -> bool:
    """Whether the body of tRNS is one that a picture of this colour type may have."""
    colour_type = data[25]
    if colour_type == _PALETTE:
        return 0 < len(transparency) <= _COLOURS
    return len(transparency) == _TRANSPARENT_GREY.get(colour_type)


def _unpack_profile(body: bytes) -> bytes:
    # a name, the number 0 for zlib, the packed profile
    _, _, packed = body.partition(b"\0")
    return inflate(packed[1:], MAX_PROFILE) if packed[:1] == b"\0" else b""


def _unpack_xmp(body: bytes) -> bytes:
    text = body[len(_XMP) :]
    is_packed = text[:1] == b"\1"
    # the flag and a method, then a language and a translated keyword
    _, _, behind_language = text[2:].partition(b"\0")
    _, _, packet = behind_language.partition(b"\0")
    return inflate(packet, MAX_XMP) if is_packed else packet


def _unpack_raw_exif(kind: bytes, body: bytes) -> bytes:
    """EXIF as ImageMagick writes it: an empty line, a name, a length, hexadecimal digits."""
    text = body[len(_RAW_EXIF) :]
    if kind == b"zTXt":
        text = inflate(text[1:], 3 * MAX_EXIF)
    digits = b"".join(text.split(b"\n")[3:])
    try:
        return bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        return b""
