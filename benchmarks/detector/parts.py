"""What is each part of the recipe `detector` worth? Short trainings, each without one part.

    FAUXLAB_INCEPTION=WEIGHTS .venv/bin/python -m benchmarks.detector.parts \
        faces/manifest.csv --epochs 1

All trainings on the same generators see equally many images. `unseen-swap` leaves the generator of
swaps out, because blends are meant for swaps that were never seen. A finished training is not
repeated. Each detector is measured on the validation split, on the pictures as they are and
degraded: AUC over all fakes, and of each generator against the reals it is compared to.

Writes benchmarks/results/detector_parts.json after each training.
"""

from __future__ import annotations

import argparse
import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.output import describe_machine, load_results, save_results
from numpy.typing import NDArray

from fauxlab.config import load_recipe
from fauxlab.data.cache import load_images
from fauxlab.data.manifest import Manifest
from fauxlab.evaluation.detection import detection_report
from fauxlab.evaluation.predicting import predict_scores
from fauxlab.models.pretrained import Detector
from fauxlab.training.detector.loop import train_detector
from fauxlab.transforms.protocol import degrade

RESULTS = "detector_parts.json"
UNSEEN_SWAP = "data.generators=stylegan,sd21,generated-photos"
PARTS: dict[str, list[str]] = {
    "all": [],
    "no-pretrained": ["model.pretrained="],
    "no-degradations": ["train.augment=flip,tone"],
    "no-blend": ["train.blend=0"],
    "whole-pictures": ["train.crop=0"],
    "no-groups": ["train.balance=generator"],
    "no-average": ["train.ema=0"],
    "unseen-swap": [UNSEEN_SWAP],
    "unseen-swap-no-blend": [UNSEEN_SWAP, "train.blend=0"],
    "trace": ["model.name=trace", "model.pretrained=", "train.lr=1e-3"],
}
CHANGES = {
    "clean": None,
    "jpeg q50": ("jpeg", 50),
    "resize ×0.5": ("resize", 0.5),
    "crop ×0.8": ("crop", 0.8),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--runs", type=Path, default=Path("runs/parts"))
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    options = parser.parse_args()
    manifest = Manifest.load(options.manifest)
    for part in options.only.split(","):
        recipe = load_recipe("detector", [f"train.epochs={options.epochs}", *PARTS[part]])
        run = train_detector(manifest, recipe, options.runs, name=part, resume=True)
        figures = {
            "changed": PARTS[part],
            "command": command_for(part, options.manifest, options.epochs),
            "images": run.model.config.training["images"],
            "auc": measure(run.model, manifest),
        }
        results = load_results(RESULTS) or {"parts": {}}
        results["parts"][part] = figures
        results["environment"] = describe_machine(manifest.data_hash)
        save_results(RESULTS, results)
        print(part, json.dumps(figures), flush=True)


def command_for(part: str, manifest: Path, epochs: int) -> str:
    """The command that repeats one part alone."""
    words = ["python", "-m", "benchmarks.detector.parts", str(manifest)]
    words += ["--epochs", str(epochs), "--only", part]
    return shlex.join(words)


def measure(detector: Detector, manifest: Manifest) -> dict[str, Any]:
    """AUC on the validation split, by change: pooled with its interval, and of each generator."""
    images = load_images(manifest.val, detector.size)
    pixels = images.take(np.arange(len(images)))
    auc = {}
    for name, change in CHANGES.items():
        changed = change_all(pixels, change)
        copies = replace(images, pixels=changed, slots=np.arange(len(changed)))
        scores = predict_scores(detector, copies)
        report = detection_report(
            images.manifest, scores, model="", model_hash=detector.hash, bootstrap=200
        )
        auc[name] = {"pooled": report.pooled.auc.model_dump()}
        for generator in report.generators:
            auc[name][generator.name] = generator.auc.value
    return auc


def change_all(pixels: NDArray[np.uint8], change: tuple[str, float] | None) -> NDArray[np.uint8]:
    """Degrade every picture [N, 3, H, W], or none."""
    if change is None:
        return pixels
    kind, strength = change
    return np.stack([degrade(picture, kind, strength) for picture in pixels])


if __name__ == "__main__":
    main()
