"""Messages between this process and a child that decodes pictures for it.

A message is a header, which is a JSON object behind its length in 4 bytes, and the bytes that the
header counts. Nothing in it can run code: the child may have been taken over by a picture.
"""

from __future__ import annotations

import json
import struct
from io import RawIOBase
from typing import Any

_LENGTH = struct.Struct(">I")
_MAX_HEADER = 2**20
# Pixels that are sent in one piece.
_BAND_PIXELS = 2**20


class Connection:
    """Both ends of a pipe, and the messages over it."""

    def __init__(self, source: RawIOBase, sink: RawIOBase) -> None:
        self._source = source
        self._sink = sink

    def send(self, header: dict[str, Any], body: bytes = b"") -> None:
        """Send a message. Raises OSError where the other end is gone."""
        text = json.dumps(header).encode()
        self.send_bytes(_LENGTH.pack(len(text)) + text)
        self.send_bytes(body)

    def send_bytes(self, body: bytes) -> None:
        """Send bytes that the last header has counted."""
        rest = memoryview(body)
        while rest:
            # A pipe may take a part.
            sent = self._sink.write(rest)
            rest = rest[sent or 0 :]

    def receive(self) -> dict[str, Any]:
        """The next header. Raises EOFError at the end, ValueError for what is no header."""
        (length,) = _LENGTH.unpack(self.receive_bytes(_LENGTH.size))
        if length > _MAX_HEADER:
            raise ValueError("a header too long")
        header = json.loads(self.receive_bytes(length))
        if not isinstance(header, dict):
            raise ValueError("not a header")
        return header

    def receive_bytes(self, length: int) -> bytes:
        """So many bytes. Raises EOFError where they end early."""
        received = bytearray(length)
        rest = memoryview(received)
        while rest:
            count = self._source.readinto(rest)
            if not count:
                raise EOFError("the pipe is closed")
            rest = rest[count:]
        return bytes(received)


def bands(width: int, height: int) -> list[tuple[int, int]]:
    """Top and bottom rows of the pieces in which a picture is sent."""
    rows = max(1, _BAND_PIXELS // width)
    return [(top, min(top + rows, height)) for top in range(0, height, rows)]
