"""The nose and the mouth of a portrait: lips, teeth and the folds of a smile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fauxlab.datasets.appearance import Array, Face, Shot
from fauxlab.datasets.canvas import Canvas, bump, clamp, shaded

# Colours of the nostrils and share of light that redness takes from lips, each red, green, blue.
NOSTRIL = np.array([0.16, 0.1, 0.1])
LIP = np.array([0.18, 0.62, 0.55], np.float32)
INSIDE = (0.05, 0.015, 0.015)
TEETH = (0.62, 0.58, 0.53)


@dataclass(frozen=True)
class _Lips:
    """The mouth of one photograph; every array is [S, S].

    `across` runs from -1 to 1 between the corners, `line` is the height at which the lips meet,
    `gap` how far they are apart there.
    """

    smile: float  # 0 without one
    half_width: float
    across: Array
    arc: Array  # 1 in the middle of the mouth, 0 in its corners
    within: Array  # where `across` is between the corners
    line: Array
    gap: Array


def paint_nose(canvas: Canvas, face: Face) -> None:
    """Paint the shadow below the nose, and the nostrils."""
    nose = face.nose
    below_tip = canvas.face_y - nose.tip
    canvas.darken(0.32 * bump(canvas.face_x, 1.1 * nose.half_width, below_tip - 0.07, 0.04))
    across = (np.abs(canvas.face_x) - 0.62 * nose.half_width) / 0.042
    down = (below_tip - 0.045) / 0.021
    nostril = np.hypot(across, down) - 1
    canvas.paint(face.skin * NOSTRIL, 0.85 * canvas.cover(nostril * 0.025, 0.02))


def paint_mouth(canvas: Canvas, face: Face, shot: Shot) -> None:
    """Paint lips, the open mouth between them, and what a smile does to the cheeks."""
    lips = _shape_lips(canvas, face, shot)
    _paint_lips(canvas, face, lips)
    _paint_opening(canvas, face, lips)
    _paint_folds(canvas, face, lips)


def _shape_lips(canvas: Canvas, face: Face, shot: Shot) -> _Lips:
    smile = max(0.0, shot.smile)
    half_width = face.mouth.half_width * (1 + 0.14 * smile)
    across = canvas.face_x / half_width
    arc = clamp(1 - across**2, -1, 1)
    within = np.abs(across) < 1
    # A smile lowers the middle of the mouth and lifts its corners.
    line = face.mouth.y + 0.025 * shot.smile - 0.07 * shot.smile * across**2
    gap = shot.mouth_opening * arc
    return _Lips(smile, half_width, across, arc, within, line, gap)


def _paint_lips(canvas: Canvas, face: Face, lips: _Lips) -> None:
    mouth, y = face.mouth, canvas.face_y
    # The upper lip dips in the middle.
    dip = 1 - 0.35 * bump(lips.across, 0.16) - 0.15 * lips.across**2
    top = lips.line - lips.gap * 0.4 - mouth.upper_lip * lips.arc * dip
    bottom = lips.line + lips.gap + mouth.lower_lip * clamp(lips.arc) ** 0.8
    outside = np.maximum(top - y, y - bottom)
    beside = (np.abs(lips.across) - 1) * lips.half_width
    shape = canvas.cover(np.maximum(outside, beside), 0.012)
    tint = face.skin * (1 - mouth.redness * LIP) * 0.8
    shade = 0.75 + 0.5 * clamp((y - lips.line) / mouth.lower_lip, -0.4, 0.8)
    canvas.paint(shaded(tint, shade), 0.9 * shape)


def _paint_opening(canvas: Canvas, face: Face, lips: _Lips) -> None:
    """Paint the dark inside of the mouth, the teeth, and the line between closed lips."""
    y, line, gap = canvas.face_y, lips.line, lips.gap
    between_lips = np.maximum(line - gap * 0.4 - y, y - line - gap)
    hole = canvas.cover(between_lips) * lips.within
    canvas.paint(INSIDE, hole * clamp(gap / 0.01))
    upper_half = canvas.cover(y - line - gap * 0.55)
    # Teeth show in the middle of a mouth that is open wide enough.
    open_enough = clamp(gap / 0.02)
    central = clamp(3 - 3 * np.abs(lips.across))
    canvas.paint(TEETH, hole * upper_half * open_enough * central)
    crease = canvas.cover(np.abs(y - line) - 0.008, 0.008)
    closed = gap < 0.01
    canvas.paint(face.skin * 0.13, 0.75 * crease * lips.within * closed)


def _paint_folds(canvas: Canvas, face: Face, lips: _Lips) -> None:
    """Paint the folds from the nose to the corners of a smile, and the shadow below the lips."""
    y = canvas.face_y
    below_nose = clamp(y - face.nose.tip + 0.05)
    from_fold = np.abs(np.abs(canvas.face_x) - 0.17 - 0.33 * below_nose)
    fold = canvas.cover(from_fold - 0.008, 0.05)
    near_mouth = canvas.cover(np.abs(y - 0.5) - 0.12, 0.1)
    canvas.paint(face.skin * 0.5, 0.35 * lips.smile * fold * near_mouth)
    canvas.darken(0.2 * bump(canvas.face_x, 0.16, y - face.mouth.y - 0.145, 0.035))
