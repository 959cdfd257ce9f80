"""A detector opened by the name of a model or by its folder, whichever package runs it."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fauxlab.bundle.config import DetectorConfig
from fauxlab.bundle.folder import GRAPH, WEIGHTS, read_config
from fauxlab.bundle.onnx import OnnxDetector
from fauxlab.errors import LabError

if TYPE_CHECKING:
    from fauxlab.bundle.detector import AnyDetector

DEFAULT_MODEL = "fauxlab"  # stands for the detector inside the package
PACKAGED = Path(__file__).parents[1] / "weights" / "detector"
# The entry points of this group say what runs a bundle, by the name of its file of weights. This
# way the rooms that scan without torch need not import the one that trains with it.
RUNTIMES = "fauxlab.detectors"


def open_detector(model: str | Path) -> AnyDetector:
    """The detector in a bundle's folder, or DEFAULT_MODEL, the one that comes with the package.

    A `model.onnx` is run by onnxruntime, without torch; where there is none, torch runs
    `model.safetensors`. Raises LabError when the model is missing or damaged, or needs torch where
    that is not installed."""
    folder = Path(model)
    if str(model) == DEFAULT_MODEL:
        folder = PACKAGED
        if not folder.is_dir():
            raise LabError(
                "this fauxlab came without a detector; train one and name it, as --model runs/<name>/best"
            )
    if (folder / GRAPH).is_file():
        return OnnxDetector.from_pretrained(folder)
    read_config(
        folder, DetectorConfig, "detector"
    )  # a folder that is no model is refused before torch is missed
    detector: AnyDetector = _load_runtime(WEIGHTS, folder).from_pretrained(folder)
    return detector


def _load_runtime(weights: str, folder: Path) -> Any:
    """The class that runs bundles with this file of weights."""
    found = entry_points(group=RUNTIMES, name=weights)
    if not found:
        raise LabError(
            f"nothing installed runs {weights}, as in {folder}: install the package fauxlab with pip"
        )
    try:
        return next(iter(found)).load()
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("fauxlab"):
            raise
        raise LabError(
            f"the model in {folder} needs the package {error.name}: pip install 'fauxlab[train]'; or run "
            "`fauxlab export` on it where that is installed, and use what it writes"
        ) from None
