"""Verdicts as one self-contained HTML page, written as they come, in constant memory.

File names come from anywhere, so every value is escaped (jinja2's autoescape), and the page's own
rules (its Content-Security-Policy) allow no script but `page.js`, no request, and no picture that
is not in the page. `page.html.j2` is the page and `row.html.j2` one verdict on it.
"""

from __future__ import annotations

import base64
import hashlib
import io
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, TextIO

import numpy as np
from PIL import Image

from fauxlab.errors import LabError
from fauxlab.io.files import file_aside, sweep
from fauxlab.io.images import to_picture, to_pixels
from fauxlab.io.text import printable, write_fault
from fauxlab.scan.explain import (
    Explained,
    describe,
    describe_scale,
    describe_score,
    describe_sum,
    overlay,
)

if TYPE_CHECKING:
    import jinja2
    from numpy.typing import NDArray

    from fauxlab.records import Verdict
    from fauxlab.scan.writers import Sink

    Pixels = NDArray[np.uint8]
    Band = tuple[float, float] | None

THUMBNAIL = 128  # pixels of the longer side
QUALITY = 82  # of the thumbnails' JPEG
# What the summary says of one verdict and of several, in this order; other decisions follow.
COUNTED = {
    "fake": ("looks fake", "look fake"),
    "real": ("looks real", "look real"),
    "uncertain": ("uncertain", "uncertain"),
    "cannot tell": ("cannot be told", "cannot be told"),
    "no face": ("without a face", "without a face"),
    "error": ("could not be judged", "could not be judged"),
}


class Button(NamedTuple):
    """A button at the head of the page, which shows the verdicts of one kind."""

    kind: str
    total: int
    words: str


class Plate(NamedTuple):
    """A thumbnail as the page embeds it; width and height in pixels."""

    uri: str
    width: int
    height: int
    alt: str
    caption: str


@contextmanager
def open_page(
    path: Path, band: Band = None, model: str = "", rule: Sequence[str] = ()
) -> Iterator[Sink]:
    """A sink that writes verdicts to a page, which stands at `path` once the scan is complete.

    `band` are the uncertain scores [low, high). `model` is named at the head, and the lines of
    `rule` say there how scores are to be read. A scan that breaks off leaves no page, nor harms one
    that was there. Raises LabError where the page cannot be written.
    """
    _refuse_no_file(path)
    with _explain_failure(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path)
        rows = _open_rows(path.parent)
    try:
        page = PageWriter(path, rows, band)
        yield page
        with _explain_failure(path), file_aside(path) as stream:
            _write_whole(stream, rows, page, model, rule)
    finally:
        # Closing writes what is still in memory. Once the page stands, or has failed, nobody needs
        # that, so a full disk is no further fault.
        with suppress(OSError):
            rows.close()


class PageWriter:
    """Writes the rows of a page to a file beside it, and counts the decisions."""

    def __init__(self, path: Path, rows: TextIO, band: Band) -> None:
        self.counts: Counter[str] = Counter()
        self.asks_how = False  # whether any fake has its manipulation
        self._path = path
        self._rows = rows
        self._band = band
        self._template = _environment().get_template("row.html.j2")

    def add(self, explained: Explained) -> None:
        """Write one row."""
        row = self._template.render(
            verdict=explained.verdict,
            heading=describe(explained.verdict),
            path=printable(explained.verdict.path),
            score=describe_score(explained.verdict),
            facts=_list_facts(explained),
            plates=_make_plates(explained),
            band=self._band,
        )
        with _explain_failure(self._path):
            self._rows.write(row + "\n")
        self.counts[explained.verdict.decision] += 1
        self.asks_how |= explained.verdict.manipulation is not None


def _refuse_no_file(path: Path) -> None:
    is_other = path.exists() and not path.is_file()
    if is_other or not path.name:
        raise LabError(f"{printable(path)} is no file; give the page a name, as verdicts.html")


def _open_rows(folder: Path) -> TextIO:
    """A file on the disk of a folder, without a name: it ends with the process."""
    # A lone surrogate, as a file name can hold, has no form in UTF-8.
    errors = "backslashreplace"
    return tempfile.TemporaryFile("w+", encoding="utf-8", errors=errors, dir=folder)


@contextmanager
def _explain_failure(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise write_fault(path, error) from error


def _write_whole(
    stream: BinaryIO, rows: TextIO, page: PageWriter, model: str, rule: Sequence[str]
) -> None:
    """Put the page together. The head comes last, because it says how many verdicts there are."""
    from markupsafe import Markup

    environment = _environment()
    script = _read_script(environment)
    digest = hashlib.sha256(script.encode()).digest()
    template = environment.get_template("page.html.j2")
    rows.seek(0)
    pieces = template.generate(
        rows=map(Markup, rows),
        buttons=_list_buttons(page.counts),
        asks_how=page.asks_how,
        rule=rule,
        model=model,
        script=Markup(script),
        script_hash=base64.b64encode(digest).decode(),
    )
    for piece in pieces:
        stream.write(piece.encode("utf-8", "backslashreplace"))


def _environment() -> jinja2.Environment:
    # Imported only where a page is written: most scans write none.
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fauxlab", "scan"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = "{:.2%}".format
    return environment


def _read_script(environment: jinja2.Environment) -> str:
    assert environment.loader is not None
    source, _, _ = environment.loader.get_source(environment, "page.js")
    return source


def _list_buttons(counts: Counter[str]) -> list[Button]:
    """A button for all verdicts, and one for each decision that occurs."""
    total = counts.total()
    words = "verdict" if total == 1 else "verdicts"
    buttons = [Button("all", total, words)]
    others = sorted(counts.keys() - COUNTED.keys())
    for kind in (*COUNTED, *others):
        count = counts[kind]
        if count:
            singular, plural = COUNTED.get(kind, (kind, kind))
            words = singular if count == 1 else plural
            buttons.append(Button(kind, count, words))
    return buttons


def _list_facts(explained: Explained) -> list[str]:
    """What the last line of a row says."""
    verdict = explained.verdict
    facts = []
    if verdict.score is not None:
        facts.append(describe_score(verdict))
    if verdict.message and verdict.decision != "cannot tell":  # there it stands in the heading
        facts.append(printable(verdict.message))
    if explained.activation_map is not None:
        facts.append(describe_sum(explained.activation_map))
    return facts + _list_places(verdict)


def _list_places(verdict: Verdict) -> list[str]:
    """Where in its file the face is, and what of the file was not looked at."""
    facts = []
    if verdict.width and verdict.height:
        facts.append(f"{verdict.width}×{verdict.height} pixels")
    if verdict.frame is not None:
        facts.append(f"frame {verdict.frame + 1} of {verdict.frames}")
    if verdict.face:
        left, top, right, bottom = verdict.face
        width = right - left
        height = bottom - top
        facts.append(f"face of {width}×{height} at {left}, {top}")
    if verdict.turned:
        facts.append(f"upright if turned by {verdict.turned}°")
    if verdict.left_out:
        facts.append(f"up to {verdict.left_out:,} more places may show faces")
    return facts


def _make_plates(explained: Explained) -> list[Plate]:
    """The picture and its class activation map, as far as there are any."""
    if explained.picture is None:
        return []
    picture = _shrink(explained.picture)
    plate = _make_plate(picture, "the picture as the model saw it", "picture")
    plates = [plate]
    if explained.activation_map is not None:
        coloured = overlay(picture, explained.activation_map)
        alt = "class activation map: orange for fake, blue for real"
        scale = describe_scale(explained.activation_map)
        plate = _make_plate(coloured, alt, f"{scale} a cell")
        plates.append(plate)
    return plates


def _shrink(pixels: Pixels) -> Pixels:
    image = to_picture(pixels)
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BICUBIC)
    return to_pixels(image)


def _make_plate(pixels: Pixels, alt: str, caption: str) -> Plate:
    stream = io.BytesIO()
    image = to_picture(pixels)
    # Colour at half the resolution would run over the edges of the activation map.
    image.save(stream, "JPEG", quality=QUALITY, subsampling=0)
    data = base64.b64encode(stream.getvalue()).decode()
    uri = f"data:image/jpeg;base64,{data}"
    return Plate(uri, image.width, image.height, alt, caption)
