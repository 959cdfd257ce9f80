"""A detector's plan: made once, and all that a training starts from."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch

from fauxlab.config import Recipe, load_recipe
from fauxlab.data.manifest import Manifest
from fauxlab.errors import LabError
from fauxlab.models.inception import Inception
from fauxlab.training.detector import plan as planning
from fauxlab.training.detector.loop import train_plan
from fauxlab.training.detector.plan import describe_plan, list_warnings, plan_training

TINY = ["data.size=32", "model.options.widths=[8, 16]", "train.batch=8", "train.epochs=1"]


def recipe(*overrides: str) -> Recipe:
    return load_recipe("unified-joint", [*TINY, *overrides])


def count_calls(monkeypatch: pytest.MonkeyPatch, *names: str) -> Counter[str]:
    """How often the planning module calls these of its names."""
    calls: Counter[str] = Counter()
    for name in names:
        function = getattr(planning, name)

        def counted(*given: object, name: str = name, function: object = function, **more: object):  # type: ignore[no-untyped-def]
            calls[name] += 1
            return function(*given, **more)  # type: ignore[operator]

        monkeypatch.setattr(planning, name, counted)
    return calls


def test_network_and_pretrained_weights_are_made_once(
    small: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = Inception(complete=False).state_dict()
    torch.save(state, tmp_path / "weights.pth")
    monkeypatch.setenv("FAUXLAB_INCEPTION", str(tmp_path / "weights.pth"))
    calls = count_calls(monkeypatch, "create_detector", "load_pretrained", "schedule_stages")
    asked = load_recipe(
        "unified-joint",
        [
            "data.size=32",
            "train.batch=8",
            "train.epochs=1",
            "model.name=inception",
            "model.pretrained=keras-inception-7a",
        ],
    )
    plan = plan_training(small, asked)
    assert "# stage joint" in describe_plan(plan)
    assert list_warnings(plan) == []
    train_plan(plan, tmp_path, max_minutes=0)
    assert calls == {"create_detector": 1, "load_pretrained": 1, "schedule_stages": 1}


def test_a_plan_that_is_only_looked_at_reads_and_downloads_no_weights(
    small: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = count_calls(monkeypatch, "load_pretrained")
    overrides = ["data.size=32", "model.name=inception", "model.pretrained=inception-fid"]
    plan = plan_training(small, load_recipe("unified-joint", overrides), read_weights=False)
    assert "parameters" in describe_plan(plan)
    assert not calls["load_pretrained"]


def test_a_plan_can_be_trained_twice(small: Manifest, tmp_path: Path) -> None:
    plan = plan_training(small, recipe())
    files = [
        train_plan(plan, tmp_path, name=name).folder / "best" / "model.safetensors"
        for name in ("one", "two")
    ]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_planning_leaves_the_callers_random_numbers_alone(small: Manifest) -> None:
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    plan_training(small, recipe())
    assert torch.equal(torch.rand(2), expected)


def damage(small: Manifest, label: int, count: int) -> None:
    """Change the files of `count` training pictures of a class since they were indexed."""
    rows = [row for row in small.rows if row.label == label and row.split == "train"]
    for row in rows[:count]:
        (Path(small.root) / row.path).write_bytes(b"changed")


def test_skipped_pictures_are_in_the_log_and_all_of_them_in_a_file(
    small: Manifest, tmp_path: Path
) -> None:
    damage(small, label=1, count=7)
    run = train_plan(plan_training(small, recipe()), tmp_path, max_minutes=0)
    first = next(run.read_log())
    assert first["event"] == "skipped"
    assert first["count"] == 7
    assert len(first["first"]) == 5
    assert "changed since it was indexed" in first["first"][0]["reason"]
    assert len(run.skipped) == 7
    assert run.skipped[0] == (first["first"][0]["path"], first["first"][0]["reason"])
    for _ in range(3):
        run = train_plan(plan_training(small, recipe()), tmp_path, resume=True, max_minutes=0)
    assert [line["event"] for line in run.read_log()].count("skipped") == 1, "told once"


def test_skipped_pictures_change_the_plan(small: Manifest, tmp_path: Path) -> None:
    fakes = sum(row.label == 1 and row.split == "train" for row in small.rows)
    damage(small, label=1, count=fakes)
    with pytest.raises(LabError, match="no fake images to train on"):
        train_plan(plan_training(small, recipe()), tmp_path / "runs")
    assert not (tmp_path / "runs").exists(), "refused before the folder is taken"
