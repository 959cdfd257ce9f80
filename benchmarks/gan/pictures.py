"""The generated faces among the results: a grid of each run, and runs side by side.

The grid of a run's last generator is only stored where it differs from that of its best.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.output import RESULTS
from numpy.typing import NDArray
from PIL import Image

from fauxlab.io.marking import Mark, save_png
from fauxlab.io.text import replace_file

ROWS, COLUMNS = 4, 6  # of a grid, in pictures of runs side by side
GAP = 8  # white pixels between two runs
ENLARGE = 2

Entry = dict[str, Any]


def store_grids(entry: Entry, samples: Path) -> None:
    """Copy the grids of a run's best and last generators from its `samples` to the results."""
    grids = {}
    for moment in ("best", "last"):
        images_seen = entry[f"{moment}_images"]
        grids[moment] = (samples / f"fakes{images_seen:09}.png").read_bytes()
    replace_file(grid_path(entry["name"], "best"), grids["best"])
    last = grid_path(entry["name"], "last")
    if grids["last"] == grids["best"]:
        last.unlink(missing_ok=True)
    else:
        replace_file(last, grids["last"])


def grid_path(run: str, moment: str) -> Path:
    return RESULTS / f"faces-{run}-{moment}.png"


def find_grid(run: str, moment: str) -> Path:
    """The file that shows a run at a moment; the best generator may also be the last."""
    path = grid_path(run, moment)
    return path if path.exists() else grid_path(run, "best")


def put_side_by_side(name: str, shown: list[tuple[Entry, str]]) -> None:
    """Write a picture with some faces of each run at its best or last moment.

    All runs must have the same image size.
    """
    panels: list[NDArray[np.uint8]] = []
    for entry, moment in shown:
        faces = read_faces(entry, moment)
        if panels:
            panels.append(np.full((len(faces), GAP, 3), 255, np.uint8))
        panels.append(faces)
    picture = np.concatenate(panels, axis=1)
    enlarged = picture.repeat(ENLARGE, 0).repeat(ENLARGE, 1)
    recipes = dict.fromkeys(entry["recipe"] for entry, _ in shown)
    mark = Mark(", ".join(recipes), "")
    save_png(RESULTS / name, enlarged.transpose(2, 0, 1), mark)


def read_faces(entry: Entry, moment: str) -> NDArray[np.uint8]:
    """The first faces of a grid, [height, width, 3]."""
    size = entry["size"]
    with Image.open(find_grid(entry["name"], moment)) as grid:
        pixels = np.asarray(grid.convert("RGB"))
    return pixels[: ROWS * size, : COLUMNS * size]
