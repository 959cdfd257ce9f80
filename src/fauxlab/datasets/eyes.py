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

# Radii in head units.
RIM_RADIUS = 0.078
IRIS_RADIUS = 0.062
PUPIL_RADIUS = 0.034
GLINT_RADIUS = 0.016

# Half width, half height and half thickness of the rims of glasses.
LENS_WIDTH = 0.235
LENS_HEIGHT = 0.185
RIM_THICKNESS = 0.018


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
    from_middle = np.abs(canvas.face_x) - eyes.x
    across = from_middle / eyes.half_width
    across = clamp(across, -2, 2)
    slope = eyes.tilt * from_middle
    down = canvas.face_y - eyes.y + slope
    # A smile narrows the eyes.
    smile = max(0.0, shot.smile)
    narrowing = 1 - 0.25 * smile
    opening = eyes.opening * narrowing
    squared = across**2
    arc = clamp(1 - squared, -1, 1)
    skew = 1 - 0.2 * across
    upper = -opening * arc * skew
    lower = 0.62 * opening * arc
    socket = bump(
        across,
        down + 0.05,
        width=1.5,
        height=0.12,
    )
    canvas.darken(0.26 * socket)
    above = upper - down
    below = down - lower
    outside = np.maximum(above, below)
    return _Opening(
        from_middle=from_middle,
        across=across,
        down=down,
        upper=upper,
        lower=lower,
        coverage=canvas.cover(outside),
    )


def _paint_iris(canvas: Canvas, face: Face, shot: Shot, eye: _Opening) -> None:
    """Paint the white of the eye, the iris with its dark rim, and the pupil."""
    brightness = 0.75 + 0.25 * shot.ambient
    canvas.paint(WHITE * brightness, eye.coverage)
    side = np.sign(canvas.face_x)
    gaze = side * shot.gaze
    across = eye.from_middle - gaze
    down = eye.down + 0.012
    radius = np.hypot(across, down)
    rim = canvas.cover(radius - RIM_RADIUS)
    canvas.paint(face.iris * 0.35, eye.coverage * rim)
    # The iris is lighter towards its rim.
    towards_rim = clamp(radius, 0, 0.07)
    shade = 0.7 + 5 * towards_rim
    colour = shaded(face.iris, shade)
    iris = canvas.cover(radius - IRIS_RADIUS)
    canvas.paint(colour, eye.coverage * iris)
    pupil = canvas.cover(radius - PUPIL_RADIUS)
    canvas.paint(PUPIL, eye.coverage * pupil)


def _paint_lids(canvas: Canvas, face: Face, eye: _Opening) -> None:
    """Paint the lashes, the edge of the lower lid, and the fold above the upper lid."""
    from_middle = np.abs(eye.across)
    within_lashes = from_middle < 1.08
    within_lid = from_middle < 0.95

    below_upper = eye.down - eye.upper
    below_lower = eye.down - eye.lower

    from_lashes = np.abs(below_upper + 0.006)
    # Lashes are thickest at the outer corner.
    towards_corner = clamp(eye.across)
    thickness = 0.01 * towards_corner
    lashes = canvas.cover(from_lashes - 0.013 - thickness)
    opacity = 0.9 * lashes * within_lashes
    canvas.paint(LASHES, opacity)

    from_edge = np.abs(below_lower)
    edge = canvas.cover(from_edge - 0.006)
    opacity = 0.45 * edge * within_lid
    canvas.paint(face.skin * 0.35, opacity)

    from_fold = np.abs(below_upper + 0.045)
    fold = canvas.cover(from_fold - 0.006, softness=0.01)
    opacity = 0.5 * fold * within_lid
    canvas.paint(face.skin * 0.3, opacity)


def _paint_glint(canvas: Canvas, face: Face, shot: Shot, eye: _Opening) -> None:
    """Paint the reflection of the light, on the same side in both eyes."""
    light_x, _, _ = shot.light
    offset = 0.03 if light_x > 0 else -0.03
    side = np.sign(canvas.face_x)
    middle = side * face.eyes.x
    across = canvas.face_x - middle - offset
    down = eye.down + 0.03
    radius = np.hypot(across, down)
    glint = canvas.cover(radius - GLINT_RADIUS)
    canvas.paint(GLINT, eye.coverage * glint)


def _paint_brows(canvas: Canvas, face: Face, shot: Shot, eye: _Opening) -> None:
    """Paint the eyebrows: an arch that is thickest near the nose, with the texture of hair."""
    brows = face.brows
    eye_width = face.eyes.half_width
    half_width = eye_width * 1.45
    from_centre = eye.from_middle - 0.01
    along = from_centre / half_width
    from_peak = along - 0.1
    roundness = 1 - from_peak**2
    arch = brows.arch * roundness
    lift = 0.01 * shot.smile
    above_eye = eye.down + brows.height
    from_middle = np.abs(above_eye - lift + arch - 0.01)
    narrowing = 1.15 - 0.55 * np.abs(from_peak)
    narrowing = narrowing - 0.35 * along
    narrowing = clamp(narrowing, 0, 1.4)
    thickness = brows.thickness * narrowing
    brow = canvas.cover(from_middle - thickness, softness=0.015)
    beyond_ends = np.abs(along) - 1
    between_ends = canvas.cover(beyond_ends * eye_width, softness=0.03)
    texture = canvas.noise(20, 60)
    hairs = 0.8 + 0.15 * texture
    opacity = clamp(brow * between_ends * hairs, 0, 0.95)
    canvas.paint(face.hair * 0.55, opacity)


def paint_glasses(canvas: Canvas, face: Face) -> None:
    """Paint glasses: a faint reflection on the lenses, rims, bridge and temples."""
    rim = _measure_rim(canvas, face)
    lens = canvas.cover(rim * 0.2)
    canvas.paint(LENS, 0.06 * lens)
    from_rim = np.abs(rim) * 0.2
    frame = from_rim - RIM_THICKNESS
    bridge = _measure_bridge(canvas, face)
    frame = np.minimum(frame, bridge)
    temples = _measure_temples(canvas, face)
    frame = np.minimum(frame, temples)
    coverage = canvas.cover(frame)
    colour = to_linear(FRAME)
    canvas.paint(colour, face.glasses * coverage)


def _measure_rim(canvas: Canvas, face: Face) -> Array:
    """Position against the rims: 0 on them, negative on the lenses, which are rounded squares."""
    x = np.abs(canvas.face_x)
    y = canvas.face_y
    from_middle = np.abs(x - face.eyes.x)
    below_eyes = y - face.eyes.y
    from_axis = np.abs(below_eyes - 0.03)
    across = from_middle / LENS_WIDTH
    down = from_axis / LENS_HEIGHT
    power = across**3 + down**3 + 1e-6
    rim: Array = power ** (1 / 3) - 1
    return rim


def _measure_bridge(canvas: Canvas, face: Face) -> Array:
    """Signed distance to the piece that joins the lenses over the nose."""
    x = np.abs(canvas.face_x)
    y = canvas.face_y
    below_eyes = y - face.eyes.y
    from_axis = np.abs(below_eyes + 0.02)
    above = from_axis - 0.015
    beside = x - face.eyes.x + 0.22
    bridge: Array = np.maximum(above, beside)
    return bridge


def _measure_temples(canvas: Canvas, face: Face) -> Array:
    """Signed distance to the pieces that run from the lenses to the ears."""
    x = np.abs(canvas.face_x)
    y = canvas.face_y
    below_eyes = y - face.eyes.y
    from_axis = np.abs(below_eyes + 0.03)
    above = from_axis - 0.014
    inward = face.eyes.x + 0.22 - x
    outward = canvas.radius - 1
    beside = np.maximum(inward, outward)
    temples: Array = np.maximum(above, beside)
    return temples
