"""Detectors with two heads: what is drawn, counted, put on one scale, and released."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from tests.training.processes import run_together

from fauxlab.calibration.join import fit_join
from fauxlab.config import Recipe, load_recipe
from fauxlab.data.cache import load_images
from fauxlab.data.manifest import Manifest
from fauxlab.errors import LabError
from fauxlab.models import create_detector
from fauxlab.models.inputs import to_input
from fauxlab.training.detector import pseudo_fakes
from fauxlab.training.detector.heads import measure_heads, predict_heads, set_join
from fauxlab.training.detector.inputs import TrainingInputs
from fauxlab.training.detector.loop import train_detector
from fauxlab.training.detector.losses import HeadLoss, HeadTargets, Taught, head_targets
from fauxlab.training.detector.manipulations import ALTERED, MADE, REAL
from fauxlab.training.detector.network import Answers, TrainedNetwork
from fauxlab.training.detector.plan import describe_plan, list_warnings, plan_training
from fauxlab.training.detector.pseudo_fakes import plan_shares, replace_fakes
from fauxlab.training.detector.sampling import epoch_order
from fauxlab.training.detector.schedule import schedule_stages
from fauxlab.training.run import Run
from fauxlab.training.seeding import step_generator

TINY = [
    "data.size=32",
    "model.name=trace",
    "model.options={ widths = [8, 16], blocks = [1, 1], stem = 8 }",
    "model.heads=made,altered",
    "train.batch=8",
    "train.epochs=2",
    "evaluate.select=val_auc",
]


def recipe(*overrides: str) -> Recipe:
    return load_recipe("unified-joint", [*TINY, *overrides])


def with_pseudo(manifest: Manifest, count: int) -> Manifest:
    """The first training fakes of `grain` become pseudo-fakes of the source `photos`."""
    rows = []
    left = count
    for row in manifest.rows:
        is_chosen = left > 0 and row.generator == "grain" and row.split == "train"
        left -= is_chosen
        extra = {"pseudo": "blend"}
        rows.append(replace(row, generator="blends", extra=extra) if is_chosen else row)
    return replace(manifest, rows=tuple(rows))


def test_heads_of_a_recipe() -> None:
    assert load_recipe("unified-joint").model.heads == []
    assert recipe().model.heads == ["made", "altered"]
    for wrong in ("made", "made,made", "made,swapped"):
        with pytest.raises(LabError, match=r"^[^\n]*model\.heads[^\n]*$"):
            load_recipe("unified-joint", [f"model.heads={wrong}"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.name=report-cnn", "model.options={}"], "report-cnn has one head only"),
        (["model.options={ heads = 2 }"], r"write model\.heads"),
        (["model.heads=[]", "train.decode=0.5"], r"train\.decode needs model\.heads"),
        (["model.heads=[]", "train.teacher=fauxlab"], r"train\.teacher needs model\.heads"),
        (
            ["data.generators=grain"],
            r"no altered fakes to train the head altered on; set train\.bl",
        ),
        (["data.generators=speckle"], r"no made fakes to train the head made on; set train\.dec"),
    ],
)
def test_recipes_that_cannot_be(both: Manifest, overrides: list[str], message: str) -> None:
    with pytest.raises(LabError, match=message):
        plan_training(both, recipe(*overrides))


def test_a_plan_counts_both_kinds_of_fakes(both: Manifest) -> None:
    plan = plan_training(both, recipe(), read_weights=False)
    assert "# of the fakes 28 were made whole, 28 are altered photos" in describe_plan(plan)
    assert list_warnings(plan) == []
    blends = plan_training(both, recipe("data.generators=grain", "train.blend=1"))
    assert "28 were made whole, 0 are altered" in describe_plan(blends)
    without = both.where(lambda row: row.split != "val" or row.label == 1)
    assert "one scale" in "".join(list_warnings(plan_training(without, recipe())))


@pytest.mark.parametrize("balance", ["label", "generator", "group"])
def test_fakes_are_shared_between_the_manipulations(both: Manifest, balance: str) -> None:
    order = epoch_order(both, np.arange(len(both)), balance, (0, 0, 0), altered=0.25)
    assert [both.rows[i].label for i in order] == [k % 2 for k in range(120)]
    drawn = Counter(both.rows[i].generator for i in order)
    assert drawn == {"": 60, "grain": 45, "speckle": 15}
    alone = both.where(lambda row: row.generator != "speckle")
    order = epoch_order(alone, np.arange(len(alone)), balance, (0, 0, 0), altered=0.25)
    assert Counter(alone.rows[i].label for i in order) == {0: 40, 1: 40}, "none altered: all made"


def test_matched_reals_have_their_share(both: Manifest) -> None:
    numbers = [i for i, row in enumerate(both.rows) if not row.label]
    rows = list(both.rows)
    for place, number in enumerate(numbers):
        rows[number] = replace(rows[number], source="own" if place < 4 else f"photos{place % 3}")
    rows = [replace(row, compare_to="own") if row.generator == "speckle" else row for row in rows]
    manifest = replace(both, rows=tuple(rows))
    everything = np.arange(len(rows))
    for share, expected in ((0.0, 1 / 4), (0.5, 5 / 8), (1.0, 1.0)):
        order = epoch_order(manifest, everything, "group", (0, 0, 0), altered=0.25, matched=share)
        reals = [rows[i].source for i in order if not rows[i].label]
        assert reals.count("own") / len(reals) == pytest.approx(expected, abs=0.03)
    # Without a matched source nothing changes.
    plain = epoch_order(both, everything, "group", (0, 0, 0), altered=0.25)
    same = epoch_order(both, everything, "group", (0, 0, 0), altered=0.25, matched=0.5)
    assert plain.tolist() == same.tolist()


def test_pseudo_fakes_are_trained_on_and_nothing_else(both: Manifest) -> None:
    manifest = with_pseudo(both, 6)
    rows = [replace(row, split="val") if row.is_pseudo else row for row in manifest.rows]
    in_val = replace(manifest, rows=tuple(rows))
    schedule = schedule_stages(manifest, recipe("data.generators=speckle"))
    assert schedule.generators == ("speckle",)
    (stage,) = schedule.stages
    assert Counter(manifest.rows[i].generator for i in stage.fakes) == {"speckle": 28, "blends": 6}
    assert schedule_stages(manifest, recipe()).generators == ("grain", "speckle")
    val_rows = schedule_stages(in_val, recipe()).val_rows
    assert "blends" not in {in_val.rows[i].generator for i in val_rows}
    for named in ({"source": "elsewhere"}, {"source": "", "compare_to": "elsewhere"}):
        rows = [replace(row, **named) if row.is_pseudo else row for row in manifest.rows]
        (stage,) = schedule_stages(replace(manifest, rows=tuple(rows)), recipe()).stages
        assert "blends" not in {rows[i].generator for i in stage.fakes}, "of reals not trained on"
    with pytest.raises(LabError, match="no generator 'blends'"):
        schedule_stages(manifest, recipe("data.generators=blends"))


def test_targets_of_each_manipulation() -> None:
    targets = head_targets(torch.tensor([REAL, MADE, ALTERED]), ["altered", "made"])
    assert targets.labels.tolist() == [[0, 0], [0, 1], [1, 0]]
    assert targets.counted.tolist() == [[1, 1], [0, 1], [1, 0]]


def test_loss_of_heads_by_hand() -> None:
    def cross_entropy(logit: float, target: float) -> float:
        chance = 1 / (1 + np.exp(-logit))
        return float(-target * np.log(chance) - (1 - target) * np.log(1 - chance))

    answers = Answers(torch.tensor([[1.0, -2.0], [0.5, 3.0]]), torch.tensor([[1.0], [2.0]]))
    plain = head_targets(torch.tensor([REAL, MADE]), ["made", "altered"])
    train = recipe("train.teacher_weight=0.25", "train.teacher_features=0.1").train
    by_labels = [cross_entropy(1, 0), cross_entropy(-2, 0), cross_entropy(0.5, 1)]
    assert HeadLoss(train)(answers, plain).item() == pytest.approx(np.mean(by_labels))

    known = torch.tensor([1.0, 0.0])
    chances = torch.tensor([[0.3, 0.6], [0.9, 0.9]])
    taught = Taught(known, chances, torch.tensor([[4.0], [7.0]]))
    loss = HeadLoss(train)(answers, HeadTargets(plain.labels, plain.counted, taught))
    soft = [
        0.75 * by_labels[0] + 0.25 * cross_entropy(1, 0.3),
        0.75 * by_labels[1] + 0.25 * cross_entropy(-2, 0.6),
        by_labels[2],
    ]
    assert loss.item() == pytest.approx(np.mean(soft) + 0.1 * (9 + 0) / 2)


def test_which_fakes_give_way() -> None:
    train = recipe("train.blend=0.4", "train.decode=0.2", "train.altered=0.3").train
    made = np.array([MADE, MADE])
    altered = np.array([ALTERED])
    assert plan_shares(train, np.append(made, ALTERED)) == {MADE: (0, 0.2), ALTERED: (0.4, 0)}
    assert plan_shares(train, made)[MADE] == pytest.approx((0.3, 0.7 * 0.2))
    assert plan_shares(train, altered)[ALTERED] == pytest.approx((0.3 * 0.4, 0.7))


def test_pseudo_fakes_take_the_places_of_fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    def invert(pictures: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        assert len(pictures) == len(seeds)
        return 255 - pictures

    monkeypatch.setattr(pseudo_fakes, "decode_batch", invert)
    n = 300
    numbers = torch.tensor([REAL, MADE, ALTERED]).repeat(n // 3)
    images = torch.zeros(n, 3, 32, 32, dtype=torch.uint8)
    images[numbers == REAL] = 10
    images[numbers == MADE] = 100
    shares = {MADE: pseudo_fakes.Shares(0.25, 0.5), ALTERED: pseudo_fakes.Shares(1.0, 0.0)}
    changed, after, is_new = replace_fakes(images, numbers, shares, step_generator(0, 0, 0))
    assert torch.equal(changed[numbers == REAL], images[numbers == REAL])
    assert not is_new[numbers == REAL].any()
    assert bool((after[numbers == ALTERED] == ALTERED).all())
    assert bool(is_new[numbers == ALTERED].all())
    assert changed[numbers == ALTERED].float().mean() < 40, "a real one, a little changed"
    of_made = numbers == MADE
    decoded = of_made & is_new & (after == MADE)
    blended = of_made & is_new & (after == ALTERED)
    assert 35 <= int(decoded.sum()) <= 65
    assert 12 <= int(blended.sum()) <= 38
    assert bool((changed[decoded] == 245).all())
    assert torch.equal(changed[of_made & ~is_new], images[of_made & ~is_new])

    no_reals = numbers != REAL
    same, _, none = replace_fakes(
        images[no_reals], numbers[no_reals], shares, step_generator(0, 0, 0)
    )
    assert torch.equal(same, images[no_reals])
    assert not none.any()


def test_a_batch_holds_targets_of_what_it_shows(
    both: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pseudo_fakes, "decode_batch", lambda pictures, _: 255 - pictures)
    images = load_images(both, 32)
    asked = recipe("train.blend=1", "train.decode=1", "train.augment=[]", "train.balance=group")
    inputs = TrainingInputs(Accelerator(cpu=True), images, schedule_stages(both, asked), asked)
    batch = inputs.batch(0)
    assert isinstance(batch.targets, HeadTargets)
    rows = inputs.rows(0)
    shown = to_input(torch.from_numpy(images.take(rows)))
    is_real = torch.from_numpy(both.labels[rows] == 0)
    assert torch.equal(batch.inputs[is_real], shown[is_real])
    assert batch.targets.labels[is_real].sum() == 0
    assert batch.targets.counted.sum() == 4 * 2 + 4
    same = (batch.inputs == shown).flatten(1).all(1)
    assert torch.equal(same, is_real), "every fake gave way"
    again = inputs.batch(0)
    assert torch.equal(again.inputs, batch.inputs)


def test_the_join_puts_every_head_on_one_scale(both: Manifest) -> None:
    heads = ["made", "altered"]
    network = create_detector("trace", 32, widths=[8, 16], blocks=[1, 1], heads=2)
    rng = np.random.default_rng(0)
    rows = np.arange(len(both))
    signs = np.array([[row.manipulation == head for head in heads] for row in both.rows])
    logits = (rng.normal(0, 1, signs.shape) + 2.0 * signs) * [1, 5] + [0, -20]
    raw = logits.astype(np.float32)
    join: Any = network.head.join  # type: ignore[union-attr]

    # Without fakes of a head there is nothing to fit, and the join stays as it is.
    no_altered = np.flatnonzero(~signs[:, 1])
    set_join(network, both, no_altered, raw[no_altered], heads)
    assert (join.centre.tolist(), join.scale.tolist()) == ([0, 0], [1, 1])

    set_join(network, both, rows, raw, heads)
    sorts, kinds, groups = zip(
        *[(row.manipulation, row.kind, row.group) for row in both.rows], strict=True
    )
    centre, scale = fit_join(raw.astype(np.float64), both.labels, sorts, kinds, groups, heads)
    assert join.centre.tolist() == pytest.approx(centre.tolist())
    assert join.scale.tolist() == pytest.approx(scale.tolist())
    # Scale and place of the second head's logits are undone.
    assert scale[1] / scale[0] == pytest.approx(5, rel=0.5)
    assert centre[1] == pytest.approx(-20 + 5, abs=3)


def test_figures_of_the_heads_weigh_kinds_alike(both: Manifest) -> None:
    rows = np.arange(len(both))
    generators = np.array([row.generator for row in both.rows])
    logits = np.zeros((len(both), 2), np.float32)
    logits[generators == "grain"] = [1, 0]
    logits[np.flatnonzero(generators == "speckle")[:30]] = [0, 1]
    joined = torch.from_numpy(logits.sum(1))
    figures = measure_heads(both, rows, ["made", "altered"], logits, joined)
    assert figures["val_head_auc"] == pytest.approx({"made": 1.0, "altered": 0.75 + 0.25 / 2})
    assert figures["val_auc"] == pytest.approx((1 + 0.875) / 2)
    assert figures["val_joined_auc"] == pytest.approx((1 + 0.875) / 2)
    at_one = np.log(1 + np.exp(-1))
    total = 40 * at_one + 30 * at_one + (80 + 10) * np.log(2)
    assert figures["val_loss"] == pytest.approx(total / 160)
    no_fakes = measure_heads(both, rows[:40], ["made", "altered"], logits[:40], joined[:40])
    assert no_fakes["val_auc"] is None


def test_a_run_learns_both_heads(both: Manifest, tmp_path: Path) -> None:
    asked = recipe("train.epochs=8", "train.lr=5e-3", "train.augment=flip", "train.ema=0.1")
    run = train_detector(both, asked, tmp_path)
    epochs = [line for line in run.read_log() if line["event"] == "epoch"]
    best = max(epochs, key=lambda line: line["val_auc"])
    assert min(best["val_head_auc"].values()) > 0.8, "noise on smooth pictures is easy to see"
    config = run.model.config
    assert [head.manipulation for head in config.heads] == ["made", "altered"]
    assert config.options["heads"] == 2
    assert config.metrics["val_auc"] == best["val_auc"]

    images = load_images(both.val, 32)
    pixels = images.take(np.arange(len(images)))
    raw = predict_heads(run.model.model, images, np.arange(len(images)), 16)
    prediction = run.model.predict(pixels)
    reals = both.val.labels == 0
    above = prediction.head_logits[reals] > 0
    assert above.sum(0).tolist() == [0, 0], "fewer than fifty reals: none lies above"
    head: Any = run.model.model.head
    join = head.join
    np.testing.assert_allclose(
        prediction.head_logits, (raw - join.centre.numpy()) / join.scale.numpy(), atol=1e-4
    )
    assert join.scale.tolist() != [1.0, 1.0]


def assert_same_run(a: Run, b: Run) -> None:
    assert (a.folder / "log.jsonl").read_text() == (b.folder / "log.jsonl").read_text()
    weights = [(run.folder / "best" / "model.safetensors").read_bytes() for run in (a, b)]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("ema", ["0", "0.1"])
def test_a_stopped_run_of_heads_is_resumed_exactly(
    both: Manifest, tmp_path: Path, ema: str
) -> None:
    asked = recipe("train.blend=0.5", "train.augment=flip,degrade", f"train.ema={float(ema)}")
    whole = train_detector(both, asked, tmp_path, name="whole")
    for _ in range(5):
        parts = train_detector(both, asked, tmp_path, name="parts", resume=True, max_minutes=1e-9)
    assert parts.finished
    assert_same_run(whole, parts)


def test_pictures_that_cannot_be_read_are_left_out(both: Manifest, tmp_path: Path) -> None:
    broken = [row for row in both.rows if row.generator == "speckle" and row.split == "train"]
    for row in broken[:5]:
        (Path(both.root) / row.path).write_bytes(b"changed")
    run = train_detector(both, recipe("train.epochs=1"), tmp_path)
    assert run.finished
    assert len(run.skipped) == 5
    for row in broken:
        (Path(both.root) / row.path).write_bytes(b"changed")
    with pytest.raises(LabError, match="no altered fakes"):
        train_detector(both, recipe("train.epochs=1", "data.size=64"), tmp_path / "other")


TOGETHER = """
import os, sys
import torch
from fauxlab.config import load_recipe
from fauxlab.data.manifest import Manifest
from fauxlab.training.detector import loop as training
training.LOG_EVERY = 1
manifest, out, name, *overrides = sys.argv[1:]
recipe = load_recipe("unified-joint", overrides)
training.train_detector(Manifest.load(manifest), recipe, out, name=name)
if torch.distributed.is_initialized():
    torch.distributed.destroy_process_group()
os._exit(0)
"""


def test_two_processes_train_heads_and_save_what_they_measured(
    both: Manifest, tmp_path: Path
) -> None:
    both.save(tmp_path / "manifest.csv")
    arguments = [str(tmp_path / "manifest.csv"), str(tmp_path / "runs"), "two"]
    assert run_together(2, TOGETHER, [*arguments, *TINY, "train.epochs=1"]) == [0, 0]
    (epoch,) = [line for line in Run(tmp_path / "runs" / "two").read_log() if "epoch" in line]
    model = Run(tmp_path / "runs" / "two").model
    images = load_images(both.val, 32)
    rows = np.arange(len(images))
    logits = predict_heads(model.model, images, rows, 16)
    joined = torch.from_numpy(model.predict(images.take(rows)).logits)
    figures = measure_heads(images.manifest, rows, ["made", "altered"], logits, joined)
    for name, value in figures.items():
        assert epoch[name] == pytest.approx(value, abs=1e-4)


def test_the_loss_of_a_batch_is_the_mean_over_its_processes() -> None:
    numbers = torch.tensor([REAL, MADE, REAL, MADE, REAL, ALTERED, REAL, MADE])
    logits = torch.linspace(-2, 3, 16).view(8, 2)
    loss = HeadLoss(recipe().train)

    def of(rows: list[int]) -> float:
        targets = head_targets(numbers[rows], ["made", "altered"])
        return loss(Answers(logits[rows], torch.zeros(len(rows), 0)), targets).item()

    halves = (of([0, 1, 4, 5]) + of([2, 3, 6, 7])) / 2
    assert of(list(range(8))) == pytest.approx(halves)


def test_heads_compute_in_single_precision(both: Manifest) -> None:
    network = plan_training(both, recipe("model.options.dropout=0.0")).network.eval()
    images = torch.rand(4, 3, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        maps = network.trunk(images)[-1]  # type: ignore[operator]
        assert maps.dtype == torch.bfloat16
        answers = TrainedNetwork(network)(images)
    assert answers.logits.dtype == torch.float32
    expected = network.head(maps.float())  # type: ignore[operator]
    assert torch.equal(answers.logits, expected)
