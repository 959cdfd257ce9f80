"""Text files are read within limits, and what is no such file is refused in one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fauxlab.errors import LabError
from fauxlab.io.reading import check_values, parse_json, parse_toml, read_bytes, read_text

MAKE: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda path: None, "no such file or directory"),
    "a folder": (os.mkdir, "is a directory"),
    "a pipe": (os.mkfifo, "no regular file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "no regular file"),
    "a large file": (lambda path: path.write_bytes(b"x" * 101), "101 bytes are above the limit of"),
    "a large file of zeros": (lambda path: _lengthen(path, 2**40), "above the limit of 100"),
    "no text": (lambda path: path.write_bytes(b"\0\xff"), "byte 1 is no text in UTF-8"),
    "a loop of links": (lambda path: path.symlink_to(path), "cannot read"),
}


def _lengthen(path: Path, length: int) -> None:
    path.touch()
    os.truncate(path, length)


@pytest.mark.parametrize("name", MAKE)
def test_what_cannot_be_read(tmp_path: Path, name: str) -> None:
    make, message = MAKE[name]
    path = tmp_path / "\x1b[31m.json"
    make(path)
    with pytest.raises(LabError, match=message) as caught:
        read_text(path, 100)
    assert str(caught.value).isprintable()


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux which files are open")
def test_what_is_refused_is_closed(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    for path in (tmp_path, Path("/dev/zero")):
        with pytest.raises(LabError):
            read_bytes(path)
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_a_zero_byte_in_the_name() -> None:
    with pytest.raises(LabError, match=r"cannot read a\\x00b"):
        read_bytes("a\0b")


def test_text_and_bytes_of_just_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes("ä\r\nb\rc".encode())
    assert read_bytes(path, 7) == "ä\r\nb\rc".encode()
    assert read_text(path, 7) == "ä\nb\nc"
    path.write_bytes(b"\xef\xbb\xbfa")
    assert read_text(path, encoding="utf-8-sig") == "a"


def test_values_nested_as_deep_as_is_allowed() -> None:
    assert parse_json("[" * 32 + "]" * 32) != []
    with pytest.raises(ValueError, match="nested deeper than 32"):
        parse_json("[" * 33 + "1" + "]" * 33)
    key = ".".join(["a"] * 32)
    assert parse_toml(f"{key} = 1") != {}
    with pytest.raises(ValueError, match="nested deeper than 32"):
        parse_toml(f"{key}.a = 1")


def test_numbers_as_long_as_is_allowed() -> None:
    check_values({"a": [2**64 - 1, -(2**63), 1e308, True, None, "9" * 9999]})
    with pytest.raises(ValueError, match="more than 64 bits"):
        check_values({"a": [2**64]})


def test_dots_that_divide_no_key() -> None:
    address = "https://a.example/b/c.d?e=1.5&f=2.5"
    text = f'u = "{address}"\nv = [' + "1.5, " * 100 + "]  # " + "." * 100
    assert parse_toml(text)["u"] == address


def test_faults_of_the_formats_are_told() -> None:
    with pytest.raises(ValueError, match="line 1 column 2"):
        parse_json("{")
    with pytest.raises(ValueError, match="line 1"):
        parse_toml("=")
