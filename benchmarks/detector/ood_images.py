"""Odd pictures: what people hand to a detector of generated faces although it is no photo of a
face.

A detector that only knows real from fake gives each of them a score. They are drawn here to see
whether it says instead that it cannot tell. None is ever trained on: what is fitted to faces must
find them odd by itself.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fauxlab.errors import LabError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Floats = NDArray[np.float64]
    Rng = np.random.Generator

# drawings are drawn at this many times the size, so that their edges are smooth as on a screen
FINE = 3
LETTERS = "eeeeaaaaooiiuttnnssrrhldcmfpgwybvk"  # about as often as in English


def draw_ood_image(kind: str, size: int, seed: int) -> Pixels:
    """A picture uint8 [3, size, size] of one of `KINDS`, from 32 pixels; the same arguments give
    the same picture.

    Raises LabError on an unknown kind and on a size below 32.
    """
    if kind not in KINDS:
        raise LabError(f"no odd picture {kind!r}; there are {', '.join(KINDS)}")
    if size < 32:
        raise LabError(f"odd pictures are drawn from 32 pixels on; got {size}")
    rng = np.random.default_rng((seed, zlib.crc32(kind.encode())))
    return np.ascontiguousarray(KINDS[kind](rng, size).transpose(2, 0, 1))


def _flat(rng: Rng, size: int) -> Pixels:
    return np.broadcast_to(_colour(rng), (size, size, 3)).astype(np.uint8)


def _gradient(rng: Rng, size: int) -> Pixels:
    """From one colour to another, along a line or around a point."""
    y, x = np.mgrid[:size, :size] / (size - 1)
    if rng.random() < 0.5:
        angle = rng.uniform(0, 2 * np.pi)
        way = np.cos(angle) * x + np.sin(angle) * y
    else:
        way = np.hypot(x - rng.random(), y - rng.random())
    way = (way - way.min()) / np.ptp(way)
    return _to_bytes(_colour(rng) + way[..., None] * (_colour(rng) - _colour(rng)))


def _noise(rng: Rng, size: int) -> Pixels:
    """White noise, uniform or Gaussian, in colour or grey, in pixels of 1, 2 or 4."""
    step = int(rng.choice((1, 2, 4)))
    shape = (-(-size // step), -(-size // step), int(rng.choice((1, 3))))
    field = (
        rng.uniform(0, 255, shape)
        if rng.random() < 0.5
        else rng.normal(127, rng.uniform(20, 80), shape)
    )
    whole = field.repeat(step, 0).repeat(step, 1)[:size, :size]
    return _to_bytes(np.broadcast_to(whole, (size, size, 3)))


def _checkerboard(rng: Rng, size: int) -> Pixels:
    step = int(rng.integers(1, max(2, size // 4)))
    rows, columns = np.indices((size, size)) // step
    return _to_bytes(np.where(((rows + columns) % 2)[..., None], _colour(rng), _colour(rng)))


def _texture(rng: Rng, size: int) -> Pixels:
    """Noise whose amplitude falls with frequency, as in stone, bark and clouds: two colours mixed
    by it.
    """
    field = _spectral(rng, size, rng.uniform(0.7, 2.0))
    return _to_bytes(_colour(rng) + field[..., None] * (_colour(rng) - _colour(rng)))


def _blobs(rng: Rng, size: int) -> Pixels:
    """Soft patches of colour, as of a lens out of all focus: the scale of a face without one."""
    y, x = np.mgrid[:size, :size] / size
    image = np.broadcast_to(_colour(rng), (size, size, 3)).astype(np.float64)
    for _ in range(rng.integers(3, 9)):
        radius, across, down = rng.uniform(0.06, 0.3), *rng.random(2)
        weight = np.exp(-((x - across) ** 2 + (y - down) ** 2) / (2 * radius**2))[..., None]
        image = image + weight * (_colour(rng) - image)
    return _to_bytes(image)


def _text(rng: Rng, size: int) -> Pixels:
    """A page of print: dark on light, ragged on the right, at times with a heading."""
    pale, dark = _colour(rng, 215, 255, 0.5), _colour(rng, 0, 70)
    page, pen = _canvas(size, pale)
    height = FINE * size * rng.uniform(0.035, 0.09)
    left, top = FINE * size * rng.uniform(0.02, 0.12, 2)
    if rng.random() < 0.4:
        pen.text((left, top), _words(rng, 3).title(), fill=_ink(dark), font=_font(height * 1.7))
        top += height * 3
    while top < FINE * size:
        gap = rng.random() < 0.12
        if not gap:
            pen.text(
                (left, top),
                _words(rng, 30)[: int(FINE * size * 1.7 / height)],
                fill=_ink(dark),
                font=_font(height),
            )
        top += height * 1.35
    return _shrink(page, size)


def _drawing(rng: Rng, size: int) -> Pixels:
    """Pen strokes on paper: curves, circles and boxes, not filled."""
    page, pen = _canvas(size, _colour(rng, 215, 255, 0.5))
    side, width = FINE * size, max(1, round(FINE * size * rng.uniform(0.006, 0.02)))
    ink = _ink(_colour(rng, 0, 110))
    for _ in range(rng.integers(6, 20)):
        start, end = np.sort(rng.uniform(0.03, 0.97, (2, 2)) * side, axis=0)
        what = rng.integers(4)
        if what == 0:
            pen.rectangle([*start, *end], outline=ink, width=width)
        elif what == 1:
            pen.ellipse([*start, *end], outline=ink, width=width)
        elif what == 2:
            pen.line([tuple(p) for p in _curve(rng, side)], fill=ink, width=width, joint="curve")
        else:
            first, last = np.sort(rng.uniform(0, 360, 2)).tolist()
            pen.arc([*start, *end], first, last, fill=ink, width=width)
    return _shrink(page, size)


def _cartoon(rng: Rng, size: int) -> Pixels:
    """A face of flat colours in thick outlines: a face, but no photo."""
    page, pen = _canvas(size, _colour(rng))
    side = FINE * size
    width, ink = round(side * rng.uniform(0.01, 0.025)), _ink(_colour(rng, 0, 40))
    skin, hair = _ink(_colour(rng)), _ink(_colour(rng))
    x, y, r = (
        side * rng.uniform(0.45, 0.55),
        side * rng.uniform(0.48, 0.58),
        side * rng.uniform(0.28, 0.36),
    )

    def oval(dx: float, dy: float, rx: float, ry: float, fill: tuple[int, ...] | None) -> None:
        box = (x + (dx - rx) * r, y + (dy - ry) * r, x + (dx + rx) * r, y + (dy + ry) * r)
        pen.ellipse(box, fill=fill, outline=ink, width=width)

    oval(0, -0.25, 1.12, 1.1, hair)
    for way in (-1, 1):
        oval(way * 0.95, 0.1, 0.18, 0.28, skin)
    oval(0, 0.05, 0.95, 1.1, skin)
    eye, gaze = rng.uniform(0.16, 0.28), rng.uniform(-0.08, 0.08)
    for way in (-1, 1):
        oval(way * 0.38, -0.15, eye, eye * 1.2, (255, 255, 255))
        oval(way * 0.38 + gaze, -0.15, eye * 0.4, eye * 0.5, ink)
        pen.line(
            [
                (x + (way * 0.38 - 0.25) * r, y - 0.62 * r),
                (x + (way * 0.38 + 0.25) * r, y - 0.62 * r),
            ],
            ink,
            width,
        )
    oval(0, 0.2, 0.1, 0.12, skin)
    mouth = (x - 0.45 * r, y + 0.3 * r, x + 0.45 * r, y + rng.uniform(0.7, 0.9) * r)
    pen.chord(mouth, 0, 180, fill=_ink(_colour(rng)), outline=ink, width=width)
    return _shrink(page, size)


def _interface(rng: Rng, size: int) -> Pixels:
    """A program's window: bar, menu at the side, cards, buttons and labels, light or dark."""
    light = rng.random() < 0.5
    ground = _colour(rng, 225, 255, 0.5) if light else _colour(rng, 15, 50, 0.5)
    raised, ink = ground + (-14 if light else 18), _ink(np.full(3, 40.0 if light else 225.0))
    page, pen = _canvas(size, ground)
    side, accent = FINE * size, _ink(_colour(rng))
    bar, menu = side * rng.uniform(0.07, 0.14), side * rng.uniform(0.12, 0.3)
    pen.rectangle((0, bar, menu, side), fill=_ink(raised))
    pen.rectangle((0, 0, side, bar), fill=accent)
    for k in range(3):
        pen.ellipse(
            (bar * (0.3 + k * 0.6), bar * 0.35, bar * (0.6 + k * 0.6), bar * 0.65),
            fill=_ink(_colour(rng)),
        )
    small = _font(side * rng.uniform(0.03, 0.05))
    for top in np.arange(bar * 1.4, side, side * 0.08):
        pen.text((menu * 0.1, top), _words(rng, 1), fill=ink, font=small)
    columns = int(rng.integers(1, 4))
    wide, tall = (side - menu) / columns, side * rng.uniform(0.22, 0.4)
    for k in range(columns * int(np.ceil((side - bar) / tall))):
        left, top = menu + (k % columns + 0.06) * wide, bar + (k // columns + 0.08) * tall
        pen.rounded_rectangle(
            (left, top, left + wide * 0.88, top + tall * 0.86), side * 0.015, fill=_ink(raised)
        )
        pen.text(
            (left + wide * 0.06, top + tall * 0.08), _words(rng, 2).title(), fill=ink, font=small
        )
        button = (
            left + wide * 0.06,
            top + tall * 0.55,
            left + wide * rng.uniform(0.3, 0.8),
            top + tall * 0.76,
        )
        pen.rounded_rectangle(
            button, side * 0.01, fill=accent if rng.random() < 0.5 else _ink(_colour(rng))
        )
    return _shrink(page, size)


KINDS: dict[str, Callable[[Rng, int], Pixels]] = {
    "flat": _flat,
    "gradient": _gradient,
    "noise": _noise,
    "checkerboard": _checkerboard,
    "texture": _texture,
    "blobs": _blobs,
    "text": _text,
    "drawing": _drawing,
    "cartoon": _cartoon,
    "interface": _interface,
}


def _spectral(rng: Rng, size: int, fall: float) -> Floats:
    """A field [size, size] in [0, 1] whose amplitude falls as frequency to the power of `fall`."""
    across, down = np.fft.rfftfreq(size), np.fft.fftfreq(size)[:, None]
    frequency = np.maximum(np.hypot(across, down), 1 / size)
    field = np.fft.irfft2(
        np.fft.rfft2(rng.standard_normal((size, size))) / frequency**fall, (size, size)
    )
    scaled: Floats = (field - field.min()) / np.ptp(field)
    return scaled


def _curve(rng: Rng, side: int) -> Floats:
    """Points [33, 2] of a cubic Bézier curve."""
    t = np.linspace(0, 1, 33)[:, None]
    a, b, c, d = rng.uniform(0, side, (4, 2))
    points: Floats = (1 - t) ** 3 * a + 3 * t * (1 - t) ** 2 * b + 3 * t**2 * (1 - t) * c + t**3 * d
    return points


def _words(rng: Rng, n: int) -> str:
    return " ".join("".join(rng.choice(list(LETTERS), rng.integers(2, 9))) for _ in range(n))


def _font(height: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(max(6, height))


def _colour(rng: Rng, low: float = 0, high: float = 255, vivid: float = 1) -> Floats:
    """RGB from `low` to `high`, from grey to as colourful as `vivid`: loud colours alone would give
    a picture away.
    """
    colour = rng.uniform(low, high, 3)
    colour = colour.mean() + rng.uniform(0, vivid) * (colour - colour.mean())
    return np.asarray(colour)


def _ink(colour: Floats) -> tuple[int, ...]:
    return tuple(np.clip(colour, 0, 255).astype(int).tolist())


def _canvas(size: int, ground: Floats) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    page = Image.new("RGB", (FINE * size, FINE * size), _ink(ground))
    return page, ImageDraw.Draw(page)


def _shrink(page: Image.Image, size: int) -> Pixels:
    return np.asarray(page.resize((size, size), Image.Resampling.BICUBIC))


def _to_bytes(values: Floats) -> Pixels:
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)
