"""What both pages share: templates, plates, and the link from one page to the other."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fauxlab.io.text import replace_file
from fauxlab.pages.figures import render

if TYPE_CHECKING:
    import jinja2
    from matplotlib.figure import Figure


# Pages that may lie in one folder, and what a link to each says.
PAGES = {"report.html": "Detectors of generated faces", "gan.html": "Generators of faces"}
HOLE = "<!-- the other page -->"  # where base.html.j2 leaves room for the link


@dataclass(frozen=True)
class Plate:
    """A figure as the page embeds it."""

    number: str
    uri: str
    alt: str


def make_plate(figure: Figure, number: str, alt: str, path: Path) -> Plate:
    """The figure as SVG for a page, saved as PNG under `path`, whose folder must exist."""
    plate = Plate(number, data_uri(render(figure, "svg"), "svg+xml"), alt)
    replace_file(path, render(figure, "png"))
    return plate


def data_uri(image: bytes, kind: str) -> str:
    """An image in a page; `kind` is the second half of its media type."""
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def write_page(out: Path, name: str, template: str, facts: dict[str, Any]) -> Path:
    """Fill a template into `out/name`, a name of PAGES, and link it with the other page where that
    is in `out`, too.

    The pages are written apart and in any order, so each leaves a hole that whichever comes second
    fills in both.
    """
    path = out / name
    replace_file(path, _environment().get_template(template).render(hole=HOLE, **facts).encode())
    present = [page for page in PAGES if (out / page).is_file()]
    for page in present:
        for other in present:
            if other != page:
                _fill_hole(
                    out / page,
                    f'<p class="other">Beside this page: <a href="{other}">{PAGES[other]}</a>.</p>',
                )
    return path


def printable(value: Any) -> Any:
    """The same data with every character that cannot be shown (control, lone surrogate, bidi) as
    its escape.
    """
    if isinstance(value, dict):
        return {printable(key): printable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [printable(item) for item in value]
    if isinstance(value, str):
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)
    return value


def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fauxlab", "pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["signed"] = _signed
    return environment


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _fill_hole(page: Path, link: str) -> None:
    text = page.read_text(encoding="utf-8")
    if HOLE in text:
        replace_file(page, text.replace(HOLE, link, 1))
