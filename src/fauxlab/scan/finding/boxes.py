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
    Pixels = NDArray[np.uint8]

# Two boxes show one face if they share so much of the area that both cover, or if so much of the
# smaller lies in the larger.
SHARED = 0.4
CONTAINED = 0.5


class Boxes(NamedTuple):
    """Places that may show a face: boxes [N, 4], and scores [N] in 0 to 1."""

    boxes: Floats
    scores: Floats

    def take(self, which: Flags | Indices | slice) -> Boxes:
        """Some of the boxes, in the order of `which`."""
        return Boxes(self.boxes[which], self.scores[which])

    def longer_sides(self) -> Floats:
        """The longer side of each box, [N]."""
        sides: Floats = self.boxes[:, 2:].max(axis=1)
        return sides


def join(parts: list[Boxes]) -> Boxes:
    """The boxes of all parts, in their order."""
    boxes = [np.empty((0, 4)), *(part.boxes for part in parts)]
    scores = [np.empty(0), *(part.scores for part in parts)]
    return Boxes(np.concatenate(boxes), np.concatenate(scores))


def turn_boxes(boxes: Floats, turn: int, width: float, height: float) -> Floats:
    """Where boxes [N, 4] of a picture of this size lie once the picture is turned.

    `turn` is in degrees, counter-clockwise: 0, 90, 180 or 270.
    """
    left, top, across, down = boxes.T
    right = left + across
    bottom = top + down
    if turn == 90:
        return np.column_stack([top, width - right, down, across])
    if turn == 180:
        return np.column_stack([width - right, height - bottom, across, down])
    if turn == 270:
        return np.column_stack([height - bottom, left, down, across])
    return boxes


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


def turn_pixels(pixels: Pixels, turn: int) -> Pixels:
    """Pixels [H, W, 3], turned counter-clockwise by 0, 90, 180 or 270 degrees."""
    return np.ascontiguousarray(np.rot90(pixels, turn // 90))
