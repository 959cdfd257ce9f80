"""Pictures from a generator: by seed, along a path between seeds, as files, and as fakes of a data
set.

With `write_dataset` the loop closes: the samples become one more generator in a manifest, so that a
detector can be tested on, and trained with, fakes that it never saw.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fauxlab.data.cache import load_images
from fauxlab.data.indexing import Progress
from fauxlab.data.manifest import Manifest, Row
from fauxlab.data.split import connected_components, near_duplicates
from fauxlab.errors import LabError
from fauxlab.io.images import MAX_PIXELS, fingerprint, to_picture
from fauxlab.io.marking import Mark, grid, grid_shape, save_gif, save_jpeg, save_png
from fauxlab.io.text import hash_file, printable, replace_file
from fauxlab.models.gans import draw_latents
from fauxlab.models.pretrained import Generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

BATCH_PIXELS = 2**18  # drawn at once: 16 images of 128 px
MOST = 10**6  # images in one go
# only the lower 32 bits of a seed are drawn from: beyond, two seeds would give one picture
SEEDS = 2**32
MARKER, UNMARKED = "samples.json", "unmarked.log"


def sample_images(generator: Generator, seeds: Sequence[int], truncation: float = 1.0) -> Pixels:
    """The images of the seeds, uint8 [N, 3, size, size].

    A seed gives the same latent in any company and on any device. On one CPU it gives the same
    image to within one level: products of matrices may round their last bit otherwise in a batch of
    another size. On another device, which may calculate less precisely, nothing closer than "the
    same face" is promised.

    `truncation` in (0, 1] scales the latents towards 0. These generators have no mapping network,
    whose mean would be a typical face: the latents themselves leave the shell of radius √latent
    where nearly all of a standard normal lies, and with it what the generator was trained on.
    Images become less varied and nearer to the image of the zero latent, which need not be a face.

    Raises LabError on a truncation or seeds out of range.
    """
    _check(seeds, truncation)
    size = generator.config.size
    pixels = np.empty((len(seeds), 3, size, size), dtype=np.uint8)
    done = 0
    for some, batch in _batches(generator, seeds, truncation):
        pixels[done : done + len(some)] = batch
        done += len(some)
    return pixels


def interpolate(
    generator: Generator,
    seeds: Sequence[int],
    frames: int,
    truncation: float = 1.0,
    progress: Progress | None = None,
) -> Pixels:
    """A closed path through the seeds' latents, uint8 [frames, 3, size, size]; every seed's own
    image is a frame.

    Between two latents it turns at constant speed (spherical interpolation, Shoemake 1985), while
    the norm goes evenly from the one's to the other's: a straight line would cut through the
    middle, where a standard normal hardly ever lies. Seed k of K is frame ⌊k·frames/K⌋. Raises
    LabError with fewer than two seeds, and with fewer frames than seeds or more than MAX_PIXELS
    hold. `progress` is called with the number of frames just drawn.
    """
    _check_path(generator, seeds, frames)
    _check(seeds, truncation)
    latents = draw_latents(seeds, generator.config.latent) * truncation
    stops = [k * frames // len(seeds) for k in range(len(seeds) + 1)]
    legs = [
        _turn(latents[k - 1], latents[k], stops[k] - stops[k - 1]) for k in range(1, len(seeds))
    ]
    legs.append(_turn(latents[-1], latents[0], frames - stops[-2]))  # home
    path, step = torch.cat(legs), _batch_size(generator)
    drawn = []
    for first in range(0, frames, step):
        drawn.append(generator(path[first : first + step]).numpy())
        if progress:
            progress(len(drawn[-1]))
    return np.concatenate(drawn)


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
    """Write `seed0000.png`, …, `grid.png`, and with `frames` `interpolation.gif`; returns their
    paths.

    Each is marked as AI-generated; with `mark` False none is, and `unmarked.log` notes it.
    `samples.json` says what the folder holds: further seeds of the same model may join. Raises
    LabError, before anything is drawn, on seeds, truncation, columns or frames out of range, and
    when a file would be replaced that was not written by this.
    """
    folder = Path(folder)
    _check(seeds, truncation)
    if with_grid:
        rows, across = grid_shape(len(seeds), columns)
        _check_area(f"a grid of {rows} × {across} images", rows * across, generator)
    if frames is not None:
        _check_path(generator, seeds, frames)
    names = [f"seed{seed:04}.png" for seed in seeds]
    more = ["grid.png"] * with_grid + ["interpolation.gif"] * (frames is not None)
    what = {
        "kind": "samples",
        "model_hash": generator.hash,
        "truncation": truncation,
        "marked": mark,
    }
    _claim(folder, what, [*names, *more])
    several = _begin(generator, folder, len(names) + len(more), mark)
    cells = []
    for some, pixels in _batches(generator, seeds, truncation):
        for seed, image in zip(some, pixels, strict=True):
            save_png(folder / f"seed{seed:04}.png", image, several and replace(several, seed=seed))
        if with_grid:
            cells.append(pixels)
        if progress:
            progress(len(some))
    if with_grid:
        save_png(folder / "grid.png", grid(np.concatenate(cells), columns), several)
    if frames is not None:
        animation = interpolate(generator, seeds, frames, truncation, progress)
        save_gif(folder / "interpolation.gif", animation, several)
    return [folder / name for name in [*names, *more]]


def write_dataset(
    generator: Generator,
    folder: str | Path,
    n: int,
    name: str,
    beside: Manifest | None = None,
    *,
    quality: int = 92,
    first_seed: int = 0,
    split_seed: int = 0,
    truncation: float = 1.0,
    mark: bool = True,
    progress: Progress | None = None,
) -> Manifest:
    """Write n samples as the fakes of generator `name` with `manifest.csv`, and return that
    manifest.

    `beside` holds the generator's training data. Its real images of the collections that the
    generator learned from (all, where the bundle names none) are written again as
    `real/<source>-<size>px/`, by the same crop, resize and encoder as the fakes, which name them as
    the reals to be compared with: size and compression give no label away. They keep their groups
    and splits. `joint.csv` then lists these images and all of `beside`. The copies of real images
    are for this machine only: the terms of the data that they come from forbid most data sets to be
    passed on.

    Fakes are split by groups of near-equal looks, so that a generator that repeats itself is not
    tested on its training images. Only fakes carry a mark, as metadata that no detector of this lab
    sees. `progress` is called with the number of images just decoded or written. Raises LabError,
    before anything is written, on values out of range, a name that is taken or no plain name, reals
    that `beside` lacks, and a folder that holds anything else.
    """
    folder = Path(folder).absolute()
    check_count(n)
    seeds = range(first_seed, first_seed + n)
    _check(seeds, truncation)
    _check_dataset(name, quality, beside)
    reals = None if beside is None else training_reals(generator, beside)
    what = {
        "kind": "data set",
        "model_hash": generator.hash,
        "truncation": truncation,
        "marked": mark,
        "name": name,
    }
    what |= {"n": n, "first_seed": first_seed, "split_seed": split_seed, "quality": quality}
    what |= {"beside": None if beside is None else beside.data_hash}
    _claim(folder, what, ["fake", "real", "manifest.csv", "joint.csv"])
    several = _begin(generator, folder, n, mark)
    rows: list[Row] = []
    skipped: tuple[tuple[str, str], ...] = ()
    if beside is not None and reals is not None:
        rows, skipped = _write_reals(
            reals, beside.sources, folder, generator.config.size, quality, progress
        )
    compare_to = ";".join(dict.fromkeys(row.source for row in rows))
    fakes = _write_fakes(
        _batches(generator, seeds, truncation), folder, name, compare_to, several, quality, progress
    )
    manifest = Manifest(
        (*rows, *Manifest(tuple(fakes), folder).split(split_seed).rows), folder, skipped
    )
    manifest.save(folder / "manifest.csv")
    if beside is not None:
        root = beside.root.absolute()
        # Fakes that were compared with all reals stay so with all of those: the copies are there
        # for the new ones.
        all_of_them = ";".join(beside.sources)
        old = (
            replace(
                row,
                path=os.path.join(root, row.path),
                compare_to=row.compare_to or (all_of_them if row.label else ""),
            )
            for row in beside.rows
        )
        Manifest((*old, *manifest.rows), folder).save(folder / "joint.csv")
    return manifest


def _batches(
    generator: Generator, seeds: Sequence[int], truncation: float
) -> Iterator[tuple[Sequence[int], Pixels]]:
    """Seeds and their images, as many at once as memory should hold."""
    step = _batch_size(generator)
    for start in range(0, len(seeds), step):
        some = seeds[start : start + step]
        yield some, generator(draw_latents(some, generator.config.latent) * truncation).numpy()


def _batch_size(generator: Generator) -> int:
    return max(1, BATCH_PIXELS // generator.config.size**2)


def _turn(start: torch.Tensor, end: torch.Tensor, steps: int) -> torch.Tensor:
    """Latents float [steps, latent] from `start` towards `end`, which is left to the next leg.

    With Ω the angle between unit vectors a and b: (sin((1-t)Ω) a + sin(tΩ) b) / sin Ω.
    """
    a, b = start.double(), end.double()  # so that rounding back gives `start` itself
    norms = a.norm(), b.norm()
    a, b = a / norms[0], b / norms[1]
    t = torch.arange(steps, dtype=torch.float64)[:, None] / steps
    angle = torch.acos((a @ b).clamp(-1, 1))
    # equal or opposite, as all are that have one dimension: no plane to turn in
    if angle.sin() < 1e-6:
        turned = (1 - t) * a + t * b
    else:
        turned = (((1 - t) * angle).sin() * a + (t * angle).sin() * b) / angle.sin()
    latents: torch.Tensor = turned * ((1 - t) * norms[0] + t * norms[1])
    return latents.float()


def check_count(n: int) -> None:
    """Raises LabError on more images, or fewer, than are drawn in one go."""
    if not 1 <= n <= MOST:
        raise LabError(f"{n:,} images: n must be from 1 to {MOST:,}")


def _check(seeds: Sequence[int], truncation: float) -> None:
    if not 0 < truncation <= 1:
        raise LabError(
            f"truncation {truncation}: give a number above 0 and up to 1, which leaves the latents alone"
        )
    check_count(len(seeds))
    if min(seeds) < 0 or max(seeds) >= SEEDS:
        raise LabError(f"seeds {min(seeds)} to {max(seeds)}: they must be from 0 to {SEEDS - 1}")
    if len(set(seeds)) < len(seeds):
        raise LabError("a seed is given more than once; name each only once")


def _check_path(generator: Generator, seeds: Sequence[int], frames: int) -> None:
    if len(seeds) < 2 or frames < len(seeds):
        raise LabError(
            f"a path of {frames} frames through {len(seeds)} seeds: it takes two seeds, and a frame for each"
        )
    _check_area(f"an animation of {frames} frames", frames, generator)


def _check_area(what: str, images: int, generator: Generator) -> None:
    if (pixels := images * generator.config.size**2) > MAX_PIXELS:
        raise LabError(
            f"{what} has {pixels:,} pixels, above the limit of {MAX_PIXELS:,}; take fewer, or none"
        )


def _check_dataset(name: str, quality: int, beside: Manifest | None) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise LabError(
            f"generator name {name!r}: up to 64 letters, digits, dots, dashes and underscores"
        )
    if not 1 <= quality <= 100:
        raise LabError(f"JPEG quality {quality}: it must be from 1 to 100")
    if beside is None:
        return
    if name in beside.generators or any(
        row.group.startswith(f"{name} seed ") for row in beside.rows
    ):
        raise LabError(f"the manifest has a generator {name!r} already; choose another name")
    if not any(row.split for row in beside.rows):
        raise LabError(
            "the manifest has no splits; assign them with Manifest.split or `fauxlab data index`"
        )


def training_reals(generator: Generator, beside: Manifest, instead: str = "") -> Manifest:
    """The real images of the collections that the generator learned from, all splits.

    Raises LabError, which may name what to give `instead`, where one is missing: a distance to
    others, or a search for copies among them, would mean something else.
    """
    named = generator.config.training.get("sources")
    wanted = named if isinstance(named, list) and named else beside.sources
    missing = [str(source) for source in wanted if source not in beside.sources]
    if missing or not wanted:
        raise LabError(
            f"the manifest lacks the real images that the generator learned from ({', '.join(missing) or 'any'}); it "
            f"has {', '.join(beside.sources) or 'none'}; give the manifest of its training"
            + (instead and f", {instead}")
        )
    return beside.where(lambda row: not row.label and row.source in wanted)


def _write_reals(
    reals: Manifest,
    taken: Sequence[str],
    folder: Path,
    size: int,
    quality: int,
    progress: Progress | None,
) -> tuple[list[Row], tuple[tuple[str, str], ...]]:
    """The rows of the copies, and what could not be read."""
    images = load_images(reals, size, progress)
    names: dict[str, str] = {}
    for source in reals.sources:
        # It becomes a folder, and `;` separates sources: what is no letter or digit gives way.
        name = f"{re.sub(r'[^A-Za-z0-9-]', '_', source)[:64]}-{size}px"
        while name in taken or name in names.values():
            name += "_"
        names[source] = name
        (folder / "real" / name).mkdir(parents=True, exist_ok=True)
    rows = []
    for i, row in enumerate(images.manifest.rows):
        path = f"real/{names[row.source]}/{i:06}.jpg"
        save_jpeg(folder / path, images.take(np.array([i]))[0], None, quality)
        rows.append(
            replace(row, path=path, source=names[row.source], sha256=hash_file(folder / path))
        )
        if progress:
            progress(1)
    return rows, images.skipped


def _write_fakes(
    batches: Iterable[tuple[Sequence[int], Pixels]],
    folder: Path,
    name: str,
    compare_to: str,
    several: Mark | None,
    quality: int,
    progress: Progress | None,
) -> list[Row]:
    """The rows of the fakes, without splits. Near-equal ones share the group of the first of them."""
    (folder / "fake" / name).mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    keys: list[list[tuple[object, ...]]] = []
    prints: dict[int, NDArray[np.bool_]] = {}
    for seeds, pixels in batches:
        for seed, image in zip(seeds, pixels, strict=True):
            path = f"fake/{name}/seed{seed:06}.jpg"
            save_jpeg(folder / path, image, several and replace(several, seed=seed), quality)
            bits = fingerprint(to_picture(image))
            if bits is not None:
                prints[len(rows)] = bits
            keys.append([("pixels", hashlib.sha256(image.tobytes()).digest())])
            rows.append(
                Row(
                    path,
                    1,
                    name,
                    "",
                    compare_to,
                    f"{name} seed {seed}",
                    "",
                    hash_file(folder / path),
                )
            )
        if progress:
            progress(len(seeds))
    told = list(prints)
    alike = near_duplicates(np.stack(list(prints.values()))) if prints else ()
    firsts = connected_components(keys, ((told[a], told[b]) for a, b in alike))
    return [replace(row, group=rows[first].group) for row, first in zip(rows, firsts, strict=True)]


def _claim(folder: Path, what: dict[str, Any], names: Sequence[str]) -> None:
    """Take the folder for what is to be written, and note it there. Raises LabError where it
    belongs to others.
    """
    marker = folder / MARKER
    mine: set[str] = set()
    if marker.is_file():
        try:
            held = json.loads(marker.read_text(encoding="utf-8"))
            before, mine = dict(held["what"]), set(held["files"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise LabError(f"{printable(marker)} is damaged; give another folder") from None
        changed = [key for key in what if before.get(key) != what[key]]
        if changed:
            old, new = (f"{changed[0]} {side.get(changed[0])!r}" for side in (before, what))
            raise LabError(
                f"{printable(folder)} holds pictures of {old}, these have {new}; give another folder"
            )
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise LabError(
            f"{printable(folder)} is not empty and was not written by this command; give another folder"
        )
    foreign = [name for name in names if name not in mine and (folder / name).exists()]
    if foreign:
        raise LabError(
            f"{printable(folder / foreign[0])} was not written by this command; move it or give another folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(marker, json.dumps({"what": what, "files": sorted(mine.union(names))}) + "\n")


def _begin(generator: Generator, folder: Path, count: int, mark: bool) -> Mark | None:
    """The mark of what shows several seeds; with `mark` False none, and a line in the folder's log
    of such cases.
    """
    if mark:
        return Mark(generator.config.architecture, generator.hash)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    with (folder / UNMARKED).open("a", encoding="utf-8") as log:
        log.write(
            f"{now} {count} files of model hash {generator.hash or 'unknown'} written without a mark\n"
        )
    return None
