"""The search for faces: a fast network proposes places, a surer one looks at the weak ones.

`benchmarks/detector/face_finding.py` measures what is found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fauxlab.scan.finding.boxes import Boxes, join, one_a_face, turn_boxes, turn_pixels
from fauxlab.scan.finding.looks import Kind, look_closer
from fauxlab.scan.finding.networks import propose_faces
from fauxlab.scan.finding.turns import choose_turn
from fauxlab.scan.finding.views import LARGE, SMALLEST, tiles, whole_views

if TYPE_CHECKING:
    from collections.abc import Iterable

    from PIL import Image

    from fauxlab.scan.finding.boxes import Floats
    from fauxlab.scan.finding.views import View

LEAST = 0.12  # YuNet's score for a place to be looked at
SURE = 0.85  # at this score CenterFace is not asked
MOST_PROPOSALS = 1000  # of one view

# CenterFace sees a place in two windows. The first is cheap and settles most places; the second
# shows more around the place, and decides.
GLANCE = Kind(face=32, side=64)
LOOK = Kind(face=48, side=192)
LEAST_GLANCE = 0.05  # CenterFace's answer, 0 to 1, for a second window
MOST_GLANCES = 256  # windows: bounds time
MOST_LOOKS = 96

# Log-odds that a place shows a face: the weights of the log-odds of YuNet's score, of CenterFace's
# answer in the second window, and of the logarithm of the face's size per REFERENCE pixels (in a
# picture that is LARGE pixels long), by a logistic regression on the photos of the benchmark.
WEIGHTS = np.array([0.67, 1.03, -0.64])
BIAS = 3.3
REFERENCE = 32
ENOUGH = 1.4
ENOUGH_AT_A_GLANCE = 3.0


class Search(NamedTuple):
    """The faces of a picture, and how many places were not looked at.

    The boxes lie in the picture as it is; scores are probabilities. `turn` is by how many degrees,
    counter-clockwise, the picture must be turned for the faces to stand upright.
    """

    found: Boxes
    left_out: int
    turn: int = 0


def search_faces(image: Image.Image) -> Search:
    """The faces of an RGB picture, upright or turned by a multiple of 90 degrees."""
    upright = search_turned(image, 0)
    turn = choose_turn(image, upright.found)
    if not turn:
        return upright
    turned = search_turned(image, turn)
    # What is found in the turned picture must say so, too: a mask may look like a face either way.
    is_certain = len(turned.found.scores) and choose_turn(image, turned.found) == turn
    return turned if is_certain else upright


def search_turned(image: Image.Image, turn: int) -> Search:
    """The faces that stand upright once the picture is turned."""
    whole = propose(whole_views(image), turn)
    close = propose(tiles(image), turn)
    proposals = one_a_face(join([whole, close]))
    is_large_enough = proposals.longer_sides() >= SMALLEST
    found, left_out = confirm(image, proposals.take(is_large_enough), turn)
    return Search(found, left_out, turn)


def propose(views: Iterable[View], turn: int) -> Boxes:
    """Places that YuNet takes for faces in some views, in pixels of the picture."""
    parts = []
    for view in views:
        pixels = turn_pixels(view.pixels, turn)
        found = propose_faces(pixels, LEAST)
        surest = np.argsort(-found.scores, kind="stable")[:MOST_PROPOSALS]
        found = one_a_face(found.take(surest))
        height, width, _ = pixels.shape
        boxes = turn_boxes(found.boxes, -turn % 360, width, height)
        boxes = boxes / view.scale
        boxes[:, :2] += (view.left, view.top)
        parts.append(Boxes(boxes, found.scores))
    return join(parts)


def confirm(image: Image.Image, proposals: Boxes, turn: int) -> tuple[Boxes, int]:
    """The proposals that are faces, with probabilities; and how many were not looked at."""
    is_sure = proposals.scores >= SURE
    sure = proposals.take(is_sure)
    weak = proposals.take(~is_sure)
    longer = max(image.size)

    answers, not_glanced = look_closer(image, weak.boxes, GLANCE, MOST_GLANCES, turn)
    odds = log_odds(weak, answers, longer)
    is_settled = odds >= ENOUGH_AT_A_GLANCE
    settled = Boxes(weak.boxes, _probability(odds)).take(is_settled)

    open_ones = weak.take(~is_settled & (answers >= LEAST_GLANCE))
    answers, not_seen = look_closer(image, open_ones.boxes, LOOK, MOST_LOOKS, turn)
    odds = log_odds(open_ones, answers, longer)
    confirmed = Boxes(open_ones.boxes, _probability(odds)).take(odds >= ENOUGH)

    found = one_a_face(join([sure, settled, confirmed]))
    return found, not_glanced + not_seen


def log_odds(proposals: Boxes, answers: Floats, longer: int) -> Floats:
    """Log-odds [N] that places show faces, in a picture with this longer side.

    `answers` [N] are CenterFace's.
    """
    sizes = LARGE / longer * proposals.longer_sides()
    sizes = np.maximum(sizes, SMALLEST)
    size = np.log(sizes / REFERENCE)
    features = np.column_stack([_logit(proposals.scores), _logit(answers), size])
    odds: Floats = features @ WEIGHTS + BIAS
    return odds


def _logit(probabilities: Floats) -> Floats:
    inside = np.clip(probabilities, 0.01, 0.99)
    logit: Floats = np.log(inside / (1 - inside))
    return logit


def _probability(odds: Floats) -> Floats:
    probability: Floats = 1 / (1 + np.exp(-odds))
    return probability
