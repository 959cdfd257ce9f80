"""The weights of a graph stored in 16 bits: half the size on disk, computed with in 32 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fauxlab.bundle.heads import NAMES as HEAD_NAMES

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

SMALLEST = 1024  # numbers in a constant; smaller ones save nothing


def halve_weights(content: bytes) -> bytes:
    """The graph with its large constants in float16, and a cast to float32 behind each.

    onnxruntime makes the casts once, while it loads the graph. Heads stay as they are, because they
    can be replaced, and so do constants with numbers that float16 cannot hold.
    """
    import onnx

    model = onnx.load_model_from_string(content)
    casts = []
    for tensor in model.graph.initializer:
        halved = _halve(tensor)
        if halved is None:
            continue
        name = tensor.name
        stored = f"{name}.float16"
        tensor.CopyFrom(onnx.numpy_helper.from_array(halved, stored))
        casts.append(onnx.helper.make_node("Cast", [stored], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return bytes(model.SerializeToString())


def _halve(tensor: onnx.TensorProto) -> NDArray[np.float16] | None:
    """A constant in float16; None where it stays as it is."""
    import onnx

    is_float = tensor.data_type == onnx.TensorProto.FLOAT
    if not is_float or tensor.name in HEAD_NAMES:
        return None
    numbers = onnx.numpy_helper.to_array(tensor)
    if numbers.size < SMALLEST:
        return None
    with np.errstate(over="ignore"):
        halved = numbers.astype(np.float16)
    return halved if np.isfinite(halved).all() else None
