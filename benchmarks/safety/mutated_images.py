"""A thousand damaged pictures through `scan`: each must end as a verdict or a clear status, none in
a crash or a hang.

    .venv/bin/python -m benchmarks.safety.mutated_images

Pictures of the embedded data set, encoded in every format that is read (HEIC included:
`fauxlab[heic]`), are damaged in four ways (bits flipped, cut short, header bytes overwritten,
pieces moved) and scanned one by one with the packaged detector, faces looked for. Writes
benchmarks/results/mutated_images.json.
"""

from __future__ import annotations

import argparse
import io
import json
import shlex
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image

from fauxlab.bundle.opening import DEFAULT_MODEL
from fauxlab.datasets.toyfaces import draw, plan
from fauxlab.environment import describe_environment
from fauxlab.io.images import FORMATS
from fauxlab.scan.scanner import Scanner

RESULTS = Path(__file__).parents[1] / "results" / "mutated_images.json"
SLOW = 5.0  # seconds of the process's own time
HEADER = 600  # bytes


def flip(data: bytearray, rng: np.random.Generator) -> bytes:
    for place in rng.integers(len(data), size=rng.integers(1, 30)):
        data[place] ^= 1 << int(rng.integers(8))
    return bytes(data)


def cut(data: bytearray, rng: np.random.Generator) -> bytes:
    return bytes(data[: rng.integers(len(data))])


def overwrite(data: bytearray, rng: np.random.Generator) -> bytes:
    for place in rng.integers(min(HEADER, len(data)), size=rng.integers(1, 12)):
        data[place] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.integers(256)]))
    return bytes(data)


def move(data: bytearray, rng: np.random.Generator) -> bytes:
    a, b, c = sorted(int(place) for place in rng.integers(len(data), size=3))
    return bytes(data[:a] + data[b:c] + data[a:b] + data[c:])


DAMAGES = (flip, cut, overwrite, move)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    options = parser.parse_args()
    pillow_heif.register_heif_opener()  # which also writes
    rng = np.random.default_rng(0)
    photos = plan(12)
    pictures = [Image.fromarray(draw("wiki", photos, k, 128)) for k in range(len(photos))]
    scanner = Scanner.from_pretrained(options.model)
    counts: Counter[str] = Counter()
    by_format: Counter[str] = Counter()
    slowest, slow = 0.0, []
    with tempfile.TemporaryDirectory() as folder:
        for k in range(options.n):
            form, damage = FORMATS[k % len(FORMATS)], DAMAGES[k // len(FORMATS) % len(DAMAGES)]
            stream = io.BytesIO()
            pictures[k % len(pictures)].save(stream, form)
            path = Path(folder) / f"{k}.{form.lower()}"
            path.write_bytes(damage(bytearray(stream.getvalue()), rng))
            start = time.process_time()
            verdicts = list(scanner.scan([str(path)]))
            spent = time.process_time() - start
            slowest = max(slowest, spent)
            slow += [path.name] if spent > SLOW else []
            assert verdicts, path
            assert all(v.status != "error" or v.message for v in verdicts), path
            counts[f"{damage.__name__}: {verdicts[0].status}"] += 1
            by_format[f"{form}: {verdicts[0].status}"] += 1
    found = {
        "n": options.n,
        "statuses": dict(sorted(counts.items())),
        "by_format": dict(sorted(by_format.items())),
        "slowest_cpu_seconds": slowest,
        "slow": slow,
    }
    found |= {"model": scanner.detector.hash, "command": shlex.join(sys.argv)}
    RESULTS.write_text(
        json.dumps({**found, "environment": describe_environment("")}, indent=1) + "\n"
    )
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
