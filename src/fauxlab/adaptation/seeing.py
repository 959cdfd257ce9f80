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
    from fauxlab.bundle.detector import AnyDetector, Prediction

    Floats = NDArray[np.floating]
    Bools = NDArray[np.bool_]
    Pixels = NDArray[np.uint8]

FEWEST_REALS = 10  # from so many on, half of the user's real photos are learned from


class Seen(NamedTuple):
    """What a detector made of n faces, in V views, of which the first is the face as it is."""

    views: Floats  # coordinates [V, n, K]
    head_logits: Floats  # [n, H]
    told: Bools  # [n]: no "cannot tell"

    def take(self, rows: Bools) -> Seen:
        """Some of the faces [n]."""
        views = self.views[:, rows]
        head_logits = self.head_logits[rows]
        told = self.told[rows]
        return Seen(views, head_logits, told)


def see(detector: AnyDetector, reference: Reference, views: list[Pixels]) -> Seen:
    """What the detector makes of views uint8 [n, 3, size, size] of faces."""
    coordinates = []
    head_logits = []
    told = []
    for number, pixels in enumerate(views):
        features = []
        for start in range(0, len(pixels), BATCH):
            part = pixels[start : start + BATCH]
            predicted = detector.predict(part)
            features.append(predicted.features)
            if number == 0:
                head_logits.append(predicted.head_logits)
                told += list_told(detector.config, part, predicted)
        all_features = np.concatenate(features).astype(np.float64)
        if not np.isfinite(all_features).all():
            raise LabError("the model gives no finite features for some of these pictures")
        own = reference.space.project(all_features)
        coordinates.append(own)
    return Seen(
        np.stack(coordinates),
        np.concatenate(head_logits).astype(np.float64),
        np.array(told),
    )


def list_told(config: DetectorConfig, pixels: Pixels, predicted: Prediction) -> list[bool]:
    """Whether each picture [n] gets a verdict, and not "cannot tell"."""
    distances = predicted.ood_distances.tolist()
    told = []
    for picture, distance in zip(pixels, distances, strict=True):
        sharpness = measure_sharpness(picture)
        tint = measure_tint(picture)
        is_told = can_tell(config, distance, sharpness, tint)
        told.append(is_told)
    return told


def divide(seen: Seen | None) -> tuple[Seen | None, Seen | None]:
    """The half to learn from and the half to check on; all to check on where there are few."""
    if seen is None or len(seen.told) < FEWEST_REALS:
        return None, seen
    is_odd = np.arange(len(seen.told)) % 2 == 1
    return seen.take(~is_odd), seen.take(is_odd)
