"""Closer looks at places that may show a face, each by the surer network, in a small window."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fauxlab.scan.finding.boxes import turn_boxes, turn_pixels
from fauxlab.scan.finding.networks import confirm_faces
from fauxlab.scan.finding.views import Window, boxes_in_window, cut_window, place_window

if TYPE_CHECKING:
    from PIL import Image

    from fauxlab.scan.finding.boxes import Floats, Indices

TOGETHER = 16  # windows that the network sees at once: bounds memory
# A window answers for other faces, too, if they have so many times the size of the face that it
# was cut for, and lie so far inside, in sides of the window.
ALIKE = 1.33
INSIDE = 0.15


class Kind(NamedTuple):
    """A kind of window: the longer side of the face in it, and its own side, in pixels."""

    face: int
    side: int


class _Shared(NamedTuple):
    """A window, and the numbers of the boxes that it answers for."""

    window: Window
    boxes: Indices


def look_closer(
    image: Image.Image, boxes: Floats, kind: Kind, most: int, turn: int = 0
) -> tuple[Floats, int]:
    """How sure CenterFace is of each box [N, 4], in the turned picture, 0 to 1, [N].

    It gets `most` windows at most, for the first boxes. The second value says how many boxes, the
    last ones, were not looked at; they get 0.
    """
    plan = _plan(image.size, boxes, kind)
    answers = np.zeros(len(boxes))
    for start in range(0, min(most, len(plan)), TOGETHER):
        part = plan[start : min(start + TOGETHER, most)]
        windows = []
        inside = []
        which = []
        for number, (window, members) in enumerate(part):
            pixels = cut_window(image, window, kind.side)
            windows.append(turn_pixels(pixels, turn))
            inside.append(boxes_in_window(boxes[members], window, kind.side))
            which.append(np.full(len(members), number))
        turned = turn_boxes(np.concatenate(inside), turn, kind.side, kind.side)
        members = np.concatenate([shared.boxes for shared in part])
        answers[members] = confirm_faces(np.stack(windows), turned, np.concatenate(which))
    not_seen = sum(len(shared.boxes) for shared in plan[most:])
    return answers, not_seen


def _plan(size: tuple[int, int], boxes: Floats, kind: Kind) -> list[_Shared]:
    """Windows in which all boxes are seen: one for each box that no earlier window shows."""
    plan = []
    is_open = np.ones(len(boxes), dtype=bool)
    longer = boxes[:, 2:].max(axis=1)
    far = boxes[:, :2] + boxes[:, 2:]
    for number, box in enumerate(boxes):
        if not is_open[number]:
            continue
        window = place_window(size, box, kind.side / kind.face)
        corner = np.array([window.left, window.top])
        border = INSIDE * window.side
        is_inside = (boxes[:, :2] >= corner + border).all(axis=1)
        is_inside &= (far <= corner + window.side - border).all(axis=1)
        ratio = longer / longer[number]
        is_alike = (ratio < ALIKE) & (ratio > 1 / ALIKE)
        shared = is_open & is_inside & is_alike
        shared[number] = True
        is_open &= ~shared
        plan.append(_Shared(window, np.flatnonzero(shared)))
    return plan
