"""Do 120,000 images index and decode within 4 GiB of memory?

    .venv/bin/python -m benchmarks.speed.index_memory --images 120000

Draws small JPEGs in DeepFakeFace's layout (four zips) into a temporary folder. A process of its own
indexes them and decodes them at 128 px.

Writes benchmarks/results/index_memory.json: images a second, that process's peak memory, and how
many groups have images in two splits (none should).
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.output import command_line, describe_machine, print_results, save_results
from PIL import Image

SIDE = 160
KINDS = ("wiki", "inpainting", "insight", "text2img")
MEASURE = """
import json, resource, sys, time
from fauxlab.data.cache import load_images
from fauxlab.data.indexing import index
start = time.perf_counter()
manifest = index(sys.argv[1]).split(seed=0)
middle = time.perf_counter()
images = load_images(manifest, 128)
end = time.perf_counter()
groups = {}
for row in manifest.rows:
    groups.setdefault(row.group, set()).add(row.split)
print(json.dumps({
    "images": len(images),
    "index_images_per_second": len(manifest) / (middle - start),
    "decode_images_per_second": len(images) / (end - middle),
    "peak_memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    "groups": len(groups),
    "groups_on_two_sides": sum(len(splits) > 1 for splits in groups.values()),
}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=120_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw_data_set(folder / "data", options.images // len(KINDS))
        figures = measure(folder)
    result = {"command": command_line(), "environment": describe_machine(), **figures}
    save_results("index_memory.json", result)
    print_results(result)


def draw_data_set(folder: Path, count: int) -> None:
    """Four zips of `count` smooth random pictures, no two alike."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for kind in KINDS:
        with zipfile.ZipFile(folder / f"{kind}.zip", "w") as archive:
            for number in range(count):
                person = number // 2
                year = 2000 + number % 2
                name = f"{kind}/{number % 100:02}/{person}_1960-01-01_{year}.jpg"
                archive.writestr(name, draw_picture(rng))


def draw_picture(rng: np.random.Generator) -> bytes:
    """A JPEG of soft random colours."""
    colours = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    picture = Image.fromarray(colours).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=92)
    return stream.getvalue()


def measure(folder: Path) -> dict[str, Any]:
    """Index and decode `folder/data` in a process of its own."""
    environment = {"FAUXLAB_CACHE": str(folder / "cache"), "PATH": ""}
    command = [sys.executable, "-c", MEASURE, str(folder / "data")]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(finished.stdout)


if __name__ == "__main__":
    main()
