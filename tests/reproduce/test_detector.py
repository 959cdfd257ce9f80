"""The report's experiments end to end, small: all runs made, evaluated, written, not repeated."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fauxlab.data.manifest import Manifest
from fauxlab.errors import LabError
from fauxlab.pages.detector import write_detector_page
from fauxlab.records import DetectionReport
from fauxlab.reproduce.detector import REPORT_TABLE, plan_experiments, reproduce_detector

TINY = ["data.size=32", "model.options.widths=[8, 16]", "train.batch=8", "train.epochs=1"]


def test_plan_follows_the_report(small: Manifest) -> None:
    assert [e.name for e in plan_experiments(small)] == [
        "report-specialist-grain",
        "report-specialist-speckle",
        "report-unified",
        "report-unified-10",
        "unified-joint",
    ]
    same = [e.part for e in plan_experiments(small, ["train.epochs=1"])]
    assert same == ["specialist", "specialist", "sequential", "joint"], (
        "ten epochs made one are the run before"
    )


def test_report_table_is_the_reports() -> None:
    assert {name: round(row["accuracy"], 3) for name, row in REPORT_TABLE.items()} == {
        "inpainting": 0.989,
        "insight": 0.963,
        "text2img": 0.998,
    }


def test_experiments_run_once_and_are_all_judged(small: Manifest, tmp_path: Path) -> None:
    results = reproduce_detector(small, tmp_path, overrides=TINY, extended=False)
    assert json.loads((tmp_path / "results.json").read_text()) == json.loads(json.dumps(results))
    assert [run["part"] for run in results["runs"]] == [
        "specialist",
        "specialist",
        "sequential",
        "joint",
    ]
    for run in results["runs"]:
        report = DetectionReport.model_validate(run["test"])
        assert report.split == "test"
        assert [s.name for s in report.generators] == ["grain", "speckle"]
    sequential = results["runs"][2]
    assert [stage["name"] for stage in sequential["stages"]] == ["grain", "speckle"]
    # The detector after the last stage is the one that the run hands out.
    assert sequential["stages"][-1]["test"]["pooled"] == sequential["test"]["pooled"]

    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("model.safetensors")}
    again = reproduce_detector(small, tmp_path, overrides=TINY, extended=False)
    assert again["runs"] == results["runs"]
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("model.safetensors")}
    page = write_detector_page(results, tmp_path)
    assert page.stat().st_size > 10_000


@pytest.mark.parametrize(
    "names", [("2.1", "a, b"), ("style (cut)", "x/../../../../escaped")], ids=["signs", "path"]
)
def test_generators_of_any_name_stay_inside(
    small: Manifest, tmp_path: Path, names: tuple[str, str]
) -> None:
    new_name = dict(zip(("grain", "speckle"), names, strict=True))
    rows = tuple(
        replace(row, generator=new_name.get(row.generator, row.generator)) for row in small.rows
    )
    results = reproduce_detector(
        replace(small, rows=rows), tmp_path / "deep/runs", overrides=TINY, extended=False
    )
    for run, name in zip(results["runs"], names, strict=False):
        assert run["recipe"]["data"]["generators"] == [name]
    assert [stage["name"] for stage in results["runs"][2]["stages"]] == [*names]
    made = {path.relative_to(tmp_path).parts[:2] for path in tmp_path.rglob("model.safetensors")}
    assert made == {("deep", "runs")}


def test_what_another_version_evaluated_is_evaluated_again(small: Manifest, tmp_path: Path) -> None:
    first = reproduce_detector(small, tmp_path, overrides=TINY, extended=False)
    saved = tmp_path / "unified-joint/test/evaluation.json"
    content = json.loads(saved.read_text())
    schema = content["schema_version"]
    for other in (
        {"of_tomorrow": 1},  # cannot be read
        {"schema_version": schema - 1, "n": 7},  # can be read, and says something else
        {"schema_version": schema + 1, "n": 7},
        {"model_hash": "another", "n": 7},
        {"data_hash": "another", "n": 7},
    ):
        saved.write_text(json.dumps(content | other))
        again = reproduce_detector(small, tmp_path, overrides=TINY, extended=False)
        assert again["runs"] == first["runs"]
        assert json.loads(saved.read_text()) == content
    saved.write_text(json.dumps(content | {"n": 7}))
    kept = reproduce_detector(small, tmp_path, overrides=TINY, extended=False)
    assert kept["runs"][-1]["test"]["n"] == 7, "the same detector, images and schema"


def test_a_generator_may_come_twice(small: Manifest, tmp_path: Path) -> None:
    sets = [*TINY, "data.generators=grain,speckle,grain"]
    runs = reproduce_detector(small, tmp_path, overrides=sets, extended=False)["runs"]
    assert [run["part"] for run in runs] == ["specialist", "specialist", "sequential", "joint"]
    assert [stage["name"] for stage in runs[2]["stages"]] == ["grain", "speckle", "grain"]
    assert runs[2]["stages"][-1]["test"] == runs[2]["test"] != runs[2]["stages"][0]["test"]


def test_what_cannot_work_is_refused_before_training(small: Manifest, tmp_path: Path) -> None:
    with pytest.raises(LabError, match="test split"):
        reproduce_detector(small.in_split("train", "val"), tmp_path, overrides=TINY)
    with pytest.raises(LabError, match="needs reals and fakes"):
        reproduce_detector(
            small.where(lambda row: not row.label or row.split != "test"), tmp_path, overrides=TINY
        )
    with pytest.raises(LabError, match="two trainings would share the run 'x'"):
        reproduce_detector(small, tmp_path, overrides=[*TINY, "name=x"])
    with pytest.raises(LabError, match="no generator 'x'"):
        reproduce_detector(small, tmp_path, overrides=[*TINY, "data.generators=x"])
    assert not list(tmp_path.glob("report-*"))
