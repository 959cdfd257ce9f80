"""Sample grids of a run, early, best and last, made small enough for a page and marked again as
AI-generated.
"""

from __future__ import annotations

import re
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

ROWS, COLUMNS = 8, 4
EXACT = 64  # pixels of a face up to which the page shows every one; larger faces come as JPEG


@dataclass(frozen=True)
class Grid:
    """The first faces of a sample grid. `uri` is None where the file is missing or damaged."""

    role: str
    images: int
    evaluation: Line
    uri: str | None
    sharp: bool


def choose_times(run: GanRun) -> list[tuple[str, Line]]:
    """Three samples in order of time with what they stand for: early, best and last; one between
    where two coincide.
    """
    samples = sorted(run.samples, key=lambda line: line["images"])
    if not samples:
        return []
    best = next(
        (i for i, line in enumerate(samples) if run.best and line["images"] == run.best["images"]),
        None,
    )
    roles: dict[int, list[str]] = {0: ["early"]}
    if best is not None:
        roles.setdefault(best, []).append("best")
    roles.setdefault(len(samples) - 1, []).append("last")
    rest = [i for i in range(len(samples)) if i not in roles]
    if len(roles) < 3 and rest:
        roles[rest[len(rest) // 2]] = ["between"]
    return [(", ".join(roles[i]), samples[i]) for i in sorted(roles)]


def load_grids(run: GanRun, runs: Path, stem: Path) -> list[Grid]:
    """The chosen grids of the run's folder below `runs`; the faces are also saved, `stem`-1.png (or
    .jpg) and on.
    """
    size = run.of_recipe("data", "size")
    grids = []
    for k, (role, sample) in enumerate(choose_times(run), start=1):
        images = int(sample["images"])
        uri = None
        try:
            data = _read(runs, f"{run.name}/{sample.get('path', '')}")
            faces = cut_faces(data, int(size or 0))
            mark = read_mark(data) or Mark(str(run.of_recipe("model", "name")), "unknown")
            uri = _save(stem.with_name(f"{stem.name}-{k}"), faces, mark)
        except ImageError:
            pass  # the page says that it cannot be read
        evaluation = next((line for line in run.evals if line["images"] == images), {})
        grids.append(Grid(role, images, evaluation, uri, bool(size and size < EXACT)))
    return grids


def cut_faces(data: bytes, size: int, most: int = ROWS * COLUMNS) -> NDArray[np.uint8]:
    """The first faces uint8 [N, 3, size, size] of a grid's bytes, row by row. Raises ImageError
    where it holds none.
    """
    pixels = to_pixels(decode(data))
    rows, columns = (side // size if size > 0 else 0 for side in pixels.shape[1:])
    if not rows or not columns:
        raise ImageError(f"{pixels.shape[2]}×{pixels.shape[1]} pixels hold no face of {size}")
    cells = pixels[:, : rows * size, : columns * size].reshape(3, rows, size, columns, size)
    return cells.transpose(1, 3, 0, 2, 4).reshape(-1, 3, size, size)[:most]


def slug(name: str) -> str:
    """A name as part of a file's name: letters, digits, point and hyphen, at most 60."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")[:60] or "unnamed"


def _read(folder: Path, path: str) -> bytes:
    """A file below the folder. Raises ImageError where it is missing, or where its path leads out
    of there.
    """
    if path.startswith("/") or ".." in PurePosixPath(path).parts:
        raise ImageError("not a file of the run")
    with FileReader() as reader:
        return reader.read(str(folder / path))


def _save(path: Path, faces: NDArray[np.uint8], mark: Mark) -> str:
    """Write the faces [N, 3, H, W] as a grid beside the other figures; returns the same bytes as a
    data URI.
    """
    pixels = grid(faces, COLUMNS)
    exact = faces.shape[3] <= EXACT
    path = path.with_name(path.name + (".png" if exact else ".jpg"))
    save_png(path, pixels, mark) if exact else save_jpeg(path, pixels, mark)
    return data_uri(path.read_bytes(), "png" if exact else "jpeg")
