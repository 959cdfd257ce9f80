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
from PIL import Image

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
from fauxlab.bundle.graph import RefusedError, check_graph
from fauxlab.bundle.heads import HeadWeights
from fauxlab.bundle.inputs import to_floats
from fauxlab.bundle.sessions import make_session, thread_count
from fauxlab.bundle.tower_session import BLOCKS, EMBEDDING, GRID, SIZE, TOKENS, Tokens, Tower
from fauxlab.bundle.tower_store import LARGE_MODEL, TOWER_SHA256, read_tower
from fauxlab.bundle.tower_weights import (
    MOST_BYTES,
    WIDTH,
    TowerWeights,
    check_weights,
    read_weights,
    write_weights,
)
from fauxlab.errors import LabError
from fauxlab.io.images import to_picture, to_pixels
from fauxlab.io.reading import read_bytes
from fauxlab.io.text import describe_error, printable

if TYPE_CHECKING:
    import onnxruntime
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Picture = NDArray[np.uint8]

ARCHITECTURE = "clip-vit-b16"
TOWER_OPTION = "tower"  # of the config: the SHA-256 of the tower's file
TOWER_FEATURES = len(BLOCKS) * 2 * WIDTH + EMBEDDING
MOST_GRAPH = 2**26  # bytes of the texture network

_INPUT = "images"
_OUTPUTS = ("distance", "features")


class _Part(NamedTuple):
    """What a prediction holds of one picture."""

    logit: np.float32
    activation_map: Floats  # [14, 14]
    head_logits: Floats  # [H]
    features: Floats  # [D]


@dataclass(frozen=True)
class Texture:
    """A small detector's graph, of which only the features and the distance are used."""

    session: onnxruntime.InferenceSession
    most: int | None = None  # pictures at once

    @property
    def size(self) -> int:
        """Side of its pictures in pixels."""
        return int(self.session.get_inputs()[0].shape[2])

    def describe(self, pixels: Picture) -> tuple[Floats, Floats]:
        """Distances [N] and features [N, D] of pictures uint8 [N, 3, H, W]."""
        most = self.most or max(1, len(pixels))
        parts = []
        for start in range(0, len(pixels), most):
            resized = [_resize(picture, self.size) for picture in pixels[start : start + most]]
            floats = to_floats(np.stack(resized))
            parts.append(self.session.run(list(_OUTPUTS), {_INPUT: floats}))
        distances, features = zip(*parts, strict=True)
        return np.concatenate(distances), np.concatenate(features)


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
            np.stack(logits), np.stack(maps), distances, np.stack(head_logits), np.stack(features)
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
        changed = replace(
            self, weights=self.weights._replace(heads=heads), config=config, hash="", folder=None
        )
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
                _start_texture(graph, trust),
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
    for number, block in enumerate(tokens.blocks):
        of_mean, of_deviation = weights[2 * number * WIDTH :][: 2 * WIDTH].reshape(2, WIDTH)
        deviation = block.std(0)
        centred = block - block.mean(0)
        # A feature that is the same everywhere has no part.
        per_square = np.divide(
            of_deviation, deviation, out=np.zeros_like(deviation), where=deviation > 0
        )
        parts = block @ of_mean + np.square(centred) @ per_square
        patches += parts[1:] / TOKENS
    rest = logit - patches.sum()
    activation_map: Floats = (patches + rest / len(patches)).reshape(GRID, GRID)
    return activation_map


def _resize(picture: Picture, size: int) -> Picture:
    """A square picture uint8 [3, H, W] at another size, as pictures are brought to a model's."""
    resized = to_picture(picture).resize((size, size), Image.Resampling.BICUBIC)
    return to_pixels(resized)


def _read_checked(path: Path, content: bytes) -> TowerWeights:
    try:
        return read_weights(content)
    except ValueError as error:
        raise LabError(
            f"{printable(path)} cannot be used ({describe_error(error)}); fetch or make it again"
        ) from None


def _start_texture(graph: bytes, trust: bool) -> Texture:
    """The texture network; raises what is wrong with it."""
    if trust:
        return _check_texture(Texture(make_session(graph)))
    # Not imported for the packaged detector.
    from fauxlab.bundle.trial import pictures_at_once, try_graph

    check_graph(graph)
    try_graph(graph, SIZE)
    texture = _check_texture(Texture(make_session(graph)))
    if texture.size != SIZE:
        try_graph(graph, texture.size)
    return replace(texture, most=pictures_at_once(texture.size))


def _check_texture(texture: Texture) -> Texture:
    inputs = {item.name: (item.type, item.shape) for item in texture.session.get_inputs()}
    kind, shape = inputs.get(_INPUT, ("", []))
    is_square = len(shape) == 4 and shape[1] == 3 and shape[2] == shape[3]
    is_known = is_square and isinstance(shape[2], int) and 16 <= shape[2] <= 1024
    if len(inputs) != 1 or kind != "tensor(float)" or not is_known:
        raise ValueError(f"its texture network takes {inputs}, expected {_INPUT}: [N, 3, S, S]")
    names = {output.name for output in texture.session.get_outputs()}
    if not names.issuperset(_OUTPUTS):
        raise ValueError(f"its texture network has no output {_OUTPUTS[1]}")
    return texture


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
