"""Drawn pictures without a face, in which `face_finding.py` counts false alarms."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

LETTERS = "abcdefghiklmnoprstuw"


def draw_noise(seed: int) -> Image.Image:
    """Gaussian noise, stronger with each seed."""
    rng = np.random.default_rng(seed)
    values = rng.normal(128, 10 + seed, (240, 320, 3))
    clipped = np.clip(values, 0, 255)
    return Image.fromarray(clipped.astype(np.uint8))


def draw_gradient(seed: int) -> Image.Image:
    """A smooth transition between four colours."""
    rng = np.random.default_rng(seed)
    return enlarge(rng.integers(0, 256, (2, 2, 3), dtype=np.uint8))


def draw_blobs(seed: int) -> Image.Image:
    """Smooth random patches of 4 to 40 pixels."""
    rng = np.random.default_rng(seed)
    side = 4 + seed % 37
    shape = (240 // side, 320 // side, 3)
    return enlarge(rng.integers(0, 256, shape, dtype=np.uint8))


def enlarge(cells: np.ndarray) -> Image.Image:
    """A few colours as a smooth picture of 320×240."""
    return Image.fromarray(cells).resize((320, 240), Image.Resampling.BICUBIC)


def draw_page(seed: int) -> Image.Image:
    """A page of print."""
    rng = random.Random(seed)
    page = Image.new("RGB", (600, 800), "white")
    pen = ImageDraw.Draw(page)
    height = 10 + seed % 8
    for line in range(10 + seed % 30):
        words = []
        for _ in range(14):
            letters = rng.choices(LETTERS, k=rng.randint(2, 9))
            words.append("".join(letters))
        place = (30, 20 + line * 18)
        pen.text(place, " ".join(words), fill="black", font_size=height)
    return page


def draw_shapes(seed: int) -> Image.Image:
    """Discs and boxes of all sizes and shades, one over the other."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (400, 300), "grey")
    pen = ImageDraw.Draw(image)
    for _ in range(60):
        x, y, width, height = rng.integers(0, (400, 300, 80, 80)).tolist()
        box = (x, y, x + width, y + height)
        is_disc = rng.random() < 0.6
        colour = tuple(rng.integers(0, 256, 3).tolist())
        if is_disc:
            pen.ellipse(box, colour)
        else:
            pen.rectangle(box, colour)
    return image


PATTERNS: dict[str, Callable[[int], Image.Image]] = {
    "noise": draw_noise,
    "gradients": draw_gradient,
    "blobs": draw_blobs,
    "pages": draw_page,
    "shapes": draw_shapes,
}
