from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from fauxlab.config import (
    Cosine,
    GanRecipe,
    any_recipe,
    difference,
    list_recipes,
    load_gan_recipe,
    load_recipe,
    recipe_text,
    value_at,
)
from fauxlab.errors import LabError


@pytest.mark.parametrize("name", list_recipes())
def test_every_packaged_recipe_loads_and_survives_a_round_trip(name: str) -> None:
    recipe = any_recipe(name)
    assert recipe.name == name
    assert type(recipe).model_validate(tomllib.loads(recipe.to_toml())) == recipe
    header = recipe_text(name).split("[data]")[0]
    half = "gan" if isinstance(recipe, GanRecipe) else "detector"
    assert f"fauxlab {half} train manifest.csv --recipe {name}" in header, (
        "the header holds the command that runs it"
    )


def test_the_reports_gans() -> None:
    first, second = load_gan_recipe("report-v1"), load_gan_recipe("report-v2")
    assert (first.model.latent, first.train.epochs) == (512, 100)
    assert (first.train.lr, first.train.discriminator_lr) == (2e-4, 1e-5)
    assert first.gan.smoothing > 0
    assert first.train.clip > 0
    assert (second.model.latent, second.data.size) == (256, 128)
    assert second.gan.steps == "adaptive"
    assert (second.gan.generator_steps, second.gan.most_generator_steps) == (2, 5)
    assert (second.gan.discriminator_steps, second.gan.most_discriminator_steps) == (1, 3)
    assert value_at(second.gan.noise, 0.0) > 0
    assert second.gan.smoothing > 0
    assert value_at(second.train.lr, 1.0) < value_at(second.train.lr, 0.0)
    assert second.evaluate.every_epochs == 5


def test_a_recipe_on_a_base_changes_what_it_names_and_nothing_else() -> None:
    base, variant = load_gan_recipe("r3"), load_gan_recipe("r3-32")
    changed = difference(tomllib.loads(base.to_toml()), tomllib.loads(variant.to_toml()))
    tables = {line.split(":")[0] for line in changed}
    assert {"name", "data.size", "train.images", "train.batch"} <= tables
    assert variant.gan.loss == base.gan.loss == "relativistic"
    written = tomllib.loads(recipe_text("r3-32"))
    named = [
        "name",
        *(
            f"{table}.{key}"
            for table, keys in written.items()
            if isinstance(keys, dict)
            for key in keys
        ),
    ]
    for line in tables:
        assert line.startswith(tuple(named)), line
    assert not any(line.startswith(("train.beta1", "gan.augment:", "gan.ema")) for line in changed)


def test_base_of_a_recipe_of_ones_own(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('base = "r3-32"\n[gan]\nema = 0.0\n')
    recipe = load_gan_recipe(mine)
    assert (recipe.name, recipe.data.size, recipe.gan.ema) == ("mine", 32, 0.0)
    mine.write_text('base = "r33"\n[gan]\n')
    with pytest.raises(LabError, match=r"no recipe 'r33'; .*did you mean 'r3"):
        load_gan_recipe(mine)
    for base in ("3", '"mine.toml"'):
        mine.write_text(f"base = {base}\n[gan]\n")
        with pytest.raises(LabError, match="expected the name of another packaged recipe"):
            load_gan_recipe(mine)
    mine.write_text('[model]\nname = "r3"\n')
    with pytest.raises(LabError, match=r"has no \[gan\] table"):
        load_gan_recipe(mine)
    (tmp_path / "r3.toml").write_text('base = "r3"\n[gan]\nema = 0.5\n')
    assert load_gan_recipe(tmp_path / "r3.toml").gan.ema == 0.5
    mine.write_text("x = " + "[" * 3000 + "]" * 3000)
    with pytest.raises(LabError, match="is not TOML"):
        load_gan_recipe(mine)


def test_half_cosine_and_plain_numbers() -> None:
    falling = Cosine(start=2.0, end=0.2, over=0.5)
    assert falling.at(0.0) == 2.0
    assert falling.at(0.25) == pytest.approx(1.1)
    assert falling.at(0.5) == pytest.approx(0.2)
    assert falling.at(0.9) == pytest.approx(0.2), "and stays there"
    assert value_at(0.3, 0.7) == 0.3


def test_each_half_refuses_the_others_recipes() -> None:
    with pytest.raises(LabError, match="is for a GAN; use it with `fauxlab gan train`"):
        load_recipe("r3")
    with pytest.raises(LabError, match="is for a detector; use it with `fauxlab detector train`"):
        load_gan_recipe("unified-joint")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("gan.r1.strat=2", "unknown key gan.r1.strat: did you mean gan.r1.start?"),
        ("gan.r1=-1", "gan.r1 = -1: input should be greater than or equal to 0"),
        ("gan.r1=much", "gan.r1 = 'much': input should be a valid number"),
        ("train.beta2=1.5", "train.beta2 = 1.5: expected at most 0.99999"),
        ("gan.augment_p=2", "gan.augment_p = 2: expected at most 1"),
        ("train.lr={start=1}", "train.lr.end"),
        ("gan.augment=blur", "'translation', 'colour' or 'cutout'"),
        ("gan.los=bce", "did you mean gan.loss"),
    ],
)
def test_faults_of_gan_recipes_are_named(override: str, message: str) -> None:
    with pytest.raises(LabError) as caught:
        load_gan_recipe("r3-32", [override])
    assert message in str(caught.value)
    assert str(caught.value).count(";") == 0, "one fault, one clause"


def test_schedules_on_the_command_line() -> None:
    recipe = load_gan_recipe(
        "r3-32", ["gan.r1={start=4, end=1}", "train.lr=1e-4", "gan.augment=translation,cutout"]
    )
    assert recipe.gan.r1 == Cosine(start=4, end=1)
    assert recipe.train.lr == 1e-4
    assert recipe.gan.augment == ["translation", "cutout"]


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
        [
            "train.lr=1e-4",
            "data.size=64",
            "data.generators=a,b",
            "evaluate.select=last",
            "model.options.dropout=0.0",
        ],
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


NINES = "9" * 30
HOSTILE = {
    "many digits": (f"[train]\nepochs = {NINES}\n", "more than 64 bits"),
    "digits that Python cannot read": ("[train]\nepochs = " + "9" * 5000, "more than 64 bits"),
    "digits that Python cannot print": ("[train]\nepochs = 0x" + "f" * 5000, "more than 64 bits"),
    "many digits among options": (f"[model.options]\nwidths = [{NINES}]\n", "more than 64 bits"),
    "an unknown key for the terminal": ('"\\u001b[31mEVIL\\u0007" = 1', r"key \x1b[31mEVIL\x07;"),
    "a value for the terminal": ('[train]\nlr = "\\u001b[31m\\u0007"', r"'\x1b[31m\x07'"),
    "a base for the terminal": ('base = "\\u001b[31m.toml"', r"base = '\x1b[31m.toml'"),
    "lists in lists": ("a = " + "[" * 100_000, "nested deeper than 32"),
    "tables in tables": ("a = " + "{a=" * 1000, "nested deeper than 32"),
    "a key of many parts": ("a" + ".a" * 100_000 + " = 1", "nested deeper than 32"),
    "a key of many quoted parts": ("a" + " . 'a.=b'" * 100_000 + " = 1", "nested deeper than 32"),
    "a table of many parts": ("[a" + ".a" * 100_000 + "]", "nested deeper than 32"),
    "a long key": ("k" * 300_000 + " = 1", "unknown key " + "k" * 200 + "…;"),
    "a long value": ("[train]\nlr = '" + "v" * 300_000 + "'", "v…: input should be"),
    "not finite": ("[train]\nlr = inf\nema = nan\n", "train.lr = inf"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_recipe_is_one_short_line(tmp_path: Path, name: str) -> None:
    text, message = HOSTILE[name]
    path = tmp_path / "\x1b[2J.toml"
    path.write_text(text)
    with pytest.raises(LabError) as caught:
        load_recipe(path)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_of_many_faults_ten_are_named(tmp_path: Path) -> None:
    path = tmp_path / "many.toml"
    path.write_text("".join(f"[table{number}]\n" for number in range(5_000)))
    with pytest.raises(LabError) as caught:
        load_recipe(path)
    message = str(caught.value)
    assert message.count("unknown key") == 10
    assert message.endswith("; … and 4,990 more")


def test_a_recipe_is_a_regular_file_of_some_megabytes(tmp_path: Path) -> None:
    for name in ("pipe.toml", "folder.toml", "large.toml", "device.toml"):
        path = tmp_path / name
        if name == "pipe.toml":
            os.mkfifo(path)
        elif name == "folder.toml":
            path.mkdir()
        elif name == "large.toml":
            path.touch()
            os.truncate(path, 2**30)
        else:
            path.symlink_to("/dev/zero")
        for load in (load_recipe, load_gan_recipe, any_recipe):
            with pytest.raises(LabError, match="cannot read recipe"):
                load(path)


@pytest.mark.parametrize(
    "override",
    [
        f"train.epochs={NINES}",
        "train.epochs=" + "9" * 5000,
        "train.epochs=0x" + "f" * 5000,
        "train.lr=" + "[" * 100_000,
        "train.lr=1\na" + ".a" * 100_000 + "=1",
        "train.lr=inf",
        "train.lr=\x1b[31m\x07",
        "\x1b[31m\x07=1",
        "a" + ".a" * 100_000 + "=1",
        "k" * 100_000,
        "train.lr.\x1b[31m=1",
    ],
    ids=lambda override: f"{override[:20]!r}",
)
def test_a_hostile_override_is_one_short_line(override: str) -> None:
    with pytest.raises(LabError) as caught:
        load_recipe("unified-joint", [override])
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_whole_numbers_of_64_bits_are_read() -> None:
    assert load_recipe("unified-joint", ["train.seed=9223372036854775807"]).train.seed == 2**63 - 1


def test_a_copied_recipe_takes_the_files_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(recipe_text("unified-joint"))
    assert load_recipe(path).name == "mine"


def test_difference_lists_changed_leaves() -> None:
    old = {"a": {"b": 1, "c": 2}, "d": 3}
    assert difference(old, {"a": {"b": 1, "c": 5}}) == ["a.c: 2 → 5", "d: 3 → None"]
    assert difference(old, old) == []


def test_an_override_of_text_stays_as_it_is_written() -> None:
    recipe = load_recipe(
        "detector", ["data.generators=2.10", "model.pretrained=1e3", "name=2024-01-01"]
    )
    assert (recipe.data.generators, recipe.model.pretrained, recipe.name) == (
        ["2.10"],
        "1e3",
        "2024-01-01",
    )
    assert load_recipe("detector", ['data.generators=["2.10", "b"]']).data.generators == [
        "2.10",
        "b",
    ]
    assert load_gan_recipe("r3", ["data.sources=7,8"]).data.sources == ["7", "8"]
    assert load_gan_recipe("r3", ["train.lr=1e-3"]).train.lr == 1e-3
