"""How a picture lies: upright, on a side, or upside down.

The networks that find faces find many that do not lie upright, too, and take them for upright: the
five points of YuNet put the eyes above the mouth whatever it sees. Two things tell how a found face
lies: YuNet's score, which is higher for an upright face, and a third, small network.
`benchmarks/detector/face_turns.py` trained it, and `face_finding.py` measures both together. Where
no face is found, YuNet's scores of a small copy tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fauxlab.scan.finding.boxes import one_a_face, turn_boxes, turn_pixels
from fauxlab.scan.finding.networks import propose_faces, tell_turns
from fauxlab.scan.finding.views import (
    SMALLEST,
    boxes_in_window,
    cut_window,
    look_at,
    place_window,
)

if TYPE_CHECKING:
    from PIL import Image

    from fauxlab.scan.finding.boxes import Boxes, Floats

TURNS = (0, 90, 180, 270)  # degrees, counter-clockwise
# A face that was found is seen by YuNet in a window: its longer side and the window's in pixels.
FACE = 48
SIDE = 96
LEAST_SCORE = 0.12
# The small network sees the face alone: its window's side per the face's longer side, in pixels.
ZOOM = 0.8
SMALL_SIDE = 32
# So many of the surest faces are asked. A difference of 0.05 in scores counts as much as a turn
# that the network finds e times as likely. Together they must speak for another turn by LEAST_LEAD.
# These and ZOOM were chosen on the photos of the benchmark, of which scores alone told fewer.
MOST_ASKED = 5
SCORE_WEIGHT = 20.0
LEAST_LEAD = 0.5
# Where no face was found: the longer side of the copy, the least score that counts, and how much
# the scores must exceed it in sum.
PROBE = 480
HALF = 0.5
LEAST_EVIDENCE = 0.2


def choose_turn(image: Image.Image, found: Boxes) -> int:
    """By how many degrees the picture must be turned, given the faces found in it as it is."""
    if not len(found.scores):
        return _probe(image)
    totals = np.zeros(len(TURNS))
    for box in found.boxes[:MOST_ASKED]:
        totals += SCORE_WEIGHT * _score_turns(image, box)
        totals += _tell_turns(image, box)
    best = int(totals.argmax())
    lead = totals[best] - totals[0]
    return TURNS[best] if lead >= LEAST_LEAD else 0


def _tell_turns(image: Image.Image, box: Floats) -> Floats:
    """How likely the small network finds each of the four turns, [4], in natural logarithms."""
    window = place_window(image.size, box, ZOOM)
    pixels = cut_window(image, window, SMALL_SIDE)
    likelihoods: Floats = tell_turns(pixels[None])[0]
    return likelihoods


def _score_turns(image: Image.Image, box: Floats) -> Floats:
    """YuNet's score of one face in each of the four turns, [4]."""
    window = place_window(image.size, box, SIDE / FACE)
    pixels = cut_window(image, window, SIDE)
    left, top, width, height = boxes_in_window(box, window, SIDE)
    middle = np.array([left + width / 2, top + height / 2])
    scores = np.zeros(len(TURNS))
    for number, turn in enumerate(TURNS):
        seen = propose_faces(turn_pixels(pixels, turn), LEAST_SCORE)
        boxes = turn_boxes(seen.boxes, -turn % 360, SIDE, SIDE)
        middles = boxes[:, :2] + boxes[:, 2:] / 2
        distances = np.abs(middles - middle).max(axis=1)
        scores[number] = seen.scores[distances < FACE / 2].max(initial=0)
    return scores


def _probe(image: Image.Image) -> int:
    """The turn in which a small copy shows most faces; 0 if no turn shows enough."""
    copy = look_at(image, PROBE)
    evidence = np.zeros(len(TURNS))
    for number, turn in enumerate(TURNS[1:], start=1):
        found = one_a_face(propose_faces(turn_pixels(copy.pixels, turn), HALF))
        is_large_enough = found.longer_sides() >= SMALLEST * copy.scale
        above_half = found.scores[is_large_enough] - HALF
        evidence[number] = above_half.sum()
    best = int(evidence.argmax())
    return TURNS[best] if evidence[best] >= LEAST_EVIDENCE else 0
