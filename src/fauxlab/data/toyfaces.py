"""Toyfaces: a procedural data set in DeepFakeFace's layout, drawn with numpy and Pillow, so that a lab can be tried without downloading anyone's face.

Real pictures are parametric faces seen through a simulated camera (lens, sensor, colour filter array, tone curve). The three kinds of fake disturb
exactly what such a camera leaves behind, as their namesakes do in DeepFakeFace (Song et al. 2023): a redrawn region, a swapped face, a whole synthesis.
A fake differs from a real picture in its local statistics, not in its mean: a linear model on pixels is of little use, a small CNN does well.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fauxlab.records import LabError

Array = NDArray[np.float32]
VERSION = 1
FOLDERS = ("wiki", "inpainting", "insight", "text2img")
MARKER = "toyfaces.json"
JPEG = {"quality": 95, "subsampling": 0}  # one encoder for all four folders: the container must tell nothing
_PARTNERS = 24  # an insight fake takes its scene from one of this many photos before it, so that a shorter set is a prefix of a longer one

# Colours are sRGB 0-255 in the tables and linear light in [0,1] once drawn.
_SKIN = ((250, 220, 196), (238, 194, 162), (222, 170, 132), (196, 140, 102), (160, 108, 76), (122, 80, 56), (94, 62, 46))
_HAIR = ((24, 20, 20), (46, 32, 26), (78, 52, 36), (112, 74, 46), (142, 72, 38), (196, 156, 98), (222, 194, 140), (150, 148, 146))
_IRIS = ((70, 44, 28), (94, 62, 36), (112, 96, 58), (84, 110, 84), (92, 124, 150), (110, 130, 142))


def _linear(colour: Any) -> Array:
    """Linear light in [0,1] of an sRGB colour in 0-255 (a plain 2.2 power is enough for drawings)."""
    return np.asarray((np.asarray(colour, np.float32) / 255.0) ** 2.2, np.float32)


@dataclass(frozen=True)
class Face:
    """Identity: what stays the same in every photo of a person. Lengths in units of half the head's height; colours in linear light, [3]."""

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
    style: int  # 0 bald, 1 short, 2 side parting, 3 fringe, 4 long, 5 curly
    hairline: float
    part: float
    volume: float
    beard: float
    glasses: float


@dataclass(frozen=True)
class Shot:
    """One photograph: framing, pose, expression, light, and the camera. Angles in radians, positions in half image widths, blur in pixels of a 64 px sensor."""

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
    blur: float
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
    hair = _linear(_HAIR[int(rng.integers(0, 3 if tone > 3.5 else len(_HAIR)))]) * u(0.8, 1.3)
    iris = _linear(_IRIS[int(rng.integers(0, 2 if tone > 3.5 else len(_IRIS)))]) * u(0.9, 1.3)
    style = int(rng.choice(6, p=(0.06, 0.2, 0.22, 0.14, 0.24, 0.14)))
    bearded = style != 4 and rng.random() < 0.35
    return Face(
        skin=np.asarray(skin * u(0.94, 1.06, 3), np.float32),
        hair=np.asarray(hair, np.float32),
        iris=np.asarray(iris, np.float32),
        cloth_hue=u(0, 1),
        width=u(0.69, 0.78),
        jaw=u(0.24, 0.42),
        eyes=(u(0.30, 0.36), u(-0.06, 0.02), u(0.15, 0.18), u(0.066, 0.098), u(-0.10, 0.16)),
        brows=(u(0.17, 0.23), u(0.005, 0.045), u(0.02, 0.042)),
        nose=(u(0.085, 0.125), u(0.32, 0.40), u(0.20, 0.30)),
        mouth=(u(0.58, 0.65), u(0.21, 0.28), u(0.035, 0.06), u(0.05, 0.085), u(0.2, 0.7)),
        ears=u(0.15, 0.2),
        style=style,
        hairline=u(-0.72, -0.56),
        part=u(-0.4, 0.4),
        volume=u(0.06, 0.16),
        beard=u(0.25, 0.85) if bearded else 0.0,
        glasses=u(0.5, 1) if rng.random() < 0.16 else 0.0,
    )


def draw_shot(rng: np.random.Generator) -> Shot:
    """Random circumstances of one photograph."""
    u = rng.uniform
    azimuth, height = u(-1.2, 1.2), u(0.1, 0.8)
    light = (float(np.sin(azimuth) * np.cos(height)), float(-np.sin(height)), float(np.cos(azimuth) * np.cos(height)))
    return Shot(
        centre=(u(-0.07, 0.07), u(-0.06, 0.06)),
        scale=u(0.66, 0.78),
        roll=u(-0.13, 0.13),
        yaw=u(-0.32, 0.32),
        pitch=u(-0.12, 0.14),
        smile=u(-0.2, 1.0),
        opening=max(0.0, u(-0.07, 0.075)),
        gaze=u(-0.03, 0.03),
        light=light,
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
        sharpen=u(0.2, 0.7),
    )


# ---------------------------------------------------------------------------------------------------------------------------------- drawing


@dataclass
class _Canvas:
    """The picture under way, [S,S,3] linear light, and its coordinates: (u,v) image, (x,y) head, (fx,fy) the head's turned surface; all [S,S]."""

    image: Array
    u: Array
    v: Array
    x: Array
    y: Array
    fx: Array
    fy: Array
    radius: Array  # 1 on the head's outline
    depth: Array  # 0 on the outline, 1 in the middle
    pixel: float  # a pixel's side in head units: the width of every anti-aliased edge
    rng: np.random.Generator

    def over(self, colour: Any, alpha: Array) -> None:
        self.image += alpha[..., None] * (np.asarray(colour, np.float32) - self.image)

    def inside(self, distance: Array, softness: float = 0.0) -> Array:
        """Coverage in [0,1] of a signed distance (negative inside), in head units."""
        return np.clip(0.5 - distance / np.float32(self.pixel * 1.2 + softness), 0, 1)

    def noise(self, rows: int, columns: int) -> Array:
        """Smooth noise [S,S] of about unit variance with the given number of cells down and across."""
        side = self.u.shape[0]
        cells = self.rng.standard_normal((min(rows, side), min(columns, side)), np.float32)
        return np.asarray(Image.fromarray(cells).resize((side, side), Image.Resampling.BICUBIC), np.float32)


def _canvas(face: Face, shot: Shot, side: int) -> _Canvas:
    axis = ((np.arange(side, dtype=np.float32) + 0.5) * np.float32(2 / side)) - 1
    u, v = np.meshgrid(axis, axis)
    cos, sin = np.float32(np.cos(shot.roll) / shot.scale), np.float32(np.sin(shot.roll) / shot.scale)
    du, dv = u - np.float32(shot.centre[0]), v - np.float32(shot.centre[1])
    x, y = cos * du + sin * dv, cos * dv - sin * du
    taper = 1 - face.jaw * np.clip(y, 0, 1.2) ** 2 - 0.05 * np.clip(-y, 0, 1.2) ** 2
    radius = np.sqrt((x / (face.width * taper)) ** 2 + y**2)
    depth = np.sqrt(np.clip(1 - radius**2, 0, 1))
    fx, fy = x - np.float32(shot.yaw * 0.55) * depth, y - np.float32(shot.pitch * 0.55) * depth
    image = np.zeros((side, side, 3), np.float32)
    return _Canvas(image, u, v, x, y, fx, fy, radius, depth, 2 / side / shot.scale, np.random.default_rng(shot.texture_seed))


def _hue(hue: float, saturation: float, value: float) -> Array:
    wheel = np.clip(np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return _linear(255 * value * (1 - saturation + saturation * wheel))


def _backdrop(c: _Canvas, shot: Shot) -> None:
    hue, value = c.rng.uniform(0, 1), c.rng.uniform(0.35, 0.75)
    first, second = _hue(hue, c.rng.uniform(0.1, 0.5), value), _hue(hue + c.rng.uniform(-0.12, 0.12), 0.3, value * c.rng.uniform(0.5, 1.1))
    angle = c.rng.uniform(0, 2 * np.pi)
    slope = np.clip(0.5 + 0.4 * (np.float32(np.cos(angle)) * c.u + np.float32(np.sin(angle)) * c.v), 0, 1)
    c.image += first + slope[..., None] * (second - first)
    if shot.backdrop == 1:  # lights out of focus
        for _ in range(7):
            du, dv, size = c.rng.uniform(-1, 1), c.rng.uniform(-1, 0.6), c.rng.uniform(0.12, 0.35)
            disc = c.inside(np.hypot(c.u - np.float32(du), c.v - np.float32(dv)) - np.float32(size), 0.12)
            c.over(_hue(hue + c.rng.uniform(-0.15, 0.15), 0.4, c.rng.uniform(0.4, 0.95)), 0.5 * disc)
    if shot.backdrop == 2:  # a curtain or shelves
        c.image *= np.exp(0.22 * c.noise(2, int(c.rng.integers(7, 16))))[..., None]
    c.image *= np.exp(0.10 * c.noise(5, 5) + 0.05 * c.noise(40, 40))[..., None]


def _body(c: _Canvas, face: Face, shot: Shot) -> None:
    neck = np.abs(c.x + np.float32(0.1 * shot.yaw)) - np.float32(0.54 * face.width) - 0.10 * np.clip(c.y - 1.05, 0, 1) ** 2
    under_chin = 0.45 + 0.4 * np.clip((c.y - 0.95) / 0.45, 0, 1)
    side = 1 + 0.35 * np.float32(shot.light[0]) * np.clip(c.x / 0.5, -1, 1)
    c.over(face.skin * (under_chin * side)[..., None], c.inside(np.maximum(neck, 0.3 - c.y)))
    collar = np.float32(1.30) - 0.26 * np.clip(1 - np.abs(c.x) / 0.42, 0, 1) * -1 + 0.16 * np.clip(np.abs(c.x) - 0.45, 0, 2) ** 1.5
    cloth = _hue(face.cloth_hue, 0.45, c.rng.uniform(0.3, 0.85))
    folds = np.clip(1 + 0.12 * c.noise(4, 10) + 0.3 * np.float32(shot.light[0]) * c.x, 0.3, 2)
    c.over(cloth * folds[..., None], c.inside(collar - c.y))
    c.over(cloth * 0.45, 0.8 * c.inside(np.abs(collar - c.y) - 0.02))


def _strands(c: _Canvas, face: Face, shot: Shot) -> Array:
    """Hair colour [S,S,3]: strands fan out from the parting, with a band of gloss on the lit side."""
    angle = np.arctan2(c.fx - np.float32(face.part * 0.5), np.float32(1.15) - c.fy * 0.6)
    phase = c.rng.uniform(0, 6.28, 3)
    if face.style == 5:
        wave = 0.8 * c.noise(26, 26)
    else:
        bend = angle + 0.04 * np.sin(5 * c.y + np.float32(phase[0]))
        bend = bend + 0.03 * c.noise(4, 7)
        wave = 0.45 * np.sin(47 * bend + np.float32(phase[1])) + 0.35 * np.sin(83 * bend + np.float32(phase[2])) + 0.3 * c.noise(6, 44)
    top = np.exp(-(((c.radius - 0.92) / 0.16) ** 2)) * np.clip(0.45 - 0.8 * c.y + np.float32(shot.light[0]) * c.x, 0, 1)
    shade = np.clip(1 + 0.30 * wave + 0.9 * top - 0.25 * np.clip(c.y, 0, 1), 0.25, 3)
    return np.asarray(face.hair * shade[..., None] + (0.03 * top)[..., None], np.float32)


def _back_hair(c: _Canvas, face: Face, hair: Array) -> None:
    if face.style == 0:
        return
    swell = 1 + face.volume * (1.9 if face.style == 5 else 1.0)
    shape = np.hypot(c.x / np.float32(face.width * 1.06), c.y + 0.02) - np.float32(swell)
    if face.style == 4:  # long hair falls behind the neck
        fall = np.maximum(np.abs(c.x) - np.float32(face.width * (1.05 + face.volume)) - 0.04 * np.sin(6 * c.y), -c.y)
        shape = np.minimum(shape, np.maximum(fall, c.y - np.float32(1.15 + 2 * face.volume)))
    elif face.style != 5:
        shape = np.maximum(shape, c.y - 0.05)
    if face.style == 5:
        shape = np.maximum(shape + 0.035 * c.noise(18, 18), c.y - 0.45)
    c.over(hair * 0.6, c.inside(shape, 0.03))


def _relief(c: _Canvas, face: Face) -> Array:
    """Height of the face's surface [S,S], in head units: what the light falls on."""
    ax = np.abs(c.fx)
    half, tip, rise = face.nose
    along = np.clip((c.fy + 0.18) / (tip + 0.18), 0, 1) * np.clip((tip + 0.07 - c.fy) / 0.09, 0, 1)
    bridge = rise * (0.25 + 0.75 * along) * along**0.7 * np.exp(-((c.fx / (0.05 + 0.6 * half * along)) ** 2))
    wings = 0.06 * np.exp(-(((ax - half) / 0.05) ** 2) - ((c.fy - tip) / 0.06) ** 2)
    socket = -0.09 * np.exp(-(((ax - face.eyes[0]) / 0.2) ** 2) - ((c.fy - face.eyes[1] + 0.03) / 0.11) ** 2)
    cheek = 0.07 * np.exp(-(((ax - 0.4) / 0.2) ** 2) - ((c.fy - 0.28) / 0.17) ** 2)
    chin = 0.06 * np.exp(-((c.fx / 0.17) ** 2) - ((c.fy - 0.86) / 0.1) ** 2)
    lips = 0.05 * np.exp(-((c.fx / face.mouth[1]) ** 2) - ((c.fy - face.mouth[0]) / 0.08) ** 2)
    return np.asarray(0.62 * np.sqrt(c.depth**2 + 0.02) + bridge + wings + socket + cheek + chin + lips, np.float32)


def _skin(c: _Canvas, face: Face, shot: Shot) -> None:
    down, right = np.gradient(_relief(c, face), np.float32(c.pixel))
    length = np.sqrt(1 + right**2 + down**2)
    lx, ly, lz = (np.float32(k) for k in shot.light)
    lambert = np.clip((lz - lx * right - ly * down) / length, 0, 1)
    gloss = np.clip((lz + 1 - lx * right - ly * down) / length / np.float32(np.sqrt(2 + 2 * lz)), 0, 1) ** 24
    shade = shot.ambient + (1.25 - shot.ambient) * lambert
    ax = np.abs(c.fx)
    blush = np.exp(-(((ax - 0.38) / 0.17) ** 2) - ((c.fy - 0.28) / 0.15) ** 2) + 0.7 * np.exp(-((c.fx / 0.12) ** 2) - ((c.fy - 0.32) / 0.1) ** 2)
    mottle = 1 + 0.035 * c.noise(9, 9) + 0.03 * c.noise(36, 36)
    colour = face.skin * (shade * mottle)[..., None]
    colour *= 1 + blush[..., None] * np.array([0.04, -0.12, -0.12], np.float32)
    colour += (0.10 * gloss)[..., None] * np.array([1.0, 0.95, 0.9], np.float32)
    for side in (-1, 1):
        ex = np.float32(side * face.width * 0.97 - 0.12 * shot.yaw)
        ear = np.hypot((c.x - ex) / np.float32(face.ears * 0.62), (c.y - 0.08) / np.float32(face.ears * 1.35)) - 1
        c.over(face.skin * (0.75 * shade + 0.1)[..., None] * np.array([1.05, 0.9, 0.9]), c.inside(ear * 0.12))
        c.over(face.skin * 0.35, 0.6 * c.inside((ear + 0.5) * 0.12, 0.05))
    c.over(colour, c.inside((c.radius - 1) * 0.8))


def _eyes(c: _Canvas, face: Face, shot: Shot) -> None:
    ex, ey, half, opening, tilt = face.eyes
    opening = opening * (1 - 0.25 * max(0.0, shot.smile))
    ax, sign = np.abs(c.fx), np.sign(c.fx)
    p = np.clip((ax - ex) / half, -2, 2)
    y = c.fy - ey + tilt * (ax - ex)
    bow = np.clip(1 - p**2, -1, 1)
    upper, lower = -opening * bow * (1 - 0.2 * p), 0.62 * opening * bow
    socket = np.exp(-((p / 1.5) ** 2) - ((y + 0.05) / 0.12) ** 2)
    c.image *= 1 - 0.28 * socket[..., None] * np.array([0.85, 1, 1], np.float32)
    white = c.inside(np.maximum(upper - y, y - lower))
    c.over(np.array([0.66, 0.62, 0.6]) * (0.75 + 0.25 * shot.ambient), white)
    ring = np.hypot(ax - ex - sign * np.float32(shot.gaze), y + 0.012)
    c.over(face.iris * 0.35, white * c.inside(ring - 0.078))
    c.over(face.iris * (0.7 + 5 * np.clip(ring, 0, 0.07))[..., None], white * c.inside(ring - 0.062))
    c.over((0.008, 0.007, 0.007), white * c.inside(ring - 0.034))
    lash = c.inside(np.abs(y - upper + 0.006) - 0.013 - 0.01 * np.clip(p, 0, 1)) * (np.abs(p) < 1.08)
    c.over((0.02, 0.014, 0.012), 0.9 * lash)
    c.over(face.skin * 0.35, 0.45 * c.inside(np.abs(y - lower) - 0.006) * (np.abs(p) < 0.95))
    c.over(face.skin * 0.3, 0.5 * c.inside(np.abs(y - upper + 0.045) - 0.006, 0.01) * (np.abs(p) < 0.95))
    c.over((0.95, 0.95, 0.95), white * c.inside(np.hypot(c.fx - sign * ex - 0.03 * np.sign(shot.light[0]), y + 0.03) - 0.016))
    height, arch, thick = face.brows
    q = (ax - ex - 0.01) / (half * 1.45)
    centre = y + height - 0.01 * shot.smile + arch * (1 - (q - 0.1) ** 2) - 0.01
    brow = c.inside(np.abs(centre) - thick * np.clip(1.15 - 0.55 * np.abs(q - 0.1) - 0.35 * q, 0, 1.4), 0.015) * c.inside((np.abs(q) - 1) * half, 0.03)
    c.over(face.hair * 0.55, np.clip(brow * (0.8 + 0.15 * c.noise(20, 60)), 0, 0.95))


def _nose_mouth(c: _Canvas, face: Face, shot: Shot) -> None:
    half, tip, _ = face.nose
    ax = np.abs(c.fx)
    nostril = np.hypot((ax - 0.62 * half) / 0.042, (c.fy - tip - 0.045) / 0.021) - 1
    c.image *= 1 - 0.32 * (np.exp(-((c.fx / (1.1 * half)) ** 2) - ((c.fy - tip - 0.07) / 0.04) ** 2))[..., None]
    c.over(face.skin * np.array([0.16, 0.1, 0.1]), 0.85 * c.inside(nostril * 0.025, 0.02))
    my, width, upper, lower, red = face.mouth
    width = width * (1 + 0.14 * max(0.0, shot.smile))
    p = c.fx / width
    bow = np.clip(1 - p**2, -1, 1)
    line = my + 0.025 * shot.smile - 0.07 * shot.smile * p**2
    gap = np.float32(shot.opening) * bow
    top = line - gap * 0.4 - upper * bow * (1 - 0.35 * np.exp(-((p / 0.16) ** 2)) - 0.15 * p**2)
    bottom = line + gap + lower * np.clip(bow, 0, 1) ** 0.8
    lips = c.inside(np.maximum(np.maximum(top - c.fy, c.fy - bottom), (np.abs(p) - 1) * width), 0.012)
    tint = face.skin * (1 - red * np.array([0.18, 0.62, 0.55], np.float32)) * 0.8
    shade = 0.75 + 0.5 * np.clip((c.fy - line) / lower, -0.4, 0.8)
    c.over(tint * shade[..., None], 0.9 * lips)
    mouth = c.inside(np.maximum(line - gap * 0.4 - c.fy, c.fy - line - gap)) * (np.abs(p) < 1)
    c.over((0.05, 0.015, 0.015), mouth * np.clip(gap / 0.01, 0, 1))
    c.over((0.62, 0.58, 0.53), mouth * c.inside(c.fy - line - gap * 0.55) * np.clip(gap / 0.02, 0, 1) * np.clip(3 - 3 * np.abs(p), 0, 1))
    c.over(face.skin * np.array([0.2, 0.1, 0.1]), 0.75 * c.inside(np.abs(c.fy - line) - 0.008, 0.008) * (np.abs(p) < 1.03) * (gap < 0.01))
    fold = np.abs(ax - 0.17 - 0.33 * np.clip(c.fy - tip + 0.05, 0, 1)) - 0.008
    c.over(face.skin * 0.5, 0.35 * max(0.0, shot.smile) * c.inside(fold, 0.05) * c.inside(np.abs(c.fy - 0.5) - 0.12, 0.1))
    c.image *= 1 - 0.2 * (np.exp(-((c.fx / 0.16) ** 2) - ((c.fy - my - 0.145) / 0.035) ** 2))[..., None]


def _beard(c: _Canvas, face: Face, shot: Shot) -> None:
    my, width = face.mouth[0], face.mouth[1] * 1.2
    jaw = np.clip((c.fy - 0.16 - 0.62 * np.clip(0.62 - np.abs(c.fx), 0, 1)) / 0.14, 0, 1)
    lip = np.exp(-((c.fx / width) ** 4) - ((c.fy - my + 0.09) / 0.045) ** 2)
    mouth = 1 - np.exp(-((c.fx / width) ** 4) - ((c.fy - my - 0.01) / 0.055) ** 2)
    grain = np.clip(0.8 + 0.25 * c.noise(64, 64), 0, 1.2)
    c.over(face.hair * 0.8, np.clip(face.beard * np.maximum(jaw * mouth, 0.9 * lip) * grain * c.inside((c.radius - 1.01) * 0.8), 0, 1))


def _front_hair(c: _Canvas, face: Face, hair: Array) -> None:
    if face.style == 0:
        return
    x = c.fx - np.float32(face.part)
    if face.style in (2, 4):  # swept from a parting
        line = face.hairline - 0.12 + 0.75 * np.abs(x) ** 1.6
    elif face.style == 3:
        line = face.hairline + 0.30 + 0.03 * np.sin(19 * c.fx + 2 * face.part) + 0.2 * np.clip(np.abs(c.fx) - 0.45, 0, 1)
    else:
        line = face.hairline + 0.9 * np.abs(c.fx) ** 3.2 + (0.03 * c.noise(12, 12) if face.style == 5 else 0.0)
    swell = 1.03 + face.volume * (1.4 if face.style == 5 else 0.6)
    cap = np.hypot(c.x / np.float32(face.width * 1.02), c.y + 0.01) - np.float32(swell)
    shape = np.maximum(cap, c.fy - line)
    shape = np.maximum(shape, c.y - (0.55 if face.style == 4 else 0.12))
    inner = c.inside((c.radius - 1) * 0.8)
    c.image *= 1 - 0.35 * (inner * np.exp(-((np.clip(c.fy - line, 0, 1) / 0.07) ** 2)))[..., None]  # the hair's shadow on the brow
    c.over(hair, c.inside(shape, 0.03))


def _glasses(c: _Canvas, face: Face) -> None:
    ex, ey = face.eyes[:2]
    ax = np.abs(c.fx)
    rim = ((np.abs(ax - ex) / 0.235) ** 3 + (np.abs(c.fy - ey - 0.03) / 0.185) ** 3 + 1e-6) ** (1 / 3) - 1
    c.over((0.85, 0.9, 0.95), 0.10 * c.inside(rim * 0.2))
    frame = np.minimum(np.abs(rim) * 0.2 - 0.018, np.maximum(np.abs(c.fy - ey + 0.02) - 0.015, ax - ex + 0.22))
    frame = np.minimum(frame, np.maximum(np.abs(c.fy - ey + 0.03) - 0.014, np.maximum(ex + 0.22 - ax, c.radius - 1)))
    c.over(_linear((40, 34, 34)), face.glasses * c.inside(frame))


def draw_scene(face: Face, shot: Shot, size: int) -> Array:
    """The scene before any camera: linear light, float32 [S,S,3], S = size or, for small pictures, twice that."""
    c = _canvas(face, shot, size if size >= 128 else 2 * size)
    _backdrop(c, shot)
    hair = _strands(c, face, shot)
    _back_hair(c, face, hair)
    _body(c, face, shot)
    _skin(c, face, shot)
    if face.beard:
        _beard(c, face, shot)
    _nose_mouth(c, face, shot)
    _eyes(c, face, shot)
    _front_hair(c, face, hair)
    if face.glasses:
        _glasses(c, face)
    warm = np.array([1 + shot.warmth, 1, 1 - shot.warmth], np.float32)
    return np.clip(c.image, 0, 2) * warm


# ---------------------------------------------------------------------------------------------------------------------------------- camera


def _blur(image: Array, sigma: float) -> Array:
    """Three-tap Gaussian down and across, with repeated edges; sigma in pixels, up to about 0.8."""
    side = 0.5 * min(sigma**2, 0.66)
    p = np.pad(image, ((1, 1), (0, 0), (0, 0)), mode="edge")
    image = side * (p[:-2] + p[2:]) + (1 - 2 * side) * p[1:-1]
    p = np.pad(image, ((0, 0), (1, 1), (0, 0)), mode="edge")
    return np.asarray(side * (p[:, :-2] + p[:, 2:]) + (1 - 2 * side) * p[:, 1:-1], np.float32)


def _demosaic(plane: Array) -> Array:
    """Bilinear reading [H,W,3] of one RGGB sensor plane [H,W]: neighbouring pixels of a photograph share their noise, green least."""
    height, width = plane.shape
    samples = np.zeros((height, width, 3), np.float32)
    samples[0::2, 0::2, 0] = plane[0::2, 0::2]
    samples[0::2, 1::2, 1] = plane[0::2, 1::2]
    samples[1::2, 0::2, 1] = plane[1::2, 0::2]
    samples[1::2, 1::2, 2] = plane[1::2, 1::2]
    p = np.pad(samples, ((1, 1), (1, 1), (0, 0)), mode="reflect")
    cross = p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:]
    corner = p[:-2, :-2] + p[:-2, 2:] + p[2:, :-2] + p[2:, 2:]
    corner[..., 1] = 0
    cross[..., (0, 2)] *= 2
    return np.asarray((4 * samples + cross + corner) / 4, np.float32)


def _tone(light: Array, shot: Shot) -> Array:
    """Display values in [0,1] of linear light: gamma and an S-curve."""
    display = np.clip(light, 0, 1) ** np.float32(1 / 2.2)
    return np.asarray(display + shot.contrast * display * (1 - display) * (display - 0.5), np.float32)


def expose(scene: Array, shot: Shot, size: int) -> Array:
    """The light on the sensor, float32 [size,size,3]: lens blur, chromatic aberration, vignetting, exposure."""
    factor = scene.shape[0] // size
    if factor > 1:
        scene = scene.reshape(size, factor, size, factor, 3).mean(axis=(1, 3))
    light = _blur(scene, shot.blur * size / 64)
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    u, v = axis[None, :, None], axis[:, None, None]
    for channel, sign in ((0, 1), (2, -1)):
        down, right = np.gradient(light[..., channel], 2 / size)
        light[..., channel] += sign * shot.aberration * (u[..., 0] * right + v[..., 0] * down)
    level = 0.24 * shot.exposure / max(float(light.mean()), 0.02)  # automatic exposure
    return np.asarray(light * np.float32(level**0.7) * (1 - shot.vignette * 0.5 * (u**2 + v**2)), np.float32)


def develop(light: Array, shot: Shot, rng: np.random.Generator) -> Array:
    """A photograph, display values in [0,1], float32 [size,size,3]: shot and read noise on a colour filter array, tone curve, sharpening."""
    size = light.shape[0]
    grain = shot.noise * np.sqrt(size / 64)
    noise = _demosaic(rng.standard_normal((size, size), np.float32))
    light = light + np.float32(grain) * np.sqrt(0.0013 * np.clip(light, 0, 1) + 0.00002) * noise
    display = _tone(light, shot)
    return np.clip(display + shot.sharpen * (display - _blur(display, 0.8)), 0, 1)


# ---------------------------------------------------------------------------------------------------------------------------------- the set


@dataclass(frozen=True)
class Photo:
    """One relative name of the set: photo `shot` of person `person`; `scene` is the number of the photo whose scene the insight fake takes."""

    number: int
    person: int
    scene: int
    name: str


def plan(n: int, seed: int = 0) -> list[Photo]:
    """The first n photos. A person has one to three of them; person ids stay below 10**7, birth years in 1930-1999."""
    photos: list[Photo] = []
    person = 0
    first = 0  # number of photos of the first person, who has nobody before them to lend a scene
    while len(photos) < n:
        rng = np.random.default_rng((seed, 0, person))
        count = int(rng.integers(1, 4))
        first = first or count
        identity = int(rng.integers(1000, 100_000)) * 97 + person  # distinct below 97 * 10**3 persons apart
        birth = f"{rng.integers(1930, 2000)}-{rng.integers(1, 13):02d}-{rng.integers(1, 29):02d}"
        years = int(birth[:4]) + rng.choice(np.arange(18, 60), count, replace=False)
        start = len(photos)
        for shot in range(count):
            low = max(0, start - _PARTNERS)
            scene = int(rng.integers(low, start)) if start else first
            photos.append(Photo(start + shot, person, scene, f"{identity % 100:02d}/{identity}_{birth}_{years[shot]}.jpg"))
        person += 1
    return photos[:n]


@lru_cache(maxsize=2 * _PARTNERS)
def _real(seed: int, person: int, number: int, size: int) -> tuple[Face, Shot, Array]:
    """The real photo of that number, display values in [0,1] before rounding, with what it was drawn from."""
    face = draw_face(np.random.default_rng((seed, 1, person)))
    rng = np.random.default_rng((seed, 2, number))
    shot = draw_shot(rng)
    return face, shot, develop(expose(draw_scene(face, shot, size), shot, size), shot, rng)


def _oval(shot: Shot, size: int, middle: tuple[float, float], radii: tuple[float, float], softness: float) -> Array:
    """Soft mask [size,size] in [0,1] of an ellipse on the face, in head units, following the head's pose."""
    x, y = _head(shot, size)
    distance = np.hypot((x - middle[0] - 0.45 * shot.yaw) / radii[0], (y - middle[1] - 0.45 * shot.pitch) / radii[1]) - 1
    return np.asarray(np.clip(0.5 - distance / softness, 0, 1), np.float32)


def _head(shot: Shot, size: int) -> tuple[Array, Array]:
    axis = (np.arange(size, dtype=np.float32) + 0.5) * np.float32(2 / size) - 1
    du, dv = np.meshgrid(axis - np.float32(shot.centre[0]), axis - np.float32(shot.centre[1]))
    cos, sin = np.float32(np.cos(shot.roll) / shot.scale), np.float32(np.sin(shot.roll) / shot.scale)
    return cos * du + sin * dv, cos * dv - sin * du


def decode(image: Array, rng: np.random.Generator, strength: float = 1.0) -> Array:
    """What a latent decoder makes of a picture [H,W,3] in [0,1]: detail through a half-size bottleneck, upsampling traces, noise of its own.

    The trace's sign is random, so that its mean over pictures is zero (Odena et al. 2016 on checkerboards; Frank et al. 2020 on their spectrum).
    """
    size = image.shape[0]
    small = image.reshape(size // 2, 2, size // 2, 2, 3).mean(axis=(1, 3))
    up = _blur(small.repeat(2, 0).repeat(2, 1), 0.8)
    image = up + np.float32(rng.uniform(0.25, 0.55)) * (image - up)
    image = image + np.float32(rng.uniform(0.6, 1.2)) * (image - _blur(image, 0.8))
    row, column = np.where(np.indices((size, size)) % 2, -1, 1).astype(np.float32)
    a, b, c = rng.choice((-1, 1), 3) * rng.uniform(0.4, 1.0, 3) * 0.025 * strength
    trace = a * row + b * column + c * row * column
    grey = rng.standard_normal((size, size, 1), np.float32) * np.float32(rng.uniform(0.004, 0.012))
    return np.clip(image + trace[..., None] * (0.4 + image) + grey, 0, 1)


_PARTS = {  # middle and radii of the redrawn ellipse, in head units
    "eyes": ((0.0, -0.08), (0.66, 0.30)),
    "mouth": ((0.0, 0.60), (0.46, 0.26)),
    "lower": ((0.0, 0.52), (0.60, 0.46)),
    "inner": ((0.0, 0.20), (0.66, 0.72)),
}


def _inpainting(seed: int, photo: Photo, size: int) -> Array:
    face, shot, real = _real(seed, photo.person, photo.number, size)
    rng = np.random.default_rng((seed, 3, photo.number))
    other = draw_face(rng)
    part = str(rng.choice(tuple(_PARTS), p=(0.25, 0.0, 0.25, 0.5)))
    changed = replace(face, mouth=other.mouth, nose=other.nose)
    if part in ("eyes", "inner"):
        changed = replace(changed, eyes=other.eyes, brows=other.brows, iris=other.iris)
    posed = replace(shot, smile=rng.uniform(-0.2, 1.0), opening=max(0.0, rng.uniform(-0.07, 0.075)))
    redrawn = decode(_tone(expose(draw_scene(changed, posed, size), shot, size), shot), rng)
    mask = _oval(shot, size, *_PARTS[part], softness=0.3)[..., None]
    return real + mask * (redrawn - real)


def _insight(seed: int, photo: Photo, scene: Photo, size: int) -> Array:
    _, lent, face = _real(seed, photo.person, photo.number, size)
    _, shot, target = _real(seed, scene.person, scene.number, size)
    rng = np.random.default_rng((seed, 4, photo.number))
    scale = lent.scale / shot.scale * rng.uniform(0.95, 1.05)
    turn = lent.roll - shot.roll + rng.uniform(-0.03, 0.03)
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    # Image coordinates of the lent photo as an affine function of the target's, so that the two faces' middles meet.
    here, there = _middle(shot, size), _middle(lent, size)
    small = int(size * rng.uniform(0.32, 0.45))
    k = size / small
    matrix = (k * cos, -k * sin, there[0] - cos * here[0] + sin * here[1], k * sin, k * cos, there[1] - sin * here[0] - cos * here[1])
    planes = []
    for channel in range(3):
        plane = Image.fromarray(np.ascontiguousarray(face[..., channel]))
        plane = plane.transform((small, small), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
        planes.append(np.asarray(plane.resize((size, size), Image.Resampling.BICUBIC), np.float32))
    swapped = np.stack(planes, axis=-1)
    mask = _oval(shot, size, (0.0, 0.20), (0.60, 0.64), softness=0.25)[..., None]
    weight = mask / mask.sum()
    mean, goal = (swapped * weight).sum((0, 1)), (target * weight).sum((0, 1))
    spread = np.sqrt((((target - goal) ** 2) * weight).sum((0, 1)) / (((swapped - mean) ** 2 * weight).sum((0, 1)) + 1e-6))
    moved = (swapped - mean) * np.clip(spread, 0.6, 1.6) + goal
    return np.clip(target + mask * (moved - target), 0, 1).astype(np.float32)


def _middle(shot: Shot, size: int) -> tuple[float, float]:
    """Pixel position of the middle of the face."""
    x, y = 0.45 * shot.yaw, 0.2 + 0.45 * shot.pitch
    cos, sin = np.cos(shot.roll) * shot.scale, np.sin(shot.roll) * shot.scale
    u, v = shot.centre[0] + cos * x - sin * y, shot.centre[1] + sin * x + cos * y
    return float((u + 1) * size / 2), float((v + 1) * size / 2)


def _text2img(seed: int, photo: Photo, size: int) -> Array:
    person = draw_face(np.random.default_rng((seed, 1, photo.person)))
    rng = np.random.default_rng((seed, 5, photo.number))
    face = replace(draw_face(rng), skin=person.skin, hair=person.hair, iris=person.iris)  # the prompt names the person: colours agree, features do not
    shot = draw_shot(rng)
    return decode(_tone(expose(draw_scene(face, shot, size), shot, size), shot), rng)


def draw(generator: str, photos: list[Photo], number: int, size: int = 128, seed: int = 0) -> NDArray[np.uint8]:
    """Picture `number` of a plan in one of FOLDERS, uint8 [size,size,3] RGB."""
    photo = photos[number]
    if generator == "wiki":
        image = _real(seed, photo.person, number, size)[2]
    elif generator == "inpainting":
        image = _inpainting(seed, photo, size)
    elif generator == "insight":
        image = _insight(seed, photo, photos[photo.scene], size)
    else:
        image = _text2img(seed, photo, size)
    return np.asarray(np.rint(image * 255), np.uint8)


def write_toyfaces(out: Path, n: int = 400, size: int = 128, seed: int = 0) -> Path:
    """Draws n pictures into each of out/wiki, out/inpainting, out/insight and out/text2img, under the same relative names, and returns out.

    out/insight_pairs.csv says whose scene each insight fake took. A complete set with the same parameters is left alone, a half-written one is drawn
    again; LabError when out holds anything else, or for impossible parameters (size: a multiple of 4 from 32; n: at least 4).
    """
    if size < 32 or size % 4 or n < 4:
        raise LabError(f"toyfaces: size must be a multiple of 4 and at least 32, n at least 4; got size={size}, n={n}")
    out = Path(out)
    wanted = {"n": n, "size": size, "seed": seed, "version": VERSION}
    if _state(out, wanted):
        return out
    out.mkdir(parents=True, exist_ok=True)
    started = out / (MARKER + ".part")
    started.write_text(json.dumps(wanted) + "\n")
    for folder in FOLDERS:
        shutil.rmtree(out / folder, ignore_errors=True)
    photos = plan(n, seed)
    for photo in photos:
        for folder in FOLDERS:
            path = out / folder / photo.name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw(folder, photos, photo.number, size, seed)).save(path, "JPEG", **JPEG)
    with (out / "insight_pairs.csv").open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("file_name", "scene"))
        rows.writerows((photo.name, photos[photo.scene].name) for photo in photos)
    os.replace(started, out / MARKER)  # last: its presence says that the set is complete
    return out


def _state(out: Path, wanted: dict[str, int]) -> bool:
    """True when out is a complete set with these parameters, False when it may be drawn; LabError when it holds anything else."""
    if not out.exists():
        return False
    if (out / MARKER).is_file():
        found = json.loads((out / MARKER).read_text())
        if found == wanted:
            return True
        raise LabError(f"toyfaces: {out} holds another set, {found}, not {wanted}; give another folder or delete this one")
    known = {*FOLDERS, MARKER + ".part", "insight_pairs.csv"}
    names = {entry.name for entry in out.iterdir()} if out.is_dir() else {"a file"}
    if names and (names - known or MARKER + ".part" not in names):
        raise LabError(f"toyfaces: {out} is not empty and was not drawn by fauxlab ({sorted(names)[0]}); give a new or empty folder")
    return False
