"""Does every damaged or hostile model end as a verdict or as one line, in bounded time and memory?

    .venv/bin/python -m benchmarks.safety.mutated_bundles

Makes a small detector for torch, and an export of it. Of each, bytes are flipped, cut, overwritten
or moved; values of its config are replaced; and operators that grow are put into its graph.
`fauxlab scan` opens each in a process of its own.

Writes benchmarks/results/mutated_bundles.json: how the processes ended, and the most that one took.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from benchmarks.output import command_line, describe_machine, print_results, save_results
from benchmarks.safety.mutated_images import DAMAGES, draw_pictures
from benchmarks.safety.outcomes import Outcome, run, summarise
from onnx import helper, numpy_helper

from fauxlab.bundle.config import DetectorConfig, Preprocessing
from fauxlab.bundle.folder import CONFIG, GRAPH, WEIGHTS
from fauxlab.io.images import PIPELINE_VERSION
from fauxlab.models import create_detector
from fauxlab.models.export import export_onnx
from fauxlab.models.pretrained import Detector

SIZE = 64
Rng = np.random.Generator
Damage = Callable[[Path, Rng], str]  # changes a bundle, and names what it did


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=100)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_bundles(folder)
        draw_pictures()[0].save(folder / "face.png")
        outcomes = []
        for number in range(options.n):
            part = PARTS[number % len(PARTS)]
            outcomes.append(try_bundle(folder, part, rng))
            print(number, outcomes[-1], flush=True)
    result = summarise(outcomes) | {
        "command": command_line(),
        "environment": describe_machine(),
    }
    save_results("mutated_bundles.json", result)
    print_results(result)


def write_bundles(folder: Path) -> None:
    """A detector for torch, and its export."""
    torch.manual_seed(0)
    network = create_detector("trace", SIZE, widths=[8, 16], blocks=[1, 1], stem=8)
    how = Preprocessing(size=SIZE, pipeline_version=PIPELINE_VERSION)
    options = {"widths": [8, 16], "blocks": [1, 1], "stem": 8}
    config = DetectorConfig(architecture="trace", options=options, preprocessing=how)
    saved = Detector(network.eval(), config).save_pretrained(folder / "torch")
    export_onnx(saved, folder / "onnx")


def try_bundle(folder: Path, part: tuple[str, str, Damage], rng: Rng) -> Outcome:
    """Damage a copy of a bundle, and scan with it."""
    source, name, damage = part
    bundle = folder / "bundle"
    shutil.rmtree(bundle, ignore_errors=True)
    shutil.copytree(folder / source, bundle)
    what = damage(bundle, rng)
    picture = str(folder / "face.png")
    arguments = ["scan", picture, "--crop", "none", "--model", str(bundle)]
    return run(f"{source}/{name} {what}", arguments, folder)


def damage_bytes(name: str) -> Damage:
    """Flip, cut, overwrite or move bytes of one file."""

    def damage(bundle: Path, rng: Rng) -> str:
        # Most damages are small, so that many files pass the first checks.
        changes = (flip_few, flip_few, flip_few, *DAMAGES)
        change = changes[rng.integers(len(changes))]
        data = bytearray((bundle / name).read_bytes())
        (bundle / name).write_bytes(change(data, rng))
        return change.__name__

    return damage


def flip_few(data: bytearray, rng: Rng) -> bytes:
    """Flip 1 to 3 bits anywhere."""
    for place in rng.integers(len(data), size=rng.integers(1, 4)):
        data[place] ^= 1 << int(rng.integers(8))
    return bytes(data)


# --- values of a config

VALUES: list[Any] = [
    None,
    -1,
    0,
    10**30,
    1e308,
    float("nan"),
    float("inf"),
    "\x1b[31m",
    "x" * 500_000,
    [],
    [[]] * 1000,
    [4096] * 4,
    [200, 200],
    {"a": {"a": {}}},
    "nest",
]
PLACES = [
    ("architecture",),
    ("schema_version",),
    ("options",),
    ("options", "widths"),
    ("options", "blocks"),
    ("options", "stem"),
    ("options", "\x1b[2J"),
    ("preprocessing", "size"),
    ("preprocessing", "pipeline_version"),
    ("threshold",),
    ("training", "note"),
    ("calibration",),
]


def change_config(bundle: Path, rng: Rng) -> str:
    """Replace a value of the config, or all of it by lists in lists."""
    place = PLACES[rng.integers(len(PLACES))]
    value = VALUES[rng.integers(len(VALUES))]
    path = bundle / CONFIG
    if value == "nest":
        path.write_text("[" * 100_000)
        return "nested"
    fields = json.loads(path.read_text())
    table = fields
    for key in place[:-1]:
        table = table.setdefault(key, {})
    table[place[-1]] = value
    path.write_text(json.dumps(fields))
    return f"{'.'.join(place)} = {value!r:.30}"


# --- headers of weights


def change_header(bundle: Path, rng: Rng) -> str:
    """Change a weight's shape, numbers or place, or the length of the list of weights."""
    path = bundle / WEIGHTS
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    kind = ["length", "shape", "kind", "place", "many", "sparse", "pipe"][rng.integers(7)]
    name = sorted(header)[rng.integers(len(header))]
    entry = header[name]
    if kind == "length":
        path.write_bytes(int(rng.integers(2**40)).to_bytes(8, "little") + data[8:])
        return kind
    if kind == "sparse":
        os.truncate(path, 2**36)
        return kind
    if kind == "pipe":
        path.unlink()
        os.mkfifo(path)
        return kind
    if kind == "shape" and isinstance(entry, dict):
        entry["shape"] = [2**40, 2**20]
    elif kind == "kind" and isinstance(entry, dict):
        entry["dtype"] = "F8_E5M2"
    elif kind == "place" and isinstance(entry, dict):
        entry["data_offsets"] = [0, 2**50]
    else:
        for number in range(200_000):
            header[f"w{number}"] = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    return kind


# --- operators that grow


def grow(bundle: Path, rng: Rng) -> str:
    """Add to the graph's logits what a huge value averages to."""
    graph = onnx.load(bundle / GRAPH)
    kinds = sorted(GROWTH)
    kind = kinds[rng.integers(len(kinds))]
    operator, inputs, attributes = GROWTH[kind]
    names = []
    for number, value in enumerate(inputs):
        if isinstance(value, str):
            names.append(value)
            continue
        name = f"extra{number}"
        graph.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        names.append(name)
    nodes = [helper.make_node(operator, names, ["grown"], **attributes)]
    nodes.append(helper.make_node("Cast", ["grown"], ["floats"], to=onnx.TensorProto.FLOAT))
    nodes.append(helper.make_node("ReduceMean", ["floats"], ["mean"], keepdims=0))
    for node in graph.graph.node:
        outputs = [name.replace("logits", "plain") for name in node.output]
        node.output[:] = outputs
        node.input[:] = [name.replace("logits", "plain") for name in node.input]
    nodes_after = [helper.make_node("Add", ["plain", "mean"], ["logits"])]
    everything = [*nodes, *graph.graph.node, *nodes_after]
    del graph.graph.node[:]
    graph.graph.node.extend(everything)
    (bundle / GRAPH).write_bytes(graph.SerializeToString())
    return kind


ONE = np.ones(1, dtype=np.float32)
ROW = np.ones(300, dtype=np.float32)
GROWTH: dict[str, tuple[str, list[Any], dict[str, Any]]] = {
    "ConstantOfShape": ("ConstantOfShape", [[60_000, 60_000]], {}),
    "Expand": ("Expand", [ONE, [100_000, 100_000]], {}),
    "Tile": ("Tile", ["images", [1, 1, 300, 300]], {}),
    "Pad": ("Pad", ["images", [0, 0, 9000, 9000, 0, 0, 9000, 9000]], {}),
    "Resize": ("Resize", ["images", "", np.float32([1, 1, 300, 300])], {}),
    "Range": ("Range", [np.int64(0), np.int64(2**40), np.int64(1)], {}),
    "Einsum": ("Einsum", [ROW, ROW, ROW, ROW], {"equation": "a,b,c,d->abcd"}),
    "Conv": ("Conv", ["images", np.ones((2**16, 3, 1, 1), dtype=np.float32)], {}),
    "AveragePool": (
        "AveragePool",
        ["images"],
        {"kernel_shape": [20_001, 20_001], "pads": [10_000] * 4},
    ),
    "ConvTranspose": (
        "ConvTranspose",
        ["images", np.ones((3, 1, 3, 3), dtype=np.float32)],
        {"strides": [300, 300]},
    ),
    "OneHot": ("OneHot", [[0] * 1000, 10**8, np.float32([0, 1])], {}),
    "NonZero": ("NonZero", ["images"], {}),
    "RandomUniform": ("RandomUniform", [], {"shape": [60_000, 60_000]}),
    "MatMul": ("MatMul", [np.ones((10**6, 1), dtype=np.float32), np.ones((1, 10**6), "f4")], {}),
    "Gather": ("Gather", [np.ones((1, 10**6), dtype=np.float32), [0] * 10**5], {}),
}
PARTS: tuple[tuple[str, str, Damage], ...] = (
    ("onnx", "graph", damage_bytes(GRAPH)),
    ("onnx", "growth", grow),
    ("onnx", "config", change_config),
    ("torch", "weights", damage_bytes(WEIGHTS)),
    ("onnx", "graph", damage_bytes(GRAPH)),
    ("onnx", "growth", grow),
    ("torch", "config", change_config),
    ("torch", "header", change_header),
    ("onnx", "text", damage_bytes(CONFIG)),
    ("torch", "text", damage_bytes(CONFIG)),
)


if __name__ == "__main__":
    main()
