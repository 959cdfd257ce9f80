"""Are the faces of headshots found, and nothing else; how are the pictures framed around them; how
long does it take?

    .venv/bin/python -m benchmarks.detector.face_finding manifest.csv --images 200

On training images of every collection and generator, each of which shows one face: the share with a
face found and with more than one, and, of a picture's only face, the picture's side per face's
side, how far the face's middle stands right of and below the picture's (in face's sides), and
whether `crop_face` leaves the picture whole. Pieces of two photographs without a face, and drawn
noise, gradients, pages and patterns, for faces found where there are none. The same headshots in
those photographs, for faces found where they were put. Writes benchmarks/results/face_finding.json.
The constants of `fauxlab.scan.faces` were chosen on the same photographs and the same splits, so
that the shares are what was aimed at, not a test.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_images

from fauxlab.data.manifest import Manifest
from fauxlab.environment import describe_environment
from fauxlab.io.images import decode
from fauxlab.io.sources import FileReader
from fauxlab.scan.faces import Face, crop_face, find_faces

RESULTS = Path(__file__).parents[1] / "results" / "face_finding.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--images", type=int, default=200, help="of each collection and generator")
    options = parser.parse_args()
    data = Manifest.load(options.manifest)
    photos = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    headshots = {
        name: list(sample(data.train, name, options.images))
        for name in [*data.sources, *data.generators]
    }
    result = {
        "command": f"benchmarks/detector/face_finding.py {' '.join(sys.argv[1:])}",
        "environment": describe_environment(data.data_hash),
        "headshots": {name: describe(images) for name, images in headshots.items()},
        "without_a_face": {
            "pieces of photographs": false_alarms(pieces(photos, 600)),
            **{
                name: false_alarms([draw(seed) for seed in range(30)])
                for name, draw in PATTERNS.items()
            },
        },
        "headshots_in_photographs": {
            name: put(images[:40], photos) for name, images in headshots.items()
        },
        "milliseconds": {name: times(photos[0], size) for name, size in SIZES.items()},
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({k: v for k, v in result.items() if k != "environment"}, indent=1))


def sample(data: Manifest, name: str, count: int) -> Iterator[Image.Image]:
    """A random `count` of the images of a collection of reals or of a generator."""
    rows = [row for row in data.rows if (row.generator if row.label else row.source) == name]
    with FileReader() as reader:
        for row in random.Random(0).sample(rows, min(count, len(rows))):
            yield decode(reader.read(data.resolve(row)))


def describe(images: list[Image.Image]) -> dict[str, Any]:
    found = [find_faces(image) for image in images]
    single = [
        (image, faces[0]) for image, faces in zip(images, found, strict=True) if len(faces) == 1
    ]
    return {
        "images": len(images),
        "found": share(bool(faces) for faces in found),
        "more_than_one": share(len(faces) > 1 for faces in found),
        "picture_per_face": spread([image.width / face.side for image, face in single]),
        "right_of_middle": spread(
            [(face.left - image.width / 2) / face.side + 0.5 for image, face in single]
        ),
        "below_middle": spread(
            [(face.top - image.height / 2) / face.side + 0.5 for image, face in single]
        ),
        "left_whole": share(crop_face(image, face).size == image.size for image, face in single),
    }


def pieces(photos: list[Image.Image], count: int) -> list[Image.Image]:
    """Random squares of 50 to 420 pixels: trees, roofs, people of few pixels; petals and leaves."""
    rng, found = np.random.default_rng(0), []
    for i in range(count):
        photo, side = photos[i % len(photos)], int(50 * 8.4 ** rng.random())
        left, top = int(rng.integers(photo.width - side)), int(rng.integers(photo.height - side))
        found.append(photo.crop((left, top, left + side, top + side)))
    return found


def false_alarms(images: list[Image.Image]) -> dict[str, Any]:
    return {
        "images": len(images),
        "with_a_face": share(bool(find_faces(image)) for image in images),
    }


def put(images: list[Image.Image], photos: list[Image.Image]) -> dict[str, Any]:
    """Each headshot at 60 to 240 pixels into a photograph: found in place (and cropped to what
    overlap), and beside.
    """
    rng, overlaps, beside = np.random.default_rng(0), [], 0
    for i, image in enumerate(images):
        photo, side = photos[i % len(photos)].copy(), int(rng.integers(60, 241))
        left, top = int(rng.integers(photo.width - side)), int(rng.integers(photo.height - side))
        photo.paste(image.resize((side, side), Image.Resampling.LANCZOS), (left, top))
        faces = find_faces(photo)
        inside = [face for face in faces if is_inside(face, left, top, side)]
        beside += len(faces) - len(inside)
        overlaps += [
            round(min(1.5 * face.side / side, side / (1.5 * face.side)), 3) for face in inside[:1]
        ]
    return {
        "images": len(images),
        "found": len(overlaps) / len(images),
        "faces_beside": beside,
        "crop_to_headshot_side": spread(overlaps),
    }


def is_inside(face: Face, left: int, top: int, side: int) -> bool:
    return (
        left < face.left + face.side / 2 < left + side
        and top < face.top + face.side / 2 < top + side
    )


# --- pictures of nothing


def draw_noise(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(
        np.clip(rng.normal(128, 10 + seed, (240, 320, 3)), 0, 255).astype(np.uint8)
    )


def draw_gradient(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (2, 2, 3), dtype=np.uint8)).resize(
        (320, 240), Image.Resampling.BICUBIC
    )


def draw_blobs(seed: int) -> Image.Image:
    """Smooth random patches of 4 to 40 pixels."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(
        0, 256, (240 // (4 + seed % 37), 320 // (4 + seed % 37), 3), dtype=np.uint8
    )
    return Image.fromarray(cells).resize((320, 240), Image.Resampling.BICUBIC)


def draw_page(seed: int) -> Image.Image:
    rng = random.Random(seed)
    page = Image.new("RGB", (600, 800), "white")
    for line in range(10 + seed % 30):
        text = " ".join(
            "".join(rng.choices("abcdefghiklmnoprstuw", k=rng.randint(2, 9))) for _ in range(14)
        )
        ImageDraw.Draw(page).text((30, 20 + line * 18), text, fill="black", font_size=10 + seed % 8)
    return page


def draw_shapes(seed: int) -> Image.Image:
    """Discs and boxes of all sizes and shades, one over the other."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (400, 300), "grey")
    for _ in range(60):
        x, y, width, height = rng.integers(0, (400, 300, 80, 80)).tolist()
        draw = ImageDraw.Draw(image)
        (draw.ellipse if rng.random() < 0.6 else draw.rectangle)(
            (x, y, x + width, y + height), tuple(rng.integers(0, 256, 3).tolist())
        )
    return image


PATTERNS: dict[str, Callable[[int], Image.Image]] = {
    "noise": draw_noise,
    "gradients": draw_gradient,
    "blobs": draw_blobs,
    "pages": draw_page,
    "shapes": draw_shapes,
}
SIZES = {"160×160": (160, 160), "512×512": (512, 512), "4000×3000": (4000, 3000)}


def times(photo: Image.Image, size: tuple[int, int], rounds: int = 7) -> dict[str, float]:
    """Processor time of decoding a JPEG without a face, the dearest case, and of looking for one."""
    stream = io.BytesIO()
    photo.resize(size).save(stream, "JPEG", quality=92)
    image = decode(stream.getvalue())
    decoding = statistics.median(timed(lambda: decode(stream.getvalue())) for _ in range(rounds))
    finding = statistics.median(timed(lambda: find_faces(image)) for _ in range(rounds))
    return {
        "decode": round(decoding, 2),
        "find_faces": round(finding, 2),
        "ratio": round(finding / decoding, 2),
    }


def timed(action: Callable[[], object]) -> float:
    start = time.process_time()
    action()
    return 1000 * (time.process_time() - start)


def share(values: Iterator[bool]) -> float:
    return round(float(np.mean(list(values))), 4)


def spread(values: list[float]) -> dict[str, float]:
    low, middle, high = np.percentile(values, [10, 50, 90]).round(3).tolist()
    return {"median": middle, "10%": low, "90%": high}


if __name__ == "__main__":
    main()
