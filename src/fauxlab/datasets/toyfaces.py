"""Toyfaces: an embedded data set in the layout of DeepFakeFace, without anybody's face.

Real pictures are parametric faces seen through a simulated camera. The three kinds of fakes disturb
what such a camera leaves behind. A fake differs from a real picture in its local statistics, not in
its mean: a linear model on pixels is of little use, a small CNN does well.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from PIL import Image

from fauxlab.datasets.fakes import draw_inpainting, draw_insight, draw_real, draw_text2img
from fauxlab.datasets.plan import Photo, plan
from fauxlab.errors import LabError
from fauxlab.io.reading import read_bytes
from fauxlab.io.text import printable

__all__ = ["FOLDERS", "Photo", "draw", "is_drawn", "plan", "write_toyfaces"]

VERSION = 1
REALS = "wiki"
FOLDERS = (REALS, "inpainting", "insight", "text2img")
PAIRS = "insight_pairs.csv"
MARKER = "toyfaces.json"
STARTED = MARKER + ".part"
LOCK = MARKER + ".lock"
# One encoder for all four folders: the file format must not give the label away.
JPEG = {"quality": 95, "subsampling": 0}


def draw(
    generator: str, photos: list[Photo], number: int, size: int = 128, seed: int = 0
) -> NDArray[np.uint8]:
    """Picture `number` of a plan in one of FOLDERS, uint8 [size, size, 3] RGB."""
    photo = photos[number]
    if generator == REALS:
        _, image = draw_real(seed, photo.person, number, size)
    elif generator == "inpainting":
        image = draw_inpainting(seed, photo, size)
    elif generator == "insight":
        image = draw_insight(seed, photo, photos[photo.scene], size)
    else:
        image = draw_text2img(seed, photo, size)
    return np.asarray(np.rint(image * 255), np.uint8)


def write_toyfaces(out: Path, n: int = 400, size: int = 128, seed: int = 0) -> Path:
    """Draw n pictures into each of the four folders below `out`, and return `out`.

    The folders are wiki (real), inpainting, insight and text2img (fake). They share their relative
    names; insight_pairs.csv says whose scene each insight fake took. A complete set with the same
    parameters is left alone, a half-written one is drawn again. Raises LabError when `out` holds
    anything else, where another process draws into it, and for impossible parameters (size: a
    multiple of 4 from 32 on; n: 4 or more).
    """
    size_fits = size >= 32 and size % 4 == 0
    if not size_fits or n < 4:
        raise LabError(
            "toyfaces: size must be a multiple of 4 from 32 on and n at least 4; "
            f"got size={size}, n={n}"
        )
    out = Path(out)
    parameters = {"n": n, "seed": seed, "size": size, "version": VERSION}
    marker = json.dumps(parameters) + "\n"
    if _is_complete(out, marker):
        return out
    out.mkdir(parents=True, exist_ok=True)
    with _alone(out):
        # Another process may have drawn the set since.
        if not _is_complete(out, marker):
            _draw_set(out, n, size, seed, marker)
    return out


def is_drawn(out: Path) -> bool:
    """Whether a complete set stands in a folder."""
    return (out / MARKER).is_file()


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """For one process at a time. Raises LabError where another draws into the folder."""
    path = out / LOCK
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise LabError(
            f"toyfaces: another process is drawing into {printable(out)}; wait for it, or give "
            "another folder"
        ) from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()


def _draw_set(out: Path, n: int, size: int, seed: int, marker: str) -> None:
    (out / STARTED).write_text(marker)
    for folder in FOLDERS:
        shutil.rmtree(out / folder, ignore_errors=True)
    photos = plan(n, seed)
    # All pictures of a photo together, as the fakes need the real one, which is drawn only once.
    for photo in photos:
        for folder in FOLDERS:
            pixels = draw(folder, photos, photo.number, size, seed)
            picture = Image.fromarray(pixels)
            path = out / folder / photo.name
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path, "JPEG", **JPEG)
    _write_pairs(out / PAIRS, photos)
    # The marker comes last: its presence says that the set is complete.
    os.replace(out / STARTED, out / MARKER)


def _write_pairs(path: Path, photos: Sequence[Photo]) -> None:
    """Write which photo's scene each insight fake took."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("file_name", "scene"))
        for photo in photos:
            scene = photos[photo.scene]
            rows.writerow((photo.name, scene.name))


def _is_complete(out: Path, marker: str) -> bool:
    """Whether `out` holds the complete set of these parameters; False where it may be drawn into.

    Raises LabError where it holds anything else.
    """
    if not out.exists():
        return False
    names = {out.name}
    if out.is_dir():
        names = {entry.name for entry in out.iterdir()}
    if MARKER in names:
        present = read_bytes(out / MARKER).decode(errors="replace")
        if present == marker:
            return True
        raise LabError(
            f"toyfaces: {printable(out)} holds another set ({printable(present.strip()):.200}); "
            "give another folder or delete this one"
        )
    names.discard(LOCK)
    foreign = names - {*FOLDERS, STARTED, PAIRS}
    is_half_written = STARTED in names and not foreign
    if names and not is_half_written:
        raise LabError(
            f"toyfaces: {printable(out)} holds what fauxlab did not draw; "
            "give a new or empty folder"
        )
    return False
