"""Portraits: parametric faces, drawn from nothing.

A face (identity) and a shot (pose, light, framing) give a scene in linear light, which `camera`
makes a photo of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[Any]  # float32 wherever it is a picture

# sRGB 0-255 in the tables, linear light in [0,1] once drawn.
_SKIN = (
    (250, 220, 196),
    (238, 194, 162),
    (222, 170, 132),
    (196, 140, 102),
    (160, 108, 76),
    (122, 80, 56),
    (94, 62, 46),
)
_HAIR = (
    (24, 20, 20),
    (46, 32, 26),
    (78, 52, 36),
    (112, 74, 46),
    (142, 72, 38),
    (196, 156, 98),
    (222, 194, 140),
    (150,) * 3,
)
_IRIS = ((70, 44, 28), (94, 62, 36), (112, 96, 58), (84, 110, 84), (92, 124, 150), (110, 130, 142))
_BALD, _SHORT, _PARTING, _FRINGE, _LONG, _CURLY = range(6)


def _linear(colour: Any) -> Array:
    """Linear light in [0,1] of an sRGB colour in 0-255 (a plain 2.2 power is enough for drawings)."""
    return np.asarray((np.asarray(colour, np.float32) / 255) ** 2.2, np.float32)


@dataclass(frozen=True)
class Face:
    """Identity, the same in every photo of a person: lengths in half head heights, colours [3] in
    linear light.
    """

    skin: Array
    hair: Array
    iris: Array
    cloth_hue: float
    width: float
    jaw: float
    eyes: tuple[float, ...]  # x, y, half width, half opening, tilt
    brows: tuple[float, ...]  # height above the eye, arch, half thickness
    nose: tuple[float, ...]  # half width, y of the tip, height
    mouth: tuple[float, ...]  # y, half width, upper lip, lower lip, redness
    ears: float
    style: int
    hairline: float
    part: float
    volume: float
    beard: float
    glasses: float


@dataclass(frozen=True)
class Shot:
    """One photograph: framing (half image widths), pose (radians), expression, light (unit vector),
    camera.
    """

    centre: tuple[float, float]
    scale: float
    roll: float
    yaw: float
    pitch: float
    smile: float
    opening: float
    gaze: float
    light: tuple[float, float, float]
    ambient: float
    warmth: float
    backdrop: int
    texture_seed: int
    exposure: float
    blur: float  # of the lens, in pixels of a 64 px sensor
    noise: float
    aberration: float
    vignette: float
    contrast: float
    sharpen: float


def draw_face(rng: np.random.Generator) -> Face:
    """A random identity."""
    u = rng.uniform
    tone = float(u(0, len(_SKIN) - 1.001))
    low = int(tone)
    skin = _linear(_SKIN[low]) * (1 - tone + low) + _linear(_SKIN[low + 1]) * (tone - low)
    hair = _HAIR[int(rng.integers(0, 3 if tone > 3.5 else len(_HAIR)))]
    iris = _IRIS[int(rng.integers(0, 2 if tone > 3.5 else len(_IRIS)))]
    style = int(rng.choice(6, p=(0.06, 0.2, 0.22, 0.14, 0.24, 0.14)))
    bearded = style != _LONG and rng.random() < 0.35
    return Face(
        skin=np.asarray(skin * u(0.94, 1.06, 3), np.float32),
        hair=_linear(hair) * u(0.8, 1.3),
        iris=_linear(iris) * u(0.9, 1.3),
        cloth_hue=u(0, 1),
        width=u(0.69, 0.78),
        jaw=u(0.24, 0.42),
        eyes=(u(0.30, 0.36), u(-0.06, 0.02), u(0.15, 0.18), u(0.07, 0.1), u(-0.10, 0.14)),
        brows=(u(0.18, 0.24), u(0.005, 0.045), u(0.02, 0.042)),
        nose=(u(0.085, 0.125), u(0.32, 0.40), u(0.20, 0.30)),
        mouth=(u(0.58, 0.65), u(0.21, 0.28), u(0.035, 0.06), u(0.05, 0.085), u(0.3, 0.75)),
        ears=u(0.15, 0.2),
        style=style,
        hairline=u(-0.72, -0.56),
        part=u(-0.4, 0.4),
        volume=u(0.06, 0.16),
        beard=u(0.3, 0.85) if bearded else 0.0,
        glasses=u(0.5, 1) if rng.random() < 0.16 else 0.0,
    )


def draw_shot(rng: np.random.Generator) -> Shot:
    """Random circumstances of one photograph."""
    u = rng.uniform
    azimuth, height = u(-1.2, 1.2), u(0.1, 0.8)
    flat = float(np.cos(height))
    return Shot(
        centre=(u(-0.07, 0.07), u(-0.06, 0.06)),
        scale=u(0.66, 0.78),
        roll=u(-0.13, 0.13),
        yaw=u(-0.32, 0.32),
        pitch=u(-0.12, 0.14),
        smile=u(-0.2, 1.0),
        opening=max(0.0, u(-0.07, 0.075)),
        gaze=u(-0.03, 0.03),
        light=(
            float(np.sin(azimuth)) * flat,
            -float(np.sin(height)),
            float(np.cos(azimuth)) * flat,
        ),
        ambient=u(0.35, 0.6),
        warmth=u(-0.12, 0.12),
        backdrop=int(rng.integers(0, 3)),
        texture_seed=int(rng.integers(0, 2**31)),
        exposure=u(0.85, 1.15),
        blur=u(0.2, 0.5),
        noise=u(0.8, 1.3),
        aberration=u(-0.012, 0.012),
        vignette=u(0.05, 0.35),
        contrast=u(0.0, 0.5),
        sharpen=u(0.5, 0.9),
    )


# --- drawing: layers painted back to front in linear light


def _bump(x: Array, sx: float, y: Any = 0.0, sy: float = 1.0) -> Array:
    return np.asarray(np.exp(-((x / sx) ** 2) - (y / sy) ** 2))


def head_coordinates(shot: Shot, side: int) -> tuple[Array, Array]:
    """Head coordinates (x,y), each [side,side], of the image's pixels: x right, y down, the head's
    height is 2.
    """
    axis = (np.arange(side, dtype=np.float32) + 0.5) * (2 / side) - 1
    du, dv = np.meshgrid(axis - shot.centre[0], axis - shot.centre[1])
    cos, sin = float(np.cos(shot.roll)) / shot.scale, float(np.sin(shot.roll)) / shot.scale
    return cos * du + sin * dv, cos * dv - sin * du


class _Canvas:
    """The picture under way, `image` [S,S,3], and its coordinates, all [S,S]: (x,y) head, (fx,fy)
    the turned face.
    """

    def __init__(self, face: Face, shot: Shot, side: int) -> None:
        self.image = np.zeros((side, side, 3), np.float32)
        self.x, self.y = head_coordinates(shot, side)
        taper = 1 - face.jaw * np.clip(self.y, 0, 1.2) ** 2 - 0.05 * np.clip(-self.y, 0, 1.2) ** 2
        # 1 on the head's outline
        self.radius = np.sqrt((self.x / (face.width * taper)) ** 2 + self.y**2)
        self.depth = np.sqrt(np.clip(1 - self.radius**2, 0, 1))
        # what is nearer to the camera moves more when the head turns
        self.fx = self.x - shot.yaw * 0.55 * self.depth
        self.fy = self.y - shot.pitch * 0.55 * self.depth
        self.pixel = 2 / side / shot.scale  # in head units: the width of every anti-aliased edge
        self.rng = np.random.default_rng(shot.texture_seed)

    def over(self, colour: Any, alpha: Array) -> None:
        self.image += alpha[..., None] * (np.asarray(colour, np.float32) - self.image)

    def darken(self, amount: Array) -> None:
        self.image *= 1 - amount[..., None]

    def inside(self, distance: Array, softness: float = 0.0) -> Array:
        """Coverage in [0,1] of a signed distance (negative inside), in head units."""
        return np.clip(0.5 - distance / (self.pixel * 1.2 + softness), 0, 1)

    def noise(self, rows: int, columns: int) -> Array:
        """Smooth noise [S,S] of about unit variance with the given number of cells down and across."""
        side = self.image.shape[0]
        cells = self.rng.standard_normal((min(rows, side), min(columns, side)), np.float32)
        return np.asarray(Image.fromarray(cells).resize((side, side), Image.Resampling.BICUBIC))


def _hue(hue: float, saturation: float, value: float) -> Array:
    wheel = np.clip(np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return _linear(255 * value * (1 - saturation + saturation * wheel))


def _backdrop(c: _Canvas, shot: Shot) -> None:
    u = c.rng.uniform
    hue, value, angle = u(0, 1), u(0.35, 0.75), u(0, 2 * np.pi)
    first, second = (
        _hue(hue, u(0.1, 0.5), value),
        _hue(hue + u(-0.12, 0.12), 0.3, value * u(0.5, 1.1)),
    )
    slope = np.clip(0.5 + 0.28 * (float(np.cos(angle)) * c.x + float(np.sin(angle)) * c.y), 0, 1)
    c.image += first + slope[..., None] * (second - first)
    if shot.backdrop == 1:  # lights out of focus
        for _ in range(7):
            disc = c.inside(np.hypot(c.x - u(-1.4, 1.4), c.y - u(-1.4, 0.8)) - u(0.17, 0.5), 0.17)
            c.over(_hue(hue + u(-0.15, 0.15), 0.4, u(0.4, 0.95)), 0.5 * disc)
    if shot.backdrop == 2:  # a curtain or shelves
        c.image *= np.exp(0.22 * c.noise(2, int(c.rng.integers(7, 16))))[..., None]
    c.image *= np.exp(0.10 * c.noise(5, 5) + 0.05 * c.noise(40, 40))[..., None]


def _body(c: _Canvas, face: Face, shot: Shot) -> None:
    ax = np.abs(c.x)
    neck = np.abs(c.x + 0.1 * shot.yaw) - 0.54 * face.width - 0.10 * np.clip(c.y - 1.05, 0, 1) ** 2
    under_chin = 0.45 + 0.4 * np.clip((c.y - 0.95) / 0.45, 0, 1)
    side = 1 + 0.35 * shot.light[0] * np.clip(c.x / 0.5, -1, 1)
    c.over(face.skin * (under_chin * side)[..., None], c.inside(np.maximum(neck, 0.3 - c.y)))
    collar = 1.22 + 0.26 * np.clip(1 - ax / 0.42, 0, 1) + 0.16 * np.clip(ax - 0.45, 0, 2) ** 1.5
    cloth = _hue(face.cloth_hue, 0.45, c.rng.uniform(0.3, 0.85))
    folds = np.clip(1 + 0.12 * c.noise(4, 10) + 0.3 * shot.light[0] * c.x, 0.3, 2)
    c.over(cloth * folds[..., None], c.inside(collar - c.y))
    c.over(cloth * 0.45, 0.8 * c.inside(np.abs(collar - c.y) - 0.02))


def _strands(c: _Canvas, face: Face, shot: Shot) -> Array:
    """Hair colour [S,S,3]: strands fan out from the parting, with a band of gloss on the lit side."""
    if face.style == _CURLY:
        wave = 0.8 * c.noise(26, 26)
    else:
        one, two, three = c.rng.uniform(0, 6.28, 3).tolist()
        angle = np.arctan2(c.fx - face.part * 0.5, 1.15 - c.fy * 0.6)
        angle += 0.04 * np.sin(5 * c.y + one) + 0.03 * c.noise(4, 7)
        wave = (
            0.45 * np.sin(47 * angle + two)
            + 0.35 * np.sin(83 * angle + three)
            + 0.3 * c.noise(6, 44)
        )
    gloss = _bump(c.radius - 0.92, 0.16) * np.clip(0.45 - 0.8 * c.y + shot.light[0] * c.x, 0, 1)
    shade = np.clip(1 + 0.30 * wave + 0.9 * gloss - 0.25 * np.clip(c.y, 0, 1), 0.25, 3)
    return face.hair * shade[..., None] + (0.03 * gloss)[..., None]


def _back_hair(c: _Canvas, face: Face, hair: Array) -> None:
    swell = 1 + face.volume * (1.9 if face.style == _CURLY else 1.0)
    shape = np.hypot(c.x / (face.width * 1.06), c.y + 0.02) - swell
    if face.style == _LONG:  # falls behind the neck
        fall = np.abs(c.x) - face.width * (1.05 + face.volume) - 0.04 * np.sin(6 * c.y)
        shape = np.minimum(shape, np.maximum(np.maximum(fall, -c.y), c.y - 1.15 - 2 * face.volume))
    elif face.style == _CURLY:
        shape = np.maximum(shape + 0.035 * c.noise(18, 18), c.y - 0.45)
    else:
        shape = np.maximum(shape, c.y - 0.05)
    c.over(hair * 0.6, c.inside(shape, 0.03))


def _relief(c: _Canvas, face: Face) -> Array:
    """Height of the face's surface [S,S], in head units: what the light falls on."""
    ax, y = np.abs(c.fx), c.fy
    half, tip, rise = face.nose
    along = np.clip((y + 0.18) / (tip + 0.18), 0, 1) * np.clip((tip + 0.07 - y) / 0.09, 0, 1)
    bridge = (
        rise
        * (0.25 + 0.75 * along)
        * along**0.7
        * np.exp(-((ax / (0.05 + 0.6 * half * along)) ** 2))
    )
    wings = 0.06 * _bump(ax - half, 0.05, y - tip, 0.06)
    socket = -0.09 * _bump(ax - face.eyes[0], 0.2, y - face.eyes[1] + 0.03, 0.11)
    cheek = 0.07 * _bump(ax - 0.4, 0.2, y - 0.28, 0.17)
    chin = 0.06 * _bump(ax, 0.17, y - 0.86, 0.1)
    lips = 0.05 * _bump(ax, face.mouth[1], y - face.mouth[0], 0.08)
    return np.asarray(
        0.62 * np.sqrt(c.depth**2 + 0.02) + bridge + wings + socket + cheek + chin + lips
    )


def _skin(c: _Canvas, face: Face, shot: Shot) -> None:
    down, right = np.gradient(_relief(c, face), c.pixel)
    length = np.sqrt(1 + right**2 + down**2)
    lx, ly, lz = shot.light
    facing = lz - lx * right - ly * down
    # Blinn's halfway vector
    gloss = np.clip((facing + 1) / length / float(np.sqrt(2 + 2 * lz)), 0, 1) ** 24
    shade = shot.ambient + (1.25 - shot.ambient) * np.clip(facing / length, 0, 1)
    ax = np.abs(c.fx)
    blush = _bump(ax - 0.38, 0.17, c.fy - 0.28, 0.15) + 0.7 * _bump(ax, 0.12, c.fy - 0.32, 0.1)
    mottle = 1 + 0.035 * c.noise(9, 9) + 0.05 * c.noise(48, 48)
    colour = face.skin * (shade * mottle)[..., None]
    colour *= 1 + blush[..., None] * np.array([0.04, -0.12, -0.12], np.float32)
    colour += (0.10 * gloss)[..., None] * np.array([1.0, 0.95, 0.9], np.float32)
    for side in (-1, 1):
        ear_x = side * face.width * 0.97 - 0.12 * shot.yaw
        ear = np.hypot((c.x - ear_x) / (face.ears * 0.62), (c.y - 0.08) / (face.ears * 1.35)) - 1
        c.over(
            face.skin * (0.75 * shade + 0.1)[..., None] * np.array([1.05, 0.9, 0.9]),
            c.inside(ear * 0.12),
        )
        c.over(face.skin * 0.35, 0.6 * c.inside((ear + 0.5) * 0.12, 0.05))
    c.over(colour, c.inside((c.radius - 1) * 0.8))


def _eyes(c: _Canvas, face: Face, shot: Shot) -> None:
    ex, ey, half, opening, tilt = face.eyes
    opening = opening * (1 - 0.25 * max(0.0, shot.smile))
    ax, sign = np.abs(c.fx), np.sign(c.fx)
    p, y = np.clip((ax - ex) / half, -2, 2), c.fy - ey + tilt * (ax - ex)
    bow = np.clip(1 - p**2, -1, 1)
    upper, lower = -opening * bow * (1 - 0.2 * p), 0.62 * opening * bow
    c.darken(0.26 * _bump(p, 1.5, y + 0.05, 0.12))
    white = c.inside(np.maximum(upper - y, y - lower))
    c.over(np.array([0.66, 0.62, 0.6]) * (0.75 + 0.25 * shot.ambient), white)
    ring = np.hypot(ax - ex - sign * shot.gaze, y + 0.012)
    c.over(face.iris * 0.35, white * c.inside(ring - 0.078))
    c.over(
        face.iris * (0.7 + 5 * np.clip(ring, 0, 0.07))[..., None], white * c.inside(ring - 0.062)
    )
    c.over((0.008, 0.007, 0.007), white * c.inside(ring - 0.034))
    lash = c.inside(np.abs(y - upper + 0.006) - 0.013 - 0.01 * np.clip(p, 0, 1))
    c.over((0.02, 0.014, 0.012), 0.9 * lash * (np.abs(p) < 1.08))
    c.over(face.skin * 0.35, 0.45 * c.inside(np.abs(y - lower) - 0.006) * (np.abs(p) < 0.95))
    c.over(
        face.skin * 0.3,
        0.5 * c.inside(np.abs(y - upper + 0.045) - 0.006, 0.01) * (np.abs(p) < 0.95),
    )
    glint = np.hypot(c.fx - sign * ex - (0.03 if shot.light[0] > 0 else -0.03), y + 0.03)
    c.over((0.95, 0.95, 0.95), white * c.inside(glint - 0.016))
    height, arch, thick = face.brows
    q = (ax - ex - 0.01) / (half * 1.45)
    line = np.abs(y + height - 0.01 * shot.smile + arch * (1 - (q - 0.1) ** 2) - 0.01)
    brow = c.inside(line - thick * np.clip(1.15 - 0.55 * np.abs(q - 0.1) - 0.35 * q, 0, 1.4), 0.015)
    brow = brow * c.inside((np.abs(q) - 1) * half, 0.03) * (0.8 + 0.15 * c.noise(20, 60))
    c.over(face.hair * 0.55, np.clip(brow, 0, 0.95))


def _nose(c: _Canvas, face: Face) -> None:
    half, tip, _ = face.nose
    c.darken(0.32 * _bump(c.fx, 1.1 * half, c.fy - tip - 0.07, 0.04))
    nostril = np.hypot((np.abs(c.fx) - 0.62 * half) / 0.042, (c.fy - tip - 0.045) / 0.021) - 1
    c.over(face.skin * np.array([0.16, 0.1, 0.1]), 0.85 * c.inside(nostril * 0.025, 0.02))


def _mouth(c: _Canvas, face: Face, shot: Shot) -> None:
    middle, width, upper, lower, red = face.mouth
    smile = max(0.0, shot.smile)
    width = width * (1 + 0.14 * smile)
    p, y = c.fx / width, c.fy
    bow, within = np.clip(1 - p**2, -1, 1), np.abs(p) < 1
    line = middle + 0.025 * shot.smile - 0.07 * shot.smile * p**2
    gap = shot.opening * bow
    top = line - gap * 0.4 - upper * bow * (1 - 0.35 * _bump(p, 0.16) - 0.15 * p**2)
    bottom = line + gap + lower * np.clip(bow, 0, 1) ** 0.8
    lips = c.inside(np.maximum(np.maximum(top - y, y - bottom), (np.abs(p) - 1) * width), 0.012)
    tint = face.skin * (1 - red * np.array([0.18, 0.62, 0.55], np.float32)) * 0.8
    c.over(tint * (0.75 + 0.5 * np.clip((y - line) / lower, -0.4, 0.8))[..., None], 0.9 * lips)
    hole = c.inside(np.maximum(line - gap * 0.4 - y, y - line - gap)) * within
    c.over((0.05, 0.015, 0.015), hole * np.clip(gap / 0.01, 0, 1))
    teeth = (
        hole
        * c.inside(y - line - gap * 0.55)
        * np.clip(gap / 0.02, 0, 1)
        * np.clip(3 - 3 * np.abs(p), 0, 1)
    )
    c.over((0.62, 0.58, 0.53), teeth)
    c.over(
        face.skin * 0.13, 0.75 * c.inside(np.abs(y - line) - 0.008, 0.008) * within * (gap < 0.01)
    )
    fold = c.inside(
        np.abs(np.abs(c.fx) - 0.17 - 0.33 * np.clip(y - face.nose[1] + 0.05, 0, 1)) - 0.008, 0.05
    )
    c.over(face.skin * 0.5, 0.35 * smile * fold * c.inside(np.abs(y - 0.5) - 0.12, 0.1))
    c.darken(0.2 * _bump(c.fx, 0.16, y - middle - 0.145, 0.035))


def _beard(c: _Canvas, face: Face) -> None:
    middle, width = face.mouth[0], face.mouth[1] * 1.2
    jaw = np.clip((c.fy - 0.16 - 0.62 * np.clip(0.62 - np.abs(c.fx), 0, 1)) / 0.14, 0, 1)
    square = (c.fx / width) ** 2
    lip, mouth = (
        _bump(square, 1, c.fy - middle + 0.09, 0.045),
        _bump(square, 1, c.fy - middle - 0.01, 0.055),
    )
    grain = 0.85 + 0.10 * c.noise(110, 90)
    hairs = face.beard * np.maximum(jaw * (1 - mouth), 0.9 * lip) * grain
    c.over(face.hair * 0.8, np.clip(hairs, 0, 1) * c.inside((c.radius - 1.01) * 0.8))


def _front_hair(c: _Canvas, face: Face, hair: Array) -> None:
    curly, ax = face.style == _CURLY, np.abs(c.fx)
    if face.style in (_PARTING, _LONG):
        line = face.hairline - 0.12 + 0.75 * np.abs(c.fx - face.part) ** 1.6
    elif face.style == _FRINGE:
        line = (
            face.hairline
            + 0.30
            + 0.03 * np.sin(19 * c.fx + 2 * face.part)
            + 0.2 * np.clip(ax - 0.45, 0, 1)
        )
    else:
        line = face.hairline + 0.9 * ax**3.2 + (0.03 * c.noise(12, 12) if curly else 0.0)
    cap = (
        np.hypot(c.x / (face.width * 1.02), c.y + 0.01)
        - 1.03
        - face.volume * (1.4 if curly else 0.6)
    )
    shape = np.maximum(np.maximum(cap, c.fy - line), c.y - (0.55 if face.style == _LONG else 0.12))
    # its shadow
    c.darken(0.35 * c.inside((c.radius - 1) * 0.8) * _bump(np.clip(c.fy - line, 0, 1), 0.07))
    c.over(hair, c.inside(shape, 0.03))


def _glasses(c: _Canvas, face: Face) -> None:
    (ex, ey), ax = face.eyes[:2], np.abs(c.fx)
    rim = ((np.abs(ax - ex) / 0.235) ** 3 + (np.abs(c.fy - ey - 0.03) / 0.185) ** 3 + 1e-6) ** (
        1 / 3
    ) - 1
    c.over((0.85, 0.9, 0.95), 0.06 * c.inside(rim * 0.2))
    frame = np.minimum(
        np.abs(rim) * 0.2 - 0.018, np.maximum(np.abs(c.fy - ey + 0.02) - 0.015, ax - ex + 0.22)
    )
    temple = np.maximum(np.abs(c.fy - ey + 0.03) - 0.014, np.maximum(ex + 0.22 - ax, c.radius - 1))
    c.over(_linear((40, 34, 34)), face.glasses * c.inside(np.minimum(frame, temple)))


def draw_scene(face: Face, shot: Shot, size: int) -> Array:
    """The scene before any camera: linear light, float32 [S,S,3], S = size or, for small pictures,
    twice that.
    """
    c = _Canvas(face, shot, size if size >= 128 else 2 * size)
    _backdrop(c, shot)
    hair = _strands(c, face, shot)
    if face.style != _BALD:
        _back_hair(c, face, hair)
    _body(c, face, shot)
    _skin(c, face, shot)
    if face.beard:
        _beard(c, face)
    _nose(c, face)
    _mouth(c, face, shot)
    _eyes(c, face, shot)
    if face.style != _BALD:
        _front_hair(c, face, hair)
    if face.glasses:
        _glasses(c, face)
    return np.clip(c.image, 0, 2) * np.array([1 + shot.warmth, 1, 1 - shot.warmth], np.float32)
