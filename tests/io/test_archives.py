"""Zips that were built to harm, and zips as other systems write them."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fauxlab.errors import LabError
from fauxlab.io import archives
from fauxlab.io.limits import ImageError
from fauxlab.io.sources import FileReader, PassedOver, stored_path, zip_images

Jpeg = Callable[..., bytes]


def read(path: str) -> bytes:
    with FileReader() as reader:
        return reader.read(path)


def refusal(path: str) -> str:
    with pytest.raises(ImageError) as caught:
        read(path)
    return str(caught.value)


def pack(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_odd_members_are_known_by_their_bytes_and_the_rest_is_told(
    tmp_path: Path, jpeg: Jpeg
) -> None:
    members = {
        "a.jpg": jpeg(1),
        "b.jpg_large": jpeg(2),
        "c": jpeg(3),
        "notes.txt": b"text",
        "in.zip": b"PK\5\6" + b"\0" * 18,
        "download": b"PK\3\4",
        "clip": b"\0\0\0\x18ftypisom\0\0\2\0isommp41",
        ".hidden/d.jpg": jpeg(4),
        "__MACOSX/._a.jpg": b"\0\5\26\7",
        "$RECYCLE.BIN\\e.jpg": jpeg(5),
        "trip\\._f.jpg": b"\0\5\26\7",
        "Thumbs.db": b"\xd0\xcf\x11\xe0",
    }
    path = pack(tmp_path / "z.zip", members, zipfile.ZIP_DEFLATED)
    passed_over = PassedOver()
    assert zip_images(path, passed_over) == ["a.jpg", "b.jpg_large", "c"]
    assert passed_over.files == 6
    assert passed_over.describe() == [
        f"1 file passed over (no picture): {path}!/notes.txt",
        f"2 files passed over (zips inside zips): {path}!/in.zip, {path}!/download; "
        "unpack the outer zip and give the folder",
        f"1 file passed over (a video): {path}!/clip; "
        "save its frames as pictures, as with: ffmpeg -i VIDEO frame%04d.png",
        f"2 files passed over (hidden pictures): {path}!/.hidden/d.jpg, "
        f"{path}!/$RECYCLE.BIN\\e.jpg; rename a picture to read it",
    ]


def test_a_zip_without_pictures_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = pack(tmp_path / "z.zip", {})
    assert zip_images(path) == []
    assert caplog.messages == [f"1 zip passed over (without pictures): {path}"]


def test_a_zip_in_a_zip_is_not_read(tmp_path: Path, jpeg: Jpeg) -> None:
    inner = pack(tmp_path / "in.zip", {"a.jpg": jpeg()})
    outer = pack(tmp_path / "out.zip", {"in.zip": inner.read_bytes()})
    for member in ("in.zip", "in.zip!/a.jpg"):
        assert refusal(f"{outer}!/{member}").startswith("a zip inside a zip; unpack the outer zip")


def test_members_are_found_however_they_are_spelt(tmp_path: Path, jpeg: Jpeg) -> None:
    path = pack(tmp_path / "z.zip", {"1.jpg": jpeg(1), "img\\2.jpg": jpeg(2), "./3.jpg": jpeg(3)})
    assert zip_images(path) == ["1.jpg", "img\\2.jpg", "./3.jpg"]
    for asked, stored, number in (
        ("./1.jpg", "1.jpg", 1),
        (".//1.jpg", "1.jpg", 1),
        ("img/./2.jpg", "img\\2.jpg", 2),
        ("img\\2.jpg", "img\\2.jpg", 2),
        ("./3.jpg", "./3.jpg", 3),
    ):
        assert read(f"{path}!/{asked}") == jpeg(number)
        assert stored_path(f"{path}!/{asked}") == f"{path}!/{stored}"
    assert read(f"{path}!/3.jpg") == jpeg(3)
    assert stored_path(f"{path}!/./gone.jpg") == f"{path}!/./gone.jpg"
    assert refusal(f"{path}!/img/") == refusal(f"{path}!/./img")
    assert refusal(f"{path}!/img").startswith("a folder inside a zip; give the zip as a whole")
    assert refusal(f"{path}/1.jpg").endswith("a picture in a zip is written archive.zip!/name")
    for outside in ("../1.jpg", "a/..\\1.jpg", "/1.jpg", "\\1.jpg"):
        assert "points outside" in refusal(f"{path}!/{outside}")


def test_a_long_list_of_members_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(tmp_path / "z.zip", {f"{number}.jpg": b"" for number in range(300)})
    assert len(zip_images(path)) == 300
    monkeypatch.setattr(archives, "MAX_MEMBERS", 299)
    with pytest.raises(LabError, match="300 members, above the limit of 299; unpack it"):
        zip_images(path)
    monkeypatch.setattr(archives, "MAX_DIRECTORY", 1_000)
    monkeypatch.setattr(zipfile, "ZipFile", None)
    with pytest.raises(LabError, match=r"lists members in .* bytes; unpack it"):
        zip_images(path)


def test_members_that_lie_over_each_other_are_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "z.zip", {f"{number}.bmp": b"\0" * 9_000 for number in range(9)})
    data = bytearray(path.read_bytes())
    places = [at for at in range(len(data)) if data.startswith(b"PK\1\2", at)]
    # One damaged member does not make the others unreadable.
    struct.pack_into("<I", data, places[0] + 20, 2**31)
    path.write_bytes(data)
    assert len(zip_images(path)) == 9
    for at in places:
        struct.pack_into("<I", data, at + 20, 70_000)
    path.write_bytes(data)
    with pytest.raises(LabError, match="lie over each other"):
        zip_images(path)


def test_a_member_that_states_a_small_size_is_not_unpacked_beyond_it(
    tmp_path: Path,
) -> None:
    path = pack(tmp_path / "z.zip", {"a.bmp": b"\0" * 10_000_000}, zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.rindex(b"PK\1\2") + 24, 1_000)
    path.write_bytes(data)
    assert "Bad CRC-32" in refusal(f"{path}!/a.bmp")


def test_after_many_unreadable_members_no_other_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(tmp_path / "z.zip", dict.fromkeys("abcdef", b"x"))
    path.write_bytes(path.read_bytes().replace(b"PK\3\4", b"XXXX"))
    monkeypatch.setattr(archives, "MAX_UNREADABLE", 2)
    opened: list[str] = []
    original = archives.Archive.open

    def note(self: archives.Archive, member: str) -> object:
        opened.append(member)
        return original(self, member)

    monkeypatch.setattr(archives.Archive, "open", note)
    passed_over = PassedOver()
    assert zip_images(path, passed_over) == []
    assert opened == ["a", "b", "c"]
    assert passed_over.describe()[0].startswith("6 files passed over (files that cannot be opened)")


def test_a_message_about_a_damaged_zip_is_one_short_line(tmp_path: Path, jpeg: Jpeg) -> None:
    path = pack(tmp_path / "z.zip", {"n\x1b" * 30_000 + ".jpg": jpeg()})
    data = bytearray(path.read_bytes())
    data[30:33] = b"abc"  # the name before the member is another than that in the list
    path.write_bytes(data)
    (member,) = zip_images(path)
    reason = refusal(f"{path}!/{member}")
    assert reason.isprintable()
    assert len(reason) < 300


def test_a_name_of_no_letters_is_no_fault_of_the_zip(tmp_path: Path, jpeg: Jpeg) -> None:
    path = pack(tmp_path / "z.zip", {"a": jpeg(1), "b.jpg": jpeg(2)})
    data = bytearray(path.read_bytes())
    for record, place in ((b"PK\3\4", 30), (b"PK\1\2", 46)):
        data[data.index(record) + place] = 0  # zipfile ends a name there
    path.write_bytes(data)
    assert zip_images(path) == ["", "b.jpg"]
    assert read(f"{path}!/") == jpeg(1)


def test_the_members_that_open_archives_hold_are_bounded(
    tmp_path: Path, jpeg: Jpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fauxlab.io.sources.KEPT_MEMBERS", 5)
    paths = []
    for name in ("a.zip", "b.zip", "c.zip"):
        paths.append(pack(tmp_path / name, {f"{k}.jpg": jpeg() for k in range(3)}))
    with FileReader() as reader:
        for path in paths:
            reader.read(f"{path}!/0.jpg")
        assert list(reader._archives) == [str(paths[-1])]


def test_streams_outlive_the_closing_of_their_archive(tmp_path: Path, jpeg: Jpeg) -> None:
    path = pack(tmp_path / "z.zip", {"a.jpg": jpeg()})
    archive = archives.Archive(str(path))
    stream, size = archive.open("a.jpg")
    archive.close()
    assert stream.read() == jpeg()
    assert size == len(jpeg())


def test_large_zips_of_windows_and_odd_encodings(tmp_path: Path, jpeg: Jpeg) -> None:
    """Records of zip64, a comment, bytes before the zip, and a name in the encoding of DOS."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        with archive.open("gro\xdf.jpg", "w", force_zip64=True) as member:
            member.write(jpeg(1))
        archive.comment = b"faces of friends"
    path = tmp_path / "z.zip"
    path.write_bytes(b"MZ a program that unpacks itself" + stream.getvalue())
    assert zip_images(path) == ["groß.jpg"]
    assert read(f"{path}!/groß.jpg") == jpeg(1)
    data = stream.getvalue().replace("groß".encode(), b"gro\xe1\xe1")
    data = data.replace(b"\0\x08\0\0", b"\0\0\0\0")  # no longer said to be UTF-8
    path.write_bytes(data)
    assert zip_images(path) == ["gro\xdf\xdf.jpg"]
