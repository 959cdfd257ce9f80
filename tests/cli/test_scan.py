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
from fauxlab.cli.scan import Counts, Finding
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
    assert err.splitlines()[-2:] == [
        "1 of 3 pictures could not be judged; --fail-on error makes this exit code 3",
        f"wrote {page}",
    ]
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


def test_the_table_says_how_scores_are_read(fauxlab: Command, photos: Path) -> None:
    code, out, _ = fauxlab("scan", photos, "--crop", "none")
    assert code == 0
    head, *rows, empty, model, scores, rates = out.splitlines()
    assert head.split() == ["verdict", "score", "path"]
    for number, row in enumerate(rows[:2]):
        path, _, reason = row[21:].partition(": ")
        assert path == str(photos / f"{number}.png")
        assert bool(reason) == row.startswith("cannot tell")
    assert empty == ""
    assert model.startswith("model fauxlab")
    assert scores == (
        "threshold 0.922: real below 0.272, uncertain from 0.272 to below 0.922, fake from 0.922 on"
    )
    assert rates.endswith(
        "at most 5 % of the real ones are called fake, and 10 % of the fakes real"
    )


def test_json_lines_come_one_by_one(
    fauxlab: Command, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = fauxlab("scan", photos, "--crop", "none", "--jsonl")
    assert code == 0
    verdicts = [Verdict.model_validate_json(line) for line in out.splitlines()]
    assert [verdict.status for verdict in verdicts] == ["ok", "ok", "error"]
    assert f"{photos}/broken.jpg: " in err
    for other in ("--json", "--csv"):
        code, out, err = fauxlab("scan", photos, "--jsonl", other)
        assert (code, out) == (1, "")
        assert err.count("\n") == 1
        assert "--jsonl" in err
        assert "exclude each other" in err


def test_what_fails_a_scan_can_be_chosen(fauxlab: Command, photos: Path) -> None:
    scan = ("scan", photos, "--crop", "none")
    code, _, err = fauxlab(*scan)
    assert code == 0
    assert "1 of 3 pictures could not be judged; --fail-on error" in err
    code, _, err = fauxlab(*scan, "--fail-on", "error")
    assert code == 3
    assert "1 of 3 pictures could not be judged\n" in err
    assert fauxlab(*scan, "--fail-on", "fake", "--fail-on", "error")[0] == 3
    assert fauxlab("scan", photos / "0.png", "--crop", "none", "--fail-on", "error")[0] == 0
    # Where no picture at all can be judged, the scan fails in any case.
    assert fauxlab("scan", photos / "broken.jpg")[0] == 1
    assert fauxlab("scan", photos / "broken.jpg", "--fail-on", "error")[0] == 3


def test_only_certain_fakes_fail_a_scan() -> None:
    counts = Counts()
    doubtful = Verdict(
        path="a", status="ok", label="fake", uncertain=True, score=0.9, model_hash="0"
    )
    counts.add(Explained(doubtful))
    assert not counts.found([Finding.fake, Finding.error])
    counts.add(Explained(doubtful.model_validate(doubtful.model_dump() | {"uncertain": False})))
    assert not counts.found([Finding.fake]), "a label is not made of nothing"
    counts.add(Explained(Verdict(path="b", status="ok", label="fake", score=1, model_hash="0")))
    assert counts.found([Finding.fake])
    assert not counts.found([])


@pytest.mark.parametrize("value", ["0", "-1"])
@pytest.mark.parametrize("option", ["--max-pixels", "--timeout", "--max-faces"])
def test_a_limit_that_is_none_is_one_line(
    fauxlab: Command, photos: Path, option: str, value: str
) -> None:
    code, out, err = fauxlab("scan", photos, option, value)
    assert (code, out) == (1, "")
    assert err == f"error: {option} {value}: give a number above 0\n"


def test_limits_reach_the_scanner(fauxlab: Command, photos: Path) -> None:
    _, out, _ = fauxlab("scan", photos, "--crop", "none", "--max-pixels", "1000", "--json")
    messages = [verdict["message"] for verdict in json.loads(out)]
    assert messages[:2] == ["128×128 pixels, above the limit of 1,000"] * 2


def test_the_total_is_shown(fauxlab: Command, photos: Path) -> None:
    _, _, err = fauxlab("scan", photos, "--crop", "none")
    assert "scanning: 3/3 images" in err


def test_nothing_named_has_no_table(fauxlab: Command, tmp_path: Path) -> None:
    code, out, err = fauxlab("scan", tmp_path)
    assert (code, out) == (1, "")
    assert "no pictures found in" in err
    folders = [tmp_path / str(k) for k in range(30)]
    for folder in folders:
        folder.mkdir()
    _, _, err = fauxlab("scan", *folders)
    assert err.rstrip().endswith("and 25 more")


def test_counts_are_of_pictures_and_of_faces() -> None:
    counts = Counts()
    one = Verdict(path="a", status="ok", label="fake", score=1.0, left_out=2, model_hash="0")
    counts.add(Explained(one))
    counts.add(Explained(one, first=False))
    counts.add(Explained(Verdict(path="b", status="no face", model_hash="0")))
    assert counts.decisions == {"fake": 2, "no face": 1}
    assert counts.pictures == {"ok": 1, "no face": 1}
    tiny = Verdict(path="c", status="ok", ood=True, coarse=True, model_hash="0")
    counts.add(Explained(tiny))
    none, small, coarse, crowd = counts.describe()
    assert none.startswith("no face found in 1 of 3 pictures; --crop none")
    assert small == "1 face is too small for a verdict"
    assert coarse.startswith("1 of 3 pictures are too large to look at closely")
    assert crowd.startswith("1 of 3 pictures may show more faces than were judged")


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
