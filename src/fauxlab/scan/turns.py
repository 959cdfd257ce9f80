"""How a picture lies: upright, on a side, or upside down.

The networks that find faces find many that do not lie upright, too, and take them for upright: the
five points of YuNet put the eyes above the mouth whatever it sees. A third, small network tells how
a found face lies. `benchmarks/detector/face_turns.py` trained and measured it. Where no face is
found, YuNet's scores of a small copy tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fauxlab.scan.boxes import one_a_face, turn_pixels
from fauxlab.scan.networks import propose_faces, tell_turns
from fauxlab.scan.views import cut_window, look_at, place_window

if TYPE_CHECKING:
    from PIL import Image

    from fauxlab.scan.boxes import Boxes

TURNS = (0, 90, 180, 270)  # degrees, counter-clockwise
# The window around a face: its side per the face's longer side, and its side in pixels.
ZOOM = 1.5
SIDE = 32
# So many of the surest faces are asked. Together they must find another turn so much likelier than
# none, in natural logarithms.
MOST_ASKED = 5
LEAST_LEAD = 2.0
# Where no face was found: the longer side of the copy, the least score that counts, the least side
# of a face in pixels of the picture, and the sum of what the scores exceed HALF by that is enough.
PROBE = 480
HALF = 0.5
SMALLEST = 14
LEAST_EVIDENCE = 0.2


def choose_turn(image: Image.Image, found: Boxes) -> int:
    """By how many degrees the picture must be turned, given the faces found in it as it is."""
    if not len(found.scores):
        return _probe(image)
    windows = []
    for box in found.boxes[:MOST_ASKED]:
        window = place_window(image.size, box, ZOOM)
        windows.append(cut_window(image, window, SIDE))
    likelihoods = tell_turns(np.stack(windows)).sum(axis=0)
    best = int(likelihoods.argmax())
    lead = likelihoods[best] - likelihoods[0]
    return TURNS[best] if lead >= LEAST_LEAD else 0


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
