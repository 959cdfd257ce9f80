"""What a detector was made for: how far a picture may be from that, how blurred it may be, before
it cannot tell.

The distance is Mahalanobis' in the network's early features (Lee et al., 2018, without their
classes: real and fake faces are both typical). It is fitted on the calibration split, each picture
once as it is and once degraded, so that a recompressed face is no odd picture. The limit is an
order statistic of distances under fits that had not seen the picture's group. It says that a
picture is unlike those of the split, and not why; a face can be, too.

Blur is asked for apart: it is within what the degraded pictures are like, and yet what a generator
leaves in the finest detail is gone with it, and a smooth real face passes for a generated one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fauxlab.errors import LabError
from fauxlab.io.sharpness import measure_sharpness
from fauxlab.transforms.degradations import degrade, degrade_repeatably

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from fauxlab.data.cache import ImageArray
    from fauxlab.models.pretrained import Detector

    Floats = NDArray[np.float64]
    Degrade = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]

RATE = 0.01  # most pictures like the fitted that are refused
FOLDS = 5
BATCH = 128
# least spread of a feature, of the mean spread: a channel that hardly ever fired must not decide
# alone
RARE = 0.01
# What is as blurred as faces at a quarter of the size is not judged: all of those but a twentieth.
BLURRED, MISSED = ("resize", 0.25), 0.05
# of the least detail of whole pictures: others, not fitted on, may have a little less
MARGIN = 0.85
SLACK = 1e-9  # 0.05 · 100 is 5, whatever binary fractions make of it


class Gaussian(NamedTuple):
    """A mean [C] and a root [C, C] of the inverse covariance, as `Typicality` takes them."""

    mean: Floats
    root: Floats

    def distances(self, features: Floats) -> Floats:
        """Distances [N] of features [N, C]."""
        return np.sqrt((((features - self.mean) @ self.root) ** 2).mean(1))


def fit_ood(
    detector: Detector,
    images: ImageArray,
    change: Degrade | None = None,
    rate: float = RATE,
    progress: Callable[[int], None] | None = None,
) -> Detector:
    """The detector with a network that knows its distances and a config that knows their limit;
    both are copies.

    `change` takes a picture uint8 [3, size, size] and gives it degraded, by default as
    `degrade_repeatably` does. At most `rate` of new pictures like `images`, as they are or
    degraded, lie beyond the limit; where there are too few groups to promise that, the limit is the
    largest distance there was, and the config says the rate that this can promise. `progress` is
    called with the number of images just described. Raises LabError when the network keeps no
    distances and for fewer than two groups.
    """
    from fauxlab.bundle.config import DetectorConfig

    if not measures_ood(detector):
        raise LabError(
            f"the network {detector.config.architecture} keeps no distances; train trace or inception"
        )
    groups = np.array([row.group for row in images.manifest.rows])
    features = ood_features(detector, images, change or degrade_repeatably, progress)
    if not np.isfinite(features).all():
        raise LabError("the model gives no finite features for some pictures; train it again")
    limit, promised = fit_limit(features, np.concatenate([groups, groups]), rate)
    ood = {
        "limit": limit,
        "rate": promised,
        "n": len(images),
        "sharpness": fit_sharpness(images),
    }
    config = {**detector.config.model_dump(exclude={"schema_version"}), "ood": ood}
    return type(detector)(
        _with(detector, fit_gaussian(features)), DetectorConfig.model_validate(config)
    )


def fit_sharpness(images: ImageArray) -> float:
    """The least detail of a face that can be judged: what all but 5 % of the faces fall below at a
    quarter of the size.

    Never so much that more than 1 % of the pictures, or of others nearly as sharp, lack it as they
    are.
    """
    whole, blurred = [], []
    for start in range(0, len(images), BATCH):
        for pixels in images.take(np.arange(start, min(start + BATCH, len(images)))):
            whole.append(measure_sharpness(pixels))
            blurred.append(measure_sharpness(degrade(pixels, *BLURRED)))
    return float(min(np.quantile(blurred, 1 - MISSED), MARGIN * np.quantile(whole, RATE)))


def measures_ood(detector: Detector) -> bool:
    """Whether the network has a place for what is fitted here."""
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

    network = detector.model
    device = next(network.parameters()).device
    plain: list[Floats] = []
    changed: list[Floats] = []
    for start in range(0, len(images), BATCH):
        pixels = images.take(np.arange(start, min(start + BATCH, len(images))))
        for found, part in (
            (plain, pixels),
            (changed, np.stack([change(picture) for picture in pixels])),
        ):
            with torch.inference_mode():
                features = network.describe(to_input(torch.from_numpy(part).to(device)))  # type: ignore[operator]
            found.append(features.double().cpu().numpy())
        if progress:
            progress(len(pixels))
    return np.concatenate([*plain, *changed])


def fit_gaussian(features: Floats) -> Gaussian:
    """Mean and root of the inverse covariance of features [N, C], scaled so that their squared
    distances average 1.

    The covariance of the standardised features is shrunk towards the identity by Ledoit and Wolf's
    (2004) estimate, which needs no choice and leaves few pictures with what they can say.
    """
    mean = features.mean(0)
    spread = features.std(0)
    spread = np.maximum(spread, RARE * spread.mean()) + 1e-12
    z = (features - mean) / spread
    n, channels = z.shape
    sample = z.T @ z / n
    level = np.trace(sample) / channels
    target = level * np.eye(channels)
    apart = np.sum((sample - target) ** 2)
    noise = (np.sum(np.sum(z**2, 1) ** 2) / n - np.sum(sample**2)) / n
    share = float(np.clip(noise / apart, 0, 1)) if apart > 0 else 1.0
    values, vectors = np.linalg.eigh((1 - share) * sample + share * target)
    root = vectors / np.sqrt(np.maximum(values, 1e-12)) / spread[:, None]
    scale = np.sqrt(np.mean(((features - mean) @ root) ** 2))
    return Gaussian(mean, root / (scale or 1.0))


def fit_limit(
    features: Floats, groups: NDArray[np.str_], rate: float = RATE
) -> tuple[float, float]:
    """The least limit that at most `rate` of new groups' pictures pass, and the rate that is
    promised.

    Each of FOLDS parts of the groups is measured by a fit on the others; the pictures of a group
    share one vote. Of n groups at most rate · (n + 1) - 1 may lie beyond; where that is below 0,
    none does, and 1 / (n + 1) is promised. Raises LabError for fewer than two groups.
    """
    names, codes = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise LabError(
            "one group of pictures does not say what is typical; index more, with a calibration split"
        )
    if not 0 < rate < 1:
        raise LabError(f"rate {rate}: give a share between 0 and 1, as {RATE}")
    folds = (np.random.default_rng(0).permutation(len(names)) % FOLDS)[codes]
    distances = np.zeros(len(features))
    for fold in np.unique(folds):
        away = folds == fold
        distances[away] = fit_gaussian(features[~away]).distances(features[away])
    order = np.argsort(-distances, kind="stable")
    votes = (1 / np.bincount(codes)[codes])[order]
    # votes before each picture: what lies beyond, were it the limit
    beyond = np.cumsum(votes) - votes
    allowed = max(rate * (len(names) + 1) - 1, 0.0)
    limit = distances[order][np.searchsorted(beyond, allowed + SLACK, side="right") - 1]
    return float(limit), max(rate, 1 / (len(names) + 1))


def _with(detector: Detector, fit: Gaussian) -> nn.Module:
    """A copy of the detector's network that has the fit."""
    import torch

    network = copy.deepcopy(detector.model)
    for name, values in fit._asdict().items():
        buffer = getattr(network.typicality, name)
        buffer.copy_(torch.from_numpy(values))
    return network
