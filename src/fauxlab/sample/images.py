"""Images of a generator by seed, and along a path between seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from fauxlab.data.indexing import Progress
from fauxlab.errors import LabError
from fauxlab.io.images import MAX_PIXELS
from fauxlab.models.gans import draw_latents
from fauxlab.models.pretrained import Generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

BATCH_PIXELS = 2**18  # drawn at once: 16 images of 128 px
MOST = 10**6  # images in one go
# Only the lower 32 bits of a seed are drawn from: beyond them two seeds would give one picture.
SEEDS = 2**32


def sample_images(generator: Generator, seeds: Sequence[int], truncation: float = 1.0) -> Pixels:
    """The images of the seeds, uint8 [N, 3, size, size].

    A seed gives the same latent in any batch and on any device. On one CPU it gives the same image
    to within one level: products of matrices may round their last bit differently in a batch of
    another size. On another device, which may calculate less precisely, only "the same face" is
    promised.

    `truncation` in (0, 1] scales the latents towards 0. These generators have no mapping network,
    whose mean would be a typical face. So scaled latents leave the shell of radius √latent where
    nearly all of a standard normal lies, and which the generator was trained on. Images become less
    varied and nearer to the image of the zero latent, which need not be a face.

    Raises LabError on a truncation or seeds out of range.

    >>> import fauxlab as fl
    >>> generator = fl.Generator.from_pretrained("runs/r3-32/best")  # doctest: +SKIP
    >>> fl.sample_images(generator, range(8)).shape  # doctest: +SKIP
    (8, 3, 32, 32)
    """
    check_latents(seeds, truncation)
    size = generator.config.size
    pixels = np.empty((len(seeds), 3, size, size), dtype=np.uint8)
    start = 0
    for _, batch in draw_batches(generator, seeds, truncation):
        stop = start + len(batch)
        pixels[start:stop] = batch
        start = stop
    return pixels


def interpolate(
    generator: Generator,
    seeds: Sequence[int],
    frames: int,
    truncation: float = 1.0,
    progress: Progress | None = None,
) -> Pixels:
    """A closed path through the seeds' images, uint8 [frames, 3, size, size].

    Seed k of K is frame ⌊k·frames/K⌋. Between two latents the path turns at constant speed
    (spherical interpolation, Shoemake 1985), while the norm changes evenly. A straight line would
    cut through the middle, where a standard normal hardly ever lies. Raises LabError with fewer
    than two seeds, and with fewer frames than seeds or more than MAX_PIXELS hold. `progress` is
    called with the number of frames just drawn.
    """
    check_path(generator, seeds, frames)
    check_latents(seeds, truncation)
    latents = draw_latents(seeds, generator.config.latent)
    latents = latents * truncation
    count = len(seeds)
    stops = [k * frames // count for k in range(count + 1)]
    # The last leg leads back to the first seed.
    targets = torch.roll(latents, -1, dims=0)
    legs = []
    for k in range(count):
        steps = stops[k + 1] - stops[k]
        legs.append(_turn(latents[k], targets[k], steps))
    path = torch.cat(legs)
    step = _batch_size(generator)
    drawn = []
    for first in range(0, frames, step):
        stretch = path[first : first + step]
        batch = generator(stretch).numpy()
        drawn.append(batch)
        if progress:
            progress(len(batch))
    return np.concatenate(drawn)


def draw_batches(
    generator: Generator, seeds: Sequence[int], truncation: float
) -> Iterator[tuple[Sequence[int], Pixels]]:
    """Seeds and their images, in batches that memory should hold."""
    step = _batch_size(generator)
    for start in range(0, len(seeds), step):
        batch = seeds[start : start + step]
        latents = draw_latents(batch, generator.config.latent)
        images = generator(latents * truncation)
        yield batch, images.numpy()


def check_count(n: int) -> None:
    """Raises LabError on more images, or fewer, than are drawn in one go."""
    if not 1 <= n <= MOST:
        raise LabError(f"{n:,} images: n must be from 1 to {MOST:,}")


def check_latents(seeds: Sequence[int], truncation: float) -> None:
    """Raises LabError on seeds or a truncation that no image can be drawn from."""
    if not 0 < truncation <= 1:
        raise LabError(
            f"truncation {truncation}: give a number above 0 and up to 1, "
            "which leaves the latents alone"
        )
    check_count(len(seeds))
    least = min(seeds)
    most = max(seeds)
    if least < 0 or most >= SEEDS:
        raise LabError(f"seeds {least} to {most}: they must be from 0 to {SEEDS - 1}")
    if len(set(seeds)) < len(seeds):
        raise LabError("a seed is given more than once; name each only once")


def check_path(generator: Generator, seeds: Sequence[int], frames: int) -> None:
    """Raises LabError where the seeds give no path of so many frames."""
    if len(seeds) < 2 or frames < len(seeds):
        raise LabError(
            f"a path of {frames} frames through {len(seeds)} seeds: "
            "it takes two seeds, and a frame for each"
        )
    check_area(f"an animation of {frames} frames", frames, generator)


def check_area(name: str, images: int, generator: Generator) -> None:
    """Raises LabError where so many images in one file are above the limit of pixels."""
    pixels = images * generator.config.size**2
    if pixels > MAX_PIXELS:
        raise LabError(
            f"{name} has {pixels:,} pixels, above the limit of {MAX_PIXELS:,}; take fewer, or none"
        )


def _batch_size(generator: Generator) -> int:
    image_pixels = generator.config.size**2
    return max(1, BATCH_PIXELS // image_pixels)


def _turn(start: torch.Tensor, end: torch.Tensor, steps: int) -> torch.Tensor:
    """Latents float [steps, latent] from `start` on towards `end`, which is not among them.

    With Ω the angle between unit vectors a and b: (sin((1-t)Ω) a + sin(tΩ) b) / sin Ω.
    """
    # In double precision, so that rounding back gives `start` itself.
    a = start.double()
    b = end.double()
    a_norm = a.norm()
    b_norm = b.norm()
    a = a / a_norm
    b = b / b_norm
    numbers = torch.arange(steps, dtype=torch.float64)
    t = numbers[:, None] / steps
    cosine = (a @ b).clamp(-1, 1)
    angle = torch.acos(cosine)
    sine = angle.sin()
    # Equal or opposite vectors, as all in one dimension are, have no plane to turn in.
    if sine < 1e-6:
        turned = (1 - t) * a + t * b
    else:
        a_weight = ((1 - t) * angle).sin()
        b_weight = (t * angle).sin()
        turned = (a_weight * a + b_weight * b) / sine
    norms = (1 - t) * a_norm + t * b_norm
    latents: torch.Tensor = turned * norms
    return latents.float()
