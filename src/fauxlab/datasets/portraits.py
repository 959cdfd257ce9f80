"""Portraits: parametric faces in front of a backdrop, painted back to front in linear light.

`draw_scene` turns a face and a shot into the light that reaches a camera; `camera` makes a photo
of it.
"""

from __future__ import annotations

import numpy as np

from fauxlab.datasets.appearance import Array, Face, HairStyle, Shot
from fauxlab.datasets.canvas import Canvas, clamp, from_hue, shaded
from fauxlab.datasets.eyes import paint_eyes, paint_glasses
from fauxlab.datasets.hair import colour_hair, paint_back_hair, paint_beard, paint_front_hair
from fauxlab.datasets.mouth import paint_mouth, paint_nose
from fauxlab.datasets.skin import paint_skin

# Kinds of backdrop, besides a plain wall.
LIGHTS = 1
CURTAIN = 2


def draw_scene(face: Face, shot: Shot, size: int) -> Array:
    """The scene before any camera: linear light, float32 [S, S, 3].

    S is `size`, or twice that below 128 pixels, so that small pictures keep their fine lines.
    """
    side = size
    if size < 128:
        side = 2 * size
    canvas = Canvas(face, shot, side)
    has_hair = face.style != HairStyle.BALD
    _paint_backdrop(canvas, shot)
    # Drawn for bald heads as well, so that the layers above always get the same random numbers.
    hair = colour_hair(canvas, face, shot)
    if has_hair:
        paint_back_hair(canvas, face, hair)
    _paint_neck(canvas, face, shot)
    _paint_clothes(canvas, face, shot)
    paint_skin(canvas, face, shot)
    if face.beard:
        paint_beard(canvas, face)
    paint_nose(canvas, face)
    paint_mouth(canvas, face, shot)
    paint_eyes(canvas, face, shot)
    if has_hair:
        paint_front_hair(canvas, face, hair)
    if face.glasses:
        paint_glasses(canvas, face)
    # Warm light has more red and less blue.
    red = 1 + shot.warmth
    blue = 1 - shot.warmth
    tint = np.array([red, 1, blue], np.float32)
    light = clamp(canvas.image, 0, 2)
    scene: Array = light * tint
    return scene


def _paint_backdrop(canvas: Canvas, shot: Shot) -> None:
    """Paint a wall whose colour changes slowly, in some shots with lights or a curtain."""
    uniform = canvas.rng.uniform
    hue = uniform(0, 1)
    value = uniform(0.35, 0.75)
    angle = uniform(0, 2 * np.pi)
    saturation = uniform(0.1, 0.5)
    first = from_hue(hue, saturation, value)
    second_hue = hue + uniform(-0.12, 0.12)
    second_value = value * uniform(0.5, 1.1)
    second = from_hue(second_hue, 0.3, second_value)
    cos = float(np.cos(angle))
    sin = float(np.sin(angle))
    along = cos * canvas.x + sin * canvas.y
    slope = clamp(0.5 + 0.28 * along)
    difference = second - first
    change = shaded(difference, slope)
    canvas.image += first + change
    if shot.backdrop == LIGHTS:
        for _ in range(7):
            _paint_light(canvas, hue)
    if shot.backdrop == CURTAIN:
        count = int(canvas.rng.integers(7, 16))
        folds = canvas.noise(2, count)
        canvas.brighten(0.22 * folds)
    coarse = canvas.noise(5, 5)
    fine = canvas.noise(40, 40)
    mottle = 0.10 * coarse + 0.05 * fine
    canvas.brighten(mottle)


def _paint_light(canvas: Canvas, hue: float) -> None:
    """Paint a light out of focus: a soft disc."""
    uniform = canvas.rng.uniform
    right = canvas.x - uniform(-1.4, 1.4)
    down = canvas.y - uniform(-1.4, 0.8)
    radius = uniform(0.17, 0.5)
    outside = np.hypot(right, down) - radius
    disc = canvas.cover(outside, softness=0.17)
    own_hue = hue + uniform(-0.15, 0.15)
    value = uniform(0.4, 0.95)
    colour = from_hue(own_hue, 0.4, value)
    canvas.paint(colour, 0.5 * disc)


def _paint_neck(canvas: Canvas, face: Face, shot: Shot) -> None:
    """Paint the neck, in the shadow of the chin."""
    half_width = 0.54 * face.width
    below_neck = clamp(canvas.y - 1.05)
    to_shoulders = 0.10 * below_neck**2
    from_middle = np.abs(canvas.x + 0.1 * shot.yaw)
    beside = from_middle - half_width - to_shoulders
    above = 0.3 - canvas.y
    outside = np.maximum(beside, above)
    shape = canvas.cover(outside)
    below_chin = canvas.y - 0.95
    from_chin = clamp(below_chin / 0.45)
    light_x, _, _ = shot.light
    to_side = clamp(canvas.x / 0.5, -1, 1)
    contrast = 0.35 * light_x
    lit_side = 1 + contrast * to_side
    shadow = 0.45 + 0.4 * from_chin
    colour = shaded(face.skin, shadow * lit_side)
    canvas.paint(colour, shape)


def _paint_clothes(canvas: Canvas, face: Face, shot: Shot) -> None:
    """Paint clothes with folds, and the dark edge of their collar."""
    x = np.abs(canvas.x)
    neckline = clamp(1 - x / 0.42)
    outwards = clamp(x - 0.45, 0, 2)
    shoulders = outwards**1.5
    collar = 1.22 + 0.26 * neckline
    collar = collar + 0.16 * shoulders
    above = collar - canvas.y
    value = canvas.rng.uniform(0.3, 0.85)
    cloth = from_hue(face.cloth_hue, 0.45, value)
    folds = canvas.noise(4, 10)
    light_x, _, _ = shot.light
    to_light = 0.3 * light_x * canvas.x
    shade = 1 + 0.12 * folds + to_light
    shade = clamp(shade, 0.3, 2)
    colour = shaded(cloth, shade)
    shape = canvas.cover(above)
    canvas.paint(colour, shape)
    from_edge = np.abs(above)
    edge = canvas.cover(from_edge - 0.02)
    canvas.paint(cloth * 0.45, 0.8 * edge)
