"""A detector with heads at the end of an epoch: one scale for them all, and figures of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn

from fauxlab.calibration.join import fit_join
from fauxlab.calibration.kinds import weigh_kinds
from fauxlab.data.cache import ImageArray
from fauxlab.data.manifest import Manifest
from fauxlab.errors import LabError
from fauxlab.models.batches import apply_network, device_of, row_batches
from fauxlab.models.heads import Join
from fauxlab.models.inputs import to_input
from fauxlab.statistics import Counts, auc
from fauxlab.training.detector.losses import head_targets
from fauxlab.training.detector.manipulations import list_manipulations
from fauxlab.training.detector.schedule import Rows
from fauxlab.training.distributed import gather_shares

Logits = NDArray[np.float32]  # [n, heads], as the heads give them
Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

JOIN_RATE = 0.02  # share of the real pictures that each head puts above 0


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
    """Put the heads of a network on one scale; without reals among the rows it stays as it is."""
    chosen = [manifest.rows[i] for i in rows]
    labels = np.array([row.label for row in chosen])
    if labels.all():
        return
    kinds = [row.kind for row in chosen]
    groups = [row.group for row in chosen]
    sorts = [row.manipulation for row in chosen]
    try:
        centre, scale = fit_join(logits.astype(np.float64), labels, sorts, kinds, groups, heads)
    except LabError:  # a head has no fakes here, or cannot tell them yet
        centre, scale = fit_to_reals(logits, labels, kinds, groups)
    head: Any = model.head
    join: Join = head.join
    join.centre.copy_(torch.from_numpy(centre))
    join.scale.copy_(torch.from_numpy(scale))


def fit_to_reals(
    logits: Logits,
    labels: Labels,
    kinds: Sequence[str],
    groups: Sequence[str],
) -> tuple[Floats, Floats]:
    """Centre and scale [heads]: each head's 98 % quantile of the reals, and their spread.

    All kinds of reals weigh alike. So the heads call about as many real pictures fake as each
    other.
    """
    real: list[int] = np.flatnonzero(labels == 0).tolist()
    real_kinds = [kinds[i] for i in real]
    real_groups = [groups[i] for i in real]
    weights = weigh_kinds(real_kinds, real_groups, full_kind=1)
    values = logits[real].astype(np.float64)
    means = weights @ values
    squares = (values - means) ** 2
    spread = np.sqrt(weights @ squares)
    scale = np.where(spread > 0, spread, 1.0)
    centre = []
    for column in values.T:
        quantile = _upper_quantile(column, weights, JOIN_RATE)
        centre.append(quantile)
    return np.array(centre), scale


def _upper_quantile(values: Floats, weights: Floats, share: float) -> float:
    """The smallest value above which lies at most a share of the weight."""
    order = np.argsort(values, kind="stable")
    up_to = np.cumsum(weights[order])
    # Sums of weights are a little inexact.
    is_enough = 1 - up_to <= share + 1e-9
    first = np.argmax(is_enough)
    return float(values[order[first]])


def measure_heads(
    manifest: Manifest,
    rows: Rows,
    heads: Sequence[str],
    logits: Logits,
    joined: Tensor,
) -> dict[str, Any]:
    """Figures of the heads' logits and of the joined ones [n].

    Of AUCs, all kinds of pictures weigh alike, and in a kind all groups.
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
        scores = logits[counted, column]
        areas[head] = _kind_auc(manifest, rows[counted], scores)
    known = [area for area in areas.values() if area is not None]
    mean = float(np.mean(known)) if known else None
    return {
        "val_loss": float(loss),
        "val_auc": mean,
        "val_head_auc": areas,
        "val_joined_auc": _kind_auc(manifest, rows, joined.numpy()),
    }


def _kind_auc(manifest: Manifest, rows: Rows, scores: NDArray[np.float32]) -> float | None:
    """The AUC of scores with all kinds weighed alike; None where a class is missing."""
    labels = manifest.labels[rows]
    if not 0 < labels.sum() < len(labels):
        return None
    weights = np.zeros(len(rows))
    for label in (0, 1):
        inside = labels == label
        chosen = [manifest.rows[i] for i in rows[inside]]
        kinds = [row.kind for row in chosen]
        groups = [row.group for row in chosen]
        weights[inside] = weigh_kinds(kinds, groups, full_kind=1)
    values = scores.astype(np.float64)
    counts = Counts.of(labels, values, weights[None])
    area = auc(counts)[0]
    return float(area)
