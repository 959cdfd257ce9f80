"""`detector train --leave-out` and `detector eval --by` as users type them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fauxlab.bundle.config import DetectorConfig, Preprocessing
from fauxlab.data.manifest import Manifest
from fauxlab.io.images import PIPELINE_VERSION
from fauxlab.models import create_detector
from fauxlab.models.pretrained import Detector

Command = Callable[..., tuple[int, str, str]]
TINY = ("--set", "data.size=32", "--set", "model.options.widths=[8, 16]", "--set", "train.epochs=1")


@pytest.fixture
def table(small: Manifest) -> Path:
    path = small.root / "manifest.csv"
    small.save(path)
    return path


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    preparation = Preprocessing(size=32, pipeline_version=PIPELINE_VERSION)
    config = DetectorConfig(architecture="trace", preprocessing=preparation)
    Detector(create_detector("trace", 32).eval(), config).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_eval_by_columns(fauxlab: Command, table: Path, bundle: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    words = ("detector", "eval", bundle, table, "--split", "all", "--by", "split", "--html", page)
    code, out, _ = fauxlab(*words, "--by", "generator", "--json")
    assert code == 0
    report = json.loads(out)
    assert report["schema_version"] == 6
    by_split, by_generator = report["subgroups"]
    assert by_split["column"] == "split"
    assert sum(row["reals"]["n"] for row in by_split["rows"]) == 40
    assert sum(row["fakes"]["n"] for row in by_split["rows"]) == 80
    shares = {row["value"]: row for row in by_generator["rows"]}
    assert shares["(none)"]["reals"] == report["real_decisions"]["photos"]
    assert shares["grain"]["fakes"] == report["fake_decisions"]["grain"]
    four = ("called_fake", "called_real", "uncertain", "cannot_tell")
    total = sum(shares["grain"]["fakes"][name]["value"] for name in four)
    assert np.isclose(total, 1)
    assert "By split" in page.read_text(encoding="utf-8")


def test_eval_by_an_unknown_column(fauxlab: Command, table: Path, bundle: Path) -> None:
    code, out, err = fauxlab("detector", "eval", bundle, table, "--by", "splitt")
    assert code == 1
    assert out == ""
    assert "no column 'splitt' to group by; the manifest has path, label," in err
    assert "did you mean 'split'?" in err
    assert len(err.strip().splitlines()) == 1


def test_dry_run_shows_what_is_left_out(fauxlab: Command, table: Path) -> None:
    train = ("detector", "train", table, "--recipe", "unified-joint", *TINY, "--dry-run")
    code, out, _ = fauxlab(*train, "--leave-one-out")
    assert code == 0
    assert fauxlab(*train, "--leave-out", "generators")[1] == out
    names = [line for line in out.splitlines() if line.startswith('name = "unified')]
    assert names == [
        'name = "unified-joint-without-grain"',
        'name = "unified-joint-without-speckle"',
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--leave-out", "family"), "one of generators, families, real-kinds; did you mean"),
        (("--leave-out", "generators", "--leave-out", "families"), "generators or families, not"),
        (("--family", "a=grain"), "go with --leave-out"),
        (("--leave-out", "generators", "--name", "x"), "leave out --name"),
        (("--leave-out", "generators", "--rate", "2"), "--rate 2.0: give a share between 0 and 1"),
        (("--leave-out", "families", "--family", "noise=grain,speckle"), "two families or more"),
    ],
)
def test_what_cannot_be_left_out(
    fauxlab: Command, table: Path, words: tuple[str, ...], message: str
) -> None:
    code, _, err = fauxlab("detector", "train", table, "--recipe", "unified-joint", *TINY, *words)
    assert code == 1
    assert message in err
