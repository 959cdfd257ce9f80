"""Random changes of pictures, as a training may show them: degradations, tones and filters.

`random_degradation` takes detail away, `random_filter` is what apps and cameras do. Both take
decoded pictures uint8 [3, H, W] at the model's size and give the same size back. Neither sees a
label: a change that one class gets more often than the other would give the label away.
`fauxlab.transforms.protocol` has the fixed levels of robustness tests.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fauxlab.io.images import MIN_SIDE, to_picture, to_pixels
from fauxlab.processors import usable_processors
from fauxlab.transforms.filters import blur, encode, noise, scaled_size
from fauxlab.transforms.random_filters import random_filter

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Pixels = NDArray[np.uint8]
    Seeds = Sequence[int] | NDArray[np.int64]
    Change = Callable[[Pixels, np.random.Generator], Pixels]

Resampling = Image.Resampling

# The training degradation, alike for both classes. Detectors of synthetic images are commonly
# trained with milder degradations (Wang et al., 2020, and later work), and then call a blurred or
# grainy real fake. These take as much detail away as the protocol does. A share keeps the grid of
# its pixels, as pictures do that are passed on untouched.
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
    """A random filter and then the random degradation of a picture uint8 [3, H, W].

    Seeded by the picture's own pixels.
    """
    seed = zlib.crc32(pixels.tobytes())
    rng = np.random.default_rng(seed)
    filtered = random_filter(pixels, rng)
    return random_degradation(filtered, rng)


def degrade_batch(pixels: Pixels, seeds: Seeds, workers: int | None = None) -> Pixels:
    """Random degradations of uint8 [N, 3, H, W], in threads.

    Each is a pure function of its picture and its seed.
    """
    return _change_batch(random_degradation, pixels, seeds, workers)


def filter_batch(pixels: Pixels, seeds: Seeds, workers: int | None = None) -> Pixels:
    """Random filters of uint8 [N, 3, H, W], in threads, as `degrade_batch` does."""
    return _change_batch(random_filter, pixels, seeds, workers)


def _change_batch(change: Change, pixels: Pixels, seeds: Seeds, workers: int | None) -> Pixels:
    def change_one(picture: Pixels, seed: int) -> Pixels:
        rng = np.random.default_rng(int(seed))
        return change(picture, rng)

    if not len(pixels):
        return pixels.copy()
    threads = workers or usable_processors()
    with ThreadPoolExecutor(threads) as pool:
        changed = list(pool.map(change_one, pixels, seeds))
    return np.stack(changed)


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
