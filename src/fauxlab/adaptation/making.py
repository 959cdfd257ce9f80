"""Makes the reference of a detector from the pictures of a calibration split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fauxlab.adaptation.reference import (
    MANIPULATIONS,
    MOST_NAME,
    MOST_PICTURES,
    Reference,
)
from fauxlab.adaptation.space import MOST_COMPONENTS, fit_space
from fauxlab.calibration.kinds import weigh_kinds
from fauxlab.errors import LabError
from fauxlab.evaluation.predicting import predict_batches
from fauxlab.io.sharpness import measure_sharpness
from fauxlab.io.tint import measure_tint

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.bundle.detector import AnyDetector
    from fauxlab.data.cache import ImageArray
    from fauxlab.data.rows import Row

    Rows = NDArray[np.int64]
    Floats = NDArray[np.float64]


def make_reference(
    detector: AnyDetector,
    images: ImageArray,
    most: int = MOST_PICTURES,
    components: int = MOST_COMPONENTS,
    progress: Callable[[int], None] | None = None,
) -> Reference:
    """What the detector makes of at most `most` pictures, from all kinds evenly.

    The pictures should be of the calibration split, on which no weight was fitted. Raises LabError
    where the detector has no heads or gives no features, and where there are no reals.
    """
    chosen = choose_rows(images.manifest.rows, most)
    part = _take_part(images, chosen)
    rows = part.manifest.rows
    if all(row.label for row in rows):
        raise LabError("no reals to make a reference of; index some, with a calibration split")
    measured = _measure(detector, part, progress)
    kinds = np.array([kind_of(row) for row in rows])
    group_names = [row.group for row in rows]
    _, groups = np.unique(group_names, return_inverse=True)
    weights = weigh_kinds(kinds, groups)
    space = fit_space(measured.features, weights, components)
    manipulations = []
    for row in rows:
        number = MANIPULATIONS.index(row.manipulation)
        manipulations.append(number)
    return Reference(
        space,
        space.project(measured.features),
        kinds,
        groups.astype(np.int64),
        np.array(manipulations),
        measured.head_logits,
        measured.limits,
    )


class _Measured(NamedTuple):
    """What a detector makes of N pictures, and their distances, sharpness and tints [N, 3]."""

    features: Floats  # [N, D]
    head_logits: Floats  # [N, H]
    limits: Floats


def _measure(
    detector: AnyDetector, images: ImageArray, progress: Callable[[int], None] | None
) -> _Measured:
    features = []
    head_logits = []
    limits = []
    for pixels, predicted in predict_batches(detector, images, progress=progress):
        n_features = predicted.features.shape[1]
        n_heads = predicted.head_logits.shape[1]
        if not n_features or not n_heads:
            raise LabError(
                f"the model {detector.config.architecture} gives no features of several heads, "
                "which a reference holds; export one with heads by `fauxlab export`"
            )
        features.append(predicted.features)
        head_logits.append(predicted.head_logits)
        distances = predicted.ood_distances.tolist()
        for picture, distance in zip(pixels, distances, strict=True):
            sharpness = measure_sharpness(picture)
            tint = measure_tint(picture)
            limits.append((distance, sharpness, tint))
    all_features = np.concatenate(features).astype(np.float64)
    if not np.isfinite(all_features).all():
        raise LabError("the model gives no finite features for some pictures; train it again")
    all_logits = np.concatenate(head_logits).astype(np.float64)
    return _Measured(all_features, all_logits, np.array(limits))


def choose_rows(rows: Sequence[Row], most: int, seed: int = 0) -> Rows:
    """Numbers of at most `most` rows, in order: as evenly from all kinds as there are pictures.

    Of a kind's groups each gives one picture before any gives a second.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(rows))
    taken_of_group: dict[tuple[str, str], int] = {}
    queues: dict[str, list[tuple[int, int]]] = {}
    for place, number in enumerate(order.tolist()):
        row = rows[number]
        kind = kind_of(row)
        group = (kind, row.group)
        turn = taken_of_group.get(group, 0)
        taken_of_group[group] = turn + 1
        queue = queues.setdefault(kind, [])
        queue.append((turn, place))
    ranked = []
    for queue in queues.values():
        for rank, (_, place) in enumerate(sorted(queue)):
            ranked.append((rank, place))
    places = [place for _, place in sorted(ranked)]
    chosen = order[places[:most]]
    return np.sort(chosen)


def kind_of(row: Row) -> str:
    """The kind of a picture, cut to the length that a reference holds."""
    return row.kind[:MOST_NAME]


def _take_part(images: ImageArray, numbers: Rows) -> ImageArray:
    rows = images.manifest.rows
    chosen = tuple(rows[number] for number in numbers.tolist())
    manifest = replace(images.manifest, rows=chosen)
    slots = images.slots[numbers]
    return replace(images, manifest=manifest, slots=slots)
