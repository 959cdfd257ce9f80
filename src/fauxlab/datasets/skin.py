"""The lit skin of a portrait: the relief of the face, the light on it, and the ears."""

from __future__ import annotations

import numpy as np

from fauxlab.datasets.appearance import Array, Face, Nose, Shot
from fauxlab.datasets.canvas import Canvas, bump, clamp, shaded

# What blood under the skin, its gloss, and the ears do to red, green and blue.
BLUSH = np.array([0.04, -0.12, -0.12], np.float32)
GLOSS = np.array([1.0, 0.95, 0.9], np.float32)
EAR = np.array([1.05, 0.9, 0.9])
SHININESS = 24


def paint_skin(canvas: Canvas, face: Face, shot: Shot) -> None:
    """Paint the ears, and over them the face."""
    diffuse, gloss = _light_relief(canvas, face, shot)
    coarse = canvas.noise(9, 9)
    fine = canvas.noise(48, 48)
    mottle = 1 + 0.035 * coarse + 0.05 * fine
    colour = shaded(face.skin, diffuse * mottle)
    blush = _find_blush(canvas)
    reddening = shaded(BLUSH, blush)
    colour *= 1 + reddening
    reflection = shaded(GLOSS, 0.10 * gloss)
    colour += reflection
    for side in (-1, 1):
        _paint_ear(canvas, face, shot, diffuse, side)
    outline = canvas.radius - 1
    head = canvas.cover(outline * 0.8)
    canvas.paint(colour, head)


def _light_relief(canvas: Canvas, face: Face, shot: Shot) -> tuple[Array, Array]:
    """Diffuse and glossy light on the face, each [S, S]."""
    relief = _measure_relief(canvas, face)
    down, right = np.gradient(relief, canvas.pixel)
    # The surface normal is (-right, -down, 1) / length.
    squared_length = 1 + right**2 + down**2
    length = np.sqrt(squared_length)
    light_x, light_y, light_z = shot.light
    facing = light_z - light_x * right
    facing = facing - light_y * down
    lit = clamp(facing / length)
    direct = 1.25 - shot.ambient
    diffuse: Array = shot.ambient + direct * lit
    # Blinn's model: the gloss follows the vector halfway between the light and the camera.
    halfway = float(np.sqrt(2 + 2 * light_z))
    cosine = (facing + 1) / length / halfway
    gloss: Array = clamp(cosine) ** SHININESS
    return diffuse, gloss


def _measure_relief(canvas: Canvas, face: Face) -> Array:
    """Height of the face's surface [S, S], in head units."""
    x = np.abs(canvas.face_x)
    y = canvas.face_y
    rounded = canvas.depth**2 + 0.02
    skull = np.sqrt(rounded)
    wings = bump(
        x - face.nose.half_width,
        y - face.nose.tip,
        width=0.05,
        height=0.06,
    )
    sockets = bump(
        x - face.eyes.x,
        y - face.eyes.y + 0.03,
        width=0.2,
        height=0.11,
    )
    cheeks = bump(x - 0.4, y - 0.28, width=0.2, height=0.17)
    chin = bump(x, y - 0.86, width=0.17, height=0.1)
    lips = bump(
        x,
        y - face.mouth.y,
        width=face.mouth.half_width,
        height=0.08,
    )
    relief: Array = 0.62 * skull
    relief += _measure_bridge(x, y, face.nose)
    relief += 0.06 * wings
    relief -= 0.09 * sockets
    relief += 0.07 * cheeks
    relief += 0.06 * chin
    relief += 0.05 * lips
    return relief


def _measure_bridge(x: Array, y: Array, nose: Nose) -> Array:
    """Height of the nose: it rises and widens from between the eyes to the tip."""
    below_root = y + 0.18
    length = nose.tip + 0.18
    from_root = clamp(below_root / length)
    above_end = nose.tip + 0.07 - y
    to_tip = clamp(above_end / 0.09)
    along = from_root * to_tip
    widening = 0.6 * nose.half_width * along
    half_width = 0.05 + widening
    rise = 0.25 + 0.75 * along
    profile = nose.height * rise * along**0.7
    across = bump(x, width=half_width)
    bridge: Array = profile * across
    return bridge


def _find_blush(canvas: Canvas) -> Array:
    """How red the skin is [S, S]: on the cheeks and the nose."""
    x = np.abs(canvas.face_x)
    y = canvas.face_y
    cheeks = bump(x - 0.38, y - 0.28, width=0.17, height=0.15)
    nose = bump(x, y - 0.32, width=0.12, height=0.1)
    redness: Array = cheeks + 0.7 * nose
    return redness


def _paint_ear(
    canvas: Canvas,
    face: Face,
    shot: Shot,
    diffuse: Array,
    side: int,
) -> None:
    """Paint the ear at the left (-1) or right (1) side of the image, with its dark hollow."""
    middle = side * face.width * 0.97
    middle = middle - 0.12 * shot.yaw
    half_width = face.ears * 0.62
    half_height = face.ears * 1.35
    from_middle = canvas.x - middle
    across = from_middle / half_width
    below = canvas.y - 0.08
    down = below / half_height
    ellipse = np.hypot(across, down) - 1
    shade = 0.75 * diffuse + 0.1
    colour = shaded(face.skin, shade) * EAR
    ear = canvas.cover(ellipse * 0.12)
    canvas.paint(colour, ear)
    inner_ellipse = ellipse + 0.5
    hollow = canvas.cover(inner_ellipse * 0.12, softness=0.05)
    canvas.paint(face.skin * 0.35, 0.6 * hollow)
