"""Graphs of foreign models: what may stand in them, and a trial that cannot harm this process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from fauxlab.bundle import trial
from fauxlab.bundle.graph import MOST_NODES, RefusedError, check_graph
from fauxlab.bundle.opening import PACKAGED
from fauxlab.bundle.sessions import make_session
from fauxlab.bundle.trial import budget_of, pictures_at_once, try_graph

SIZE = 32
WORDS = {"cnd": True, "axes": [0], "zero": 0, "one": [1], "four": [2, 2, 2, 2], "size": [4, 4]}


def constant(name: str, value: Any) -> TensorProto:
    return numpy_helper.from_array(np.asarray(value), name)


def model(
    nodes: Sequence[onnx.NodeProto],
    change: Callable[[onnx.ModelProto], object] | None = None,
    constants: dict[str, Any] | None = None,
    **options: Any,
) -> bytes:
    """A graph that makes `out` of `images`, with some constants to use."""
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, SIZE, SIZE])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    values = [constant(name, value) for name, value in {**WORDS, **(constants or {})}.items()]
    graph = helper.make_graph(nodes, "g", [images], [out], values)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=8, **options)
    if change:
        change(made)
    return bytes(made.SerializeToString())


def node(operator: str, *inputs: str, out: str = "out", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, inputs, [out], **attributes)


def run_checked(content: bytes, size: int) -> NDArray[np.float32]:
    """The first output on two grey pictures, of a graph that passed the checks."""
    check_graph(content)
    try_graph(content, size)
    pictures = np.zeros((2, 3, size, size), np.float32)
    first, *_ = make_session(content, threads=1).run(None, {"images": pictures})
    return np.asarray(first)


def identity(change: Callable[[onnx.ModelProto], object]) -> bytes:
    return model([node("Identity", "images")], change)


def branch(name: str) -> onnx.GraphProto:
    value = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
    return helper.make_graph([node("Identity", "images", out=name)], name, [], [value])


def point_outside(made: onnx.ModelProto) -> None:
    tensor = made.graph.initializer.add(name="w", data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def point_outside_in_a_constant(made: onnx.ModelProto) -> None:
    tensor = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
    tensor.external_data.add(key="location", value="/etc/passwd")
    made.graph.node.append(helper.make_node("Constant", [], ["w"], value=tensor))


def make_sparse(made: onnx.ModelProto) -> None:
    made.graph.sparse_initializer.add(dims=[2**40])


def add_texts(made: onnx.ModelProto) -> None:
    made.graph.initializer.append(helper.make_tensor("w", TensorProto.STRING, [1], [b"a"]))


def add_metadata(made: onnx.ModelProto) -> None:
    helper.set_model_props(made, {"note": "x" * 2**24})


FUNCTION = helper.make_function(
    "own",
    "F",
    ["a"],
    ["b"],
    [helper.make_node("Relu", ["a"], ["b"])],
    [helper.make_opsetid("", 17)],
)
SUM = node("ReduceSum", "images", out="sum", keepdims=0)
COUNT = node("Cast", "sum", out="count", to=TensorProto.INT64)
COUNTS = node("Reshape", "count", "one", out="counts")
FORBIDDEN: dict[str, tuple[bytes, str]] = {
    "random numbers": (model([node("RandomUniform", shape=[9])]), "operator 'RandomUniform'"),
    "places of zeros": (model([node("NonZero", "images")]), "operator 'NonZero'"),
    "another library": (
        model([node("Relu", "images", domain="evil")]),
        "operators of 'evil'",
    ),
    "a foreign domain's name for a standard operator": (
        model([node("Relu", "images", domain="com.microsoft")]),
        "operator 'Relu'",
    ),
    "a branch": (
        model([node("Identity", "images", then_branch=branch("a"), else_branch=branch("b"))]),
        "loops or branches",
    ),
    "a function": (model([node("Relu", "images")], functions=[FUNCTION]), "functions of its own"),
    "sparse weights": (identity(make_sparse), "sparse weights"),
    "texts": (identity(add_texts), "texts among its weights"),
    "metadata": (identity(add_metadata), "beside its weights"),
    "nodes": (
        model([node("Relu", "images", out=f"{n}") for n in range(MOST_NODES + 1)]),
        "more than 20,000 nodes",
    ),
    "a size that the pixels tell": (
        model([SUM, COUNT, COUNTS, node("ConstantOfShape", "counts")]),
        "shape of its ConstantOfShape depends on the pixels",
    ),
    "copies that the pixels tell": (
        model([SUM, COUNT, COUNTS, node("Tile", "one", "counts")]),
        "shape of its Tile depends on the pixels",
    ),
    "a range that the pixels tell": (
        model([SUM, node("Range", "zero", "sum", "zero")]),
        "shape of its Range depends on the pixels",
    ),
    "a slice whose shape is then asked for": (
        model([SUM, COUNT, COUNTS, node("Slice", "images", "one", "counts")]),
        "shape of its Slice depends on the pixels",
    ),
}
DAMAGED: dict[str, tuple[bytes, str]] = {
    "weights outside": (identity(point_outside), "refers to other files"),
    "a constant outside": (identity(point_outside_in_a_constant), "refers to other files"),
    "a circle": (
        model([node("Add", "images", "b", out="a"), node("Identity", "a", out="b")]),
        "not sorted",
    ),
    "nothing": (b"", "no ONNX file"),
    "no nodes": (model([]), "no ONNX file"),
    "text": (b"I am a model", "no ONNX file"),
    "a length beyond the end": (b"\x3a\xff\xff\xff\x7f", "no ONNX file"),
    "a number without an end": (b"\x08" + b"\xff" * 20, "no ONNX file"),
    "a group": (b"\x0b\x0c", "no ONNX file"),
    "half a million fields": (b"\x08\x01" * 500_000, "more than 262,144 parts"),
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_only_a_trusted_graph_may_hold(name: str) -> None:
    content, message = FORBIDDEN[name]
    with pytest.raises(RefusedError, match=message):
        check_graph(content)


@pytest.mark.parametrize("name", DAMAGED)
def test_what_no_graph_may_hold(name: str) -> None:
    content, message = DAMAGED[name]
    with pytest.raises(ValueError, match=message) as caught:
        check_graph(content)
    assert not isinstance(caught.value, RefusedError)


def test_a_graph_in_two_pieces_is_checked_whole() -> None:
    """Readers put pieces of one field together, so a second piece can add nodes to the first."""
    good = model([node("Identity", "images")])
    with pytest.raises(RefusedError, match="NonZero"):
        check_graph(good + model([node("NonZero", "images")]))


def test_shapes_may_follow_from_the_shape_of_the_input() -> None:
    shape = node("Shape", "images", out="shape")
    many = node("Expand", "one", "shape", out="ones")
    cast = node("Cast", "ones", out="floats", to=TensorProto.FLOAT)
    content = model([shape, many, cast, node("Mul", "images", "floats")])
    assert run_checked(content, SIZE).shape == (2, 3, SIZE, SIZE)


def test_the_packaged_graph_passes_as_a_foreign_one() -> None:
    content = (PACKAGED / "model.onnx").read_bytes()
    assert np.isfinite(run_checked(content, 160)).all()


def test_a_quantised_transformer_block_passes() -> None:
    weight = np.ones((3, 3), dtype=np.float32)
    nodes = [
        node("DynamicQuantizeLinear", "images", out="q"),
        node("Transpose", "images", out="t", perm=[0, 2, 3, 1]),
        node("MatMul", "t", "w", out="m"),
        node("LayerNormalization", "m", "w1", out="n"),
        node("Softmax", "n", out="s"),
        node("Gelu", "s", out="g", domain="com.microsoft"),
        node("Erf", "g"),
    ]
    nodes[0].output.extend(["scale", "zero_point"])
    content = model(nodes, constants={"w": weight, "w1": weight[0]})
    assert run_checked(content, SIZE).shape == (2, SIZE, SIZE, 3)


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        ([node("ConstantOfShape", "s", out="out")], {"s": [1, 1, 60_000, 60_000]}),
        ([node("Pad", "images", "s")], {"s": [0, 0, 9000, 9000, 0, 0, 9000, 9000]}),
        ([node("Resize", "images", "", "s")], {"s": np.float32([1, 1, 300, 300])}),
        ([node("Conv", "images", "w")], {"w": np.ones((2**16, 3, 1, 1), dtype=np.float32)}),
    ],
    ids=["a constant", "a border", "an enlargement", "channels"],
)
def test_a_graph_that_takes_gigabytes_is_refused(
    nodes: list[onnx.NodeProto], constants: dict[str, Any]
) -> None:
    content = model(nodes, constants=constants)
    check_graph(content)
    with pytest.raises(RefusedError, match="MiB for 256 pictures of 32 pixels"):
        try_graph(content, SIZE)


def test_a_graph_that_takes_minutes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "SECONDS", 0.2)
    square = node("ConstantOfShape", "s", out="0")
    products = [node("MatMul", f"{n}", f"{n}", out=f"{n + 1}") for n in range(40)]
    content = model([square, *products, node("Identity", "40")], constants={"s": [4000, 4000]})
    with pytest.raises(RefusedError, match="seconds for 256 pictures"):
        try_graph(content, SIZE)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("frozen", True, "no Python interpreter"), ("platform", "win32", "needs Linux")],
)
def test_where_no_trial_can_be_made(
    monkeypatch: pytest.MonkeyPatch, name: str, value: object, message: str
) -> None:
    monkeypatch.setattr(sys, name, value, raising=False)
    with pytest.raises(RefusedError, match=message):
        try_graph(b"", SIZE)


def test_what_onnxruntime_refuses_is_no_matter_of_trust() -> None:
    with pytest.raises(ValueError, match="ONNXRuntimeError") as caught:
        try_graph(model([node("Relu", "images", "images")]), SIZE)
    assert not isinstance(caught.value, RefusedError)


@pytest.mark.parametrize(("size", "pictures"), [(16, 1024), (160, 10), (224, 5), (1024, 1)])
def test_budget(size: int, pictures: int) -> None:
    budget = budget_of(2**20, size)
    assert (budget.pictures, pictures_at_once(size)) == (pictures, pictures)
    pixels = max(2**18, pictures * size**2)
    assert budget.memory == 2**28 + 2**10 * pixels + 4 * 2**20
