"""The nose and the mouth of a portrait: lips, teeth and the folds of a smile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fauxlab.datasets.appearance import Array, Face, Shot
from fauxlab.datasets.canvas import Canvas, bump, clamp, shaded

# Shares of red, green and blue: of the skin's light in the nostrils, and taken away by red lips.
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
    half_width = face.nose.half_width
    below_tip = canvas.face_y - face.nose.tip
    shadow = bump(
        canvas.face_x,
        below_tip - 0.07,
        width=1.1 * half_width,
        height=0.04,
    )
    canvas.darken(0.32 * shadow)
    x = np.abs(canvas.face_x)
    beside = x - 0.62 * half_width
    below = below_tip - 0.045
    across = beside / 0.042
    down = below / 0.021
    ellipse = np.hypot(across, down) - 1
    nostril = canvas.cover(ellipse * 0.025, softness=0.02)
    canvas.paint(face.skin * NOSTRIL, 0.85 * nostril)


def paint_mouth(canvas: Canvas, face: Face, shot: Shot) -> None:
    """Paint lips, the open mouth between them, and what a smile does to the cheeks."""
    lips = _shape_lips(canvas, face, shot)
    _paint_lips(canvas, face, lips)
    _paint_opening(canvas, lips)
    _paint_crease(canvas, face, lips)
    _paint_folds(canvas, face, lips)
    _paint_chin_shadow(canvas, face)


def _shape_lips(canvas: Canvas, face: Face, shot: Shot) -> _Lips:
    smile = max(0.0, shot.smile)
    widening = 1 + 0.14 * smile
    half_width = face.mouth.half_width * widening
    across = canvas.face_x / half_width
    squared = across**2
    arc = clamp(1 - squared, -1, 1)
    # A smile lowers the middle of the mouth and lifts its corners.
    lowered = 0.025 * shot.smile
    lifted = 0.07 * shot.smile * squared
    return _Lips(
        smile=smile,
        half_width=half_width,
        across=across,
        arc=arc,
        within=np.abs(across) < 1,
        line=face.mouth.y + lowered - lifted,
        gap=shot.mouth_opening * arc,
    )


def _paint_lips(canvas: Canvas, face: Face, lips: _Lips) -> None:
    mouth = face.mouth
    y = canvas.face_y
    # The upper lip dips in the middle.
    middle = bump(lips.across, width=0.16)
    to_corners = lips.across**2
    dip = 1 - 0.35 * middle - 0.15 * to_corners
    upper = mouth.upper_lip * lips.arc * dip
    thickness = clamp(lips.arc) ** 0.8
    lower = mouth.lower_lip * thickness
    top = lips.line - lips.gap * 0.4 - upper
    bottom = lips.line + lips.gap + lower
    above = top - y
    below = y - bottom
    outside = np.maximum(above, below)
    beyond_corners = np.abs(lips.across) - 1
    beside = beyond_corners * lips.half_width
    distance = np.maximum(outside, beside)
    shape = canvas.cover(distance, softness=0.012)
    # Red lips take away green and blue.
    remaining = 1 - mouth.redness * LIP
    tint = face.skin * remaining * 0.8
    # The lower lip is lighter towards its edge.
    below_line = y - lips.line
    depth = below_line / mouth.lower_lip
    depth = clamp(depth, -0.4, 0.8)
    shade = 0.75 + 0.5 * depth
    colour = shaded(tint, shade)
    canvas.paint(colour, 0.9 * shape)


def _paint_opening(canvas: Canvas, lips: _Lips) -> None:
    """Paint the dark inside of an open mouth, and the teeth."""
    y = canvas.face_y
    above = lips.line - lips.gap * 0.4 - y
    below = y - lips.line - lips.gap
    outside = np.maximum(above, below)
    between = canvas.cover(outside)
    hole = between * lips.within
    opened = clamp(lips.gap / 0.01)
    canvas.paint(INSIDE, hole * opened)
    # Teeth show in the middle of a mouth that is open wide enough.
    below_teeth = y - lips.line - lips.gap * 0.55
    upper_half = canvas.cover(below_teeth)
    wide_open = clamp(lips.gap / 0.02)
    from_middle = np.abs(lips.across)
    central = clamp(3 - 3 * from_middle)
    teeth = hole * upper_half * wide_open * central
    canvas.paint(TEETH, teeth)


def _paint_crease(canvas: Canvas, face: Face, lips: _Lips) -> None:
    """Paint the line between closed lips."""
    from_line = np.abs(canvas.face_y - lips.line)
    crease = canvas.cover(from_line - 0.008, softness=0.008)
    closed = lips.gap < 0.01
    opacity = 0.75 * crease * lips.within * closed
    canvas.paint(face.skin * 0.13, opacity)


def _paint_folds(canvas: Canvas, face: Face, lips: _Lips) -> None:
    """Paint the folds that a smile draws from the nose to the corners of the mouth."""
    x = np.abs(canvas.face_x)
    y = canvas.face_y
    below_nose = clamp(y - face.nose.tip + 0.05)
    from_fold = np.abs(x - 0.17 - 0.33 * below_nose)
    fold = canvas.cover(from_fold - 0.008, softness=0.05)
    from_mouth = np.abs(y - 0.5)
    near_mouth = canvas.cover(from_mouth - 0.12, softness=0.1)
    opacity = 0.35 * lips.smile * fold * near_mouth
    canvas.paint(face.skin * 0.5, opacity)


def _paint_chin_shadow(canvas: Canvas, face: Face) -> None:
    """Paint the shadow below the lower lip."""
    below_mouth = canvas.face_y - face.mouth.y
    shadow = bump(
        canvas.face_x,
        below_mouth - 0.145,
        width=0.16,
        height=0.035,
    )
    canvas.darken(0.2 * shadow)
