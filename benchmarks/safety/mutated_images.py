"""Does every damaged picture end as a verdict or a clear status, without a crash or a hang?

    .venv/bin/python -m benchmarks.safety.mutated_images

Encodes pictures of the embedded data set in every format that is read (HEIC included, by the extra
`fauxlab[heic]`). Each is damaged in one of four ways: bits flipped, cut short, header bytes
overwritten, or pieces moved. The packaged detector scans them one by one and looks for faces.

Writes benchmarks/results/mutated_images.json: statuses by damage and by format, and the longest
time spent on a picture.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pillow_heif
from benchmarks.output import command_line, describe_machine, print_results, save_results
from PIL import Image

from fauxlab.bundle.opening import DEFAULT_MODEL
from fauxlab.datasets.toyfaces import draw, plan
from fauxlab.io.images import FORMATS
from fauxlab.scan.scanner import Scanner

SLOW = 5.0  # seconds of the process's own time
HEADER = 600  # bytes

Rng = np.random.Generator


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    options = parser.parse_args()
    pillow_heif.register_heif_opener()  # so that Pillow also writes HEIC
    rng = np.random.default_rng(0)
    pictures = draw_pictures()
    scanner = Scanner.from_pretrained(options.model)
    by_damage: Counter[str] = Counter()
    by_format: Counter[str] = Counter()
    slowest = 0.0
    slow = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.n):
            file_format = FORMATS[number % len(FORMATS)]
            damage = DAMAGES[number // len(FORMATS) % len(DAMAGES)]
            data = encode(pictures[number % len(pictures)], file_format)
            path = Path(folder) / f"{number}.{file_format.lower()}"
            path.write_bytes(damage(data, rng))
            status, seconds = scan(scanner, path)
            by_damage[f"{damage.__name__}: {status}"] += 1
            by_format[f"{file_format}: {status}"] += 1
            slowest = max(slowest, seconds)
            if seconds > SLOW:
                slow.append(path.name)
    result = {
        "n": options.n,
        "statuses": dict(sorted(by_damage.items())),
        "by_format": dict(sorted(by_format.items())),
        "slowest_cpu_seconds": slowest,
        "slow": slow,
        "model": scanner.detector.hash,
        "command": command_line(),
        "environment": describe_machine(),
    }
    save_results("mutated_images.json", result)
    print_results(result)


def draw_pictures() -> list[Image.Image]:
    """Twelve photos of the embedded data set."""
    photos = plan(12)
    pictures = []
    for number in range(len(photos)):
        pixels = draw("wiki", photos, number, 128)
        pictures.append(Image.fromarray(pixels))
    return pictures


def encode(picture: Image.Image, file_format: str) -> bytearray:
    stream = io.BytesIO()
    picture.save(stream, file_format)
    return bytearray(stream.getvalue())


def scan(scanner: Scanner, path: Path) -> tuple[str, float]:
    """The first verdict's status, and the seconds spent; fails where an error has no message."""
    start = time.process_time()
    verdicts = list(scanner.scan([str(path)]))
    seconds = time.process_time() - start
    assert verdicts, path
    for verdict in verdicts:
        assert verdict.status != "error" or verdict.message, path
    return verdicts[0].status, seconds


# --- damages; their names stand in the results


def flip(data: bytearray, rng: Rng) -> bytes:
    """Flip 1 to 29 bits anywhere."""
    count = rng.integers(1, 30)
    for place in rng.integers(len(data), size=count):
        bit = int(rng.integers(8))
        data[place] ^= 1 << bit
    return bytes(data)


def cut(data: bytearray, rng: Rng) -> bytes:
    """Keep the beginning."""
    length = rng.integers(len(data))
    return bytes(data[:length])


def overwrite(data: bytearray, rng: Rng) -> bytes:
    """Overwrite 1 to 11 bytes of the header, mostly with values at the edge of a range."""
    header = min(HEADER, len(data))
    count = rng.integers(1, 12)
    for place in rng.integers(header, size=count):
        values = [0, 1, 0x7F, 0x80, 0xFF, rng.integers(256)]
        data[place] = int(rng.choice(values))
    return bytes(data)


def move(data: bytearray, rng: Rng) -> bytes:
    """Swap two neighbouring pieces."""
    places = rng.integers(len(data), size=3)
    a, b, c = sorted(int(place) for place in places)
    return bytes(data[:a] + data[b:c] + data[a:b] + data[c:])


DAMAGES: tuple[Callable[[bytearray, Rng], bytes], ...] = (flip, cut, overwrite, move)


if __name__ == "__main__":
    main()
