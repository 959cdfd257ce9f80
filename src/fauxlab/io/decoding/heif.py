"""How an AVIF or HEIF is divided: boxes, of which one lists the items of the file."""

from __future__ import annotations

from collections.abc import Iterator

_META = b"meta"
_ITEMS = b"iinf"
_ITEM = b"infe"
_FULL_BOX_BYTES = 4  # version and flags
_EXIF = b"Exif"
_UNKNOWN = b"none"


def is_heif(data: bytes) -> bool:
    """Whether the bytes begin as an AVIF, a HEIF or another file of boxes does."""
    return data[4:8] == b"ftyp"


def strip_heif(data: bytes) -> bytes:
    """The file, its items of EXIF under a name that no decoder knows.

    AVIF and HEIF say in another place how a picture is turned. Their decoders read EXIF all the
    same, and refuse a picture for what is wrong there.
    """
    hidden: list[int] = []
    for kind, start, end in _boxes(data, 0, len(data)):
        if kind == _META:
            hidden.extend(_exif_items(data, start + _FULL_BOX_BYTES, end))
    if not hidden:
        return data
    changed = bytearray(data)
    for place in hidden:
        changed[place : place + len(_UNKNOWN)] = _UNKNOWN
    return bytes(changed)


def _exif_items(data: bytes, start: int, end: int) -> Iterator[int]:
    """Where the type of an item of EXIF stands."""
    for kind, items, items_end in _boxes(data, start, end):
        if kind != _ITEMS:
            continue
        count_bytes = 2 if data[items : items + 1] == b"\0" else 4
        first = items + _FULL_BOX_BYTES + count_bytes
        for item_kind, item, _ in _boxes(data, first, items_end):
            # Version 2 has an id of 2 bytes, version 3 one of 4; a protection index follows.
            id_bytes = 4 if data[item : item + 1] == b"\3" else 2
            type_at = item + _FULL_BOX_BYTES + id_bytes + 2
            if item_kind == _ITEM and data.startswith(_EXIF, type_at):
                yield type_at


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, first byte of the body, and end of each box between two places."""
    position = start
    while position + 8 <= end:
        length = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        body = position + 8
        if length == 1:
            length = int.from_bytes(data[body : body + 8], "big")
            body += 8
        elif length == 0:
            length = end - position
        if length < body - position:
            return
        box_end = min(position + length, end)
        yield kind, body, box_end
        position += length
