"""Leaving generators out: what is trained on, what is tested, and that nothing is trained twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from fauxlab.config import load_recipe
from fauxlab.data.manifest import Manifest
from fauxlab.errors import LabError
from fauxlab.models.pretrained import Detector
from fauxlab.reproduce.leaving_out import Part
from fauxlab.reproduce.unseen import leave_one_out
from fauxlab.training.detector.schedule import schedule_stages
from fauxlab.training.run import Run

TINY = ["data.size=32", "model.options.widths=[8, 16]", "train.batch=8", "train.epochs=1"]


def test_each_generator_is_left_out_once_and_judged_where_it_was_not_seen(
    small: Manifest, tmp_path: Path
) -> None:
    recipe = load_recipe("unified-joint", TINY)
    report = leave_one_out(small, recipe, tmp_path)
    assert [row.scores.name for row in report.generators] == ["grain", "speckle"]
    assert [row.run for row in report.generators] == [
        "unified-joint-without-grain",
        "unified-joint-without-speckle",
    ]
    for row, other in zip(report.generators, ("speckle", "grain"), strict=True):
        run = Run(tmp_path / row.run)
        assert run.recipe.data.generators == [other]
        rows = schedule_stages(small, run.recipe).stages[0].rows
        assert {small.rows[i].generator for i in rows} == {"", other}
        assert row.model_hash == Detector.from_pretrained(run.folder / "calibrated").hash
        assert row.scores.n_fake == sum(r.generator == row.scores.name for r in small.test.rows)
        assert row.seen_auc is not None
    assert "never seen" in report.table()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("model.safetensors")}
    again = leave_one_out(small, recipe, tmp_path)
    assert again.model_copy(update={"environment": report.environment}) == report
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("model.safetensors")}


def test_all_reals_stay_when_a_generator_goes(small: Manifest) -> None:
    part = Part("grain", generators=("grain",))
    recipe = part.recipe(load_recipe("unified-joint", TINY), ["grain", "speckle"])
    assert recipe.data.reals == "all"
    rows = schedule_stages(small, recipe).stages[0].rows
    assert sum(small.rows[i].label == 0 for i in rows) == sum(
        r.label == 0 and r.split == "train" for r in small.rows
    )


@pytest.mark.parametrize(
    ("overrides", "only", "message"),
    [
        (["data.generators=grain"], None, "two generators or more"),
        ([], ["grian"], "no generator 'grian' to leave out"),
    ],
)
def test_what_cannot_be_left_out(
    small: Manifest, tmp_path: Path, overrides: list[str], only: list[str] | None, message: str
) -> None:
    with pytest.raises(LabError, match=message):
        leave_one_out(small, load_recipe("unified-joint", [*TINY, *overrides]), tmp_path, only=only)
    untested = small.where(lambda row: row.generator != "speckle" or row.split != "test")
    with pytest.raises(LabError, match="the test split has no image of speckle to evaluate on"):
        leave_one_out(untested, load_recipe("unified-joint", TINY), tmp_path)
    assert not list(tmp_path.glob("unified-*"))
