"""Sample grids of a run for a page: early, best and last, cut to a few faces and marked."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.io.images import decode, to_pixels
from fauxlab.io.limits import ImageError
from fauxlab.io.marking import Mark, grid, read_mark, save_jpeg, save_png
from fauxlab.io.sources import FileReader
from fauxlab.pages.html import data_uri
from fauxlab.training.run_log import GanRun, Line

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS = 8
COLUMNS = 4
EXACT = 64  # pixels of a face up to which the page shows every one; larger faces come as JPEG


@dataclass(frozen=True)
class Grid:
    """The first faces of a sample grid; `uri` is None where the file is missing or damaged."""

    role: str
    images: int
    evaluation: Line
    uri: str | None
    pixelated: bool  # shown larger, without smoothing


def choose_times(run: GanRun) -> list[tuple[str, Line]]:
    """Up to three samples in order of time, each with its role: early, best and last.

    Where two of these are the same sample, one between them is added.
    """
    samples = sorted(run.samples, key=lambda line: line["images"])
    if not samples:
        return []
    roles: dict[int, list[str]] = {0: ["early"]}
    best = _find_best(run, samples)
    if best is not None:
        roles.setdefault(best, []).append("best")
    roles.setdefault(len(samples) - 1, []).append("last")
    others = [i for i in range(len(samples)) if i not in roles]
    if others and len(roles) < 3:
        middle = len(others) // 2
        between = others[middle]
        roles[between] = ["between"]
    times = []
    for i in sorted(roles):
        role = ", ".join(roles[i])
        times.append((role, samples[i]))
    return times


def _find_best(run: GanRun, samples: list[Line]) -> int | None:
    """The number of the sample drawn at the run's best evaluation."""
    if not run.best:
        return None
    for number, sample in enumerate(samples):
        if sample["images"] == run.best["images"]:
            return number
    return None


def load_grids(run: GanRun, runs: Path, stem: Path) -> list[Grid]:
    """The chosen grids of a run, whose folder lies in `runs`.

    The faces are also saved as `stem`-1.png (or .jpg) and on.
    """
    size = int(run.of_recipe("data", "size") or 0)
    grids = []
    for number, (role, sample) in enumerate(choose_times(run), start=1):
        path = f"{run.name}/{sample.get('path', '')}"
        target = stem.with_name(f"{stem.name}-{number}")
        uri: str | None = None
        # Where the file cannot be read, the page says so.
        with suppress(ImageError):
            data = _read(runs, path)
            uri = _copy_faces(run, data, size, target)
        images = int(sample["images"])
        grid_of_run = Grid(
            role=role,
            images=images,
            evaluation=_find_evaluation(run, images),
            uri=uri,
            pixelated=0 < size < EXACT,
        )
        grids.append(grid_of_run)
    return grids


def _find_evaluation(run: GanRun, images: int) -> Line:
    """The evaluation after so many images; empty where there was none."""
    for line in run.evals:
        if line["images"] == images:
            return line
    return {}


def cut_faces(data: bytes, size: int, most: int = ROWS * COLUMNS) -> NDArray[np.uint8]:
    """The first faces uint8 [N, 3, size, size] of a grid's bytes, row by row.

    Raises ImageError where it holds none.
    """
    picture = decode(data)
    pixels = to_pixels(picture)
    _, height, width = pixels.shape
    if size <= 0 or size > min(height, width):
        raise ImageError(f"{width}×{height} pixels hold no face of {size}")
    rows = height // size
    columns = width // size
    height = rows * size
    width = columns * size
    whole = pixels[:, :height, :width]
    cells = whole.reshape(3, rows, size, columns, size)
    faces = cells.transpose(1, 3, 0, 2, 4)
    listed = faces.reshape(-1, 3, size, size)
    return listed[:most]


def slug(name: str) -> str:
    """A name as part of a file's name: letters, digits, point and hyphen, at most 60."""
    plain = re.sub(r"[^A-Za-z0-9.]+", "-", name)
    stripped = plain.strip("-.")
    return stripped[:60] or "unnamed"


def _read(folder: Path, path: str) -> bytes:
    """A file below the folder.

    Raises ImageError where it is missing, or where its path leads out of the folder.
    """
    folders = PurePosixPath(path).parts
    leads_out = path.startswith("/") or ".." in folders
    if leads_out:
        raise ImageError("not a file of the run")
    with FileReader() as reader:
        return reader.read(str(folder / path))


def _copy_faces(run: GanRun, data: bytes, size: int, target: Path) -> str:
    """Write the first faces of a sample grid as a marked picture; returns it as a data URI."""
    faces = cut_faces(data, size)
    model = str(run.of_recipe("model", "name"))
    mark = read_mark(data) or Mark(model, "unknown")
    pixels = grid(faces, COLUMNS)
    if size <= EXACT:
        path = target.with_name(target.name + ".png")
        save_png(path, pixels, mark)
        return data_uri(path.read_bytes(), "png")
    path = target.with_name(target.name + ".jpg")
    save_jpeg(path, pixels, mark)
    return data_uri(path.read_bytes(), "jpeg")
