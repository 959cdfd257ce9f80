"""Detectors as ONNX graphs: exported from torch, and run by onnxruntime without it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.bundle.config import DetectorConfig
from fauxlab.bundle.detector import Prediction
from fauxlab.bundle.folder import GRAPH, first_line, hash_bundle, read_config
from fauxlab.bundle.inputs import to_floats
from fauxlab.errors import LabError

if TYPE_CHECKING:
    import onnxruntime
    from numpy.typing import NDArray


INPUT, OUTPUTS = "images", ("logits", "evidence", "distance")
MAX_BYTES = 2**30
# The key that every reference to a file beside the graph has; before it stands its length, 8, in
# one or more bytes.
_OUTSIDE = re.compile(rb"[\x00\x08]location")
# A node's operation behind its length, 4, likewise. No detector has one of these, and they may turn
# for ever.
_LOOPS = re.compile(rb"[\x00\x04](Loop|Scan)")


@dataclass(frozen=True)
class OnnxDetector:
    """A detector's graph with all that is needed to use it, on the CPU. `hash` covers graph and
    config.
    """

    session: onnxruntime.InferenceSession
    config: DetectorConfig
    hash: str = ""

    @property
    def size(self) -> int:
        """Side of the input images in pixels."""
        return self.config.preprocessing.size

    def predict(self, pixels: NDArray[np.uint8]) -> Prediction:
        """Judge pictures uint8 [N, 3, size, size] RGB."""
        return Prediction(*self.session.run(OUTPUTS, {INPUT: to_floats(pixels)}))

    def scores(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """As of `DetectorConfig`."""
        return self.config.scores(logits)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> OnnxDetector:
        """Read a bundle with a `model.onnx`.

        Raises LabError when a part is missing, damaged, needs other files, belongs to another
        config, or gives a grey picture no finite logit, evidence and distance.
        """
        path = Path(folder) / GRAPH
        config = read_config(path.parent, DetectorConfig, "detector", GRAPH)
        try:
            if path.stat().st_size > MAX_BYTES:
                raise ValueError(f"above the limit of {MAX_BYTES:,} bytes")
            return replace(
                start_graph(path.read_bytes(), config), hash=hash_bundle(path.parent, GRAPH)
            )
        except Exception as error:  # onnxruntime's own kinds derive from nothing narrower
            # A graph's own names come back in reasons: nothing in them may reach the terminal as a
            # control character.
            reason = "".join(c if c.isprintable() else "?" for c in first_line(error))
            raise LabError(f"{path} cannot be used ({reason}); fetch or export it again") from None


def start_graph(content: bytes, config: DetectorConfig) -> OnnxDetector:
    """A detector that was tried. Raises whatever is wrong with it."""
    import onnxruntime

    if _OUTSIDE.search(content):
        raise ValueError("it refers to other files")
    if _LOOPS.search(content):
        raise ValueError("it holds loops")
    options = onnxruntime.SessionOptions()
    # what is wrong is raised; lines of the library's own would stand between ours
    options.log_severity_level = 4
    # Threads that wait busily would take the cores from those that decode the next pictures.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    detector = OnnxDetector(session, config)
    _check_constants(detector)
    _check_outputs(detector)
    return detector


def _check_constants(detector: OnnxDetector) -> None:
    found = detector.session.get_modelmeta().custom_metadata_map
    for key, value in constants(detector.config).items():
        if found.get(key, value) != value:
            raise ValueError(f"made for {key} {found[key]!r}, its config says {value!r}")


def _check_outputs(detector: OnnxDetector) -> None:
    inputs = {item.name: (item.type, item.shape[1:]) for item in detector.session.get_inputs()}
    if inputs != {INPUT: ("tensor(float)", [3, detector.size, detector.size])}:
        raise ValueError(
            f"its inputs are {inputs}, expected {INPUT}: float [N, 3, {detector.size}, {detector.size}]"
        )
    if isinstance(count := detector.session.get_inputs()[0].shape[0], int):
        raise ValueError(f"it takes {count} pictures at once, expected any number N")
    found = detector.predict(np.full((2, 3, detector.size, detector.size), 128, dtype=np.uint8))
    forms = [part.ndim for part in found]
    if forms != [1, 3, 1] or any(len(part) != 2 or part.dtype != np.float32 for part in found):
        raise ValueError(
            f"its outputs have {forms} dimensions, expected logits [N], evidence [N, h, w], distance [N]"
        )
    if not all(np.isfinite(part).all() for part in found):
        raise ValueError("a grey picture gets no finite score")


def constants(config: DetectorConfig) -> dict[str, str]:
    """What someone needs to use the graph without fauxlab, as its `metadata_props`."""
    how, fit = config.preprocessing, config.calibration
    return {
        "architecture": config.architecture,
        "size": str(how.size),
        "crop": how.crop,
        "resize": how.resize,
        "input_range": f"{how.input_range[0]:g} {how.input_range[1]:g}",
        "pipeline_version": str(how.pipeline_version),
        "labels": " ".join(config.labels),
        "threshold": repr(config.threshold),
        "temperature": repr(1.0 if fit is None else fit.temperature),
        "bias": repr(0.0 if fit is None else fit.bias),
        "most_distance": repr(math.inf if config.ood is None else config.ood.limit),
        "least_detail": repr((config.ood and config.ood.sharpness) or 0.0),
        "precision": config.precision,
    }
