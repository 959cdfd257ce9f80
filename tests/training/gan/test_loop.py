"""GAN training: what a run leaves, exact resume, two processes, and what is refused."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.training.processes import run_together, start_process, wait

from fauxlab.config import GanRecipe
from fauxlab.data.manifest import Manifest
from fauxlab.errors import LabError
from fauxlab.io.marking import read_mark
from fauxlab.training.gan import loop as training
from fauxlab.training.gan.loop import train_gan
from fauxlab.training.gan.plan import plan_gan
from fauxlab.training.gan.state import State
from fauxlab.training.gan.updates import Updater
from fauxlab.training.run import Run

MakeRecipe = Callable[..., GanRecipe]


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "LOG_EVERY", 2)


@pytest.mark.parametrize("name", ["report-v1-32", "report-v2-32", "sngan-32", "r3-32"])
def test_every_recipe_trains_and_leaves_all_it_promises(
    small: Manifest, tmp_path: Path, name: str, recipe: MakeRecipe
) -> None:
    run = train_gan(small, recipe(name), tmp_path)
    assert run.finished
    assert not run.stopped_by_guard
    assert {
        "config.toml",
        "environment.json",
        "log.jsonl",
        "checkpoints",
        "best",
        "last",
        "samples",
    } <= {path.name for path in run.folder.iterdir()}
    log = list(run.read_log())
    evals = [line for line in log if line["event"] == "eval"]
    assert [line["images"] for line in evals][:2] == [64, 128]
    assert evals[-1]["images"] >= 160
    for line in evals:
        assert (line["label"], line["n"]) == ("FD(randconv)", 20)
        assert line["floor"] > 0
    best = min(evals, key=lambda line: line["distance"])
    assert run.generator.config.training["images"] == best["images"], (
        "best/ is the nearest, not the last"
    )
    assert sum(line["event"] == "guard" for line in log) >= 3
    grids = sorted((run.folder / "samples").iterdir())
    assert len(grids) == len(evals)
    assert Image.open(grids[0]).size == (8 * 32, 8 * 32)
    mark = read_mark(grids[0].read_bytes())
    assert mark is not None
    assert mark.model == recipe(name).model.name


def test_controller_moves_the_steps_and_says_so(
    small: Manifest, tmp_path: Path, recipe: MakeRecipe
) -> None:
    experiment = recipe("report-v2-32", "gan.adapt_every=2", "train.images=400")
    run = train_gan(small, experiment, tmp_path)
    assert run.recipe == experiment
    decisions = [line for line in run.read_log() if line["event"] == "controller"]
    assert decisions, "an untrained pair is never in balance"
    for line in decisions:
        assert 2 <= line["generator"] <= 5
        assert 1 <= line["discriminator"] <= 3
        assert "accuracy on" in line["reason"]


def test_one_process_trains_at_one_precision_and_then_at_another(
    small: Manifest, tmp_path: Path, recipe: MakeRecipe
) -> None:
    for precision in ("bf16", "no"):
        experiment = recipe("r3-32", f"train.precision={precision}", "train.images=32")
        assert train_gan(small, experiment, tmp_path, name=precision).finished


def assert_same_run(a: Run, b: Run) -> None:
    assert (a.folder / "log.jsonl").read_text() == (b.folder / "log.jsonl").read_text()
    for name in ("best", "last"):
        files = [(run.folder / name / "model.safetensors").read_bytes() for run in (a, b)]
        assert files[0] == files[1]
    one, two = (run.load_checkpoint() for run in (a, b))
    assert one is not None
    assert two is not None
    torch.testing.assert_close(one, two, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["r3-32", "report-v2-32"])
def test_stopped_by_the_clock_then_resumed_is_the_same_run(
    small: Manifest, tmp_path: Path, name: str, recipe: MakeRecipe
) -> None:
    experiment = recipe(name, "gan.adapt_every=3", "train.images=96")
    whole = train_gan(small, experiment, tmp_path, name="whole")
    parts = train_gan(small, experiment, tmp_path, name="parts", max_minutes=1e-9)
    assert not parts.finished
    for _ in range(12):
        parts = train_gan(small, experiment, tmp_path, name="parts", resume=True, max_minutes=1e-9)
    assert parts.finished
    assert_same_run(whole, parts)


@pytest.mark.parametrize("measured", [True, False])
def test_a_run_stopped_before_its_first_evaluation_leaves_a_generator(
    small: Manifest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recipe: MakeRecipe,
    measured: bool,
) -> None:
    monkeypatch.setattr("fauxlab.training.session.Session.affords", lambda *_: measured)
    experiment = recipe("r3-32", "evaluate.every=320", "guard.every=0", "train.images=320")
    run = train_gan(small, experiment, tmp_path, max_minutes=1e-9)
    assert not run.finished
    *_, last = run.read_log()
    assert last["event"] == "released_early"
    assert run.best_images == last["images"] == 16, "two steps of eight"
    assert ("distance" in run.generator.config.metrics) == measured
    assert [path.name for path in (run.folder / "samples").iterdir()] == ["fakes000000016.png"]

    whole = train_gan(small, experiment, tmp_path, name="whole")
    resumed = train_gan(small, experiment, tmp_path, resume=True)
    assert_same_run(whole, resumed)
    assert [path.name for path in (run.folder / "samples").iterdir()] == ["fakes000000320.png"]


SCRIPT = """
import sys
from fauxlab.config import load_gan_recipe
from fauxlab.data.manifest import Manifest
from fauxlab.training import session
from fauxlab.training.gan import loop as training
training.LOG_EVERY, session.CHECKPOINT_SECONDS = 1, 0
manifest, out, name, recipe, *overrides = sys.argv[1:]
recipe = load_gan_recipe(recipe, overrides)
training.train_gan(Manifest.load(manifest), recipe, out, name=name, resume=True)
"""


def test_killed_at_any_instant_it_resumes_to_the_same_bits(
    small: Manifest, tmp_path: Path, tiny: list[str]
) -> None:
    small.save(tmp_path / "manifest.csv")
    arguments = [str(tmp_path / "manifest.csv"), str(tmp_path)]

    def launch(name: str) -> ForkServerProcess:
        overrides = [*tiny, "train.images=96"]
        return start_process(SCRIPT, [*arguments, name, "r3-32", *overrides])

    assert wait(launch("whole")) == 0
    log = tmp_path / "killed" / "log.jsonl"
    kills = 0
    for lines in (3, 8, 13):
        process = launch("killed")
        while process.is_alive() and (not log.exists() or log.read_bytes().count(b"\n") < lines):
            time.sleep(0.002)
        process.kill()
        kills += wait(process) == -signal.SIGKILL
    assert kills >= 2
    assert wait(launch("killed")) == 0
    assert_same_run(Run(tmp_path / "whole"), Run(tmp_path / "killed"))


def test_two_processes_train_and_stay_equal(
    small: Manifest, tmp_path: Path, tiny: list[str]
) -> None:
    small.save(tmp_path / "manifest.csv")
    script = SCRIPT + (
        "import torch\n"
        "from accelerate import Accelerator\n"
        "assert Accelerator(cpu=True).num_processes == 2\n"
        "torch.distributed.destroy_process_group()\n"
        "import os; os._exit(0)  # as the command line does: see its _leave_processes\n"
    )
    arguments = [str(tmp_path / "manifest.csv"), str(tmp_path / "runs"), "two", "r3-32"]
    arguments += [*tiny, "train.images=96"]
    assert run_together(2, script, arguments) == [0, 0]
    run = Run(tmp_path / "runs" / "two")
    assert run.finished
    assert [line["images"] for line in run.read_log() if line["event"] == "eval"] == [64, 96]


@pytest.mark.parametrize(
    ("name", "override", "message"),
    [
        ("r3-32", "data.sources=nobody", "no real source 'nobody' in the manifest; it has photos"),
        ("r3-32", "model.latent=70000", "model.latent = 70000: .* less than or equal to 65536"),
        (
            "report-v2-32",
            "gan.generator_steps=8",
            "steps = 5: expected at least gan.generator_steps = 8",
        ),
        ("r3-32", "train.batch=1000", "28 real images to learn from .* fewer than a batch of 1000"),
        ("r3-32", "evaluate.n=500", "there are 28 real images to compare with"),
        ("report-v1-32", "gan.r1=1.0", "need a discriminator without batch normalisation"),
        ("r3-32", "evaluate.features=inceptoin-fid", "did you mean|no feature network"),
        ("r3-32", "model.name=r4", "did you mean 'r3'"),
    ],
)
def test_what_cannot_work_is_refused(
    small: Manifest, tmp_path: Path, name: str, override: str, message: str, recipe: MakeRecipe
) -> None:
    with pytest.raises(LabError, match=message):
        train_gan(small, recipe(name, override), tmp_path)


def test_a_limit_binds_what_is_learned_from_and_not_what_is_compared_with(
    small: Manifest, tmp_path: Path, recipe: MakeRecipe
) -> None:
    every, few = plan_gan(small, recipe()), plan_gan(small, recipe("r3-32", "data.limit=10"))
    assert len(few.train_rows) == 10
    assert set(few.train_rows) < set(every.train_rows)
    assert few.heldout_rows.tolist() == every.heldout_rows.tolist()
    run = train_gan(small, recipe("r3-32", "data.limit=10", "train.images=64"), tmp_path)
    (found,) = [entry for entry in run.read_log() if entry["event"] == "eval"]
    assert found["n"] == 20, "of the reals, more are compared with than were learned from"
    with pytest.raises(LabError, match=r"7 real images to learn from .* fewer than a batch of 8"):
        plan_gan(small, recipe("r3-32", "data.limit=7"))


def test_fewer_reals_than_a_figure_needs_are_refused_as_such(
    small: Manifest, recipe: MakeRecipe
) -> None:
    few = replace(small, rows=small.reals().in_split("train").rows[:12])
    with pytest.raises(
        LabError, match=r"12 real images .* a GAN and its figures need 16: index more images$"
    ):
        plan_gan(few, recipe("r3-32", "train.batch=2"))


def test_a_run_begun_again_knows_nothing_of_the_one_before(
    small: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: MakeRecipe
) -> None:
    experiment = recipe("r3-32", "guard.on_collapse=rollback")
    checkpoints = tmp_path / experiment.name / "checkpoints"
    while not (checkpoints / "best.pt").exists():
        assert not train_gan(small, experiment, tmp_path, resume=True, max_minutes=1e-9).finished
    (checkpoints / "last.pt").unlink()
    monkeypatch.setattr(
        "fauxlab.training.gan.updates.discriminator_loss",
        lambda _, real, *__: real.mean() * float("nan"),
    )
    with pytest.raises(LabError, match="no longer finite"):
        train_gan(small, experiment, tmp_path, resume=True)
    (line,) = [
        line for line in Run(tmp_path / experiment.name).read_log() if line["event"] == "not_finite"
    ]
    assert line["action"] == "", "and not back to a state of the former run"


def test_a_run_from_before_a_parameter_existed_goes_on(
    small: Manifest, tmp_path: Path, recipe: MakeRecipe
) -> None:
    folder = train_gan(small, recipe(), tmp_path, max_minutes=1e-9).folder
    config = folder / "config.toml"
    config.write_text(
        "".join(
            line for line in config.read_text().splitlines(True) if not line.startswith("limit")
        )
    )
    assert train_gan(small, recipe(), tmp_path, resume=True).finished
    with pytest.raises(LabError, match=r"data\.limit: 0 → 10"):
        train_gan(small, recipe("r3-32", "data.limit=10"), tmp_path, resume=True)


def test_a_wrong_feature_network_takes_no_folder(
    small: Manifest, tmp_path: Path, recipe: MakeRecipe
) -> None:
    with pytest.raises(LabError, match=r"no feature network 'rndconv'; .*did you mean 'randconv'"):
        train_gan(small, recipe("r3-32", "evaluate.features=rndconv"), tmp_path)
    with pytest.raises(LabError, match=r"no weights none\.pth"):
        train_gan(
            small,
            recipe("r3-32", "evaluate.features=keras-inception-7a"),
            tmp_path,
            weights="none.pth",
        )
    with pytest.raises(LabError, match="randconv has no weights to load"):
        train_gan(small, recipe(), tmp_path, weights="none.pth")
    assert not list(tmp_path.glob("r3*"))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("environment.json", "[]", "cannot be read"),
        ("log.jsonl", "5\n", "is damaged"),
        ("log.jsonl", '{"x": 1}\n', "is damaged"),
    ],
)
def test_damaged_files_of_a_run_are_one_line(
    small: Manifest, tmp_path: Path, name: str, text: str, message: str, recipe: MakeRecipe
) -> None:
    folder = train_gan(small, recipe(), tmp_path, max_minutes=1e-9).folder
    (folder / name).write_text(text)
    with pytest.raises(LabError, match=message):
        train_gan(small, recipe(), tmp_path, resume=True)


@pytest.mark.parametrize(
    "change",
    [
        {"images": "x"},
        {"images": -5},
        {"best": None},
        {"steps": [0, 0]},
        {"guard": {}},
        {"window": 3},
        {"rollbacks": 1.5},
    ],
)
def test_a_checkpoint_with_odd_values_is_refused(
    small: Manifest, tmp_path: Path, change: dict[str, object], recipe: MakeRecipe
) -> None:
    run = train_gan(small, recipe(), tmp_path, max_minutes=1e-9)
    path = run.folder / "checkpoints" / "last.pt"
    torch.save(torch.load(path, weights_only=True) | change, path)
    with pytest.raises(LabError, match=r"does not fit its config\.toml"):
        train_gan(small, recipe(), tmp_path, resume=True)


def test_averaging_watches_and_does_not_steer(
    small: Manifest, tmp_path: Path, recipe: MakeRecipe
) -> None:
    ends = []
    for ema in (0.05, 0.0):
        experiment = recipe("r3-32", f"gan.ema={ema}", "train.images=96")
        run = train_gan(small, experiment, tmp_path, name=f"ema-{ema}")
        checkpoint = run.load_checkpoint()
        assert checkpoint is not None
        ends.append(checkpoint["model"][0])
    for name, tensor in ends[0].items():
        assert torch.equal(tensor, ends[1][name]), name


def test_taken_folder_and_changed_parameters_are_refused(
    small: Manifest, tmp_path: Path, recipe: MakeRecipe
) -> None:
    train_gan(small, recipe(), tmp_path, max_minutes=1e-9)
    with pytest.raises(LabError, match="--resume"):
        train_gan(small, recipe(), tmp_path)
    with pytest.raises(LabError, match=r"gan\.loss: 'relativistic' → 'hinge'"):
        train_gan(small, recipe("r3-32", "gan.loss=hinge"), tmp_path, resume=True)


def test_losses_that_are_no_numbers_stop_the_run(
    small: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: MakeRecipe
) -> None:
    monkeypatch.setattr(Updater, "present", lambda _self, images: images * float("nan"))
    with pytest.raises(LabError, match="discriminator_loss is no longer finite at 16 images"):
        train_gan(small, recipe(), tmp_path)


def test_losses_that_are_no_numbers_are_rolled_back_where_the_recipe_says_so(
    small: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: MakeRecipe
) -> None:
    update = Updater.update_generator

    def poisoned(
        self: Updater, state: State, reals: torch.Tensor, latents: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        scale = float("nan") if state.images >= 32 and not state.rollbacks else 1.0
        return update(self, state, reals, latents * scale)

    monkeypatch.setattr(Updater, "update_generator", poisoned)
    said: list[str] = []
    options = ["guard.on_collapse=rollback", "evaluate.every=16", "guard.every=1000"]
    run = train_gan(small, recipe("r3-32", *options), tmp_path, on_event=said.append)
    log = list(run.read_log())
    (line,) = (line for line in log if line["event"] == "not_finite")
    assert line["action"] == "rollback"
    assert line["images"] > 32
    assert any("is no longer finite; rollback" in text for text in said)
    assert log[-1]["event"] == "end"
    assert all(
        np.isfinite(entry["discriminator_loss"]) for entry in log if entry["event"] == "step"
    )
    assert all(np.isfinite(entry["distance"]) for entry in log if entry["event"] == "eval")
