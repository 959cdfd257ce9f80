"""A detector opened by the name of a model or by its folder, whichever package runs it."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fauxlab.bundle.config import DetectorConfig
from fauxlab.bundle.folder import GRAPH, HEADS, WEIGHTS, read_config
from fauxlab.bundle.onnx import OnnxDetector
from fauxlab.bundle.tower_store import LARGE_MODEL
from fauxlab.errors import LabError

if TYPE_CHECKING:
    from fauxlab.bundle.detector import AnyDetector

DEFAULT_MODEL = "fauxlab"  # stands for the detector inside the package
PACKAGED = Path(__file__).parents[1] / "weights" / "detector"
# What the package holds of LARGE_MODEL: heads, and the graph of its texture branch.
LARGE = PACKAGED.with_name("large")
PACKAGED_MODELS = {DEFAULT_MODEL: PACKAGED, LARGE_MODEL: LARGE}
# The entry points of this group say which class runs a bundle, by the name of its file of weights.
# So the rooms that scan without torch need not import the one that trains with it.
RUNTIMES = "fauxlab.detectors"


def open_detector(model: str | Path, trust: bool = False) -> AnyDetector:
    """The detector in a bundle's folder, or a packaged one: DEFAULT_MODEL or LARGE_MODEL.

    A `model.onnx` is run by onnxruntime, without torch; it is checked and tried first, unless it is
    the package's own or `trust` says that its maker is trusted. With `heads.npz` beside it, it is a
    large detector, whose tower must have been fetched. Where there is no `model.onnx`, torch runs
    `model.safetensors`, whose networks are the package's own. Raises LabError where the model is
    missing or damaged, fails a check, or needs the tower or torch and has none.
    """
    is_packaged = str(model) in PACKAGED_MODELS
    folder = _find_packaged(str(model)) if is_packaged else Path(model)
    if (folder / HEADS).is_file():
        # Not imported for the small detector, which most scans use.
        from fauxlab.bundle.tower import TowerDetector

        return TowerDetector.from_pretrained(folder, trust=trust or is_packaged)
    if (folder / GRAPH).is_file():
        return OnnxDetector.from_pretrained(folder, trust=trust or is_packaged)
    # A folder that is no model is refused before anyone is told to install torch.
    read_config(folder, DetectorConfig, "detector")
    runtime = _load_runtime(WEIGHTS, folder)
    detector: AnyDetector = runtime.from_pretrained(folder)
    return detector


def _find_packaged(model: str) -> Path:
    folder = PACKAGED_MODELS[model]
    if not folder.is_dir():
        raise LabError(
            "this fauxlab came without this detector; train one and name it, "
            "as --model runs/<name>/best"
        )
    return folder


def _load_runtime(weights: str, folder: Path) -> Any:
    """The class that runs bundles with this file of weights."""
    runtimes = entry_points(group=RUNTIMES, name=weights)
    if not runtimes:
        raise LabError(
            f"nothing installed runs {weights}, as in {folder}: "
            "install the package fauxlab with pip"
        )
    runtime = next(iter(runtimes))
    try:
        return runtime.load()
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing.startswith("fauxlab"):
            raise
        raise LabError(
            f"the model in {folder} needs the package {missing}: pip install 'fauxlab[train]'; "
            "or run `fauxlab export` on it where that is installed, and use what it writes"
        ) from None
