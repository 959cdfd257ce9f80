"""A detector with heads at the end of an epoch: one scale for them all, and figures of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn

from fauxlab.calibration.join import fit_join
from fauxlab.data.cache import ImageArray
from fauxlab.data.manifest import Manifest
from fauxlab.evaluation.kinds import mean_auc
from fauxlab.models.batches import apply_network, device_of, row_batches
from fauxlab.models.heads import Join
from fauxlab.models.inputs import to_input
from fauxlab.training.detector.losses import head_targets
from fauxlab.training.detector.manipulations import list_manipulations
from fauxlab.training.detector.schedule import Rows
from fauxlab.training.distributed import gather_shares

Logits = NDArray[np.float32]  # [n, heads], as the heads give them


def gather_head_logits(
    accelerator: Accelerator,
    model: nn.Module,
    images: ImageArray,
    rows: Rows,
    batch: int,
) -> Logits:
    """The heads' logits of all rows in order, on every process; each computes its share."""
    process = accelerator.process_index
    processes = accelerator.num_processes
    share = rows[process::processes]
    own = predict_heads(model, images, share, batch)
    columns = []
    for column in torch.from_numpy(own).T:
        gathered = gather_shares(accelerator, column, len(rows))
        columns.append(gathered)
    return torch.stack(columns, 1).numpy()


def predict_heads(model: nn.Module, images: ImageArray, rows: Rows, batch: int) -> Logits:
    """The heads' logits of these rows; afterwards the network's mode is as it was."""

    def predict(pixels: Tensor) -> Tensor:
        logits: Tensor = model(to_input(pixels))
        return logits

    head: Any = model.head
    device = device_of(model)
    was_training = model.training
    model.eval()
    none = np.zeros((0, head.linear.out_features), dtype=np.float32)
    logits: list[Logits] = [none]
    for part in row_batches(len(rows), batch):
        pictures = images.take(rows[part])
        pixels = torch.from_numpy(pictures)
        answers = apply_network(predict, pixels, device)
        logits.append(answers)
    model.train(was_training)
    return np.concatenate(logits)


def set_join(
    model: nn.Module,
    manifest: Manifest,
    rows: Rows,
    logits: Logits,
    heads: Sequence[str],
) -> None:
    """Put the heads of a network on one scale.

    The scale stays as it is where these rows hold no reals, or no fakes of a head. Before the first
    fit the heads' own logits are joined; the loss makes log odds of them, too.
    """
    chosen = [manifest.rows[i] for i in rows]
    labels = np.array([row.label for row in chosen])
    sorts = [row.manipulation for row in chosen]
    if not {"", *heads} <= set(sorts):  # "" is what a real photo has
        return
    kinds = [row.kind for row in chosen]
    groups = [row.group for row in chosen]
    centre, scale = fit_join(logits.astype(np.float64), labels, sorts, kinds, groups, heads)
    head: Any = model.head
    join: Join = head.join
    join.centre.copy_(torch.from_numpy(centre))
    join.scale.copy_(torch.from_numpy(scale))


def measure_heads(
    manifest: Manifest,
    rows: Rows,
    heads: Sequence[str],
    logits: Logits,
    joined: Tensor,
) -> dict[str, Any]:
    """Figures of the heads' logits and of the joined ones [n].

    An AUC is the mean over generators, each against its matched reals, whose kinds weigh alike.
    Against all reals a head could win by the origin of its fakes alone.
    """
    manipulations = list_manipulations(manifest)
    numbers = torch.from_numpy(manipulations[rows])
    targets = head_targets(numbers, heads)
    answers = torch.from_numpy(logits)
    total = nn.functional.binary_cross_entropy_with_logits(
        answers, targets.labels, targets.counted, reduction="sum"
    )
    loss = total / targets.counted.sum()
    areas = {}
    is_counted = targets.counted.numpy() > 0
    for column, head in enumerate(heads):
        counted = is_counted[:, column]
        areas[head] = _mean_auc(manifest, rows[counted], logits[counted, column])
    known = [area for area in areas.values() if area is not None]
    mean = float(np.mean(known)) if known else None
    return {
        "val_loss": float(loss),
        "val_auc": mean,
        "val_head_auc": areas,
        "val_joined_auc": _mean_auc(manifest, rows, joined.numpy()),
    }


def _mean_auc(manifest: Manifest, rows: Rows, scores: NDArray[np.float32]) -> float | None:
    part = replace(manifest, rows=tuple(manifest.rows[i] for i in rows))
    return mean_auc(part, scores.astype(np.float64))
