"""Zips of many kinds, sound and hostile, for `mutated_zips.py`."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable

from PIL import Image

from fauxlab.datasets.toyfaces import draw, plan

MEMBERS = 4  # of each sound zip
MANY = 1_000_000  # members of the largest list

Pack = Callable[[list[bytes]], bytes]


def draw_pictures() -> list[bytes]:
    """As many drawn faces as a zip has members, each a JPEG."""
    photos = plan(MEMBERS)
    pictures = []
    for number in range(MEMBERS):
        stream = io.BytesIO()
        Image.fromarray(draw("wiki", photos, number, 128)).save(stream, "JPEG")
        pictures.append(stream.getvalue())
    return pictures


# --- sound zips


def pack(
    pictures: list[bytes],
    names: list[str] | None = None,
    method: int = zipfile.ZIP_STORED,
    comment: bytes = b"",
    is_large: bool = False,
) -> bytes:
    stream = io.BytesIO()
    if names is None:
        names = [f"faces/{number}.jpg" for number in range(MEMBERS)]
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, picture in zip(names, pictures, strict=True):
            with archive.open(name, "w", force_zip64=is_large) as member:
                member.write(picture)
        archive.comment = comment
    return stream.getvalue()


def stored(pictures: list[bytes]) -> bytes:
    return pack(pictures)


def deflated(pictures: list[bytes]) -> bytes:
    return pack(pictures, method=zipfile.ZIP_DEFLATED)


def lzma(pictures: list[bytes]) -> bytes:
    return pack(pictures, method=zipfile.ZIP_LZMA)


def bzip2(pictures: list[bytes]) -> bytes:
    return pack(pictures, method=zipfile.ZIP_BZIP2)


def commented(pictures: list[bytes]) -> bytes:
    return pack(pictures, comment=b"PK\5\6" * 100)


def large(pictures: list[bytes]) -> bytes:
    """With records of zip64 for each member and at the end."""
    data = pack(pictures, is_large=True)
    end = data.rindex(b"PK\5\6")
    *_, count, size, start, _ = struct.unpack("<4s4H2IH", data[end:])
    record = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, end, 1)
    short_end = struct.pack(
        "<4s4H2IH", b"PK\5\6", 0, 0, 2**16 - 1, 2**16 - 1, 2**32 - 1, 2**32 - 1, 0
    )
    return data[:end] + record + locator + short_end


def windows(pictures: list[bytes]) -> bytes:
    return pack(pictures, ["a\\1.jpg", "a\\b\\2.JPG", ".\\3.jpg", "C:\\4.jpg"])


def macos(pictures: list[bytes]) -> bytes:
    return pack(pictures, ["a/1.jpg", "__MACOSX/a/._1.jpg", "a/.DS_Store", ".hidden/2.jpg"])


def scripts(pictures: list[bytes]) -> bytes:
    return pack(pictures, ["Zoë.jpg", "写真/2.jpg", "\u202egpj.3", "=1+1.jpg"])


def without_suffix(pictures: list[bytes]) -> bytes:
    return pack(pictures, ["1", "2.jpg_large", "3.txt", "4?format=jpg"], zipfile.ZIP_DEFLATED)


PACKINGS: tuple[Pack, ...] = (
    stored,
    deflated,
    lzma,
    bzip2,
    commented,
    large,
    windows,
    macos,
    scripts,
    without_suffix,
)


# --- hostile zips


def write_directory(members: bytes, entries: list[bytes]) -> bytes:
    """A zip of these bytes and entries of the list of members, with the end of zip64."""
    directory = b"".join(entries)
    count, size, start = len(entries), len(directory), len(members)
    end = start + size
    record = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, end, 1)
    short = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 2**16 - 1, 2**16 - 1, size, start, 0)
    return members + directory + record + locator + short


def entry(name: bytes, packed: int, unpacked: int, place: int, method: int = 0) -> bytes:
    sizes = struct.pack("<3I", 0, packed, unpacked)
    head = struct.pack("<4s4H2H", b"PK\1\2", 20, 20, 0, method, 0, 33)
    return head + sizes + struct.pack("<5H2I", len(name), 0, 0, 0, 0, 0, place) + name


def million_members(pictures: list[bytes]) -> bytes:
    """A list of a million members that are not there."""
    return write_directory(b"", [entry(b"%d" % k, 9, 9, 0) for k in range(MANY)])


def long_list(pictures: list[bytes]) -> bytes:
    """A list of members beyond the limit."""
    return write_directory(
        b"", [entry(b"n" * 60_000 + b"%d.jpg" % k, 9, 9, 0) for k in range(1500)]
    )


def long_names(pictures: list[bytes]) -> bytes:
    """Names of 65,000 bytes."""
    return pack(pictures, ["x" * 65_000 + f"{number}.jpg" for number in range(MEMBERS)])


def overlapping(pictures: list[bytes]) -> bytes:
    """Members that all lie in the same place, each of 100 MB."""
    body = zipfile_member(b"\0" * 10**8)
    entries = [entry(b"%d.bmp" % k, len(body), 10**8, 0, method=8) for k in range(20_000)]
    return write_directory(body, entries)


def lying_size(pictures: list[bytes]) -> bytes:
    """A bomb that states a small size."""
    body = zipfile_member(b"\0" * 2 * 10**8)
    return write_directory(body, [entry(b"1.bmp", len(body), 10**6, 0, method=8)])


def zipfile_member(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.bmp", content)
    data = stream.getvalue()
    return data[: data.rindex(b"PK\1\2")]


def nested(pictures: list[bytes]) -> bytes:
    """A zip in a zip in a zip."""
    data = stored(pictures)
    for _ in range(2):
        data = pack([data, *pictures[1:]], ["in.zip", "1.jpg", "2.jpg", "3.jpg"])
    return data


def twice_the_same(pictures: list[bytes]) -> bytes:
    """20,000 entries of one name."""
    body = stored(pictures)
    return write_directory(body, [entry(b"1.jpg", 10, 10, 0) for _ in range(20_000)])


def odd_names(pictures: list[bytes]) -> bytes:
    """20,000 members whose first bytes must be looked at."""
    return write_directory(stored(pictures), [entry(b"%d" % k, 9, 9, 0) for k in range(20_000)])


def empty(pictures: list[bytes]) -> bytes:
    return pack([], [])


HOSTILE: tuple[Pack, ...] = (
    million_members,
    long_list,
    long_names,
    overlapping,
    lying_size,
    nested,
    twice_the_same,
    odd_names,
    empty,
)
