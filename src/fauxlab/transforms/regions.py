"""Random regions of a face picture, as masks: what a swap, an edit or an inpainting replaces.

Faces are taken to stand in the middle of the picture, where every data set of face crops has them.
No landmarks are needed: the places of eyes and mouth are drawn from ranges around the usual ones.
Masks are float32 [H, W] from 0 (outside) to 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

Random = np.random.Generator
Range = tuple[float, float]
Shape = Callable[[int, int, Random], "Floats"]

HARMONICS = 4  # waves that make an outline uneven
UNEVEN = 0.12  # their standard deviation, as a share of the radius, over their number
SOFT = (0.01, 0.06)  # standard deviation of a face's edge, as a share of the side
FEATHER = (0.004, 0.04)  # that of other regions
HARD = 0.2  # share of the regions with a hard edge
CORNERS = (4, 9)  # of a polygon, the second excluded
POLYGON_RADIUS = (0.08, 0.34)  # of the side
POLYGON_CENTRE = (0.3, 0.7)
TURN = 2 * np.pi


@dataclass(frozen=True)
class Ellipse:
    """Where a region may lie: ranges of its centre and half axes, as shares of the side."""

    centre_x: Range
    centre_y: Range
    half_width: Range
    half_height: Range


FACE = Ellipse(
    centre_x=(0.42, 0.58),
    centre_y=(0.46, 0.62),
    half_width=(0.18, 0.34),
    half_height=(0.24, 0.42),
)
# In a picture of the lineup's kind, the eyes lie at about .42 of the height, the mouth at .68.
EYES = Ellipse(
    centre_x=(0.46, 0.54),
    centre_y=(0.38, 0.48),
    half_width=(0.2, 0.3),
    half_height=(0.06, 0.12),
)
LEFT_EYE = Ellipse(
    centre_x=(0.33, 0.42),
    centre_y=(0.38, 0.48),
    half_width=(0.07, 0.12),
    half_height=(0.05, 0.09),
)
RIGHT_EYE = Ellipse(
    centre_x=(0.58, 0.67),
    centre_y=(0.38, 0.48),
    half_width=(0.07, 0.12),
    half_height=(0.05, 0.09),
)
MOUTH = Ellipse(
    centre_x=(0.44, 0.56),
    centre_y=(0.62, 0.74),
    half_width=(0.1, 0.2),
    half_height=(0.06, 0.12),
)
ANYWHERE = Ellipse(
    centre_x=(0.15, 0.85),
    centre_y=(0.15, 0.85),
    half_width=(0.08, 0.35),
    half_height=(0.08, 0.35),
)


def face_mask(height: int, width: int, rng: Random) -> Floats:
    """A soft, uneven ellipse over the face."""
    return _uneven_ellipse(height, width, FACE, SOFT, rng)


def random_region(height: int, width: int, rng: Random) -> Floats:
    """Eyes, mouth, the inner face, or an ellipse or polygon anywhere; its edge soft or hard."""
    is_hard = rng.random() < HARD
    number = rng.integers(len(SHAPES))
    shape = SHAPES[number]
    mask = shape(height, width, rng)
    if is_hard:
        inside = mask > 0.5
        return inside.astype(np.float32)
    return mask


def _ellipse(place: Ellipse) -> Shape:
    def draw(height: int, width: int, rng: Random) -> Floats:
        return _uneven_ellipse(height, width, place, FEATHER, rng)

    return draw


def _uneven_ellipse(height: int, width: int, place: Ellipse, soft: Range, rng: Random) -> Floats:
    centre_x = width * rng.uniform(*place.centre_x)
    centre_y = height * rng.uniform(*place.centre_y)
    half_width = width * rng.uniform(*place.half_width)
    half_height = height * rng.uniform(*place.half_height)
    # Coordinates in which the ellipse is the unit circle.
    grid = np.mgrid[:height, :width]
    rows, columns = grid.astype(np.float32)
    right = columns - centre_x
    down = rows - centre_y
    x = right / half_width
    y = down / half_height
    outline = _uneven_outline(x, y, rng)
    # A logistic edge stands for a blurred one: it looks the same and costs nothing. The factor 1.7
    # brings its width to that of a Gaussian of the given standard deviation.
    side = np.sqrt(height * width)
    softness = side * rng.uniform(*soft)
    radius = np.mean((half_width, half_height))
    edge = np.float32(softness / radius / 1.7)
    from_centre = np.hypot(x, y)
    outside = from_centre - outline
    steps = outside / edge
    steps = np.clip(steps, -30, 30)
    odds_outside = np.exp(steps)
    mask: Floats = 1 / (1 + odds_outside)
    return mask


def _uneven_outline(x: Floats, y: Floats, rng: Random) -> Floats:
    """The radius in the direction of each place: 1, and waves that grow weaker as they grow finer.

    Float32 of the shape of `x` and `y`.
    """
    angle = np.arctan2(y, x)
    outline = np.ones(x.shape, np.float32)
    for k in range(1, HARMONICS + 1):
        amplitude = rng.normal(0, UNEVEN / k)
        phase = rng.uniform(0, TURN)
        wave = np.cos(k * angle + np.float32(phase))
        outline += np.float32(amplitude) * wave
    return outline


def _polygon(height: int, width: int, rng: Random) -> Floats:
    """A polygon of four to eight corners, as drawn with a lasso, with a feathered edge."""
    side = min(height, width)
    centre_x, centre_y = rng.uniform(*POLYGON_CENTRE, 2)
    count = int(rng.integers(*CORNERS))
    angles = rng.uniform(0, TURN, count)
    angles.sort()
    radii = side * rng.uniform(*POLYGON_RADIUS, count)
    columns = width * centre_x + radii * np.cos(angles)
    rows = height * centre_y + radii * np.sin(angles)
    corners = np.stack([columns, rows], axis=1)
    canvas = Image.new("L", (width, height))
    pen = ImageDraw.Draw(canvas)
    pen.polygon(corners.ravel().tolist(), fill=255)
    softness = side * rng.uniform(*FEATHER)
    feathered = canvas.filter(ImageFilter.GaussianBlur(softness))
    levels = np.asarray(feathered, dtype=np.float32)
    return levels / np.float32(255)


SHAPES: tuple[Shape, ...] = (
    _ellipse(EYES),
    _ellipse(LEFT_EYE),
    _ellipse(RIGHT_EYE),
    _ellipse(MOUTH),
    face_mask,
    face_mask,
    _ellipse(ANYWHERE),
    _polygon,
)
