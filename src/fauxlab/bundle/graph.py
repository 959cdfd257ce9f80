"""What the graph of somebody else's model may hold, checked before onnxruntime reads it.

While onnxruntime loads a graph it computes what is constant in it, so a file of a kilobyte can take
gigabytes or minutes before the first picture. Some operators can do so later, for certain pictures
only. The checks here read how a file is divided into parts, and compute nothing:

- Operators are those of convolutional networks and vision transformers, in floats or integers.
  There are no loops, branches or functions, no random numbers, and no operators of other libraries.
- All data stand in the file.
- The shape of every value follows from the shape of the input, never from its pixels. So a graph
  takes the same memory and time for all pictures, and one trial (`fauxlab.bundle.trial`) shows how
  much.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from fauxlab.bundle.wire import Value, WireReader

# Vision transformers of 300 million weights have about 3,000 nodes.
MOST_NODES = 20_000
MOST_PARTS = 2**18
# Bytes of all that is no weight: names, attributes, metadata.
MOST_REST = 2**24

# Operators whose inputs behind the first say which shape their output gets.
_SHAPED_NAMES = """
    Expand Pad ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
    ReduceProd ReduceSum ReduceSumSquare Reshape Resize Slice Split Squeeze Tile TopK Unsqueeze
    Upsample
"""
# Operators all of whose inputs say so.
_MADE_OF_SHAPES = frozenset(("ConstantOfShape", "Range"))
# Operators whose outputs have the shape that the shapes of their inputs say.
_PLAIN_NAMES = """
    Abs Add And ArgMax ArgMin Attention AveragePool BatchNormalization Cast CastLike Ceil Celu
    Clip Concat Constant Conv ConvInteger Cos CumSum DepthToSpace DequantizeLinear Div Dropout
    DynamicQuantizeLinear Einsum Elu Equal Erf Exp EyeLike Flatten Floor Gather GatherElements
    GatherND Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual
    GroupNormalization HardSigmoid HardSwish Identity InstanceNormalization IsInf IsNaN LRN
    LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization LpPool MatMul
    MatMulInteger Max MaxPool Mean MeanVarianceNormalization Min Mish Mod Mul Neg Not Or PRelu
    Pow QLinearConv QLinearMatMul QuantizeLinear RMSNormalization Reciprocal Relu
    RotaryEmbedding Round ScatterElements ScatterND Selu Shape Sigmoid Sign Sin Size Softmax
    Softplus Softsign SpaceToDepth Sqrt Sub Sum Swish Tanh ThresholdedRelu Transpose Trilu
    Where Xor
"""
# What onnxruntime's own optimiser and its tools for 8-bit integers write.
_MICROSOFT_NAMES = """
    Attention BiasGelu DequantizeLinear DynamicQuantizeMatMul FastGelu FusedConv FusedGemm
    FusedMatMul Gelu LayerNormalization MatMulIntegerToFloat MultiHeadAttention NhwcMaxPool
    QAttention QGemm QLinearAdd QLinearAveragePool QLinearConcat QLinearConv
    QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul QLinearSigmoid QLinearSoftmax
    QLinearWhere QuantizeLinear QuickGelu SkipLayerNormalization
"""

_SHAPED = frozenset(_SHAPED_NAMES.split())
_STANDARD = _SHAPED | _MADE_OF_SHAPES | frozenset(_PLAIN_NAMES.split())
_MICROSOFT = frozenset(_MICROSOFT_NAMES.split())
ALLOWED = {"": _STANDARD, "ai.onnx": _STANDARD, "com.microsoft": _MICROSOFT}

# Numbers of fields, from https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
_MODEL_GRAPH, _MODEL_TRAINING, _MODEL_FUNCTIONS = 7, 20, 25
_GRAPH_NODE, _GRAPH_TENSOR, _GRAPH_INPUT, _GRAPH_SPARSE = 1, 5, 11, 15
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 2, 4, 5, 7
_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS = 5, 10
_ATTRIBUTE_GRAPHS = (6, 11)
_ATTRIBUTE_SPARSE = (22, 23)
_TENSOR_TYPE, _TENSOR_STRINGS, _TENSOR_NAME = 2, 6, 8
_TENSOR_OUTSIDE, _TENSOR_LOCATION = 13, 14
_INPUT_NAME = 1
_STRINGS = 8  # a tensor's type


class RefusedError(ValueError):
    """A graph that may be sound, but holds what only a trusted one may; the message says what."""


@dataclass
class _Node:
    """An operator with the names of its inputs and outputs."""

    operator: str = ""
    domain: str = ""
    inputs: list[bytes] = field(default_factory=list)
    outputs: list[bytes] = field(default_factory=list)


class _Parts(NamedTuple):
    """The parts of a graph that are checked."""

    nodes: list[_Node]
    constants: set[bytes]  # names of weights
    inputs: set[bytes]
    weight_bytes: int


def check_graph(content: bytes) -> None:
    """Raise RefusedError for a graph that may be used where it is trusted only.

    Raises ValueError for one that is damaged, or needs other files.
    """
    reader = WireReader(MOST_PARTS)
    parts = _Parts([], set(), set(), 0)
    for graph in _graphs(reader, memoryview(content)):
        parts = _read_graph(reader, graph, parts)
    rest = len(content) - parts.weight_bytes
    if rest > MOST_REST:
        raise RefusedError(f"it holds {rest:,} bytes beside its weights, at most {MOST_REST:,}")
    if not parts.nodes:
        raise ValueError("it is damaged or no ONNX file")
    for node in parts.nodes:
        _refuse_operator(node)
    _refuse_shapes_of_pixels(parts)


def _graphs(reader: WireReader, model: memoryview) -> Iterator[memoryview]:
    """The graph of a model. Its field may stand in several pieces, which readers put together."""
    for number, value in reader.fields(model):
        if number in (_MODEL_TRAINING, _MODEL_FUNCTIONS):
            raise RefusedError("it defines functions of its own")
        if number == _MODEL_GRAPH and isinstance(value, memoryview):
            yield value


def _read_graph(reader: WireReader, graph: memoryview, parts: _Parts) -> _Parts:
    """The parts, with those of one more piece of the graph."""
    nodes, constants, inputs, weight_bytes = parts
    for number, value in reader.fields(graph):
        if not isinstance(value, memoryview):
            continue
        if number == _GRAPH_SPARSE:
            raise RefusedError("it holds sparse weights")
        if number == _GRAPH_NODE:
            node, held = _read_node(reader, value)
            nodes.append(node)
            weight_bytes += held
        elif number == _GRAPH_TENSOR:
            constants.add(_read_tensor(reader, value))
            weight_bytes += len(value)
        elif number == _GRAPH_INPUT:
            inputs.update(bytes(name) for name in reader.parts(value, _INPUT_NAME))
        if len(nodes) > MOST_NODES:
            raise RefusedError(f"it has more than {MOST_NODES:,} nodes")
    return _Parts(nodes, constants, inputs, weight_bytes)


def _read_node(reader: WireReader, message: memoryview) -> tuple[_Node, int]:
    """A node, and how many bytes of constants it holds."""
    node = _Node()
    held = 0
    for number, value in reader.fields(message):
        if not isinstance(value, memoryview):
            continue
        if number == _NODE_INPUT:
            node.inputs.append(bytes(value))
        elif number == _NODE_OUTPUT:
            node.outputs.append(bytes(value))
        elif number == _NODE_OPERATOR:
            node.operator = _read_name(value)
        elif number == _NODE_DOMAIN:
            node.domain = _read_name(value)
        elif number == _NODE_ATTRIBUTE:
            held += _read_attribute(reader, value)
    return node, held


def _read_attribute(reader: WireReader, attribute: memoryview) -> int:
    """How many bytes of constants an attribute holds."""
    held = 0
    for number, value in reader.fields(attribute):
        if number in _ATTRIBUTE_GRAPHS:
            raise RefusedError("it holds loops or branches")
        if number in _ATTRIBUTE_SPARSE:
            raise RefusedError("it holds sparse weights")
        is_tensor = number in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS)
        if is_tensor and isinstance(value, memoryview):
            _read_tensor(reader, value)
            held += len(value)
    return held


def _read_tensor(reader: WireReader, tensor: memoryview) -> bytes:
    """The name of a constant, whose numbers must stand in the file."""
    name = b""
    for number, value in reader.fields(tensor):
        if number == _TENSOR_OUTSIDE or (number == _TENSOR_LOCATION and value):
            raise ValueError("it refers to other files")
        if number == _TENSOR_STRINGS or (number == _TENSOR_TYPE and value == _STRINGS):
            raise RefusedError("it holds texts among its weights")
        if number == _TENSOR_NAME and isinstance(value, memoryview):
            name = bytes(value)
    return name


def _read_name(value: Value) -> str:
    return bytes(value[:100]).decode("utf-8", "replace") if isinstance(value, memoryview) else ""


def _refuse_operator(node: _Node) -> None:
    allowed = ALLOWED.get(node.domain)
    if allowed is None:
        raise RefusedError(f"it needs the operators of {node.domain!r}, another library")
    if node.operator not in allowed:
        raise RefusedError(f"its operator {node.operator!r} is not among those that detectors need")


def _refuse_shapes_of_pixels(parts: _Parts) -> None:
    """Raise RefusedError where the shape of a value depends on the pixels of a picture.

    Follows through the graph which values depend on pixels. A value's shape does not: the operators
    that could make it do so are asked for inputs that depend on no pixel.
    """
    of_pixels = parts.inputs - parts.constants
    known = parts.inputs | parts.constants | {b""}  # an optional input that is left out has no name
    for node in parts.nodes:
        if not known.issuperset(node.inputs):
            raise ValueError("its nodes are not sorted")
        if not of_pixels.isdisjoint(_shape_inputs(node)):
            raise RefusedError(f"the shape of its {node.operator} depends on the pixels")
        if node.operator not in ("Shape", "Size") and not of_pixels.isdisjoint(node.inputs):
            of_pixels.update(node.outputs)
        known.update(node.outputs)


def _shape_inputs(node: _Node) -> list[bytes]:
    """The inputs of a node that say which shape its output gets."""
    if node.operator in _MADE_OF_SHAPES:
        return node.inputs
    if node.operator in _SHAPED:
        return node.inputs[1:]
    return []
