"""The end of an epoch: the detector on the validation images, and the bundles it leaves."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn

from fauxlab.bundle.config import DetectorConfig, Head, Preprocessing
from fauxlab.config import Recipe, as_name
from fauxlab.data.cache import ImageArray
from fauxlab.data.manifest import Manifest
from fauxlab.evaluation.predicting import predict_logits
from fauxlab.io.images import PIPELINE_VERSION
from fauxlab.models.batches import device_of
from fauxlab.models.pretrained import Detector
from fauxlab.statistics import Counts, auc
from fauxlab.training.detector.heads import gather_head_logits, measure_heads, set_join
from fauxlab.training.detector.plan import TrainingPlan, network_options
from fauxlab.training.detector.schedule import Rows
from fauxlab.training.detector.state import State
from fauxlab.training.distributed import any_process, gather_shares, share_batch_statistics
from fauxlab.training.run import Run
from fauxlab.training.session import Session
from fauxlab.version import __version__


def end_epoch(
    accelerator: Accelerator,
    run: Run,
    plan: TrainingPlan,
    images: ImageArray,
    state: State,
) -> None:
    """Validate and log, then write best/ and the stage's bundle where they are due."""
    recipe = plan.recipe
    metrics = _validate(accelerator, plan, images, state)

    value = _value_of_epoch(state, recipe, metrics)
    if accelerator.is_main_process:
        number, epoch, _ = plan.schedule.at(state.step - 1)
        stage = plan.schedule.stages[number]
        seen = state.step * recipe.train.batch
        run.log("epoch", step=state.step, images=seen, stage=stage.name, epoch=epoch + 1, **metrics)
        bundle = _make_bundle(run, plan, state, metrics)
        if value > state.best:
            bundle.save_pretrained(run.folder / "best")
        stage_ends = epoch + 1 == stage.epochs
        if stage_ends and recipe.train.schedule == "sequential":
            folder = stage_folder(run, number, stage.name)
            bundle.save_pretrained(folder)
    state.best = max(state.best, value)


class ValidationClock:
    """Estimates how long the validation takes, from the time of the training steps so far."""

    def __init__(self, plan: TrainingPlan, state: State) -> None:
        self._steps = len(plan.schedule.val_rows) / plan.recipe.train.batch
        self._first = state.step
        self._start = time.monotonic()

    def seconds(self, state: State) -> float:
        """About how long it takes, or 0 of a run that has been validated already."""
        steps = state.step - self._first
        if state.has_best or steps == 0:
            return 0.0
        seconds_per_step = (time.monotonic() - self._start) / steps
        # A step passes three times through the network, a validation once. Half leaves room.
        return 0.5 * seconds_per_step * self._steps


def release_early(
    current: Session,
    run: Run,
    plan: TrainingPlan,
    images: ImageArray,
    state: State,
    clock: ValidationClock,
) -> None:
    """Write `best/` for a run that its clock stopped before an epoch ended; else do nothing.

    The detector is validated where that leaves half of the time to the training. The checkpoint
    must be written before. A resumed run goes on from there as if this detector had not been made:
    it cuts the log back, and its first epoch replaces `best/`.
    """
    if state.has_best:
        return
    accelerator = current.accelerator
    too_long = not current.affords(clock.seconds(state))
    metrics = {}
    if not any_process(accelerator, too_long):
        metrics = _validate(accelerator, plan, images, state)
    if current.is_main:
        seen = state.step * plan.recipe.train.batch
        run.log("released_early", step=state.step, images=seen, **metrics)
        bundle = _make_bundle(run, plan, state, metrics)
        bundle.save_pretrained(run.folder / "best")


def _value_of_epoch(state: State, recipe: Recipe, metrics: dict[str, Any]) -> float:
    """The value by which epochs are compared: best/ is the epoch with the highest."""
    auc_of_epoch: float | None = None
    if recipe.evaluate.select == "val_auc":
        auc_of_epoch = metrics.get("val_auc")
    if auc_of_epoch is None:
        # The last epoch wins. Without both classes there is no AUC to choose by.
        return float(state.step)
    return auc_of_epoch


def stage_folder(run: Run, number: int, name: str) -> Path:
    """Where a sequential run keeps the detector as it was after a stage (counted from 0)."""
    return run.folder / "checkpoints" / f"stage-{number + 1}-{as_name(name)}"


def gather_logits(
    accelerator: Accelerator,
    model: nn.Module,
    images: ImageArray,
    rows: Rows,
    batch: int,
) -> Tensor:
    """Logits [len(rows)] of all rows in order, on every process; each computes its share."""
    process = accelerator.process_index
    processes = accelerator.num_processes
    share = rows[process::processes]
    logits = predict_logits(model, images, share, batch)
    return gather_shares(accelerator, torch.from_numpy(logits), len(rows))


def _validate(
    accelerator: Accelerator,
    plan: TrainingPlan,
    images: ImageArray,
    state: State,
) -> dict[str, Any]:
    """The figures of the validation images; none where there are no such images."""
    network = state.released
    share_batch_statistics(accelerator, network)
    rows = plan.schedule.val_rows
    if not len(rows):
        return {}
    batch = plan.recipe.evaluate.batch
    heads = plan.recipe.model.heads
    manifest = images.manifest
    if not heads:
        logits = gather_logits(accelerator, network, images, rows, batch)
        return _measure(manifest, rows, logits)

    head_logits = gather_head_logits(accelerator, network, images, rows, batch)
    set_join(network, manifest, rows, head_logits, heads)
    joined = _join(network, head_logits)
    metrics = _measure(manifest, rows, joined)
    return metrics | measure_heads(manifest, rows, heads, head_logits, joined)


def _join(network: nn.Module, head_logits: NDArray[np.float32]) -> Tensor:
    """The heads' logits [n, heads] as one [n]."""
    device = device_of(network)
    with torch.inference_mode():
        logits = torch.from_numpy(head_logits).to(device)
        # nn.Module types every attribute as a Tensor or a Module.
        joined: Tensor = network.join(logits)  # type: ignore[operator]
    return joined.cpu()


def _measure(manifest: Manifest, rows: Rows, logits: Tensor) -> dict[str, Any]:
    labels = np.array([manifest.rows[i].label for i in rows])
    truth = torch.from_numpy(labels)
    predicted = (logits > 0).long()
    right = (predicted == truth).numpy()
    loss = nn.functional.binary_cross_entropy_with_logits(logits, truth.float())

    is_real = labels == 0
    area = None
    has_both = 0 < labels.sum() < len(labels)
    if has_both:
        scores = logits.double().numpy()
        weights = np.ones((1, len(rows)))
        counts = Counts.of(labels, scores, weights)
        area = float(auc(counts)[0])

    generators = np.array([manifest.rows[i].generator for i in rows])
    fake_accuracy = {}
    for name in manifest.generators:
        if name in generators:
            right_of_name = right[generators == name]
            fake_accuracy[name] = float(right_of_name.mean())

    real_accuracy = None
    if is_real.any():
        real_accuracy = float(right[is_real].mean())
    return {
        "val_loss": float(loss),
        "val_accuracy": float(right.mean()),
        "val_auc": area,
        "val_real_accuracy": real_accuracy,
        "val_fake_accuracy": fake_accuracy,
    }


def _make_bundle(
    run: Run,
    plan: TrainingPlan,
    state: State,
    metrics: dict[str, Any],
) -> Detector:
    recipe: Recipe = plan.recipe
    preprocessing = Preprocessing(size=recipe.data.size, pipeline_version=PIPELINE_VERSION)
    training = {
        "recipe": recipe.name,
        "generators": list(plan.schedule.generators),
        "images": state.step * recipe.train.batch,
        "seed": recipe.train.seed,
        "data_hash": run.environment["data_hash"],
        "fauxlab": __version__,
    }
    config = DetectorConfig(
        architecture=recipe.model.name,
        options=network_options(recipe),
        preprocessing=preprocessing,
        heads=tuple(Head(name=head, manipulation=head) for head in recipe.model.heads),
        training=training,
        metrics=metrics,
    )
    return Detector(state.released, config)
