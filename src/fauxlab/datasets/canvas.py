"""The canvas of a portrait: coordinates on the head and the face, and the tools to paint with."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from fauxlab.datasets.appearance import Array, Face, Shot, to_linear

# How far the nearest point of the face moves when the head turns by one radian.
PARALLAX = 0.55


def clamp(values: Any, low: float = 0, high: float = 1) -> Array:
    """The values, none below `low` or above `high`."""
    clipped: Array = np.clip(values, low, high)
    return clipped


def bump(x: Array, y: Any = 0.0, *, width: Any, height: float = 1.0) -> Array:
    """A smooth hill: 1 where x and y are 0, 1/e at a distance of `width` or `height`."""
    across = x / width
    down = y / height
    exponent = -(across**2) - down**2
    hill: Array = np.exp(exponent)
    return hill


def shaded(colour: Array, shade: Array) -> Array:
    """A colour [3] times a shade [S, S], as a picture [S, S, 3]."""
    picture: Array = colour * shade[..., None]
    return picture


def from_hue(hue: float, saturation: float, value: float) -> Array:
    """Linear light [3] of a colour given by hue, saturation and value, each in [0, 1]."""
    offsets = np.array([0, 4, 2])
    turned = hue * 6 + offsets
    position = turned % 6
    from_opposite = np.abs(position - 3)
    wheel = clamp(from_opposite - 1)
    grey = 1 - saturation
    channels = grey + saturation * wheel
    display = 255 * value * channels
    return to_linear(display)


def head_coordinates(shot: Shot, side: int) -> tuple[Array, Array]:
    """Head coordinates (x, y), each [side, side], of an image's pixels.

    x points right and y down; the head reaches from y = -1 to y = 1.
    """
    pixels = np.arange(side, dtype=np.float32)
    middles = pixels + 0.5
    pixel = 2 / side
    axis = middles * pixel - 1
    centre_x, centre_y = shot.centre
    columns = axis - centre_x
    rows = axis - centre_y
    right, down = np.meshgrid(columns, rows)
    # The head is rolled and scaled; the coordinates undo both.
    cos = float(np.cos(shot.roll))
    cos = cos / shot.scale
    sin = float(np.sin(shot.roll))
    sin = sin / shot.scale
    x = cos * right + sin * down
    y = cos * down - sin * right
    return x, y


class Canvas:
    """A picture being painted, back to front, in linear light.

    `image` is float32 [S, S, 3]; all coordinates are [S, S]: (x, y) on the head, which turns only
    in the image plane, and (face_x, face_y) on the face, which turns to the side as well.
    """

    def __init__(self, face: Face, shot: Shot, side: int) -> None:
        self.image = np.zeros((side, side, 3), np.float32)
        self.x, self.y = head_coordinates(shot, side)
        below_middle = clamp(self.y, 0, 1.2)
        above_middle = clamp(-self.y, 0, 1.2)
        # The head is narrower towards the chin, and a little towards the crown.
        chin = face.jaw * below_middle**2
        crown = 0.05 * above_middle**2
        relative_width = 1 - chin - crown
        half_width = face.width * relative_width
        across = self.x / half_width
        # 1 on the outline of the head.
        squared_radius = across**2 + self.y**2
        self.radius = np.sqrt(squared_radius)
        inside = clamp(1 - self.radius**2)
        self.depth = np.sqrt(inside)
        # Points nearer to the camera move more when the head turns.
        shift_right = shot.yaw * PARALLAX
        shift_down = shot.pitch * PARALLAX
        self.face_x = self.x - shift_right * self.depth
        self.face_y = self.y - shift_down * self.depth
        # Width of a pixel in head units, and so of every anti-aliased edge.
        self.pixel = 2 / side / shot.scale
        self.rng = np.random.default_rng(shot.texture_seed)

    def paint(self, colour: Any, opacity: Array) -> None:
        """Lay a colour, [3] or [S, S, 3], over the picture with an opacity [S, S]."""
        wanted = np.asarray(colour, np.float32)
        difference = wanted - self.image
        change = opacity[..., None] * difference
        self.image += change

    def darken(self, amount: Array) -> None:
        """Take a share [S, S] of the light away."""
        rest = 1 - amount
        self.image *= rest[..., None]

    def brighten(self, amount: Array) -> None:
        """Multiply the light by e to the power of `amount` [S, S]."""
        factor = np.exp(amount)
        self.image *= factor[..., None]

    def cover(self, distance: Array, softness: float = 0.0) -> Array:
        """Coverage in [0, 1] of a shape, by the signed distance to its edge (negative inside)."""
        edge = self.pixel * 1.2 + softness
        steps = distance / edge
        return clamp(0.5 - steps)

    def noise(self, rows: int, columns: int) -> Array:
        """Smooth noise [S, S] of about unit variance, with so many cells down and across."""
        side, _, _ = self.image.shape
        rows = min(rows, side)
        columns = min(columns, side)
        shape = (rows, columns)
        values = self.rng.standard_normal(shape, np.float32)
        cells = Image.fromarray(values)
        smooth = cells.resize((side, side), Image.Resampling.BICUBIC)
        return np.asarray(smooth)
