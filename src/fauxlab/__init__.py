"""fauxlab: a laboratory for fake faces.

Train a detector, evaluate it, and use it:

>>> import fauxlab as fl
>>> data = fl.index("faces/").split(seed=0)  # doctest: +SKIP
>>> run = fl.train_detector(data, fl.recipe("unified-joint"))  # doctest: +SKIP
>>> print(fl.evaluate(run.model, data.test).table())  # doctest: +SKIP
>>> verdict = fl.Scanner.from_pretrained("runs/latest/best")("photo.jpg")  # doctest: +SKIP

The public names are in `dir(fauxlab)`; each is imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fauxlab.privacy import restrain_libraries
from fauxlab.version import __version__ as __version__

restrain_libraries()

if TYPE_CHECKING:
    from fauxlab.adaptation.adapt import adapt
    from fauxlab.auditing.audit import audit
    from fauxlab.calibration.calibrate import calibrate
    from fauxlab.compare import compare_detectors, compare_runs
    from fauxlab.config import load_gan_recipe as gan_recipe
    from fauxlab.config import load_recipe as recipe
    from fauxlab.data.indexing import index
    from fauxlab.data.manifest import Manifest
    from fauxlab.errors import LabError
    from fauxlab.evaluation.detection import evaluate
    from fauxlab.evaluation.robustness import robustness_report
    from fauxlab.models.pretrained import Detector, Generator
    from fauxlab.records import DetectionReport, Verdict
    from fauxlab.reproduce.detector import reproduce_detector
    from fauxlab.reproduce.gan import reproduce_gan
    from fauxlab.reproduce.unseen import leave_one_out
    from fauxlab.sample.images import sample_images
    from fauxlab.scan.scanner import Scanner
    from fauxlab.training.detector.loop import train_detector
    from fauxlab.training.gan.loop import train_gan

# Public name → where it is defined. Imported on first use, so that `import fauxlab` costs nothing.
_PUBLIC = {
    "DetectionReport": "fauxlab.records:DetectionReport",
    "Detector": "fauxlab.models.pretrained:Detector",
    "Generator": "fauxlab.models.pretrained:Generator",
    "LabError": "fauxlab.errors:LabError",
    "Manifest": "fauxlab.data.manifest:Manifest",
    "Scanner": "fauxlab.scan.scanner:Scanner",
    "Verdict": "fauxlab.records:Verdict",
    "adapt": "fauxlab.adaptation.adapt:adapt",
    "audit": "fauxlab.auditing.audit:audit",
    "calibrate": "fauxlab.calibration.calibrate:calibrate",
    "compare_detectors": "fauxlab.compare:compare_detectors",
    "compare_runs": "fauxlab.compare:compare_runs",
    "evaluate": "fauxlab.evaluation.detection:evaluate",
    "gan_recipe": "fauxlab.config:load_gan_recipe",
    "index": "fauxlab.data.indexing:index",
    "leave_one_out": "fauxlab.reproduce.unseen:leave_one_out",
    "recipe": "fauxlab.config:load_recipe",
    "reproduce_detector": "fauxlab.reproduce.detector:reproduce_detector",
    "reproduce_gan": "fauxlab.reproduce.gan:reproduce_gan",
    "robustness_report": "fauxlab.evaluation.robustness:robustness_report",
    "sample_images": "fauxlab.sample.images:sample_images",
    "train_detector": "fauxlab.training.detector.loop:train_detector",
    "train_gan": "fauxlab.training.gan.loop:train_gan",
}

__all__ = [
    "DetectionReport",
    "Detector",
    "Generator",
    "LabError",
    "Manifest",
    "Scanner",
    "Verdict",
    "adapt",
    "audit",
    "calibrate",
    "compare_detectors",
    "compare_runs",
    "evaluate",
    "gan_recipe",
    "index",
    "leave_one_out",
    "recipe",
    "reproduce_detector",
    "reproduce_gan",
    "robustness_report",
    "sample_images",
    "train_detector",
    "train_gan",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'fauxlab' has no attribute {name!r}")
    module, _, attribute = _PUBLIC[name].partition(":")
    try:
        return getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("fauxlab"):
            raise
        message = f"fauxlab.{name} needs the package {error.name}: pip install 'fauxlab[train]'"
        raise ModuleNotFoundError(message, name=error.name) from None


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
