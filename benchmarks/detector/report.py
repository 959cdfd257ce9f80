"""The detector half of the student paper on real data, in one file of results.

    fauxlab data index FACES --out faces/manifest.csv \
        --pair stylegan=ffhq --pair dfdc-swap=dfdc-real \
        --pair sd21=ffhq,celeba --pair generated-photos=ffhq,celeba
    fauxlab reproduce faces/manifest.csv --out runs/faces --only detector --no-extended
    .venv/bin/python -m benchmarks.detector.report faces/manifest.csv runs/faces

Reads the results and test scores of `fauxlab reproduce`. It collects every detector's figures, per
generator and pooled, the forgetting and the cross matrices. It also compares the joint detector
with a plain training script, against the reals that the script was measured on: stylegan against
ffhq and celeba together, which gives a higher AUC than ffhq alone.

Writes benchmarks/results/detector_report.json.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.output import save_results

from fauxlab.data.manifest import Manifest
from fauxlab.evaluation.scoring import score_set

# A script of 100 lines: the same CNN, trained jointly for 4 epochs on the same images. Its AUC on
# a tenth of the groups, and its share of reals called real.
PLAIN_SCRIPT = {
    "stylegan": (["ffhq", "celeba"], 0.908),
    "sd21": (["ffhq", "celeba"], 0.920),
    "generated-photos": (["ffhq", "celeba"], 0.993),
    "dfdc-swap": (["dfdc-real"], 0.575),
}
PLAIN_REALS = {"ffhq": 0.51, "dfdc-real": 0.25}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("runs", type=Path, help="the folder that `fauxlab reproduce` wrote")
    options = parser.parse_args()
    manifest = Manifest.load(options.manifest)
    results = json.loads((options.runs / "results.json").read_text(encoding="utf-8"))
    if results["data"]["hash"] != manifest.data_hash:
        raise SystemExit("these runs were made with another manifest")
    runs = results["runs"]
    joint_scores = options.runs / "unified-joint" / "test" / "scores.csv"
    comparison = compare_with_script(joint_scores, runs[-1])
    figures = {
        "command": "see the head of benchmarks/detector/report.py",
        "environment": results["environment"],
        "data": results["data"],
        "detectors": {run["name"]: describe_detector(run) for run in runs},
        "cross_matrix_auc": {
            run["name"]: by_generator(run["test"]["generators"], "auc") for run in runs
        },
        "forgetting_accuracy": forgetting(runs, "accuracy"),
        "forgetting_auc": forgetting(runs, "auc"),
        "report_table": results["report_table"],
        "joint_against_plain_script": comparison,
    }
    save_results("detector_report.json", figures)
    for name, row in comparison.items():
        print(name, row)


def describe_detector(run: dict[str, Any]) -> dict[str, Any]:
    last_step = run["steps"][-1]
    return {"part": run["part"], "images": last_step["images"], "test": run["test"]}


def by_generator(scores: list[dict[str, Any]], figure: str) -> dict[str, Any]:
    """One figure of each generator."""
    return {generator["name"]: generator[figure]["value"] for generator in scores}


def forgetting(runs: list[dict[str, Any]], figure: str) -> dict[str, Any]:
    """Run → stage → generator: a figure on the test images after each stage of training."""
    matrix = {}
    for run in runs:
        stages = {}
        for stage in run["stages"]:
            stages[stage["name"]] = by_generator(stage["test"]["generators"], figure)
        if stages:
            matrix[run["name"]] = stages
    return matrix


def compare_with_script(path: Path, joint: dict[str, Any]) -> dict[str, Any]:
    """The joint detector beside the plain script: AUC by generator, and reals called real."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    comparison: dict[str, Any] = {}
    for generator, (reals, script_auc) in PLAIN_SCRIPT.items():
        chosen = choose_rows(rows, generator, reals)
        labels = [int(row["label"] == "fake") for row in chosen]
        scores = [float(row["score"]) for row in chosen]
        groups = [row["group"] for row in chosen]
        measured = score_set(generator, np.array(labels), np.array(scores), groups, reals)
        comparison[generator] = {
            "reals": reals,
            "n": len(chosen),
            "auc": measured.auc.model_dump(),
            "plain_script_auc": script_auc,
        }
    for source, script_share in PLAIN_REALS.items():
        comparison[f"{source} called real"] = {
            "share": joint["test"]["real_accuracy"][source],
            "plain_script": script_share,
        }
    return comparison


def choose_rows(
    rows: list[dict[str, str]], generator: str, reals: list[str]
) -> list[dict[str, str]]:
    """The scores of one generator's fakes and of some collections of reals."""
    chosen = []
    for row in rows:
        is_real = row["label"] == "real" and row["source"] in reals
        if is_real or row["generator"] == generator:
            chosen.append(row)
    return chosen


if __name__ == "__main__":
    main()
