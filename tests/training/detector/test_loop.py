"""Training: what is drawn, what is refused, and that a killed, resumed or shared run is the same
run.
"""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from dataclasses import replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from tests.training.processes import run_together, start_process, wait

from fauxlab.config import Recipe, load_recipe
from fauxlab.data.cache import load_images
from fauxlab.data.manifest import Manifest
from fauxlab.errors import LabError
from fauxlab.models.inception import Inception
from fauxlab.models.inputs import to_input
from fauxlab.models.pretrained import Detector
from fauxlab.training import session
from fauxlab.training.detector import inputs as batches
from fauxlab.training.detector import loop as training
from fauxlab.training.detector import validation
from fauxlab.training.detector.loop import learning_rate, train_detector
from fauxlab.training.detector.plan import plan_training
from fauxlab.training.detector.sampling import deal, epoch_order, stage_order
from fauxlab.training.detector.schedule import run_name, schedule_stages
from fauxlab.training.run import Run
from fauxlab.training.seeding import step_generator
from fauxlab.training.session import train_alone

# Of the first epoch of seed 0 over the small data set; "none", "label" and "generator" as the code
# of the committed detector_report.json drew them, "group" as that of the released detector did.
FIRST = {
    "none": [101, 67, 36, 114, 1, 23, 13, 16, 107, 27, 5, 50],
    "label": [11, 54, 27, 70, 4, 119, 24, 81, 23, 116, 2, 113],
    "generator": [11, 53, 27, 116, 4, 77, 24, 45, 23, 68, 2, 48],
    "group": [25, 89, 15, 63, 2, 73, 28, 45, 37, 41, 34, 74],
}
TINY = ["data.size=32", "model.options.widths=[8, 16]", "train.batch=8", "train.epochs=2"]


def recipe(name: str = "unified-joint", *overrides: str) -> Recipe:
    return load_recipe(name, [*TINY, *overrides])


def test_plan_of_each_schedule(small: Manifest) -> None:
    joint = schedule_stages(small, recipe())
    assert [(s.name, len(s.rows), s.epochs) for s in joint.stages] == [("joint", 84, 2)]
    sequential = schedule_stages(small, recipe("report-unified"))
    assert [(s.name, len(s.rows)) for s in sequential.stages] == [("grain", 56), ("speckle", 56)]
    single = recipe("report-specialist", "data.generators=speckle")
    assert [s.name for s in schedule_stages(small, single).stages] == ["speckle"]
    assert run_name(single) == "report-specialist-speckle"
    assert sequential.at(0) == (0, 0, 0)
    assert sequential.at(7) == (0, 1, 0)
    assert sequential.at(14 + 6) == (1, 0, 6)
    for plan in (joint, sequential):
        assert all(small.rows[i].split == "train" for stage in plan.stages for i in stage.rows)
        assert all(small.rows[i].split == "val" for i in plan.val_rows)


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("report-specialist", [], "--set data.generators=NAME with one of grain, speckle"),
        (
            "unified-joint",
            ["data.generators=grian"],
            "no generator 'grian' in the manifest; it has grain, speckle",
        ),
    ],
)
def test_plans_that_cannot_be(
    small: Manifest, name: str, overrides: list[str], message: str
) -> None:
    with pytest.raises(LabError, match=message):
        schedule_stages(small, recipe(name, *overrides))


@pytest.mark.parametrize(("label", "lacking"), [(0, "fake"), (1, "real")])
def test_one_class_only_is_refused(small: Manifest, label: int, lacking: str) -> None:
    with pytest.raises(LabError, match=f"no {lacking} images to train on"):
        schedule_stages(small.where(lambda row: row.label == label), recipe())


def test_balanced_epochs(small: Manifest) -> None:
    # All reals, 5 of one generator, 20 of the other.
    kept: Counter[str] = Counter()

    def keep(row: object) -> bool:
        kept[row.generator] += 1  # type: ignore[attr-defined]
        return kept[row.generator] <= {"": 40, "grain": 5, "speckle": 20}[row.generator]  # type: ignore[attr-defined]

    manifest = small.where(keep)
    rows = np.arange(len(manifest))
    for balance, expected in {
        "none": {"": 40, "grain": 5, "speckle": 20},
        "label": {"": 33, "grain": 32 / 5, "speckle": 32 * 4 / 5},
        "generator": {"": 33, "grain": 16, "speckle": 16},
    }.items():
        order = epoch_order(manifest, rows, balance, (0, 0, 0))
        assert len(order) == 65
        counts = Counter(manifest.rows[i].generator for i in order)
        for name, n in expected.items():
            assert abs(counts[name] - n) <= 3
        if balance != "none":
            labels = [manifest.rows[i].label for i in order]
            assert labels == [i % 2 for i in range(65)], "every even batch is half and half"
        uses = Counter(order.tolist())
        grain = [uses[i] for i in rows if manifest.rows[i].generator == "grain"]
        assert max(grain) - min(grain) <= 1, "each image once more only when all had their turn"
        np.testing.assert_array_equal(order, epoch_order(manifest, rows, balance, (0, 0, 0)))
        assert not np.array_equal(order, epoch_order(manifest, rows, balance, (0, 0, 1)))


def test_the_order_of_a_seed_is_the_one_that_figures_were_made_with(small: Manifest) -> None:
    rows = np.arange(len(small))
    for balance, expected in FIRST.items():
        assert epoch_order(small, rows, balance, (0, 0, 0))[:12].tolist() == expected


def test_balance_over_groups_takes_each_group_once_before_any_twice(small: Manifest) -> None:
    # Two sources of reals, one of them three times as large; of one generator, a group that holds
    # half of its images.
    rows = []
    for k, row in enumerate(small.rows):
        if row.label == 0:
            rows.append(replace(row, source="a" if k % 4 else "b", group=f"real-{k}"))
        else:
            rows.append(replace(row, group="big" if k % 2 else f"fake-{k}"))
    manifest = replace(small, rows=tuple(rows))
    order = epoch_order(manifest, np.arange(len(rows)), "group", (0, 0, 0))
    labels = [manifest.rows[i].label for i in order]
    assert labels == [i % 2 for i in range(len(order))]
    sources = Counter(manifest.rows[i].source for i in order[::2])
    assert abs(sources["a"] - sources["b"]) <= 1
    for name in ("grain", "speckle"):
        groups = Counter(
            manifest.rows[i].group for i in order if manifest.rows[i].generator == name
        )
        assert max(groups.values()) - min(groups.values()) <= 1


def test_replay_mixes_pairs_of_earlier_stages(small: Manifest) -> None:
    sequential = recipe("report-unified", "train.balance=label", "train.replay=0.5")
    first, second = schedule_stages(small, sequential).stages
    assert not len(first.earlier)
    assert set(second.earlier) == set(first.rows)
    order = stage_order(small, second, sequential.train, 0, 1)
    assert len(order) == len(second.rows)
    assert [small.rows[i].label for i in order] == [k % 2 for k in range(len(order))]
    old = sum(small.rows[i].generator == "grain" for i in order)
    assert old == len(order) // 4, "half of the fakes"
    np.testing.assert_array_equal(order, stage_order(small, second, sequential.train, 0, 1))


def test_a_batch_is_cut_blended_and_degraded(small: Manifest) -> None:
    images = load_images(small, 64)
    pixels = batches.pixel_source(images, torch.device("cpu"))
    labels = torch.from_numpy(images.manifest.labels).float()
    rows = np.flatnonzero(images.manifest.labels == 1)[:16]
    rows = np.concatenate([rows, np.flatnonzero(images.manifest.labels == 0)[:16]])

    def draw(*overrides: str) -> tuple[torch.Tensor, torch.Tensor]:
        train = recipe("unified-joint", "train.augment=[]", *overrides).train
        return batches.draw_batch(pixels, labels, rows, train, step_generator(0, 0, 0))

    plain, targets = draw()
    assert torch.equal(plain, to_input(pixels(rows)))
    assert targets.tolist() == [1.0] * 16 + [0.0] * 16
    cut, _ = draw("train.crop=48")
    assert cut.shape == (32, 3, 48, 48)
    windows = plain.unfold(2, 48, 1).unfold(3, 48, 1)  # [n, 3, 17, 17, 48, 48]
    assert all((windows[i] == cut[i][:, None, None]).all((0, 3, 4)).any() for i in range(32)), (
        "at their own resolution"
    )
    blended, same = draw("train.blend=1")
    assert torch.equal(same, targets)
    assert torch.equal(blended[16:], plain[16:]), "reals stay as they are"
    near = (blended[:16, None] - plain[None, 16:]).abs().mean((2, 3, 4))
    assert bool((near.min(1).values < 0.2).all()), "every fake is now a real, a little changed"
    some, _ = draw("train.augment=degrade", "train.degrade_p=0.5")
    changed = (some != plain).flatten(1).any(1).sum()
    assert 8 <= changed <= 24
    filtered, _ = draw("train.augment=filter")
    changed = (filtered != plain).flatten(1).any(1).sum()
    assert 16 <= changed <= 30, "a share of .4 × .7 stays as it is"


@pytest.mark.parametrize(
    ("name", "sets", "message"),
    [
        ("trace", ["train.crop=65"], "more than data.size"),
        (
            "report-cnn",
            ["train.crop=32"],
            r"cannot take crops of 32 px \(.*\); leave out train.crop",
        ),
        (
            "trace",
            ["model.options.blocks=[1,1,1,0]"],
            r"cannot take crops of 64 px \(.*\); change model.options",
        ),
    ],
)
def test_squares_that_cannot_be(
    small: Manifest, tmp_path: Path, name: str, sets: list[str], message: str
) -> None:
    asked = load_recipe("unified-joint", [f"model.name={name}", "data.size=64", *sets])
    with pytest.raises(LabError, match=message):
        train_detector(small, asked, tmp_path)


def test_averaged_weights_are_what_is_released_and_resumed(small: Manifest, tmp_path: Path) -> None:
    asked = recipe("unified-joint", "train.ema=0.1", "evaluate.select=last")
    whole = train_detector(small, asked, tmp_path / "whole")
    train_detector(small, asked, tmp_path / "cut", max_minutes=0)
    cut = train_detector(small, asked, tmp_path / "cut", resume=True)
    saved = whole.load_checkpoint()
    assert saved is not None
    released = whole.model.model.state_dict()
    assert all(
        torch.equal(released[name], tensor) for name, tensor in cut.model.model.state_dict().items()
    )
    weights = next(name for name, tensor in released.items() if tensor.is_floating_point())
    assert not torch.equal(saved["model"][weights], saved["average"][weights])
    assert torch.equal(released[weights], saved["average"][weights])


def test_cosine_falls_from_full_to_nothing() -> None:
    cosine = recipe("unified-joint", "train.lr=1.0")
    assert learning_rate(cosine, 0, 100) == 1.0
    assert learning_rate(cosine, 50, 100) == pytest.approx(0.5)
    assert learning_rate(cosine, 100, 100) == pytest.approx(0.0)
    assert learning_rate(recipe("report-unified", "train.lr=1.0"), 99, 100) == 1.0


def test_a_run_learns_and_leaves_all_it_promises(small: Manifest, tmp_path: Path) -> None:
    run = train_detector(
        small, recipe("unified-joint", "train.epochs=10", "train.lr=2e-3"), tmp_path
    )
    assert run.finished
    names = {path.name for path in run.folder.iterdir()}
    assert {"config.toml", "environment.json", "log.jsonl", "checkpoints", "best"} <= names
    assert (tmp_path / "latest" / "best").is_dir()
    epochs = [line for line in run.read_log() if line["event"] == "epoch"]
    assert [line["epoch"] for line in epochs] == list(range(1, 11))
    assert max(line["val_auc"] for line in epochs) > 0.9, (
        "flat noise on smooth pictures is easy to see"
    )
    assert run.model.config.training["data_hash"] == small.data_hash
    assert run.environment["data_hash"] == small.data_hash


def test_sequential_run_keeps_a_bundle_of_every_stage(small: Manifest, tmp_path: Path) -> None:
    run = train_detector(small, recipe("report-unified"), tmp_path)
    folders = sorted((run.folder / "checkpoints").glob("stage-*"))
    assert [folder.name for folder in folders] == ["stage-1-grain", "stage-2-speckle"]
    first, last = (Detector.from_pretrained(folder) for folder in folders)
    assert first.hash != last.hash
    best = run.model.model.state_dict()
    assert all(torch.equal(best[name], tensor) for name, tensor in last.model.state_dict().items())


def test_stopped_by_the_clock_then_resumed_is_the_same_run(small: Manifest, tmp_path: Path) -> None:
    whole = train_detector(small, recipe(), tmp_path, name="whole")
    parts = train_detector(small, recipe(), tmp_path, name="parts", max_minutes=1e-9)
    assert not parts.finished
    for _ in range(10):
        parts = train_detector(
            small, recipe(), tmp_path, name="parts", resume=True, max_minutes=1e-9
        )
    assert parts.finished
    assert_same_run(whole, parts)


def test_a_run_stopped_before_its_first_epoch_leaves_a_detector(
    small: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "LOG_EVERY", 2)
    monkeypatch.setattr(session.Session, "affords", lambda *_: True)
    run = train_detector(small, recipe(), tmp_path, max_minutes=1e-9)
    assert not run.finished
    *_, last = run.read_log()
    assert last["event"] == "released_early"
    assert run.best_images == last["images"] == 16, "two steps of eight"
    assert run.model.config.metrics["val_accuracy"] == last["val_accuracy"]
    whole = train_detector(small, recipe(), tmp_path, name="whole")
    assert_same_run(whole, train_detector(small, recipe(), tmp_path, resume=True))


def test_a_validation_longer_than_half_of_the_time_is_left_out(
    small: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "LOG_EVERY", 2)
    run = train_detector(small, recipe(), tmp_path, max_minutes=1e-9)
    assert run.model.config.metrics == {}
    assert run.best_images == 16


def assert_same_run(a: Run, b: Run) -> None:
    assert (a.folder / "log.jsonl").read_text() == (b.folder / "log.jsonl").read_text()
    weights = [(run.folder / "best" / "model.safetensors").read_bytes() for run in (a, b)]
    assert weights[0] == weights[1]


def test_taken_folder_and_changed_parameters_are_refused(small: Manifest, tmp_path: Path) -> None:
    train_detector(small, recipe(), tmp_path, max_minutes=1e-9)
    with pytest.raises(LabError, match="--resume"):
        train_detector(small, recipe(), tmp_path)
    with pytest.raises(LabError, match=r"train\.lr: 0\.0005 → 0\.001"):
        train_detector(small, recipe("unified-joint", "train.lr=1e-3"), tmp_path, resume=True)
    with pytest.raises(LabError, match="data: "):
        train_detector(small.split(seed=9), recipe(), tmp_path, resume=True)


def test_two_trainings_of_one_run_are_refused(small: Manifest, tmp_path: Path) -> None:
    run = train_detector(small, recipe("unified-joint"), tmp_path, max_minutes=1e-9)
    with (
        train_alone(run),
        pytest.raises(LabError, match="is being trained by another process"),
    ):
        train_detector(small, recipe("unified-joint"), tmp_path, resume=True)
    assert train_detector(small, recipe("unified-joint"), tmp_path, resume=True).finished


def test_a_checkpoint_with_code_is_refused_and_not_run(small: Manifest, tmp_path: Path) -> None:
    run = train_detector(small, recipe(), tmp_path, max_minutes=1e-9)
    path = run.folder / "checkpoints" / "last.pt"
    for data in (
        f"cos\nsystem\n(S'touch {tmp_path / 'owned'}'\ntR.".encode(),
        path.read_bytes()[:500],
        b"",
    ):
        path.write_bytes(data)
        with pytest.raises(LabError, match="cannot be used"):
            train_detector(small, recipe(), tmp_path, resume=True)
    assert not (tmp_path / "owned").exists()


def test_a_checkpoint_of_another_network_and_a_lost_log_are_refused(
    small: Manifest, tmp_path: Path
) -> None:
    run = train_detector(small, recipe(), tmp_path, max_minutes=0)
    path = run.folder / "checkpoints" / "last.pt"
    state = torch.load(path, weights_only=True)
    wider = train_detector(
        small,
        recipe("unified-joint", "model.options.widths=[8, 24]"),
        tmp_path / "w",
        max_minutes=0,
    )
    path.write_bytes((wider.folder / "checkpoints" / "last.pt").read_bytes())
    with pytest.raises(LabError, match=r"does not fit its config.toml"):
        train_detector(small, recipe(), tmp_path, resume=True)
    for bad in ({"step": -1}, {"step": "1"}, {"log_bytes": None}):
        torch.save({**state, **bad}, path)
        with pytest.raises(LabError, match="its counts are no whole numbers"):
            train_detector(small, recipe(), tmp_path, resume=True)
    torch.save(state, path)
    (run.folder / "log.jsonl").write_text("")
    with pytest.raises(LabError, match="has lost lines since the checkpoint"):
        train_detector(small, recipe(), tmp_path, resume=True)
    (run.folder / "log.jsonl").write_text("{broken\n")
    with pytest.raises(LabError, match="damaged"):
        train_detector(small, recipe(), tmp_path, resume=True)


@pytest.mark.parametrize("name", ["../../elsewhere", "a/b", "/", ".hidden", "a\nb", "x" * 200])
def test_run_names_are_no_paths(small: Manifest, tmp_path: Path, name: str) -> None:
    with pytest.raises(LabError, match="run name"):
        train_detector(small, recipe(), tmp_path, name=name)
    (tmp_path / "mine.toml").write_text(f"name = {json.dumps(name)}\n")
    with pytest.raises(LabError, match="name = "):
        load_recipe(tmp_path / "mine.toml")


@pytest.mark.parametrize(
    "option",
    [
        "size=32",
        "widths=[0]",
        "widths='a'",
        "widths=[1.5]",
        "slope=[1]",
        "slope=-2",
        "dropout='x'",
        "nothing=1",
    ],
)
def test_odd_options_of_a_model_are_one_line(small: Manifest, tmp_path: Path, option: str) -> None:
    with pytest.raises(LabError, match=r"^model report-cnn: [^\n]*$"):
        train_detector(
            small,
            load_recipe("unified-joint", ["data.size=32", f"model.options.{option}"]),
            tmp_path,
        )


def test_nan_loss_names_the_batch_and_keeps_the_checkpoint(
    small: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "LOG_EVERY", 2)
    monkeypatch.setattr(session, "CHECKPOINT_SECONDS", 0)
    poisoned = 5  # steps before the loss breaks
    calls = 0

    def broken(images: torch.Tensor, _names: object, _generator: object) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return images * float("nan") if calls == poisoned + 1 else images

    monkeypatch.setattr(batches, "augment", broken)
    with pytest.raises(LabError, match=f"nan at step {poisoned}") as caught:
        train_detector(small, recipe(), tmp_path)
    run = Run(tmp_path / "unified-joint")
    last = list(run.read_log())[-1]
    assert last["event"] == "not_finite"
    rows = schedule_stages(small, recipe()).stages[0].rows
    batch = epoch_order(small, rows, "generator", (0, 0, 0))[poisoned * 8 : (poisoned + 1) * 8]
    assert last["files"] == [small.rows[i].path for i in batch]
    assert all(name in str(caught.value) for name in last["files"])
    state = run.load_checkpoint()
    assert state is not None
    assert state["step"] == poisoned - 1
    assert all(bool(torch.isfinite(t).all()) for t in state["model"].values())


SCRIPT = """
import sys
from fauxlab.config import load_recipe
from fauxlab.data.cache import load_images
from fauxlab.data.manifest import Manifest
from fauxlab.training import session
from fauxlab.training.detector import loop as training
training.LOG_EVERY, session.CHECKPOINT_SECONDS = 1, 0
manifest, out, name, *overrides = sys.argv[1:]
recipe = load_recipe("unified-joint", overrides)
training.train_detector(Manifest.load(manifest), recipe, out, name=name, resume=True)
"""


def test_killed_at_any_instant_it_resumes_to_the_same_bits(small: Manifest, tmp_path: Path) -> None:
    small.save(tmp_path / "manifest.csv")
    overrides = [*TINY, "train.epochs=3"]

    arguments = [str(tmp_path / "manifest.csv"), str(tmp_path)]

    def launch(name: str) -> ForkServerProcess:
        return start_process(SCRIPT, [*arguments, name, *overrides])

    assert wait(launch("whole")) == 0
    log = tmp_path / "killed" / "log.jsonl"
    kills = 0
    for lines in (3, 12, 25):
        process = launch("killed")
        while process.is_alive() and (not log.exists() or log.read_bytes().count(b"\n") < lines):
            time.sleep(0.002)
        process.kill()
        kills += wait(process) == -signal.SIGKILL
    assert kills >= 2
    assert wait(launch("killed")) == 0
    assert_same_run(Run(tmp_path / "whole"), Run(tmp_path / "killed"))


TWO = """
import json, os, sys
import numpy as np, torch
from accelerate import Accelerator
from fauxlab.config import load_recipe
from fauxlab.data.cache import load_images
from fauxlab.data.manifest import Manifest
from fauxlab.training.detector import loop as training
from fauxlab.training.detector import validation
training.LOG_EVERY = 1
manifest, out, name, *overrides = sys.argv[1:]
data = Manifest.load(manifest)
training.train_detector(data, load_recipe("unified-joint", overrides), out, name=name)

class Echo(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.anchor = torch.nn.Parameter(torch.zeros(1))
    def forward(self, x):
        return x.sum((1, 2, 3)) + self.anchor

accelerator = Accelerator(cpu=True)
images = load_images(data, 32)
rows = np.arange(37)
together = validation.gather_logits(accelerator, Echo(), images, rows, 4)
alone = validation.predict_logits(Echo(), images, rows)
assert accelerator.num_processes == int(name)
assert together.shape == (37,) and np.allclose(together.numpy(), alone), "each image once, in order"
if torch.distributed.is_initialized():
    torch.distributed.destroy_process_group()
os._exit(0)  # as the command line does: see its _leave_processes
"""


def test_two_processes_train_as_one(small: Manifest, tmp_path: Path) -> None:
    small.save(tmp_path / "manifest.csv")
    options = ["model.options.dropout=0.0", "model.options.norm=none", "train.augment=[]"]
    arguments = [str(tmp_path / "manifest.csv"), str(tmp_path / "runs")]
    for n in (1, 2):
        exit_codes = run_together(n, TWO, [*arguments, str(n), *TINY, *options])
        assert exit_codes == [0] * n
    losses = [list(Run(tmp_path / "runs" / n).read_log()) for n in ("1", "2")]
    assert len(losses[0]) == len(losses[1]) > 20
    for one, two in zip(*losses, strict=True):
        for key in ("loss", "val_loss"):
            if key in one:
                assert two[key] == pytest.approx(one[key], abs=1e-4)


def test_two_processes_judge_the_network_that_they_save(small: Manifest, tmp_path: Path) -> None:
    small.save(tmp_path / "manifest.csv")
    (tmp_path / "train.py").write_text(TWO)
    launch = ["--standalone", "--nproc-per-node", "2", str(tmp_path / "train.py")]
    arguments = [str(tmp_path / "manifest.csv"), str(tmp_path / "runs"), "2"]
    torchrun = "from torch.distributed.run import main; main()"
    launched = start_process(torchrun, [*launch, *arguments, *TINY, "train.epochs=1"])
    assert wait(launched) == 0
    run = Run(tmp_path / "runs" / "2")
    (epoch,) = [line for line in run.read_log() if line["event"] == "epoch"]
    images = load_images(small.val, 32)
    logits = torch.from_numpy(
        validation.predict_logits(run.model.model, images, np.arange(len(images)))
    )
    truth = torch.from_numpy(small.val.labels).float()
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, truth).item()
    assert epoch["val_loss"] == pytest.approx(loss, abs=1e-5)


def test_what_others_began_together_goes_on_with_as_many(small: Manifest, tmp_path: Path) -> None:
    path = (
        train_detector(small, recipe(), tmp_path, max_minutes=0).folder / "checkpoints" / "last.pt"
    )
    torch.save(torch.load(path, weights_only=True) | {"processes": 2}, path)
    with pytest.raises(
        LabError, match=r"trained by 2 processes and cannot go on with 1: use torchrun"
    ):
        train_detector(small, recipe(), tmp_path, resume=True)


def test_batch_must_divide_among_processes(
    small: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Accelerator, "num_processes", property(lambda _: 3))
    with pytest.raises(
        LabError, match=r"cannot be shared by 3 processes in pairs .* a multiple of 6"
    ):
        train_detector(small, recipe(), tmp_path)
    monkeypatch.setattr(Accelerator, "num_processes", property(lambda _: 2))
    with pytest.raises(
        LabError, match=r"stage joint: \d+ images are fewer than a batch, .* by 2 processes"
    ):
        train_detector(small, recipe("unified-joint", "train.batch=400"), tmp_path)


def test_degraded_training_is_seeded_like_the_rest(small: Manifest, tmp_path: Path) -> None:
    options = ["train.augment=flip,degrade", "train.epochs=1"]
    whole = train_detector(small, recipe("unified-joint", *options), tmp_path, name="whole")
    parts = train_detector(
        small, recipe("unified-joint", *options), tmp_path, name="parts", max_minutes=0
    )
    for _ in range(10):
        parts = train_detector(
            small,
            recipe("unified-joint", *options),
            tmp_path,
            name="parts",
            resume=True,
            max_minutes=0,
        )
    assert_same_run(whole, parts)
    plain = train_detector(small, recipe("unified-joint", "train.epochs=1"), tmp_path, name="plain")
    assert (plain.folder / "log.jsonl").read_text() != (whole.folder / "log.jsonl").read_text()


def test_a_trunk_starts_from_pretrained_weights(
    small: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {
        name: torch.tensor(0.01).expand(t.shape)
        for name, t in Inception(complete=False).state_dict().items()
    }
    torch.save(state, tmp_path / "weights.pth")
    monkeypatch.setenv("FAUXLAB_INCEPTION", str(tmp_path / "weights.pth"))
    asked = [
        "data.size=32",
        "train.batch=8",
        "train.epochs=1",
        "model.pretrained=keras-inception-7a",
    ]
    inception = load_recipe("unified-joint", [*asked, "model.name=inception"])
    network = plan_training(small, inception).network
    trunk = [
        tensor
        for name, tensor in network.state_dict().items()
        if name.startswith("trunk.") and tensor.ndim == 4
    ]
    assert trunk
    assert all(bool((tensor == 0.01).all()) for tensor in trunk)
    for wrong, message in (
        ("model.name=trace", "takes no pretrained"),
        ("model.pretrained=randconv", "no pretrained"),
    ):
        with pytest.raises(LabError, match=message):
            train_detector(
                small,
                load_recipe("unified-joint", [*asked, "model.name=inception", wrong]),
                tmp_path,
            )


@pytest.mark.parametrize("balance", ["label", "generator", "group"])
@pytest.mark.parametrize("world", [1, 2, 4])
def test_every_process_gets_both_classes(small: Manifest, balance: str, world: int) -> None:
    order = epoch_order(small, np.arange(len(small)), balance, (0, 0, 0))
    for batch in order[: len(order) // 16 * 16].reshape(-1, 16):
        parts = [deal(batch, rank, world) for rank in range(world)]
        assert sorted(np.concatenate(parts)) == sorted(batch)
        for part in parts:
            assert [small.rows[i].label for i in part] == [0, 1] * (8 // world)


def test_the_folder_is_asked_for_by_the_first_process_only(
    small: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []
    monkeypatch.setattr(session, "refuse_taken", asked.append)
    monkeypatch.setattr(Accelerator, "is_main_process", property(lambda _: False))
    for _ in range(2):
        train_detector(small, recipe(), tmp_path, max_minutes=1e-9)
    assert asked == [], "to another process the folder may be there already"
