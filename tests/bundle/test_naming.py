"""What results call a model: never more of a path than its last part."""

from __future__ import annotations

from pathlib import Path

import pytest

from fauxlab.bundle.config import DetectorConfig, Preprocessing
from fauxlab.bundle.naming import describe_model, name_model


def make_config(name: str = "") -> DetectorConfig:
    preprocessing = Preprocessing(size=32, pipeline_version=1)
    return DetectorConfig(architecture="trace", name=name, preprocessing=preprocessing)


@pytest.mark.parametrize(
    ("own_name", "model", "expected"),
    [
        ("", "fauxlab", "fauxlab"),
        ("fauxlab", "fauxlab", "fauxlab"),
        ("fauxlab-large", Path("/srv/models/secret/new"), "new"),
        ("Fauxlab", "/srv/best", "best"),
        ("mine", "/srv/best", "mine"),
        ("", "runs/x/best-calibrated/", "best-calibrated"),
        ("", "/srv/a/../b", "b"),
        ("", "/srv/\x1b[2J", "\\x1b[2J"),
        ("", "/", "trace"),
        ("", None, "trace"),
        ("fauxlab", None, "fauxlab"),
    ],
)
def test_names(own_name: str, model: str | Path | None, expected: str) -> None:
    assert name_model(make_config(own_name), model) == expected


def test_the_present_folder_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    assert name_model(make_config(), ".") == "mine"


def test_a_model_in_a_line() -> None:
    assert describe_model("mine", "2.1", "abc") == "mine 2.1, abc"
    assert describe_model("mine", None, "") == "mine"


def test_a_name_has_a_bound() -> None:
    with pytest.raises(ValueError, match="at most 100 characters"):
        make_config("m" * 101)
