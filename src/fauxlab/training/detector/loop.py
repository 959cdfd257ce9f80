"""Detector training: one plain loop, exact resume, on one process or several."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from fauxlab.bundle.config import DetectorConfig, Preprocessing
from fauxlab.config import Recipe, as_name
from fauxlab.data.cache import ImageArray, load_images
from fauxlab.data.manifest import Manifest
from fauxlab.errors import LabError
from fauxlab.evaluation.detection import predict_logits
from fauxlab.io.images import PIPELINE_VERSION
from fauxlab.models.pretrained import Detector
from fauxlab.statistics import Counts, auc
from fauxlab.training.detector.inputs import draw_batch, pixel_source
from fauxlab.training.detector.plan import build_network, check_training
from fauxlab.training.detector.sampling import Plan, Rows, deal, plan_training, stage_order
from fauxlab.training.ema import update_average
from fauxlab.training.run import (
    CHECKPOINT_SECONDS,
    OnStep,
    Run,
    any_process,
    fits_checkpoint,
    open_run,
    point_latest,
    seed_step,
    start_accelerator,
    train_alone,
)
from fauxlab.version import __version__

LOG_EVERY = 10  # steps


def train_detector(
    manifest: Manifest,
    recipe: Recipe,
    out: str | Path = "runs",
    *,
    name: str | None = None,
    resume: bool = False,
    max_minutes: float | None = None,
    on_step: OnStep | None = None,
) -> Run:
    """Train a detector into `out/name` and return its run; `run.model` is the detector.

    `resume` continues a run from its last checkpoint, or does nothing when it is finished. After
    `max_minutes` the run is checkpointed and left resumable. Under torchrun the same call trains on
    all processes. Raises LabError on bad input, and when the loss is no longer finite (the files of
    that batch are named and logged).
    """
    deadline = math.inf if max_minutes is None else time.monotonic() + 60 * max_minutes
    accelerator = start_accelerator(recipe.train.precision)
    world = accelerator.num_processes
    if world > 1 and recipe.train.batch % (2 * world):
        raise LabError(
            f"train.batch = {recipe.train.batch} cannot be shared by {world} processes in pairs of real and fake; "
            f"make it a multiple of {2 * world}"
        )
    # What the folder holds is asked by one process only: the first may have begun the run before
    # another looks.
    folder = check_training(manifest, recipe, out, name, resume or not accelerator.is_main_process)
    images = load_images(manifest, recipe.data.size)
    plan = plan_training(images.manifest, recipe)
    if world > 1 and (
        few := [stage for stage in plan.stages if len(stage.rows) < recipe.train.batch]
    ):
        raise LabError(
            f"stage {few[0].name}: {len(few[0].rows)} images are fewer than a batch, which cannot be shared by {world} "
            "processes; lower train.batch or train on one"
        )
    with accelerator.main_process_first():
        run = open_run(
            folder, recipe, images.manifest.data_hash, resume or not accelerator.is_main_process
        )
    if not run.finished:
        with train_alone(run, accelerator.is_main_process):
            _train(accelerator, run, recipe, plan, images, deadline, on_step)
    if accelerator.is_main_process:
        point_latest(Path(out), folder)
    accelerator.wait_for_everyone()
    return run


@dataclass
class _State:
    """What a checkpoint holds."""

    model: nn.Module
    average: nn.Module | None
    optimizer: Any
    step: int
    best: float


def _train(
    accelerator: Accelerator,
    run: Run,
    recipe: Recipe,
    plan: Plan,
    images: ImageArray,
    deadline: float,
    on_step: OnStep | None,
) -> None:
    """The loop. Everything random in it is a function of the recipe's seed, the step and the
    process.
    """
    train, main = recipe.train, accelerator.is_main_process
    state = _start(accelerator, run, recipe)
    pixels = pixel_source(images, accelerator.device)
    labels = torch.from_numpy(images.manifest.labels).float()
    loss_of = nn.BCEWithLogitsLoss()
    window: list[Tensor] = []
    order: Rows | None = None
    saved = time.monotonic()
    state.model.train()
    while state.step < plan.steps:
        number, epoch, within = plan.at(state.step)
        stage = plan.stages[number]
        if order is None or within == 0:
            order = stage_order(images.manifest, stage, train, epoch, number)
        batch = order[within * train.batch : (within + 1) * train.batch]
        mine = deal(batch, accelerator.process_index, accelerator.num_processes)
        seed_step(train.seed, state.step, accelerator.process_index)
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(recipe, state.step, plan.steps)
        inputs, targets = draw_batch(pixels, labels, mine, train)
        loss = loss_of(state.model(inputs), targets)
        state.optimizer.zero_grad()
        accelerator.backward(loss)
        state.optimizer.step()
        state.step += 1
        if state.average is not None:
            network = accelerator.unwrap_model(state.model)
            update_average(state.average, network, train.ema, state.step * train.batch, train.batch)
        window.append(loss.detach())
        epoch_ends = within + 1 == stage.steps_per_epoch
        if len(window) < LOG_EVERY and not epoch_ends:
            continue
        # Reading a loss waits for the device, so finiteness, log, clock and checkpoint share one
        # reading.
        losses = accelerator.reduce(torch.stack(window), "mean").cpu()
        window.clear()
        _check_finite(run, losses, state.step, plan, images, train, main)
        stop = any_process(accelerator, time.monotonic() > deadline)
        seen, mean = state.step * train.batch, losses.mean().item()
        if main:
            run.log("step", step=state.step, images=seen, stage=stage.name, loss=mean)
            if on_step:
                on_step(seen, plan.steps * train.batch, mean)
        if epoch_ends:
            state.best = _end_epoch(accelerator, run, recipe, plan, images, state)
        if main and (epoch_ends or stop or time.monotonic() - saved > CHECKPOINT_SECONDS):
            run.save_checkpoint(_checkpoint(accelerator, state))
            saved = time.monotonic()
        if stop:
            break
    if main and state.step == plan.steps:
        run.log("end", step=state.step, images=state.step * train.batch)


def _start(accelerator: Accelerator, run: Run, recipe: Recipe) -> _State:
    """Build network and optimiser, fresh or from the run's checkpoint, and hand them to the engine."""
    train = recipe.train
    torch.manual_seed(train.seed)
    network = build_network(recipe)
    if accelerator.num_processes > 1 and accelerator.device.type == "cuda":
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer: Any = torch.optim.Adam(
        network.parameters(),
        train.lr,
        (train.beta1, train.beta2),
        weight_decay=train.weight_decay,
        fused=True,
    )
    saved = run.load_checkpoint(to_resume=True)
    average = (
        copy.deepcopy(network).eval().requires_grad_(False).to(accelerator.device)
        if train.ema
        else None
    )
    with fits_checkpoint(run):
        if saved is not None:
            network.load_state_dict(saved["model"])
            if average is not None:
                average.load_state_dict(saved["average"])
        model, optimizer = accelerator.prepare(network, optimizer)
        if saved is not None:
            optimizer.load_state_dict(saved["optimizer"])
        state = _State(model, average, optimizer, 0, -math.inf)
        if saved is not None:
            state = _State(model, average, optimizer, saved["step"], float(saved["best"]))
    if accelerator.is_main_process:
        run.rewind_log(saved["log_bytes"] if saved else 0)
    return state


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The learning rate at a step: constant, or a half cosine from train.lr to 0."""
    share = (
        0.5 * (1 + math.cos(math.pi * step / steps))
        if recipe.train.lr_schedule == "cosine"
        else 1.0
    )
    return recipe.train.lr * share


def gather_logits(
    accelerator: Accelerator, model: nn.Module, images: ImageArray, rows: Rows, batch: int
) -> Tensor:
    """Logits [len(rows)] of every row exactly once, in order, each process computing its share; on
    every process.
    """
    world, rank = accelerator.num_processes, accelerator.process_index
    share = -(-len(rows) // world)
    mine = predict_logits(model, images, rows[rank::world], batch)
    padded = torch.zeros(share, device=accelerator.device)
    padded[: len(mine)] = torch.from_numpy(mine)
    gathered: Tensor = accelerator.gather(padded)
    # undo the striding, drop the padding
    return gathered.view(world, share).T.flatten()[: len(rows)].cpu()


def _end_epoch(
    accelerator: Accelerator,
    run: Run,
    recipe: Recipe,
    plan: Plan,
    images: ImageArray,
    state: _State,
) -> float:
    """Validate, log, and write best/ and the stage's bundle where due; returns the best selection
    value so far.
    """
    network = accelerator.unwrap_model(state.model) if state.average is None else state.average
    step = state.step
    if accelerator.num_processes > 1:
        # On CPUs each process has batch statistics of its own; those of the first are saved, so
        # they are judged.
        for statistics in network.buffers():
            torch.distributed.broadcast(statistics, 0)
    rows = plan.val_rows
    metrics = {}
    if len(rows):
        logits = gather_logits(accelerator, network, images, rows, recipe.evaluate.batch)
        metrics = _val_metrics(images.manifest, rows, logits)
    number, epoch, _ = plan.at(step - 1)
    stage = plan.stages[number]
    # Without both classes to validate on there is no AUC, and the last epoch is as good a choice as
    # any.
    value = metrics.get("val_auc") if recipe.evaluate.select == "val_auc" else None
    value = float(step) if value is None else value
    if accelerator.is_main_process:
        run.log(
            "epoch",
            step=step,
            images=step * recipe.train.batch,
            stage=stage.name,
            epoch=epoch + 1,
            **metrics,
        )
        bundle = _bundle(network, run, recipe, plan, step, metrics)
        if value > state.best:
            bundle.save_pretrained(run.folder / "best")
        if recipe.train.schedule == "sequential" and epoch + 1 == stage.epochs:
            bundle.save_pretrained(stage_folder(run, number, stage.name))
    return max(state.best, value)


def stage_folder(run: Run, number: int, name: str) -> Path:
    """Where a sequential run keeps the detector as it was after a stage (counted from 0)."""
    return run.folder / "checkpoints" / f"stage-{number + 1}-{as_name(name)}"


def _val_metrics(manifest: Manifest, rows: Rows, logits: Tensor) -> dict[str, Any]:
    labels = np.array([manifest.rows[i].label for i in rows])
    truth = torch.from_numpy(labels)
    right = ((logits > 0).long() == truth).numpy()
    both = 0 < labels.sum() < len(labels)
    counts = Counts.of(labels, logits.double().numpy(), np.ones((1, len(rows))))
    generators = np.array([manifest.rows[i].generator for i in rows])
    called = {
        name: float(right[generators == name].mean())
        for name in manifest.generators
        if name in generators
    }
    return {
        "val_loss": float(nn.functional.binary_cross_entropy_with_logits(logits, truth.float())),
        "val_accuracy": float(right.mean()),
        "val_auc": float(auc(counts)[0]) if both else None,
        "val_real_accuracy": float(right[labels == 0].mean()) if (labels == 0).any() else None,
        "val_fake_accuracy": called,
    }


def _bundle(
    network: nn.Module, run: Run, recipe: Recipe, plan: Plan, step: int, metrics: dict[str, Any]
) -> Detector:
    config = DetectorConfig(
        architecture=recipe.model.name,
        options=recipe.model.options,
        preprocessing=Preprocessing(size=recipe.data.size, pipeline_version=PIPELINE_VERSION),
        training={
            "recipe": recipe.name,
            "generators": list(plan.generators),
            "images": step * recipe.train.batch,
            "seed": recipe.train.seed,
            "data_hash": run.environment["data_hash"],
            "fauxlab": __version__,
        },
        metrics=metrics,
    )
    return Detector(network, config)


def _checkpoint(accelerator: Accelerator, state: _State) -> dict[str, Any]:
    return {
        "step": state.step,
        "best": state.best,
        "model": accelerator.unwrap_model(state.model).state_dict(),
        "average": None if state.average is None else state.average.state_dict(),
        "optimizer": state.optimizer.state_dict(),
    }


def _check_finite(
    run: Run, losses: Tensor, step: int, plan: Plan, images: ImageArray, train: Any, main: bool
) -> None:
    """Stop at the first step of the window whose loss is not finite, before anything of it is
    saved.
    """
    bad = (~torch.isfinite(losses)).nonzero().flatten()
    if not len(bad):
        return
    at = step - len(losses) + int(bad[0])
    number, epoch, within = plan.at(at)
    order = stage_order(images.manifest, plan.stages[number], train, epoch, number)
    files = [
        images.manifest.rows[i].path
        for i in order[within * train.batch : (within + 1) * train.batch]
    ]
    if main:
        run.log("not_finite", step=at, loss=str(losses[bad[0]].item()), files=files)
    raise LabError(
        f"the loss became {losses[bad[0]].item()} at step {at} (train.lr = {train.lr}); the last checkpoint is intact. "
        f"Lower train.lr, or look at this batch's files: {', '.join(files)}"
    )
