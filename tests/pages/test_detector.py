"""The page is self-contained and says what results.json says.

It survives hostile names and missing parts.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fauxlab.data.indexing import index
from fauxlab.pages.detector import write_detector_page
from fauxlab.pages.detector_results import mean
from fauxlab.records import Interval

REPORT_TABLE = {
    "inpainting": {"accuracy": 0.989167, "macro_f1": 0.989166},
    "insight": {"accuracy": 0.963417, "macro_f1": 0.963374},
}
INTERVALS = ("macro_f1", "average_precision", "eer", "tpr_at_1_fpr", "tpr_at_5_fpr", "ece")


def interval(value: float, width: float | None = 0.05) -> dict[str, float | None]:
    return {"value": value, "low": width and value - width, "high": width and value + width}


def scores(name: str, accuracy: float, auc: float, width: float | None) -> dict[str, Any]:
    cells = {"real_as_real": 41, "real_as_fake": 9, "fake_as_real": 8, "fake_as_fake": 42}
    known = {
        "name": name,
        "reals": ["photos"],
        "n_real": 50,
        "n_fake": 50,
        "n_groups": 90,
        "confusion": cells,
    }
    others = {metric: interval(0.5, width) for metric in INTERVALS}
    return {**known, "accuracy": interval(accuracy, width), "auc": interval(auc, width), **others}


def report(figures: dict[str, tuple[float, float]], width: float | None) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "model": "report-cnn",
        "model_hash": "aa",
        "data_hash": "bb",
        "split": "test",
        "n": 150,
        "seed": 0,
        "bootstrap": 1000,
        "threshold": 0.5,
        "code_version": "0",
        "pooled": scores("pooled", 0.7, 0.8, width),
        "generators": [scores(name, *pair, width) for name, pair in figures.items()],
        "real_accuracy": {"photos": interval(0.82, width)},
    }


def run(
    part: str, generators: list[str], figures: dict[str, tuple[float, float]], **more: Any
) -> dict[str, Any]:
    stages = (
        generators
        if part in ("sequential", "extended")
        else [generators[0] if part == "specialist" else "joint"]
    )
    epoch = {
        "epoch": 1,
        "val_loss": 0.6,
        "val_accuracy": 0.7,
        "val_auc": 0.8,
        "val_real_accuracy": 0.9,
    }
    recipe = {
        "name": part,
        "data": {"size": 32, "generators": generators if part == "specialist" else []},
        "model": {"name": "report-cnn", "options": {}},
        "train": {"epochs": 2, "balance": "generator", "seed": 0},
        "evaluate": {"select": "last"},
    }
    steps = [
        {"images": 320 * (i + 1), "stage": stages[i // 4], "loss": 0.7 - 0.02 * i}
        for i in range(4 * len(stages))
    ]
    epochs = [
        {
            **epoch,
            "images": steps[i]["images"],
            "stage": steps[i]["stage"],
            "val_fake_accuracy": dict.fromkeys(figures, 0.7),
        }
        for i in range(3, len(steps), 4)
    ]
    made = {
        "name": f"{part}-{generators[0]}",
        "part": part,
        "recipe": recipe,
        "steps": steps,
        "epochs": epochs,
    }
    return {
        **made,
        "test": report(figures, more.get("width", 0.05)),
        "stages": more.get("stages", []),
    }


def results(
    a: str = "swap", b: str = "inpainting", width: float | None = 0.05, extended: bool = False
) -> dict[str, Any]:
    """Two generators; while the second is learnt, accuracy on the first falls from .912 to .634."""
    names = [a, b]
    stages = [
        {"name": a, "test": report({a: (0.912, 0.955), b: (0.501, 0.502)}, width)},
        {"name": b, "test": report({a: (0.634, 0.871), b: (0.932, 0.945)}, width)},
    ]
    after = {a: (0.634, 0.871), b: (0.932, 0.945)}
    made = [
        run("specialist", [a], {a: (0.921, 0.961), b: (0.5, 0.5)}, width=width),
        run("specialist", [b], {a: (0.5, 0.5), b: (0.941, 0.951)}, width=width),
        run("sequential", names, after, stages=stages, width=width),
        *([run("extended", names, after, stages=stages, width=width)] if extended else []),
        run("joint", names, {a: (0.901, 0.931), b: (0.911, 0.921)}, width=width),
    ]
    counts = {
        name: {"train": 100, "val": 50, "calibration": 50, "test": 50}
        for name in (a, b, "real photos")
    }
    packages = {"torch": "2", "numpy": "2"}
    environment = {
        "python": "3.11",
        "packages": packages,
        "platform": "Linux",
        "processor": "CPU",
        "cpus": 2,
        "threads": 2,
        "gpu": None,
        "command": "fauxlab reproduce m.csv",
        "started": "2026-01-01",
    }
    return {
        "schema_version": 1,
        "code_version": "0.1.0",
        "environment": environment,
        "report_table": REPORT_TABLE,
        "data": {
            "hash": "cc",
            "images": 750,
            "groups": 700,
            "counts": counts,
            "matched_reals": {name: ["photos"] for name in names},
        },
        "runs": made,
        "worst": [
            {"path": f"/disk/lab/{n}", "truth": t, "from": f, "score": s}
            for n, t, f, s in (
                ("real/1.jpg", "real", "photos", 0.987),
                ("fake/<i>.jpg", "fake", a, 0.012),
            )
        ],
    }


def text_of(page: Path) -> str:
    """What a reader reads: no style, no tags, single spaces."""
    bare = re.sub(r"<style>.*?</style>|<[^>]+>", " ", page.read_text(encoding="utf-8"), flags=re.S)
    return " ".join(bare.split())


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without the extended part, through JSON as in the file."""
    return write_detector_page(json.loads(json.dumps(results())), tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Names that attack HTML, formulas and encodings; no intervals, and no loss.

    With the extended part.
    """
    made = results("<script>alert(1)</script>", "$\\frac{\n\u202e\udcff", width=None, extended=True)
    for epoch in made["runs"][-1]["epochs"]:
        epoch.update(val_loss=float("nan"), val_real_accuracy=None)
    made["worst"] = []
    return write_detector_page(made, tmp_path_factory.mktemp("hostile"))


def test_page_states_every_generators_figures(page: Path) -> None:
    text = text_of(page)
    # AUC: specialist, sequential, joint
    assert "swap 0.961 0.911–1.011 0.871 0.821–0.921 0.931" in text
    assert "mean 0.956 0.908 0.926 0.931 0.783 0.906" in text
    assert "from 0.955 to 0.871 (−0.084)" in text
    assert (
        "0.912 right after a generator’s own stage and 0.634 after the last stage (−0.278)" in text
    )
    assert "that is −0.030 in AUC and −0.025 in accuracy" in text
    assert "photos 50 0.820" in text
    assert "0.989 0.989 0.932" in text  # Table I: the generator of the same name stands in one row
    assert "insight 0.963 0.963" in text


def test_best_of_a_row_is_marked(page: Path) -> None:
    assert page.read_text().count('best"><') == 0
    marked = re.findall(r'best">(\d\.\d{3})', page.read_text())
    assert marked == ["0.961", "0.921", "0.951", "0.941", "0.956", "0.931"]


def test_page_needs_nothing_from_outside(page: Path, hostile: Path) -> None:
    for path in (page, hostile):
        html = path.read_text(encoding="utf-8")
        assert not re.search(r"https?://", html)
        assert "@import" not in html
        assert "<script" not in html
        assert re.findall(r'(?:src|href)="(?!data:image/|#)[^"]*', html) == []
        assert len(html) < 2_000_000


def test_figures_are_saved_as_files(page: Path, hostile: Path) -> None:
    names = {path.name for path in (page.parent / "figures").iterdir()}
    assert {
        "fig1-confusion-specialists.png",
        "fig2-losses-sequential.png",
        "fig4-forgetting-sequential.png",
    } <= names
    assert not any("extended" in name for name in names)
    assert (hostile.parent / "figures" / "fig2b-losses-extended.png").stat().st_size > 1000
    with Image.open(page.parent / "figures" / "fig1-confusion-specialists.png") as image:
        assert image.width > 300


def test_hostile_names_are_shown_not_run(hostile: Path) -> None:
    html = hostile.read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "$\\frac{\\n\\u202e\\udcff" in html
    assert "\u202e" not in html


def test_missing_intervals_and_parts_are_left_out(page: Path, hostile: Path) -> None:
    assert "Extended Training" not in text_of(page)
    text = text_of(hostile)
    assert "Extended Training" in text
    assert "0.961 0.871 0.871 0.931" in text
    assert "made no error" in text
    assert "None" not in text
    assert "nan" not in text.lower().replace("command", "")


def test_no_picture_and_no_folder_of_the_writer_by_default(page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    assert "image/jpeg" not in html
    assert "--show-images" in html
    assert "/disk/lab" not in html
    assert "fake/&lt;i&gt;.jpg" in html


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One generator only, with pictures.

    Two can be read, one was damaged since, and one is not in the manifest.
    """
    folder = tmp_path_factory.mktemp("alone")
    paths = ["real/a.jpg", "fake/gen/b.jpg", "fake/gen/c.jpg", "not/there.jpg"]
    for i, name in enumerate(paths[:3]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.radial_gradient("L").rotate(90 * i).convert("RGB").save(folder / name)
    manifest = index(folder)
    (folder / paths[2]).write_bytes(b"no picture any more")
    made = results("gen", "other")
    made["runs"] = [trained for trained in made["runs"] if trained["name"] != "specialist-other"]
    for trained in made["runs"]:
        trained["stages"] = trained["stages"][:1]
        for judged in (trained["test"], *(stage["test"] for stage in trained["stages"])):
            judged["generators"] = judged["generators"][:1]
    made["worst"] = [{"path": path, "truth": "real", "from": "x", "score": 0.9} for path in paths]
    return write_detector_page(made, folder, manifest)


def test_pictures_come_with_the_manifest(alone: Path) -> None:
    html = alone.read_text(encoding="utf-8")
    assert html.count("data:image/jpeg;base64,") == 2
    assert html.count("cannot be read") == 2
    assert "--show-images" not in html


def test_one_generator_needs_no_mean(alone: Path) -> None:
    text = text_of(alone)
    assert "mean accuracy" not in text
    assert "cannot be compared number by number" in text


def test_mean_of_nothing_or_of_a_gap_is_none() -> None:
    assert mean([Interval(value=0.5), Interval(value=0.7)]) == pytest.approx(0.6)
    assert mean([]) is None
    assert mean([Interval(value=0.5), None]) is None
    assert mean([Interval(value=None)]) is None
