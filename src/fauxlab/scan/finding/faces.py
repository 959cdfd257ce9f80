"""Faces in ordinary photos: where they are, and crops that are framed like training pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from fauxlab.scan.finding.boxes import turn_boxes
from fauxlab.scan.finding.search import search_faces
from fauxlab.scan.finding.views import is_coarse

if TYPE_CHECKING:
    from fauxlab.scan.finding.boxes import Floats

MAX_FACES = 256  # of one picture

# The framing. The packaged detector was trained and calibrated on crops around the squares of
# another finder, OpenCV's Haar cascades. These constants turn a box of the networks into such a
# square; they are medians over 734 faces of eleven kinds of photos that both found, and differ by
# 3 % between kinds (benchmarks/detector/face_framing.py). Another framing needs another
# `_frame_box`, MARGIN and LIFT only.
#
# The square's side per width of the box. The height tells less: it changes with hair and crop.
SIDE_PER_WIDTH = 1.235
# How far the square's middle lies above the box's lower edge, in widths of the box.
RISE = 0.685
# The crop's side per square's side. Medians in the training images: 1.5 in FFHQ and StyleGAN, 1.7
# in CelebA, 1.3 in SD 2.1, 0.9 in DFDC.
MARGIN = 1.5
# How far below the crop's middle the square stands, in its own sides. Medians: 0.07 in FFHQ, 0.15
# in CelebA, -0.09 in DFDC.
LIFT = 0.07
# A crop that is nearly as large as the picture becomes the whole picture. This factor leaves 95 to
# 100 % of the training images, in which a face fills the frame, as they are.
SNUG = 1.25
# A smaller face, in pixels a side, is reported and gets no verdict: too little of it is left.
SMALLEST_JUDGED = 32


@dataclass(frozen=True)
class Face:
    """The square of a face, in pixels of the picture as it is; it may reach beyond the picture.

    `score` is the estimated probability that this is a face, 0 to 1.

    `turn` says how the face lies in the picture: the degrees, counter-clockwise, by which the
    picture must be turned for the face to stand upright; one of 0, 90, 180, 270.
    """

    left: int
    top: int
    side: int
    score: float
    turn: int = 0


class Found(NamedTuple):
    """The faces of a picture, the largest first, and a count of places that may show more.

    `left_out` counts faces beyond the number asked for, and places that were not looked at because
    that would have taken too long. `coarse` is true of a picture so large that it was looked at
    only at a reduced size, where small faces cannot be found.
    """

    faces: list[Face]
    left_out: int
    coarse: bool = False


def find_faces(image: Image.Image, most: int = MAX_FACES) -> list[Face]:
    """The faces of a picture, as `survey_faces` finds them."""
    return survey_faces(image, most).faces


def survey_faces(image: Image.Image, most: int = MAX_FACES) -> Found:
    """The faces of an RGB picture, at most `most`, and a count of what was left out.

    Faces from about 14 pixels on are found, those of a picture that lies on a side or upside down
    too. Deterministic, and safe to call from several threads; memory and time are bounded whatever
    the picture's size. Raises LabError where a network's file is missing or damaged.
    """
    found, left_out, turn = search_faces(image)
    faces = []
    for box, score in zip(found.boxes, found.scores, strict=True):
        faces.append(_to_face(box, float(score), turn, image.size))
    faces.sort(key=_largest_first)
    beyond = faces[most:]
    return Found(faces[:most], left_out + len(beyond), is_coarse(image))


def crop_face(image: Image.Image, face: Face, margin: float = MARGIN) -> Image.Image:
    """An upright square around a face, `margin` times its side, that lies inside the picture.

    The face stands a little below the middle, as it does in training pictures. A square that would
    reach beyond the picture is shifted, and shrunk where that is not enough. A square within a
    factor of SNUG of the picture's shorter side takes the whole of that side, so that a picture
    which is a face crop already stays as it is.
    """
    width, height = image.size
    square = np.array([[face.left, face.top, face.side, face.side]])
    # All places are those of the picture once it is turned, until the square is cut out.
    ((left, top, _, _),) = turn_boxes(square, face.turn, width, height)
    if face.turn in (90, 270):
        width, height = height, width
    shorter = min(width, height)
    wanted = margin * face.side
    side = max(1, round(wanted))
    if wanted * SNUG >= shorter:
        side = shorter
    middle = left + face.side / 2
    level = top + (0.5 - LIFT) * face.side
    start = _place_inside(middle, side, width)
    upper = _place_inside(level, side, height)
    crop = np.array([[start, upper, side, side]])
    ((left, top, _, _),) = turn_boxes(crop, -face.turn % 360, width, height)
    cut = image.crop((int(left), int(top), int(left) + side, int(top) + side))
    if face.turn:
        cut = cut.transpose(_TRANSPOSE[face.turn])
    return cut


# Pillow turns counter-clockwise, too.
_TRANSPOSE = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}


def _place_inside(middle: float, side: int, length: int) -> int:
    """Where a side around a middle begins, shifted so that it lies inside of 0 to `length`."""
    centred = round(middle - side / 2)
    start = max(0, centred)
    last = length - side
    return min(start, last)


def _to_face(box: Floats, score: float, turn: int, size: tuple[int, int]) -> Face:
    """The square of a face whose box [4] in a picture of this size is known."""
    width, height = size
    (upright,) = turn_boxes(box[None], turn, width, height)
    if turn in (90, 270):
        width, height = height, width
    square = _frame_box(upright)
    ((left, top, side, _),) = turn_boxes(square[None], -turn % 360, width, height)
    return Face(round(left), round(top), max(1, round(side)), score, turn)


def _frame_box(box: Floats) -> Floats:
    """The square [4] that stands for an upright face's box [4]."""
    left, top, width, height = box
    side = SIDE_PER_WIDTH * width
    across = left + width / 2
    down = top + height - RISE * width
    return np.array([across - side / 2, down - side / 2, side, side])


def _largest_first(face: Face) -> tuple[int, int, int]:
    return -face.side, face.left, face.top
