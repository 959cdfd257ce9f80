"""The small network for texture beside the large detector's tower."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fauxlab.bundle.graph import check_graph
from fauxlab.bundle.inputs import to_floats
from fauxlab.bundle.sessions import make_session
from fauxlab.bundle.tower_session import SIZE
from fauxlab.io.images import to_picture, to_pixels

if TYPE_CHECKING:
    import onnxruntime
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Picture = NDArray[np.uint8]

_INPUT = "images"
_OUTPUTS = ("distance", "features")


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
            stop = start + most
            resized = [_resize(picture, self.size) for picture in pixels[start:stop]]
            floats = to_floats(np.stack(resized))
            outputs = self.session.run(_OUTPUTS, {_INPUT: floats})
            parts.append(outputs)
        distances, features = zip(*parts, strict=True)
        return np.concatenate(distances), np.concatenate(features)


def start_texture(graph: bytes, trust: bool) -> Texture:
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


def _resize(picture: Picture, size: int) -> Picture:
    """A square picture uint8 [3, H, W] at another size, as pictures are brought to a model's."""
    resized = to_picture(picture).resize((size, size), Image.Resampling.BICUBIC)
    return to_pixels(resized)
