"""The large detector: linear heads on CLIP's image tower, beside a small network for texture.

The features are, for four of the tower's blocks, the mean and the standard deviation over all
tokens, then CLIP's embedding, then the features of the texture network. The tower is not part of
the bundle (`fauxlab.bundle.tower_store`); its SHA-256 stands in the config.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fauxlab.bundle.config import DetectorConfig
from fauxlab.bundle.decision import compute_scores
from fauxlab.bundle.detector import Prediction, predict_in_parts
from fauxlab.bundle.folder import (
    GRAPH,
    HEADS,
    hash_bundle,
    read_config,
    read_reference_bytes,
    write_bundle,
)
from fauxlab.bundle.graph import RefusedError
from fauxlab.bundle.heads import HeadWeights
from fauxlab.bundle.sessions import thread_count
from fauxlab.bundle.tower_session import BLOCKS, EMBEDDING, GRID, SIZE, TOKENS, Tokens, Tower
from fauxlab.bundle.tower_store import LARGE_MODEL, TOWER_SHA256, read_tower
from fauxlab.bundle.tower_texture import Texture, start_texture
from fauxlab.bundle.tower_weights import (
    MOST_BYTES,
    WIDTH,
    TowerWeights,
    check_weights,
    read_weights,
    write_weights,
)
from fauxlab.errors import LabError
from fauxlab.io.reading import read_bytes
from fauxlab.io.text import describe_error, printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Picture = NDArray[np.uint8]

ARCHITECTURE = "clip-vit-b16"
TOWER_OPTION = "tower"  # of the config: the SHA-256 of the tower's file
TOWER_FEATURES = len(BLOCKS) * 2 * WIDTH + EMBEDDING
MOST_GRAPH = 2**26  # bytes of the texture network


class _Part(NamedTuple):
    """What a prediction holds of one picture."""

    logit: np.float32
    activation_map: Floats  # [14, 14]
    head_logits: Floats  # [H]
    features: Floats  # [D]


@dataclass(frozen=True)
class TowerDetector:
    """A large detector with all that is needed to use it, on the CPU.

    `hash` covers config, heads and texture network, and through the config the tower; it is empty
    of one that lies in no folder yet. `graph` holds the bytes of the texture network.
    """

    tower: Tower
    texture: Texture
    weights: TowerWeights
    config: DetectorConfig
    graph: bytes
    hash: str = ""
    folder: Path | None = None

    @property
    def size(self) -> int:
        """Side of the input images in pixels."""
        return SIZE

    def predict(self, pixels: Picture) -> Prediction:
        """Predict pictures uint8 [N, 3, 224, 224] RGB."""
        # Memory for the tokens of so many pictures at most, whatever N is.
        return predict_in_parts(self._predict, pixels, 64)

    def _predict(self, pixels: Picture) -> Prediction:
        distances, textures = self.texture.describe(pixels)
        with ThreadPoolExecutor(thread_count()) as pool:
            parts = list(pool.map(self._predict_one, pixels, textures))
        logits, maps, head_logits, features = zip(*parts, strict=True)
        return Prediction(
            np.stack(logits),
            np.stack(maps),
            distances,
            np.stack(head_logits),
            np.stack(features),
        )

    def _predict_one(self, picture: Picture, texture: Floats) -> _Part:
        tokens = self.tower.run(picture)
        features = np.concatenate([describe_tokens(tokens), texture])
        heads = self.weights.heads
        head_logits = heads.weight @ features + heads.bias
        alike = (head_logits - heads.centre) / heads.scale
        largest = alike.max()
        odds = np.exp(alike - largest)
        logit = largest + np.log(odds.sum())
        # A head's part in the map is as large as its part in the joined logit.
        shares = odds / odds.sum() / heads.scale
        activation_map = _map_of(tokens, shares @ heads.weight, logit)
        return _Part(logit, activation_map, alike, features)

    def scores(self, logits: Floats) -> NDArray[np.float64]:
        """P(fake) [N] from logits [N], by the config's calibration."""
        return compute_scores(self.config, logits)

    def read_heads(self) -> HeadWeights:
        """The weights of its heads."""
        return self.weights.heads

    def with_heads(self, heads: HeadWeights, config: DetectorConfig) -> TowerDetector:
        """The same tower and texture network with these heads; the hash comes with saving.

        Raises ValueError where the heads do not fit the features or the config.
        """
        weights = self.weights._replace(heads=heads)
        changed = replace(self, weights=weights, config=config, hash="", folder=None)
        check_weights(changed.weights)
        _check_detector(changed)
        return changed

    def save_pretrained(
        self, folder: str | Path, further: Mapping[str, bytes] | None = None
    ) -> TowerDetector:
        """Write the bundle over an older one; returns it with its hash.

        `further` are other files of a bundle, by name. Raises LabError where it cannot be written.
        """
        folder = Path(folder)
        parts = {HEADS: write_weights(self.weights)}
        parts |= {**read_reference_bytes(self.folder), **(further or {})}
        digest = write_bundle(folder, self.config, GRAPH, self.graph, parts)
        return replace(self, hash=digest, folder=folder)

    @classmethod
    def from_pretrained(cls, folder: str | Path, trust: bool = False) -> TowerDetector:
        """Read a bundle with a `heads.npz`.

        Its graph is checked and tried first, as that of an `OnnxDetector` is, unless `trust`.
        Raises LabError where the tower was not fetched, where a part is missing or damaged or does
        not fit the others, and where a check fails.
        """
        folder = Path(folder)
        config = read_config(folder, DetectorConfig, "detector", GRAPH)
        content = read_bytes(folder / HEADS, MOST_BYTES)
        graph = read_bytes(folder / GRAPH, MOST_GRAPH)
        weights = _read_checked(folder / HEADS, content)
        tower = read_tower()
        try:
            _check_config(config)
            detector = cls(
                Tower(tower, weights.layer_norms),
                start_texture(graph, trust),
                weights,
                config,
                graph,
                hash_bundle(folder, GRAPH),
                folder,
            )
            _check_detector(detector)
        except LabError:
            raise
        except Exception as error:  # onnxruntime's own errors have no narrower base
            advice = "fetch or make it again"
            if isinstance(error, RefusedError):
                advice = "scan --trust-model, in Python trust=True, opens it without these checks"
            raise LabError(
                f"{printable(folder)} cannot be used ({describe_error(error)}); {advice}"
            ) from None
        return detector


def save_tower_bundle(
    folder: Path, config: DetectorConfig, weights: TowerWeights, graph: bytes
) -> str:
    """Write the bundle of a large detector, whole or not at all; returns its hash.

    `graph` is the texture network. The tower need not be there, so heads are compared with the
    features only when the bundle is opened. Raises ValueError for weights that cannot be used,
    and LabError where the bundle cannot be written.
    """
    _check_config(config)
    return write_bundle(folder, config, GRAPH, graph, {HEADS: write_weights(weights)})


def describe_tokens(tokens: Tokens) -> Floats:
    """The tower's features [6656] of one picture."""
    parts = []
    for block in tokens.blocks:
        parts += [block.mean(0), block.std(0)]
    features: Floats = np.concatenate([*parts, tokens.embedding])
    return features


def _map_of(tokens: Tokens, weights: Floats, logit: np.float32) -> Floats:
    """Where a logit comes from, float32 [14, 14], which sums to it.

    A mean over tokens is a sum of the tokens' parts, and a standard deviation s is one, too: of
    (token - mean)² / (n · s). What the class token, embedding and texture say has no place, so
    every patch gets as much of it.
    """
    patches = np.zeros(TOKENS - 1, np.float32)
    of_blocks = weights[: TOWER_FEATURES - EMBEDDING].reshape(len(BLOCKS), 2, WIDTH)
    for number, block in enumerate(tokens.blocks):
        of_mean, of_deviation = of_blocks[number]
        deviation = block.std(0)
        centred = block - block.mean(0)
        # A feature that is the same everywhere has no part.
        per_square = np.zeros_like(deviation)
        np.divide(of_deviation, deviation, out=per_square, where=deviation > 0)
        from_mean = block @ of_mean
        from_deviation = np.square(centred) @ per_square
        parts = from_mean + from_deviation
        patches += parts[1:] / TOKENS
    rest = logit - patches.sum()
    patches += rest / len(patches)
    return patches.reshape(GRID, GRID)


def _read_checked(path: Path, content: bytes) -> TowerWeights:
    try:
        return read_weights(content)
    except ValueError as error:
        raise LabError(
            f"{printable(path)} cannot be used ({describe_error(error)}); fetch or make it again"
        ) from None


def _check_config(config: DetectorConfig) -> None:
    """Raise ValueError for a config of another detector, or one that needs another tower."""
    if config.architecture != ARCHITECTURE or config.preprocessing.size != SIZE:
        raise ValueError(f"its config is not that of {ARCHITECTURE} at {SIZE} pixels")
    tower = config.options.get(TOWER_OPTION)
    if tower != TOWER_SHA256:
        raise ValueError(f"it needs another tower than that of {LARGE_MODEL}, {TOWER_SHA256[:8]}")


def _check_detector(detector: TowerDetector) -> None:
    """Raise ValueError where a grey picture does not get finite numbers, or heads do not fit."""
    heads = detector.weights.heads
    named = len(detector.config.heads)
    if named != len(heads.bias):
        raise ValueError(f"it has {len(heads.bias)} heads, its config names {named}")
    grey = np.full((1, 3, SIZE, SIZE), 128, np.uint8)
    _, texture = detector.texture.describe(grey)
    wanted = TOWER_FEATURES + texture.shape[1]
    if heads.weight.shape[1] != wanted:
        raise ValueError(f"heads of {heads.weight.shape[1]} features, the networks give {wanted}")
    prediction = detector.predict(grey)
    if not all(np.isfinite(output).all() for output in prediction):
        raise ValueError("a grey picture gets no finite score")
