r"""How fast does `fauxlab scan` come from files to verdicts, and does its memory stay flat?

    .venv/bin/fauxlab export MODEL --out EXPORTED
    .venv/bin/fauxlab export MODEL --out INT8 --int8 faces/manifest.csv
    .venv/bin/python -m benchmarks.speed.scan FACES MODEL EXPORTED --int8 INT8

FACES is a folder or zip of JPEGs. Rounds alternate between the contenders, on the same files, which
the system holds in memory; the pictures count as cropped faces:

- onnx, int8, torch: `Scanner.scan` with each bundle, verdicts included;
- plain: a loop written with torch and Pillow alone: open, convert, crop, resize, batches of 32, the
  same network.

Writes benchmarks/results/scan_speed.json. Ratios above 1 mean faster than plain. `agreement`
compares the contenders' scores with those of plain; `cold_start_seconds` is a whole command on one
file; `peak_memory_mib` belongs to a process that scans the files over and over.
"""

from __future__ import annotations

import argparse
import json
import resource
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
from benchmarks.output import command_line, describe_machine, print_results, save_results
from benchmarks.speed.timing import compare, measure_rounds
from PIL import Image

from fauxlab.bundle.opening import open_detector
from fauxlab.io.sources import walk_images, zip_images
from fauxlab.models.pretrained import Detector
from fauxlab.scan.scanner import Scanner

BATCH = 32
COLD_STARTS = 9
# `getrusage` would not do here: a process's peak starts from that of the process that started it.
MEASURE = """
import json, sys
from fauxlab.scan.scanner import Scanner
paths = json.load(sys.stdin)
scanner = Scanner.from_pretrained(sys.argv[1], "none")
done = sum(verdict.status == "ok" for verdict in scanner.scan(paths))
assert done == len(paths), f"{done} of {len(paths)}"
for line in open("/proc/self/status"):
    if line.startswith("VmHWM"):
        print(int(line.split()[1]) / 2**10)
"""

Contender = Callable[[list[str]], list[float]]


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
        result = {
            "command": command_line(),
            "environment": {**describe_machine(), "onnxruntime": version("onnxruntime")},
            "models": {name: describe_model(bundle) for name, bundle in bundles.items()},
            "images": len(paths),
            **measure_speed(paths, bundles, options.model, options.rounds),
            "cold_start_seconds": {
                name: time_cold_start(paths[0], bundle) for name, bundle in bundles.items()
            },
            "peak_memory_mib": {
                str(count): peak_memory(paths, count, options.onnx) for count in options.memory
            },
        }
    save_results("scan_speed.json", result)
    print_results(result, without=("environment", "files_per_second"))


def list_files(source: Path, count: int, folder: Path) -> list[str]:
    """The first pictures of a folder, or of a zip, which is unpacked: all contenders open files."""
    if source.is_dir():
        return [str(path) for path in islice(walk_images(source), count)]
    paths = []
    with zipfile.ZipFile(source) as archive:
        members = zip_images(source)[:count]
        for number, member in enumerate(members):
            suffix = Path(member).suffix
            path = folder / f"{number:06}{suffix}"
            path.write_bytes(archive.read(member))
            paths.append(str(path))
    return paths


def describe_model(bundle: Path) -> dict[str, Any]:
    detector = open_detector(bundle)
    return {
        "architecture": detector.config.architecture,
        "size": detector.size,
        "hash": detector.hash,
    }


# --- files a second


def measure_speed(
    paths: list[str], bundles: dict[str, Path], model: Path, rounds: int
) -> dict[str, Any]:
    """Files a second of every contender, and whether their scores agree with those of plain."""
    contenders = load_contenders(bundles, model)
    scores = {}
    for contender in contenders.values():
        contender(paths[: 2 * BATCH])  # warm up

    def rate_of(name: str) -> float:
        start = time.perf_counter()
        scores[name] = contenders[name](paths)
        return len(paths) / (time.perf_counter() - start)

    rates = measure_rounds({name: lambda n=name: rate_of(n) for name in contenders}, rounds)
    threshold = open_detector(model).config.threshold
    ratios = {}
    agreement = {}
    for name in bundles:
        ratios[name] = compare(rates[name], rates["plain"])
        agreement[name] = compare_scores(scores[name], scores["plain"], threshold)
    return {"files_per_second": rates, "ratio": ratios, "agreement": agreement}


def load_contenders(bundles: dict[str, Path], model: Path) -> dict[str, Contender]:
    """Each takes paths and returns scores P(fake); models are loaded before the clock starts."""
    torch_detector = Detector.from_pretrained(model, "cpu")
    contenders: dict[str, Contender] = {}
    for name, folder in bundles.items():
        # `open_detector` prefers a graph that lies beside torch's weights.
        detector = torch_detector if folder == model else open_detector(folder)
        scanner = Scanner(detector, "none")
        contenders[name] = lambda paths, scanner=scanner: scan_scores(scanner, paths)
    contenders["plain"] = lambda paths: list(plain_loop(paths, torch_detector))
    return contenders


def scan_scores(scanner: Scanner, paths: list[str]) -> list[float]:
    return [verdict.score or 0.0 for verdict in scanner.scan(paths)]


def plain_loop(paths: list[str], detector: Detector) -> Iterator[float]:
    """A loop without fauxlab's scanner, with the same network and arithmetic."""
    for start in range(0, len(paths), BATCH):
        pictures = []
        for path in paths[start : start + BATCH]:
            image = Image.open(path).convert("RGB")
            side = min(image.size)
            left = (image.width - side) // 2
            top = (image.height - side) // 2
            square = image.crop((left, top, left + side, top + side))
            small = square.resize((detector.size, detector.size), Image.Resampling.BICUBIC)
            pixels = torch.from_numpy(np.array(small))
            pictures.append(pixels.permute(2, 0, 1))
        batch = torch.stack(pictures).float() / 127.5 - 1
        with torch.no_grad():
            logits = detector.model(batch)
        yield from detector.scores(logits.numpy()).tolist()


def compare_scores(scores: list[float], plain: list[float], threshold: float) -> dict[str, float]:
    """Share of equal labels, and the largest difference between two scores."""
    ours = np.array(scores)
    theirs = np.array(plain)
    same_label = (ours >= threshold) == (theirs >= threshold)
    difference = np.abs(ours - theirs)
    return {
        "same_label": float(np.mean(same_label)),
        "largest_difference": float(difference.max()),
    }


# --- start and memory


def time_cold_start(path: str, bundle: Path) -> dict[str, float]:
    """Median seconds of `fauxlab scan` on one file: by the clock, and of the processor."""
    command = [sys.executable, "-m", "fauxlab", "scan", path]
    command += ["--model", str(bundle), "--crop", "none"]
    clock = []
    processor = []
    for _ in range(COLD_STARTS):
        processor_start = children_seconds()
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        clock.append(time.perf_counter() - start)
        processor.append(children_seconds() - processor_start)
    return {"clock": statistics.median(clock), "processor": statistics.median(processor)}


def children_seconds() -> float:
    """Processor time of all processes that this one started and that ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def peak_memory(paths: list[str], count: int, bundle: Path) -> float:
    """MiB of a process that scans `count` files, repeating the list as often as needed."""
    repeated = list(islice(cycle(paths), count))
    command = [sys.executable, "-c", MEASURE, str(bundle)]
    finished = subprocess.run(
        command, input=json.dumps(repeated), capture_output=True, text=True, check=True
    )
    return float(finished.stdout)


if __name__ == "__main__":
    main()
