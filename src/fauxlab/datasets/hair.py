"""The hair and the beard of a portrait."""

from __future__ import annotations

import numpy as np

from fauxlab.datasets.appearance import Array, Face, HairStyle, Shot
from fauxlab.datasets.canvas import Canvas, bump, clamp, shaded


def colour_hair(canvas: Canvas, face: Face, shot: Shot) -> Array:
    """The colour of the hair [S, S, 3]: strands, with a band of gloss on the lit side."""
    strands = _draw_strands(canvas, face)
    light_x, _, _ = shot.light
    to_light = light_x * canvas.x
    upwards = 0.45 - 0.8 * canvas.y
    lit = clamp(upwards + to_light)
    from_band = canvas.radius - 0.92
    band = bump(from_band, width=0.16)
    gloss = band * lit
    below = clamp(canvas.y)
    shade = 1 + 0.30 * strands
    shade = shade + 0.9 * gloss
    shade = shade - 0.25 * below
    shade = clamp(shade, 0.25, 3)
    reflection = 0.03 * gloss
    colour: Array = shaded(face.hair, shade)
    colour = colour + reflection[..., None]
    return colour


def _draw_strands(canvas: Canvas, face: Face) -> Array:
    """Light and dark [S, S] of the strands, about -1 to 1: they fan out from the parting."""
    if face.style == HairStyle.CURLY:
        curls: Array = 0.8 * canvas.noise(26, 26)
        return curls
    # Waves along the strands, and two widths of strands.
    phases = canvas.rng.uniform(0, 6.28, 3)
    bend, coarse, fine = phases.tolist()
    from_parting = canvas.face_x - face.parting * 0.5
    below_crown = 1.15 - canvas.face_y * 0.6
    angle = np.arctan2(from_parting, below_crown)
    wave = np.sin(5 * canvas.y + bend)
    irregular = canvas.noise(4, 7)
    angle += 0.04 * wave + 0.03 * irregular
    wide = np.sin(47 * angle + coarse)
    narrow = np.sin(83 * angle + fine)
    texture = canvas.noise(6, 44)
    strands: Array = 0.45 * wide
    strands = strands + 0.35 * narrow
    strands = strands + 0.3 * texture
    return strands


def paint_back_hair(canvas: Canvas, face: Face, hair: Array) -> None:
    """Paint the hair behind the head."""
    swell = 1.0
    if face.style == HairStyle.CURLY:
        swell = 1.9
    outline = 1 + face.volume * swell
    half_width = face.width * 1.06
    across = canvas.x / half_width
    down = canvas.y + 0.02
    radius = np.hypot(across, down)
    shape = radius - outline
    if face.style == HairStyle.LONG:
        fall = _measure_fall(canvas, face)
        shape = np.minimum(shape, fall)
    elif face.style == HairStyle.CURLY:
        curls = canvas.noise(18, 18)
        shape = shape + 0.035 * curls
        below_ends = canvas.y - 0.45
        shape = np.maximum(shape, below_ends)
    else:
        below_ends = canvas.y - 0.05
        shape = np.maximum(shape, below_ends)
    coverage = canvas.cover(shape, softness=0.03)
    canvas.paint(hair * 0.6, coverage)


def _measure_fall(canvas: Canvas, face: Face) -> Array:
    """Signed distance to the part of long hair that falls beside the neck."""
    relative_width = 1.05 + face.volume
    half_width = face.width * relative_width
    wave = np.sin(6 * canvas.y)
    x = np.abs(canvas.x)
    beside = x - half_width - 0.04 * wave
    below_ends = canvas.y - 1.15 - 2 * face.volume
    fall: Array = np.maximum(beside, -canvas.y)
    fall = np.maximum(fall, below_ends)
    return fall


def paint_front_hair(canvas: Canvas, face: Face, hair: Array) -> None:
    """Paint the hair above the hairline, and its shadow on the forehead."""
    hairline = _draw_hairline(canvas, face)
    below_line = canvas.face_y - hairline
    thickness = 0.6
    if face.style == HairStyle.CURLY:
        thickness = 1.4
    length = 0.12
    if face.style == HairStyle.LONG:
        length = 0.55
    half_width = face.width * 1.02
    across = canvas.x / half_width
    down = canvas.y + 0.01
    radius = np.hypot(across, down)
    shape = radius - 1.03 - face.volume * thickness
    shape = np.maximum(shape, below_line)
    below_ends = canvas.y - length
    shape = np.maximum(shape, below_ends)
    outline = canvas.radius - 1
    head = canvas.cover(outline * 0.8)
    forehead = clamp(below_line)
    shadow = bump(forehead, width=0.07)
    canvas.darken(0.35 * head * shadow)
    coverage = canvas.cover(shape, softness=0.03)
    canvas.paint(hair, coverage)


def _draw_hairline(canvas: Canvas, face: Face) -> Array:
    """Height at which the hair ends on the forehead [S, S], by the style."""
    x = np.abs(canvas.face_x)
    line: Array
    if face.style in (HairStyle.PARTING, HairStyle.LONG):
        from_parting = np.abs(canvas.face_x - face.parting)
        lowest = face.hairline - 0.12
        line = lowest + 0.75 * from_parting**1.6
    elif face.style == HairStyle.FRINGE:
        angle = 19 * canvas.face_x
        angle = angle + 2 * face.parting
        waves = np.sin(angle)
        temples = clamp(x - 0.45)
        lowest = face.hairline + 0.30
        line = lowest + 0.03 * waves
        line = line + 0.2 * temples
    else:
        line = face.hairline + 0.9 * x**3.2
        if face.style == HairStyle.CURLY:
            curls = canvas.noise(12, 12)
            line = line + 0.03 * curls
    return line


def paint_beard(canvas: Canvas, face: Face) -> None:
    """Paint beard and moustache, and leave the lips free."""
    half_width = face.mouth.half_width * 1.2
    across = canvas.face_x / half_width
    flattened = across**2
    below_mouth = canvas.face_y - face.mouth.y
    moustache = bump(
        flattened,
        below_mouth + 0.09,
        width=1,
        height=0.045,
    )
    lips = bump(
        flattened,
        below_mouth - 0.01,
        width=1,
        height=0.055,
    )
    beside_lips = 1 - lips
    around_lips = _find_jaw(canvas) * beside_lips
    where = np.maximum(around_lips, 0.9 * moustache)
    texture = canvas.noise(110, 90)
    grain = 0.85 + 0.10 * texture
    hairs = clamp(face.beard * where * grain)
    outline = canvas.radius - 1.01
    head = canvas.cover(outline * 0.8)
    canvas.paint(face.hair * 0.8, hairs * head)


def _find_jaw(canvas: Canvas) -> Array:
    """Where a beard grows [S, S], from 0 at its upper edge to 1."""
    x = np.abs(canvas.face_x)
    towards_middle = clamp(0.62 - x)
    upper_edge = 0.62 * towards_middle
    below_edge = canvas.face_y - 0.16 - upper_edge
    return clamp(below_edge / 0.14)
