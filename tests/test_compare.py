"""Runs and detectors beside each other: what differs is named, and a difference is paired."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fauxlab.compare import compare_detectors, compare_runs
from fauxlab.config import load_gan_recipe, load_recipe
from fauxlab.data.cache import load_images
from fauxlab.data.manifest import Manifest
from fauxlab.errors import LabError
from fauxlab.statistics import auc_change
from fauxlab.training.detector.loop import train_detector
from fauxlab.training.gan.loop import train_gan

Command = Callable[..., tuple[int, str, str]]

TINY = ["data.size=32", "model.options.widths=[8, 16]", "train.batch=8", "train.epochs=1"]


@pytest.fixture
def runs(small: Manifest, tmp_path: Path) -> list[Path]:
    """Two trainings that differ in seed and rate."""
    made = [
        train_detector(
            small, load_recipe("unified-joint", [*TINY, *sets]), tmp_path / folder, name="mine"
        )
        for folder, sets in (("a", []), ("b", ["train.seed=1", "train.lr=1e-3"]))
    ]
    return [run.folder for run in made]


def test_what_was_set_differently_and_what_came_of_it(runs: list[Path]) -> None:
    found = compare_runs(runs)
    assert found.differences == {"train.lr": [5e-4, 1e-3], "train.seed": [0, 1]}
    assert [run.name for run in found.runs] == ["a/mine", "b/mine"], (
        "as much of the path as tells them apart"
    )
    assert found.remarks == []
    for run, folder in zip(found.runs, runs, strict=True):
        epoch = next(
            line
            for line in map(json.loads, (folder / "log.jsonl").open())
            if line["event"] == "epoch"
        )
        assert run.state == "finished"
        assert (
            run.figures["validation AUC, best"]
            == run.figures["validation AUC, last"]
            == epoch["val_auc"]
        )
        assert run.images == run.figures["at images"] == epoch["images"]
    assert compare_runs([runs[0], runs[1] / "best"]).differences == found.differences, (
        "a run is known by its model"
    )


def test_detectors_on_the_same_pictures(
    runs: list[Path], small: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # what training decoded needs no file any more
    monkeypatch.setenv("FAUXLAB_CACHE", str(tmp_path / "empty"))
    (small.root / (gone := small.rows[0].path)).write_bytes(b"no picture")
    whole, judged = compare_detectors([*runs, runs[0] / "best"], small)
    assert (len(judged), [path for path, _ in judged.skipped]) == (119, [gone])
    assert [part.name for part in whole] == ["grain", "speckle", "pooled"]
    assert [part.n for part in whole] == [79, 79, 119]
    for part in whole:
        assert part.changes[1].value == pytest.approx(part.aucs[1].value - part.aucs[0].value)
        assert part.changes[2].value == 0
        assert part.aucs[2] == part.aucs[0]


def test_what_one_detector_has_in_store_and_another_cannot_read(
    runs: list[Path], small: Manifest, tmp_path: Path
) -> None:
    larger = train_detector(
        small.train, load_recipe("unified-joint", [*TINY, "data.size=48"]), tmp_path / "c"
    ).folder
    load_images(small, 32)
    (
        small.root / (gone := next(row.path for row in small.rows if row.split == "test"))
    ).write_bytes(b"no picture")
    for models in ([runs[0], larger], [larger, runs[0]]):
        parts, judged = compare_detectors(models, small)
        assert [path for path, _ in judged.skipped] == [gone]
        assert parts[-1].n == 119


def test_a_paired_difference_is_surer_than_the_two_figures() -> None:
    rng = np.random.default_rng(0)
    labels, groups = rng.integers(0, 2, 400), [str(k) for k in range(400)]
    before = labels + rng.normal(size=400)
    after = before + 0.3 * labels + 0.05 * rng.normal(size=400)
    found = auc_change(labels, before, after, groups)
    assert found.low is not None
    assert found.high is not None
    assert found.low > 0, "though each AUC alone is known to ±.05 only"
    assert found.high - found.low < 0.05


def test_command(fauxlab: Command, runs: list[Path], small: Manifest, tmp_path: Path) -> None:
    small.save(tmp_path / "m.csv")
    code, out, _ = fauxlab("compare", *runs, "--manifest", tmp_path / "m.csv", "--split", "all")
    assert code == 0
    assert "train.seed" in out
    assert "AUC minus the first's" in out
    code, out, _ = fauxlab("compare", runs[0], "fauxlab", "--json")
    found = json.loads(out)
    assert [run["state"] for run in found["runs"]] == ["finished", "model"]
    assert found["differences"] == {}, "of a model without its run nobody knows the recipe"
    assert "learned from different data" in found["remarks"][0]


def test_generators_of_other_networks_are_not_compared(
    small: Manifest, tmp_path: Path, fauxlab: Command
) -> None:
    tiny = [
        "model.latent=8",
        "model.generator={widths=[8,8,8,8]}",
        "model.discriminator={widths=[8,8,8,8]}",
    ]
    tiny += ["train.images=16", "train.batch=8", "evaluate.every=8", "guard.every=0"]
    made = [
        train_gan(
            small, load_gan_recipe("sngan-32", [*tiny, f"evaluate.n={n}"]), tmp_path, name=f"n{n}"
        ).folder
        for n in (20, 24)
    ]
    found = compare_runs(made)
    assert found.differences == {"evaluate.n": [20, 24]}
    assert found.remarks == [
        "their distances are of other feature networks, N, sizes or reals, and cannot be compared"
    ]
    assert {run.figures["distance"] for run in found.runs} == {"FD(randconv)"}
    small.save(tmp_path / "m.csv")
    code, _, err = fauxlab("compare", *made, "--manifest", tmp_path / "m.csv")
    assert (code, "--manifest evaluates detectors" in err) == (1, True)
    with pytest.raises(LabError, match="a detector and a generator"):
        compare_runs([made[0], "fauxlab"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["x"], "one run alone compares with nothing"),
        (["x", "y"], "no config.json in x"),
        (["fauxlab", "fauxlab", "--split", "tset"], "--split 'tset'"),
    ],
)
def test_what_cannot_be_compared(fauxlab: Command, words: list[str], message: str) -> None:
    code, _, err = fauxlab("compare", *words)
    assert (code, message in err) == (1, True)
