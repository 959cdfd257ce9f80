"""A detector that can be checked by hand: its features are the mean colours of four quarters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fauxlab.bundle.config import Calibration, DetectorConfig, Head, OperatingPoint, Preprocessing
from fauxlab.bundle.decision import compute_scores
from fauxlab.bundle.detector import Prediction
from fauxlab.bundle.folder import GRAPH, write_bundle
from fauxlab.bundle.heads import HeadWeights
from fauxlab.data.cache import ImageArray
from fauxlab.data.manifest import Manifest
from fauxlab.data.rows import Row
from fauxlab.io.images import PIPELINE_VERSION, to_picture

SIDE = 32
Pixels = NDArray[np.uint8]
# Places of features: quarter · 3 + colour. A generator makes one colour of one quarter brighter.
PLACES = {"red": 0, "blue": 11, "green": 4}


@dataclass(frozen=True)
class Quarters:
    """A detector of two or more heads, which is its own bundle."""

    config: DetectorConfig
    heads: HeadWeights
    hash: str = "abc"
    folder: Path | None = None

    @property
    def size(self) -> int:
        return SIDE

    def predict(self, pixels: Pixels) -> Prediction:
        half = SIDE // 2
        parts = pixels.reshape(len(pixels), 3, 2, half, 2, half).mean((3, 5), dtype=np.float64)
        features = (parts.transpose(0, 2, 3, 1).reshape(len(pixels), 12) - 128) / 16
        raw = features @ self.heads.weight.T + self.heads.bias
        alike = (raw - self.heads.centre) / self.heads.scale
        logits = np.logaddexp.reduce(alike, 1)
        outputs = (logits, logits[:, None, None], np.zeros(len(pixels)), alike, features)
        return Prediction(*[output.astype(np.float32) for output in outputs])

    def scores(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        return compute_scores(self.config, logits)

    def read_heads(self) -> HeadWeights:
        return self.heads

    def with_heads(self, heads: HeadWeights, config: DetectorConfig) -> Quarters:
        return Quarters(config, heads, "changed")

    def save_pretrained(self, folder: str | Path, further: Mapping[str, bytes]) -> Quarters:
        digest = write_bundle(Path(folder), self.config, GRAPH, b"a graph", further)
        return replace(self, hash=digest, folder=Path(folder))


def make_quarters() -> Quarters:
    """A detector that knows the generators "red" (made) and "blue" (altered)."""
    weight = np.zeros((2, 12), dtype=np.float32)
    weight[0, PLACES["red"]] = 2
    weight[1, PLACES["blue"]] = 2
    zeros, ones = np.zeros(2, dtype=np.float32), np.ones(2, dtype=np.float32)
    fit = Calibration(
        temperature=1,
        bias=0,
        false_alarm_rate=0.05,
        alpha=0.1,
        low=0.5,
        high=0.9,
        points=(OperatingPoint(rate=0.02, threshold=0.8, low=0.5, high=0.9),),
    )
    config = DetectorConfig(
        architecture="trace",
        preprocessing=Preprocessing(size=SIDE, pipeline_version=PIPELINE_VERSION),
        heads=(
            Head(name="made", manipulation="made"),
            Head(name="altered", manipulation="altered"),
        ),
        calibration=fit,
        threshold=0.75,
    )
    return Quarters(config, HeadWeights(weight, zeros, zeros, ones))


def paint(n: int, seed: int, bright: str = "", by: float = 60) -> Pixels:
    """Pictures uint8 [n, 3, 32, 32] of blocks; of a generator, with its quarter brighter."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(70, 150, (n, 3, 8, 8))
    pixels = np.kron(blocks, np.ones((4, 4))).astype(np.float64)
    if bright:
        quarter, colour = divmod(PLACES[bright], 3)
        top, left = quarter // 2 * 16, quarter % 2 * 16
        pixels[:, colour, top : top + 16, left : left + 16] += by
    return pixels.clip(0, 255).astype(np.uint8)


def make_images(per_kind: int = 120) -> ImageArray:
    """Real photos of two sources and fakes of two generators, each a group of its own."""
    rows = []
    pixels = []
    for seed, kind in enumerate(("here", "there", "red", "blue")):
        is_fake = kind in PLACES
        for number in range(per_kind):
            row = Row(
                path=f"{kind}/{number}.png",
                label=int(is_fake),
                generator=kind if is_fake else "",
                source="" if is_fake else kind,
                compare_to="",
                group=f"person {kind} {number}",
                split="calibration",
                sha256="0" * 64,
            )
            rows.append(row)
        pixels.append(paint(per_kind, seed, kind if is_fake else ""))
    count = len(rows)
    return ImageArray(Manifest(tuple(rows), Path()), SIDE, np.concatenate(pixels), np.arange(count))


def save_pictures(folder: Path, pixels: Pixels) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pixels):
        to_picture(picture).save(folder / f"{number:03}.png")
    return folder
