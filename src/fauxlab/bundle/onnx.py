"""Detectors as ONNX graphs: exported from torch, and run by onnxruntime without it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.bundle.config import DetectorConfig
from fauxlab.bundle.decision import compute_scores
from fauxlab.bundle.detector import Prediction
from fauxlab.bundle.folder import GRAPH, first_line, hash_bundle, read_config, write_bundle
from fauxlab.bundle.inputs import to_floats
from fauxlab.errors import LabError

if TYPE_CHECKING:
    import onnxruntime
    from numpy.typing import NDArray

# The names of a graph's input and outputs. They are part of the file format, so they stay:
# "evidence" is the class activation map, "distance" the out-of-distribution distance.
INPUT = "images"
OUTPUTS = ("logits", "evidence", "distance")
DIMENSIONS = [1, 3, 1]  # of the outputs: [N], [N, h, w], [N]
# Constants of the calibration that the graph was exported with. A later calibration changes the
# config alone, and the config counts.
CALIBRATED = frozenset(("threshold", "temperature", "bias", "most_distance", "least_detail"))
MAX_BYTES = 2**30

# Models come from anywhere, and two things in a graph are dangerous. References to other files:
# some versions of onnxruntime open and read them while they load the graph. Loops: onnxruntime sets
# no limit of time, so one that never ends would hang the first prediction. Both are looked for in
# the bytes, before onnxruntime sees them. The package `onnx` could take the file apart instead, but
# a light install has no other use for it.
# In the bytes (protobuf) a name stands behind its length, which may fill more than one byte; so
# before the name there is the length, or a zero.
_OUTSIDE = re.compile(rb"[\x00\x08]location")  # the key of every reference to another file
_LOOPS = re.compile(rb"[\x00\x04](Loop|Scan)")  # operations that no detector needs


@dataclass(frozen=True)
class OnnxDetector:
    """A detector's graph with all that is needed to use it, on the CPU.

    `hash` covers graph and config. `folder` holds the graph; None before it is saved.
    """

    session: onnxruntime.InferenceSession
    config: DetectorConfig
    hash: str = ""
    folder: Path | None = None

    @property
    def size(self) -> int:
        """Side of the input images in pixels."""
        return self.config.preprocessing.size

    def predict(self, pixels: NDArray[np.uint8]) -> Prediction:
        """Predict pictures uint8 [N, 3, size, size] RGB."""
        outputs = self.session.run(OUTPUTS, {INPUT: to_floats(pixels)})
        return Prediction(*outputs)

    def scores(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """P(fake) [N] from logits [N], as of `DetectorConfig.scores`."""
        return compute_scores(self.config, logits)

    def save_pretrained(self, folder: str | Path) -> OnnxDetector:
        """Write the bundle, with the same graph, over an older one; returns it with its hash.

        Raises LabError for a graph that lies in no folder yet; `export_onnx` writes those.
        """
        if self.folder is None:
            raise LabError("this graph lies in no folder; write it with fl.export_onnx")
        folder = Path(folder)
        content = (self.folder / GRAPH).read_bytes()
        digest = write_bundle(folder, self.config, GRAPH, content)
        return replace(self, hash=digest, folder=folder)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> OnnxDetector:
        """Read a bundle with a `model.onnx`.

        Raises LabError where a part is missing or damaged, needs other files or belongs to another
        config, and where a grey picture gets no finite numbers.
        """
        path = Path(folder) / GRAPH
        config = read_config(path.parent, DetectorConfig, "detector", GRAPH)
        try:
            if path.stat().st_size > MAX_BYTES:
                raise ValueError(f"above the limit of {MAX_BYTES:,} bytes")
            detector = start_graph(path.read_bytes(), config)
            digest = hash_bundle(path.parent, GRAPH)
            return replace(detector, hash=digest, folder=path.parent)
        except Exception as error:  # onnxruntime's own errors have no narrower base
            reason = _without_controls(first_line(error))
            raise LabError(f"{path} cannot be used ({reason}); fetch or export it again") from None


def start_graph(content: bytes, config: DetectorConfig) -> OnnxDetector:
    """A detector from the bytes of a graph, checked and tried. Raises whatever is wrong with it."""
    import onnxruntime

    if _OUTSIDE.search(content):
        raise ValueError("it refers to other files")
    if _LOOPS.search(content):
        raise ValueError("it holds loops")
    options = onnxruntime.SessionOptions()
    # Faults are raised; onnxruntime's own lines would stand between ours.
    options.log_severity_level = 4
    # Threads that wait busily would take the cores from those that decode the next pictures.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(content, options, providers=providers)
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
    outputs = detector.predict(np.full(shape, 128, dtype=np.uint8))
    dimensions = [output.ndim for output in outputs]
    are_float_pairs = all(map(_is_float_pair, outputs))
    if dimensions != DIMENSIONS or not are_float_pairs:
        raise ValueError(
            f"its outputs have {dimensions} dimensions, "
            "expected logits [N], evidence [N, h, w], distance [N]"
        )
    if not all(np.isfinite(output).all() for output in outputs):
        raise ValueError("a grey picture gets no finite score")


def _is_float_pair(output: NDArray[np.float32]) -> bool:
    return len(output) == 2 and output.dtype == np.float32


def _without_controls(text: str) -> str:
    """Text without control characters, which names in a graph could send to the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
