"""What a file is by its first bytes, whatever its name says."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from PIL import Image

from fauxlab.io.kinds import HEAD_BYTES, OTHER, PICTURE, UNREADABLE, kind_of, kind_of_file

MP4 = b"\0\0\0\x18ftypisom\0\0\2\0isommp41"
RAW_CR3 = b"\0\0\0\x18ftypcrx \0\0\0\1crx isom"
HEIC = b"\0\0\0\x18ftypMiHE\0\0\0\0mif1heic"


def encoded(form: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (20, 20)).save(stream, form)
    return stream.getvalue()[:HEAD_BYTES]


@pytest.mark.parametrize("form", ["JPEG", "MPO", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF"])
@pytest.mark.parametrize("name", ["picture", "a.jpg~", "b.jpg_large", "c.pdf", "d.mp4"])
def test_formats_that_are_read_are_known_under_any_name(form: str, name: str) -> None:
    assert kind_of(encoded(form), name) is PICTURE


@pytest.mark.parametrize(
    ("head", "name", "said"),
    [
        (MP4, "a", "a video"),
        (b"\x1a\x45\xdf\xa3", "a", "a video"),
        (b"RIFF\0\0\0\0AVI LIST", "a", "a video"),
        (b"\0\0\0\x14ftypM4A \0\0\0\0", "a", "a sound file"),
        (b"%PDF-1.7", "a", "a PDF"),
        (b'<?xml version="1.0"?>\n<svg ', "a", "an SVG drawing"),
        (b"<!DOCTYPE HTML><html>", "photo.jpg", "a web page"),
        (b"8BPS\0\1", "a", "a Photoshop or GIMP file"),
        (encoded("TIFF"), "a.dng", "a RAW photo of a camera"),
        (encoded("TIFF"), "a.NEF", "a RAW photo of a camera"),
        (b"II*\0\x10\0\0\0CR\2\0", "a.tif", "a RAW photo of a camera"),
        (RAW_CR3, "a", "a RAW photo of a camera"),
        (b"\xff\x0a\xfa", "a", "a picture in a format that is not read"),
        (b"PK\3\4", "photos.zip.1", "a zip under another name"),
        (b"PK\3\4", "letter.docx", "an office document"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "letter.doc", "an office document"),
        (b"From: Ann\r\n", "note.eml", "an e-mail"),
        (b"Rar!\x1a\7\0", "a", "an archive"),
        (b"\0" * 257 + b"ustar", "a", "an archive"),
        (b"", "a", "an empty file"),
    ],
)
def test_other_kinds_have_a_name(head: bytes, name: str, said: str) -> None:
    assert kind_of(head, name).one == said


def test_brands_of_a_picture_may_stand_behind_one_that_is_not_known() -> None:
    assert kind_of(HEIC, "i.HIF") is PICTURE


def test_text_that_begins_like_a_bitmap_is_none() -> None:
    assert kind_of(b"BMW drives along the road, and so on", "a") is OTHER


def test_pipes_and_dead_links_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dead").symlink_to("gone")
    assert kind_of_file(str(tmp_path / "pipe")) is OTHER
    assert kind_of_file(str(tmp_path / "dead")) is UNREADABLE
