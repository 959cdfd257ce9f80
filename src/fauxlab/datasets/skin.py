"""The lit skin of a portrait: the relief of the face, the light on it, and the ears."""

from __future__ import annotations

import numpy as np

from fauxlab.datasets.appearance import Array, Face, Nose, Shot
from fauxlab.datasets.canvas import Canvas, bump, clamp, shaded

# Red, green and blue that blood under the skin, its gloss and the ears add to the skin's colour.
BLUSH = np.array([0.04, -0.12, -0.12], np.float32)
GLOSS = np.array([1.0, 0.95, 0.9], np.float32)
EAR = np.array([1.05, 0.9, 0.9])


def paint_skin(canvas: Canvas, face: Face, shot: Shot) -> None:
    """Paint the ears, and over them the face."""
    diffuse, gloss = _light_relief(canvas, face, shot)
    mottle = 1 + 0.035 * canvas.noise(9, 9) + 0.05 * canvas.noise(48, 48)
    colour = shaded(face.skin, diffuse * mottle)
    colour *= 1 + _blush(canvas)[..., None] * BLUSH
    colour += (0.10 * gloss)[..., None] * GLOSS
    for side in (-1, 1):
        _paint_ear(canvas, face, shot, diffuse, side)
    head = (canvas.radius - 1) * 0.8
    canvas.paint(colour, canvas.cover(head))


def _light_relief(canvas: Canvas, face: Face, shot: Shot) -> tuple[Array, Array]:
    """Diffuse and glossy light on the face, each [S, S]."""
    down, right = np.gradient(_relief(canvas, face), canvas.pixel)
    light_x, light_y, light_z = shot.light
    # The surface normal is (-right, -down, 1) / length.
    length = np.sqrt(1 + right**2 + down**2)
    facing = light_z - light_x * right - light_y * down
    lit = clamp(facing / length)
    diffuse: Array = shot.ambient + (1.25 - shot.ambient) * lit
    # Blinn's model: the gloss follows the vector halfway between the light and the camera.
    halfway = float(np.sqrt(2 + 2 * light_z))
    gloss: Array = clamp((facing + 1) / length / halfway) ** 24
    return diffuse, gloss


def _relief(canvas: Canvas, face: Face) -> Array:
    """Height of the face's surface [S, S], in head units."""
    x, y = np.abs(canvas.face_x), canvas.face_y
    eyes, nose, mouth = face.eyes, face.nose, face.mouth
    skull = 0.62 * np.sqrt(canvas.depth**2 + 0.02)
    bridge = _nose_bridge(x, y, nose)
    wings = 0.06 * bump(x - nose.half_width, 0.05, y - nose.tip, 0.06)
    sockets = -0.09 * bump(x - eyes.x, 0.2, y - eyes.y + 0.03, 0.11)
    cheeks = 0.07 * bump(x - 0.4, 0.2, y - 0.28, 0.17)
    chin = 0.06 * bump(x, 0.17, y - 0.86, 0.1)
    lips = 0.05 * bump(x, mouth.half_width, y - mouth.y, 0.08)
    return np.asarray(skull + bridge + wings + sockets + cheeks + chin + lips)


def _nose_bridge(x: Array, y: Array, nose: Nose) -> Array:
    """Height of the nose: it rises and widens from between the eyes to the tip."""
    from_root = clamp((y + 0.18) / (nose.tip + 0.18))
    to_tip = clamp((nose.tip + 0.07 - y) / 0.09)
    along = from_root * to_tip
    half_width = 0.05 + 0.6 * nose.half_width * along
    profile = nose.height * (0.25 + 0.75 * along) * along**0.7
    bridge: Array = profile * np.exp(-((x / half_width) ** 2))
    return bridge


def _blush(canvas: Canvas) -> Array:
    """How red the skin is [S, S]: on the cheeks and the nose."""
    x, y = np.abs(canvas.face_x), canvas.face_y
    cheeks = bump(x - 0.38, 0.17, y - 0.28, 0.15)
    nose = bump(x, 0.12, y - 0.32, 0.1)
    redness: Array = cheeks + 0.7 * nose
    return redness


def _paint_ear(canvas: Canvas, face: Face, shot: Shot, diffuse: Array, side: int) -> None:
    """Paint the ear at the left (-1) or right (1) side of the image, with its dark hollow."""
    middle = side * face.width * 0.97 - 0.12 * shot.yaw
    across = (canvas.x - middle) / (face.ears * 0.62)
    down = (canvas.y - 0.08) / (face.ears * 1.35)
    ellipse = np.hypot(across, down) - 1
    colour = shaded(face.skin, 0.75 * diffuse + 0.1) * EAR
    canvas.paint(colour, canvas.cover(ellipse * 0.12))
    hollow = canvas.cover((ellipse + 0.5) * 0.12, 0.05)
    canvas.paint(face.skin * 0.35, 0.6 * hollow)
