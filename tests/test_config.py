from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from fauxlab.config import Recipe, difference, list_recipes, load_recipe, recipe_text
from fauxlab.errors import LabError


@pytest.mark.parametrize("name", list_recipes())
def test_every_packaged_recipe_loads_and_survives_a_round_trip(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert Recipe.model_validate(tomllib.loads(recipe.to_toml())) == recipe
    header = recipe_text(name)
    assert f"--recipe {name}" in header.split("[data]")[0], "the header holds the command that runs it"


def test_the_reports_epochs() -> None:
    specialist, unified, extended = (
        load_recipe(n) for n in ("report-specialist", "report-unified", "report-unified-10")
    )
    assert (specialist.train.schedule, specialist.train.epochs) == ("single", 6)
    assert (unified.train.schedule, unified.train.epochs) == ("sequential", 2)
    assert (extended.train.schedule, extended.train.epochs) == ("sequential", 10)


def test_overrides() -> None:
    recipe = load_recipe(
        "unified-joint",
        ["train.lr=1e-4", "data.size=64", "data.generators=a,b", "evaluate.select=last", "model.options.dropout=0.0"],
    )
    assert recipe.train.lr == 1e-4
    assert recipe.data.size == 64
    assert recipe.data.generators == ["a", "b"]
    assert recipe.evaluate.select == "last"
    assert recipe.model.options == {"dropout": 0.0}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epocs=3", "did you mean train.epochs"),
        ("train.sise=3", "unknown key train.sise"),
        ("size=64", "did you mean data.size"),
        ("modle.name='x'", "did you mean model"),
        ("train.epochs=many", "train.epochs = 'many'"),
        ("train.epochs=2.5", "train.epochs = 2.5"),
        ("train.lr='1e-4'", "train.lr"),
        ("train.epochs=0", "greater than or equal to 1"),
        ("train.schedule=daily", "'single', 'sequential' or 'joint'"),
        ("train.lr", "table.key=value"),
        ("train.lr.x=1", "is a value, not a table"),
    ],
)
def test_faults_are_named(override: str, message: str) -> None:
    with pytest.raises(LabError) as caught:
        load_recipe("unified-joint", [override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_recipe_and_bad_file(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="did you mean 'unified-joint'"):
        load_recipe("unified-join")
    with pytest.raises(LabError, match="cannot read recipe"):
        load_recipe(tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("[data\n")
    with pytest.raises(LabError, match="is not TOML"):
        load_recipe(broken)
    broken.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LabError, match="cannot read recipe"):
        load_recipe(broken)


def test_a_copied_recipe_takes_the_files_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(recipe_text("unified-joint"))
    assert load_recipe(path).name == "mine"


def test_difference_lists_changed_leaves() -> None:
    old = {"a": {"b": 1, "c": 2}, "d": 3}
    assert difference(old, {"a": {"b": 1, "c": 5}}) == ["a.c: 2 → 5", "d: 3 → None"]
    assert difference(old, old) == []
