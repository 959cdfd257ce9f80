"""Why a picture got its score: the class activation map, laid over the picture in colour.

A class activation map (CAM; Zhou et al., "Learning Deep Features for Discriminative Localization",
2016) shows how much each cell adds to the picture's logit. Here it is exact and no approximation:
every detector ends in means over cells and linear heads, so the cells sum to the logit. The large
detector also takes standard deviations over cells, which are sums over cells as well. What belongs
to no cell, as a bias, is spread evenly. Above 0 a cell speaks for fake, below for real.

A cell of a convolutional network sees its surroundings. One of the large detector's 14x14 stands
for a patch of 16x16 pixels, but attention has mixed the rest of the picture into it.

The picture below the colours is grey, because orange on skin would say nothing. This file needs
nothing but NumPy and Pillow.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fauxlab.io.images import to_picture, to_pixels
from fauxlab.io.text import replace_file, write_fault
from fauxlab.records import Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Floats = NDArray[np.floating]
    Place = tuple[float, float]

# RGB. FAKE and REAL are hues of Okabe and Ito that colour-blind readers tell apart, of about the
# same lightness.
FAKE = (213, 94, 0)
REAL = (0, 114, 178)
INK = (27, 27, 31)
SOFT = (98, 98, 107)
PAPER = (255, 255, 255)

STRONGEST = 0.8  # opacity of the strongest cell; the face stays visible below it
DARKEST = 48  # grey level that black becomes, or else the colours would vanish in dark hair
MID_GREY = 150  # grey level below the colour scale
LONGEST_NAME = 150  # bytes of a picture's name that the name of its explanation takes over

# The saved figure in pixels: two panes side by side, below them a caption.
SIDE = 320
MARGIN = 16
CAPTION = 104
LINE = 18
BAR = 14
PANE = (SIDE, SIDE)
LEFT = MARGIN
RIGHT = LEFT + SIDE + MARGIN
BELOW = MARGIN + SIDE + MARGIN
FIGURE = (RIGHT + SIDE + MARGIN, SIDE + MARGIN + CAPTION)

DECISION_WORDS = {
    "fake": "looks fake",
    "real": "looks real",
    "uncertain": "uncertain",
    "no face": "no face found",
    "error": "could not be judged",
}
MANIPULATION_WORDS = {
    "made": "made whole by a generator",
    "altered": "a real photo altered inside",
}


@dataclass(frozen=True)
class Explained:
    """A verdict with the picture that it is on and the class activation map behind it.

    `picture` is what the detector saw, uint8 [3, H, W] RGB, and None where there is none.
    `activation_map` [h, w] is in logit units, and None where there is no score. `first` is True of
    a file's first verdict, and False of the verdicts on further faces in the same file.
    """

    verdict: Verdict
    picture: Pixels | None = None
    activation_map: Floats | None = None
    first: bool = True


# --- in words


def describe(verdict: Verdict) -> str:
    """The verdict in words, as "cannot tell: too blurred or too small"."""
    if verdict.manipulation is not None:
        return f"looks fake: {MANIPULATION_WORDS[verdict.manipulation]}"
    if verdict.decision == "cannot tell" and verdict.message:
        return f"cannot tell: {verdict.message}"
    return DECISION_WORDS.get(verdict.decision, verdict.decision)


def describe_score(verdict: Verdict) -> str:
    """Score and threshold, and whether the score is a probability."""
    if verdict.score is None:
        return "no score"
    name = "score" if verdict.calibrated else "raw score"
    words = f"{name} {verdict.score:.3f}"
    if verdict.threshold is not None:
        words += f", fake from {verdict.threshold:.3f}"
    return words


def describe_sum(activation_map: Floats) -> str:
    """The logit that the cells of a class activation map add up to."""
    logit = np.sum(activation_map, dtype=np.float64)
    return f"activation map sums to logit {signed(float(logit), 2)}"


def describe_scale(activation_map: Floats) -> str:
    """The logits that full colour stands for, as "±0.21", with more digits for a weak map."""
    strength = strongest_cell(activation_map)
    digits = 2
    if 0 < strength < 0.1:
        exponent = math.floor(math.log10(strength))
        digits = min(6, 1 - exponent)
    return f"±{strength:.{digits}f}"


def signed(value: float, digits: int) -> str:
    """A number with its sign, where the minus is a minus and no hyphen."""
    return f"{value:+.{digits}f}".replace("-", "−")


# --- in colour


def strongest_cell(activation_map: Floats) -> float:
    """The largest absolute value in a class activation map, in logit units."""
    return float(np.abs(activation_map).max())


def overlay(picture: Pixels, activation_map: Floats, scale: float | None = None) -> Pixels:
    """Lay a class activation map [h, w] over a picture uint8 [3, H, W]: uint8 [3, H, W].

    Orange speaks for fake, blue for real. The opacity is proportional to a cell's strength
    and full at `scale`, by default the strongest cell. Between the middles of the cells the map is
    interpolated (bicubic).
    """
    if scale is None:
        scale = strongest_cell(activation_map)
    strength = _enlarge_map(activation_map, scale or 1.0, picture.shape)
    colour = np.where(strength > 0, FAKE, REAL)
    opacity = STRONGEST * np.abs(strength)
    grey = to_picture(picture).convert("L")
    ground = _lift_shadows(np.asarray(grey))
    difference = colour - ground
    mixed = ground + opacity * difference
    pixels = np.rint(mixed).astype(np.uint8)
    return pixels.transpose(2, 0, 1)


def _enlarge_map(activation_map: Floats, scale: float, shape: tuple[int, ...]) -> Floats:
    """The map in shares of `scale` from -1 to 1, [H, W, 1], at the size of a shape (3, H, W)."""
    _, height, width = shape
    # Divided before Pillow gets it, because Pillow's floats have 32 bits.
    cells = activation_map.astype(np.float64)
    shares = cells / scale
    image = Image.fromarray(shares.astype(np.float32))
    smooth = image.resize((width, height), Image.Resampling.BICUBIC)
    # Bicubic interpolation overshoots between cells of opposite signs.
    bounded: Floats = np.clip(np.asarray(smooth), -1, 1)
    return bounded[..., None]


def _lift_shadows(grey: Pixels) -> Floats:
    """Grey levels [H, W] from DARKEST to 255, [H, W, 1]."""
    levels = grey.astype(np.float64)
    lifted = DARKEST + levels * (255 - DARKEST) / 255
    return lifted[..., None]


# --- as a figure


def save_explanation(path: Path, explained: Explained) -> None:
    """Write `draw_explanation` as PNG, whole or not at all, replacing what was there.

    Raises LabError where the file cannot be written.
    """
    figure = draw_explanation(explained)
    stream = io.BytesIO()
    figure.save(stream, "PNG")
    replace_file(path, stream.getvalue(), durable=False)


def draw_explanation(explained: Explained) -> Image.Image:
    """Draw the picture, its activation map beside it, and the verdict with the colour scale below.

    Raises ValueError where there is no picture or no activation map.
    """
    picture = explained.picture
    activation_map = explained.activation_map
    if picture is None or activation_map is None:
        raise ValueError("a verdict without picture or activation map cannot be drawn")
    figure = Image.new("RGB", FIGURE, PAPER)
    # Enlarged first, so that the colours are interpolated once and not twice.
    plain = to_picture(picture).resize(PANE, Image.Resampling.BICUBIC)
    coloured = overlay(to_pixels(plain), activation_map)
    figure.paste(plain, (LEFT, MARGIN))
    figure.paste(to_picture(coloured), (RIGHT, MARGIN))
    _draw_verdict(figure, explained.verdict, activation_map)
    _draw_scale(figure, activation_map)
    return figure


def _draw_verdict(figure: Image.Image, verdict: Verdict, activation_map: Floats) -> None:
    """The decision in large letters, and small below it the reason, the score and the logit."""
    pen = ImageDraw.Draw(figure)
    decision, _, reason = describe(verdict).partition(": ")
    _write(pen, (LEFT, BELOW), decision, 19, colour=INK)
    score = describe_score(verdict)
    # The font has no glyph for the minus.
    logit = describe_sum(activation_map).replace("−", "-")
    top = BELOW + 28
    for line in (reason, score, logit):
        if not line:
            continue
        height = 14 if len(line) < 46 else 12
        _write(pen, (LEFT, top), line, height)
        top += LINE


def _draw_scale(figure: Image.Image, activation_map: Floats) -> None:
    """The colours from strongest real to strongest fake on mid grey, and what they stand for."""
    top = BELOW + 4
    ramp = np.linspace(-1, 1, SIDE)[None]
    grey = np.full((3, BAR, SIDE), MID_GREY, np.uint8)
    bar = overlay(grey, ramp, scale=1.0)
    figure.paste(to_picture(bar), (RIGHT, top))
    pen = ImageDraw.Draw(figure)
    middle = RIGHT + SIDE / 2
    end = RIGHT + SIDE
    below = top + LINE
    _write(pen, (RIGHT, below), "speaks for real", 14)
    _write(pen, (middle, below), "0", 14, anchor="ma")
    _write(pen, (end, below), "for fake", 14, anchor="ra")
    rows, columns = activation_map.shape
    scale = describe_scale(activation_map)
    words = f"full colour: {scale} logit a cell, {columns} by {rows} cells"
    _write(pen, (RIGHT, top + 43), words, 12)


def _write(
    pen: ImageDraw.ImageDraw,
    place: Place,
    text: str,
    height: int,
    colour: tuple[int, int, int] = SOFT,
    anchor: str | None = None,
) -> None:
    """Text with its left end at a place, or its middle (anchor "ma") or right end ("ra")."""
    font = ImageFont.load_default(height)
    if not isinstance(font, ImageFont.FreeTypeFont):
        # Pillow's small bitmap font stands in where FreeType is missing, and knows no anchors.
        anchor = None
    pen.text(place, text, fill=colour, font=font, anchor=anchor)


# --- as files of a folder


class ExplanationFolder:
    """A folder that gets a picture of the activation map of each verdict that has one.

    The files are numbered in the order of the verdicts. Raises LabError where the folder cannot be
    made.
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_fault(folder, error) from error
        self._folder = folder
        self._written = 0

    def add(self, explained: Explained) -> None:
        """Write the explanation of one verdict, where there is an activation map."""
        if explained.activation_map is None:
            return
        self._written += 1
        stem = _safe_stem(explained.verdict.path)
        name = f"{self._written:05}-{stem}.png"
        save_explanation(self._folder / name, explained)


def _safe_stem(path: str) -> str:
    """The part of a path that may stand in the name of a new file."""
    _, _, name = path.replace("\\", "/").rpartition("/")
    stem, _, _ = name.rpartition(".")
    safe = "".join(map(_safe_letter, stem))
    # File systems bound names in bytes, not in letters.
    encoded = safe.encode("utf-8", "replace")
    shortened = encoded[:LONGEST_NAME]
    return shortened.decode("utf-8", "ignore") or "picture"


def _safe_letter(letter: str) -> str:
    is_safe = letter.isalnum() or letter in "-_"
    return letter if is_safe else "_"
