"""The end of an epoch: the detector on the validation images, and the bundles it leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from fauxlab.bundle.config import DetectorConfig, Preprocessing
from fauxlab.config import Recipe, as_name
from fauxlab.data.cache import ImageArray
from fauxlab.data.manifest import Manifest
from fauxlab.evaluation.detection import predict_logits
from fauxlab.io.images import PIPELINE_VERSION
from fauxlab.models.pretrained import Detector
from fauxlab.statistics import Counts, auc
from fauxlab.training.detector.plan import TrainingPlan
from fauxlab.training.detector.schedule import Rows
from fauxlab.training.detector.state import State
from fauxlab.training.distributed import gather_shares, share_batch_statistics
from fauxlab.training.run import Run
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
    network = state.released
    share_batch_statistics(accelerator, network)
    metrics = _validate(accelerator, network, plan, images)

    # Without both classes there is no AUC, and the last epoch is as good a choice as any.
    selected = metrics.get("val_auc") if recipe.evaluate.select == "val_auc" else None
    value = float(state.step) if selected is None else selected

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
            bundle.save_pretrained(stage_folder(run, number, stage.name))
    state.best = max(state.best, value)


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
    share = rows[accelerator.process_index :: accelerator.num_processes]
    logits = torch.from_numpy(predict_logits(model, images, share, batch))
    return gather_shares(accelerator, logits, len(rows))


def _validate(
    accelerator: Accelerator,
    network: nn.Module,
    plan: TrainingPlan,
    images: ImageArray,
) -> dict[str, Any]:
    """The figures of the validation images; none where there are no such images."""
    rows = plan.schedule.val_rows
    if not len(rows):
        return {}
    batch = plan.recipe.evaluate.batch
    logits = gather_logits(accelerator, network, images, rows, batch)
    return _measure(images.manifest, rows, logits)


def _measure(manifest: Manifest, rows: Rows, logits: Tensor) -> dict[str, Any]:
    labels = np.array([manifest.rows[i].label for i in rows])
    truth = torch.from_numpy(labels)
    right = ((logits > 0).long() == truth).numpy()
    loss = nn.functional.binary_cross_entropy_with_logits(logits, truth.float())

    area = None
    if 0 < labels.sum() < len(labels):
        counts = Counts.of(labels, logits.double().numpy(), np.ones((1, len(rows))))
        area = float(auc(counts)[0])

    generators = np.array([manifest.rows[i].generator for i in rows])
    fake_accuracy = {}
    for name in manifest.generators:
        if name in generators:
            fake_accuracy[name] = float(right[generators == name].mean())

    has_reals = bool((labels == 0).any())
    return {
        "val_loss": float(loss),
        "val_accuracy": float(right.mean()),
        "val_auc": area,
        "val_real_accuracy": float(right[labels == 0].mean()) if has_reals else None,
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
        options=recipe.model.options,
        preprocessing=preprocessing,
        training=training,
        metrics=metrics,
    )
    return Detector(state.released, config)
