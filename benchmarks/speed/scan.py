"""How fast does `fauxlab scan` come from files to verdicts, against a plain torch loop, and does
its memory stay flat?

    .venv/bin/fauxlab export MODEL --out EXPORTED && .venv/bin/fauxlab export MODEL --out INT8 --int8 manifest.csv
    .venv/bin/python -m benchmarks.speed.scan FACES MODEL EXPORTED --int8 INT8     # FACES: a folder or zip of JPEGs

Side by side in one run, rounds alternating, the same files, all from the disk's cache; pictures are
taken as faces that are cropped already:

- onnx, int8, torch: `Scanner.scan` with each bundle, verdicts and all
- plain: torch and Pillow as anyone would write it: open, convert, crop, resize, batches of 32, the
  same network

Writes benchmarks/results/scan_speed.json. Ratios above 1 mean faster than plain. `agreement`
compares every contender's verdicts with those of plain; `peak_memory_mib` is that of a process
which scans the files over and over.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from fauxlab.bundle.opening import open_detector
from fauxlab.environment import describe_environment
from fauxlab.io.sources import walk_images, zip_images
from fauxlab.models.pretrained import Detector
from fauxlab.scan.scanner import Scanner

RESULTS = Path(__file__).parents[1] / "results" / "scan_speed.json"
BATCH = 32
COLD = 9
MEASURE = """
import json, sys
from fauxlab.scan.scanner import Scanner
paths = json.load(sys.stdin)
done = sum(verdict.status == "ok" for verdict in Scanner.from_pretrained(sys.argv[1], "none").scan(paths))
assert done == len(paths), f"{done} of {len(paths)}"
# Not `getrusage`: what it gives as a process's peak starts from that of the process that started
# it.
print(next(int(line.split()[1]) / 2**10 for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("faces", type=Path, help="a folder or zip of JPEGs")
    parser.add_argument("model", type=Path, help="a bundle for torch")
    parser.add_argument("onnx", type=Path, help="the same, exported")
    parser.add_argument("--int8", type=Path, help="the same in 8-bit integers")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--memory", type=int, nargs="*", default=[1000, 10_000], help="numbers of files"
    )
    options = parser.parse_args()
    bundles = {"onnx": options.onnx, "int8": options.int8, "torch": options.model}
    bundles = {name: folder for name, folder in bundles.items() if folder}
    with tempfile.TemporaryDirectory() as folder:
        paths = list_files(options.faces, options.images, Path(folder))
        rates, scores = race(paths, contenders(bundles, options.model), options.rounds)
        result = {
            "command": f"benchmarks/speed/scan.py {' '.join(name_of(word) for word in sys.argv[1:])}",
            "environment": {**describe_environment(""), "onnxruntime": version("onnxruntime")},
            "models": {name: describe(path) for name, path in bundles.items()},
            "images": len(paths),
            "files_per_second": rates,
            "ratio": {name: ratio(rates[name], rates["plain"]) for name in bundles},
            "agreement": {
                name: agreement(scores[name], scores["plain"], options.model) for name in bundles
            },
            "cold_start_seconds": {
                name: time_cold(paths[0], bundle) for name, bundle in bundles.items()
            },
            "peak_memory_mib": {
                str(count): peak_memory(paths, count, options.onnx) for count in options.memory
            },
        }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(
        json.dumps(
            {k: v for k, v in result.items() if k not in ("environment", "files_per_second")},
            indent=1,
        )
    )


def list_files(source: Path, count: int, folder: Path) -> list[str]:
    """The first pictures of a folder, or of a zip, unpacked: every contender opens plain files."""
    if source.is_dir():
        return [str(path) for path in islice(walk_images(source), count)]
    paths = []
    with zipfile.ZipFile(source) as archive:
        for number, member in enumerate(zip_images(source)[:count]):
            path = folder / f"{number:06}{Path(member).suffix}"
            path.write_bytes(archive.read(member))
            paths.append(str(path))
    return paths


Contender = Callable[[list[str]], list[float]]


def contenders(bundles: dict[str, Path], model: Path) -> dict[str, Contender]:
    """Each takes paths and gives scores P(fake); models are loaded before the clock starts."""

    def scanning(folder: Path) -> Contender:
        # A graph that lies beside the weights would be taken first.
        scanner = Scanner(detector if folder == model else open_detector(folder), "none")
        return lambda paths: [verdict.score or 0.0 for verdict in scanner.scan(paths)]

    detector = Detector.from_pretrained(model, "cpu")
    found: dict[str, Contender] = {name: scanning(folder) for name, folder in bundles.items()}
    return {**found, "plain": lambda paths: list(plain_loop(paths, detector))}


def plain_loop(paths: list[str], detector: Detector) -> Iterator[float]:
    """What one would write without fauxlab, with its network and its arithmetic."""
    for start in range(0, len(paths), BATCH):
        batch = []
        for path in paths[start : start + BATCH]:
            image = Image.open(path).convert("RGB")
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            square = image.crop((left, top, left + side, top + side))
            square = square.resize((detector.size, detector.size), Image.Resampling.BICUBIC)
            batch.append(torch.from_numpy(np.array(square)).permute(2, 0, 1))
        with torch.no_grad():
            logits = detector.model(torch.stack(batch).float() / 127.5 - 1)
        yield from detector.scores(logits.numpy()).tolist()


def race(
    paths: list[str], runners: dict[str, Contender], rounds: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Files/s of every round, and the scores of the last."""
    rates: dict[str, list[float]] = {name: [] for name in runners}
    scores = {name: run(paths[: 2 * BATCH]) for name, run in runners.items()}  # warm
    for _ in range(rounds):
        for name, run in runners.items():
            start = time.perf_counter()
            scores[name] = run(paths)
            rates[name].append(len(paths) / (time.perf_counter() - start))
        print({name: round(values[-1], 1) for name, values in rates.items()}, file=sys.stderr)
    return rates, scores


def agreement(scores: list[float], plain: list[float], model: Path) -> dict[str, float]:
    """Share of equal labels, and the largest difference between two scores."""
    threshold = Detector.from_pretrained(model, "cpu").config.threshold
    here, there = np.array(scores), np.array(plain)
    same = float(np.mean((here >= threshold) == (there >= threshold)))
    return {"same_label": same, "largest_difference": float(np.abs(here - there).max())}


def time_cold(path: str, bundle: Path) -> dict[str, float]:
    """Seconds of a whole `fauxlab scan` of one file: by the clock, and of the processor; medians."""
    import resource

    command = [
        sys.executable,
        "-m",
        "fauxlab",
        "scan",
        path,
        "--model",
        str(bundle),
        "--crop",
        "none",
    ]
    clock, processor = [], []
    for _ in range(COLD):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        clock.append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {"clock": statistics.median(clock), "processor": statistics.median(processor)}


def peak_memory(paths: list[str], count: int, bundle: Path) -> float:
    """MiB of a process that scans `count` files, the list repeated as often as it takes."""
    repeated = json.dumps(list(islice(cycle(paths), count)))
    command = [sys.executable, "-c", MEASURE, str(bundle)]
    done = subprocess.run(command, input=repeated, capture_output=True, text=True, check=True)
    return float(done.stdout)


def ratio(a: list[float], b: list[float]) -> dict[str, float]:
    """Ratios round by round: what slows the machine for a while slows both."""
    ratios = sorted(x / y for x, y in zip(a, b, strict=True))
    return {"median": statistics.median(ratios), "lowest": ratios[0], "highest": ratios[-1]}


def describe(bundle: Path) -> dict[str, Any]:
    detector = open_detector(bundle)
    return {
        "architecture": detector.config.architecture,
        "size": detector.size,
        "hash": detector.hash,
    }


def name_of(word: str) -> str:
    """An argument without the folders of the machine that it was given on."""
    return Path(word).name if Path(word).exists() else word


if __name__ == "__main__":
    main()
