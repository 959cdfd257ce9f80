"""Do 120,000 images index and cache within 4 GiB of memory?

    .venv/bin/python -m benchmarks.speed.index_memory --images 120000

Draws small JPEGs of DeepFakeFace's layout into a temporary folder (four zips), indexes and decodes
them at 128 px in a process of its own, and writes benchmarks/results/index_memory.json with
images/s and that process's peak memory.
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

import numpy as np
from PIL import Image

from fauxlab.environment import describe_environment

RESULTS = Path(__file__).parents[1] / "results" / "index_memory.json"
SIDE = 160
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
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder) / "data", options.images // 4)
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, f"{folder}/data"],
            env={"FAUXLAB_CACHE": f"{folder}/cache", "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        )
    result = {
        "command": f"benchmarks/speed/index_memory.py --images {options.images}",
        "environment": describe_environment(""),
        **json.loads(done.stdout),
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({k: v for k, v in result.items() if k != "environment"}, indent=1))


def draw(folder: Path, count: int) -> None:
    """Four zips of `count` smooth random pictures, 160 px, no two alike."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for kind in ("wiki", "inpainting", "insight", "text2img"):
        with zipfile.ZipFile(folder / f"{kind}.zip", "w") as archive:
            for i in range(count):
                coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
                stream = io.BytesIO()
                coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(
                    stream, "JPEG", quality=92
                )
                archive.writestr(
                    f"{kind}/{i % 100:02}/{i // 2}_1960-01-01_{2000 + i % 2}.jpg", stream.getvalue()
                )


if __name__ == "__main__":
    main()
