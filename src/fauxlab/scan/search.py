"""The search for faces: a fast network proposes places, a surer one looks at the weak ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fauxlab.scan.boxes import Boxes, join, one_a_face
from fauxlab.scan.networks import confirm_faces, propose_faces
from fauxlab.scan.views import LARGE, View, cut_window, tiles, whole_views

if TYPE_CHECKING:
    from collections.abc import Iterable

    from PIL import Image

    from fauxlab.scan.boxes import Flags, Floats

LEAST = 0.12  # YuNet's score for a place to be looked at
SURE = 0.85  # with this score nobody needs to look
SMALLEST = 14  # the longer side of a face's box, in pixels of the picture
MOST_PROPOSALS = 1000  # of one view

# The first look at a place is cheap and refuses most of what is no face. The second decides.
# Pixels of the box's longer side, and of the window's side.
GLANCE = (32, 64)
LOOK = (48, 192)
LEAST_GLANCE = 0.05  # CenterFace's answer to go on
MOST_GLANCES = 256
MOST_LOOKS = 96
TOGETHER = 16  # windows that CenterFace sees at once: bounds memory

# log-odds that a place shows a face, from the log-odds of YuNet's score and CenterFace's answer,
# and the logarithm of the face's size relative to the picture's.
WEIGHTS = (0.67, 1.03, -0.64)
BIAS = 3.3
ENOUGH = 1.65  # log-odds


class Search(NamedTuple):
    """The faces of a picture, with probabilities as scores, and how many places were passed."""

    found: Boxes
    left_out: int


def search_faces(image: Image.Image) -> Search:
    """The faces of an RGB picture that stand upright in it."""
    proposals = propose(whole_views(image))
    large = propose(tiles(image))
    proposals = one_a_face(join([proposals, large]))
    is_large_enough = proposals.longer_sides() >= SMALLEST
    return confirm(image, proposals.take(is_large_enough))


def propose(views: Iterable[View]) -> Boxes:
    """Places that YuNet takes for faces in some views, in pixels of the picture, one a face."""
    parts = []
    for view in views:
        found = propose_faces(view.pixels, LEAST)
        strongest = np.argsort(-found.scores, kind="stable")[:MOST_PROPOSALS]
        found = one_a_face(found.take(strongest))
        parts.append(found.move(view.scale, view.left, view.top))
    return one_a_face(join(parts))


def confirm(image: Image.Image, proposals: Boxes) -> Search:
    """The proposals that are faces, with probabilities; they come the surest first."""
    is_sure = proposals.scores >= SURE
    sure = proposals.take(is_sure)
    weak = proposals.take(~is_sure)
    glanced = weak.take(np.arange(min(MOST_GLANCES, len(weak.scores))))
    glances = _ask(image, glanced, *GLANCE)
    promising = glanced.take(glances >= LEAST_GLANCE)
    looked = promising.take(np.arange(min(MOST_LOOKS, len(promising.scores))))
    answers = _ask(image, looked, *LOOK)
    odds = log_odds(looked, answers, max(image.size))
    probabilities = 1 / (1 + np.exp(-odds))
    confirmed = looked._replace(scores=probabilities).take(odds >= ENOUGH)
    left_out = len(weak.scores) - len(glanced.scores) + len(promising.scores) - len(looked.scores)
    return Search(one_a_face(join([sure, confirmed])), left_out)


def log_odds(proposals: Boxes, answers: Floats, longer: int) -> Floats:
    """Log-odds [N] of places to be faces in a picture with this longer side."""
    relative = LARGE * proposals.longer_sides() / longer
    relative = np.maximum(relative, SMALLEST)
    features = np.column_stack(
        [_logit(proposals.scores), _logit(answers), np.log(relative / 32)]
    )
    odds: Floats = features @ np.array(WEIGHTS) + BIAS
    return odds


def _logit(probabilities: Floats) -> Floats:
    inside = np.clip(probabilities, 0.01, 0.99)
    logit: Floats = np.log(inside / (1 - inside))
    return logit


def _ask(image: Image.Image, places: Boxes, face: int, side: int) -> Floats:
    """What CenterFace says to each place, [N]."""
    answers = [np.empty(0)]
    for start in range(0, len(places.boxes), TOGETHER):
        boxes = places.boxes[start : start + TOGETHER]
        windows = [cut_window(image, box, face, side) for box in boxes]
        pixels = np.stack([window.pixels for window in windows])
        inside = np.stack([window.box for window in windows])
        answers.append(confirm_faces(pixels, inside))
    return np.concatenate(answers)
