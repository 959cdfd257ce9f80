"""CLIP's image tower in onnxruntime: what its tokens are after some of its blocks.

The file is used as it is. Two things are added while it is loaded: the tokens behind four of its
blocks become outputs, and LayerNorms get other weights, where a detector has tuned them.

One picture is run at a time. The tower rounds its activations to 8 bits with one scale for all that
goes through it at once, so pictures that ran together would change each other's scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fauxlab.bundle.sessions import make_session
from fauxlab.bundle.wire import write_bytes_field, write_varint_field

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

SIZE = 224
GRID = 14  # patches a side
TOKENS = GRID**2 + 1  # the first stands for the whole picture
EMBEDDING = 512
# The blocks whose tokens are given, counted from 1.
BLOCKS = (4, 6, 8, 10)
INPUT = "pixel_values"
# Of the pictures that CLIP was trained on, of RGB in [0, 1].
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
DEVIATION = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)

_EMBEDDING_OUTPUT = "image_embeds"
_BLOCK_OUTPUTS = [f"/vision_model/encoder/layers.{block - 1}/Add_1_output_0" for block in BLOCKS]

# Numbers of fields, from https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
_MODEL_VERSION, _MODEL_GRAPH, _MODEL_OPERATORS = 1, 7, 8
_GRAPH_NODE, _GRAPH_NAME, _GRAPH_TENSOR, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 2, 5, 11, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR = 1, 2, 4
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_RAW = 1, 2, 8, 9
_VALUE_NAME, _VALUE_TYPE, _TYPE_TENSOR, _TENSOR_KIND = 1, 2, 1, 1
_OPERATORS_VERSION = 2
_FLOAT, _UINT8, _INT8, _INT32 = 1, 2, 3, 6  # types


class Tokens(NamedTuple):
    """What the tower makes of one picture."""

    blocks: list[Floats]  # [197, 768] behind each of BLOCKS
    embedding: Floats  # [512]


class Tower:
    """The tower, ready for pictures; `run` may be called by several threads at once."""

    def __init__(self, content: bytes, layer_norms: Mapping[str, Floats]) -> None:
        from onnxruntime import OrtValue

        # Kept: the session does not copy them.
        self._constants = {}
        for name, array in layer_norms.items():
            own = array.copy()
            self._constants[name] = OrtValue.ortvalue_from_numpy(own)
        # One thread a picture: threads that each run a picture of their own wait for nobody.
        self.session = make_session(
            with_block_outputs(content),
            threads=1,
            constants=self._constants,
            exact=not multiplies_exactly(),
        )

    def run(self, picture: NDArray[np.uint8]) -> Tokens:
        """The tokens of a picture uint8 [3, 224, 224] RGB."""
        batch = normalise(picture)[None]
        names = [_EMBEDDING_OUTPUT, *_BLOCK_OUTPUTS]
        embeddings, *blocks = self.session.run(names, {INPUT: batch})
        tokens = [block[0] for block in blocks]
        return Tokens(tokens, embeddings[0])


def normalise(picture: NDArray[np.uint8]) -> Floats:
    """Pixels uint8 [3, H, W] as CLIP takes them."""
    unit = picture.astype(np.float32) / np.float32(255)
    mean = MEAN[:, None, None]
    deviation = DEVIATION[:, None, None]
    normalised: Floats = (unit - mean) / deviation
    return normalised


def with_block_outputs(content: bytes) -> bytes:
    """The tower's file, with the tokens behind BLOCKS among its outputs.

    A message of protocol buffers that stands twice is read as one: what the second one holds is
    added. So the outputs are written behind the file, and no byte of it changes.
    """
    outputs = b"".join(_value(name, _FLOAT, _GRAPH_OUTPUT) for name in _BLOCK_OUTPUTS)
    return content + write_bytes_field(_MODEL_GRAPH, outputs)


@cache
def multiplies_exactly() -> bool:
    """Whether onnxruntime sums products of 8-bit integers without loss on this processor.

    x86 processors without VNNI add two such products in 16 bits and cut off what does not fit
    (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html). Weights of
    8 bits, as the tower has, then give features that mean nothing. So one product is tried.
    """
    rows, depth, columns = 8, 64, 32
    session = make_session(_product_graph(depth, columns), threads=1)
    left = np.full((rows, depth), 255, np.uint8)
    (product,) = session.run(None, {"left": left})
    return bool((product == 255 * 127 * depth).all())


def _product_graph(depth: int, columns: int) -> bytes:
    """A network of one product, of its input and the number 127 in a table."""
    right = np.full((depth, columns), 127, np.int8)
    node = (
        write_bytes_field(_NODE_INPUT, b"left")
        + write_bytes_field(_NODE_INPUT, b"right")
        + write_bytes_field(_NODE_OUTPUT, b"product")
        + write_bytes_field(_NODE_OPERATOR, b"MatMulInteger")
    )
    tensor = (
        write_varint_field(_TENSOR_DIMS, depth)
        + write_varint_field(_TENSOR_DIMS, columns)
        + write_varint_field(_TENSOR_TYPE, _INT8)
        + write_bytes_field(_TENSOR_NAME, b"right")
        + write_bytes_field(_TENSOR_RAW, right.tobytes())
    )
    graph = (
        write_bytes_field(_GRAPH_NODE, node)
        + write_bytes_field(_GRAPH_NAME, b"product")
        + write_bytes_field(_GRAPH_TENSOR, tensor)
        + _value("left", _UINT8, _GRAPH_INPUT)
        + _value("product", _INT32, _GRAPH_OUTPUT)
    )
    return (
        write_varint_field(_MODEL_VERSION, 7)
        + write_bytes_field(_MODEL_GRAPH, graph)
        + write_bytes_field(_MODEL_OPERATORS, write_varint_field(_OPERATORS_VERSION, 14))
    )


def _value(name: str, kind: int, place: int) -> bytes:
    """An input or output of a graph, of any shape."""
    tensor = write_bytes_field(_TYPE_TENSOR, write_varint_field(_TENSOR_KIND, kind))
    value = write_bytes_field(_VALUE_NAME, name.encode()) + write_bytes_field(_VALUE_TYPE, tensor)
    return write_bytes_field(place, value)
