"""From a detector to a bundle with an ONNX graph: traced, compared with torch, in 8-bit integers
where asked.
"""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fauxlab.bundle.folder import GRAPH, WEIGHTS, check_place, write_bundle
from fauxlab.bundle.inputs import to_floats
from fauxlab.bundle.onnx import INPUT, OUTPUTS, OnnxDetector, constants, start_graph
from fauxlab.errors import LabError

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray
    from torch import nn

    from fauxlab.models.pretrained import Detector

OPSET = 17
TOLERANCE = 1e-4  # between torch and onnxruntime, of the largest number or of 1
BATCH = 16  # pictures at once while scales are found
# What is worth 8 bits: all between the first convolution and the head.
INTEGER = ["Add", "AveragePool", "Concat", "Conv", "LeakyRelu", "MaxPool", "Relu"]


def export_onnx(
    detector: Detector, folder: str | Path, pictures: NDArray[np.uint8] | None = None
) -> OnnxDetector:
    """Write a bundle with a `model.onnx` in place of weights for torch, replacing an older one of
    that kind.

    The graph takes `images`, float32 [N, 3, size, size] in [-1, 1], and gives logits [N], evidence
    [N, h, w] and distance [N]; `constants` are its metadata. With `pictures`, uint8 [M, 3, size,
    size] like those that it will judge, its convolutions count in 8-bit integers, scaled by what
    these pictures bring about. Raises LabError where the folder holds something else, or where the
    graph does not give what torch gives, in single precision.
    """
    folder = Path(folder)
    check_place(folder)
    if (folder / WEIGHTS).exists():
        raise LabError(f"{folder} is there and is no exported model; name another folder")
    training = {**detector.config.training, "exported_from": detector.hash}
    config = detector.config.model_copy(update={"training": training})
    content = trace_graph(detector.model, detector.size)
    _compare(detector, start_graph(content, config))
    if pictures is not None:
        content = quantise(content, pictures)
        config = config.model_copy(update={"precision": "int8"})
    content = describe_graph(content, {**constants(config), "source": detector.hash})
    return replace(start_graph(content, config), hash=write_bundle(folder, config, GRAPH, content))


def _compare(detector: Detector, graph: OnnxDetector) -> None:
    shape = (3, 3, detector.size, detector.size)
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for pixels in (noise, np.full(shape, 128, dtype=np.uint8)):
        for name, here, there in zip(
            OUTPUTS, detector.predict(pixels), graph.predict(pixels), strict=True
        ):
            apart = float(np.abs(here - there).max())
            if not apart <= TOLERANCE * max(1.0, float(np.abs(here).max())):
                raise LabError(
                    f"the exported graph's {name} lie {apart:.2g} from torch's; nothing was written"
                )


def trace_graph(model: nn.Module, size: int) -> bytes:
    """The graph of a detector's `judge`, for any number of pictures, batch normalisation folded
    into convolutions.
    """
    import torch

    names = [INPUT, *OUTPUTS]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), torch.no_grad():
        # The older exporter: its graphs are as good, it is twenty times as fast and needs no
        # further package.
        warnings.simplefilter("ignore")
        path = Path(folder) / "graph.onnx"
        torch.onnx.export(
            _judging(_plain(model)),
            (torch.zeros(2, 3, size, size),),
            path,
            input_names=names[:1],
            output_names=names[1:],
            dynamic_axes={name: {0: "N"} for name in names},
            opset_version=OPSET,
            dynamo=False,
        )
        return path.read_bytes()


def _plain(model: nn.Module) -> nn.Module:
    """A copy on the CPU whose weights are what spectral normalisation makes of them.

    Not by `remove_parametrizations`: it takes the weight from the class, which a copy shares with
    its original.
    """
    from torch import nn
    from torch.nn.utils import parametrize

    network = copy.deepcopy(model).cpu().eval()
    for module in list(network.modules()):
        if parametrize.is_parametrized(module):
            names = list(module.parametrizations)  # type: ignore[arg-type]
            values = {name: getattr(module, name).detach() for name in names}
            module.__class__ = parametrize.type_before_parametrizations(module)
            del module.parametrizations
            for name, value in values.items():
                module.register_parameter(name, nn.Parameter(value))
    return network


def _judging(network: nn.Module) -> nn.Module:
    from torch import Tensor, nn

    class Judging(nn.Module):
        """The exporter goes by `forward`."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: Tensor) -> tuple[Tensor, ...]:
            return tuple(self.network.predict(images))  # type: ignore[operator]

    return Judging().eval()


def describe_graph(content: bytes, constants: Mapping[str, str]) -> bytes:
    """The graph with these among its metadata."""
    import onnx

    graph = onnx.load_model_from_string(content)
    onnx.helper.set_model_props(graph, dict(constants))
    onnx.checker.check_model(graph)
    return bytes(graph.SerializeToString())


def quantise(content: bytes, pictures: NDArray[np.uint8]) -> bytes:
    """Convolutions in 8-bit integers, a scale a channel; activations by the range that `pictures`
    bring about.

    What follows the last of them stays as it is: evidence must sum to the logit, and distances are
    of fine print. Weights take 7 bits, so that the older instructions of CPUs do not overflow and
    all machines agree.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder:
        plain, prepared, done = (
            Path(folder) / name for name in ("plain.onnx", "prepared.onnx", "done.onnx")
        )
        plain.write_bytes(content)
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            done,
            _Batches(pictures),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=INTEGER,
            nodes_to_exclude=_tail(onnx.load(prepared)),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return done.read_bytes()


class _Batches:
    """What onnxruntime reads pictures from: `get_next` until it gives None."""

    def __init__(self, pictures: NDArray[np.uint8]) -> None:
        self._batches = (pictures[i : i + BATCH] for i in range(0, len(pictures), BATCH))

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: to_floats(batch)}


def _tail(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes behind the last convolution, the head's own (of one channel) among them."""
    weights = {item.name: item.dims for item in model.graph.initializer}
    needed: set[str] = set()  # values that a convolution depends on
    tail = []
    for node in reversed(model.graph.node):  # sorted: a value's users come behind it
        counts = node.op_type == "Conv" and weights[node.input[1]][0] > 1
        if counts or needed.intersection(node.output):
            needed.update(node.input)
        else:
            tail.append(node.name)
    return tail
