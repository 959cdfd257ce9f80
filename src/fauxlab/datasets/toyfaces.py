"""Toyfaces: a procedural data set in DeepFakeFace's layout, so that the lab can be tried with
nobody's face.

Real pictures are parametric faces seen through a simulated camera (lens, sensor, colour filter
array, tone curve). The three kinds of fake disturb what such a camera leaves behind, as their
namesakes in DeepFakeFace (Song et al. 2023) do: a redrawn region, a swapped face, a whole
synthesis. A fake differs from a real picture in its local statistics, not in its mean: a linear
model on pixels is of little use, a small CNN does well.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fauxlab.datasets.camera import develop, expose, sharpen, tone
from fauxlab.datasets.portraits import (
    Array,
    Face,
    Shot,
    draw_face,
    draw_scene,
    draw_shot,
    head_coordinates,
)
from fauxlab.errors import LabError

VERSION = 1
FOLDERS = ("wiki", "inpainting", "insight", "text2img")
MARKER = "toyfaces.json"
# one encoder for all four folders: the container must tell nothing
JPEG = {"quality": 95, "subsampling": 0}

# Balanced against the camera's noise, so that fakes and real pictures compress to files of the same
# size.
_FINISH = (0.12, 0.36)  # sharpening of an edited picture
_GRAIN = 0.019  # white noise of a synthesised one, standard deviation in display values of [0,1]


def _resample(
    image: Array, size: int, how: Image.Resampling, matrix: tuple[float, ...] | None = None
) -> Array:
    """A picture [H,W,3] at [size,size,3]; `matrix` maps the new picture's pixels to the old one's."""
    planes = []
    for channel in range(3):
        plane = Image.fromarray(np.ascontiguousarray(image[..., channel], np.float32))
        if matrix:
            plane = plane.transform((size, size), Image.Transform.AFFINE, matrix, how)
        else:
            plane = plane.resize((size, size), how)
        planes.append(np.asarray(plane))
    return np.stack(planes, axis=-1)


def decode(
    image: Array,
    rng: np.random.Generator,
    latent: int = 32,
    trace: float = 0.018,
    grain: float = _GRAIN,
    keep: float = 0.4,
) -> Array:
    """What a latent decoder makes of a picture [H,W,3] in [0,1]: detail lost in a bottleneck, mesh,
    white noise.

    The mesh is what upsampling leaves (Odena et al. 2016; Frank et al. 2020). Its sign is random,
    so that its mean over pictures is zero and only its presence tells.
    """
    size = image.shape[0]
    up = _resample(_resample(image, latent, Image.Resampling.BOX), size, Image.Resampling.BILINEAR)
    image = sharpen(up + rng.uniform(0.5, 1.0) * keep * (image - up), rng.uniform(0.5, 1.0))
    step = max(1, size // 64)
    row, column = np.where(np.indices((size, size)) // step % 2, -1, 1).astype(np.float32)
    a, b, c = (rng.choice((-1, 1)) * rng.uniform(0.4, 1.0, 3) * trace).tolist()
    mesh = (a * row + b * column + c * row * column)[..., None]
    noise = rng.standard_normal((size, size, 3), np.float32) * (rng.uniform(0.7, 1.3) * grain)
    return np.asarray(np.clip(image + mesh * (0.4 + image) + noise, 0, 1))


def _finish(image: Array, rng: np.random.Generator) -> Array:
    """An editor's sharpening, which gives back the bytes that a smooth region saves."""
    return np.clip(sharpen(image, rng.uniform(*_FINISH)), 0, 1)


def _oval(shot: Shot, size: int, part: tuple[float, ...], softness: float) -> Array:
    """Soft mask [size,size,1] in [0,1] of an egg on the face; part: x, y, half width, half height
    in head units.
    """
    x, y = head_coordinates(shot, size)
    across = (x - part[0] - 0.45 * shot.yaw) / (part[2] * (1 - 0.2 * np.clip(y, 0, 1)))
    distance = np.hypot(across, (y - part[1] - 0.45 * shot.pitch) / part[3]) - 1
    return np.asarray(np.clip(0.5 - distance / softness, 0, 1))[..., None]


@dataclass(frozen=True)
class Photo:
    """One name of the set, with its person, and the number of the photo whose scene its insight
    fake takes.
    """

    number: int
    person: int
    scene: int
    name: str


def plan(n: int, seed: int = 0) -> list[Photo]:
    """The first n photos; a person has one to three, with an id that no other of the first ten
    million has.

    Persons come in pairs who lend each other their scenes and nobody else: every tie between people
    joins two groups, and a set in which everyone is tied to everyone could not be split.
    """
    photos: list[Photo] = []
    person = lender = 0  # lender: the first photo of the pair
    while len(photos) < n:
        rng = np.random.default_rng((seed, 0, person))
        count = int(rng.integers(1, 4))
        identity = (1_234_567 + person * 7_368_787) % 9_999_991  # a prime modulus: a permutation
        born = int(rng.integers(1930, 2000))
        birth = f"{born}-{rng.integers(1, 13):02d}-{rng.integers(1, 29):02d}"
        start = len(photos)
        for age in rng.choice(np.arange(18, 60), count, replace=False).tolist():
            scene = int(rng.integers(lender, start)) if person % 2 else start + count
            name = f"{identity % 100:02d}/{identity}_{birth}_{born + age}.jpg"
            photos.append(Photo(len(photos), person, scene, name))
        person += 1
        lender = lender if person % 2 else len(photos)
    # Where the cut parts the last pair, the first photo of all lends its scene.
    return [photo if photo.scene < n else replace(photo, scene=0) for photo in photos[:n]]


def _identity(seed: int, person: int) -> Face:
    return draw_face(np.random.default_rng((seed, 1, person)))


@lru_cache(maxsize=16)
def _real(seed: int, person: int, number: int, size: int) -> tuple[Shot, Array]:
    """The real photo of that number and its circumstances; display values in [0,1] before rounding."""
    rng = np.random.default_rng((seed, 2, number))
    shot = draw_shot(rng)
    return shot, develop(
        expose(draw_scene(_identity(seed, person), shot, size), shot, size), shot, rng
    )


def _inpainting(seed: int, photo: Photo, size: int) -> Array:
    shot, real = _real(seed, photo.person, photo.number, size)
    rng = np.random.default_rng((seed, 3, photo.number))
    face, other = _identity(seed, photo.person), draw_face(rng)
    eyes, lower, inner = (0.0, -0.08, 0.72, 0.38), (0.0, 0.52, 0.70, 0.50), (0.0, 0.20, 0.74, 0.78)
    part = (eyes, lower, inner)[int(rng.choice(3, p=(0.15, 0.25, 0.6)))]
    changed = replace(face, mouth=other.mouth, nose=other.nose)
    if part != lower:
        changed = replace(changed, eyes=other.eyes, brows=other.brows, iris=other.iris)
    posed = replace(shot, smile=rng.uniform(-0.2, 1.0), opening=max(0.0, rng.uniform(-0.07, 0.075)))
    display = tone(expose(draw_scene(changed, posed, size), shot, size), shot)
    redrawn = decode(display, rng, latent=24, trace=0.0, grain=0.0)
    filled = real + _oval(shot, size, part, softness=0.25) * (redrawn - real)
    # the whole picture passes through the decoder
    return decode(filled, rng, trace=0.0185, grain=0.0, keep=0.8)


def _middle(shot: Shot, size: int) -> tuple[float, float]:
    """Pixel position (right, down) of the middle of the face."""
    x, y = 0.45 * shot.yaw, 0.2 + 0.45 * shot.pitch
    cos, sin = float(np.cos(shot.roll)) * shot.scale, float(np.sin(shot.roll)) * shot.scale
    u, v = shot.centre[0] + cos * x - sin * y, shot.centre[1] + sin * x + cos * y
    return (u + 1) * size / 2, (v + 1) * size / 2


def _insight(seed: int, photo: Photo, scene: Photo, size: int) -> Array:
    lent, face = _real(seed, photo.person, photo.number, size)
    shot, target = _real(seed, scene.person, scene.number, size)
    rng = np.random.default_rng((seed, 4, photo.number))
    scale = lent.scale / shot.scale * rng.uniform(0.95, 1.05)
    turn = lent.roll - shot.roll + rng.uniform(-0.03, 0.03)
    cos, sin = scale * float(np.cos(turn)), scale * float(np.sin(turn))
    here, there = _middle(shot, size), _middle(lent, size)  # the two faces' middles meet
    small = int(size * rng.uniform(0.30, 0.43))  # a swapper works at its own, lower resolution
    k = size / small
    right, down = there[0] - cos * here[0] + sin * here[1], there[1] - sin * here[0] - cos * here[1]
    matrix = (k * cos, -k * sin, right, k * sin, k * cos, down)
    swapped = _resample(face, small, Image.Resampling.BILINEAR, matrix)
    swapped = _resample(swapped, size, Image.Resampling.BICUBIC)
    mask = _oval(shot, size, (0.0, 0.20, 0.67, 0.72), softness=0.25)
    weight = mask / mask.sum()
    mean, goal = (swapped * weight).sum((0, 1)), (target * weight).sum((0, 1))
    variance, wanted = (
        ((swapped - mean) ** 2 * weight).sum((0, 1)),
        ((target - goal) ** 2 * weight).sum((0, 1)),
    )
    moved = (swapped - mean) * np.clip(np.sqrt(wanted / (variance + 1e-6)), 0.7, 1.25) + goal
    return np.asarray(_finish(target + mask * (moved - target), rng))


def _text2img(seed: int, photo: Photo, size: int) -> Array:
    """A new picture of someone of the person's colours, as a prompt with their name would give."""
    person = _identity(seed, photo.person)
    rng = np.random.default_rng((seed, 5, photo.number))
    face = replace(draw_face(rng), skin=person.skin, hair=person.hair, iris=person.iris)
    shot = draw_shot(rng)
    return decode(tone(expose(draw_scene(face, shot, size), shot, size), shot), rng)


def draw(
    generator: str, photos: list[Photo], number: int, size: int = 128, seed: int = 0
) -> NDArray[np.uint8]:
    """Picture `number` of a plan as one of FOLDERS has it, uint8 [size,size,3] RGB."""
    photo = photos[number]
    if generator == "wiki":
        image = _real(seed, photo.person, number, size)[1]
    elif generator == "inpainting":
        image = _inpainting(seed, photo, size)
    elif generator == "insight":
        image = _insight(seed, photo, photos[photo.scene], size)
    else:
        image = _text2img(seed, photo, size)
    return np.asarray(np.rint(image * 255), np.uint8)


# --- files


def write_toyfaces(out: Path, n: int = 400, size: int = 128, seed: int = 0) -> Path:
    """Draws n pictures into each of out/wiki (real), out/inpainting, out/insight and out/text2img
    (fake), returns out.

    The four folders share their relative names; out/insight_pairs.csv says whose scene each insight
    fake took. A complete set with the same parameters is left alone, a half-written one is drawn
    again. Raises LabError when out holds anything else, and for impossible parameters (size: a
    multiple of 4 from 32 on; n: 4 or more).
    """
    if size < 32 or size % 4 or n < 4:
        raise LabError(
            f"toyfaces: size must be a multiple of 4 from 32 on and n at least 4; got size={size}, n={n}"
        )
    out = Path(out)
    marker = json.dumps({"n": n, "seed": seed, "size": size, "version": VERSION}) + "\n"
    if _is_complete(out, marker):
        return out
    out.mkdir(parents=True, exist_ok=True)
    started = out / (MARKER + ".part")
    started.write_text(marker)
    for folder in FOLDERS:
        shutil.rmtree(out / folder, ignore_errors=True)
    photos = plan(n, seed)
    for photo in photos:
        for folder in FOLDERS:
            path = out / folder / photo.name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw(folder, photos, photo.number, size, seed)).save(
                path, "JPEG", **JPEG
            )
    with (out / "insight_pairs.csv").open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("file_name", "scene"))
        rows.writerows((photo.name, photos[photo.scene].name) for photo in photos)
    os.replace(started, out / MARKER)  # last: its presence says that the set is complete
    return out


def _is_complete(out: Path, marker: str) -> bool:
    """True for a complete set with these parameters, False for what may be drawn over; LabError for
    all else.
    """
    if not out.exists():
        return False
    names = {entry.name for entry in out.iterdir()} if out.is_dir() else {out.name}
    if MARKER in names:
        found = (out / MARKER).read_text()
        if found == marker:
            return True
        raise LabError(
            f"toyfaces: {out} holds another set ({found.strip()}); give another folder or delete this one"
        )
    begun = MARKER + ".part"
    foreign = names - {*FOLDERS, begun, "insight_pairs.csv"}
    if names and (foreign or begun not in names):
        raise LabError(
            f"toyfaces: {out} holds what fauxlab did not draw; give a new or empty folder"
        )
    return False
