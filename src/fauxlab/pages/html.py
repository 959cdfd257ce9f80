"""What both HTML pages share: templates, embedded pictures, and the link from one to the other."""

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


# Pages that may lie in one folder, and the text of a link to each.
PAGES = {"report.html": "Detectors of generated faces", "gan.html": "Generators of faces"}
# Where base.html.j2 leaves room for the link to the other page.
LINK_PLACE = "<!-- the other page -->"


@dataclass(frozen=True)
class EmbeddedFigure:
    """A figure as the page embeds it, with its number and the text for those who cannot see it."""

    number: str
    uri: str
    alt: str


def embed_figure(figure: Figure, number: str, alt: str, path: Path) -> EmbeddedFigure:
    """The figure as SVG for a page, saved as PNG under `path`, whose folder must exist."""
    svg = render(figure, "svg")
    uri = data_uri(svg, "svg+xml")
    png = render(figure, "png")
    replace_file(path, png)
    return EmbeddedFigure(number, uri, alt)


def data_uri(image: bytes, kind: str) -> str:
    """An image as the address that a page embeds; `kind` is the second half of its media type."""
    encoded = base64.b64encode(image).decode()
    return f"data:image/{kind};base64,{encoded}"


def write_page(out: Path, name: str, template: str, facts: dict[str, Any]) -> Path:
    """Fill a template into `out/name`, a name of PAGES; returns the page's path.

    The pages are written apart and in any order. So each leaves a place for a link to the other,
    and whichever comes second fills both.
    """
    path = out / name
    text = render_page(template, {"link_place": LINK_PLACE, **facts})
    replace_file(path, text.encode())
    present = [page for page in PAGES if (out / page).is_file()]
    for page in present:
        for other in present:
            if other != page:
                _add_link(out / page, other)
    return path


def render_page(template: str, facts: dict[str, Any]) -> str:
    """A template of this folder, filled; every value is escaped."""
    return _environment().get_template(template).render(**facts)


def escape_unprintable(value: Any) -> Any:
    """The same data, with an escape for every character that cannot be shown.

    These are control characters, lone surrogates, and those that turn the reading direction.
    """
    if isinstance(value, dict):
        return {escape_unprintable(key): escape_unprintable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [escape_unprintable(item) for item in value]
    if isinstance(value, str):
        return "".join(_escape(character) for character in value)
    return value


def _escape(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode()


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
    """A difference with its sign, the minus as typographers write it."""
    return f"{value:+.3f}".replace("-", "−")


def _add_link(page: Path, other: str) -> None:
    """Fill the page's place for a link, where it is still free."""
    text = page.read_text(encoding="utf-8")
    if LINK_PLACE in text:
        link = f'<a href="{other}">{PAGES[other]}</a>'
        line = f'<p class="other">Beside this page: {link}.</p>'
        replace_file(page, text.replace(LINK_PLACE, line, 1))
