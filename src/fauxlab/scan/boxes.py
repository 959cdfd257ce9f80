"""Boxes around faces: which of them show one face, and where they lie in a turned picture.

A box is four numbers: left, top, width, height, in pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]
    Indices = NDArray[np.intp]

# Two boxes show one face if they share so much of the area that both cover, or if so much of the
# smaller lies in the larger.
SHARED = 0.4
CONTAINED = 0.75


class Boxes(NamedTuple):
    """Places that may show a face.

    `boxes` [N, 4]; `scores` [N] in 0 to 1; `points` [N, 5, 2] are the right and the left eye, the
    nose's tip, the right and the left corner of the mouth, as the person has them.
    """

    boxes: Floats
    scores: Floats
    points: Floats

    def take(self, which: Flags | Indices) -> Boxes:
        """Some of the boxes, in the order of `which`."""
        return Boxes(self.boxes[which], self.scores[which], self.points[which])

    def longer_sides(self) -> Floats:
        """The longer side of each box, [N]."""
        sides: Floats = self.boxes[:, 2:].max(axis=1)
        return sides

    def move(self, scale: float, left: float = 0, top: float = 0) -> Boxes:
        """The same places in a picture of `1 / scale` times the size, in which this one was cut
        out at (left, top).
        """
        shift = np.array([left, top])
        boxes = self.boxes / scale
        boxes[:, :2] += shift
        points = self.points / scale + shift
        return Boxes(boxes, self.scores, points)


def no_boxes() -> Boxes:
    """No place at all."""
    return Boxes(np.empty((0, 4)), np.empty(0), np.empty((0, 5, 2)))


def join(parts: list[Boxes]) -> Boxes:
    """The boxes of all parts, in their order."""
    if not parts:
        return no_boxes()
    columns = zip(*parts, strict=True)
    return Boxes(*(np.concatenate(column) for column in columns))


def one_a_face(found: Boxes) -> Boxes:
    """The surest box of each face, the surest first."""
    order = np.argsort(-found.scores, kind="stable")
    kept = []
    while len(order):
        best = order[0]
        kept.append(best)
        order = order[1:]
        order = order[~_same_face(found.boxes[best], found.boxes[order])]
    return found.take(np.array(kept, dtype=np.intp))


def _same_face(box: Floats, others: Floats) -> Flags:
    """Which of some boxes [N, 4] show the same face as one box [4]."""
    near_corner = np.maximum(box[:2], others[:, :2])
    far_corner = np.minimum(box[:2] + box[2:], others[:, :2] + others[:, 2:])
    sides = np.maximum(far_corner - near_corner, 0)
    common = sides.prod(axis=1)
    area = box[2:].prod()
    areas = others[:, 2:].prod(axis=1)
    covered = area + areas - common
    smaller = np.minimum(area, areas)
    is_same: Flags = (common > SHARED * covered) | (common > CONTAINED * smaller)
    return is_same
