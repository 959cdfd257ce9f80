"""Ways to damage a zip, for `mutated_zips.py`. Their names stand in its results."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

Rng = np.random.Generator
Damage = Callable[[bytearray, Rng], bytes]


def flip(data: bytearray, rng: Rng) -> bytes:
    """Flip 1 to 29 bits anywhere."""
    for place in rng.integers(len(data), size=rng.integers(1, 30)):
        data[place] ^= 1 << int(rng.integers(8))
    return bytes(data)


def cut(data: bytearray, rng: Rng) -> bytes:
    """Keep the beginning."""
    return bytes(data[: rng.integers(len(data))])


def behead(data: bytearray, rng: Rng) -> bytes:
    """Keep the end."""
    return bytes(data[rng.integers(len(data)) :])


def move(data: bytearray, rng: Rng) -> bytes:
    """Swap two neighbouring pieces."""
    a, b, c = sorted(int(place) for place in rng.integers(len(data), size=3))
    return bytes(data[:a] + data[b:c] + data[a:b] + data[c:])


def append(data: bytearray, rng: Rng) -> bytes:
    """Random bytes behind the end, or a second copy."""
    return bytes(data + (rng.bytes(int(rng.integers(1, 70_000))) if rng.integers(2) else data))


def spoil(data: bytearray, rng: Rng, record: bytes, first: int, last: int, most: int = 4) -> bytes:
    """Overwrite bytes `first` to `last` of some records with values at the edge of a range."""
    starts = [match.start() for match in re.finditer(re.escape(record), data)]
    for _ in range(rng.integers(1, most)):
        if not starts:
            break
        start = int(rng.choice(starts))
        length = int(rng.choice([1, 2, 4, 8]))
        value = [0, 1, 2**15, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1][rng.integers(7)]
        place = start + int(rng.integers(first, last))
        data[place : place + length] = (value % 256**length).to_bytes(length, "little")
    return bytes(data)


def spoil_directory(data: bytearray, rng: Rng) -> bytes:
    """Any field of the list of members."""
    return spoil(data, rng, b"PK\1\2", 4, 46)


def spoil_lengths(data: bytearray, rng: Rng) -> bytes:
    """Sizes, lengths of names and places, as the list of members states them."""
    return spoil(data, rng, b"PK\1\2", 20, 46)


def spoil_members(data: bytearray, rng: Rng) -> bytes:
    """Any field before a member's own bytes: method, sizes, name."""
    return spoil(data, rng, b"PK\3\4", 4, 40)


def spoil_counts(data: bytearray, rng: Rng) -> bytes:
    """The record at the end: how many members, and where their list is."""
    return spoil(data, rng, b"PK\5\6", 4, 22)


def spoil_large_end(data: bytearray, rng: Rng) -> bytes:
    """The record of zip64 at the end, where there is one; else that of the ordinary end."""
    is_large = b"PK\6\6" in data
    return spoil(data, rng, b"PK\6\6" if is_large else b"PK\5\6", 4, 56 if is_large else 22)


def rename(data: bytearray, rng: Rng) -> bytes:
    """Names of control characters, of dots and slashes, and in no encoding."""
    names = [
        b"\x1b[2J",
        b"../../",
        b"/etc/p",
        b"\0\0\0\0\0\0",
        b"\xff\xfe\xff\xfe\xff\xfe",
        b"\n\r\t\n\r\t",
    ]
    # A name stands before the member and in the list.
    places = [
        [match.start() + length for match in re.finditer(record, data)]
        for record, length in ((rb"PK\x03\x04", 30), (rb"PK\x01\x02", 46))
    ]
    for before, listed in zip(*places, strict=False):
        new = names[rng.integers(len(names))]
        data[before : before + len(new)] = new
        data[listed : listed + len(new)] = new
        # The flag that says whether the name is UTF-8.
        data[listed - 37] ^= 8 * int(rng.integers(2))
    return bytes(data)


DAMAGES: tuple[Damage, ...] = (
    flip,
    cut,
    behead,
    move,
    append,
    spoil_directory,
    spoil_lengths,
    spoil_members,
    spoil_counts,
    spoil_large_end,
    rename,
)
