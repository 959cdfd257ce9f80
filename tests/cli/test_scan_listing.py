"""What `fauxlab scan` says of files that it passes over, of pipes, and of names that mean harm."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from fauxlab.datasets.toyfaces import draw, plan

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def photo() -> bytes:
    """A drawn face as the bytes of a PNG."""
    stream = io.BytesIO()
    Image.fromarray(draw("wiki", plan(1), 0, 128)).save(stream, "PNG")
    return stream.getvalue()


def test_files_that_are_passed_over_are_told_and_are_no_errors(
    fauxlab: Command, tmp_path: Path, photo: bytes
) -> None:
    (tmp_path / "download").write_bytes(photo)
    (tmp_path / "notes.txt").write_text("text")
    code, out, err = fauxlab("scan", tmp_path, "--crop", "none", "--json")
    assert code == 0
    assert [verdict["status"] for verdict in json.loads(out)] == ["ok"]
    assert f"1 file passed over (no picture): {tmp_path}/notes.txt" in err.splitlines()
    code, out, err = fauxlab("scan", tmp_path / "notes.txt", "--crop", "none")
    assert code == 1
    assert "not an image in a known format" in out


def test_a_picture_is_taken_from_a_pipe(
    fauxlab: Command, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(photo)))
    code, out, _ = fauxlab("scan", "-", "--crop", "none", "--json")
    (verdict,) = json.loads(out)
    assert code == 0
    assert (verdict["path"], verdict["status"]) == ("-", "ok")


def test_a_name_is_no_formula_in_csv_and_as_it_is_in_json(
    fauxlab: Command, tmp_path: Path, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ['=HYPERLINK("x").png', "+1.png", "-2.png", "@SUM(A1).png", "a.png"]
    for name in names:
        Path(name).write_bytes(photo)
    _, out, _ = fauxlab("scan", ".", "--crop", "none", "--csv")
    paths = [row["path"] for row in csv.DictReader(io.StringIO(out))]
    assert paths == ["./+1.png", "./-2.png", './=HYPERLINK("x").png', "./@SUM(A1).png", "a.png"]
    assert all(Path(path).is_file() for path in paths)
    _, out, _ = fauxlab("scan", ".", "--crop", "none", "--json")
    assert sorted(verdict["path"] for verdict in json.loads(out)) == sorted(names)
