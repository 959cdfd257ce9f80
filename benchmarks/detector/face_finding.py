"""Which faces does the face finder find in ordinary photos, what else, and how long does it take?

    .venv/bin/python -m benchmarks.detector.face_finding photos/

The folder holds `photos.zip` and `faces.json`: a list of {file, width, height, faces}. `faces` is a
list of [left, top, width, height] in pixels; empty where the photo shows no human face, null where
faces are there and have no boxes. The file's folder names the kind of photo: `noface` without a
face, `facelike` with apes, masks and the like (counted apart), `masked` with null, all others with
boxes.

A face counts as found when the middle of a box lies in it and the box has .3 to 6 times its area.
Processor time is that of the search, beside that of YuNet alone on the same photo with its longer
side at 1024 pixels, in the same process: with OpenCV, as published, if it is installed, and with
onnxruntime, as the search itself runs it.

The weights and thresholds of `fauxlab.scan.finding.search` were chosen on such a folder. So the
result also has both halves of the photos apart; the search for the constants saw both.

Writes benchmarks/results/face_finding.json.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.detector.faceless_pictures import PATTERNS
from benchmarks.output import command_line, describe_machine, print_results, save_results
from PIL import Image

from fauxlab.scan.finding.boxes import one_a_face
from fauxlab.scan.finding.faces import find_faces
from fauxlab.scan.finding.networks import propose_faces
from fauxlab.scan.finding.search import search_faces
from fauxlab.scan.finding.views import LARGE, look_at

SMALL = 20  # heights of faces in pixels
LARGE_FACE = 64
ENOUGH = 0.6  # YuNet's usual threshold
TURNS = (90, 180, 270)

Box = tuple[float, float, float, float]
Photo = tuple[dict[str, Any], Image.Image]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--yunet", type=Path, help="the published file, to time it with OpenCV")
    options = parser.parse_args()
    photos = read_photos(options.folder)
    found = [search_faces(image).found.boxes for _, image in photos]
    result = {
        "command": command_line(),
        "environment": describe_machine(),
        "all": count(photos, found),
        "even_half": count(photos[::2], found[::2]),
        "odd_half": count(photos[1::2], found[1::2]),
        "turned": {turn: count_turned(photos[::2], turn) for turn in TURNS},
        "drawn_patterns_with_a_face": count_patterns(),
        "milliseconds": measure_time(photos, options.yunet),
    }
    save_results("face_finding.json", result)
    print_results(result)


def read_photos(folder: Path) -> list[Photo]:
    entries = json.loads((folder / "faces.json").read_text(encoding="utf-8"))
    photos = []
    with zipfile.ZipFile(folder / "photos.zip") as archive:
        for entry in entries:
            image = Image.open(io.BytesIO(archive.read(entry["file"])))
            photos.append((entry, image.convert("RGB")))
    return photos


def count(photos: list[Photo], found: list[np.ndarray]) -> dict[str, Any]:
    """Recall by size of face, and the share of photos of other kinds with a find."""
    outcomes = defaultdict(list)
    for (entry, _), boxes in zip(photos, found, strict=True):
        kind = entry["file"].split("/")[0]
        if not entry["faces"]:
            outcomes[f"{kind}_with_a_find"].append(len(boxes) > 0)
            continue
        for face in entry["faces"]:
            is_found = any(shows(box, face) for box in boxes)
            for height in (SMALL, LARGE_FACE):
                if face[3] >= height:
                    outcomes[f"faces_from_{height}_px"].append(is_found)
    return {name: share(values) for name, values in sorted(outcomes.items())}


def shows(box: np.ndarray, face: Box) -> bool:
    left, top, width, height = face
    across = box[0] + box[2] / 2
    down = box[1] + box[3] / 2
    area = box[2] * box[3] / (width * height)
    is_inside = left <= across <= left + width and top <= down <= top + height
    return bool(is_inside and 0.3 <= area <= 6)


def count_turned(photos: list[Photo], turn: int) -> dict[str, Any]:
    """Of photos that lie so that they must be turned: how many are turned, and finds on others."""
    with_faces = []
    without = []
    for entry, image in photos:
        lying = image.rotate(-turn, expand=True)
        faces = find_faces(lying)
        kind = entry["file"].split("/")[0]
        if kind == "noface":
            without.append(len(faces) > 0)
        elif kind != "facelike":
            with_faces.append(len(faces) > 0 and faces[0].turn == turn)
    return {"photos_turned_upright": share(with_faces), "noface_with_a_find": share(without)}


def count_patterns() -> dict[str, int]:
    """Of 30 drawn pictures of each pattern, those in which a face is found."""
    counts = {}
    for name, draw in PATTERNS.items():
        counts[name] = sum(len(find_faces(draw(seed))) > 0 for seed in range(30))
    return counts


def measure_time(photos: list[Photo], published: Path | None) -> dict[str, float]:
    """Mean processor time a photo, of searches that take turns."""
    searches: dict[str, Callable[[Image.Image], object]] = {
        "search": search_faces,
        "yunet_onnxruntime": find_with_yunet,
    }
    if published:
        searches["yunet_opencv"] = opencv_search(published)
    spent = dict.fromkeys(searches, 0.0)
    for _, image in photos:
        for name, search in searches.items():
            start = time.process_time()
            search(image)
            spent[name] += time.process_time() - start
    means = {name: round(1000 * total / len(photos), 1) for name, total in spent.items()}
    ratios = {}
    for name in searches:
        if name != "search":
            ratios[f"search_per_{name}"] = round(spent["search"] / spent[name], 2)
    return means | ratios


def find_with_yunet(image: Image.Image) -> object:
    return one_a_face(propose_faces(look_at(image, LARGE).pixels, ENOUGH))


def opencv_search(published: Path) -> Callable[[Image.Image], object]:
    """YuNet as OpenCV runs it, in one thread."""
    import cv2

    cv2.setNumThreads(1)
    detector = cv2.FaceDetectorYN_create(str(published), "", (320, 320), ENOUGH)

    def search(image: Image.Image) -> object:
        pixels = look_at(image, LARGE).pixels
        height, width, _ = pixels.shape
        detector.setInputSize((width, height))
        return detector.detect(np.ascontiguousarray(pixels[:, :, ::-1]))

    return search


def share(values: list[bool]) -> dict[str, Any]:
    """A share with its 95 % interval, after Wilson (1927)."""
    n = len(values)
    mean = sum(values) / n
    z = 1.96
    middle = (mean + z**2 / (2 * n)) / (1 + z**2 / n)
    spread = z / (1 + z**2 / n) * math.sqrt(mean * (1 - mean) / n + (z / (2 * n)) ** 2)
    interval = [round(middle - spread, 4), round(middle + spread, 4)]
    return {"n": n, "share": round(mean, 4), "95%": interval}


if __name__ == "__main__":
    main()
