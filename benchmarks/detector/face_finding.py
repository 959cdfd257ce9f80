"""Does the face finder find the faces of headshots and nothing else, and how long does it take?

    .venv/bin/python -m benchmarks.detector.face_finding faces/manifest.csv --images 200

It measures:

- on training images of every collection and generator, which show one face each: the share of
  images with a face found, the share with more than one, how large the face is in the picture, how
  far it lies from the middle, and how often `crop_face` leaves the picture whole;
- on pieces of two photographs without a face, and on drawn noise, gradients, pages and patterns:
  the share in which a face is found although there is none;
- on the same headshots pasted into those photographs: how many are found where they were put;
- the processor time of decoding a picture and of looking for faces in it.

The constants of `fauxlab.scan.faces` were chosen on the same photographs and the same splits. The
shares show what was aimed at; they are no independent test.

Writes benchmarks/results/face_finding.json.
"""

from __future__ import annotations

import argparse
import io
import random
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.detector.faceless_pictures import PATTERNS
from benchmarks.output import command_line, describe_machine, print_results, save_results
from PIL import Image
from sklearn.datasets import load_sample_images

from fauxlab.data.manifest import Manifest
from fauxlab.io.images import decode
from fauxlab.io.sources import FileReader
from fauxlab.scan.faces import Face, crop_face, find_faces

# A face is about two thirds of the side of a headshot.
HEADSHOT_PER_FACE = 1.5
SIZES = {"160×160": (160, 160), "512×512": (512, 512), "4000×3000": (4000, 3000)}
ROUNDS = 7

Pictures = list[Image.Image]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--images", type=int, default=200, help="of each collection and generator")
    options = parser.parse_args()
    data = Manifest.load(options.manifest)
    photos = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    headshots = {}
    for name in [*data.sources, *data.generators]:
        headshots[name] = draw_sample(data.train, name, options.images)
    result = {
        "command": command_line(),
        "environment": describe_machine(data.data_hash),
        "headshots": {name: measure_headshots(images) for name, images in headshots.items()},
        "without_a_face": measure_faceless(photos),
        "headshots_in_photographs": {
            name: measure_pasted(images[:40], photos) for name, images in headshots.items()
        },
        "milliseconds": {name: measure_time(photos[0], size) for name, size in SIZES.items()},
    }
    save_results("face_finding.json", result)
    print_results(result)


def draw_sample(data: Manifest, name: str, count: int) -> Pictures:
    """Decode a random `count` of the images of a collection of reals or of a generator."""
    rows = []
    for row in data.rows:
        origin = row.generator if row.label else row.source
        if origin == name:
            rows.append(row)
    chosen = random.Random(0).sample(rows, min(count, len(rows)))
    with FileReader() as reader:
        return [decode(reader.read(data.resolve(row))) for row in chosen]


def measure_headshots(images: Pictures) -> dict[str, Any]:
    """How many faces are found, and how pictures with one face are framed around it.

    Offsets are of the face's middle from the picture's, in sides of the face.
    """
    counts = []
    widths = []
    right = []
    below = []
    whole = []
    for image in images:
        faces = find_faces(image)
        counts.append(len(faces))
        if len(faces) != 1:
            continue
        face = faces[0]
        widths.append(image.width / face.side)
        right.append((face.left - image.width / 2) / face.side + 0.5)
        below.append((face.top - image.height / 2) / face.side + 0.5)
        whole.append(crop_face(image, face).size == image.size)
    return {
        "images": len(images),
        "found": share(count > 0 for count in counts),
        "more_than_one": share(count > 1 for count in counts),
        "picture_per_face": describe_spread(widths),
        "right_of_middle": describe_spread(right),
        "below_middle": describe_spread(below),
        "left_whole": share(whole),
    }


def measure_faceless(photos: Pictures) -> dict[str, Any]:
    """False alarms on each kind of picture that shows no face."""
    found = {"pieces of photographs": count_false_alarms(cut_pieces(photos, 600))}
    for name, draw in PATTERNS.items():
        pictures = [draw(seed) for seed in range(30)]
        found[name] = count_false_alarms(pictures)
    return found


def cut_pieces(photos: Pictures, count: int) -> Pictures:
    """Random crops of 50 to 420 pixels: trees, roofs, tiny people; petals and leaves."""
    rng = np.random.default_rng(0)
    pieces = []
    for number in range(count):
        photo = photos[number % len(photos)]
        side = int(50 * 8.4 ** rng.random())
        left, top = random_place(rng, photo, side)
        box = (left, top, left + side, top + side)
        pieces.append(photo.crop(box))
    return pieces


def random_place(rng: np.random.Generator, photo: Image.Image, side: int) -> tuple[int, int]:
    """Left and top of a square that lies inside the photo."""
    left = int(rng.integers(photo.width - side))
    top = int(rng.integers(photo.height - side))
    return left, top


def count_false_alarms(images: Pictures) -> dict[str, Any]:
    return {
        "images": len(images),
        "with_a_face": share(bool(find_faces(image)) for image in images),
    }


def measure_pasted(images: Pictures, photos: Pictures) -> dict[str, Any]:
    """Paste each headshot at 60 to 240 pixels into a photo: is it found there, and nothing else?

    `crop_to_headshot_side` compares the side of the crop with that of the headshot; 1 is equal.
    """
    rng = np.random.default_rng(0)
    ratios = []
    beside = 0
    for number, image in enumerate(images):
        photo = photos[number % len(photos)].copy()
        side = int(rng.integers(60, 241))
        left, top = random_place(rng, photo, side)
        headshot = image.resize((side, side), Image.Resampling.LANCZOS)
        photo.paste(headshot, (left, top))
        faces = find_faces(photo)
        inside = [face for face in faces if is_inside(face, left, top, side)]
        beside += len(faces) - len(inside)
        if inside:
            crop = HEADSHOT_PER_FACE * inside[0].side
            ratios.append(round(min(crop / side, side / crop), 3))
    return {
        "images": len(images),
        "found": len(ratios) / len(images),
        "faces_beside": beside,
        "crop_to_headshot_side": describe_spread(ratios),
    }


def is_inside(face: Face, left: int, top: int, side: int) -> bool:
    """Whether the face's middle lies in the square."""
    x = face.left + face.side / 2
    y = face.top + face.side / 2
    return left < x < left + side and top < y < top + side


def measure_time(photo: Image.Image, size: tuple[int, int]) -> dict[str, float]:
    """Milliseconds to decode a JPEG and to look for faces in it.

    The photo shows no face, which takes longest. Medians of the process's own time.
    """
    stream = io.BytesIO()
    photo.resize(size).save(stream, "JPEG", quality=92)
    data = stream.getvalue()
    image = decode(data)
    decoding = median_time(lambda: decode(data))
    finding = median_time(lambda: find_faces(image))
    return {
        "decode": round(decoding, 2),
        "find_faces": round(finding, 2),
        "ratio": round(finding / decoding, 2),
    }


def median_time(action: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        action()
        times.append(1000 * (time.process_time() - start))
    return statistics.median(times)


def share(values: Iterable[bool]) -> float:
    return round(float(np.mean(list(values))), 4)


def describe_spread(values: list[float]) -> dict[str, float]:
    percentiles = np.percentile(values, [10, 50, 90]).round(3)
    low, middle, high = percentiles.tolist()
    return {"median": middle, "10%": low, "90%": high}


if __name__ == "__main__":
    main()
