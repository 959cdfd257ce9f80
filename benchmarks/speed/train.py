r"""Is the detector's training loop as fast as a bare one? How fast are indexing and decoding?

    .venv/bin/python -m benchmarks.speed.train faces/manifest.csv FACES --size 128

FACES is the folder that was indexed. Rounds alternate between two loops, on the same images and
batch size:

- ours: `train_detector` with the network of recipe report-unified, its log included; without
  validation and checkpoints, which come once an epoch or a minute;
- bare: a plain loop over an array in memory, with the same network class.

Also measures images a second of indexing and of decoding, and the seconds of `fauxlab --help`.
Writes benchmarks/results/train_speed.json. Ratios above 1 mean that ours is faster.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.output import command_line, describe_machine, print_results, save_results
from benchmarks.speed.timing import compare, measure_rounds, time_action
from torch import nn

from fauxlab.config import load_recipe
from fauxlab.data.cache import load_images
from fauxlab.data.indexing import index
from fauxlab.data.manifest import Manifest
from fauxlab.models import create_detector
from fauxlab.training.detector.loop import train_detector

BATCH = 32
WARM_UP = 10  # steps of a bare loop, as many as lie before the first line of our log


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("folder", type=Path, help="the folder that was indexed")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--images", type=int, default=1280, help="images a round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    data = Manifest.load(options.manifest)
    size = options.size
    images = load_images(data, size)
    rows = np.arange(len(images))[: options.images]
    pixels = torch.from_numpy(images.take(rows))
    labels = torch.from_numpy(images.manifest.labels[rows])
    subset = take_both_classes(data, options.images)
    contenders = {
        "ours": lambda: rate_of_ours(subset, size),
        "bare": lambda: rate_of_bare(pixels, labels, size),
    }
    rates = measure_rounds(contenders, options.rounds)
    ratios = {"ours / bare": compare(rates["ours"], rates["bare"])}
    result = {
        "command": command_line(),
        "environment": describe_machine(data.data_hash),
        "size": size,
        "batch": BATCH,
        "images_a_round": options.images,
        "images_per_second": rates,
        "ratio": ratios,
        "index_images_per_second": len(data) / time_action(lambda: index(options.folder)),
        "decode_images_per_second": len(data) / time_decoding(data, size),
        "help_seconds": time_help(),
    }
    save_results("train_speed.json", result)
    print_results(result, without=("environment", "images_per_second"))


def take_both_classes(data: Manifest, count: int) -> Manifest:
    """`count` training rows, half of them real: one epoch over them is one round."""
    chosen = set()
    for label in (0, 1):
        hashes = [row.sha256 for row in data.train.rows if row.label == label]
        chosen.update(hashes[: count // 2])
    return data.where(lambda row: row.split == "train" and row.sha256 in chosen)


def rate_of_ours(subset: Manifest, size: int) -> float:
    """Images a second of an epoch of `train_detector`, from its first log line to its last."""
    overrides = [
        "train.epochs=1",
        f"data.size={size}",
        f"train.batch={BATCH}",
        "train.augment=[]",
    ]
    recipe = load_recipe("unified-joint", overrides)
    times: list[tuple[float, int]] = []

    def note_time(done: int, _total: int, _loss: float) -> None:
        times.append((time.perf_counter(), done))

    with tempfile.TemporaryDirectory() as folder:
        train_detector(subset, recipe, Path(folder), on_step=note_time)
    start, first = times[0]
    end, last = times[-1]
    return (last - first) / (end - start)


def rate_of_bare(pixels: torch.Tensor, labels: torch.Tensor, size: int) -> float:
    """Images a second of the shortest loop that trains the network on an array in memory."""
    torch.manual_seed(0)
    network = create_detector("report-cnn", size)
    network.train()
    optimizer = torch.optim.Adam(network.parameters(), 2e-4, (0.5, 0.999))
    loss_of = nn.BCEWithLogitsLoss()
    order = torch.randperm(len(pixels))
    start = time.perf_counter()
    for step, batch in enumerate(order.split(BATCH)):
        if step == WARM_UP:
            start = time.perf_counter()
        x = pixels[batch].float() / 127.5 - 1
        loss = loss_of(network(x), labels[batch].float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
    seconds = time.perf_counter() - start
    return (len(pixels) - WARM_UP * BATCH) / seconds


def time_decoding(data: Manifest, size: int) -> float:
    """Seconds to decode all images into an empty store."""
    former = os.environ.get("FAUXLAB_CACHE")
    with tempfile.TemporaryDirectory() as store:
        os.environ["FAUXLAB_CACHE"] = store
        seconds = time_action(lambda: load_images(data, size))
    if former is None:
        del os.environ["FAUXLAB_CACHE"]
    else:
        os.environ["FAUXLAB_CACHE"] = former
    return seconds


def time_help() -> float:
    """Seconds of `fauxlab --help`, the median of nine."""
    folder = str(Path(sys.executable).parent)
    program = shutil.which("fauxlab", path=folder) or "fauxlab"
    times = []
    for _ in range(9):
        seconds = time_action(lambda: run_quietly(program, "--help"))
        times.append(seconds)
    return statistics.median(times)


def run_quietly(*words: str) -> Any:
    return subprocess.run(words, check=True, capture_output=True)


if __name__ == "__main__":
    main()
