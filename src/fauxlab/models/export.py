"""From a detector to a bundle with an ONNX graph: traced, compared with torch, 8-bit if wanted."""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fauxlab.bundle.folder import GRAPH, WEIGHTS, check_place, write_bundle
from fauxlab.bundle.heads import NAMES as HEAD_NAMES
from fauxlab.bundle.heads import HeadWeights, replace_heads
from fauxlab.bundle.inputs import to_floats
from fauxlab.bundle.onnx import (
    FURTHER_OUTPUTS,
    INPUT,
    OUTPUTS,
    OnnxDetector,
    constants,
    start_graph,
)
from fauxlab.errors import LabError
from fauxlab.io.files import scratch_folder
from fauxlab.io.text import write_fault
from fauxlab.models.batches import row_batches
from fauxlab.models.half import halve_weights

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray
    from torch import nn

    from fauxlab.models.pretrained import Detector

    Pixels = NDArray[np.uint8]

OPSET = 17
TOLERANCE = 1e-4  # between torch and onnxruntime, relative to the largest number or to 1
HALF_TOLERANCE = 1e-2  # the same, with weights in 16 bits
HALF = "largest_logit_difference_of_16_bits"  # among the metrics
TRACED = "network"  # what the exporter puts before the names of a network's weights
BATCH = 16  # pictures at once while scales are measured
# Operations in 8 bits: all between the first convolution and the head.
INTEGER = ["Add", "AveragePool", "Concat", "Conv", "LeakyRelu", "MaxPool", "Relu"]


def export_onnx(
    detector: Detector,
    folder: str | Path,
    pictures: Pixels | None = None,
    half: bool = False,
) -> OnnxDetector:
    """Write a bundle with a `model.onnx` in place of weights for torch, over an older export.

    The graph takes `images`, float32 [N, 3, size, size] in [-1, 1], and gives logits [N], evidence
    (class activation maps) [N, h, w], distance [N], heads [N, H] and features [N, D]; `constants`
    are its metadata.

    With `pictures`, uint8 [M, 3, size, size] like those that it will be used on, its convolutions
    compute in 8-bit integers, with scales measured on these pictures. With `half` its weights are
    stored in 16 bits; it computes in 32 all the same, and the config's metrics say how far its
    logits lie from torch's (`HALF`).

    Raises LabError where both are asked for, where the folder holds something else, or where the
    graph differs from torch by more than TOLERANCE, or with `half` by more than HALF_TOLERANCE.
    """
    if half and pictures is not None:
        raise LabError("weights of 16 bits and integers of 8 bits exclude each other; choose one")
    folder = Path(folder)
    check_place(folder)
    if (folder / WEIGHTS).exists():
        raise LabError(f"{folder} is there and is no exported model; name another folder")
    training = {**detector.config.training, "exported_from": detector.hash}
    config = detector.config.model_copy(update={"training": training})
    content = trace_graph(detector.model, detector.size)
    _compare(detector, start_graph(content, config), TOLERANCE)
    if pictures is not None:
        content = quantise(content, pictures)
        config = config.model_copy(update={"precision": "int8"})
    if half:
        content = halve_weights(content)
        difference = _compare(detector, start_graph(content, config), HALF_TOLERANCE)
        metrics = {**config.metrics, HALF: difference}
        config = config.model_copy(update={"precision": "float16", "metrics": metrics})
    metadata = {**constants(config), "source": detector.hash}
    content = describe_graph(content, metadata)
    exported = start_graph(content, config)
    bundle_hash = write_bundle(folder, config, GRAPH, content)
    return replace(exported, hash=bundle_hash, folder=folder)


def trace_graph(model: nn.Module, size: int) -> bytes:
    """The graph of a detector's `predict`, for any number of pictures.

    Batch normalisation is folded into convolutions. Several heads stand in the graph as
    `fauxlab.bundle.heads` says.
    """
    network = _plain(model)
    heads = _take_heads(network)
    content = _trace(network, size)
    if heads is None:
        return content
    return replace_heads(_name_heads(content), heads)


def _trace(network: nn.Module, size: int) -> bytes:
    import torch

    any_number = {0: "N"}
    outputs = (*OUTPUTS, *FURTHER_OUTPUTS)
    dynamic_axes = dict.fromkeys((INPUT, *outputs), any_number)
    example = torch.zeros(2, 3, size, size)
    with _scratch() as folder, warnings.catch_warnings(), torch.no_grad():
        # The older exporter (dynamo=False) makes equally good graphs, takes a twentieth of the
        # time, and needs no further package. It warns of the newer one.
        warnings.simplefilter("ignore")
        path = folder / "graph.onnx"
        torch.onnx.export(
            _predicting(network),
            (example,),
            path,
            input_names=[INPUT],
            output_names=[*outputs],
            dynamic_axes=dynamic_axes,
            opset_version=OPSET,
            dynamo=False,
        )
        return path.read_bytes()


def _take_heads(network: nn.Module) -> HeadWeights | None:
    """The weights of several heads, which get random numbers instead; None of one head.

    The exporter makes one constant of two that are equal, as a bias and a centre of zeros are.
    Random numbers are not.
    """
    import torch

    state = network.state_dict()
    tensors = [state.get(name) for name in HEAD_NAMES]
    arrays = [tensor.numpy().copy() for tensor in tensors if tensor is not None]
    if len(arrays) < len(HEAD_NAMES):
        return None
    generator = torch.Generator().manual_seed(0)
    for tensor in tensors:
        assert tensor is not None
        tensor.uniform_(0.5, 1.5, generator=generator)
    return HeadWeights(*arrays)


def _name_heads(content: bytes) -> bytes:
    """The graph with the names of the heads' constants, for any number of heads."""
    import onnx

    model = onnx.load_model_from_string(content)
    new_names = {f"{TRACED}.{name}": name for name in HEAD_NAMES}
    for tensor in model.graph.initializer:
        tensor.name = new_names.get(tensor.name, tensor.name)
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = new_names.get(name, name)
    for output in model.graph.output:
        if output.name == "heads":
            output.type.tensor_type.shape.dim[1].dim_param = "H"
    return bytes(model.SerializeToString())


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder for what the libraries write meanwhile; what a killed export left there goes."""
    place = Path(tempfile.gettempdir(), "fauxlab-export")
    before = tempfile.tempdir
    with scratch_folder(place) as folder:
        # onnxruntime makes temporary folders of its own.
        tempfile.tempdir = str(folder)
        try:
            yield folder
        except OSError as error:  # torch names no file where the disk is full
            raise write_fault(folder, error) from error
        finally:
            tempfile.tempdir = before


def describe_graph(content: bytes, constants: Mapping[str, str]) -> bytes:
    """The graph with these constants in its metadata."""
    import onnx

    graph = onnx.load_model_from_string(content)
    onnx.helper.set_model_props(graph, dict(constants))
    onnx.checker.check_model(graph)
    return bytes(graph.SerializeToString())


def quantise(content: bytes, pictures: Pixels) -> bytes:
    """The graph with convolutions in 8-bit integers, with one scale a channel.

    The scales of activations are their ranges on `pictures`. What follows the last convolution
    stays as it is: activation maps must sum to the logit, and distances need the precision. Weights
    take 7 bits, so that older instructions of CPUs do not overflow and all machines agree.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with _scratch() as folder:
        plain = folder / "plain.onnx"
        prepared = folder / "prepared.onnx"
        quantised = folder / "quantised.onnx"
        plain.write_bytes(content)
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            quantised,
            _Batches(pictures),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=INTEGER,
            nodes_to_exclude=_tail(onnx.load(prepared)),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return quantised.read_bytes()


def _compare(detector: Detector, graph: OnnxDetector, tolerance: float) -> float:
    """The largest difference of logits between graph and detector, on noise and on grey.

    Raises LabError where any output differs by more than the tolerance.
    """
    shape = (3, 3, detector.size, detector.size)
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, shape, dtype=np.uint8)
    grey = np.full(shape, 128, dtype=np.uint8)
    of_logits = 0.0
    for pixels in (noise, grey):
        by_torch = detector.predict(pixels)
        by_graph = graph.predict(pixels)
        names = (*OUTPUTS, *FURTHER_OUTPUTS)
        for name, expected, output in zip(names, by_torch, by_graph, strict=True):
            difference = _largest(expected - output)
            scale = max(1.0, _largest(expected))
            agrees = difference <= tolerance * scale  # False for NaN
            if not agrees:
                raise LabError(
                    f"the exported graph's {name} lie {difference:.2g} from torch's; nothing was "
                    "written"
                )
            if name == "logits":
                of_logits = max(of_logits, difference)
    return of_logits


def _largest(numbers: NDArray[np.float32]) -> float:
    return float(np.abs(numbers).max(initial=0))


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
            values = {}
            for name in list(module.parametrizations):  # type: ignore[arg-type]
                weight = getattr(module, name)
                values[name] = weight.detach()
            module.__class__ = parametrize.type_before_parametrizations(module)
            del module.parametrizations
            for name, value in values.items():
                module.register_parameter(name, nn.Parameter(value))
    return network


def _predicting(network: nn.Module) -> nn.Module:
    """A network whose `forward`, which the exporter traces, is the given one's `predict`."""
    from torch import Tensor, nn

    class Predicting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network  # TRACED: a part of the names of constants

        def forward(self, images: Tensor) -> tuple[Tensor, ...]:
            return tuple(self.network.predict(images))  # type: ignore[operator]

    return Predicting().eval()


class _Batches:
    """Pictures in batches for onnxruntime, which calls `get_next` until it returns None."""

    def __init__(self, pictures: Pixels) -> None:
        batches = row_batches(len(pictures), BATCH)
        self._batches = (pictures[rows] for rows in batches)

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self._batches, None)
        if batch is None:
            return None
        return {INPUT: to_floats(batch)}


def _tail(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes behind the last convolution with more than one output channel.

    The head is a convolution with one output channel.
    """
    channels = {item.name: item.dims[0] for item in model.graph.initializer if item.dims}
    needed: set[str] = set()  # values that a convolution depends on
    tail = []
    # The nodes are sorted: those that use a value come behind the one that makes it.
    for node in reversed(model.graph.node):
        is_convolution = False
        if node.op_type == "Conv":
            _, weight, *_ = node.input
            is_convolution = channels[weight] > 1
        if is_convolution or needed.intersection(node.output):
            needed.update(node.input)
        else:
            tail.append(node.name)
    return tail
