"""How are the faces of training pictures framed, and does the face finder frame them alike?

    .venv/bin/python -m benchmarks.detector.face_framing lineup/

The folder holds a zip of face crops for each kind. In 18 pictures of a kind, the largest face is
found. Measured are, in sides of the face (the longer side of its box): the picture's shorter side;
how far the picture's middle lies above the face's; and the same for pictures that were not cut at
the edge of their original, with sides of WHOLE. The medians of those are CROP and LIFT of
`fauxlab.scan.finding.faces`. Last is the share of pictures that the finder leaves whole.

Writes benchmarks/results/face_framing.json.
"""

from __future__ import annotations

import argparse
import io
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.output import command_line, describe_machine, print_results, save_results
from PIL import Image

from fauxlab.scan.finding.faces import find_faces, frame_face

PICTURES = 18  # of a kind
WHOLE = (1.42, 1.9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    kinds = {path.stem: measure(path) for path in sorted(options.folder.glob("*.zip"))}
    measured = [row for rows in kinds.values() for row in rows]
    not_cut = [row for row in measured if WHOLE[0] < row[0] < WHOLE[1]]
    result = {
        "command": command_line(),
        "environment": describe_machine(),
        "all": describe(measured),
        "not_cut": describe(not_cut),
        "kinds": {name: describe(rows) for name, rows in kinds.items()},
    }
    save_results("face_framing.json", result)
    print_results(result)


def read_pictures(archive: Path) -> Iterator[Image.Image]:
    with zipfile.ZipFile(archive) as pictures:
        names = [name for name in sorted(pictures.namelist()) if not name.endswith("/")]
        for name in random.Random(0).sample(names, min(PICTURES, len(names))):
            yield Image.open(io.BytesIO(pictures.read(name))).convert("RGB")


def measure(archive: Path) -> list[tuple[float, float, bool]]:
    """The picture's side and its middle's height above the face's; and whether it stays whole."""
    rows = []
    for image in read_pictures(archive):
        for face in find_faces(image, most=1):
            shorter = min(image.size)
            height = (face.top + face.side / 2 - image.height / 2) / face.side
            stays_whole = frame_face(face, image.size).side == shorter
            rows.append((shorter / face.side, height, stays_whole))
    return rows


def describe(rows: list[tuple[float, float, bool]]) -> dict[str, Any]:
    sides, heights, stay_whole = np.array(rows, dtype=float).T
    return {
        "pictures": len(rows),
        "side": np.quantile(sides, [0.1, 0.5, 0.9]).round(3).tolist(),
        "height": np.quantile(heights, [0.1, 0.5, 0.9]).round(3).tolist(),
        "left_whole": round(float(stay_whole.mean()), 3),
    }


if __name__ == "__main__":
    main()
