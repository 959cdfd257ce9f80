"""Faces in ordinary photos: where they are, and crops that are framed like training pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fauxlab.io.limits import MAX_FACES, ImageError
from fauxlab.io.squares import Square, cut_square
from fauxlab.scan.finding.boxes import turn_boxes
from fauxlab.scan.finding.search import search_faces
from fauxlab.scan.finding.views import is_coarse

if TYPE_CHECKING:
    from PIL import Image

    from fauxlab.scan.finding.boxes import Floats

# The framing, which the detector's training pictures have as well. Medians over the lineup that it
# learned from, where the picture was no narrower (`benchmarks/detector/face_framing.py`).
#
# The crop's side, in sides of the face.
CROP = 1.57
# How far the crop's middle lies above the face's, in sides of the face.
LIFT = 0.03
# A crop that is nearly as large as the picture becomes the whole picture. This factor leaves 99 %
# of the training pictures, in which a face fills the frame, as they are.
SNUG = 1.15
# A smaller face, in pixels a side, is reported and gets no verdict: too little of it is left.
SMALLEST_JUDGED = 32


@dataclass(frozen=True)
class Face:
    """The square around a face, in pixels of the picture as it is; it may reach beyond the picture.

    It has the middle of the face's box, and its longer side. `score` is the estimated probability
    that this is a face, 0 to 1.

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
        faces.append(_to_face(box, float(score), turn))
    faces.sort(key=_largest_first)
    beyond = faces[most:]
    return Found(faces[:most], left_out + len(beyond), is_coarse(image))


def frame_largest_face(image: Image.Image) -> Square:
    """The crop of a picture's largest face, as a scan cuts it out.

    Raises ImageError where no face is found, or only faces below SMALLEST_JUDGED.
    """
    faces = find_faces(image, most=1)
    if not faces:
        raise ImageError("no face was found in it")
    (face,) = faces
    if face.side < SMALLEST_JUDGED:
        raise ImageError(
            f"its largest face has {face.side} pixels a side; at least {SMALLEST_JUDGED} are needed"
        )
    return frame_face(face, image.size)


def crop_face(image: Image.Image, face: Face) -> Image.Image:
    """The upright crop of a face, framed by `frame_face`."""
    return cut_square(image, frame_face(face, image.size))


def frame_face(face: Face, size: tuple[int, int]) -> Square:
    """The square around a face, CROP times its side, that is cut out of a picture of this size.

    The face stands a little below the middle, as it does in training pictures. A square that would
    reach beyond the picture is shifted, and shrunk where that is not enough. A square within a
    factor of SNUG of the picture's shorter side takes the whole of that side, so that a picture
    which is a face crop already stays as it is.
    """
    width, height = size
    box = np.array([[face.left, face.top, face.side, face.side]])
    # All places are those of the picture once it is turned, until the square is turned back.
    ((left, top, _, _),) = turn_boxes(box, face.turn, width, height)
    if face.turn in (90, 270):
        width, height = height, width
    shorter = min(width, height)
    wanted = CROP * face.side
    is_snug = wanted * SNUG >= shorter
    side = shorter if is_snug else max(1, round(wanted))
    middle = left + face.side / 2
    level = top + (0.5 - LIFT) * face.side
    start = _place_inside(middle, side, width)
    upper = _place_inside(level, side, height)
    crop = np.array([[start, upper, side, side]])
    ((left, top, _, _),) = turn_boxes(crop, -face.turn % 360, width, height)
    return Square(int(left), int(top), side, face.turn)


def _place_inside(middle: float, side: int, length: int) -> int:
    """Where a side around a middle begins, shifted so that it lies inside of 0 to `length`."""
    centred = round(middle - side / 2)
    start = max(0, centred)
    last = length - side
    return min(start, last)


def _to_face(box: Floats, score: float, turn: int) -> Face:
    """The square around a face's box [4]."""
    left, top, width, height = box
    side = max(width, height)
    across = left + width / 2
    down = top + height / 2
    return Face(
        left=round(across - side / 2),
        top=round(down - side / 2),
        side=max(1, round(side)),
        score=score,
        turn=turn,
    )


def _largest_first(face: Face) -> tuple[int, int, int]:
    return -face.side, face.left, face.top
