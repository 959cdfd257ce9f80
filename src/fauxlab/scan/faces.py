"""Faces in ordinary photos: where they are, and crops that are framed like training pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from fauxlab.scan.haar import MOST, Candidate, search_faces

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The framing was chosen on training images of FFHQ, CelebA, DFDC and four generators;
# benchmarks/detector/face_finding.py measures what it is worth there.
#
# The crop's side per face's side. Medians in the training images: 1.5 in FFHQ and StyleGAN, 1.7 in
# CelebA, 1.3 in SD 2.1, 0.9 in DFDC.
MARGIN = 1.5
# How far below the crop's middle the face stands, in face's sides. Medians: 0.07 in FFHQ, 0.15 in
# CelebA, -0.09 in DFDC.
LIFT = 0.07
# A crop that is nearly as large as the picture becomes the whole picture. This factor leaves 95 to
# 100 % of the training images, in which a face fills the frame, as they are.
SNUG = 1.25
# A smaller face, in pixels a side, is reported and not judged: too little of it is left.
SMALLEST_JUDGED = 32
# The longer side of the grey copy that is searched, in pixels: bounds memory and time.
LONGEST = 1024


@dataclass(frozen=True)
class Face:
    """The square of a face, in pixels of the upright picture; it may reach beyond the picture.

    `score` says how sure the finder is. It is the number of the cascades' windows that agree on the
    face: up to some 200, and at least what `fauxlab.scan.haar` asks for.

    `turn` says how the face lies in the picture: the degrees, counter-clockwise, by which the
    picture must be turned for the face to stand upright; one of 0, 90, 180, 270. The square is in
    pixels of the picture as it is.
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


def find_faces(image: Image.Image, most: int = MOST) -> list[Face]:
    """The faces of a picture, as `survey_faces` finds them."""
    return survey_faces(image, most).faces


def survey_faces(image: Image.Image, most: int = MOST) -> Found:
    """The faces of an upright RGB picture, at most `most`, and a count of what was left out.

    Never more than MOST faces are looked for. Deterministic, and safe to call from several threads;
    memory and time are bounded whatever the picture's size. Raises LabError where OpenCV or its
    cascades are missing.
    """
    longer = max(image.size)
    scale = min(1.0, LONGEST / longer)
    grey = _grey_copy(image, scale)
    candidates, left_out = search_faces(grey)
    faces = [_to_face(candidate, scale) for candidate in candidates]
    faces.sort(key=_largest_first)
    beyond = faces[most:]
    return Found(faces[:most], left_out + len(beyond))


def crop_face(image: Image.Image, face: Face, margin: float = MARGIN) -> Image.Image:
    """A square around a face, `margin` times the face's side, that lies inside the picture.

    The face stands a little below the middle, as it does in training pictures. A square that would
    reach beyond the picture is shifted, and shrunk where that is not enough. A square within a
    factor of SNUG of the picture's shorter side takes the whole of that side, so that a picture
    which is a face crop already stays as it is.
    """
    shorter = min(image.size)
    wanted = margin * face.side
    side = max(1, round(wanted))
    if wanted * SNUG >= shorter:
        side = shorter
    middle = face.left + face.side / 2
    height = face.top + (0.5 - LIFT) * face.side
    left = _place_inside(middle, side, image.width)
    top = _place_inside(height, side, image.height)
    right = left + side
    bottom = top + side
    return image.crop((left, top, right, bottom))


def _place_inside(middle: float, side: int, length: int) -> int:
    """Where a side around a middle begins, shifted so that it lies inside of 0 to `length`."""
    centred = round(middle - side / 2)
    start = max(0, centred)
    last = length - side
    return min(start, last)


def _grey_copy(image: Image.Image, scale: float) -> NDArray[np.uint8]:
    if scale < 1:
        width = max(1, round(image.width * scale))
        height = max(1, round(image.height * scale))
        size = (width, height)
        image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    grey = image.convert("L")
    return np.asarray(grey)


def _to_face(candidate: Candidate, scale: float) -> Face:
    """A candidate on the grey copy, in pixels of the picture."""
    x, y, side = candidate.square
    left = x - side / 2
    top = y - side / 2
    return Face(
        left=round(left / scale),
        top=round(top / scale),
        side=max(1, round(side / scale)),
        score=float(candidate.windows),
    )


def _largest_first(face: Face) -> tuple[int, int, int]:
    return -face.side, face.left, face.top
