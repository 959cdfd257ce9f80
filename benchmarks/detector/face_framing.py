"""How do the squares of the former face finder follow from the boxes of the present one?

The former finder is gone, so it writes its squares in a checkout of version 0.2:

    python face_framing.py squares pictures.zip squares.json        # there
    python face_framing.py compare pictures.zip squares.json        # here

A zip holds any pictures; give one a kind of picture. The constants of `fauxlab.scan.finding.faces`
are the medians over the faces of eleven zips: ten kinds of cropped headshots, 50 pictures each, and
130 photos with boxes. Medians of the kinds were 1.20 to 1.26 and .66 to .71.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

PICTURES = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=["squares", "compare"])
    parser.add_argument("pictures", type=Path)
    parser.add_argument("squares", type=Path)
    options = parser.parse_args()
    if options.task == "squares":
        write_squares(options.pictures, options.squares)
    else:
        compare(options.pictures, json.loads(options.squares.read_text(encoding="utf-8")))


def read_pictures(archive: Path) -> Iterator[tuple[str, Image.Image]]:
    with zipfile.ZipFile(archive) as pictures:
        names = [name for name in sorted(pictures.namelist()) if not name.endswith("/")]
        for name in random.Random(0).sample(names, min(PICTURES, len(names))):
            yield name, Image.open(io.BytesIO(pictures.read(name))).convert("RGB")


def write_squares(archive: Path, out: Path) -> None:
    from fauxlab.scan.finding.faces import find_faces

    squares = {}
    for name, image in read_pictures(archive):
        squares[name] = [(face.left, face.top, face.side) for face in find_faces(image)]
    out.write_text(json.dumps(squares), encoding="utf-8")


def compare(archive: Path, squares: dict[str, list[list[int]]]) -> None:
    """Print medians: side per width of the box, and height above its lower edge per width."""
    from fauxlab.scan.finding.search import search_faces

    sides = []
    rises = []
    for name, image in read_pictures(archive):
        boxes = search_faces(image).found.boxes
        for left, top, side in squares[name]:
            across = left + side / 2
            down = top + side / 2
            for box_left, box_top, width, height in boxes:
                beside = abs(box_left + width / 2 - across)
                below = abs(box_top + height / 2 - down)
                if max(beside, below) < 0.35 * side and 0.5 < side / max(width, height) < 2:
                    sides.append(side / width)
                    rises.append((box_top + height - down) / width)
                    break
    print(f"{len(sides)} faces; side {np.median(sides):.3f}, rise {np.median(rises):.3f}")


if __name__ == "__main__":
    main()
