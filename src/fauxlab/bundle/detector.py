"""What all detectors have in common, whichever package runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from fauxlab.errors import LabError
from fauxlab.io.images import PIPELINE_VERSION, READABLE_PIPELINES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.bundle.config import DetectorConfig


class Prediction(NamedTuple):
    """What a detector makes of N pictures, in float32.

    `logits` [N] are above 0 where a picture looks fake. `activation_maps` [N, h, w] are class
    activation maps (Zhou et al., 2016): the head pools and is linear, so the cells of a map sum
    to the picture's logit. `ood_distances` [N] say how far a picture lies from those that the
    network was fitted to; 0 where it was not fitted.

    `head_logits` [N, H] are those of the detector's heads, on one scale, so that the largest says
    how a fake was made; H is 0 of a detector without heads. `features` [N, D] are what the heads
    are linear in; D is 0 of a graph that does not give them.
    """

    logits: NDArray[np.float32]
    activation_maps: NDArray[np.float32]
    ood_distances: NDArray[np.float32]
    head_logits: NDArray[np.float32]
    features: NDArray[np.float32]


class AnyDetector(Protocol):
    """A detector with its config, whichever package runs it."""

    @property
    def config(self) -> DetectorConfig:
        """The `config.json` of its folder."""

    @property
    def hash(self) -> str:
        """Hash of weights and config, 16 hexadecimal digits."""

    @property
    def size(self) -> int:
        """Side of the input images in pixels."""

    def predict(self, pixels: NDArray[np.uint8]) -> Prediction:
        """What the detector makes of pictures uint8 [N, 3, size, size] RGB."""

    def scores(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """P(fake) [N] from logits [N]."""


def predict_in_parts(
    predict: Callable[[NDArray[np.uint8]], Prediction], pixels: NDArray[np.uint8], most: int | None
) -> Prediction:
    """What `predict` makes of pictures [N, 3, size, size], at most `most` of them at once."""
    if most is None or len(pixels) <= most:
        return predict(pixels)
    parts = [predict(pixels[start : start + most]) for start in range(0, len(pixels), most)]
    outputs = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
    return Prediction(*outputs)


def check_head_count(config: DetectorConfig, count: int) -> None:
    """Raise ValueError where a network does not have as many heads as its config names."""
    named = len(config.heads)
    if count != named:
        raise ValueError(f"it has {count} heads, its config names {named}")


def check_pipeline(detector: AnyDetector) -> None:
    """Raise LabError where the detector learned from pictures that were prepared in another way."""
    version = detector.config.preprocessing.pipeline_version
    if version not in READABLE_PIPELINES:
        raise LabError(
            f"the model learned from pictures prepared in version {version}, "
            f"this fauxlab prepares them in version {PIPELINE_VERSION}; "
            "train it again, or use the fauxlab that trained it"
        )
