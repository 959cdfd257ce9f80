"""Is our training loop as fast as a bare one, and how fast are indexing, decoding and `--help`?

    .venv/bin/python -m benchmarks.speed.train manifest.csv FACES --size 128     # FACES: the folder that was indexed

Side by side in one run, rounds alternating, on the same images and batch:

- ours: `train_detector` with recipe report-unified's network, its log included; validation and
  checkpoints, which come once an epoch or a minute, are not
- bare: a plain loop over an array in memory, the same network class

Writes benchmarks/results/train_speed.json. Ratios above 1 mean ours is faster.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from fauxlab.config import load_recipe
from fauxlab.data.cache import load_images
from fauxlab.data.indexing import index
from fauxlab.data.manifest import Manifest
from fauxlab.environment import describe_environment
from fauxlab.models import create_detector
from fauxlab.training.detector.loop import train_detector

RESULTS = Path(__file__).parents[1] / "results" / "train_speed.json"
BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("folder", type=Path, help="the folder that was indexed")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--images", type=int, default=1280, help="images a round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    data = Manifest.load(options.manifest)
    images = load_images(data, options.size)
    rows = np.arange(len(images))[: options.images]
    pixels, labels = (
        torch.from_numpy(images.take(rows)),
        torch.from_numpy(images.manifest.labels[rows]),
    )
    subset = some_of_both(data, options.images)

    def ours() -> float:
        with tempfile.TemporaryDirectory() as folder:
            return time_ours(subset, options.size, Path(folder))

    rates: dict[str, list[float]] = {"ours": [], "bare": []}
    for _ in range(options.rounds):
        rates["ours"].append(ours())
        rates["bare"].append(time_bare(pixels, labels, options.size))
        print({name: round(values[-1], 1) for name, values in rates.items()}, file=sys.stderr)
    result = {
        "command": f"benchmarks/speed/train.py {' '.join(sys.argv[1:])}",
        "environment": describe_environment(data.data_hash),
        "size": options.size,
        "batch": BATCH,
        "images_a_round": options.images,
        "images_per_second": rates,
        "ratio": {"ours / bare": ratio(rates["ours"], rates["bare"])},
        **time_data(data, options.folder, options.size),
        "help_seconds": time_help(),
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(
        json.dumps(
            {
                k: result[k]
                for k in (
                    "ratio",
                    "index_images_per_second",
                    "decode_images_per_second",
                    "help_seconds",
                )
            },
            indent=1,
        )
    )


def some_of_both(data: Manifest, count: int) -> Manifest:
    """`count` training rows, half of them real: a set whose epoch is one round."""
    chosen = []
    for label in (0, 1):
        chosen += [row.sha256 for row in data.train.rows if row.label == label][: count // 2]
    keep = set(chosen)
    return data.where(lambda row: row.split == "train" and row.sha256 in keep)


def time_ours(subset: Manifest, size: int, folder: Path) -> float:
    """Images/s of an epoch of `train_detector`, from its first log line to its last."""
    times: list[tuple[float, int]] = []
    recipe = load_recipe(
        "unified-joint",
        ["train.epochs=1", f"data.size={size}", f"train.batch={BATCH}", "train.augment=[]"],
    )
    train_detector(
        subset,
        recipe,
        folder,
        on_step=lambda done, _total, _loss: times.append((time.perf_counter(), done)),
    )
    (start, first), (end, last) = times[0], times[-1]
    return (last - first) / (end - start)


def time_bare(pixels: torch.Tensor, labels: torch.Tensor, size: int) -> float:
    """Images/s of the shortest loop that trains the network on an array in memory."""
    torch.manual_seed(0)
    network = create_detector("report-cnn", size)
    network.train()
    optimizer = torch.optim.Adam(network.parameters(), 2e-4, (0.5, 0.999))
    loss_of = nn.BCEWithLogitsLoss()
    order = torch.randperm(len(pixels))
    warm = 10  # steps, as many as lie before our first log line
    start = time.perf_counter()
    for step, batch in enumerate(order.split(BATCH)):
        if step == warm:
            start = time.perf_counter()
        loss = loss_of(network(pixels[batch].float() / 127.5 - 1), labels[batch].float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
    return (len(pixels) - warm * BATCH) / (time.perf_counter() - start)


def time_data(data: Manifest, folder: Path, size: int) -> dict[str, Any]:
    """Images/s of reading a folder into a manifest and of decoding it into an empty store."""
    import os

    found: dict[str, Any] = {}
    found["index_images_per_second"] = len(data) / timed(lambda: index(folder))
    with tempfile.TemporaryDirectory() as store:
        kept = os.environ.get("FAUXLAB_CACHE")
        os.environ["FAUXLAB_CACHE"] = store
        found["decode_images_per_second"] = len(data) / timed(lambda: load_images(data, size))
        if kept is None:
            del os.environ["FAUXLAB_CACHE"]
        else:
            os.environ["FAUXLAB_CACHE"] = kept
    return found


def time_help() -> float:
    """Seconds of `fauxlab --help`, median of nine."""
    command = [
        shutil.which("fauxlab", path=str(Path(sys.executable).parent)) or "fauxlab",
        "--help",
    ]
    return statistics.median(
        timed(lambda: subprocess.run(command, check=True, capture_output=True)) for _ in range(9)
    )


def timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def ratio(a: list[float], b: list[float]) -> dict[str, float]:
    """Ratios round by round: what slows the machine for a while slows both."""
    ratios = sorted(x / y for x, y in zip(a, b, strict=True))
    return {"median": statistics.median(ratios), "lowest": ratios[0], "highest": ratios[-1]}


if __name__ == "__main__":
    main()
