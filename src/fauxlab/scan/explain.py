"""Where a verdict comes from: a detector's evidence laid over the picture. Needs nothing but NumPy
and Pillow.

Evidence [h, w] is in logit units and sums to the picture's logit; above 0 it speaks for generated,
below for real. It is laid over the picture in grey, because orange on skin would say nothing.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fauxlab.io.images import to_picture, to_pixels
from fauxlab.io.text import replace_file
from fauxlab.records import Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Floats = NDArray[np.floating]
    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# After Okabe and Ito: two hues that colour-blind readers tell apart, and of about the same
# lightness.
FAKE, REAL = (213, 94, 0), (0, 114, 178)
STRONGEST = 0.8  # opacity where the evidence is strongest; the face stays visible below
SIDE, MARGIN = 320, 16  # of the saved figure, in pixels
INK, SOFT, PAPER = (27, 27, 31), (98, 98, 107), (255, 255, 255)

WORDS = {
    "fake": "looks generated",
    "real": "looks real",
    "uncertain": "uncertain",
    "cannot tell": "cannot tell: unlike the faces that the model was made for",
    "no face": "no face found",
    "error": "could not be judged",
}


@dataclass(frozen=True)
class Explained:
    """A verdict with what it was given on.

    `picture` is what the detector saw, uint8 [3, H, W] RGB; `evidence` [h, w] what it made of it.
    Each is None where there is none.
    """

    verdict: Verdict
    picture: Pixels | None = None
    activation_map: Floats | None = None


def describe(verdict: Verdict) -> str:
    """The verdict in words, as "uncertain, leans to generated"."""
    words = WORDS.get(verdict.decision, verdict.decision)
    if verdict.decision == "cannot tell" and verdict.message:
        return f"cannot tell: {verdict.message}"
    if verdict.decision == "uncertain":
        words += ", leans to " + ("generated" if verdict.label == "fake" else "real")
    return words


def evidence_scale(evidence: Floats) -> float:
    """The strongest evidence of either sign: what full colour stands for, in logit units a cell."""
    return float(np.abs(evidence).max())


def overlay(picture: Pixels, evidence: Floats, scale: float | None = None) -> Pixels:
    """The picture uint8 [3, H, W] in grey below its evidence [h, w] in colour: uint8 [3, H, W].

    Orange speaks for generated, blue for real; opacity is proportional to the strength and full at
    `scale`, by default the picture's own `evidence_scale`. Between the cells' middles the evidence
    is interpolated (bicubic).
    """
    height, width = picture.shape[1:]
    # Divided first: Pillow's floats have 32 bits.
    cells = np.asarray(evidence, np.float64) / (
        (evidence_scale(evidence) if scale is None else scale) or 1
    )
    smooth = np.asarray(
        Image.fromarray(cells.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    )
    strength = np.clip(smooth, -1, 1)[..., None]
    colour = np.where(strength > 0, FAKE, REAL)
    grey = np.asarray(to_picture(picture).convert("L"), np.float64)[..., None]
    # dark parts lifted, or else the colour would vanish in hair
    ground = 48 + grey * (255 - 48) / 255
    mixed = ground + STRONGEST * np.abs(strength) * (colour - ground)
    return np.asarray(np.rint(mixed), np.uint8).transpose(2, 0, 1)


def draw_evidence(explained: Explained) -> Image.Image:
    """The picture, its overlay beside it, and below them the verdict and what the colours stand
    for.

    Raises ValueError where the explained has no picture or no evidence.
    """
    if explained.picture is None or explained.activation_map is None:
        raise ValueError("an explained without picture or evidence cannot be drawn")
    panes = [
        to_picture(explained.picture),
        to_picture(overlay(_enlarge(explained.picture), explained.activation_map)),
    ]
    panes = [pane.resize((SIDE, SIDE), Image.Resampling.BICUBIC) for pane in panes]
    page = Image.new("RGB", (2 * SIDE + 3 * MARGIN, SIDE + MARGIN + 104), PAPER)
    for k, pane in enumerate(panes):
        page.paste(pane, (MARGIN + k * (SIDE + MARGIN), MARGIN))
    pen, top = ImageDraw.Draw(page), SIDE + 2 * MARGIN
    verdict, evidence = explained.verdict, explained.activation_map
    said, _, why = describe(verdict).partition(": ")
    pen.text((MARGIN, top), said, fill=INK, font=_font(19))
    # which has no glyph in the font
    lines = [why, describe_score(verdict), describe_sum(evidence).replace("−", "-")]
    for k, line in enumerate(filter(None, lines)):
        pen.text(
            (MARGIN, top + 28 + 18 * k), line, fill=SOFT, font=_font(14 if len(line) < 46 else 12)
        )
    _draw_scale(page, SIDE + 2 * MARGIN, top + 4, evidence)
    return page


def save_evidence(path: Path, explained: Explained) -> None:
    """Write `draw_evidence` as PNG, replacing what was there. Raises LabError where it cannot be
    written.
    """
    stream = io.BytesIO()
    draw_evidence(explained).save(stream, "PNG")
    replace_file(path, stream.getvalue())


def describe_score(verdict: Verdict) -> str:
    """Score and threshold, and whether the score is a probability."""
    if verdict.score is None:
        return "no score"
    name = "score" if verdict.calibrated else "raw score"
    limit = "" if verdict.threshold is None else f", fake from {verdict.threshold:.3f}"
    return f"{name} {verdict.score:.3f}{limit}"


def describe_sum(evidence: Floats) -> str:
    """What the evidence adds up to."""
    return f"evidence sums to logit {signed(float(np.sum(evidence, dtype=np.float64)), 2)}"


def signed(value: float, digits: int) -> str:
    """A number with its sign, a minus rather than a hyphen."""
    return f"{value:+.{digits}f}".replace("-", "−")


def describe_scale(evidence: Floats) -> str:
    """What full colour stands for, as "±0.21"; more digits where the evidence is weak."""
    scale = evidence_scale(evidence)
    digits = 2 if scale >= 0.1 or scale == 0 else min(6, 1 - int(np.floor(np.log10(scale))))
    return f"±{scale:.{digits}f}"


def _draw_scale(page: Image.Image, left: int, top: int, evidence: Floats) -> None:
    """The colours from strongest real to strongest fake as they look on mid grey, and what they
    stand for.
    """
    ramp = np.linspace(-1, 1, SIDE)[None]
    bar = overlay(np.full((3, 14, SIDE), 150, np.uint8), ramp, 1.0)
    page.paste(to_picture(bar), (left, top))
    pen, font, small = ImageDraw.Draw(page), _font(14), _font(12)
    for share, anchor, text in ((0, "la", "speaks for real"), (1, "ra", "for generated")):
        pen.text(
            (left + share * SIDE, top + 18),
            text,
            fill=SOFT,
            font=font,
            anchor=_anchor(font, anchor),
        )
    pen.text((left + SIDE / 2, top + 18), "0", fill=SOFT, font=font, anchor=_anchor(font, "ma"))
    rows, columns = evidence.shape
    told = f"full colour: {describe_scale(evidence)} logit a cell, {columns} by {rows} cells"
    pen.text((left, top + 43), told, fill=SOFT, font=small)


def _enlarge(picture: Pixels) -> Pixels:
    """At the figure's size, so that the colours are interpolated once and not twice."""
    return to_pixels(to_picture(picture).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def _font(height: int) -> Font:
    return ImageFont.load_default(height)


def _anchor(font: Font, name: str) -> str | None:
    """Pillow's small bitmap font, which stands in where FreeType is missing, knows no anchors."""
    return name if isinstance(font, ImageFont.FreeTypeFont) else None
