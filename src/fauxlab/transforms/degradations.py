"""What happens to pictures in the wild: recompression, resizing, blur, noise, crops, screenshots.

`DEGRADATIONS` is the protocol of robustness tests, `random_degradation` what a training may show.
Both take decoded pictures uint8 [3, H, W] at the model's size and give the same size back. Neither
sees a label: a change that one class gets more often than the other would give the label away.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fauxlab.errors import LabError
from fauxlab.io.images import MIN_SIDE, to_picture, to_pixels
from fauxlab.transforms.filters import (
    blur,
    brightness,
    crop,
    encode,
    jpeg,
    noise,
    resize,
    scaled_size,
    screenshot,
    webp,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Pixels = NDArray[np.uint8]
    Seeds = Sequence[int] | NDArray[np.int64]

Resampling = Image.Resampling

# The training degradation, alike for both classes. Detectors of synthetic images are commonly
# trained with milder degradations (Wang et al., 2020, and later work), and then call a blurred or
# grainy real fake. These take as much detail away as DEGRADATIONS do. A share keeps the grid of its
# pixels, as pictures do that are passed on untouched.
RESCALED = 0.75  # share that is rescaled and brought back
SCALES = (0.25, 1.3)
FILTERS = (Resampling.BOX, Resampling.BILINEAR, Resampling.BICUBIC, Resampling.LANCZOS)
BLURRED = 0.25  # share
SIGMAS = (0.3, 2.0)  # pixels
NOISY = 0.25  # share
NOISES = (0.0, 10.0)  # standard deviations, of 255
ENCODED = 0.85  # share
ENCODED_TWICE = 0.3  # share of the encoded
QUALITIES = (30, 95)
ZOOMS = (0.75, 1.4)  # of the side of a training crop
WEBP_METHOD = 2  # Pillow's default of 4 takes twice the time for a few bytes


@dataclass(frozen=True)
class Degradation:
    """One kind of degradation in the protocol.

    `stands_for` says what happens to a picture in the wild. `levels` are those of the protocol,
    `unit` is how a level is written, `limits` are the lowest and highest level that `apply` takes.
    """

    stands_for: str
    levels: tuple[float, ...]
    unit: str
    limits: tuple[float, float]
    apply: Callable[[Pixels, float], Pixels]


def degrade(pixels: Pixels, kind: str, level: float) -> Pixels:
    """A picture uint8 [3, H, W] after one of `DEGRADATIONS`, at a level in its unit; same shape.

    A pure function of its arguments: noise is seeded by the pixels. Encoders need sides of at least
    16 pixels. Raises LabError on an unknown kind and on a level outside the kind's limits.
    """
    _check_kinds([kind])
    degradation = DEGRADATIONS[kind]
    low, high = degradation.limits
    is_allowed = low <= level <= high
    if not is_allowed:
        raise LabError(f"degradation {kind}: level {level:g}; give one from {low:g} to {high:g}")
    return degradation.apply(pixels, level)


def list_degradations(kinds: Sequence[str] | None = None) -> list[tuple[str, float]]:
    """The protocol's (kind, level) pairs of the named kinds, of all by default, in its order.

    Raises LabError on an unknown kind.
    """
    _check_kinds(kinds or [])
    pairs = []
    for kind, degradation in DEGRADATIONS.items():
        if not kinds or kind in kinds:
            for level in degradation.levels:
                pairs.append((kind, level))
    return pairs


def name_degradation(kind: str, level: float) -> str:
    """As people write it: jpeg q75, resize ×0.5."""
    unit = DEGRADATIONS[kind].unit
    return f"{kind} {unit}{level:g}"


def random_degradation(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A picture uint8 [3, H, W] after a random chain of rescaling, blur, grain and encoding.

    The shape stays. Where a picture is encoded twice, the first time is at the rescaled size, as by
    a site that others take pictures from. The way back is bicubic as in `to_square`, since in use
    that is what brings a rescaled picture to the model's size.
    """
    image = to_picture(pixels)
    size = image.size
    is_encoded = rng.random() < ENCODED
    # Drawn in any case, so that the draws that follow do not depend on the first.
    is_encoded_again = rng.random() < ENCODED_TWICE
    if rng.random() < RESCALED:
        scale = rng.uniform(*SCALES)
        rescaled_size = scaled_size(size, scale, MIN_SIDE)
        number = rng.integers(len(FILTERS))
        image = image.resize(rescaled_size, FILTERS[number])
    if is_encoded and is_encoded_again:
        image = _encode_randomly(image, rng)
    if image.size != size:
        image = image.resize(size, Resampling.BICUBIC)
    if rng.random() < BLURRED:
        sigma = rng.uniform(*SIGMAS)
        blurred = blur(to_pixels(image), sigma)
        image = to_picture(blurred)
    if rng.random() < NOISY:
        sigma = rng.uniform(*NOISES)
        noisy = noise(to_pixels(image), sigma)
        image = to_picture(noisy)
    if is_encoded:
        image = _encode_randomly(image, rng)
    return to_pixels(image)


def degrade_repeatably(pixels: Pixels) -> Pixels:
    """The random degradation of a picture uint8 [3, H, W], seeded by its own pixels."""
    seed = zlib.crc32(pixels.tobytes())
    rng = np.random.default_rng(seed)
    return random_degradation(pixels, rng)


def degrade_batch(pixels: Pixels, seeds: Seeds, workers: int | None = None) -> Pixels:
    """Random degradations of uint8 [N, 3, H, W], in threads.

    Each is a pure function of its picture and its seed.
    """

    def degrade_one(picture: Pixels, seed: int) -> Pixels:
        rng = np.random.default_rng(int(seed))
        return random_degradation(picture, rng)

    if not len(pixels):
        return pixels.copy()
    threads = workers or os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        degraded = list(pool.map(degrade_one, pixels, seeds))
    return np.stack(degraded)


def random_crops(images: Tensor, side: int, zoomed: float, seeds: Seeds) -> Tensor:
    """A crop of `side` pixels from anywhere in each of uint8 [N, 3, H, W], at full resolution.

    A share `zoomed` of the crops is taken 0.75 to 1.4 times as large, where the picture has room,
    and resized to `side` (bicubic, antialiased): faces do not always come at the size of the
    training pictures.
    """
    import torch

    crops = np.empty((len(images), 3, side, side), np.uint8)
    pictures = images.cpu().numpy()
    for k, (picture, seed) in enumerate(zip(pictures, seeds, strict=True)):
        rng = np.random.default_rng(int(seed))
        wanted = side
        if rng.random() < zoomed:
            zoom = rng.uniform(*ZOOMS)
            wanted = round(side * zoom)
        crops[k] = _random_crop(picture, wanted, side, rng)
    return torch.from_numpy(crops).to(images.device)


# From weak to strong where a kind has one direction; resize and brightness go both ways from ×1.
DEGRADATIONS: dict[str, Degradation] = {
    "jpeg": Degradation(
        stands_for="upload to a site or messenger",
        levels=(95, 85, 75, 65, 50, 40, 30),
        unit="q",
        limits=(1, 100),
        apply=jpeg,
    ),
    "webp": Degradation(
        stands_for="delivery by a site that re-encodes",
        levels=(90, 75, 50, 30),
        unit="q",
        limits=(1, 100),
        apply=webp,
    ),
    "resize": Degradation(
        stands_for="thumbnails and enlargements",
        levels=(2, 1.5, 0.75, 0.5, 0.25),
        unit="×",
        limits=(0.01, 8),
        apply=resize,
    ),
    "blur": Degradation(
        stands_for="a lens out of focus, a smoothing filter",
        levels=(0.5, 1, 2),
        unit="σ",
        limits=(0, 20),
        apply=blur,
    ),
    "noise": Degradation(
        stands_for="a sensor in the dark, added grain",
        levels=(2, 5, 10),
        unit="σ",
        limits=(0, 255),
        apply=noise,
    ),
    "crop": Degradation(
        stands_for="another framing",
        levels=(0.95, 0.9, 0.8),
        unit="×",
        limits=(0.05, 1),
        apply=crop,
    ),
    "screenshot": Degradation(
        stands_for="a screenshot sent on: rescaled, compressed twice",
        levels=(1,),
        unit="×",
        limits=(0, 10),
        apply=screenshot,
    ),
    "brightness": Degradation(
        stands_for="another exposure, an editor's slider",
        levels=(0.7, 1.3),
        unit="×",
        limits=(0, 10),
        apply=brightness,
    ),
}


def _random_crop(picture: Pixels, wanted: int, side: int, rng: np.random.Generator) -> Pixels:
    """A square of `wanted` pixels, or as large as there is room, resized to `side`."""
    _, height, width = picture.shape
    taken = min(wanted, height, width)
    top = int(rng.integers(height - taken + 1))
    left = int(rng.integers(width - taken + 1))
    bottom = top + taken
    right = left + taken
    cut = picture[:, top:bottom, left:right]
    if taken == side:
        return cut
    resized = to_picture(cut).resize((side, side), Resampling.BICUBIC)
    return to_pixels(resized)


def _encode_randomly(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    low, high = QUALITIES
    quality = int(rng.integers(low, high + 1))
    if rng.random() < 0.5:
        return encode(image, "JPEG", quality)
    return encode(image, "WEBP", quality, method=WEBP_METHOD)


def _check_kinds(kinds: Sequence[str]) -> None:
    for kind in kinds:
        if kind not in DEGRADATIONS:
            raise LabError(f"no degradation {kind!r}; there are {', '.join(DEGRADATIONS)}")
