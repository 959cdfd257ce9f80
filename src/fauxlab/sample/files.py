"""Samples of a generator as picture files: PNGs, a grid, and an animation between seeds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.data.indexing import Progress
from fauxlab.errors import LabError
from fauxlab.io.marking import Mark, grid, grid_shape, save_gif, save_png
from fauxlab.io.text import printable
from fauxlab.models.pretrained import Generator
from fauxlab.sample.folder import begin_marking, claim_folder, list_written
from fauxlab.sample.images import check_area, check_latents, check_path, draw_batches, interpolate

if TYPE_CHECKING:
    from fauxlab.sample.images import Pixels

GRID = "grid.png"
ANIMATION = "interpolation.gif"
SEED_NAME = re.compile(r"seed([0-9]{4,18})\.png")


def write_samples(
    generator: Generator,
    folder: str | Path,
    seeds: Sequence[int],
    *,
    truncation: float = 1.0,
    with_grid: bool = True,
    columns: int | None = None,
    frames: int | None = None,
    mark: bool = True,
    progress: Progress | None = None,
) -> list[Path]:
    """Write seed0000.png and on, grid.png, and with `frames` interpolation.gif; returns the paths.

    Each is marked as AI-generated; with `mark` False none is, and `unmarked.log` records it.
    `samples.json` says what the folder holds: further seeds of the same model may join, and the
    grid then shows all of them. Raises LabError, before anything is drawn, on seeds, truncation,
    columns or frames out of range, where there is an animation already, and where a file would be
    replaced that was not written by this function.
    """
    folder = Path(folder)
    check_latents(seeds, truncation)
    earlier = _find_earlier(folder, seeds) if with_grid else []
    if with_grid:
        rows, across = grid_shape(len(earlier) + len(seeds), columns)
        check_area(f"a grid of {rows} × {across} images", rows * across, generator)
    if frames is not None:
        check_path(generator, seeds, frames)
        _refuse_other_animation(folder)
    names = _name_files(seeds, with_grid, frames is not None)
    contents = {
        "kind": "samples",
        "model_hash": generator.hash,
        "truncation": truncation,
        "marked": mark,
    }
    claim_folder(folder, contents, names)
    own_mark = begin_marking(generator, folder, len(names), mark)
    cells = [pixels for _, pixels in draw_batches(generator, earlier, truncation)]
    for batch, pixels in draw_batches(generator, seeds, truncation):
        _write_batch(folder, batch, pixels, own_mark)
        if with_grid:
            cells.append(pixels)
        if progress:
            progress(len(batch))
    if with_grid:
        whole = grid(np.concatenate(cells), columns)
        save_png(folder / GRID, whole, own_mark)
    if frames is not None:
        animation = interpolate(generator, seeds, frames, truncation, progress)
        save_gif(folder / ANIMATION, animation, own_mark)
    return [folder / name for name in names]


def _write_batch(folder: Path, seeds: Sequence[int], pixels: Pixels, mark: Mark | None) -> None:
    """Write each image as a PNG, its mark with its own seed."""
    for seed, image in zip(seeds, pixels, strict=True):
        seed_mark = mark and replace(mark, seed=seed)
        save_png(folder / _name_file(seed), image, seed_mark)


def _find_earlier(folder: Path, seeds: Sequence[int]) -> list[int]:
    """The seeds that an earlier call wrote into the folder, and that are not among these."""
    names = list_written(folder)
    numbers = [int(match[1]) for match in map(SEED_NAME.fullmatch, names) if match]
    return sorted(set(numbers) - set(seeds))


def _refuse_other_animation(folder: Path) -> None:
    path = folder / ANIMATION
    if path.exists():
        raise LabError(f"{printable(path)} is there; move it, or give another folder")


def _name_file(seed: int) -> str:
    return f"seed{seed:04}.png"


def _name_files(seeds: Sequence[int], with_grid: bool, animated: bool) -> list[str]:
    names = [_name_file(seed) for seed in seeds]
    if with_grid:
        names.append(GRID)
    if animated:
        names.append(ANIMATION)
    return names
