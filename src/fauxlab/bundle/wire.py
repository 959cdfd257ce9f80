"""The wire format of protocol buffers, in which ONNX files are written: one message's fields.

Format: https://protobuf.dev/programming-guides/encoding. Only what tells a file's parts apart is
read here; numbers and texts stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # the kinds of values
_FIXED = {FIXED64: 8, FIXED32: 4}
_VARINT_BYTES = 10

Value = int | memoryview


class WireReader:
    """Reads messages, of at most `most` fields in all.

    Raises ValueError where there are more, and where bytes are no message.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0

    def fields(self, message: memoryview) -> Iterator[tuple[int, Value]]:
        """Number and value of each field: an int for a varint, else the value's bytes."""
        place = 0
        while place < len(message):
            self._count += 1
            if self._count > self._most:
                raise ValueError(f"it has more than {self._most:,} parts")
            key, place = _read_varint(message, place)
            number, kind = key >> 3, key & 7
            value: Value
            if kind == VARINT:
                value, place = _read_varint(message, place)
            else:
                length, place = _read_length(message, place, kind)
                value = message[place : place + length]
                place += length
            if number == 0 or place > len(message):
                raise ValueError("it is damaged or no ONNX file")
            yield number, value

    def parts(self, message: memoryview, number: int) -> Iterator[memoryview]:
        """The values of all fields of this number that are texts or messages."""
        for found, value in self.fields(message):
            if found == number and isinstance(value, memoryview):
                yield value


def _read_length(message: memoryview, place: int, kind: int) -> tuple[int, int]:
    """How many bytes a value has, and where they begin."""
    if kind == BYTES:
        return _read_varint(message, place)
    if kind not in _FIXED:
        raise ValueError("it is damaged or no ONNX file")
    return _FIXED[kind], place


def _read_varint(message: memoryview, place: int) -> tuple[int, int]:
    """An unsigned number in groups of 7 bits, the lowest first, and the place behind it."""
    number = 0
    for position, byte in enumerate(message[place : place + _VARINT_BYTES]):
        number |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:
            return number, place + position + 1
    raise ValueError("it is damaged or no ONNX file")
