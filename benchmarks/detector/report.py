"""The detector half of the report on real data, in one file.

    fauxlab data index FACES --out faces/manifest.csv --pair stylegan=ffhq --pair dfdc-swap=dfdc-real \
        --pair sd21=ffhq,celeba --pair generated-photos=ffhq,celeba
    fauxlab reproduce faces/manifest.csv --out runs/faces --only detector --no-extended
    .venv/bin/python -m benchmarks.detector.report faces/manifest.csv runs/faces

Takes the test scores that `reproduce` left and writes benchmarks/results/detector_report.json:
every detector's figures per generator and pooled, the forgetting and cross matrices, and the joint
detector against the reals that a plain training script was measured on (stylegan against ffhq and
celeba together, which flatters).
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from fauxlab.data.manifest import Manifest
from fauxlab.evaluation.detection import score_set

RESULTS = Path(__file__).parents[1] / "results" / "detector_report.json"
# A 100-line script of the same CNN, joint, 4 epochs, the same images: AUC on a tenth of the groups.
PLAIN_SCRIPT = {
    "stylegan": (["ffhq", "celeba"], 0.908),
    "sd21": (["ffhq", "celeba"], 0.920),
    "generated-photos": (["ffhq", "celeba"], 0.993),
    "dfdc-swap": (["dfdc-real"], 0.575),
}
PLAIN_REALS = {"ffhq": 0.51, "dfdc-real": 0.25}


def forgetting(runs: list[dict[str, Any]], figure: str) -> dict[str, Any]:
    """Run → stage → generator: a figure on the test images after each stage."""
    return {
        run["name"]: {
            stage["name"]: {s["name"]: s[figure]["value"] for s in stage["test"]["generators"]}
            for stage in run["stages"]
        }
        for run in runs
        if run["stages"]
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("runs", type=Path, help="the folder that `fauxlab reproduce` wrote")
    options = parser.parse_args()
    manifest = Manifest.load(options.manifest)
    results = json.loads((options.runs / "results.json").read_text())
    if results["data"]["hash"] != manifest.data_hash:
        raise SystemExit("these runs were made with another manifest")
    runs = results["runs"]
    report = {
        "command": "see the head of benchmarks/detector/report.py",
        "environment": results["environment"],
        "data": results["data"],
        "detectors": {
            run["name"]: {
                "part": run["part"],
                "images": run["steps"][-1]["images"],
                "test": run["test"],
            }
            for run in runs
        },
        "cross_matrix_auc": {
            run["name"]: {s["name"]: s["auc"]["value"] for s in run["test"]["generators"]}
            for run in runs
        },
        **{f"forgetting_{figure}": forgetting(runs, figure) for figure in ("accuracy", "auc")},
        "report_table": results["report_table"],
        "joint_against_plain_script": compare(
            options.runs / "unified-joint" / "test" / "scores.csv", runs[-1]
        ),
    }
    RESULTS.write_text(json.dumps(report, indent=1) + "\n")
    for name, row in report["joint_against_plain_script"].items():
        print(name, row)


def compare(path: Path, joint: dict[str, Any]) -> dict[str, Any]:
    """The joint detector's AUC against the same reals as the plain script's, and its share of reals
    called real.
    """
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    found: dict[str, Any] = {}
    for name, (reals, plain) in PLAIN_SCRIPT.items():
        keep = [
            r
            for r in rows
            if r["generator"] == name or (r["label"] == "real" and r["source"] in reals)
        ]
        scores = score_set(
            name,
            np.array([int(r["label"] == "fake") for r in keep]),
            np.array([float(r["score"]) for r in keep]),
            [r["group"] for r in keep],
            reals,
        )
        found[name] = {
            "reals": reals,
            "n": len(keep),
            "auc": scores.auc.model_dump(),
            "plain_script_auc": plain,
        }
    for source, plain in PLAIN_REALS.items():
        found[f"{source} called real"] = {
            "share": joint["test"]["real_accuracy"][source],
            "plain_script": plain,
        }
    return found


if __name__ == "__main__":
    main()
