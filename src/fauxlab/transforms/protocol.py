"""The protocol of degradations: what happens to pictures in the wild, each kind at its levels.

Recompression, resizing, blur, noise, crops and screenshots; tones, film, denoising and sharpening;
what phones and their apps do.
All take decoded pictures uint8 [3, H, W] at the model's size and give the same size back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.errors import LabError
from fauxlab.transforms.film import denoise, film, median, scan, sharpen
from fauxlab.transforms.filters import (
    blur,
    brightness,
    crop,
    jpeg,
    noise,
    resize,
    screenshot,
    webp,
)
from fauxlab.transforms.phone import beauty, night, phone, screen, upscale
from fauxlab.transforms.tones import (
    auto_contrast,
    cross_process,
    duotone,
    fade,
    gamma,
    saturation,
    sepia,
    stage_light,
    tint,
    white_balance,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Degradation:
    """One kind of degradation in the protocol.

    `stands_for` says what happens to a picture in the wild. `levels` are those of the protocol,
    `unit` is how a level is written, `limits` are the lowest and highest level that `apply` takes.
    """

    stands_for: str
    levels: tuple[float, ...]
    unit: str
    limits: tuple[float, float]
    apply: Callable[[Pixels, float], Pixels]


def degrade(pixels: Pixels, kind: str, level: float) -> Pixels:
    """A picture uint8 [3, H, W] after one of `DEGRADATIONS`, at a level in its unit; same shape.

    A pure function of its arguments: noise is seeded by the pixels. Encoders need sides of at least
    16 pixels. Raises LabError on an unknown kind and on a level outside the kind's limits.
    """
    _check_kinds([kind])
    degradation = DEGRADATIONS[kind]
    low, high = degradation.limits
    is_allowed = low <= level <= high
    if not is_allowed:
        raise LabError(f"degradation {kind}: level {level:g}; give one from {low:g} to {high:g}")
    return degradation.apply(pixels, level)


def list_degradations(kinds: Sequence[str] | None = None) -> list[tuple[str, float]]:
    """The protocol's (kind, level) pairs of the named kinds, of all by default, in its order.

    Raises LabError on an unknown kind.
    """
    _check_kinds(kinds or [])
    pairs = []
    for kind, degradation in DEGRADATIONS.items():
        if not kinds or kind in kinds:
            for level in degradation.levels:
                pairs.append((kind, level))
    return pairs


def name_degradation(kind: str, level: float) -> str:
    """As people write it: jpeg q75, resize ×0.5."""
    unit = DEGRADATIONS[kind].unit
    return f"{kind} {unit}{level:g}"


# From weak to strong where a kind has one direction; resize and brightness go both ways from ×1.
DEGRADATIONS: dict[str, Degradation] = {
    "jpeg": Degradation(
        stands_for="upload to a site or messenger",
        levels=(95, 85, 75, 65, 50, 40, 30),
        unit="q",
        limits=(1, 100),
        apply=jpeg,
    ),
    "webp": Degradation(
        stands_for="delivery by a site that re-encodes",
        levels=(90, 75, 50, 30),
        unit="q",
        limits=(1, 100),
        apply=webp,
    ),
    "resize": Degradation(
        stands_for="thumbnails and enlargements",
        levels=(2, 1.5, 0.75, 0.5, 0.25),
        unit="×",
        limits=(0.01, 8),
        apply=resize,
    ),
    "blur": Degradation(
        stands_for="a lens out of focus, a smoothing filter",
        levels=(0.5, 1, 2),
        unit="σ",
        limits=(0, 20),
        apply=blur,
    ),
    "noise": Degradation(
        stands_for="a sensor in the dark, added grain",
        levels=(2, 5, 10),
        unit="σ",
        limits=(0, 255),
        apply=noise,
    ),
    "crop": Degradation(
        stands_for="another framing",
        levels=(0.95, 0.9, 0.8),
        unit="×",
        limits=(0.05, 1),
        apply=crop,
    ),
    "screenshot": Degradation(
        stands_for="a screenshot sent on: rescaled, compressed twice",
        levels=(1,),
        unit="×",
        limits=(0, 10),
        apply=screenshot,
    ),
    "brightness": Degradation(
        stands_for="another exposure, an editor's slider",
        levels=(0.7, 1.3),
        unit="×",
        limits=(0, 10),
        apply=brightness,
    ),
    "sepia": Degradation(
        stands_for="an app's sepia filter, an old print",
        levels=(0.5, 1),
        unit="×",
        limits=(0, 1),
        apply=sepia,
    ),
    "duotone": Degradation(
        stands_for="a picture in one colour: green, blue, magenta",
        levels=(120, 220, 310),
        unit="hue ",
        limits=(0, 360),
        apply=duotone,
    ),
    "tint": Degradation(
        stands_for="coloured light, a coloured filter: orange, green, blue, magenta",
        levels=(30, 120, 220, 310),
        unit="hue ",
        limits=(0, 360),
        apply=tint,
    ),
    "white balance": Degradation(
        stands_for="light bulbs, shade, a camera set for other light",
        levels=(-80, 60, 150),
        unit="mired ",
        limits=(-160, 400),
        apply=white_balance,
    ),
    "faded": Degradation(
        stands_for="an old print, a matte filter",
        levels=(0.5, 1),
        unit="×",
        limits=(0, 1),
        apply=fade,
    ),
    "auto-contrast": Degradation(
        stands_for="automatic levels of an editor or a scanner",
        levels=(0.5, 3),
        unit="%",
        limits=(0, 20),
        apply=auto_contrast,
    ),
    "gamma": Degradation(
        stands_for="another screen, an editor's curve",
        levels=(0.6, 1.6),
        unit="γ",
        limits=(0.1, 10),
        apply=gamma,
    ),
    "saturation": Degradation(
        stands_for="a grey picture, pale or vivid colours of an app",
        levels=(0, 0.5, 1.8),
        unit="×",
        limits=(0, 10),
        apply=saturation,
    ),
    "cross-process": Degradation(
        stands_for="slide film in the wrong chemicals, the filter named after it",
        levels=(0.5, 1),
        unit="×",
        limits=(0, 1),
        apply=cross_process,
    ),
    "film": Degradation(
        stands_for="a photograph on film, or a filter that imitates it",
        levels=(0.5, 1),
        unit="×",
        limits=(0, 2),
        apply=film,
    ),
    "median": Degradation(
        stands_for="noise reduction by medians",
        levels=(3, 5),
        unit="px ",
        limits=(1, 15),
        apply=median,
    ),
    "denoise": Degradation(
        stands_for="noise reduction of a camera, skin smoothing of an app",
        levels=(5, 10, 20),
        unit="σ",
        limits=(0, 255),
        apply=denoise,
    ),
    "sharpen": Degradation(
        stands_for="sharpening by a camera or an app, then too much of it",
        levels=(1, 3),
        unit="×",
        limits=(0, 20),
        apply=sharpen,
    ),
    "beauty": Degradation(
        stands_for="a beauty filter: skin smoothed and brightened",
        levels=(0.5, 1),
        unit="×",
        limits=(0, 1),
        apply=beauty,
    ),
    "night mode": Degradation(
        stands_for="a phone's night mode: dark, denoised, sharpened",
        levels=(0.5, 1),
        unit="×",
        limits=(0, 1),
        apply=night,
    ),
    "upscaled": Degradation(
        stands_for="a small picture enlarged and sharpened by an app",
        levels=(2, 4),
        unit="×",
        limits=(1, 8),
        apply=upscale,
    ),
    "phone": Degradation(
        stands_for="a phone's processing: evened light, local contrast, sharpening",
        levels=(0.5, 1),
        unit="×",
        limits=(0, 1),
        apply=phone,
    ),
    "screen": Degradation(
        stands_for="a capture of a screen that shows the picture at an odd size",
        levels=(0.62, 0.87, 1.21),
        unit="×",
        limits=(0.1, 8),
        apply=screen,
    ),
    "scan": Degradation(
        stands_for="a grey print, faded and scanned",
        levels=(0.5, 1),
        unit="×",
        limits=(0, 1),
        apply=scan,
    ),
    "stage light": Degradation(
        stands_for="coloured light from two sides: red, green or blue from the left",
        levels=(0, 120, 240),
        unit="hue ",
        limits=(0, 360),
        apply=stage_light,
    ),
}


def _check_kinds(kinds: Sequence[str]) -> None:
    for kind in kinds:
        if kind not in DEGRADATIONS:
            raise LabError(f"no degradation {kind!r}; there are {', '.join(DEGRADATIONS)}")
