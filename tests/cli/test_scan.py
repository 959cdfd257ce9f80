"""`fauxlab scan`, as a user meets it, with the detector that comes with the package."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import fauxlab as fl
from fauxlab.cli.scan import Counts
from fauxlab.datasets.toyfaces import draw, plan
from fauxlab.records import Verdict
from fauxlab.scan.explain import Explained

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of two drawn faces and a file that is no picture."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for k in range(2):
        Image.fromarray(draw("wiki", plan(2), k, 128)).save(folder / f"{k}.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


def test_all_outputs_at_once(fauxlab: Command, photos: Path, tmp_path: Path) -> None:
    page, maps = tmp_path / "verdicts.html", tmp_path / "maps"
    words = ("scan", photos, "--crop", "none", "--html", page, "--explain", maps)
    code, out, err = fauxlab(*words, "--json")
    assert code == 0, err
    assert [verdict["status"] for verdict in json.loads(out)] == ["ok", "ok", "error"]
    assert page.read_text(encoding="utf-8").count("<article") == 3
    assert sorted(path.name for path in maps.iterdir()) == ["00001-0.png", "00002-1.png"]
    assert err.splitlines()[-2:] == ["1 of 3 pictures could not be judged", f"wrote {page}"]
    assert f"{photos}/broken.jpg: " in err


def test_a_picture_that_is_named_twice_counts_once(fauxlab: Command, photos: Path) -> None:
    code, out, err = fauxlab(
        "scan", photos / "0.png", photos / "broken.jpg", photos, "--crop", "none", "--csv"
    )
    assert code == 0
    assert len(list(csv.DictReader(io.StringIO(out)))) == 3
    assert "1 of 3 pictures could not be judged" in err


def test_what_breaks_off_leaves_no_page_and_closes_the_json(
    fauxlab: Command, photos: Path, tmp_path: Path
) -> None:
    page, maps = tmp_path / "verdicts.html", tmp_path / "maps"
    page.write_text("an older page")
    maps.mkdir()
    (maps / "00002-1.png").mkdir()  # where the second explanation would be written
    (maps / "00002-1.png" / "full").touch()
    code, out, err = fauxlab(
        "scan", photos, "--crop", "none", "--html", page, "--explain", maps, "--json"
    )
    assert code == 1
    assert "00002-1.png" in err.splitlines()[-1]
    assert len(json.loads(out)) == 1
    assert page.read_text() == "an older page"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["maps", "photos", "verdicts.html"]
    assert sorted(path.name for path in maps.iterdir()) == ["00001-0.png", "00002-1.png"]


def test_counts_are_of_pictures_and_of_faces() -> None:
    counts = Counts()
    one = Verdict(path="a", status="ok", label="fake", score=1.0, left_out=2, model_hash="0")
    counts.add(Explained(one))
    counts.add(Explained(one, first=False))
    counts.add(Explained(Verdict(path="b", status="no face", model_hash="0")))
    assert counts.decisions == {"fake": 2, "no face": 1}
    assert counts.pictures == {"ok": 1, "no face": 1}
    none, crowd = counts.describe()
    assert none.startswith("no face found in 1 of 2 pictures; --crop none")
    assert crowd.startswith("1 of 2 pictures may show more faces than were judged")


def test_version(fauxlab: Command) -> None:
    assert fauxlab("--version") == (0, f"fauxlab {fl.__version__}\n", "")


def test_examples_in_the_docstrings_hold() -> None:
    import doctest

    from fauxlab.records import verdict
    from fauxlab.scan import scanner

    for module in (verdict, scanner, sys.modules["fauxlab.errors"]):
        result = doctest.testmod(module)
        assert result.failed == 0
        assert result.attempted > 0
