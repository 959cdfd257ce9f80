"""From a picture to the crops that get a verdict: which frame, which faces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fauxlab.io.images import Frame, to_square
from fauxlab.io.limits import ImageError
from fauxlab.scan.finding.faces import SMALLEST_JUDGED, Face, crop_face, survey_faces

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]


class Cut(NamedTuple):
    """A crop uint8 [3, size, size], and the face in it if faces were looked for."""

    pixels: Pixels
    face: Face | None

    @property
    def is_scored(self) -> bool:
        """Whether the detector gets it: of a very small face too little is left."""
        return self.face is None or self.face.side >= SMALLEST_JUDGED


@dataclass(frozen=True)
class Looked:
    """What a picture shows: its upright size, and the crops that get a verdict.

    `frame` of `frames` is the one that they are from, counted from 0; both are None of a file with
    one picture. `left_out` and `coarse` are as in `fauxlab.scan.finding.faces.Found`.
    """

    width: int
    height: int
    cuts: list[Cut]
    frame: int | None = None
    frames: int | None = None
    left_out: int = 0
    coarse: bool = False
    message: str | None = None

    @property
    def has_scored_face(self) -> bool:
        """Whether there is a face that the detector gets."""
        return any(cut.is_scored for cut in self.cuts)


def take_whole(frames: Iterator[Frame], size: int) -> Looked:
    """The first frame as one crop. Raises ImageError where no frame can be read."""
    frame = next(frames, None)
    if frame is None:
        raise ImageError("holds no picture")
    square = to_square(frame.picture, size)
    return _describe(frame, [Cut(square, None)])


def look_for_faces(
    frames: Iterator[Frame], size: int, most: int, is_over: Callable[[], bool]
) -> Looked:
    """The faces of the first frame that shows one, at most `most`.

    A frame whose faces are all too small for the detector is used only where no other shows a face.
    No further frame is begun once `is_over` says so. Raises ImageError where no frame can be read.
    """
    best = None
    count = 0
    trouble = ""
    try:
        for frame in frames:
            count += 1
            looked = _search(frame, size, most)
            if looked.has_scored_face:
                return looked
            if best is None or (looked.cuts and not best.cuts):
                best = looked
            if is_over():
                break
    except ImageError as error:
        if best is None:
            raise
        trouble = f"; the next one: {error}"
    if best is None:
        raise ImageError("holds no picture")
    if best.frames is None:
        return best
    message = f"{count} of {best.frames} frames looked at{trouble}"
    if best.cuts:
        return replace(best, message=message)
    return replace(best, frame=None, message=message)


def _search(frame: Frame, size: int, most: int) -> Looked:
    faces, left_out, coarse = survey_faces(frame.picture, most)
    cuts = []
    for face in faces:
        crop = crop_face(frame.picture, face)
        square = to_square(crop, size)
        cuts.append(Cut(square, face))
    return replace(_describe(frame, cuts), left_out=left_out, coarse=coarse)


def _describe(frame: Frame, cuts: list[Cut]) -> Looked:
    width, height = frame.picture.size
    if frame.count == 1:
        return Looked(width, height, cuts)
    return Looked(width, height, cuts, frame.number, frame.count)
