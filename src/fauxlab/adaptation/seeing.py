"""What a detector makes of the user's faces."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fauxlab.adaptation.examples import BATCH
from fauxlab.bundle.decision import can_tell
from fauxlab.errors import LabError
from fauxlab.io.sharpness import measure_sharpness
from fauxlab.io.tint import measure_tint

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.adaptation.reference import Reference
    from fauxlab.bundle.config import DetectorConfig
    from fauxlab.bundle.detector import AnyDetector

    Floats = NDArray[np.floating]
    Bools = NDArray[np.bool_]
    Pixels = NDArray[np.uint8]

FEWEST_REALS = 10  # from so many on, half of the user's real photos are learned from


class Seen(NamedTuple):
    """What a detector made of n faces, in V views, of which the first is the face as it is."""

    views: Floats  # coordinates [V, n, K]
    head_logits: Floats  # [n, H]
    told: Bools  # [n]: no "cannot tell"


def see(detector: AnyDetector, reference: Reference, views: list[Pixels]) -> Seen:
    """What the detector makes of views uint8 [n, 3, size, size] of faces."""
    coordinates = []
    head_logits: list[Floats] = []
    told: list[bool] = []
    for number, pixels in enumerate(views):
        features = []
        for start in range(0, len(pixels), BATCH):
            part = pixels[start : start + BATCH]
            predicted = detector.predict(part)
            features.append(predicted.features)
            if number == 0:
                head_logits.append(predicted.head_logits.astype(np.float64))
                distances = predicted.ood_distances.tolist()
                told += is_told(detector.config, part, distances)
        all_features = np.concatenate(features).astype(np.float64)
        if not np.isfinite(all_features).all():
            raise LabError("the model gives no finite features for some of these pictures")
        coordinates.append(reference.space.project(all_features))
    return Seen(np.stack(coordinates), np.concatenate(head_logits), np.array(told))


def is_told(config: DetectorConfig, pixels: Pixels, distances: list[float]) -> list[bool]:
    """Whether each picture [n] gets a verdict, and not "cannot tell"."""
    told = []
    for picture, distance in zip(pixels, distances, strict=True):
        told.append(can_tell(config, distance, measure_sharpness(picture), measure_tint(picture)))
    return told


def divide(seen: Seen | None) -> tuple[Seen | None, Seen | None]:
    """The half to learn from and the half to check on; all to check on where there are few."""
    if seen is None or len(seen.told) < FEWEST_REALS:
        return None, seen
    is_odd = np.arange(len(seen.told)) % 2 == 1
    halves = []
    for rows in (~is_odd, is_odd):
        halves.append(Seen(seen.views[:, rows], seen.head_logits[rows], seen.told[rows]))
    return halves[0], halves[1]
