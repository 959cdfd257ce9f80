"""Pictures drawn with shapes and letters: a page of text, pen strokes, a cartoon, a window.

See `ood_images.py`, which lists them with the other kinds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]
Rng = np.random.Generator
Ink = tuple[int, ...]

# Shapes are drawn at this many times the size and shrunk, so that their edges are smooth.
FINE = 3
# About as often as in English.
LETTERS = "eeeeaaaaooiiuttnnssrrhldcmfpgwybvk"
WHITE = (255, 255, 255)


def draw_text(rng: Rng, size: int) -> Pixels:
    """A page of print: dark on light, ragged on the right, at times with a heading."""
    paper = random_colour(rng, 215, 255, 0.5)
    ink = to_ink(random_colour(rng, 0, 70))
    page, pen = open_page(size, paper)
    side = page.width
    height = side * rng.uniform(0.035, 0.09)
    left, top = side * rng.uniform(0.02, 0.12, 2)
    has_heading = rng.random() < 0.4
    if has_heading:
        heading = random_words(rng, 3).title()
        pen.text((left, top), heading, fill=ink, font=load_font(height * 1.7))
        top += height * 3
    font = load_font(height)
    letters = int(side * 1.7 / height)
    while top < side:
        ends_paragraph = rng.random() < 0.12
        if not ends_paragraph:
            line = random_words(rng, 30)[:letters]
            pen.text((left, top), line, fill=ink, font=font)
        top += height * 1.35
    return shrink(page)


def draw_strokes(rng: Rng, size: int) -> Pixels:
    """Pen strokes on paper: curves, circles and boxes, not filled."""
    paper = random_colour(rng, 215, 255, 0.5)
    page, pen = open_page(size, paper)
    side = page.width
    width = max(1, round(side * rng.uniform(0.006, 0.02)))
    ink = to_ink(random_colour(rng, 0, 110))
    for _ in range(rng.integers(6, 20)):
        corners = rng.uniform(0.03, 0.97, (2, 2)) * side
        start, end = np.sort(corners, axis=0)
        box = (*start, *end)
        shape = rng.integers(4)
        if shape == 0:
            pen.rectangle(box, outline=ink, width=width)
        elif shape == 1:
            pen.ellipse(box, outline=ink, width=width)
        elif shape == 2:
            points = random_curve(rng, side)
            pen.line(points, fill=ink, width=width, joint="curve")
        else:
            angles = rng.uniform(0, 360, 2)
            first, last = np.sort(angles).tolist()
            pen.arc(box, first, last, fill=ink, width=width)
    return shrink(page)


def draw_cartoon(rng: Rng, size: int) -> Pixels:
    """A face of flat colours in thick outlines: a face, but no photo."""
    ground = random_colour(rng)
    page, pen = open_page(size, ground)
    side = page.width
    width = round(side * rng.uniform(0.01, 0.025))
    ink = to_ink(random_colour(rng, 0, 40))
    skin = to_ink(random_colour(rng))
    hair = to_ink(random_colour(rng))
    # The face's middle and radius; all parts are placed in units of the radius.
    x = side * rng.uniform(0.45, 0.55)
    y = side * rng.uniform(0.48, 0.58)
    radius = side * rng.uniform(0.28, 0.36)

    def oval(dx: float, dy: float, half_width: float, half_height: float, fill: Ink) -> None:
        left = x + (dx - half_width) * radius
        top = y + (dy - half_height) * radius
        right = x + (dx + half_width) * radius
        bottom = y + (dy + half_height) * radius
        pen.ellipse((left, top, right, bottom), fill=fill, outline=ink, width=width)

    def brow(dx: float) -> None:
        height = y - 0.62 * radius
        start = (x + (dx - 0.25) * radius, height)
        end = (x + (dx + 0.25) * radius, height)
        pen.line([start, end], ink, width)

    oval(0, -0.25, 1.12, 1.1, hair)
    for side_of_face in (-1, 1):  # ears
        oval(side_of_face * 0.95, 0.1, 0.18, 0.28, skin)
    oval(0, 0.05, 0.95, 1.1, skin)
    eye = rng.uniform(0.16, 0.28)
    gaze = rng.uniform(-0.08, 0.08)
    for side_of_face in (-1, 1):
        dx = side_of_face * 0.38
        oval(dx, -0.15, eye, eye * 1.2, WHITE)
        oval(dx + gaze, -0.15, eye * 0.4, eye * 0.5, ink)
        brow(dx)
    oval(0, 0.2, 0.1, 0.12, skin)  # nose
    left, right = x - 0.45 * radius, x + 0.45 * radius
    top = y + 0.3 * radius
    bottom = y + rng.uniform(0.7, 0.9) * radius
    lips = to_ink(random_colour(rng))
    pen.chord((left, top, right, bottom), 0, 180, fill=lips, outline=ink, width=width)
    return shrink(page)


def draw_interface(rng: Rng, size: int) -> Pixels:
    """A program's window: bar, menu at the side, cards, buttons and labels, light or dark."""
    is_light = rng.random() < 0.5
    if is_light:
        ground = random_colour(rng, 225, 255, 0.5)
        raised = to_ink(ground - 14)
        ink = to_ink(np.full(3, 40.0))
    else:
        ground = random_colour(rng, 15, 50, 0.5)
        raised = to_ink(ground + 18)
        ink = to_ink(np.full(3, 225.0))
    page, pen = open_page(size, ground)
    side = page.width
    accent = to_ink(random_colour(rng))
    bar = side * rng.uniform(0.07, 0.14)
    menu = side * rng.uniform(0.12, 0.3)
    pen.rectangle((0, bar, menu, side), fill=raised)
    pen.rectangle((0, 0, side, bar), fill=accent)
    for button in range(3):
        left = bar * (0.3 + button * 0.6)
        right = bar * (0.6 + button * 0.6)
        colour = to_ink(random_colour(rng))
        pen.ellipse((left, bar * 0.35, right, bar * 0.65), fill=colour)
    font = load_font(side * rng.uniform(0.03, 0.05))
    for top in np.arange(bar * 1.4, side, side * 0.08):
        pen.text((menu * 0.1, top), random_words(rng, 1), fill=ink, font=font)
    columns = int(rng.integers(1, 4))
    width = (side - menu) / columns
    height = side * rng.uniform(0.22, 0.4)
    rows = int(np.ceil((side - bar) / height))
    for card in range(columns * rows):
        left = menu + (card % columns + 0.06) * width
        top = bar + (card // columns + 0.08) * height
        outline = (left, top, left + width * 0.88, top + height * 0.86)
        pen.rounded_rectangle(outline, side * 0.015, fill=raised)
        title = random_words(rng, 2).title()
        indented = left + width * 0.06
        pen.text((indented, top + height * 0.08), title, fill=ink, font=font)
        right = left + width * rng.uniform(0.3, 0.8)
        button_box = (indented, top + height * 0.55, right, top + height * 0.76)
        takes_accent = rng.random() < 0.5
        fill = accent if takes_accent else to_ink(random_colour(rng))
        pen.rounded_rectangle(button_box, side * 0.01, fill=fill)
    return shrink(page)


# --- tools


def random_colour(rng: Rng, low: float = 0, high: float = 255, vivid: float = 1) -> Floats:
    """RGB from `low` to `high`, from grey to as colourful as `vivid`.

    Grey shades are among them, because loud colours alone would give a picture away.
    """
    colour = rng.uniform(low, high, 3)
    grey = colour.mean()
    saturation = rng.uniform(0, vivid)
    return np.asarray(grey + saturation * (colour - grey))


def random_words(rng: Rng, count: int) -> str:
    """Words of 2 to 8 letters without meaning."""
    letters = list(LETTERS)
    words = []
    for _ in range(count):
        length = rng.integers(2, 9)
        words.append("".join(rng.choice(letters, length)))
    return " ".join(words)


def random_curve(rng: Rng, side: int) -> list[tuple[float, ...]]:
    """33 points of a cubic Bézier curve."""
    t = np.linspace(0, 1, 33)[:, None]
    a, b, c, d = rng.uniform(0, side, (4, 2))
    ends = (1 - t) ** 3 * a
    first_handle = 3 * t * (1 - t) ** 2 * b
    second_handle = 3 * t**2 * (1 - t) * c
    points = ends + first_handle + second_handle + t**3 * d
    return [tuple(point) for point in points]


def load_font(height: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font."""
    return ImageFont.load_default(max(6, height))


def to_ink(colour: Floats) -> Ink:
    """A colour as Pillow takes it."""
    clipped = np.clip(colour, 0, 255)
    return tuple(clipped.astype(int).tolist())


def open_page(size: int, ground: Floats) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """An empty page, `FINE` times the size, and a pen for it."""
    side = FINE * size
    page = Image.new("RGB", (side, side), to_ink(ground))
    return page, ImageDraw.Draw(page)


def shrink(page: Image.Image) -> Pixels:
    """The page at the size that was asked for."""
    size = page.width // FINE
    small = page.resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(small)
