"""What is left out of each training: names, families, folds; and what the results say of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fauxlab.config import load_recipe
from fauxlab.data.manifest import Manifest, Row
from fauxlab.errors import LabError
from fauxlab.reproduce import unseen
from fauxlab.reproduce.leaving_out import (
    Part,
    check_families,
    choose_evaluated,
    deal,
    list_parts,
    parse_families,
    parse_splits,
)
from fauxlab.reproduce.left_out_plans import Leaving, plan_leave_one_out
from fauxlab.reproduce.unseen import leave_one_out
from fauxlab.training.detector.schedule import schedule_stages
from fauxlab.training.run import Run

TINY = ["data.size=32", "model.options.widths=[8, 16]", "train.batch=8", "train.epochs=1"]


def with_kinds(small: Manifest) -> Manifest:
    """The small set with its reals from two sources, and half of it to calibrate on."""
    rows = []
    for number, row in enumerate(small.rows):
        fields: dict[str, Any] = {name: getattr(row, name) for name in Row.__dataclass_fields__}
        if not row.label and number % 2:
            fields["source"] = "press"
        rows.append(Row(**fields))
    return Manifest(tuple(rows), small.root).split(fractions=(0.3, 0.1, 0.5, 0.1))


def test_the_largest_is_dealt_first_each_to_the_smallest_fold() -> None:
    sizes = {"a": 1600, "b": 1500, "c": 1000, "d": 800, "e": 100, "f": 100}
    units = {name: [name] for name in sizes}
    # d goes to the fold of c, which holds 1,000; e to that of b; then two hold 1,600.
    assert deal(units, sizes, 3) == [["a", "f"], ["b", "e"], ["c", "d"]]
    assert deal({"gans": ["a", "b"], "c": ["c"]}, sizes, 2) == [["a", "b"], ["c"]]


def test_parts_are_generators_families_or_kinds_of_reals(small: Manifest) -> None:
    data = with_kinds(small)
    generators, reals = data.generators, data.sources
    assert [part.name for part in list_parts(data, ["generators"], generators, reals, {})] == [
        "grain",
        "speckle",
    ]
    [first, second] = list_parts(data, ["real-kinds"], generators, reals, {})
    assert (first.name, first.reals, first.generators) == ("real-photos", ("photos",), ())
    assert second.reals == ("press",)
    folded = list_parts(data, ["real-kinds", "families"], generators, reals, {}, folds=2)
    assert [part.name for part in folded] == [
        "real-kinds-families-1-of-2",
        "real-kinds-families-2-of-2",
    ]
    assert sorted(folded[0].reals + folded[1].reals) == ["photos", "press"]
    assert sorted(folded[0].generators + folded[1].generators) == ["grain", "speckle"]


def test_a_family_is_left_out_together(small: Manifest) -> None:
    families = parse_families(["noise=grain,speckle"])
    parts = list_parts(small, ["families"], ["grain", "speckle", "gan"], ["photos"], families)
    assert [(part.name, part.generators) for part in parts] == [
        ("noise", ("grain", "speckle")),
        ("gan", ("gan",)),
    ]
    check_families({"grain": ["grain", "speckle"]}, ["grain", "speckle", "gan"])  # named after one
    with pytest.raises(LabError, match="two families or more; there is noise"):
        list_parts(small, ["families"], ["grain", "speckle"], ["photos"], families)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (["noise"], "write it as NAME=GENERATOR,GENERATOR"),
        (["noise="], "write it as NAME=GENERATOR,GENERATOR"),
        (["a=grain", "a=speckle"], "'a' is named twice"),
        (["a=grian"], "no generator 'grian' for the family 'a'.*did you mean 'grain'"),
        (["a=grain", "b=grain"], "'grain' is in two families, 'a' and 'b'"),
        (["grain=speckle"], "'grain' has the name of a generator"),
    ],
)
def test_families_that_make_no_sense(items: list[str], message: str) -> None:
    with pytest.raises(LabError, match=message):
        check_families(parse_families(items), ["grain", "speckle"])


def test_splits_of_the_left_out_kinds(small: Manifest) -> None:
    assert parse_splits("train+val") == ("train", "val")
    assert parse_splits("all") == ("train", "val", "calibration", "test")
    for split in ("tset", "train", ""):
        with pytest.raises(LabError, match="--split"):
            parse_splits(split)
    part = Part("grain", generators=("grain",))
    chosen = choose_evaluated(small, part, parse_splits("all"))
    assert sum(row.generator == "grain" for row in chosen.rows) == 40
    assert {row.split for row in chosen.rows if row.generator != "grain"} == {"test"}
    chosen = choose_evaluated(small, part, parse_splits("train+val"))
    assert {row.split for row in chosen.rows if row.generator != "grain"} == {"val"}


def test_a_kind_of_reals_is_out_of_training_validation_and_calibration(small: Manifest) -> None:
    data = with_kinds(small)
    leaving = Leaving(sorts=["real-kinds"], split="all", rate=0.5)
    planned = plan_leave_one_out(data, load_recipe("unified-joint", TINY), leaving)
    assert [plan.recipe.name for plan in planned] == [
        "unified-joint-without-real-photos",
        "unified-joint-without-real-press",
    ]
    for plan, name in zip(planned, ("photos", "press"), strict=True):
        schedule = schedule_stages(data, plan.recipe)
        used = [*schedule.stages[0].rows.tolist(), *schedule.val_rows.tolist()]
        sources = {data.rows[i].source for i in used if not data.rows[i].label}
        assert sources == {"photos", "press"} - {name}
        assert name not in plan.calibration.sources
        assert {row.split for row in plan.calibration.rows} == {"calibration"}
        assert sum(row.source == name for row in plan.evaluated.rows) == 20


def test_a_kind_of_reals_is_scored_at_the_threshold_of_the_others(
    small: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = with_kinds(small)
    recipe = load_recipe("unified-joint", TINY)
    leaving = Leaving(sorts=["real-kinds"], split="all", rate=0.5)
    report = leave_one_out(data, recipe, tmp_path, leaving=leaving)
    assert [row.name for row in report.reals] == ["photos", "press"]
    assert report.generators == []
    for row, part in zip(report.reals, report.parts, strict=True):
        assert row.decisions.n == 20
        assert (part.reals, part.calibrated, part.rate) == ([row.name], True, 0.5)
        calibrated = Run(tmp_path / row.run).folder / "calibrated" / "config.json"
        config = json.loads(calibrated.read_text())
        assert config["threshold"] == part.threshold
        assert row.name not in config["calibration"]["n_real"]
    means = report.means()
    alarms = [row.decisions.called_fake.value for row in report.reals]
    assert means["reals_called_fake"] == pytest.approx(sum(alarms) / 2)
    assert means["reals_called_fake_worst"] == max(alarms)
    assert "reals never seen, 2 kinds" in report.table()
    assert type(report).model_validate_json(report.model_dump_json()) == report

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("calibrated twice")

    monkeypatch.setattr(unseen, "calibrate", refuse)
    assert leave_one_out(data, recipe, tmp_path, leaving=leaving).reals == report.reals


def test_nothing_to_calibrate_on_is_told_before_the_training(
    small: Manifest, tmp_path: Path
) -> None:
    data = with_kinds(small).where(lambda row: row.split != "calibration" or not row.label)
    leaving = Leaving(sorts=["real-kinds"], split="all")
    recipe = load_recipe("unified-joint", TINY)
    with pytest.raises(LabError, match="without real-photos the calibration split lacks a class"):
        leave_one_out(data, recipe, tmp_path, leaving=leaving)
    assert not list(tmp_path.glob("unified-*"))


def test_a_rate_that_cannot_be_promised_is_told_before_the_training(
    small: Manifest, tmp_path: Path
) -> None:
    leaving = Leaving(sorts=["real-kinds"], split="all", rate=0.01)
    recipe = load_recipe("unified-joint", TINY)
    with pytest.raises(LabError, match=r"^without real-photos: a rate of 0\.01 .* it takes 99"):
        leave_one_out(with_kinds(small), recipe, tmp_path, leaving=leaving)
    assert not list(tmp_path.glob("unified-*"))


def test_pseudo_fakes_are_neither_left_out_nor_measured_on(small: Manifest) -> None:
    data = with_kinds(small)
    pseudo = []
    for row in data.rows:
        if row.generator == "grain":
            pseudo.append(replace(row, generator="blends", extra={"pseudo": "blend"}))
    data = replace(data, rows=(*data.rows, *pseudo))
    leaving = Leaving(sorts=["generators"], split="all")
    planned = plan_leave_one_out(data, load_recipe("unified-joint", TINY), leaving)
    assert [plan.part.name for plan in planned] == ["grain", "speckle"]
    for plan in planned:
        rows = [*plan.calibration.rows, *plan.evaluated.rows]
        assert {row.generator for row in rows} == {"", "grain", "speckle"}


@pytest.mark.parametrize(
    ("leaving", "message"),
    [
        (Leaving(sorts=["generators", "real-kinds"]), "left out together in folds only"),
        (Leaving(sorts=["generators"], folds=3), "3 folds: give 2 to 2"),
        (Leaving(sorts=["generators"], only=["x"]), "no generator 'x' to leave out"),
    ],
)
def test_what_cannot_be_left_out(small: Manifest, leaving: Leaving, message: str) -> None:
    with pytest.raises(LabError, match=message):
        plan_leave_one_out(with_kinds(small), load_recipe("unified-joint", TINY), leaving)


def test_the_only_kind_of_reals_cannot_be_left_out(small: Manifest) -> None:
    leaving = Leaving(sorts=["real-kinds"])
    with pytest.raises(LabError, match="two real-kinds or more; there is photos"):
        plan_leave_one_out(small, load_recipe("unified-joint", TINY), leaving)


def test_an_unknown_source_to_leave_out(small: Manifest) -> None:
    recipe = load_recipe("unified-joint", [*TINY, "data.leave_out=photo"])
    with pytest.raises(LabError, match=r"no real source 'photo'.*did you mean 'photos'"):
        schedule_stages(small, recipe)
