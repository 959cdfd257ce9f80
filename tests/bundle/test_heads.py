"""Heads of an exported graph: read, and replaced by others, against sums by hand in NumPy."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from fauxlab.bundle.heads import NAMES, HeadWeights, read_heads, replace_heads
from fauxlab.bundle.wire import write_bytes_field, write_varint_field
from fauxlab.models import create_detector
from fauxlab.models.export import quantise, trace_graph

OUTPUTS = ["logits", "evidence", "heads", "features"]
SIZE = 32
Floats = NDArray[np.float32]


def make_heads(count: int, features: int = 16) -> HeadWeights:
    rng = np.random.default_rng(count)
    weight = rng.normal(size=(count, features)).astype(np.float32)
    bias, centre = rng.normal(size=(2, count)).astype(np.float32)
    scale = rng.uniform(0.5, 2, count).astype(np.float32)
    return HeadWeights(weight, bias, centre, scale)


def pictures() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (4, 3, SIZE, SIZE), dtype=np.uint8)


def predict(graph: bytes) -> list[Floats]:
    session = onnxruntime.InferenceSession(graph)
    floats = pictures().astype(np.float32) / 127.5 - 1
    return list(session.run(OUTPUTS, {"images": floats}))


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return create_detector("trace", SIZE, heads=2, widths=[8, 16], blocks=[1, 1], stem=8).eval()


@pytest.fixture(scope="module")
def graph(network: torch.nn.Module) -> bytes:
    return trace_graph(network, SIZE)


def test_the_heads_of_a_graph_are_those_of_the_network(
    network: torch.nn.Module, graph: bytes
) -> None:
    state = network.state_dict()
    for name, array in zip(NAMES, read_heads(graph), strict=True):
        np.testing.assert_array_equal(array, state[name].numpy())


def test_equal_constants_stay_apart() -> None:
    """The exporter makes one constant of two that are equal."""
    alike = create_detector("trace", SIZE, heads=2, widths=[8, 16], blocks=[1, 1], stem=8).eval()
    with torch.no_grad():
        alike.head.linear.bias.zero_()  # type: ignore[union-attr, operator]
    assert read_heads(trace_graph(alike, SIZE)).bias.tolist() == [0, 0]
    assert alike.head.join.scale.tolist() == [1, 1], "the network itself stays"  # type: ignore[union-attr, operator]


def test_each_constant_is_used_as_it_stands(graph: bytes) -> None:
    model = onnx.load_model_from_string(graph)
    users = {name: [] for name in NAMES}  # type: dict[str, list[str]]
    for node in model.graph.node:
        for name in node.input:
            if name in users:
                users[name].append(node.op_type)
    assert sorted(users["head.linear.weight"]) == ["Gemm", "MatMul"]
    assert users["head.linear.bias"] == ["Gemm"]
    assert users["head.join.centre"] == ["Sub"]
    assert users["head.join.scale"] == ["Div", "Div"]
    sizes = [onnx.numpy_helper.to_array(item).size for item in model.graph.initializer]
    assert sizes.count(2 * 16) == 1, "no copy of the weights in another form"


@pytest.mark.parametrize("count", [2, 3, 7])
@pytest.mark.parametrize("integers", [False, True], ids=["floats", "integers"])
def test_other_heads_give_what_numpy_gives(graph: bytes, count: int, integers: bool) -> None:
    if integers:
        graph = quantise(graph, pictures())
    heads = make_heads(count)
    changed = replace_heads(graph, heads)
    onnx.checker.check_model(onnx.load_model_from_string(changed))
    logits, evidence, head_logits, features = predict(changed)
    *_, same_features = predict(graph)
    np.testing.assert_array_equal(features, same_features)

    alike = (features @ heads.weight.T + heads.bias - heads.centre) / heads.scale
    joined = np.log(np.exp(alike.astype(np.float64)).sum(1))
    np.testing.assert_allclose(head_logits, alike, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(logits, joined, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(evidence.sum((1, 2)), logits, rtol=1e-4, atol=1e-4)
    for written, read in zip(heads, read_heads(changed), strict=True):
        np.testing.assert_array_equal(written, read)


def test_the_same_heads_change_nothing(graph: bytes) -> None:
    again = replace_heads(graph, read_heads(graph))
    for one, other in zip(predict(graph), predict(again), strict=True):
        np.testing.assert_array_equal(one, other)
    assert replace_heads(again, read_heads(again)) == again


def test_a_large_logit_stays_finite(graph: bytes) -> None:
    heads = make_heads(3)
    far = heads._replace(bias=np.array([500, -500, 499], dtype=np.float32))
    logits, *_ = predict(replace_heads(graph, far))
    assert np.isfinite(logits).all()
    assert (logits > 200).all()


WRONG = {
    "another width": (make_heads(2, 15), "15 features do not fit a graph of 16"),
    "one head": (make_heads(1), "1 heads, expected 2 to 64"),
    "too many": (make_heads(65), "65 heads, expected 2 to 64"),
    "other counts": (make_heads(3)._replace(bias=make_heads(2).bias), "with the shapes"),
    "no table": (make_heads(3)._replace(weight=make_heads(3).bias), "with the shapes"),
    "not finite": (make_heads(2)._replace(bias=np.full(2, np.nan, np.float32)), "not finite"),
    "no scale": (make_heads(2)._replace(scale=np.zeros(2, np.float32)), "not above 0"),
}


@pytest.mark.parametrize("name", WRONG)
def test_heads_that_do_not_fit(graph: bytes, name: str) -> None:
    heads, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        replace_heads(graph, heads)


def edited(graph: bytes, **fields: object) -> bytes:
    """The graph with another constant of the weights."""
    model = onnx.load_model_from_string(graph)
    item = next(item for item in model.graph.initializer if item.name == NAMES[0])
    for name, value in fields.items():
        if isinstance(value, list):
            item.ClearField(name)  # type: ignore[arg-type]
            getattr(item, name).extend(value)
        else:
            setattr(item, name, value)
    return bytes(model.SerializeToString())


def doubled(graph: bytes) -> bytes:
    model = onnx.load_model_from_string(graph)
    item = next(item for item in model.graph.initializer if item.name == NAMES[0])
    model.graph.initializer.append(item)
    return bytes(model.SerializeToString())


def test_numbers_in_another_field_are_read(graph: bytes) -> None:
    weight = read_heads(graph).weight
    listed = edited(graph, raw_data=b"", float_data=weight.flatten().tolist())
    np.testing.assert_array_equal(read_heads(listed).weight, weight)


def test_hostile_graphs_are_one_line(graph: bytes) -> None:
    huge = write_varint_field(1, 2**62) * 2
    tensor = huge + write_varint_field(2, 1) + write_bytes_field(8, NAMES[0].encode())
    cases = {
        b"": "no head.linear.weight",
        b"I am a model": "damaged",
        graph[:-100]: "damaged",
        edited(graph, data_type=onnx.TensorProto.DOUBLE): "32-bit floats",
        edited(graph, dims=[2, 17]): "32-bit floats",
        edited(graph, dims=[2, 4, 4]): "32-bit floats",
        edited(graph, dims=[-2, 16]): "32-bit floats",
        edited(graph, data_location=onnx.TensorProto.EXTERNAL): "other files",
        edited(graph, name="weight"): "no head.linear.weight",
        doubled(graph): "head.linear.weight twice",
        write_bytes_field(7, write_bytes_field(5, tensor)): "32-bit floats",
        write_bytes_field(7, write_varint_field(1, 1) * 2**18): "more than 262,144 parts",
    }
    for content, message in cases.items():
        with pytest.raises(ValueError, match=message) as caught:
            read_heads(content)
        assert "\n" not in str(caught.value)
        with pytest.raises(ValueError, match=message):
            replace_heads(content, make_heads(2))


def test_any_cut_or_changed_byte_is_read_or_refused(graph: bytes) -> None:
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(graph), 300).tolist():
        changed = bytearray(graph)
        changed[place] ^= int(rng.integers(1, 256))
        for content in (bytes(changed), graph[:place]):
            try:
                heads = read_heads(content)
            except ValueError:
                continue
            assert heads.weight.shape == (2, 16)


def test_a_graph_of_one_head_has_none_to_replace() -> None:
    one = create_detector("trace", SIZE, widths=[8, 16], blocks=[1, 1], stem=8)
    with pytest.raises(ValueError, match="no export of several heads"):
        read_heads(trace_graph(one, SIZE))
