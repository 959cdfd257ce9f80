"""Detectors as ONNX graphs: exported from torch, and run by onnxruntime without it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.bundle.config import DetectorConfig
from fauxlab.bundle.decision import compute_scores
from fauxlab.bundle.detector import Prediction, check_head_count, predict_in_parts
from fauxlab.bundle.folder import (
    GRAPH,
    hash_bundle,
    read_config,
    read_reference_bytes,
    write_bundle,
)
from fauxlab.bundle.graph import RefusedError, check_graph
from fauxlab.bundle.heads import HeadWeights, read_heads, replace_heads
from fauxlab.bundle.inputs import to_floats
from fauxlab.bundle.sessions import make_session
from fauxlab.errors import LabError
from fauxlab.io.reading import read_bytes
from fauxlab.io.text import describe_error, printable

if TYPE_CHECKING:
    import onnxruntime
    from numpy.typing import NDArray

# The names of a graph's input and outputs. They are part of the file format, so they stay:
# "evidence" is the class activation map, "distance" the out-of-distribution distance.
INPUT = "images"
OUTPUTS = ("logits", "evidence", "distance")
# What graphs give besides since version 0.4: the logits of each head, and what these are linear in.
FURTHER_OUTPUTS = ("heads", "features")
# The shapes of all outputs, in the order of a `Prediction`.
SHAPES = ("logits [N]", "evidence [N, h, w]", "distance [N]", "heads [N, H]", "features [N, D]")
DIMENSIONS = (1, 3, 1, 2, 2)
# Constants of the calibration that the graph was exported with. A later calibration changes the
# config alone, and the config counts.
CALIBRATED = frozenset(("threshold", "temperature", "bias", "most_distance", "least_detail"))
MAX_BYTES = 2**30


@dataclass(frozen=True)
class OnnxDetector:
    """A detector's graph with all that is needed to use it, on the CPU.

    `hash` covers graph and config. `most` pictures are predicted at once, or any number. `folder`
    holds the graph; None before it is saved. `graph` has the bytes of one whose heads were
    replaced, which lies in no folder yet.
    """

    session: onnxruntime.InferenceSession
    config: DetectorConfig
    hash: str = ""
    most: int | None = None
    folder: Path | None = None
    graph: bytes = b""

    @property
    def size(self) -> int:
        """Side of the input images in pixels."""
        return self.config.preprocessing.size

    def predict(self, pixels: NDArray[np.uint8]) -> Prediction:
        """Predict pictures uint8 [N, 3, size, size] RGB."""
        return predict_in_parts(self._run, pixels, self.most)

    def _run(self, pixels: NDArray[np.uint8]) -> Prediction:
        outputs = self.session.run(self._outputs, {INPUT: to_floats(pixels)})
        if len(outputs) == len(OUTPUTS):
            nothing = np.zeros((len(pixels), 0), dtype=np.float32)
            outputs = [*outputs, nothing, nothing]
        return Prediction(*outputs)

    @property
    def _outputs(self) -> list[str]:
        """The names of the outputs that the graph gives, in the order of a `Prediction`."""
        given = {output.name for output in self.session.get_outputs()}
        if given.issuperset(FURTHER_OUTPUTS):
            return [*OUTPUTS, *FURTHER_OUTPUTS]
        return list(OUTPUTS)

    def scores(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """P(fake) [N] from logits [N], by the config's calibration."""
        return compute_scores(self.config, logits)

    def read_heads(self) -> HeadWeights:
        """The weights of its heads. Raises ValueError where its graph has none of this form."""
        return read_heads(self._read_graph())

    def with_heads(self, heads: HeadWeights, config: DetectorConfig) -> OnnxDetector:
        """The same network with these heads; the hash comes with saving.

        Raises ValueError where the heads do not fit the features or the config.
        """
        graph = replace_heads(self._read_graph(), heads)
        return replace(start_graph(graph, config), most=self.most, graph=graph)

    def _read_graph(self) -> bytes:
        if self.folder is None:
            return self.graph
        return (self.folder / GRAPH).read_bytes()

    def save_pretrained(
        self, folder: str | Path, further: Mapping[str, bytes] | None = None
    ) -> OnnxDetector:
        """Write the bundle, with the same graph, over an older one; returns it with its hash.

        `further` are other files of a bundle, by name. A reference stays where the graph does.
        Raises LabError for a graph that lies in no folder yet; `export_onnx` writes those.
        """
        content = self._read_graph()
        if not content:
            raise LabError("this graph lies in no folder; write it with fl.export_onnx")
        folder = Path(folder)
        parts = {**read_reference_bytes(self.folder), **(further or {})}
        digest = write_bundle(folder, self.config, GRAPH, content, parts)
        return replace(self, hash=digest, folder=folder, graph=b"")

    @classmethod
    def from_pretrained(cls, folder: str | Path, trust: bool = False) -> OnnxDetector:
        """Read a bundle with a `model.onnx`.

        Its graph is checked before onnxruntime reads it, and tried in a process of its own
        (`fauxlab.bundle.graph`, `fauxlab.bundle.trial`); with `trust` neither is done. Raises
        LabError where a part is missing or damaged, needs other files or belongs to another config,
        where a check fails, and where a grey picture gets no finite numbers.
        """
        path = Path(folder) / GRAPH
        config = read_config(path.parent, DetectorConfig, "detector", GRAPH)
        content = read_bytes(path, MAX_BYTES)
        try:
            most = None if trust else _check_foreign(content, config)
            detector = start_graph(content, config)
            digest = hash_bundle(path.parent, GRAPH)
        except LabError:
            raise
        except Exception as error:  # onnxruntime's own errors have no narrower base
            advice = "fetch or export it again"
            if isinstance(error, RefusedError):
                advice = "scan --trust-model, in Python trust=True, opens it without these checks"
            raise LabError(
                f"{printable(path)} cannot be used ({describe_error(error)}); {advice}"
            ) from None
        return replace(detector, hash=digest, most=most, folder=path.parent)


def _check_foreign(content: bytes, config: DetectorConfig) -> int:
    """Raise what is wrong with a graph of unknown origin; returns how many pictures it may take."""
    # Not imported for the packaged detector, which most scans use.
    from fauxlab.bundle.trial import pictures_at_once, try_graph

    size = config.preprocessing.size
    check_graph(content)
    try_graph(content, size)
    return pictures_at_once(size)


def start_graph(content: bytes, config: DetectorConfig) -> OnnxDetector:
    """A detector from the bytes of a graph that is trusted, compared with its config and tried.

    Raises whatever is wrong with it.
    """
    session = make_session(content)
    detector = OnnxDetector(session, config)
    _check_constants(detector)
    _check_input(detector)
    _check_outputs(detector)
    return detector


def constants(config: DetectorConfig) -> dict[str, str]:
    """What someone needs to use the graph without fauxlab, as its `metadata_props`.

    Its calibration is that of the export; of a bundle that was calibrated later, take it from the
    `config.json`.
    """
    preprocessing = config.preprocessing
    low, high = preprocessing.input_range
    temperature = 1.0
    bias = 0.0
    if config.calibration is not None:
        temperature = config.calibration.temperature
        bias = config.calibration.bias
    most_distance = math.inf
    least_sharpness = 0.0
    if config.ood is not None:
        most_distance = config.ood.limit
        least_sharpness = config.ood.sharpness or 0.0
    return {
        "architecture": config.architecture,
        "size": str(preprocessing.size),
        "crop": preprocessing.crop,
        "resize": preprocessing.resize,
        "input_range": f"{low:g} {high:g}",
        "pipeline_version": str(preprocessing.pipeline_version),
        "labels": " ".join(config.labels),
        "threshold": repr(config.threshold),
        "temperature": repr(temperature),
        "bias": repr(bias),
        "most_distance": repr(most_distance),
        "least_detail": repr(least_sharpness),
        "precision": config.precision,
    }


def _check_constants(detector: OnnxDetector) -> None:
    stored = detector.session.get_modelmeta().custom_metadata_map
    expected = constants(detector.config)
    # The model that the graph was exported from: whose config else has the same constants.
    exported_from = detector.config.training.get("exported_from")
    if exported_from:
        expected["source"] = str(exported_from)
    for key, value in expected.items():
        if key not in CALIBRATED and stored.get(key, value) != value:
            raise ValueError(f"made for {key} {stored[key]!r}, its config says {value!r}")


def _check_input(detector: OnnxDetector) -> None:
    size = detector.size
    inputs = detector.session.get_inputs()
    forms = {item.name: (item.type, item.shape[1:]) for item in inputs}
    if forms != {INPUT: ("tensor(float)", [3, size, size])}:
        raise ValueError(f"its inputs are {forms}, expected {INPUT}: float [N, 3, {size}, {size}]")
    count = inputs[0].shape[0]
    if isinstance(count, int):
        raise ValueError(f"it takes {count} pictures at once, expected any number N")


def _check_outputs(detector: OnnxDetector) -> None:
    """Raise ValueError where two grey pictures do not get finite outputs of the expected shapes."""
    shape = (2, 3, detector.size, detector.size)
    prediction = detector.predict(np.full(shape, 128, dtype=np.uint8))
    given = len(detector._outputs)
    outputs = prediction[:given]
    dimensions = [output.ndim for output in outputs]
    are_float_pairs = all(map(_is_float_pair, outputs))
    if dimensions != [*DIMENSIONS[:given]] or not are_float_pairs:
        expected = ", ".join(SHAPES[:given])
        raise ValueError(f"its outputs have {dimensions} dimensions, expected {expected}")
    if not all(np.isfinite(output).all() for output in outputs):
        raise ValueError("a grey picture gets no finite score")
    check_head_count(detector.config, prediction.head_logits.shape[1])


def _is_float_pair(output: NDArray[np.float32]) -> bool:
    return len(output) == 2 and output.dtype == np.float32
