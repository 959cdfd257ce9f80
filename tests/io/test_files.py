"""What is written aside: whole or not at all, and never left behind for long."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fauxlab.errors import LabError
from fauxlab.io import files
from fauxlab.io.files import file_aside, folder_aside, sweep
from fauxlab.io.text import replace_file

WRITER = """
import sys, time
from pathlib import Path
from fauxlab.io.files import file_aside, folder_aside
folder = Path(sys.argv[1])
with file_aside(folder / "report.csv") as stream, folder_aside(folder / "best") as aside:
    stream.write(b"half")
    stream.flush()
    (aside / "config.json").write_text("half")
    print("written", flush=True)
    time.sleep(100)
"""


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def dead_pid() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


@pytest.fixture(autouse=True)
def always_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LISTING_PAUSE", 0)


def test_a_file_stands_in_its_place_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    path.write_bytes(b"old")
    with file_aside(path) as stream:
        stream.write(b"new")
        stream.flush()
        assert path.read_bytes() == b"old"
        assert len(names(tmp_path)) == 2
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["report.csv"]


@pytest.mark.parametrize("fault", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_what_breaks_off_leaves_what_was_there(tmp_path: Path, fault: BaseException) -> None:
    (tmp_path / "report.csv").write_bytes(b"old")
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "config.json").write_bytes(b"old")

    def write_file() -> None:
        with file_aside(tmp_path / "report.csv") as stream:
            stream.write(b"new")
            raise fault

    def write_folder() -> None:
        with folder_aside(tmp_path / "best") as aside:
            (aside / "config.json").write_bytes(b"new")
            raise fault

    for write in (write_file, write_folder):
        with pytest.raises((KeyboardInterrupt, OSError)):
            write()
    assert names(tmp_path) == ["best", "report.csv"]
    assert (tmp_path / "report.csv").read_bytes() == b"old"
    assert (tmp_path / "best" / "config.json").read_bytes() == b"old"


def test_two_writers_of_one_process_do_not_meet(tmp_path: Path) -> None:
    with file_aside(tmp_path / "a") as one, file_aside(tmp_path / "a") as other:
        one.write(b"one")
        other.write(b"other")
    assert (tmp_path / "a").read_bytes() == b"one"  # the last to be moved there
    assert names(tmp_path) == ["a"]


def test_left_overs_go_once_their_writer_is_dead(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert writer.stdout is not None
    try:
        assert writer.stdout.readline() == b"written\n"
        sweep(tmp_path / "report.csv")
        replace_file(tmp_path / "another.csv", "")
        left = names(tmp_path)
        assert [name.split(".")[1] for name in left[:2]] == ["best", "report"]
        assert left[2:] == ["another.csv"]
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()
    replace_file(tmp_path / "another.csv", "")
    assert names(tmp_path) == ["another.csv"]


def test_a_number_that_is_used_again_protects_nothing(tmp_path: Path) -> None:
    """In a container every run has the same number; only the lock tells who lives."""
    left = tmp_path / f".report.csv.{os.getpid()}-0123abcd.tmp"
    left.write_bytes(b"half")
    with left.open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)
        sweep(tmp_path / "report.csv")
        assert left.exists()
    sweep(tmp_path / "report.csv")
    assert not left.exists()


def test_left_overs_of_former_versions_go_by_their_number(tmp_path: Path) -> None:
    dead = dead_pid()
    left = [
        f".best.{dead}.tmp",
        f"best.{dead}.tmp",
        f".best.{dead}.rows.tmp",
        f".best.{os.getpid()}.tmp",  # a number that is used again, as in a container
    ]
    (tmp_path / left[0]).mkdir()
    (tmp_path / left[0] / "model.onnx").write_bytes(b"half")
    for name in left[1:]:
        (tmp_path / name).write_bytes(b"half")
    kept = [
        f".best.{os.getppid()}.tmp",  # lives
        f".other.{dead}.tmp",  # of another file
        f"best.tar.{dead}.tmp",
        "best.tmp",
        ".best.tmp",
        f".best.{dead}",
        f".best.{dead}-0123.tmp",
        ".best..tmp",
    ]
    for name in kept:
        (tmp_path / name).write_bytes(b"")
    with folder_aside(tmp_path / "best") as aside:
        (aside / "config.json").write_bytes(b"{}")
    assert names(tmp_path) == sorted([*kept, "best"])


@pytest.mark.parametrize("token", ["", "-0123abcd"])
def test_the_only_copy_is_put_back(tmp_path: Path, token: str) -> None:
    """A writer that died between two renames has moved the old folder away, and no new one in."""
    old = tmp_path / f".best.{dead_pid()}{token}.old"
    old.mkdir()
    (old / "config.json").write_bytes(b"old")
    sweep(tmp_path / "best")
    assert (tmp_path / "best" / "config.json").read_bytes() == b"old"
    old.mkdir()
    sweep(tmp_path / "best")
    assert names(tmp_path) == ["best"]


def test_links_and_foreign_names_stay(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"mine")
    link = tmp_path / ".a.1-0123abcd.tmp"
    link.symlink_to(target)
    sweep(tmp_path / "a")
    assert target.read_bytes() == b"mine"


def test_a_folder_that_cannot_be_listed_is_no_fault(tmp_path: Path) -> None:
    sweep(tmp_path / "none" / "a")
    assert not list(tmp_path.iterdir())


def test_a_large_folder_is_not_listed_for_every_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LISTING_PAUSE", 1e9)
    sweep(tmp_path / "a")
    left = tmp_path / ".a.1-0123abcd.tmp"
    left.write_bytes(b"")
    sweep(tmp_path / "a")
    assert left.exists()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 1e9)
    sweep(tmp_path / "a")
    assert not left.exists()


def test_long_names_are_written(tmp_path: Path) -> None:
    path = tmp_path / ("ü" * 127)
    replace_file(path, "x")
    assert names(tmp_path) == [path.name]


def test_a_full_disk_is_named_with_what_to_do(
    tmp_path: Path, full_disk: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    full_disk()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LabError) as caught:
        replace_file(Path("report.csv"), "x" * 10_000)
    assert str(caught.value) == (
        "cannot write report.csv: No space left on device; "
        f"make room in {tmp_path}, or choose a place on another disk"
    )
    assert names(tmp_path) == []
