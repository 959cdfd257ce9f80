r"""Make the large detector: heads on CLIP's tuned tower, and what they say of kinds left out.

    .venv/bin/python -m benchmarks.detector.tune_tower faces/manifest.csv TOWER.onnx tuned \
        --heads altered --images 8000
    .venv/bin/python -m benchmarks.detector.tower_features faces/manifest.csv tuned features
    .venv/bin/python -m benchmarks.detector.large faces/manifest.csv tuned features SMALL OUT

The heads are logistic layers on the tower's features: one tells pictures that were made whole from
real ones, the other real photos that were altered. Each learns from the train split as it is, and
from the same pictures after random filters and degradations. The altered head also learns from
real photos that are altered here. Kinds count alike, and groups in a kind. The penalty is chosen on
the train split, by leaving families of generators out.

The tower was tuned for altered pictures alone. It saw no picture that was made whole, so a family
of generators is left out by fitting the heads anew.

Writes the bundle to OUT, not yet calibrated. Its texture network is SMALL, an exported detector,
which gives the out-of-distribution distance; the heads give its features no weight. `--without
KIND,KIND` leaves kinds out. `--json FILE` writes what the heads say of families of generators and
of kinds of real photos that they never saw.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.detector.linear_heads import choose_penalty, fit_head, leave_out
from benchmarks.detector.tower_features import CLEAN, Table, read_layer_norms, read_table
from benchmarks.output import command_line, describe_machine

from fauxlab.bundle.config import DetectorConfig, Head, Preprocessing
from fauxlab.bundle.folder import GRAPH
from fauxlab.bundle.heads import HeadWeights
from fauxlab.bundle.onnx import OnnxDetector
from fauxlab.bundle.tower import (
    ARCHITECTURE,
    TOWER_FEATURES,
    TOWER_OPTION,
    save_tower_bundle,
)
from fauxlab.bundle.tower_session import SIZE
from fauxlab.bundle.tower_store import LARGE_MODEL, TOWER_SHA256
from fauxlab.bundle.tower_weights import TowerWeights
from fauxlab.calibration.join import fit_join
from fauxlab.data.manifest import Manifest
from fauxlab.io.images import PIPELINE_VERSION
from fauxlab.io.text import replace_file
from fauxlab.version import __version__

HEADS = (Head(name="made", manipulation="made"), Head(name="altered", manipulation="altered"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("tuned", type=Path, help="folder of layer_norms.npz")
    parser.add_argument("features", type=Path)
    parser.add_argument("small", type=Path, help="exported bundle of the texture network")
    parser.add_argument("out", type=Path)
    parser.add_argument("--without", default="", help="kinds to leave out, separated by commas")
    parser.add_argument("--json", type=Path, help="leave families and kinds out, and write figures")
    options = parser.parse_args()
    manifest = Manifest.load(options.manifest)
    left_out = [name for name in options.without.split(",") if name]
    table = read_table(manifest, options.features)
    penalty = write_bundle(options, manifest, table, left_out)
    if options.json:
        figures = leave_out(table.where(table.splits != "calibration"), penalty)
        figures["command"] = command_line()
        figures["environment"] = describe_machine(manifest.data_hash)
        replace_file(options.json, json.dumps(figures, indent=1) + "\n")


def write_bundle(
    options: argparse.Namespace, manifest: Manifest, table: Table, left_out: Sequence[str]
) -> float:
    """Fit the heads and write the bundle; returns the penalty that was chosen."""
    known = table.where(~np.isin(table.kinds, left_out))
    train = known.where(known.splits == "train")
    penalty, means = choose_penalty(known)
    altered = {row.generator for row in manifest.rows if row.manipulation == "altered"}
    matched = sorted({source for name in altered for source in manifest.matched_reals(name)})
    fits = [fit_head(train, "made", penalty), fit_head(train, "altered", penalty, matched)]

    # One scale for both heads.
    val = known.where((known.splits == "val") & (known.views == CLEAN))
    logits = np.stack([fit.logits(val.features) for fit in fits], 1)
    labels = (~val.is_real).astype(np.int64)
    names = [head.name for head in HEADS]
    columns = (val.sorts.tolist(), val.kinds.tolist(), val.groups.tolist())
    centre, scale = fit_join(logits.astype(np.float64), labels, *columns, names)

    small = OnnxDetector.from_pretrained(options.small, trust=True)
    blank = np.zeros((1, 3, small.size, small.size), np.uint8)
    textures = small.predict(blank).features.shape[1]
    weight = np.zeros((len(HEADS), TOWER_FEATURES + textures), np.float32)
    weight[:, :TOWER_FEATURES] = [fit.weight for fit in fits]
    bias = np.array([fit.bias for fit in fits], np.float32)
    heads = HeadWeights(weight, bias, centre.astype(np.float32), scale.astype(np.float32))
    weights = TowerWeights(heads, read_layer_norms(options.tuned))
    config = describe(manifest, small, penalty, means, left_out)
    graph = (options.small / GRAPH).read_bytes()
    digest = save_tower_bundle(options.out, config, weights, graph)
    print(f"{options.out}: {digest}")
    return penalty


def describe(
    manifest: Manifest,
    small: OnnxDetector,
    penalty: float,
    means: dict[str, float],
    left_out: Sequence[str],
) -> DetectorConfig:
    """The config of the bundle, not yet calibrated."""
    training: dict[str, Any] = {
        "generators": [name for name in manifest.generators if name not in left_out],
        "sources": [name for name in manifest.sources if name not in left_out],
        "data_hash": manifest.data_hash,
        "penalty": penalty,
        "texture": small.hash,
        "fauxlab": __version__,
    }
    return DetectorConfig(
        name=LARGE_MODEL,
        architecture=ARCHITECTURE,
        options={TOWER_OPTION: TOWER_SHA256},
        preprocessing=Preprocessing(size=SIZE, pipeline_version=PIPELINE_VERSION),
        heads=HEADS,
        ood=small.config.ood,
        training=training,
        metrics={"auc_of_families_left_out_of_train": means},
    )


if __name__ == "__main__":
    main()
