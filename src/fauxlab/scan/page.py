"""Verdicts as one self-contained page, written as they come, in constant memory. Needs nothing but
NumPy and Pillow.

File names come from anywhere: every value is escaped, and the page's own rules allow no script but
the one below, no request, and no picture that is not in the page.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fauxlab.errors import LabError
from fauxlab.io.images import to_picture, to_pixels
from fauxlab.io.text import printable
from fauxlab.records import Verdict
from fauxlab.scan.explain import (
    Explained,
    describe,
    describe_scale,
    describe_score,
    describe_sum,
    overlay,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Band = tuple[float, float] | None

THUMBNAIL = 128  # pixels of the longer side
QUALITY = 82
# What the summary says of n pictures, in this order; other decisions follow as they are called.
COUNTED = {
    "fake": ("looks generated", "look generated"),
    "real": ("looks real", "look real"),
    "uncertain": ("uncertain", "uncertain"),
    "cannot tell": ("cannot be told", "cannot be told"),
    "no face": ("without a face", "without a face"),
    "error": ("could not be judged", "could not be judged"),
}


def write_page(
    explained: Iterable[Explained], path: Path, band: Band = None, model: str = ""
) -> Iterator[Explained]:
    """Write each explained into a page and pass it on; the page stands at `path` once all were taken.

    `band` are the uncertain scores, `model` is named at the head. What breaks off early leaves no
    page, nor harms one that was there. Raises LabError where it cannot be written.
    """
    if not path.name:
        raise LabError(f"{printable(path)} is no file; give the page a name, as verdicts.html")
    rows, aside = (
        path.with_name(f".{path.name}.{os.getpid()}.{part}") for part in ("rows.tmp", "tmp")
    )
    counts: Counter[str] = Counter()
    try:
        with _writing(path):
            if path.exists() and not path.is_file():
                raise LabError(
                    f"{printable(path)} is no file; give the page a name, as verdicts.html"
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            stream = rows.open("w", encoding="utf-8", errors="backslashreplace")
        with stream:
            for one in explained:
                with _writing(path):
                    stream.write(_row(one, band))
                counts[one.verdict.decision] += 1
                yield one
            with _writing(path):
                stream.flush()
        with _writing(path):
            # The counts are known last and stand first.
            with (
                aside.open("w", encoding="utf-8", errors="backslashreplace") as page,
                rows.open("rb") as written,
            ):
                page.write(_head(counts, band, model))
                page.flush()
                shutil.copyfileobj(written, page.buffer)
                page.write(FOOT)
            os.replace(aside, path)
    finally:
        for left in (rows, aside):
            with suppress(OSError):  # not there, or its folder is not: what is wrong was said
                left.unlink()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LabError(
            f"cannot write {printable(path)}: {error.strerror or error}; choose a place that can be written and has room"
        ) from error


def _head(counts: Counter[str], band: Band, model: str) -> str:
    total = counts.total()
    buttons = [_button("all", total, "verdict" if total == 1 else "verdicts")]
    for kind in [*COUNTED, *sorted(counts.keys() - COUNTED.keys())]:
        if counts[kind]:
            one, many = COUNTED.get(kind, (kind, kind))
            buttons.append(_button(kind, counts[kind], one if counts[kind] == 1 else many))
    notes = [
        "A score is evidence, not proof: it says little of generators that the model was never shown."
    ]
    if band:
        notes.append(f"Scores from {band[0]:.3f} to below {band[1]:.3f} are uncertain.")
    if model:
        notes.append(f"Model: <code>{escape(model)}</code>.")
    policy = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    return HEAD.substitute(
        style=STYLE, policy=policy, buttons="\n".join(buttons), notes=" ".join(notes)
    )


def _button(kind: str, n: int, words: str) -> str:
    pressed = "true" if kind == "all" else "false"
    return f'<button data-kind="{escape(kind)}" aria-pressed="{pressed}"><b>{n:,}</b> {escape(words)}</button>'


def _row(explained: Explained, band: Band) -> str:
    verdict, kind = explained.verdict, escape(explained.verdict.decision)
    return (
        f'<article data-kind="{kind}"><div class="plates">{_plates(explained)}</div><div class="facts">'
        f'<h2>{escape(describe(verdict))}</h2><p class="path"><bdi>{escape(printable(verdict.path))}</bdi></p>'
        f"{_bar(verdict, band)}<p>{escape(_facts(explained))}</p></div>{_place(explained)}</article>\n"
    )


def _facts(explained: Explained) -> str:
    verdict, facts = explained.verdict, []
    if verdict.score is not None:
        facts.append(describe_score(verdict))
    if verdict.message and verdict.score is None:  # beside a score it stands in the heading
        facts.append(printable(verdict.message))
    if explained.activation_map is not None:
        facts.append(describe_sum(explained.activation_map))
    if verdict.width and verdict.height:
        facts.append(f"{verdict.width}×{verdict.height} pixels")
    if verdict.face:
        left, top, right, bottom = verdict.face
        facts.append(f"face of {right - left}×{bottom - top} at {left}, {top}")
    return " · ".join(facts)


def _bar(verdict: Verdict, band: Band) -> str:
    """The score between 0 and 1 beside the threshold and the uncertain scores."""
    if verdict.score is None:
        return ""
    parts = []
    if band:
        parts.append(
            f'<i class="band" style="left:{band[0]:.2%};width:{band[1] - band[0]:.2%}"></i>'
        )
    if verdict.threshold is not None:
        parts.append(f'<i class="cut" style="left:{verdict.threshold:.2%}"></i>')
    parts.append(f'<i class="dot" style="left:{verdict.score:.2%}"></i>')
    told = escape(describe_score(verdict))
    bar = f'<div class="bar" title="{told}">{"".join(parts)}</div>'
    return f'<div class="scale"><span>real</span>{bar}<span>generated</span></div>'


def _plates(explained: Explained) -> str:
    """The picture and its overlay: those that there are."""
    picture, evidence = explained.picture, explained.activation_map
    plates = []
    if picture is None:
        plates.append('<figure><div class="none">no picture</div></figure>')
    else:
        picture = _shrink(picture)
        plates.append(_figure(_image(picture, "the picture as the model saw it"), "picture"))
        if evidence is not None:
            image = _image(
                overlay(picture, evidence), "evidence: orange for generated, blue for real"
            )
            plates.append(_figure(image, f"{describe_scale(evidence)} a cell"))
    return "".join(plates)


def _figure(content: str, caption: str) -> str:
    return f"<figure>{content}<figcaption>{escape(caption)}</figcaption></figure>"


def _place(explained: Explained) -> str:
    """Where in the file the face is: its outline in the file's, in the file's pixels."""
    verdict, box = explained.verdict, explained.verdict.face
    if not box or not verdict.width or not verdict.height:
        return ""
    left, top, right, bottom = box
    told = escape(
        f"face from {left}, {top} to {right}, {bottom} of {verdict.width}×{verdict.height} pixels"
    )
    drawn = (
        f'<svg viewBox="0 0 {verdict.width} {verdict.height}" role="img" aria-label="{told}"><title>{told}</title>'
        f'<rect width="{verdict.width}" height="{verdict.height}"/>'
        f'<rect class="face" x="{left}" y="{top}" width="{right - left}" height="{bottom - top}"/></svg>'
    )
    return _figure(drawn, "in the file")


def _shrink(pixels: Pixels) -> Pixels:
    image = to_picture(pixels)
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BICUBIC)
    return to_pixels(image)


def _image(pixels: Pixels, alt: str) -> str:
    stream = io.BytesIO()
    image = to_picture(pixels)
    # Colour at half the resolution would run over the overlay's edges.
    image.save(stream, "JPEG", quality=QUALITY, subsampling=0)
    data = base64.b64encode(stream.getvalue()).decode()
    size = f'width="{image.width}" height="{image.height}"'
    return f'<img src="data:image/jpeg;base64,{data}" alt="{escape(alt)}" {size}>'


STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1f; --soft: #62626b; --line: #d8d8de; --paper: #fff;
  --band: #f4f5f8; --mid: #d3d4dc; --fake: #b04c00; --real: #00629b; --doubt: #6b6b74; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8ec; --soft: #a3a3ad; --line: #3b3b44;
  --paper: #17171b; --band: #212127; --mid: #4a4a55; --fake: #ff9d52; --real: #6fc3f7; --doubt: #b6b6bf; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.5rem 4rem; max-width: 948px;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif;
  color: var(--ink); background: var(--paper); }
h1 { font-size: 1.75rem; line-height: 1.25; margin: 0 0 .8rem; }
header p { max-width: 46rem; color: var(--soft); font-size: .9rem; margin: .6rem 0; }
nav { display: flex; flex-wrap: wrap; gap: .5rem; margin: 1rem 0; }
button { font: inherit; font-size: .9rem; color: inherit; background: var(--band);
  border: 1px solid var(--line); border-radius: 6px; padding: .35rem .8rem; cursor: pointer;
  border-left: 4px solid var(--tone, var(--soft)); }
button b { font-size: 1.15rem; font-variant-numeric: tabular-nums; margin-right: .2rem; }
button[aria-pressed=true] { outline: 2px solid var(--tone, var(--soft)); outline-offset: 1px; }
[data-kind=fake] { --tone: var(--fake); }
[data-kind=real] { --tone: var(--real); }
[data-kind=uncertain] { --tone: var(--doubt); }
[data-kind=error] { --tone: var(--mid); }
.key { display: inline-block; width: 9rem; height: .8rem; border-radius: 3px; vertical-align: -.05rem;
  margin: 0 .4rem; background: linear-gradient(90deg, #0072b2, #9a9a9a, #d55e00); }
article { display: flex; flex-wrap: wrap; gap: .6rem 1.4rem; align-items: flex-start; padding: 1rem;
  margin: 0 0 .6rem; border-left: 4px solid var(--tone, var(--soft)); background: var(--band);
  border-radius: 0 6px 6px 0; content-visibility: auto; contain-intrinsic-height: auto 180px; }
article[hidden] { display: none; }
.plates { display: flex; gap: .7rem; }
figure { margin: 0; }
figcaption { font-size: .74rem; color: var(--soft); text-align: center; margin-top: .2rem; }
img, .none { display: block; border-radius: 4px; }
.none { width: 128px; height: 128px; padding-top: 3.3rem; border: 1px dashed var(--mid); color: var(--soft);
  font-size: .8rem; text-align: center; }
svg { display: block; max-width: 84px; max-height: 128px; width: 84px; }
svg rect { fill: none; stroke: var(--soft); stroke-width: 1.5px; vector-effect: non-scaling-stroke; }
svg .face { fill: var(--tone); fill-opacity: .35; stroke: var(--tone); }
.facts { flex: 1 1 20rem; min-width: 0; }
h2 { font-size: 1.1rem; line-height: 1.3; margin: 0; color: var(--tone, var(--ink)); }
[data-kind=error] h2 { color: var(--soft); }
.facts p { margin: .25rem 0 0; font-size: .82rem; color: var(--soft); overflow-wrap: anywhere;
  font-variant-numeric: tabular-nums; }
.facts .path { font-family: ui-monospace, "Liberation Mono", monospace; color: var(--ink); }
.scale { display: flex; align-items: center; gap: .6rem; font-size: .74rem; color: var(--soft);
  margin-top: .7rem; }
.bar { position: relative; flex: 1; height: 8px; border-radius: 4px; background: var(--mid); }
.bar i { position: absolute; top: 0; height: 100%; }
.bar .band { background: repeating-linear-gradient(45deg, var(--doubt) 0 2px, transparent 2px 5px); }
.bar .cut { top: -4px; height: 16px; width: 2px; margin-left: -1px; background: var(--ink); }
.bar .dot { top: -3px; width: 14px; height: 14px; margin-left: -7px; border-radius: 50%;
  background: var(--tone); border: 2px solid var(--paper); }
@media print { nav button { border-color: #999; } article { break-inside: avoid; } }
"""

SCRIPT = """
const buttons = document.querySelectorAll("button"), rows = document.getElementsByTagName("article");
for (const button of buttons) button.onclick = () => {
  const kind = button.dataset.kind;
  for (const other of buttons) other.setAttribute("aria-pressed", other === button);
  for (const row of rows) row.hidden = kind !== "all" && row.dataset.kind !== kind;
};
"""

HEAD = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-$policy'">
<title>Real or generated?</title>
<style>$style</style>
</head>
<body>
<header>
<h1>Real or generated?</h1>
<nav>
$buttons
</nav>
<p>$notes</p>
<p>Where the evidence lies: for real <span class="key"></span> for generated. Full colour is each picture's strongest;
the number below it says how much one such cell adds to the logit. On the bars: ● the score, | the threshold, hatched
what is uncertain.</p>
</header>
<main>
""")

FOOT = f"</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
