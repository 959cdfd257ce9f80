"""All that changes while a GAN is trained; what a checkpoint holds."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from fauxlab.config import value_at
from fauxlab.training.distributed import synchronise_batch_norm
from fauxlab.training.gan.collapse_guard import Guard
from fauxlab.training.gan.plan import GanPlan
from fauxlab.training.gan.step_controller import Steps
from fauxlab.training.run import Run, fits_checkpoint


@dataclass
class State:
    """Networks, optimisers, guard and counts."""

    generator: nn.Module
    discriminator: nn.Module
    average: nn.Module | None  # of the generator
    optimizers: tuple[torch.optim.Adam, torch.optim.Adam]  # generator's, discriminator's
    steps: Steps
    guard: Guard
    images: int = 0
    round: int = 0
    updates: int = 0  # of the discriminator, which is penalised every few of them
    rollbacks: int = 0
    best: float = math.inf  # the distance of best/
    # The accuracies that the step controller will decide on. They stay on the device until then,
    # because reading a value waits for all that a GPU was asked to do.
    window: dict[str, list[Tensor]] = field(default_factory=dict)
    decision: str = ""  # the controller's in the last step, in words

    @property
    def released(self) -> nn.Module:
        """The generator that is evaluated, sampled and released."""
        if self.average is None:
            return self.generator
        return self.average

    @property
    def has_best(self) -> bool:
        """Whether `best/` holds a generator that was evaluated in its turn."""
        return self.best < math.inf

    @property
    def networks(self) -> list[nn.Module]:
        """All networks, in the order of a checkpoint."""
        networks = [self.generator, self.discriminator]
        if self.average is not None:
            networks.append(self.average)
        return networks

    def as_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        window = {}
        for key, values in self.window.items():
            window[key] = [float(value) for value in values]
        return {
            "step": self.round,
            "model": [network.state_dict() for network in self.networks],
            "optimizer": [optimizer.state_dict() for optimizer in self.optimizers],
            "steps": [self.steps.generator, self.steps.discriminator],
            "guard": self.guard.state(),
            "images": self.images,
            "updates": self.updates,
            "rollbacks": self.rollbacks,
            "best": self.best,
            "window": window,
        }

    def load_networks(self, saved: dict[str, Any]) -> None:
        """Weights and optimisers from a checkpoint, and how many updates each network gets."""
        for network, weights in zip(self.networks, saved["model"], strict=True):
            network.load_state_dict(weights)
        for optimizer, moments in zip(self.optimizers, saved["optimizer"], strict=True):
            optimizer.load_state_dict(moments)
        self.steps = Steps(*saved["steps"])

    def load(self, saved: dict[str, Any], patience: int) -> None:
        """Everything from a checkpoint.

        Raises ValueError, or what torch makes of it, where the checkpoint is damaged.
        """
        _check_counts(saved)
        device = next(self.generator.parameters()).device
        window = {}
        for key, values in saved["window"].items():
            window[key] = [torch.tensor(float(value), device=device) for value in values]
        self.load_networks(saved)
        self.guard = Guard(patience, saved["guard"])
        self.round = saved["step"]
        self.images = saved["images"]
        self.updates = saved["updates"]
        self.rollbacks = saved["rollbacks"]
        self.best = saved["best"]
        self.window = window

    def go_back(self, run: Run) -> None:
        """To the networks of the best state; what follows is gentler, see `schedules.py`."""
        best = run.load_checkpoint("best.pt")
        assert best is not None  # a rollback is decided only where there is one
        with fits_checkpoint(run):
            self.load_networks(best)
            self.guard.forget_after(best["images"])
        self.window.clear()  # those accuracies belong to networks that are gone
        self.rollbacks += 1


def start_state(
    accelerator: Accelerator,
    run: Run,
    plan: GanPlan,
    skipped: tuple[tuple[str, str], ...],
) -> State:
    """The state before the first step, or the one in the run's checkpoint.

    The log is cut back to it; a new log begins with the `skipped` pictures. Every process has the
    same weights, as the plan's are a function of the recipe's seed.
    """
    state = _first_state(accelerator, plan)
    saved = run.load_checkpoint(to_resume=True)
    if saved is not None:
        with fits_checkpoint(run):
            state.load(saved, plan.recipe.guard.patience)
    if accelerator.is_main_process:
        run.rewind_log(saved["log_bytes"] if saved else 0)
        _remove_later_grids(run, state)
        if saved is None:
            # A new run must not go back to the best state of a run that was here before it.
            best = run.folder / "checkpoints" / "best.pt"
            best.unlink(missing_ok=True)
            run.log_skipped(skipped)
    return state


def _remove_later_grids(run: Run, state: State) -> None:
    """Remove the samples that were drawn after the checkpoint, as the log is cut back to it."""
    # Without an evaluation there are only samples that the clock's stop left.
    images = state.images if state.has_best else -1
    for path in run.folder.glob("samples/fakes*.png"):
        number = path.stem.removeprefix("fakes")
        if number.isdecimal() and int(number) > images:
            path.unlink()


def _first_state(accelerator: Accelerator, plan: GanPlan) -> State:
    """The state before the first step."""
    recipe = plan.recipe
    generator = _place(accelerator, plan.generator)
    discriminator = _place(accelerator, plan.discriminator)
    average = None
    if recipe.gan.ema:
        average = copy.deepcopy(generator).eval().requires_grad_(False)
    optimizers = (
        _make_optimizer(generator, plan),
        _make_optimizer(discriminator, plan),
    )
    steps = Steps(recipe.gan.generator_steps, recipe.gan.discriminator_steps)
    guard = Guard(recipe.guard.patience)
    return State(
        generator,
        discriminator,
        average,
        optimizers,
        steps,
        guard,
    )


def _place(accelerator: Accelerator, network: nn.Module) -> nn.Module:
    """A copy of a plan's network, ready to be trained; the plan can be trained again."""
    network = copy.deepcopy(network)
    network = synchronise_batch_norm(accelerator, network)
    network = network.train().to(accelerator.device)
    placed: nn.Module = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return placed


def _make_optimizer(network: nn.Module, plan: GanPlan) -> torch.optim.Adam:
    train = plan.recipe.train
    betas = (train.beta1, value_at(train.beta2, 0.0))
    # The learning rate is set before every step.
    return torch.optim.Adam(network.parameters(), 1.0, betas, fused=True)


def _check_counts(saved: dict[str, Any]) -> None:
    """Raise ValueError where a checkpoint's counts are not whole numbers, or its best no float."""
    counts = [saved[key] for key in ("images", "updates", "rollbacks")]
    counts += [steps - 1 for steps in saved["steps"]]  # at least one step each
    are_whole = all(type(count) is int and count >= 0 for count in counts)
    has_distance = type(saved["best"]) is float
    if not are_whole or not has_distance:
        raise ValueError("its counts are no whole numbers, or its best distance is no number")
