"""What happens to pictures on their way through the world: recompression, resizing, blur, noise,
crops, screenshots.

`DEGRADATIONS` is the protocol of robustness tests, `random_degradation` what a training may show.
Both work on decoded pictures uint8 [3, H, W] at the model's size and give the same size back.
Neither is told a label: a change that one class gets more often than the other would give the label
away.
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fauxlab.errors import LabError
from fauxlab.io.images import MIN_SIDE, decode, to_picture, to_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Pixels = NDArray[np.uint8]

Resampling = Image.Resampling

# The training degradation, alike for both classes. Detectors of synthetic images are commonly
# trained with milder ones (Wang et al. 2020 and later), and then take a blurred or grainy real for
# a fake: these take as much detail away as DEGRADATIONS do. A share keeps the grid of its pixels,
# as pictures passed on untouched do.
RESCALED = 0.75  # share rescaled and back
SCALES = (0.25, 1.3)
FILTERS = (Resampling.BOX, Resampling.BILINEAR, Resampling.BICUBIC, Resampling.LANCZOS)
BLURRED = 0.25
SIGMAS = (0.3, 2.0)
NOISY = 0.25
NOISES = (0.0, 10.0)  # standard deviations, of 255
ENCODED = 0.85
ENCODED_TWICE = 0.3  # share of the encoded
QUALITIES = (30, 95)
ZOOMS = (0.75, 1.4)  # of the side of a training square
WEBP_METHOD = 2  # Pillow's default of 4 takes twice the time for a few bytes


@dataclass(frozen=True)
class Degradation:
    """One kind: what it stands for, the protocol's levels, how a level is written, and what levels
    it can take.
    """

    stands_for: str
    levels: tuple[float, ...]
    unit: str
    limits: tuple[float, float]
    apply: Callable[[Pixels, float], Pixels]


def degrade(pixels: Pixels, kind: str, level: float) -> Pixels:
    """A picture uint8 [3, H, W] after one of `DEGRADATIONS` at a level of its kind's unit; same
    shape.

    A pure function of its arguments: noise is seeded by the pixels. Encoders need sides of at least
    16 pixels. Raises LabError on an unknown kind and on a level outside the kind's limits.
    """
    _check_kinds([kind])
    found = DEGRADATIONS[kind]
    low, high = found.limits
    if not low <= level <= high:
        raise LabError(f"degradation {kind}: level {level:g}; give one from {low:g} to {high:g}")
    return found.apply(pixels, level)


def list_degradations(kinds: Sequence[str] | None = None) -> list[tuple[str, float]]:
    """The protocol's (kind, level) pairs of the named kinds, of all by default, in the table's
    order.

    Raises LabError on an unknown kind.
    """
    _check_kinds(kinds or [])
    return [
        (kind, level)
        for kind, d in DEGRADATIONS.items()
        if not kinds or kind in kinds
        for level in d.levels
    ]


def name_degradation(kind: str, level: float) -> str:
    """As people write it: jpeg q75, resize ×0.5."""
    return f"{kind} {DEGRADATIONS[kind].unit}{level:g}"


def random_degradation(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A picture uint8 [3, H, W] after a random chain, same shape: rescaled, at times blurred or
    grainy, encoded.

    Where it is encoded twice, the first time is at the rescaled size, as by a site that others take
    pictures from. The way back is bicubic, as in `to_square`: in use, that is what brings a
    rescaled picture to the model's size.
    """
    image = to_picture(pixels)
    width, height = size = image.size
    encodings = int(rng.random() < ENCODED)
    encodings += encodings * int(rng.random() < ENCODED_TWICE)
    if rng.random() < RESCALED:
        scale = rng.uniform(*SCALES)
        there = FILTERS[rng.integers(len(FILTERS))]
        image = image.resize(
            (_scaled(width, scale, MIN_SIDE), _scaled(height, scale, MIN_SIDE)), there
        )
    if encodings == 2:
        image = _encode_randomly(image, rng)
    if image.size != size:
        image = image.resize(size, Resampling.BICUBIC)
    if rng.random() < BLURRED:
        image = to_picture(blur(to_pixels(image), rng.uniform(*SIGMAS)))
    if rng.random() < NOISY:
        image = to_picture(noise(to_pixels(image), rng.uniform(*NOISES)))
    if encodings:
        image = _encode_randomly(image, rng)
    return to_pixels(image)


def degrade_repeatably(pixels: Pixels) -> Pixels:
    """A random degradation that is the same whenever the same picture comes: uint8 [3, H, W] to the
    same.
    """
    return random_degradation(pixels, np.random.default_rng(zlib.crc32(pixels.tobytes())))


def degrade_batch(
    pixels: Pixels, seeds: Sequence[int] | NDArray[np.int64], workers: int | None = None
) -> Pixels:
    """Random degradations of uint8 [N, 3, H, W], each a pure function of its picture and its seed,
    in threads.
    """
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        found = pool.map(
            lambda x, seed: random_degradation(x, np.random.default_rng(int(seed))), pixels, seeds
        )
        return np.stack([*found]) if len(pixels) else pixels.copy()


def random_crops(
    images: Tensor, side: int, zoomed: float, seeds: Sequence[int] | NDArray[np.int64]
) -> Tensor:
    """A square of `side` pixels from anywhere in each of uint8 [N, 3, H, W], at their own
    resolution.

    A share `zoomed` of the squares is taken 0.75 to 1.4 times as large, where the picture has room,
    and resized to `side` (bicubic, antialiased): faces do not always come at the size of the
    training pictures.
    """
    import torch

    found = np.empty((len(images), 3, side, side), np.uint8)
    for k, (picture, seed) in enumerate(zip(images.cpu().numpy(), seeds, strict=True)):
        rng = np.random.default_rng(int(seed))
        height, width = picture.shape[1:]
        taken = side if rng.random() >= zoomed else round(side * rng.uniform(*ZOOMS))
        taken = min(taken, height, width)
        top, left = (int(rng.integers(room - taken + 1)) for room in (height, width))
        square = picture[:, top : top + taken, left : left + taken]
        found[k] = (
            square
            if taken == side
            else to_pixels(to_picture(square).resize((side, side), Resampling.BICUBIC))
        )
    return torch.from_numpy(found).to(images.device)


def jpeg(pixels: Pixels, quality: float) -> Pixels:
    """Through a JPEG file of a quality of 1 to 100, with the usual halved colour resolution
    (4:2:0).
    """
    return to_pixels(_encode(to_picture(pixels), "JPEG", int(quality)))


def webp(pixels: Pixels, quality: float) -> Pixels:
    """Through a lossy WebP file of a quality of 1 to 100."""
    return to_pixels(_encode(to_picture(pixels), "WEBP", int(quality)))


def resize(pixels: Pixels, scale: float) -> Pixels:
    """To `scale` times the size and back, both bicubic and antialiased."""
    return to_pixels(_there_and_back(to_picture(pixels), scale, Resampling.BICUBIC))


def blur(pixels: Pixels, sigma: float) -> Pixels:
    """Convolved with a Gaussian of `sigma` pixels, cut at 3 sigma (one pixel at least), with
    repeated edges.
    """
    if sigma == 0:
        return pixels.copy()
    reach = max(1, int(np.ceil(3 * sigma)))
    kernel = np.exp(-((np.arange(-reach, reach + 1) / sigma) ** 2) / 2).astype(np.float32)
    kernel /= kernel.sum()
    image = pixels.astype(np.float32)
    for axis in (1, 2):
        margin = [(reach, reach) if a == axis else (0, 0) for a in range(3)]
        padded, side = np.pad(image, margin, mode="edge"), image.shape[axis]
        image = kernel[reach] * image
        for step in range(1, reach + 1):  # the kernel is symmetric: one product for both neighbours
            before, after = (
                padded.take(range(k, k + side), axis) for k in (reach - step, reach + step)
            )
            image += kernel[reach + step] * (before + after)
    return _to_bytes(image)


def noise(pixels: Pixels, sigma: float) -> Pixels:
    """With white Gaussian noise of standard deviation `sigma` (of 255) added; one field a picture,
    scaled by level.
    """
    rng = np.random.default_rng(zlib.crc32(pixels.tobytes()))
    return _to_bytes(pixels + np.float32(sigma) * rng.standard_normal(pixels.shape, np.float32))


def crop(pixels: Pixels, keep: float) -> Pixels:
    """The middle `keep` of each side, in whole pixels, brought back to the full size (bicubic)."""
    image = to_picture(pixels)
    width, height = (_scaled(side, keep) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    # Not resize(box=…), whose filter would still see what was cut off.
    kept = image.crop((left, top, left + width, top + height))
    return to_pixels(kept.resize(image.size, Resampling.BICUBIC))


def screenshot(pixels: Pixels, times: float) -> Pixels:
    """Shown at 0.8 of the size (bilinear), kept as JPEG q80, brought back and sent on as JPEG q70;
    `times` times.
    """
    image = to_picture(pixels)
    for _ in range(int(times)):
        size = image.size
        shown = image.resize(
            (_scaled(size[0], 0.8, MIN_SIDE), _scaled(size[1], 0.8, MIN_SIDE)), Resampling.BILINEAR
        )
        image = _encode(_encode(shown, "JPEG", 80).resize(size, Resampling.BILINEAR), "JPEG", 70)
    return to_pixels(image)


def brightness(pixels: Pixels, factor: float) -> Pixels:
    """Pixel values times `factor`, rounded and cut at 255."""
    return _to_bytes(np.arange(256) * factor)[pixels]


# From weak to strong where a kind has one direction; resize and brightness go both ways from ×1.
DEGRADATIONS: dict[str, Degradation] = {
    "jpeg": Degradation(
        "upload to a site or messenger", (95, 85, 75, 65, 50, 40, 30), "q", (1, 100), jpeg
    ),
    "webp": Degradation(
        "delivery by a site that re-encodes", (90, 75, 50, 30), "q", (1, 100), webp
    ),
    "resize": Degradation(
        "thumbnails and enlargements", (2, 1.5, 0.75, 0.5, 0.25), "×", (0.01, 8), resize
    ),
    "blur": Degradation("a lens out of focus, a smoothing filter", (0.5, 1, 2), "σ", (0, 20), blur),
    "noise": Degradation("a sensor in the dark, added grain", (2, 5, 10), "σ", (0, 255), noise),
    "crop": Degradation("another framing", (0.95, 0.9, 0.8), "×", (0.05, 1), crop),
    "screenshot": Degradation(
        "a screenshot sent on: rescaled, compressed twice", (1,), "×", (0, 10), screenshot
    ),
    "brightness": Degradation(
        "another exposure, an editor's slider", (0.7, 1.3), "×", (0, 10), brightness
    ),
}


def _encode_randomly(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    quality = int(rng.integers(QUALITIES[0], QUALITIES[1] + 1))
    if rng.random() < 0.5:
        return _encode(image, "JPEG", quality)
    return _encode(image, "WEBP", quality, method=WEBP_METHOD)


def _encode(image: Image.Image, form: str, quality: int, **options: int) -> Image.Image:
    """What a file of this format would give whoever opens it."""
    stream = io.BytesIO()
    image.save(stream, form, quality=quality, **options)
    return decode(stream.getvalue())


def _there_and_back(image: Image.Image, scale: float, how: Resampling) -> Image.Image:
    return image.resize((_scaled(image.width, scale), _scaled(image.height, scale)), how).resize(
        image.size, how
    )


def _scaled(side: int, scale: float, least: int = 1) -> int:
    return max(least, round(side * scale))


def _to_bytes(values: NDArray[np.floating]) -> Pixels:
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)


def _check_kinds(kinds: Sequence[str]) -> None:
    for kind in kinds:
        if kind not in DEGRADATIONS:
            raise LabError(f"no degradation {kind!r}; there are {', '.join(DEGRADATIONS)}")
