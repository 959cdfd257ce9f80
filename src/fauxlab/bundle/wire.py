"""The wire format of protocol buffers, in which ONNX files are written: one message's fields.

Format: https://protobuf.dev/programming-guides/encoding. What is read here tells a file's parts
apart; numbers and texts stay as they are. Single fields can be written, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # the kinds of values
_FIXED = {FIXED64: 8, FIXED32: 4}
_VARINT_BYTES = 10

Value = int | memoryview


class Part(NamedTuple):
    """A field of a message: its number, its value, and all its bytes as they stand there."""

    number: int
    value: Value
    whole: memoryview


class WireReader:
    """Reads messages, of at most `most` fields in all.

    Raises ValueError where there are more, and where bytes are no message.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0

    def fields(self, message: memoryview) -> Iterator[tuple[int, Value]]:
        """Number and value of each field: an int for a varint, else the value's bytes."""
        for part in self.split(message):
            yield part.number, part.value

    def split(self, message: memoryview) -> Iterator[Part]:
        """Each field, with its bytes as they stand in the message."""
        place = 0
        while place < len(message):
            self._count += 1
            if self._count > self._most:
                raise ValueError(f"it has more than {self._most:,} parts")
            start = place
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
            yield Part(number, value, message[start:place])

    def parts(self, message: memoryview, number: int) -> Iterator[memoryview]:
        """The values of all fields of this number that are texts or messages."""
        for found, value in self.fields(message):
            if found == number and isinstance(value, memoryview):
                yield value


def read_varints(packed: memoryview) -> list[int]:
    """The unsigned numbers of a packed field."""
    numbers = []
    place = 0
    while place < len(packed):
        number, place = _read_varint(packed, place)
        numbers.append(number)
    return numbers


def write_varint_field(number: int, value: int) -> bytes:
    """A field that holds an unsigned number."""
    return _write_varint(number << 3 | VARINT) + _write_varint(value)


def write_bytes_field(number: int, value: bytes) -> bytes:
    """A field that holds a text, a message, or other bytes."""
    return _write_varint(number << 3 | BYTES) + _write_varint(len(value)) + value


def _write_varint(number: int) -> bytes:
    groups = bytearray()
    while number >= 0x80:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


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
