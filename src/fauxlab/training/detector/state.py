"""All that changes while a detector is trained; what a checkpoint holds."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from fauxlab.config import TrainConfig
from fauxlab.training.detector.network import TrainedNetwork
from fauxlab.training.detector.plan import TrainingPlan
from fauxlab.training.detector.teacher import TeacherAnswers
from fauxlab.training.distributed import synchronise_batch_norm
from fauxlab.training.run import Run, fits_checkpoint


@dataclass
class State:
    """Networks, optimiser and counts."""

    network: nn.Module
    model: nn.Module  # the network as it is trained, prepared by accelerate for all processes
    trained: TrainedNetwork  # the same without that preparation
    average: nn.Module | None
    optimizer: Any
    step: int = 0
    best: float = -math.inf  # the selection value of best/

    @property
    def released(self) -> nn.Module:
        """The network that is validated and released."""
        return self.network if self.average is None else self.average

    @property
    def has_best(self) -> bool:
        """Whether an epoch has ended, so that `best/` holds the detector of one."""
        return self.best > -math.inf

    def as_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        projection = self.trained.projection
        return {
            "step": self.step,
            "best": self.best,
            "model": self.network.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "projection": None if projection is None else projection.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }


def start_state(
    accelerator: Accelerator,
    run: Run,
    plan: TrainingPlan,
    skipped: tuple[tuple[str, str], ...],
    teacher: TeacherAnswers | None = None,
) -> State:
    """The state before the first step, or the one in the run's checkpoint.

    The log is cut back to it; a new log begins with the `skipped` pictures.
    """
    train = plan.recipe.train
    # A copy, so that the plan can be trained again.
    network = copy.deepcopy(plan.network)
    network = synchronise_batch_norm(accelerator, network)
    network = network.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    components = 0 if teacher is None else teacher.components
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(train.seed)
        trained = TrainedNetwork(network, components)
    optimizer = _make_optimizer(trained, train)
    average = None
    if train.ema:
        average = copy.deepcopy(network).to(accelerator.device)
        average.eval().requires_grad_(False)

    saved = run.load_checkpoint(to_resume=True)
    with fits_checkpoint(run):
        if saved is not None:
            network.load_state_dict(saved["model"])
            if average is not None:
                average.load_state_dict(saved["average"])
            if trained.projection is not None:
                trained.projection.load_state_dict(saved["projection"])
        model, optimizer = accelerator.prepare(trained, optimizer)
        trained = accelerator.unwrap_model(model)
        state = State(trained.network, model, trained, average, optimizer)
        if saved is not None:
            optimizer.load_state_dict(saved["optimizer"])
            state.step = saved["step"]
            state.best = float(saved["best"])

    if accelerator.is_main_process:
        run.rewind_log(saved["log_bytes"] if saved else 0)
        if saved is None:
            run.log_skipped(skipped)
    return state


def _make_optimizer(network: nn.Module, train: TrainConfig) -> Any:
    betas = (train.beta1, train.beta2)
    decay = train.weight_decay
    return torch.optim.Adam(network.parameters(), train.lr, betas, weight_decay=decay, fused=True)
