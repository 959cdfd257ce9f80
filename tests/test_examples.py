"""Each example runs, as a reader would run it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fauxlab.data.indexing import index
from fauxlab.datasets.toyfaces import write_toyfaces

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few drawn faces in DeepFakeFace's layout."""
    return write_toyfaces(tmp_path_factory.mktemp("faces") / "toy", n=12, size=64)


def run(name: str, *arguments: Path | str) -> str:
    """What an example prints."""
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_scan_a_folder(faces: Path) -> None:
    lines = run("scan_a_folder.py", faces / "wiki").splitlines()
    verdicts = [line for line in lines if ".jpg" in line]
    counts = [int(line.split("×")[0]) for line in lines if "×" in line]
    assert len(verdicts) == sum(counts) == 12


def test_train_on_toyfaces(tmp_path: Path) -> None:
    module: dict[str, Any] = {"__name__": "example"}
    exec(compile((EXAMPLES / "train_on_toyfaces.py").read_text(), "example", "exec"), module)
    report = module["train"](tmp_path, images=80, epochs=1)
    assert [scores.name for scores in report.generators] == ["inpainting", "insight", "text2img"]
    log = module["read_log"](tmp_path / "runs" / "unified-joint" / "log.jsonl")
    assert [line["event"] for line in log if line["event"] != "step"] == ["epoch", "end"]


def test_score_your_own_detector(faces: Path, tmp_path: Path) -> None:
    manifest = index(faces).split(seed=0, fractions=(0.0, 0.0, 0.0, 1.0))
    manifest.save(tmp_path / "manifest.csv")
    table = run("score_your_own_detector.py", tmp_path / "manifest.csv")
    scores, _, decisions = table.partition("\n\n")
    assert [line.split()[0] for line in scores.splitlines()[1:]] == [
        *("inpainting", "insight", "text2img", "pooled"),
    ]
    assert [" ".join(line.split()[:2]) for line in decisions.splitlines()[1:5]] == [
        *("real wiki", "fake inpainting", "fake insight", "fake text2img"),
    ]


def notebook_cells() -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = json.loads((EXAMPLES / "quickstart.ipynb").read_text())["cells"]
    return cells


def test_the_notebook_runs(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"__name__": "notebook"}
    for cell in notebook_cells():
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "quickstart.ipynb", "exec"), names)
    assert len(names["verdicts"]) == 5
    assert {"train", "val", "calibration", "test"} == {row.split for row in names["data"].rows}
    assert names["report"].n == len(names["data"].test) > 0
    assert "pooled" in capsys.readouterr().out


def test_the_notebook_is_stored_without_outputs() -> None:
    code = [cell for cell in notebook_cells() if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_every_example_is_described() -> None:
    page = (EXAMPLES.parent / "docs" / "getting-started.md").read_text(encoding="utf-8")
    for path in EXAMPLES.iterdir():
        if path.suffix in (".py", ".ipynb"):
            assert f"`{path.name}`" in page
