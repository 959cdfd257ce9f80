"""The pictures that arguments name, with names, patterns and files that people meet."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fauxlab.io.passed_over import PassedOver
from fauxlab.scan.paths import expand_paths

Jpeg = Callable[..., bytes]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(path: str, data: bytes) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(data)


def expand(*arguments: str) -> tuple[list[str], list[str]]:
    passed_over = PassedOver()
    paths = list(expand_paths(arguments, passed_over))
    return paths, passed_over.describe()


@pytest.mark.usefixtures("here")
def test_folders_whose_names_look_like_patterns(jpeg: Jpeg) -> None:
    for path in ("Trip [2023]/a.jpg", "Trip 2/b.jpg", "[2023]/c[1].jpg", "[2023]/c1.jpg"):
        put(path, jpeg())
    assert expand("Trip [2023]/*.jpg")[0] == ["Trip 2/b.jpg", "Trip [2023]/a.jpg"]
    assert expand("Trip [[]2023]/*.jpg")[0] == ["Trip [2023]/a.jpg"]
    assert expand("[2023]/*.jpg")[0] == ["[2023]/c1.jpg", "[2023]/c[1].jpg"]
    assert expand(f"{os.getcwd()}/Trip [2023]/**")[0] == [
        f"{os.getcwd()}/Trip 2/b.jpg",
        f"{os.getcwd()}/Trip [2023]/a.jpg",
    ]
    assert expand("[2023]/gone[1].jpg")[0] == ["[2023]/gone[1].jpg"]


@pytest.mark.usefixtures("here")
def test_a_pattern_reads_what_a_folder_would(jpeg: Jpeg) -> None:
    for path in ("a.jpg", "b", "@eaDir/c.jpg", "Thumbs.db", "d/e.jpg", ".f/g.jpg"):
        put(path, jpeg())
    put("notes.txt", b"text")
    paths, told = expand("*")
    assert paths == ["a.jpg", "b", "d/e.jpg"]
    assert told == [
        "1 folder passed over (hidden): @eaDir; rename a folder to read it",
        "1 file passed over (no picture): notes.txt",
    ]
    assert expand("@eaDir/*.jpg")[0] == ["@eaDir/c.jpg"], "named to the letter"
    assert expand(".*/*.jpg") == ([".f/g.jpg"], [])
    assert expand("notes.txt") == (["notes.txt"], []), "named by itself: read, and refused"


@pytest.mark.usefixtures("here")
def test_what_holds_no_picture_is_told(jpeg: Jpeg) -> None:
    put("a.jpg", jpeg())
    put("papers/notes.txt", b"text")
    with zipfile.ZipFile("empty.zip", "w"):
        pass
    assert expand("a.jpg", "papers", "empty.zip") == (
        ["a.jpg"],
        [
            "1 file passed over (no picture): papers/notes.txt",
            "1 folder passed over (without pictures): papers",
            "1 zip passed over (without pictures): empty.zip",
        ],
    )


@pytest.mark.usefixtures("here")
def test_a_file_that_is_named_like_standard_input(jpeg: Jpeg) -> None:
    put("-", jpeg())
    assert expand("-", "-")[0] == ["-"], "standard input, once"
    assert expand(".")[0] == expand("*")[0] == expand("./-")[0] == ["./-"]
    assert expand("-", "./-")[0] == ["-", "./-"]


@pytest.mark.usefixtures("here")
def test_a_member_is_given_once_however_it_is_spelt(jpeg: Jpeg) -> None:
    with zipfile.ZipFile("z.zip", "w") as archive:
        archive.writestr("1.jpg", jpeg(1))
        archive.writestr("img\\2.jpg", jpeg(2))
    members = ["z.zip!/./1.jpg", "z.zip!/1.jpg", "z.zip!/img/./2.jpg", "z.zip"]
    assert expand(*members)[0] == ["z.zip!/1.jpg", "z.zip!/img\\2.jpg"]


@pytest.mark.usefixtures("here")
def test_without_a_collector_a_log_tells(jpeg: Jpeg, caplog: pytest.LogCaptureFixture) -> None:
    put("d/a.jpg", jpeg())
    put("d/notes.txt", b"text")
    assert list(expand_paths(["d"])) == ["d/a.jpg"]
    assert caplog.messages == ["1 file passed over (no picture): d/notes.txt"]


@pytest.mark.usefixtures("here")
def test_a_picture_that_is_named_like_a_zip(jpeg: Jpeg) -> None:
    put("photos/a.zip", jpeg())
    put("photos/b.zip", b"no zip")
    paths, _ = expand("photos")
    assert paths == ["photos/a.zip", "photos/b.zip!/"]
