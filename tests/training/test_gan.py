"""GAN training: the game's arithmetic, exact resume, two processes, the guard's actions, and what is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image
from torch import nn

from fauxlab.config import GanRecipe, load_gan_recipe
from fauxlab.data.cache import load_images
from fauxlab.data.manifest import Manifest
from fauxlab.data.marking import read_mark
from fauxlab.errors import LabError
from fauxlab.models import convolution
from fauxlab.models.inputs import to_input
from fauxlab.training import gan as training
from fauxlab.training.average import update_average
from fauxlab.training.game import Game, State, _Stream, mixes_images
from fauxlab.training.gan import train_gan
from fauxlab.training.gan_plan import plan_gan
from fauxlab.training.guard import COLLAPSING, Assessment, Guard
from fauxlab.training.judge import Judge
from fauxlab.training.run import Run

WIDTHS = "{ widths = [8, 8, 8, 8] }"
TINY = [
    f"model.generator={WIDTHS}",
    f"model.discriminator={WIDTHS}",
    "model.latent=8",
    "train.batch=8",
    "train.images=160",
    "evaluate.every=64",
    "evaluate.n=20",
    "guard.every=48",
    "guard.n=64",
]


def recipe(name: str = "r3-32", *overrides: str) -> GanRecipe:
    return load_gan_recipe(name, [*TINY, *overrides])


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "LOG_EVERY", 2)


def start(small: Manifest, tmp_path: Path, experiment: GanRecipe) -> tuple[Game, State]:
    plan = plan_gan(small, experiment)
    images = load_images(plan.manifest, 32)
    accelerator = Accelerator(cpu=True)
    state = training._start(accelerator, Run(tmp_path), experiment)
    return Game(accelerator, experiment, images, plan.train_rows, plan.images), state


def weights(network: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()]).clone()


@pytest.mark.parametrize("name", ["report-v1-32", "report-v2-32", "sngan-32", "r3-32"])
def test_every_recipe_trains_and_leaves_all_it_promises(small: Manifest, tmp_path: Path, name: str) -> None:
    run = train_gan(small, recipe(name), tmp_path)
    assert run.finished
    assert not run.stopped_by_guard
    assert {"config.toml", "environment.json", "log.jsonl", "checkpoints", "best", "last", "samples"} <= {
        path.name for path in run.folder.iterdir()
    }
    log = list(run.read_log())
    evals = [line for line in log if line["event"] == "eval"]
    assert [line["images"] for line in evals][:2] == [64, 128]
    assert evals[-1]["images"] >= 160
    for line in evals:
        assert (line["label"], line["n"]) == ("FD(randconv)", 20)
        assert line["floor"] > 0
    best = min(evals, key=lambda line: line["distance"])
    assert run.generator.config.training["images"] == best["images"], "best/ is the nearest, not the last"
    assert sum(line["event"] == "guard" for line in log) >= 3
    grids = sorted((run.folder / "samples").iterdir())
    assert len(grids) == len(evals)
    assert Image.open(grids[0]).size == (8 * 32, 8 * 32)
    mark = read_mark(grids[0].read_bytes())
    assert mark is not None
    assert mark.model == recipe(name).model.name


def test_the_stream_shows_every_image_once_before_any_twice() -> None:
    stream = _Stream(np.arange(100, 110), seed=0)
    seen = np.concatenate([stream.rows(start, 4) for start in range(0, 40, 4)])
    for k in range(4):
        assert sorted(seen[10 * k : 10 * (k + 1)]) == list(range(100, 110))
    assert not np.array_equal(seen[:10], seen[10:20])
    np.testing.assert_array_equal(stream.rows(7, 25), seen[7:32])


def test_updates_touch_their_own_side_only(small: Manifest, tmp_path: Path) -> None:
    game, state = start(small, tmp_path, recipe())
    game._set_rates(state)
    reals = game.reals(0)
    sides = state.generator, state.discriminator
    before = [weights(side) for side in sides]
    game.update_discriminator(state, reals)
    middle = [weights(side) for side in sides]
    game.update_generator(state, reals)
    after = [weights(side) for side in sides]
    assert torch.equal(before[0], middle[0])
    assert not torch.equal(before[1], middle[1])
    assert torch.equal(middle[1], after[1])
    assert not torch.equal(middle[0], after[0])


def test_lazy_penalty_weighs_as_much_as_a_full_one(small: Manifest, tmp_path: Path) -> None:
    """The gradient of a lazy penalty, on the updates that have it, is `penalty_every` times the full one's."""
    gradients = {}
    for every in (1, 4):
        options = [f"gan.penalty_every={every}", "gan.augment=[]", "gan.r1=3.0", "gan.r2=1.0"]
        game, state = start(small, tmp_path, recipe("r3-32", *options))
        game._step = lambda loss, _optimizer, network, key=every: gradients.setdefault(  # type: ignore[method-assign]
            key, torch.autograd.grad(loss, network.from_rgb.weight)[0]
        )
        torch.manual_seed(0)
        game.update_discriminator(state, game.reals(0))
    game, state = start(small, tmp_path, recipe("r3-32", "gan.r1=0", "gan.r2=0", "gan.augment=[]"))
    game._step = lambda loss, _optimizer, network: gradients.setdefault(  # type: ignore[method-assign]
        0, torch.autograd.grad(loss, network.from_rgb.weight)[0]
    )
    torch.manual_seed(0)
    game.update_discriminator(state, game.reals(0))
    assert (gradients[1] - gradients[0]).abs().max() > 0
    torch.testing.assert_close(gradients[4] - gradients[0], 4 * (gradients[1] - gradients[0]), rtol=1e-3, atol=1e-6)


def test_penalised_updates_alone_go_the_way_that_is_quick_to_differentiate_twice(
    small: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    game, state = start(small, tmp_path, recipe("r3-32", "gan.penalty_every=2"))
    seen: list[tuple[str, bool]] = []
    for name in ("_convolve", "_to_weight"):
        plain = getattr(convolution, name)
        monkeypatch.setattr(
            convolution, name, lambda *a, n=name, f=plain: seen.append((n, convolution._on["inputs only"])) or f(*a)
        )
    game.update_discriminator(state, game.reals(0))
    assert ("_convolve", False) in seen
    assert ("_to_weight", False) in seen
    assert ("_to_weight", True) not in seen, "the penalty needs the images' gradient alone"
    seen.clear()
    game.update_discriminator(state, game.reals(0))
    game.update_generator(state, game.reals(0))
    assert not seen


def test_average_follows_with_its_half_life() -> None:
    slow, fast = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    nn.init.zeros_(slow.weight)
    nn.init.ones_(fast.weight)
    fast.running_mean.fill_(5.0)  # type: ignore[union-attr]
    # Half-life 0.05 × 1000 = 50 images: after 50 shown the distance has halved, after 100 once more.
    update_average(slow, fast, 0.05, 1000, 50)
    assert slow.weight.item() == pytest.approx(0.5)
    update_average(slow, fast, 0.05, 1000, 50)
    assert slow.weight.item() == pytest.approx(0.75)
    assert slow.running_mean.item() == 5.0, "buffers are copied"  # type: ignore[union-attr]
    update_average(slow, fast, 0.05, 10**9, 500_000)
    assert slow.weight.item() == pytest.approx(0.875), "and the half-life is never above 500,000 images"


def test_controller_moves_the_steps_and_says_so(small: Manifest, tmp_path: Path) -> None:
    experiment = recipe("report-v2-32", "gan.adapt_every=2", "train.images=400")
    run = train_gan(small, experiment, tmp_path)
    assert run.recipe == experiment
    decisions = [line for line in run.read_log() if line["event"] == "controller"]
    assert decisions, "an untrained pair is never in balance"
    for line in decisions:
        assert 2 <= line["generator"] <= 5
        assert 1 <= line["discriminator"] <= 3
        assert "accuracy on" in line["reason"]


def test_one_process_trains_at_one_precision_and_then_at_another(small: Manifest, tmp_path: Path) -> None:
    for precision in ("bf16", "no"):
        experiment = recipe("r3-32", f"train.precision={precision}", "train.images=32")
        assert train_gan(small, experiment, tmp_path, name=precision).finished


def test_schedules_reach_both_ends(small: Manifest, tmp_path: Path) -> None:
    game, state = start(small, tmp_path, recipe("r3-32", "train.beta2={start=0.9,end=0.99}"))
    for images, rates, beta2 in ((0, (5e-4, 15e-4), 0.9), (80, (3e-4, 8.5e-4), 0.945), (160, (1e-4, 2e-4), 0.99)):
        state.images = images
        game._set_rates(state)
        for optimizer, rate in zip(state.optimizers, rates, strict=True):
            assert optimizer.param_groups[0]["lr"] == pytest.approx(rate)
            assert optimizer.param_groups[0]["betas"] == pytest.approx((0.0, beta2))


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
def test_stopped_by_the_clock_then_resumed_is_the_same_run(small: Manifest, tmp_path: Path, name: str) -> None:
    experiment = recipe(name, "gan.adapt_every=3")
    whole = train_gan(small, experiment, tmp_path, name="whole")
    parts = train_gan(small, experiment, tmp_path, name="parts", max_minutes=1e-9)
    assert not parts.finished
    for _ in range(20):
        parts = train_gan(small, experiment, tmp_path, name="parts", resume=True, max_minutes=1e-9)
    assert parts.finished
    assert_same_run(whole, parts)


SCRIPT = """
import sys
from fauxlab.config import load_gan_recipe
from fauxlab.data.manifest import Manifest
from fauxlab.training import gan as training
training.LOG_EVERY, training.CHECKPOINT_SECONDS = 1, 0
manifest, out, name, recipe, *overrides = sys.argv[1:]
training.train_gan(Manifest.load(manifest), load_gan_recipe(recipe, overrides), out, name=name, resume=True)
"""


def test_killed_at_any_instant_it_resumes_to_the_same_bits(small: Manifest, tmp_path: Path) -> None:
    small.save(tmp_path / "manifest.csv")
    arguments = [str(tmp_path / "manifest.csv"), str(tmp_path)]

    def launch(name: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments, name, "r3-32", *TINY])

    assert launch("whole").wait() == 0
    log = tmp_path / "killed" / "log.jsonl"
    kills = 0
    for lines in (3, 12, 19):
        process = launch("killed")
        while process.poll() is None and (not log.exists() or log.read_bytes().count(b"\n") < lines):
            time.sleep(0.002)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills >= 2
    assert launch("killed").wait() == 0
    assert_same_run(Run(tmp_path / "whole"), Run(tmp_path / "killed"))


def test_two_processes_train_and_stay_equal(small: Manifest, tmp_path: Path) -> None:
    small.save(tmp_path / "manifest.csv")
    script = SCRIPT + (
        "import torch\n"
        "from accelerate import Accelerator\n"
        "assert Accelerator(cpu=True).num_processes == 2\n"
        "torch.distributed.destroy_process_group()\n"
        "import os; os._exit(0)  # as the command line does: see its _leave_processes\n"
    )
    (tmp_path / "train.py").write_text(script)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    arguments = [str(tmp_path / "manifest.csv"), str(tmp_path / "runs"), "two", "r3-32", *TINY]
    subprocess.run(
        [*launch, str(tmp_path / "train.py"), *arguments],
        check=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    run = Run(tmp_path / "runs" / "two")
    assert run.finished
    assert [line["images"] for line in run.read_log() if line["event"] == "eval"] == [64, 128, 160]


def test_averaged_gradients_are_those_of_the_whole_batch(small: Manifest, tmp_path: Path) -> None:
    """What two processes would each compute on half a batch averages to one process's gradient on all of it."""
    network = start(small, tmp_path, recipe())[1].discriminator
    images = torch.randn(8, 3, 32, 32)

    def gradient(part: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad(nn.functional.softplus(network(part)).mean(), network.from_rgb.weight)[0]

    torch.testing.assert_close((gradient(images[::2]) + gradient(images[1::2])) / 2, gradient(images))


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
    small: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str, most: int, expected: list[str]
) -> None:
    ill = Assessment(COLLAPSING, "because the test says so")

    def check(self: Guard, signals: object) -> tuple[Assessment, bool]:
        self.history.append(signals)  # type: ignore[arg-type]
        self.alarms += 1
        return ill, policy != "warn" or self.alarms == 1

    monkeypatch.setattr(Guard, "check", check)
    options = [f"guard.on_collapse={policy}", f"guard.rollbacks={most}", "evaluate.every=32", "guard.every=64"]
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
        assert any("stop (no state to go back to)" in line for line in said)
    if expected[0] == "rollback":
        assert rates[-1] < 0.6 * rates[0], "the rate is halved"
        assert all(np.isfinite(line["distance"]) for line in log if line["event"] == "eval")


def test_a_stop_before_the_first_evaluation_leaves_a_generator(
    small: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Judge, "check", lambda self, state: "stop")
    run = train_gan(small, recipe("r3-32", "evaluate.every=1000", "guard.every=48"), tmp_path)
    assert run.stopped_by_guard
    assert run.generator.config.training["images"] == 48


def test_rollback_restores_the_best_weights(small: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}

    def check(self: Judge, state: State) -> str:
        found["images"] = self.run.load_checkpoint("best.pt")["images"]  # type: ignore[index]
        return "rollback" if state.rollbacks == 0 else ""

    restored = []
    load = State.load_networks

    def spy(self: State, saved: dict[str, object]) -> None:
        load(self, saved)
        restored.append((saved["images"], weights(self.generator)))

    monkeypatch.setattr(Judge, "check", check)
    monkeypatch.setattr(State, "load_networks", spy)
    train_gan(small, recipe("r3-32", "evaluate.every=16", "guard.every=100"), tmp_path)
    ((images, generator),) = restored
    assert images == found["images"]
    saved = torch.load(tmp_path / "r3-32" / "checkpoints" / "best.pt", weights_only=True)
    if saved["images"] == images:  # no better one came later
        flat = torch.cat([saved["model"][0][k].flatten() for k in dict(saved["model"][0])])
        assert flat.numel() == generator.numel()
        torch.testing.assert_close(flat.sum(), generator.sum())


def test_present_adds_noise_and_augments_both_sides_alike(small: Manifest, tmp_path: Path) -> None:
    game, state = start(small, tmp_path, recipe("report-v2-32", "gan.noise=0.5"))
    torch.manual_seed(0)
    assert game.present(torch.zeros(64, 3, 32, 32), state).std() == pytest.approx(0.5, rel=0.02)
    game, state = start(small, tmp_path, recipe("r3-32", "gan.augment=[]"))
    images = torch.rand(64, 3, 32, 32)
    assert game.present(images, state) is images
    state.rollbacks = 1
    changed = (game.present(images, state) != images).flatten(1).any(dim=1).float().mean()
    assert 0.1 < changed < 0.5, "a rollback adds augmentation where the recipe has none"


def test_batch_statistics_are_not_shared_between_reals_and_fakes(small: Manifest, tmp_path: Path) -> None:
    game, state = start(small, tmp_path, recipe("report-v1-32"))
    assert mixes_images(state.discriminator)
    calls = []
    state.discriminator.register_forward_pre_hook(lambda _module, inputs: calls.append(len(inputs[0])))
    game._set_rates(state)
    game.update_discriminator(state, game.reals(0))
    assert calls == [8, 8]


@pytest.mark.parametrize(
    ("name", "override", "message"),
    [
        ("r3-32", "data.sources=nobody", "no real source 'nobody' in the manifest; it has photos"),
        ("r3-32", "train.batch=1000", "28 real images to learn from .* fewer than a batch of 1000"),
        ("r3-32", "evaluate.n=500", "there are 28 real images to compare with"),
        ("report-v1-32", "gan.r1=1.0", "need a discriminator without batch normalisation"),
        ("r3-32", "evaluate.features=inceptoin-fid", "did you mean|no feature network"),
        ("r3-32", "model.name=r4", "did you mean 'r3'"),
    ],
)
def test_what_cannot_work_is_refused(small: Manifest, tmp_path: Path, name: str, override: str, message: str) -> None:
    with pytest.raises(LabError, match=message):
        train_gan(small, recipe(name, override), tmp_path)


def test_a_limit_binds_what_is_learned_from_and_not_what_is_compared_with(small: Manifest, tmp_path: Path) -> None:
    every, few = plan_gan(small, recipe()), plan_gan(small, recipe("r3-32", "data.limit=10"))
    assert len(few.train_rows) == 10
    assert set(few.train_rows) < set(every.train_rows)
    assert few.heldout_rows.tolist() == every.heldout_rows.tolist()
    run = train_gan(small, recipe("r3-32", "data.limit=10", "train.images=64"), tmp_path)
    (found,) = [entry for entry in run.read_log() if entry["event"] == "eval"]
    assert found["n"] == 20, "of the reals, more are compared with than were learned from"
    with pytest.raises(LabError, match=r"7 real images to learn from .* fewer than a batch of 8"):
        plan_gan(small, recipe("r3-32", "data.limit=7"))


def test_a_run_from_before_a_parameter_existed_goes_on(small: Manifest, tmp_path: Path) -> None:
    folder = train_gan(small, recipe(), tmp_path, max_minutes=1e-9).folder
    config = folder / "config.toml"
    config.write_text("".join(line for line in config.read_text().splitlines(True) if not line.startswith("limit")))
    assert train_gan(small, recipe(), tmp_path, resume=True).finished
    with pytest.raises(LabError, match=r"data\.limit: 0 → 10"):
        train_gan(small, recipe("r3-32", "data.limit=10"), tmp_path, resume=True)


def test_a_wrong_feature_network_takes_no_folder(small: Manifest, tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"no feature network 'rndconv'; .*did you mean 'randconv'"):
        train_gan(small, recipe("r3-32", "evaluate.features=rndconv"), tmp_path)
    with pytest.raises(LabError, match=r"no weights none\.pth"):
        train_gan(small, recipe("r3-32", "evaluate.features=keras-inception-7a"), tmp_path, weights="none.pth")
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
    small: Manifest, tmp_path: Path, name: str, text: str, message: str
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
def test_a_checkpoint_with_odd_values_is_refused(small: Manifest, tmp_path: Path, change: dict[str, object]) -> None:
    run = train_gan(small, recipe(), tmp_path, max_minutes=1e-9)
    path = run.folder / "checkpoints" / "last.pt"
    torch.save(torch.load(path, weights_only=True) | change, path)
    with pytest.raises(LabError, match=r"does not fit its config\.toml"):
        train_gan(small, recipe(), tmp_path, resume=True)


def test_averaging_watches_and_does_not_steer(small: Manifest, tmp_path: Path) -> None:
    ends = []
    for ema in (0.05, 0.0):
        run = train_gan(small, recipe("r3-32", f"gan.ema={ema}"), tmp_path, name=f"ema-{ema}")
        checkpoint = run.load_checkpoint()
        assert checkpoint is not None
        ends.append(checkpoint["model"][0])
    for name, tensor in ends[0].items():
        assert torch.equal(tensor, ends[1][name]), name


def test_taken_folder_and_changed_parameters_are_refused(small: Manifest, tmp_path: Path) -> None:
    train_gan(small, recipe(), tmp_path, max_minutes=1e-9)
    with pytest.raises(LabError, match="--resume"):
        train_gan(small, recipe(), tmp_path)
    with pytest.raises(LabError, match=r"gan\.loss: 'relativistic' → 'hinge'"):
        train_gan(small, recipe("r3-32", "gan.loss=hinge"), tmp_path, resume=True)


def test_rollback_forgets_the_accuracies_of_networks_that_are_gone(
    small: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, go_back = [], training._go_back

    def spy(run: Run, state: State) -> None:
        before = len(state.window)
        go_back(run, state)
        seen.append((before > 0, len(state.window)))

    monkeypatch.setattr(training, "_go_back", spy)
    monkeypatch.setattr(Judge, "check", lambda self, state: "rollback" if not state.rollbacks else "")
    options = ["guard.on_collapse=rollback", "evaluate.every=16", "guard.every=64"]
    train_gan(small, recipe("report-v2-32", *options), tmp_path)
    assert seen == [(True, 0)]


def test_losses_that_are_no_numbers_stop_the_run(
    small: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Game, "present", lambda _self, images, _state: images * float("nan"))
    with pytest.raises(LabError, match="discriminator_loss is no longer finite at 16 images"):
        train_gan(small, recipe(), tmp_path)


def test_losses_that_are_no_numbers_are_rolled_back_where_the_recipe_says_so(
    small: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    present = Game.present

    def poisoned(self: Game, images: torch.Tensor, state: State) -> torch.Tensor:
        scale = float("nan") if state.images >= 32 and not state.rollbacks else 1.0
        return present(self, images, state) * scale

    monkeypatch.setattr(Game, "present", poisoned)
    said: list[str] = []
    options = ["guard.on_collapse=rollback", "evaluate.every=16", "guard.every=1000"]
    run = train_gan(small, recipe("r3-32", *options), tmp_path, on_event=said.append)
    log = list(run.read_log())
    (line,) = (line for line in log if line["event"] == "not_finite")
    assert line["action"] == "rollback"
    assert line["images"] > 32
    assert any("is no longer finite; rollback" in text for text in said)
    assert log[-1]["event"] == "end"
    assert all(np.isfinite(entry["discriminator_loss"]) for entry in log if entry["event"] == "step")
    assert all(np.isfinite(entry["distance"]) for entry in log if entry["event"] == "eval")


def test_input_of_the_judge_is_the_trainings(small: Manifest) -> None:
    """Pixels that the generator is measured by and pixels that the discriminator sees are on one scale."""
    images = load_images(plan_gan(small, recipe()).manifest, 32)
    inputs = to_input(torch.from_numpy(images.take(np.arange(4))))
    assert inputs.min() >= -1
    assert inputs.max() <= 1
