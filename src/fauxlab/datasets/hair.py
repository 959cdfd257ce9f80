"""The hair and the beard of a portrait."""

from __future__ import annotations

import numpy as np

from fauxlab.datasets.appearance import Array, Face, HairStyle, Shot
from fauxlab.datasets.canvas import Canvas, bump, clamp, shaded


def colour_hair(canvas: Canvas, face: Face, shot: Shot) -> Array:
    """The colour of the hair [S, S, 3]: strands, with a band of gloss on the lit side."""
    strands = _strands(canvas, face)
    lit = clamp(0.45 - 0.8 * canvas.y + shot.light[0] * canvas.x)
    gloss = bump(canvas.radius - 0.92, 0.16) * lit
    darker_below = 0.25 * clamp(canvas.y)
    shade = clamp(1 + 0.30 * strands + 0.9 * gloss - darker_below, 0.25, 3)
    colour: Array = shaded(face.hair, shade) + (0.03 * gloss)[..., None]
    return colour


def _strands(canvas: Canvas, face: Face) -> Array:
    """Light and dark [S, S] of the strands, about -1 to 1: they fan out from the parting."""
    if face.style == HairStyle.CURLY:
        curls: Array = 0.8 * canvas.noise(26, 26)
        return curls
    # Waves of three kinds: along a strand, and of two widths across the strands.
    bend, coarse, fine = canvas.rng.uniform(0, 6.28, 3).tolist()
    from_parting = canvas.face_x - face.parting * 0.5
    angle = np.arctan2(from_parting, 1.15 - canvas.face_y * 0.6)
    angle += 0.04 * np.sin(5 * canvas.y + bend) + 0.03 * canvas.noise(4, 7)
    wide = 0.45 * np.sin(47 * angle + coarse)
    narrow = 0.35 * np.sin(83 * angle + fine)
    strands: Array = wide + narrow + 0.3 * canvas.noise(6, 44)
    return strands


def paint_back_hair(canvas: Canvas, face: Face, hair: Array) -> None:
    """Paint the hair behind the head."""
    swell = 1.9 if face.style == HairStyle.CURLY else 1.0
    outline = 1 + face.volume * swell
    shape = np.hypot(canvas.x / (face.width * 1.06), canvas.y + 0.02) - outline
    if face.style == HairStyle.LONG:
        shape = np.minimum(shape, _fall_behind_neck(canvas, face))
    elif face.style == HairStyle.CURLY:
        curls = shape + 0.035 * canvas.noise(18, 18)
        shape = np.maximum(curls, canvas.y - 0.45)
    else:
        shape = np.maximum(shape, canvas.y - 0.05)
    canvas.paint(hair * 0.6, canvas.cover(shape, 0.03))


def _fall_behind_neck(canvas: Canvas, face: Face) -> Array:
    """Signed distance to the part of long hair that falls beside the neck."""
    half_width = face.width * (1.05 + face.volume)
    wave = 0.04 * np.sin(6 * canvas.y)
    beside = np.abs(canvas.x) - half_width - wave
    above = np.maximum(beside, -canvas.y)
    fall: Array = np.maximum(above, canvas.y - 1.15 - 2 * face.volume)
    return fall


def paint_front_hair(canvas: Canvas, face: Face, hair: Array) -> None:
    """Paint the hair above the hairline, and its shadow on the forehead."""
    below_line = canvas.face_y - _hairline(canvas, face)
    height = 1.4 if face.style == HairStyle.CURLY else 0.6
    radius = np.hypot(canvas.x / (face.width * 1.02), canvas.y + 0.01)
    cap = radius - 1.03 - face.volume * height
    length = 0.55 if face.style == HairStyle.LONG else 0.12
    shape = np.maximum(np.maximum(cap, below_line), canvas.y - length)
    head = canvas.cover((canvas.radius - 1) * 0.8)
    canvas.darken(0.35 * head * bump(clamp(below_line), 0.07))
    canvas.paint(hair, canvas.cover(shape, 0.03))


def _hairline(canvas: Canvas, face: Face) -> Array:
    """Height at which the hair ends on the forehead [S, S], by the style."""
    x = np.abs(canvas.face_x)
    line: Array
    if face.style in (HairStyle.PARTING, HairStyle.LONG):
        from_parting = np.abs(canvas.face_x - face.parting)
        line = face.hairline - 0.12 + 0.75 * from_parting**1.6
    elif face.style == HairStyle.FRINGE:
        waves = 0.03 * np.sin(19 * canvas.face_x + 2 * face.parting)
        temples = 0.2 * clamp(x - 0.45)
        line = face.hairline + 0.30 + waves + temples
    elif face.style == HairStyle.CURLY:
        line = face.hairline + 0.9 * x**3.2 + 0.03 * canvas.noise(12, 12)
    else:
        line = face.hairline + 0.9 * x**3.2
    return line


def paint_beard(canvas: Canvas, face: Face) -> None:
    """Paint beard and moustache, and leave the lips free."""
    half_width = face.mouth.half_width * 1.2
    below_mouth = canvas.face_y - face.mouth.y
    flatness = (canvas.face_x / half_width) ** 2
    jaw = _jaw(canvas)
    moustache = bump(flatness, 1, below_mouth + 0.09, 0.045)
    lips = bump(flatness, 1, below_mouth - 0.01, 0.055)
    grain = 0.85 + 0.10 * canvas.noise(110, 90)
    hairs = face.beard * np.maximum(jaw * (1 - lips), 0.9 * moustache) * grain
    head = canvas.cover((canvas.radius - 1.01) * 0.8)
    canvas.paint(face.hair * 0.8, clamp(hairs) * head)


def _jaw(canvas: Canvas) -> Array:
    """Where a beard grows [S, S], from 0 at its upper edge to 1."""
    towards_middle = clamp(0.62 - np.abs(canvas.face_x))
    return clamp((canvas.face_y - 0.16 - 0.62 * towards_middle) / 0.14)
