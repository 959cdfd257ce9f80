"""What training does at the guard's word: going on, stopping, going back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fauxlab.config import GanRecipe
from fauxlab.data.cache import load_images
from fauxlab.data.manifest import Manifest
from fauxlab.evaluation.generation import load_reference
from fauxlab.models.inputs import to_input
from fauxlab.training.distributed import LONGEST_WAIT
from fauxlab.training.gan import loop as training
from fauxlab.training.gan.collapse_guard import COLLAPSING, Assessment, Guard
from fauxlab.training.gan.loop import train_gan
from fauxlab.training.gan.monitor import Monitor
from fauxlab.training.gan.plan import plan_gan
from fauxlab.training.gan.signals import SignalMeter
from fauxlab.training.gan.state import State
from fauxlab.training.run import Run

MakeRecipe = Callable[..., GanRecipe]


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "LOG_EVERY", 2)


def weights(network: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()]).clone()


@pytest.mark.parametrize(
    ("policy", "most", "expected"),
    [
        ("warn", 2, ["warn", ""]),
        ("stop", 2, ["stop"]),
        ("rollback", 1, ["rollback", "stop"]),
        ("rollback", 0, ["stop"]),
    ],
)
def test_what_the_guard_does(
    small: Manifest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    policy: str,
    most: int,
    expected: list[str],
    recipe: MakeRecipe,
) -> None:
    ill = Assessment(COLLAPSING, "because the test says so")

    def check(self: Guard, signals: object) -> tuple[Assessment, bool]:
        self.history.append(signals)  # type: ignore[arg-type]
        self.alarms += 1
        return ill, policy != "warn" or self.alarms == 1

    monkeypatch.setattr(Guard, "check", check)
    options = [
        f"guard.on_collapse={policy}",
        f"guard.rollbacks={most}",
        "evaluate.every=32",
        "guard.every=64",
    ]
    said: list[str] = []
    run = train_gan(small, recipe("r3-32", *options), tmp_path, on_event=said.append)
    log = list(run.read_log())
    actions = [line["action"] for line in log if line["event"] == "guard"]
    assert actions[: len(expected)] == expected
    assert run.stopped_by_guard == ("stop" in expected)
    assert log[-1]["event"] == "end"
    assert log[-1]["reason"] == ("guard" if "stop" in expected else "budget")
    assert any("because the test says so" in line for line in said)
    rates = [line["lr"] for line in log if line["event"] == "step"]
    assert (run.folder / "best").is_dir()
    if expected == ["stop"] and policy == "rollback":
        assert any("stop (rolled back 0 times)" in line for line in said)
    if expected[0] == "rollback":
        assert rates[-1] < 0.6 * rates[0], "the rate is halved"
        assert all(np.isfinite(line["distance"]) for line in log if line["event"] == "eval")


def test_a_stop_before_the_first_evaluation_leaves_a_generator(
    small: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: MakeRecipe
) -> None:
    monkeypatch.setattr(Monitor, "check", lambda self, state: "stop")
    run = train_gan(small, recipe("r3-32", "evaluate.every=1000", "guard.every=48"), tmp_path)
    assert run.stopped_by_guard
    assert run.generator.config.training["images"] == 48


def test_rollback_restores_the_best_weights(
    small: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: MakeRecipe
) -> None:
    found = {}

    def check(self: Monitor, state: State) -> str:
        found["images"] = self.run.load_checkpoint("best.pt")["images"]  # type: ignore[index]
        return "rollback" if state.rollbacks == 0 else ""

    restored = []
    load = State.load_networks

    def spy(self: State, saved: dict[str, object]) -> None:
        load(self, saved)
        restored.append((saved["images"], weights(self.generator)))

    monkeypatch.setattr(Monitor, "check", check)
    monkeypatch.setattr(State, "load_networks", spy)
    train_gan(small, recipe("r3-32", "evaluate.every=16", "guard.every=100"), tmp_path)
    ((images, generator),) = restored
    assert images == found["images"]
    saved = torch.load(tmp_path / "r3-32" / "checkpoints" / "best.pt", weights_only=True)
    if saved["images"] == images:  # no better one came later
        flat = torch.cat([saved["model"][0][k].flatten() for k in dict(saved["model"][0])])
        assert flat.numel() == generator.numel()
        torch.testing.assert_close(flat.sum(), generator.sum())


def test_rollback_forgets_the_accuracies_of_networks_that_are_gone(
    small: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: MakeRecipe
) -> None:
    seen, go_back = [], State.go_back

    def spy(state: State, run: Run) -> None:
        before = len(state.window)
        go_back(state, run)
        seen.append((before > 0, len(state.window)))

    monkeypatch.setattr(State, "go_back", spy)
    monkeypatch.setattr(
        Monitor, "check", lambda self, state: "rollback" if not state.rollbacks else ""
    )
    options = ["guard.on_collapse=rollback", "evaluate.every=16", "guard.every=64"]
    train_gan(small, recipe("report-v2-32", *options), tmp_path)
    assert seen == [(True, 0)]


def test_input_of_the_monitor_is_the_trainings(small: Manifest, recipe: MakeRecipe) -> None:
    """Pixels that the generator is measured by and pixels that the discriminator sees are on one
    scale.
    """
    images = load_images(plan_gan(small, recipe()).manifest, 32)
    inputs = to_input(torch.from_numpy(images.take(np.arange(4))))
    assert inputs.min() >= -1
    assert inputs.max() <= 1


def test_reals_are_read_at_the_first_need_and_said_to_be(
    small: Manifest, tmp_path: Path, recipe: MakeRecipe
) -> None:
    """Before the first step no real is measured, and then the user sees that it takes long."""
    said: list[str] = []
    steps: list[int] = []

    def on_step(images: int, _all: int, _loss: float) -> None:
        assert not any("features" in line for line in said) or images >= 64
        steps.append(images)

    experiment = recipe("r3-32", "evaluate.every=64", "guard.every=1000")
    train_gan(small, experiment, tmp_path, on_step=on_step, on_event=said.append)
    assert steps[0] < 64
    told = [line for line in said if line.startswith("features of real images in randconv: ")]
    reals = len(small.reals())
    assert told[-1] == f"features of real images in randconv: {reals}/{reals} images"
    assert len(told) <= 2


def test_the_guard_measures_as_many_reals_as_it_compares(
    small: Manifest, recipe: MakeRecipe
) -> None:
    plan = plan_gan(small, recipe())
    images = load_images(plan.manifest, 32)
    meter = SignalMeter(plan, images, torch.device("cpu"))
    whole = load_reference(images, meter.network, meter.n, seed=plan.recipe.train.seed)
    np.testing.assert_array_equal(meter.reals.features, whole.reals)
    assert meter.reals.spread == whole.spread
    assert meter.reals.duplicate_distance == whole.duplicate_distance


def test_the_guards_reason_is_logged_under_both_names(
    small: Manifest, tmp_path: Path, recipe: MakeRecipe
) -> None:
    run = train_gan(small, recipe("r3-32", "train.images=64"), tmp_path)
    lines = [line for line in run.read_log() if line["event"] == "guard"]
    assert lines
    assert all(line["reason"] != "" for line in lines)


def test_processes_wait_for_a_long_evaluation() -> None:
    assert timedelta(hours=12) <= LONGEST_WAIT
