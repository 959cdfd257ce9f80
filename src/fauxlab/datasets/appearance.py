"""What a portrait shows: the face of a person, and the circumstances of one photograph.

Lengths of a face are in half head heights: the head reaches from y = -1 to y = 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]  # float32 wherever it is a picture

# Colours in these tables are sRGB, 0 to 255. What is drawn is linear light in [0, 1].
SKIN_COLOURS = (
    (250, 220, 196),
    (238, 194, 162),
    (222, 170, 132),
    (196, 140, 102),
    (160, 108, 76),
    (122, 80, 56),
    (94, 62, 46),
)
# From dark to light; the last is grey.
HAIR_COLOURS = (
    (24, 20, 20),
    (46, 32, 26),
    (78, 52, 36),
    (112, 74, 46),
    (142, 72, 38),
    (196, 156, 98),
    (222, 194, 140),
    (150, 150, 150),
)
IRIS_COLOURS = (
    (70, 44, 28),
    (94, 62, 36),
    (112, 96, 58),
    (84, 110, 84),
    (92, 124, 150),
    (110, 130, 142),
)
# Above this place in SKIN_COLOURS only the first colours of hair and iris are drawn.
DARK_SKIN = 3.5
DARK_HAIR_COLOURS = 3
DARK_IRIS_COLOURS = 2

BEARD_SHARE = 0.35
GLASSES_SHARE = 0.16


class HairStyle(IntEnum):
    """How the hair is worn."""

    BALD = 0
    SHORT = 1
    PARTING = 2
    FRINGE = 3
    LONG = 4
    CURLY = 5


STYLE_SHARES = {
    HairStyle.BALD: 0.06,
    HairStyle.SHORT: 0.2,
    HairStyle.PARTING: 0.22,
    HairStyle.FRINGE: 0.14,
    HairStyle.LONG: 0.24,
    HairStyle.CURLY: 0.14,
}


@dataclass(frozen=True)
class Eyes:
    """Position and shape of the right-hand eye; the other one is its mirror image."""

    x: float
    y: float
    half_width: float
    opening: float  # from the middle line to the upper lid
    tilt: float


@dataclass(frozen=True)
class Brows:
    """Shape of the eyebrows."""

    height: float  # above the eye
    arch: float
    thickness: float  # half of it


@dataclass(frozen=True)
class Nose:
    """Shape of the nose."""

    half_width: float
    tip: float  # its y
    height: float  # out of the face


@dataclass(frozen=True)
class Mouth:
    """Position, shape and colour of the mouth."""

    y: float
    half_width: float
    upper_lip: float
    lower_lip: float
    redness: float


@dataclass(frozen=True)
class Face:
    """An identity, the same in every photo of a person; colours [3] are linear light."""

    skin: Array
    hair: Array
    iris: Array
    cloth_hue: float
    width: float
    jaw: float  # how much the face narrows towards the chin
    eyes: Eyes
    brows: Brows
    nose: Nose
    mouth: Mouth
    ears: float
    style: HairStyle
    hairline: float  # its y in the middle of the forehead
    parting: float  # its x
    volume: float  # of the hair
    beard: float  # opacity, 0 without a beard
    glasses: float  # opacity of the frame, 0 without glasses


@dataclass(frozen=True)
class Shot:
    """One photograph: framing, pose, expression, light and camera.

    Positions are in half image widths, angles in radians; `light` is a unit vector.
    """

    centre: tuple[float, float]
    scale: float
    roll: float
    yaw: float
    pitch: float
    smile: float
    mouth_opening: float
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
    sharpening: float


def to_linear(colour: Any) -> Array:
    """Linear light in [0, 1] of an sRGB colour in 0 to 255.

    A plain power of 2.2 is close enough for drawings.
    """
    fraction = np.asarray(colour, np.float32) / 255
    return np.asarray(fraction**2.2, np.float32)


def draw_face(rng: np.random.Generator) -> Face:
    """Draw a random identity."""
    uniform = rng.uniform
    tone = float(uniform(0, len(SKIN_COLOURS) - 1.001))
    dark = tone > DARK_SKIN
    hair_colours = DARK_HAIR_COLOURS if dark else len(HAIR_COLOURS)
    iris_colours = DARK_IRIS_COLOURS if dark else len(IRIS_COLOURS)
    hair = HAIR_COLOURS[int(rng.integers(0, hair_colours))]
    iris = IRIS_COLOURS[int(rng.integers(0, iris_colours))]
    shares = tuple(STYLE_SHARES.values())
    style = HairStyle(int(rng.choice(6, p=shares)))
    bearded = style != HairStyle.LONG and rng.random() < BEARD_SHARE
    # The order of the draws decides which face a seed gives: keep it.
    return Face(
        skin=np.asarray(_mix_skin(tone) * uniform(0.94, 1.06, 3), np.float32),
        hair=to_linear(hair) * uniform(0.8, 1.3),
        iris=to_linear(iris) * uniform(0.9, 1.3),
        cloth_hue=uniform(0, 1),
        width=uniform(0.69, 0.78),
        jaw=uniform(0.24, 0.42),
        eyes=_draw_eyes(rng),
        brows=_draw_brows(rng),
        nose=_draw_nose(rng),
        mouth=_draw_mouth(rng),
        ears=uniform(0.15, 0.2),
        style=style,
        hairline=uniform(-0.72, -0.56),
        parting=uniform(-0.4, 0.4),
        volume=uniform(0.06, 0.16),
        beard=uniform(0.3, 0.85) if bearded else 0.0,
        glasses=uniform(0.5, 1) if rng.random() < GLASSES_SHARE else 0.0,
    )


def _mix_skin(tone: float) -> Array:
    """The colour between two neighbours of SKIN_COLOURS, float32 [3]."""
    lower = int(tone)
    lower_share = 1 - tone + lower
    upper_share = tone - lower
    light = to_linear(SKIN_COLOURS[lower])
    dark = to_linear(SKIN_COLOURS[lower + 1])
    mixed: Array = light * lower_share + dark * upper_share
    return mixed


def _draw_eyes(rng: np.random.Generator) -> Eyes:
    uniform = rng.uniform
    return Eyes(
        x=uniform(0.30, 0.36),
        y=uniform(-0.06, 0.02),
        half_width=uniform(0.15, 0.18),
        opening=uniform(0.07, 0.1),
        tilt=uniform(-0.10, 0.14),
    )


def _draw_brows(rng: np.random.Generator) -> Brows:
    uniform = rng.uniform
    return Brows(
        height=uniform(0.18, 0.24),
        arch=uniform(0.005, 0.045),
        thickness=uniform(0.02, 0.042),
    )


def _draw_nose(rng: np.random.Generator) -> Nose:
    uniform = rng.uniform
    return Nose(
        half_width=uniform(0.085, 0.125),
        tip=uniform(0.32, 0.40),
        height=uniform(0.20, 0.30),
    )


def _draw_mouth(rng: np.random.Generator) -> Mouth:
    uniform = rng.uniform
    return Mouth(
        y=uniform(0.58, 0.65),
        half_width=uniform(0.21, 0.28),
        upper_lip=uniform(0.035, 0.06),
        lower_lip=uniform(0.05, 0.085),
        redness=uniform(0.3, 0.75),
    )


def draw_shot(rng: np.random.Generator) -> Shot:
    """Draw the random circumstances of one photograph."""
    uniform = rng.uniform
    # The order of the draws decides which photo a seed gives: keep it.
    azimuth = uniform(-1.2, 1.2)
    elevation = uniform(0.1, 0.8)
    return Shot(
        centre=(uniform(-0.07, 0.07), uniform(-0.06, 0.06)),
        scale=uniform(0.66, 0.78),
        roll=uniform(-0.13, 0.13),
        yaw=uniform(-0.32, 0.32),
        pitch=uniform(-0.12, 0.14),
        smile=uniform(-0.2, 1.0),
        mouth_opening=max(0.0, uniform(-0.07, 0.075)),
        gaze=uniform(-0.03, 0.03),
        light=_light_from(azimuth, elevation),
        ambient=uniform(0.35, 0.6),
        warmth=uniform(-0.12, 0.12),
        backdrop=int(rng.integers(0, 3)),
        texture_seed=int(rng.integers(0, 2**31)),
        exposure=uniform(0.85, 1.15),
        blur=uniform(0.2, 0.5),
        noise=uniform(0.8, 1.3),
        aberration=uniform(-0.012, 0.012),
        vignette=uniform(0.05, 0.35),
        contrast=uniform(0.0, 0.5),
        sharpening=uniform(0.5, 0.9),
    )


def _light_from(azimuth: float, elevation: float) -> tuple[float, float, float]:
    """The unit vector towards the light: x to the right, y down, z towards the camera."""
    horizontal = float(np.cos(elevation))
    x = float(np.sin(azimuth)) * horizontal
    y = -float(np.sin(elevation))
    z = float(np.cos(azimuth)) * horizontal
    return x, y, z
