"""A detector that can be checked by hand: the brighter a picture, the more it looks fake."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from fauxlab.bundle.config import DetectorConfig, Preprocessing
from fauxlab.bundle.decision import compute_scores
from fauxlab.bundle.detector import Prediction
from fauxlab.io.images import PIPELINE_VERSION


@dataclass
class Brightness:
    """The logit of a picture is its mean brightness less 128, in steps of 16."""

    config: DetectorConfig
    hash: str = "abc"
    size: int = 32
    signs: tuple[float, ...] = ()  # what the logit is multiplied by, for each head
    seen: list[int] = field(default_factory=list)  # pictures in each call

    def predict(self, pixels: NDArray[np.uint8]) -> Prediction:
        self.seen.append(len(pixels))
        means = pixels.mean(axis=(1, 2, 3), dtype=np.float64)
        logits = ((means - 128) / 16).astype(np.float32)
        maps = logits[:, None, None]
        head_logits = np.outer(logits, np.asarray(self.signs)).astype(np.float32)
        return Prediction(logits, maps, np.zeros_like(logits), head_logits, logits[:, None])

    def scores(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        return compute_scores(self.config, logits)


@pytest.fixture
def brightness() -> Brightness:
    preprocessing = Preprocessing(size=32, pipeline_version=PIPELINE_VERSION)
    return Brightness(DetectorConfig(architecture="report-cnn", preprocessing=preprocessing))
