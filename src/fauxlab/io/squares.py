"""Squares that are cut out of pictures: the crops of faces, in training and in use."""

from __future__ import annotations

from typing import NamedTuple

from PIL import Image

from fauxlab.io.limits import ImageError

# Pillow turns counter-clockwise, too.
_TRANSPOSE = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}
TURNS = (0, *_TRANSPOSE)


class Square(NamedTuple):
    """A square of a picture, in pixels of the picture as it is decoded.

    `turn` says by how many degrees, counter-clockwise, what it shows must be turned to stand
    upright: 0, 90, 180 or 270.
    """

    left: int
    top: int
    side: int
    turn: int = 0


def cut_square(image: Image.Image, square: Square) -> Image.Image:
    """What a square shows, upright. Raises ImageError where it reaches beyond the picture."""
    left, top, side, turn = square
    right = left + side
    bottom = top + side
    is_inside = left >= 0 and top >= 0 and right <= image.width and bottom <= image.height
    if not is_inside:
        raise ImageError(
            f"its crop, {side} pixels from ({left}, {top}) on, reaches beyond the picture of "
            f"{image.width}×{image.height}; correct it in the manifest"
        )
    cut = image.crop((left, top, right, bottom))
    return cut.transpose(_TRANSPOSE[turn]) if turn else cut
