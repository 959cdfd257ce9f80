"""Limits of a detector: how unusual and how blurred a picture may be before it cannot tell.

How unusual: the Mahalanobis distance of the network's early features (Lee et al., 2018) from those
of the calibration split, real and fake faces together. Each picture is fitted once as it is and
once degraded, so that a recompressed face is not out of distribution (OOD). The limit is an order
statistic of distances, each under a fit that had not seen the picture's group. It says that a
picture is unlike those of the split, and not why; a face can be unusual, too.

How blurred: a blurred face is no outlier, since degraded pictures are part of the fit. But blur
removes the finest structure, where generators leave their traces, and a smooth real face then looks
generated. So a picture must also have a least sharpness.

How tinted: a detector that has learned no toned pictures takes sepia for a trace of a generator.
`fit_tint` finds a limit for these.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fauxlab.calibration.counts import SLACK
from fauxlab.errors import LabError
from fauxlab.io.sharpness import measure_sharpness
from fauxlab.io.tint import measure_tint
from fauxlab.models.batches import apply_network, device_of, row_batches
from fauxlab.transforms.degradations import degrade_repeatably
from fauxlab.transforms.protocol import degrade

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from fauxlab.bundle.config import DetectorConfig
    from fauxlab.bundle.onnx import OnnxDetector
    from fauxlab.bundle.tower import TowerDetector
    from fauxlab.data.cache import ImageArray
    from fauxlab.models.pretrained import Detector

    AnyBundle = Detector | OnnxDetector | TowerDetector
    Floats = NDArray[np.float64]
    Pixels = NDArray[np.uint8]
    Degrade = Callable[[Pixels], Pixels]

RATE = 0.01  # of pictures like the fitted ones that lie beyond the limit, at most
FOLDS = 5
BATCH = 128
# The least spread of a feature, as a share of the mean spread: a channel that was hardly ever
# active must not decide alone.
LEAST_SPREAD = 0.01
# A picture must be sharper than 95 % of the training faces shrunk to a quarter of their size.
BLURRED = ("resize", 0.25)
REFUSED = 0.95
# Of the sharpness of whole pictures: new ones may be a little less sharp than the fitted ones.
MARGIN = 0.85
TINY = 1e-12


class Gaussian(NamedTuple):
    """A mean [C] and a root [C, C] of the inverse covariance, as `OodDistance` takes them."""

    mean: Floats
    root: Floats

    def distances(self, features: Floats) -> Floats:
        """Distances [N] of features [N, C]."""
        centred = features - self.mean
        whitened = centred @ self.root
        squares = (whitened**2).mean(1)
        return np.sqrt(squares)


def fit_ood(
    detector: Detector,
    images: ImageArray,
    change: Degrade | None = None,
    rate: float = RATE,
    progress: Callable[[int], None] | None = None,
    refuse_tinted: bool = False,
) -> Detector:
    """A copy of the detector whose network measures OOD distances and whose config has the limits.

    `change` takes a picture uint8 [3, size, size] and returns it degraded, by default as
    `degrade_repeatably` does. At most `rate` of new pictures like `images`, as they are or
    degraded, lie beyond the limit. Where there are too few groups to promise that, the limit is the
    largest distance, and the config has the rate that it can promise. `progress` is called with the
    number of images just measured. `refuse_tinted` sets a limit for pictures in nearly one colour,
    too, for networks that have learned none. Raises LabError when the network measures no
    distances, and for fewer than two groups.
    """
    if not measures_ood(detector):
        raise LabError(
            f"the network {detector.config.architecture} keeps no distances; train trace or "
            "inception"
        )
    features = ood_features(detector, images, change or degrade_repeatably, progress)
    if not np.isfinite(features).all():
        raise LabError("the model gives no finite features for some pictures; train it again")
    limit, promised = fit_limit(features, _groups_twice(images), rate)
    gaussian = fit_gaussian(features)
    network = _with_gaussian(detector.model, gaussian)
    config = _with_limits(detector.config, images, limit, promised, refuse_tinted)
    return type(detector)(network, config)


def refit_limits(
    detector: OnnxDetector | TowerDetector,
    images: ImageArray,
    change: Degrade | None = None,
    rate: float = RATE,
    progress: Callable[[int], None] | None = None,
    refuse_tinted: bool = False,
) -> OnnxDetector | TowerDetector:
    """A copy of an exported detector with limits for these images; arguments as of `fit_ood`.

    Its graph goes on measuring distances from the faces that it was exported with. Only the limit
    of the distance and the least sharpness are fitted anew.
    """
    change = change or degrade_repeatably
    plain = []
    degraded = []
    for rows in row_batches(len(images), BATCH, progress):
        pixels = images.take(rows)
        changed = np.stack([change(picture) for picture in pixels])
        of_plain = detector.predict(pixels)
        of_degraded = detector.predict(changed)
        plain.append(of_plain.ood_distances)
        degraded.append(of_degraded.ood_distances)
    distances = np.concatenate([*plain, *degraded]).astype(np.float64)
    limit, promised = limit_of_distances(distances, _groups_twice(images), rate)
    config = _with_limits(detector.config, images, limit, promised, refuse_tinted)
    return replace(detector, config=config, hash="")


def fit_sharpness(images: ImageArray) -> float:
    """The least sharpness of a face: above that of 95 % of the faces shrunk to a quarter.

    The limit stays so low that at most 1 % of the pictures as they are fall below it, also if they
    are a little less sharp than these.
    """
    whole = []
    blurred = []
    for rows in row_batches(len(images), BATCH):
        for picture in images.take(rows):
            shrunk = degrade(picture, *BLURRED)
            whole.append(measure_sharpness(picture))
            blurred.append(measure_sharpness(shrunk))
    wanted = np.quantile(blurred, REFUSED)
    most = MARGIN * np.quantile(whole, RATE)
    return float(min(wanted, most))


def limit_tint(detector: AnyBundle, images: ImageArray) -> AnyBundle:
    """A copy of the detector with a limit of tint for these images; its other limits stay."""
    fields = detector.config.model_dump(exclude={"schema_version"})
    fields["ood"] |= {"tint": fit_tint(images)}
    config = type(detector.config).model_validate(fields)
    return replace(detector, config=config, hash="")


def fit_tint(images: ImageArray) -> float:
    """The tint that at most 1 % of these pictures pass, as they are."""
    tints = []
    for rows in row_batches(len(images), BATCH):
        for picture in images.take(rows):
            tints.append(measure_tint(picture))
    return float(np.quantile(tints, 1 - RATE))


def measures_ood(detector: Detector) -> bool:
    """Whether the network has the module `OodDistance`, which is fitted here."""
    return hasattr(detector.model, "typicality")


def ood_features(
    detector: Detector,
    images: ImageArray,
    change: Degrade,
    progress: Callable[[int], None] | None = None,
) -> Floats:
    """The network's features [2 N, C] of all images as they are, then of all degraded."""
    import torch

    from fauxlab.models.inputs import to_input

    device = device_of(detector.model)

    def describe(images: Tensor) -> Tensor:
        return detector.model.describe(to_input(images))  # type: ignore[operator]

    plain = []
    degraded = []
    for rows in row_batches(len(images), BATCH, progress):
        pixels = images.take(rows)
        changed = np.stack([change(picture) for picture in pixels])
        plain_pixels = torch.from_numpy(pixels)
        degraded_pixels = torch.from_numpy(changed)
        plain.append(apply_network(describe, plain_pixels, device))
        degraded.append(apply_network(describe, degraded_pixels, device))
    features = np.concatenate([*plain, *degraded])
    return features.astype(np.float64)


def fit_gaussian(features: Floats) -> Gaussian:
    """Mean and root of the inverse covariance of features [N, C].

    Scaled so that the squared distances of the features average 1. The covariance is shrunk by
    Ledoit and Wolf's (2004) estimate, which has no parameter to choose and works with few pictures.
    """
    # Standardise, so that all channels count alike.
    mean = features.mean(0)
    centred = features - mean
    spread = features.std(0)
    least_spread = LEAST_SPREAD * spread.mean()
    spread = np.maximum(spread, least_spread) + TINY
    covariance = _shrunk_covariance(centred / spread)

    # Whiten by the eigenvectors of the covariance, on the scale of the features.
    values, vectors = np.linalg.eigh(covariance)
    variances = np.maximum(values, TINY)
    deviations = np.sqrt(variances)
    root = vectors / deviations / spread[:, None]

    whitened = centred @ root
    mean_square = np.mean(whitened**2)
    scale = np.sqrt(mean_square) or 1.0
    return Gaussian(mean, root / scale)


def fit_limit(
    features: Floats, groups: NDArray[np.str_], rate: float = RATE
) -> tuple[float, float]:
    """The least limit that at most `rate` of new groups' pictures pass, and the promised rate.

    The groups are divided into FOLDS parts; the distances of a part come from a fit on the others.
    Then as `limit_of_distances`, which also raises LabError.
    """
    _check_groups(groups, rate)
    _, codes = np.unique(groups, return_inverse=True)
    distances = _held_out_distances(features, codes)
    return limit_of_distances(distances, groups, rate)


def limit_of_distances(
    distances: Floats, groups: NDArray[np.str_], rate: float = RATE
) -> tuple[float, float]:
    """The least limit that at most `rate` of new groups' pictures pass, and the promised rate.

    From distances [N] under a fit that has not seen these pictures. The pictures of a group share
    one vote. Of n groups at most rate · (n + 1) - 1 may lie beyond; where that is below 0, none
    does, and 1 / (n + 1) is promised. Raises LabError for fewer than two groups.
    """
    _check_groups(groups, rate)
    names, codes = np.unique(groups, return_inverse=True)
    n_groups = len(names)

    # From the largest distance down: the last one that leaves few enough votes beyond it.
    order = np.argsort(-distances, kind="stable")
    falling = distances[order]
    group_sizes = np.bincount(codes)
    sizes = group_sizes[codes]
    votes = 1 / sizes[order]
    votes_beyond = np.cumsum(votes) - votes
    allowed = max(rate * (n_groups + 1) - 1, 0.0)
    n_allowed = np.searchsorted(votes_beyond, allowed + SLACK, side="right")
    limit = falling[n_allowed - 1]
    promised = max(rate, 1 / (n_groups + 1))
    return float(limit), promised


def _check_groups(groups: NDArray[np.str_], rate: float) -> None:
    if len(np.unique(groups)) < 2:
        raise LabError(
            "one group of pictures does not say what is in distribution; index more, with a "
            "calibration split"
        )
    if not 0 < rate < 1:
        raise LabError(f"rate {rate}: give a share between 0 and 1, as {RATE}")


def _groups_twice(images: ImageArray) -> NDArray[np.str_]:
    """The groups [2 N] of pictures and then of their degraded copies, which are the same."""
    groups = images.manifest.groups
    return np.concatenate([groups, groups])


def _held_out_distances(features: Floats, codes: NDArray[np.int64]) -> Floats:
    """Distances [N] under fits that have not seen the picture's group, as for a new picture.

    `codes` [N] number the groups from 0.
    """
    n_groups = len(np.unique(codes))
    rng = np.random.default_rng(0)
    fold_of_group = rng.permutation(n_groups) % FOLDS
    folds = fold_of_group[codes]
    distances = np.zeros(len(features))
    for fold in np.unique(folds):
        held_out = folds == fold
        fitted_on = features[~held_out]
        measured = features[held_out]
        gaussian = fit_gaussian(fitted_on)
        distances[held_out] = gaussian.distances(measured)
    return distances


def _shrunk_covariance(z: Floats) -> Floats:
    """Ledoit and Wolf's covariance [C, C] of centred features z [N, C]: shrunk to a sphere."""
    n, channels = z.shape
    sample = z.T @ z / n
    variance = np.trace(sample) / channels
    sphere = variance * np.eye(channels)
    difference = sample - sphere
    gap = np.sum(difference**2)
    # The error of the sample covariance, estimated from the pictures.
    squared_norms = np.sum(z**2, 1)
    fourth_moments = np.sum(squared_norms**2) / n
    error = (fourth_moments - np.sum(sample**2)) / n
    shrinkage = 1.0
    if gap > 0:
        shrinkage = float(np.clip(error / gap, 0, 1))
    return (1 - shrinkage) * sample + shrinkage * sphere


def _with_gaussian(network: nn.Module, gaussian: Gaussian) -> nn.Module:
    """A copy of the network that measures distances from this fit."""
    import torch

    network = copy.deepcopy(network)
    distance: nn.Module = network.typicality  # type: ignore[assignment]
    mean = distance.get_buffer("mean")
    root = distance.get_buffer("root")
    mean.copy_(torch.from_numpy(gaussian.mean))
    root.copy_(torch.from_numpy(gaussian.root))
    return network


def _with_limits(
    config: DetectorConfig,
    images: ImageArray,
    limit: float,
    rate: float,
    refuse_tinted: bool,
) -> DetectorConfig:
    limits = {
        "limit": limit,
        "rate": rate,
        "n": len(images),
        "sharpness": fit_sharpness(images),
        "tint": fit_tint(images) if refuse_tinted else None,
    }
    # Made anew, not copied with changes, so that it is checked as a bundle is on loading.
    fields = config.model_dump(exclude={"schema_version"})
    return type(config).model_validate({**fields, "ood": limits})
