"""The parts of a picture that the networks see: whole at two sizes, tiles, and small windows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from fauxlab.scan.finding.networks import STEP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.scan.finding.boxes import Floats

    Pixels = NDArray[np.uint8]
    Part = tuple[float, float, float, float]  # left, top, right, bottom in a picture

# The picture is seen whole with its longer side at these lengths, in pixels. YuNet finds faces of
# 10 to 300 pixels.
SMALL = 400
LARGE = 1024
ENLARGED = 2.5  # a smaller picture is enlarged at most so many times
# A larger picture is also seen in tiles: at its own size if that is no more than FINE pixels,
# else reduced to FINE pixels, but not below COARSE times its sides unless MOST_FINE asks for it.
FINE = 2**22
COARSE = 0.5
MOST_FINE = 2**24
WORTH = 1.25  # tiles are worth their time if they show the picture so many times as large
TILE = 1024  # a tile's side; a narrow picture has longer tiles of the same area
OVERLAP = 256  # of neighbouring tiles
SMALLEST = 14  # the longer side of a face's box that counts, in pixels of the picture


class View(NamedTuple):
    """A part of a picture, uint8 [H, W, 3], that begins at (left, top) and is `scale` as large."""

    pixels: Pixels
    scale: float
    left: float = 0
    top: float = 0


def whole_views(image: Image.Image) -> Iterator[View]:
    """A picture as a whole, small and large."""
    small = look_at(image, SMALL)
    yield small
    large = look_at(image, LARGE)
    if large.scale > small.scale:
        yield large


def look_at(image: Image.Image, longer: int) -> View:
    """The whole picture with its longer side at this length, enlarged ENLARGED times at most."""
    scale = min(ENLARGED, longer / max(image.size))
    part = (0, 0, image.width, image.height)
    return View(_see(image, part, scale), scale)


def tile_scale(image: Image.Image) -> float | None:
    """How large the tiles show a picture, as a factor of its size; None if it needs no tiles."""
    area = image.width * image.height
    scale = min(1, math.sqrt(FINE / area))
    scale = max(scale, COARSE)
    scale = min(scale, math.sqrt(MOST_FINE / area))
    if scale * max(image.size) < WORTH * LARGE:
        return None
    return scale


def is_coarse(image: Image.Image) -> bool:
    """Whether a picture is so large that even the tiles show it below COARSE times its size."""
    scale = tile_scale(image)
    return scale is not None and scale < 0.99 * COARSE


def tiles(image: Image.Image) -> Iterator[View]:
    """A large picture in tiles that overlap; none for other pictures."""
    scale = tile_scale(image)
    if scale is None:
        return
    width = image.width * scale
    height = image.height * scale
    shorter = max(STEP, min(width, height))
    most = max(TILE, TILE**2 / shorter)
    overlap = min(OVERLAP, shorter)
    for top, bottom in _spans(height, most, overlap):
        for left, right in _spans(width, most, overlap):
            part = (left / scale, top / scale, right / scale, bottom / scale)
            yield View(_see(image, part, scale), scale, part[0], part[1])


def _spans(length: float, most: float, overlap: float) -> Iterator[tuple[float, float]]:
    """Cuts a length into equal spans of at most `most`, with an overlap."""
    count = max(1, math.ceil((length - overlap) / (most - overlap)))
    step = (length - overlap) / count
    for number in range(count):
        start = max(0, number * step)
        yield start, min(length, start + step + overlap)


def _see(image: Image.Image, part: Part, scale: float) -> Pixels:
    """A part of a picture as pixels, resized."""
    left, top, right, bottom = part
    width = max(1, round((right - left) * scale))
    height = max(1, round((bottom - top) * scale))
    size = (width, height)
    is_whole = part == (0, 0, *image.size)
    if not is_whole or size != image.size:
        image = image.resize(size, Image.Resampling.BILINEAR, part, reducing_gap=2.0)
    return np.asarray(image)


class Window(NamedTuple):
    """A square of a picture, in its pixels; it may reach beyond a small picture."""

    left: float
    top: float
    side: float


def place_window(size: tuple[int, int], box: Floats, zoom: float) -> Window:
    """A window with `zoom` times the box's longer side, moved to lie inside a picture of this size.

    It is no longer than the picture's longer side.
    """
    side = min(zoom * box[2:].max(), max(size))
    middle = box[:2] + box[2:] / 2
    left = _inside(middle[0], side, size[0])
    top = _inside(middle[1], side, size[1])
    return Window(left, top, side)


def cut_window(image: Image.Image, window: Window, side: int) -> Pixels:
    """What a window shows, uint8 [side, side, 3]; black beyond the picture."""
    scale = side / window.side
    left = max(0, window.left)
    top = max(0, window.top)
    right = min(image.width, window.left + window.side)
    bottom = min(image.height, window.top + window.side)
    seen = _see(image, (left, top, right, bottom), scale)[:side, :side]
    height, width, _ = seen.shape
    if (width, height) == (side, side):
        return seen
    across = min(side - width, round((left - window.left) * scale))
    down = min(side - height, round((top - window.top) * scale))
    pixels = np.zeros((side, side, 3), np.uint8)
    pixels[down : down + height, across : across + width] = seen
    return pixels


def boxes_in_window(boxes: Floats, window: Window, side: int) -> Floats:
    """Where boxes [N, 4] of the picture lie in a window that is shown with this side."""
    scale = side / window.side
    corner = np.array([window.left, window.top, 0, 0])
    inside: Floats = (boxes - corner) * scale
    return inside


def _inside(middle: float, side: float, length: float) -> float:
    """Where a window begins that lies inside the picture, or around it if the picture is small."""
    if side >= length:
        return (length - side) / 2
    start = max(0, middle - side / 2)
    return min(start, length - side)
