"""Names, folders and archives that mean harm; files that are written whole or not at all."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fauxlab.errors import LabError
from fauxlab.io.images import MAX_BYTES
from fauxlab.io.limits import ImageError
from fauxlab.io.sources import KEPT_OPEN, FileReader, PassedOver, walk_images, zip_images
from fauxlab.io.text import printable, replace_file, spreadsheet_path, spreadsheet_text

Jpeg = Callable[..., bytes]


def read(path: str | Path) -> bytes:
    with FileReader() as reader:
        return reader.read(str(path))


def refusal(path: str | Path) -> str:
    with pytest.raises(ImageError) as caught:
        read(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Zoë 写真.jpg", "Zoë 写真.jpg"),
        (os.fsdecode(b"caf\xe9.jpg"), "caf\\xe9.jpg"),
        ("a\nreal      0.001  b.jpg", "a\\nreal      0.001  b.jpg"),
        ("\x1b[2J\x07.jpg", "\\x1b[2J\\x07.jpg"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("a\u200b\u2060b.jpg", "a\\u200b\\u2060b.jpg"),
        ("a\U000e0061\U000e007f.jpg", "a\\U000e0061\\U000e007f.jpg"),
        ("a\ufe0f\U000e0100\u3164.jpg", "a\\ufe0f\\U000e0100\\u3164.jpg"),
        ("a\u2028b\u2029c\x85d", "a\\u2028b\\u2029c\\x85d"),
        ("\ud83d.jpg", "\\ud83d.jpg"),
    ],
    ids=[
        "letters",
        "no utf-8",
        "line break",
        "terminal codes",
        "right to left",
        "zero width",
        "tags",
        "variations and fillers",
        "separators",
        "half a pair",
    ],
)
def test_names_are_shown_on_one_line(name: str, shown: str) -> None:
    assert printable(name) == shown
    assert printable(shown) == shown


def test_a_cell_of_a_table_is_no_formula_and_its_path_still_leads_there() -> None:
    for name in ("=HYPERLINK(1).jpg", "+1.jpg", "@SUM.jpg", "-2.jpg", "\t=1", "\r=1", "＝1.jpg"):
        assert spreadsheet_path(name) == f"./{name}"
        assert spreadsheet_text(name) == f"'{name}"
    for name in ("a=1.jpg", "/=1.jpg", "./=1.jpg", "d/-2.jpg", "z.zip!/=1.jpg", ""):
        assert spreadsheet_path(name) == spreadsheet_text(name) == name
    assert spreadsheet_path("-") == spreadsheet_text("-") == "-", "standard input"


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    replace_file(path, "one")
    replace_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(path.parent) == ["a.txt"]


@pytest.mark.parametrize("place", ["folder", "file/a.txt", "n" * 300])
def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path, place: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("kept")
    with pytest.raises(LabError, match="cannot write"):
        replace_file(tmp_path / place, "text")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == "kept"


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    end = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    replace_file(tmp_path / "pipe", "text")
    assert os.read(end, 10) == b"text"
    os.close(end)
    assert (tmp_path / "pipe").is_fifo()


def test_folders_nested_deeper_than_the_stack(tmp_path: Path, jpeg: Jpeg) -> None:
    folders = [tmp_path / "f"]
    while len(folders) < 1100:
        folders.append(folders[-1] / "f")
    for folder in folders:
        folder.mkdir()
    (folders[-1] / "a.jpg").write_bytes(jpeg())
    try:
        assert list(walk_images(tmp_path)) == [folders[-1] / "a.jpg"]
    finally:  # pytest's own cleaning would recurse
        (folders[-1] / "a.jpg").unlink()
        for folder in reversed(folders):
            folder.rmdir()


def test_a_folder_that_cannot_be_listed_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/1.jpg", "b/2.jpg", "c/3.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()

    def deny(ask: Callable[[str], object]) -> Callable[[str], object]:
        def asked(path: str) -> object:
            if path == str(tmp_path / "b"):
                raise PermissionError(13, "Permission denied")
            return ask(path)

        return asked

    # Root, as whom containers run tests, may list everything.
    monkeypatch.setattr(os, "listdir", deny(os.listdir))  # type: ignore[arg-type]
    monkeypatch.setattr(os, "scandir", deny(os.scandir))
    found = [path.relative_to(tmp_path).as_posix() for path in walk_images(tmp_path)]
    assert found == ["a/1.jpg", "b", "c/3.jpg"]
    assert refusal(tmp_path / "b") == "cannot be read: Permission denied"
    assert refusal(tmp_path / "c") == "is a folder; name the pictures in it"


def test_more_archives_than_may_be_open(tmp_path: Path, jpeg: Jpeg) -> None:
    picture = jpeg()
    for k in range(KEPT_OPEN + 8):
        with zipfile.ZipFile(tmp_path / f"{k}.zip", "w") as archive:
            archive.writestr("a.jpg", picture)
    with FileReader() as reader, ThreadPoolExecutor(4) as pool:
        paths = [f"{tmp_path}/{k}.zip!/a.jpg" for k in range(KEPT_OPEN + 8)] * 3
        assert all(data == picture for data in pool.map(reader.read, paths))
        assert len(reader._archives) == KEPT_OPEN


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "self.jpg").symlink_to("self.jpg")
    (tmp_path / "file").touch()
    assert (
        refusal(tmp_path / "gone.jpg")
        == refusal(tmp_path / "file/a.jpg")
        == refusal("a\0b.jpg")
        == "no such file"
    )
    assert "symbolic links" in refusal(tmp_path / "self.jpg")
    assert "too long" in refusal("n" * 300)


def test_folder_names_may_end_like_an_archive(tmp_path: Path, jpeg: Jpeg) -> None:
    (tmp_path / "holiday!").mkdir()
    (tmp_path / "holiday!/a.jpg").write_bytes(jpeg(1))
    with zipfile.ZipFile(tmp_path / "holiday!/z.zip", "w") as archive:
        archive.writestr("in!/b.jpg", jpeg(2))
    assert read(tmp_path / "holiday!/a.jpg") == jpeg(1)
    assert read(f"{tmp_path}/holiday!/z.zip!/in!/b.jpg") == jpeg(2)


def test_zip_members_that_are_not_read(tmp_path: Path, jpeg: Jpeg) -> None:
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.bmp", b"\0" * 20_000_000)
        archive.writestr("bz2.bmp", b"\0" * 1000, zipfile.ZIP_BZIP2)
        archive.writestr("locked.jpg", jpeg())
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\1\2") + 8] |= 1  # the last entry says that it is encrypted
    path.write_bytes(data)
    assert refusal(f"{path}!/bomb.bmp").startswith("refused: ")
    assert "rare method" in refusal(f"{path}!/bz2.bmp")
    assert "password" in refusal(f"{path}!/locked.jpg")
    assert "no such member" in refusal(f"{path}!/gone.jpg")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_stands_twice_counts_once(tmp_path: Path, jpeg: Jpeg) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("a.jpg", jpeg(1))
        archive.writestr("a.jpg", jpeg(2))
    assert zip_images(tmp_path / "z.zip") == ["a.jpg"]
    assert read(f"{tmp_path}/z.zip!/a.jpg") == jpeg(2)


def test_a_pipe_named_like_a_zip_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "wiki.zip")
    with pytest.raises(LabError, match="not a regular file"):
        zip_images(tmp_path / "wiki.zip")


def test_hidden_folders_are_passed_over_and_named_once(
    tmp_path: Path, jpeg: Jpeg, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.jpg", ".b.jpg", ".git/c.jpg", "x/.thumbnails/d.jpg", "x/@eaDir/e.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(jpeg())
    assert list(walk_images(tmp_path)) == [tmp_path / "a.jpg"]
    assert [record.getMessage() for record in caplog.records] == [
        f"1 file passed over (a hidden picture): {tmp_path}/.b.jpg; rename a picture to read it",
        f"3 folders passed over (hidden): {tmp_path}/.git, {tmp_path}/x/.thumbnails, "
        f"{tmp_path}/x/@eaDir; rename a folder to read it",
    ]
    assert list(walk_images(tmp_path / ".git")) == [tmp_path / ".git/c.jpg"], "named explicitly"


def test_hidden_members_of_a_zip_are_passed_over(tmp_path: Path, jpeg: Jpeg) -> None:
    members = [
        "__MACOSX/._a.jpg",
        "a.jpg",
        ".thumbnails/a.jpg",
        "./x/b.jpg",
        "x/._b.jpg",
        "../c.jpg",
    ]
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        for member in members:
            archive.writestr(member, jpeg())
    # The last one is listed so that reading refuses it, with a reason.
    assert zip_images(tmp_path / "z.zip") == ["a.jpg", "./x/b.jpg", "../c.jpg"]


def test_pictures_under_odd_names_are_found_and_the_rest_is_told(
    tmp_path: Path, jpeg: Jpeg
) -> None:
    odd = ["b.jpg_large", "c", "d.jpg.1", "e.pjpeg", "f.jpg~", "g?format=jpg&name=large", "h.HIF"]
    for name in ("a.jpg", *odd):
        (tmp_path / name).write_bytes(jpeg())
    for number in range(7):
        (tmp_path / f"{number}.txt").write_text("text")
    (tmp_path / "clip.mp4").write_bytes(b"")
    (tmp_path / "photo.cr2").write_bytes(b"II*\0\x10\0\0\0CR\2\0")
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._a.jpg"):
        (tmp_path / name).write_bytes(b"\0")
    passed_over = PassedOver()
    for _ in range(2):
        found = [path.name for path in walk_images(tmp_path, (), passed_over)]
        assert found == ["a.jpg", *odd]
    first = ", ".join(f"{tmp_path}/{number}.txt" for number in range(5))
    assert passed_over.describe() == [
        f"7 files passed over (no pictures): {first} and 2 more",
        f"1 file passed over (a video): {tmp_path}/clip.mp4; "
        "save its frames as pictures, as with: ffmpeg -i VIDEO frame%04d.png",
        f"1 file passed over (a RAW photo of a camera): {tmp_path}/photo.cr2; "
        "save it as JPEG or TIFF",
    ], "each file counts once"


@pytest.mark.parametrize(
    "name",
    ["$RECYCLE.BIN", "System Volume Information", "#recycle", "lost+found", "@EADIR", ".cache"],
)
def test_folders_of_systems_are_hidden(tmp_path: Path, jpeg: Jpeg, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "a.jpg").write_bytes(jpeg())
    passed_over = PassedOver()
    assert list(walk_images(tmp_path, (), passed_over)) == []
    assert passed_over.files == 0
    assert passed_over.describe() == [
        f"1 folder passed over (hidden): {tmp_path}/{name}; rename a folder to read it"
    ]


def test_what_is_no_picture_is_refused_with_what_to_do(tmp_path: Path) -> None:
    video = tmp_path / "clip.jpg"
    with video.open("wb") as stream:
        stream.write(b"\0\0\0\x18ftypisom\0\0\2\0isommp41")
        stream.truncate(MAX_BYTES + 1)  # larger than a picture may be
    assert refusal(video).startswith("a video; save its frames as pictures")
    assert refusal("https://example.org/a.jpg?b=c").startswith("an address; pictures are not")
    assert refusal("https://example.org/" + "a" * 300).startswith("an address; ")
    assert refusal(Path("https://example.org/a.jpg")).startswith("an address; ")
    assert refusal("file:///a.jpg") == "an address; give the path of the file, without file://"
    os.mkfifo(tmp_path / "pipe.jpg")
    assert refusal(tmp_path / "pipe.jpg").startswith("not a regular file; a single picture may be")


class Terminal(io.BytesIO):
    def isatty(self) -> bool:
        return True


def test_one_picture_is_read_from_standard_input(
    jpeg: Jpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    def give(stream: io.BytesIO) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(stream))

    give(io.BytesIO(jpeg()))
    assert read("-") == jpeg()
    give(io.BytesIO())
    assert refusal("-") == "nothing came through the pipe"
    give(Terminal(jpeg()))
    assert "there is none" in refusal("-")
    give(io.BytesIO(b"%PDF-1.7"))
    assert refusal("-").startswith("a PDF; ")
    monkeypatch.setattr("fauxlab.io.sources.MAX_BYTES", 1_000)
    endless = io.BytesIO(bytes(3_000))
    give(endless)
    assert "above the limit of 1,000" in refusal("-")
