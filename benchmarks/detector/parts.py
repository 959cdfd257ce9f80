"""What each part of the recipe `detector` is worth: trained briefly without it, judged on the
validation split.

    FAUXLAB_INCEPTION=WEIGHTS .venv/bin/python -m benchmarks.detector.parts faces/manifest.csv --epochs 1

Runs on the same generators see equally many images; `unseen-swap` leaves one out, for which blends
are meant. Finished ones are not repeated. Writes benchmarks/results/detector_parts.json as each
ends: AUC per generator against its matched reals and pooled, of the pictures as they are and
degraded.
"""

from __future__ import annotations

import argparse
import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fauxlab.config import load_recipe
from fauxlab.data.cache import load_images
from fauxlab.data.manifest import Manifest
from fauxlab.environment import describe_environment
from fauxlab.evaluation.detection import detection_report, predict_scores
from fauxlab.models.pretrained import Detector
from fauxlab.training.detector.loop import train_detector
from fauxlab.transforms.degradations import degrade

RESULTS = Path(__file__).parents[1] / "results" / "detector_parts.json"
PARTS: dict[str, list[str]] = {
    "all": [],
    "no-pretrained": ["model.pretrained="],
    "no-degradations": ["train.augment=flip,tone"],
    "no-blend": ["train.blend=0"],
    "whole-pictures": ["train.crop=0"],
    "no-groups": ["train.balance=generator"],
    "no-average": ["train.ema=0"],
    "unseen-swap": ["data.generators=stylegan,sd21,generated-photos"],
    "unseen-swap-no-blend": ["data.generators=stylegan,sd21,generated-photos", "train.blend=0"],
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
        line = shlex.join(
            [
                "benchmarks/detector/parts.py",
                str(options.manifest),
                "--epochs",
                str(options.epochs),
                "--only",
                part,
            ]
        )
        found = {
            "changed": PARTS[part],
            "command": line,
            "images": run.model.config.training["images"],
            **judge(run.model, manifest),
        }
        held = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"parts": {}}
        held["parts"][part] = found
        held["environment"] = describe_environment(manifest.data_hash)
        RESULTS.write_text(json.dumps(held, indent=1) + "\n")
        print(part, json.dumps(found), flush=True)


def judge(detector: Detector, manifest: Manifest) -> dict[str, Any]:
    """AUC by change, pooled and per generator, on the validation split."""
    images = load_images(manifest.val, detector.size)
    pixels = images.take(np.arange(len(images)))
    found = {}
    for name, change in CHANGES.items():
        seen = (
            pixels
            if change is None
            else np.stack([degrade(picture, *change) for picture in pixels])
        )
        scores = predict_scores(detector, replace(images, pixels=seen, slots=np.arange(len(seen))))
        report = detection_report(
            images.manifest, scores, model="", model_hash=detector.hash, bootstrap=200
        )
        found[name] = {"pooled": report.pooled.auc.model_dump()} | {
            s.name: s.auc.value for s in report.generators
        }
    return {"auc": found}


if __name__ == "__main__":
    main()
