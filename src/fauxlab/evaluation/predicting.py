"""What a detector makes of stored pictures, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.bundle.detector import check_pipeline
from fauxlab.errors import LabError
from fauxlab.evaluation.decisions import Decided, decide_batch
from fauxlab.io.text import printable
from fauxlab.models.batches import apply_network, device_of, row_batches

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from fauxlab.bundle.detector import AnyDetector, Prediction
    from fauxlab.data.cache import ImageArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Pixels = NDArray[np.uint8]
    Change = Callable[[Pixels], Pixels]
    Progress = Callable[[int], None]

BATCH = 128


def predict_scores(
    detector: AnyDetector,
    images: ImageArray,
    change: Change | None = None,
    progress: Progress | None = None,
) -> Floats:
    """P(fake) float64 [N] of all images, as `change` leaves them.

    Raises LabError where the model gives an image no finite score.
    """
    check_pipeline(detector)
    logits = [np.zeros(0, dtype=np.float32)]
    for _, prediction in predict_batches(detector, images, change, progress):
        logits.append(prediction.logits)
    scores = detector.scores(np.concatenate(logits))
    _refuse_unscored(images, scores)
    return scores


def predict_decisions(
    detector: AnyDetector,
    images: ImageArray,
    change: Change | None = None,
    progress: Progress | None = None,
) -> tuple[Floats, Decided]:
    """P(fake) float64 [N] of all images, as `change` leaves them, and what a scan says of them.

    Raises LabError where the model gives an image no finite score.
    """
    check_pipeline(detector)
    scores = [np.zeros(0, dtype=np.float64)]
    decided = []
    for pixels, prediction in predict_batches(detector, images, change, progress):
        own_scores = detector.scores(prediction.logits)
        scores.append(own_scores)
        decided.append(decide_batch(detector.config, pixels, own_scores, prediction))
    all_scores = np.concatenate(scores)
    _refuse_unscored(images, all_scores)
    return all_scores, Decided.join(decided)


def _refuse_unscored(images: ImageArray, scores: Floats) -> None:
    """Raise LabError where an image has no finite score."""
    without = np.flatnonzero(~np.isfinite(scores))
    if len(without):
        first = images.manifest.rows[without[0]]
        raise LabError(
            f"the model gives {len(without)} of {len(scores)} pictures no finite score, the first "
            f"{printable(first.path)}; train it again"
        )


def predict_batches(
    detector: AnyDetector,
    images: ImageArray,
    change: Change | None = None,
    progress: Progress | None = None,
) -> Iterator[tuple[Pixels, Prediction]]:
    """Pictures, batch by batch and in order, and what the detector makes of them.

    Pictures are uint8 [n, 3, size, size] as `change` leaves them, by default as they are.
    `progress` is called with the number of pictures just used.
    """
    for rows in row_batches(len(images), BATCH, progress):
        pixels = images.take(rows)
        if change:
            pixels = change(pixels)
        yield pixels, detector.predict(pixels)


def predict_logits(
    model: torch.nn.Module, images: ImageArray, rows: Integers, batch: int = BATCH
) -> NDArray[np.float32]:
    """Logits [len(rows)] of a network in evaluation mode; afterwards its mode is as it was."""
    import torch

    from fauxlab.models.inputs import to_input

    def predict(images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = model(to_input(images))
        if logits.ndim == 2:  # one column a head
            logits = model.join(logits)  # type: ignore[operator]
        return logits

    device = device_of(model)
    was_training = model.training
    model.eval()
    logits = [np.zeros(0, dtype=np.float32)]
    for part in row_batches(len(rows), batch):
        pixels = torch.from_numpy(images.take(rows[part]))
        logits.append(apply_network(predict, pixels, device))
    model.train(was_training)
    return np.concatenate(logits)
