"""Real photos of kinds that a detector was trained without: what to expect of the next kind."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.bundle.detector import check_pipeline
from fauxlab.calibration.figures import Predictions
from fauxlab.calibration.kinds import Kinds
from fauxlab.calibration.points import to_scale
from fauxlab.errors import LabError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.bundle.onnx import OnnxDetector
    from fauxlab.bundle.tower import TowerDetector
    from fauxlab.data.manifest import Manifest
    from fauxlab.data.rows import Row
    from fauxlab.models.pretrained import Detector

    AnyBundle = Detector | OnnxDetector | TowerDetector
    Pixels = NDArray[np.uint8]
    Degrade = Callable[[Pixels], Pixels]
    Progress = Callable[[int], None]


def check_left_out(
    manifest: Manifest, left_out: Mapping[str, AnyBundle], detector: AnyBundle
) -> None:
    """Raise LabError where a source is not there, or a detector prepares pictures differently."""
    known = {row.source for row in manifest.calibration.rows if not row.label}
    for name, other in left_out.items():
        if name not in known:
            there = ", ".join(sorted(known))
            raise LabError(
                f"no real photos of {name!r} in the calibration split; there are {there}"
            )
        check_pipeline(other)
        if other.size != detector.size:
            raise LabError(
                f"the detector without {name!r} takes pictures of {other.size} pixels, this one of "
                f"{detector.size}: give detectors of the same recipe"
            )
    for other, names in _by_detector(left_out):
        if known <= set(names):
            raise LabError(
                f"the detector {other.config.architecture} is given for every source of reals; "
                "to compare two detectors, some sources must be known to both"
            )


def score_left_out(
    left_out: Mapping[str, AnyBundle],
    manifest: Manifest,
    ours: Kinds,
    degrade: Degrade | None,
    progress: Progress | None,
) -> Kinds:
    """The logits of reals by detectors trained without their source, on the scale of ours.

    `ours` are the reals of the calibration split by the detector that is calibrated. Pictures that
    get "cannot tell" are left out.
    """
    from fauxlab.data.cache import load_images

    parts = []
    for detector, names in _by_detector(left_out):
        wanted = _reals_for(manifest, names)
        images = load_images(wanted, detector.size)
        predicted = Predictions.of(detector, images, degrade, progress)
        told = predicted.told(detector.config)
        is_out = np.isin(predicted.names, names)
        told_unseen = told & is_out
        told_known = told & ~is_out
        if not told_unseen.any() or not told_known.any():
            continue
        unseen = predicted.kinds(told_unseen)
        theirs = predicted.kinds(told_known)
        ours_too = _without_all(ours, names)
        part = to_scale(unseen, theirs, ours_too)
        parts.append(part)
    if not parts:
        raise LabError("no photo of the sources left out gets a verdict")
    return Kinds.joined(parts)


def _reals_for(manifest: Manifest, names: Collection[str]) -> Manifest:
    """The reals of the calibration split, and all of the sources left out but the test split."""

    def is_wanted(row: Row) -> bool:
        if row.label:
            return False
        if row.source in names:
            return row.split != "test"
        return row.split == "calibration"

    return manifest.where(is_wanted)


def _by_detector(left_out: Mapping[str, AnyBundle]) -> list[tuple[AnyBundle, list[str]]]:
    """Each detector once, with the sources that it was trained without."""
    names: dict[int, list[str]] = {}
    detectors: dict[int, AnyBundle] = {}
    for name, detector in left_out.items():
        detectors[id(detector)] = detector
        names.setdefault(id(detector), []).append(name)
    return [(detectors[key], own) for key, own in names.items()]


def _without_all(kinds: Kinds, names: Collection[str]) -> Kinds:
    """The kinds without several."""
    is_kept = np.array([name not in names for name in kinds.names])
    rows = is_kept[kinds.codes]
    return kinds.where(rows)
