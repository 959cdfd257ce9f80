"""The heads of an exported detector: read from its graph, and put into it, without torch or onnx.

A graph of several heads holds them as four constants, each once: `head.linear.weight` and
`head.linear.bias` make a logit of the features, `head.join.centre` and `head.join.scale` put the
logits on one scale. Nothing else in the graph depends on how many heads there are. So a head is
added by writing these four anew, and every other byte of the graph stays.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fauxlab.bundle.wire import WireReader, read_varints, write_bytes_field, write_varint_field

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

MOST_HEADS = 64
MOST_FEATURES = 2**20
MOST_PARTS = 2**18
# The names of the constants in a graph, in the order of `HeadWeights`. Part of the file format.
NAMES = ("head.linear.weight", "head.linear.bias", "head.join.centre", "head.join.scale")

# Numbers of fields, from https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
_MODEL_GRAPH = 7
_GRAPH_TENSOR, _GRAPH_SHAPES = 5, 13
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_FLOATS, _TENSOR_NAME, _TENSOR_RAW = 1, 2, 4, 8, 9
_TENSOR_OUTSIDE, _TENSOR_LOCATION = 13, 14
_FLOAT = 1  # a tensor's type


class HeadWeights(NamedTuple):
    """The weights of H heads on D features, float32.

    A head's logit is `weight @ features + bias`; on the common scale it is
    (logit - centre) / scale. The joined logit is the log-sum-exp of these.
    """

    weight: Floats  # [H, D]
    bias: Floats  # [H]
    centre: Floats  # [H]
    scale: Floats  # [H], above 0


def read_heads(content: bytes) -> HeadWeights:
    """The heads of a graph, given by the bytes of its `model.onnx`.

    Raises ValueError where the graph is damaged, or has no heads of this form.
    """
    reader = WireReader(MOST_PARTS)
    found: dict[str, Floats] = {}
    for graph in reader.parts(memoryview(content), _MODEL_GRAPH):
        for tensor in reader.parts(graph, _GRAPH_TENSOR):
            name = _read_name(reader, tensor)
            if name in found:
                raise ValueError(f"its graph has {name} twice")
            if name in NAMES:
                found[name] = _read_tensor(reader, tensor, name)
    missing = [name for name in NAMES if name not in found]
    if missing:
        raise ValueError(f"its graph has no {missing[0]}: it is no export of several heads")
    heads = HeadWeights(*[found[name] for name in NAMES])
    check_heads(heads)
    return heads


def replace_heads(content: bytes, heads: HeadWeights) -> bytes:
    """The graph with these heads in place of its own; their number may differ.

    Notes on shapes of values in between are left out, because they may tell the former number.
    Raises ValueError as `read_heads` does, and where the heads do not fit its features.
    """
    check_heads(heads)
    features = read_heads(content).weight.shape[1]
    if heads.weight.shape[1] != features:
        raise ValueError(
            f"heads of {heads.weight.shape[1]} features do not fit a graph of {features}"
        )
    reader = WireReader(MOST_PARTS)
    pieces: list[bytes | memoryview] = []
    for part in reader.split(memoryview(content)):
        if part.number == _MODEL_GRAPH and isinstance(part.value, memoryview):
            graph = _replace_tensors(reader, part.value, heads)
            pieces.append(write_bytes_field(_MODEL_GRAPH, graph))
        else:
            pieces.append(part.whole)
    return b"".join(pieces)


def check_heads(heads: HeadWeights) -> None:
    """Raise ValueError where heads do not fit each other, or hold numbers that cannot be used."""
    shapes = [array.shape for array in heads]
    count = len(heads.bias)
    is_one_form = heads.weight.ndim == 2 and shapes == [heads.weight.shape, *[(count,)] * 3]
    if not is_one_form or len(heads.weight) != count:
        raise ValueError(
            f"weights of heads with the shapes {shapes}, expected [H, D], [H], [H], [H]"
        )
    if not 1 < count <= MOST_HEADS:
        raise ValueError(f"{count} heads, expected 2 to {MOST_HEADS}")
    is_finite = all(np.isfinite(array).all() for array in heads)
    if not is_finite or not (heads.scale > 0).all():
        raise ValueError("weights of heads that are not finite, or a scale that is not above 0")


def _replace_tensors(reader: WireReader, graph: memoryview, heads: HeadWeights) -> bytes:
    """A graph's bytes with the constants of these heads."""
    new = dict(zip(NAMES, heads, strict=True))
    pieces: list[bytes | memoryview] = []
    for part in reader.split(graph):
        if part.number == _GRAPH_SHAPES:
            continue
        name = ""
        if part.number == _GRAPH_TENSOR and isinstance(part.value, memoryview):
            name = _read_name(reader, part.value)
        if name in new:
            tensor = _write_tensor(name, new[name])
            pieces.append(write_bytes_field(_GRAPH_TENSOR, tensor))
        else:
            pieces.append(part.whole)
    return b"".join(pieces)


def _read_name(reader: WireReader, tensor: memoryview) -> str:
    """The name of a constant, if it may be that of a head's."""
    longest = max(map(len, NAMES))
    name = ""
    for value in reader.parts(tensor, _TENSOR_NAME):
        name = bytes(value[: longest + 1]).decode("ascii", "replace")
    return name


def _read_tensor(reader: WireReader, tensor: memoryview, name: str) -> Floats:
    """The numbers of a constant, which must be 32-bit floats that stand in the file."""
    dims: list[int] = []
    kind = 0
    data = [b""]
    for number, value in reader.fields(tensor):
        if number == _TENSOR_OUTSIDE or (number == _TENSOR_LOCATION and value):
            raise ValueError("it refers to other files")
        if number == _TENSOR_DIMS:
            # Several numbers, or one at a time.
            dims += [value] if isinstance(value, int) else read_varints(value[:100])
        elif number == _TENSOR_TYPE and isinstance(value, int):
            kind = value
        elif number in (_TENSOR_RAW, _TENSOR_FLOATS) and isinstance(value, memoryview):
            data.append(bytes(value))
    floats = b"".join(data)
    count = math.prod(dims)
    is_small = len(dims) <= 2 and count <= MOST_HEADS * MOST_FEATURES
    if kind != _FLOAT or not is_small or len(floats) != 4 * count:
        raise ValueError(f"its {name} is no list or table of 32-bit floats")
    return np.frombuffer(floats, dtype="<f4").astype(np.float32).reshape(dims)


def _write_tensor(name: str, numbers: Floats) -> bytes:
    dims = [write_varint_field(_TENSOR_DIMS, count) for count in numbers.shape]
    data = np.ascontiguousarray(numbers, dtype="<f4").tobytes()
    return b"".join(
        (
            *dims,
            write_varint_field(_TENSOR_TYPE, _FLOAT),
            write_bytes_field(_TENSOR_NAME, name.encode()),
            write_bytes_field(_TENSOR_RAW, data),
        )
    )
