"""The eyes of a portrait, with lids, brows and glasses; both sides are drawn at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fauxlab.datasets.appearance import Array, Face, Shot, to_linear
from fauxlab.datasets.canvas import Canvas, bump, clamp, shaded

WHITE = np.array([0.66, 0.62, 0.6])
PUPIL = (0.008, 0.007, 0.007)
LASHES = (0.02, 0.014, 0.012)
GLINT = (0.95, 0.95, 0.95)
LENS = (0.85, 0.9, 0.95)
FRAME = (40, 34, 34)  # sRGB


@dataclass(frozen=True)
class _Opening:
    """The open part of both eyes; every array is [S, S].

    `across` runs from -1 at the inner corner to 1 at the outer one, `down` is the height below the
    line through both corners. `upper` and `lower` are the edges of the lids in the same unit.
    """

    from_middle: Array  # distance from the middle of the eye, away from the nose
    across: Array
    down: Array
    upper: Array
    lower: Array
    coverage: Array


def paint_eyes(canvas: Canvas, face: Face, shot: Shot) -> None:
    """Paint eyes and brows."""
    eye = _open_eyes(canvas, face, shot)
    _paint_iris(canvas, face, shot, eye)
    _paint_lids(canvas, face, eye)
    _paint_glint(canvas, face, shot, eye)
    _paint_brows(canvas, face, shot, eye)


def _open_eyes(canvas: Canvas, face: Face, shot: Shot) -> _Opening:
    """Darken the sockets, and find where the lids leave the eyes open."""
    eyes = face.eyes
    # A smile narrows the eyes.
    opening = eyes.opening * (1 - 0.25 * max(0.0, shot.smile))
    from_middle = np.abs(canvas.face_x) - eyes.x
    across = clamp(from_middle / eyes.half_width, -2, 2)
    down = canvas.face_y - eyes.y + eyes.tilt * from_middle
    arc = clamp(1 - across**2, -1, 1)
    upper = -opening * arc * (1 - 0.2 * across)
    lower = 0.62 * opening * arc
    canvas.darken(0.26 * bump(across, 1.5, down + 0.05, 0.12))
    coverage = canvas.cover(np.maximum(upper - down, down - lower))
    return _Opening(from_middle, across, down, upper, lower, coverage)


def _paint_iris(canvas: Canvas, face: Face, shot: Shot, eye: _Opening) -> None:
    """Paint the white of the eye, the iris with its dark rim, and the pupil."""
    canvas.paint(WHITE * (0.75 + 0.25 * shot.ambient), eye.coverage)
    gaze = np.sign(canvas.face_x) * shot.gaze
    radius = np.hypot(eye.from_middle - gaze, eye.down + 0.012)
    rim = eye.coverage * canvas.cover(radius - 0.078)
    canvas.paint(face.iris * 0.35, rim)
    # The iris is lighter towards its rim.
    shade = 0.7 + 5 * clamp(radius, 0, 0.07)
    iris = eye.coverage * canvas.cover(radius - 0.062)
    canvas.paint(shaded(face.iris, shade), iris)
    pupil = eye.coverage * canvas.cover(radius - 0.034)
    canvas.paint(PUPIL, pupil)


def _paint_lids(canvas: Canvas, face: Face, eye: _Opening) -> None:
    """Paint the lashes, the edge of the lower lid, and the fold above the upper lid."""
    thickness = 0.01 * clamp(eye.across)
    lashes = canvas.cover(np.abs(eye.down - eye.upper + 0.006) - 0.013 - thickness)
    within_lashes = np.abs(eye.across) < 1.08
    canvas.paint(LASHES, 0.9 * lashes * within_lashes)
    within_lid = np.abs(eye.across) < 0.95
    edge = canvas.cover(np.abs(eye.down - eye.lower) - 0.006)
    canvas.paint(face.skin * 0.35, 0.45 * edge * within_lid)
    fold = canvas.cover(np.abs(eye.down - eye.upper + 0.045) - 0.006, 0.01)
    canvas.paint(face.skin * 0.3, 0.5 * fold * within_lid)


def _paint_glint(canvas: Canvas, face: Face, shot: Shot, eye: _Opening) -> None:
    """Paint the reflection of the light, on the same side in both eyes."""
    offset = 0.03 if shot.light[0] > 0 else -0.03
    middle = np.sign(canvas.face_x) * face.eyes.x
    radius = np.hypot(canvas.face_x - middle - offset, eye.down + 0.03)
    canvas.paint(GLINT, eye.coverage * canvas.cover(radius - 0.016))


def _paint_brows(canvas: Canvas, face: Face, shot: Shot, eye: _Opening) -> None:
    """Paint the eyebrows: an arch that is thickest near the nose, with the texture of hair."""
    brows, half_width = face.brows, face.eyes.half_width
    along = (eye.from_middle - 0.01) / (half_width * 1.45)
    from_peak = along - 0.1
    arch = brows.arch * (1 - from_peak**2)
    middle = eye.down + brows.height - 0.01 * shot.smile + arch - 0.01
    taper = clamp(1.15 - 0.55 * np.abs(from_peak) - 0.35 * along, 0, 1.4)
    brow = canvas.cover(np.abs(middle) - brows.thickness * taper, 0.015)
    ends = canvas.cover((np.abs(along) - 1) * half_width, 0.03)
    hairs = 0.8 + 0.15 * canvas.noise(20, 60)
    canvas.paint(face.hair * 0.55, clamp(brow * ends * hairs, 0, 0.95))


def paint_glasses(canvas: Canvas, face: Face) -> None:
    """Paint glasses: a faint reflection on the lenses, rims, bridge and temples."""
    x = np.abs(canvas.face_x)
    eyes = face.eyes
    rim = _rim(canvas, face)
    canvas.paint(LENS, 0.06 * canvas.cover(rim * 0.2))
    rims = np.abs(rim) * 0.2 - 0.018
    bridge_height = np.abs(canvas.face_y - eyes.y + 0.02) - 0.015
    bridge = np.maximum(bridge_height, x - eyes.x + 0.22)
    frame = np.minimum(rims, bridge)
    temple_height = np.abs(canvas.face_y - eyes.y + 0.03) - 0.014
    beside_lens = np.maximum(eyes.x + 0.22 - x, canvas.radius - 1)
    temple = np.maximum(temple_height, beside_lens)
    shape = canvas.cover(np.minimum(frame, temple))
    canvas.paint(to_linear(FRAME), face.glasses * shape)


def _rim(canvas: Canvas, face: Face) -> Array:
    """Position against the rims: 0 on them, negative on the lenses, which are rounded squares."""
    x = np.abs(canvas.face_x)
    across = np.abs(x - face.eyes.x) / 0.235
    down = np.abs(canvas.face_y - face.eyes.y - 0.03) / 0.185
    rim: Array = (across**3 + down**3 + 1e-6) ** (1 / 3) - 1
    return rim
