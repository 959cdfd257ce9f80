"""What the figures of both pages share: style, colours, axes, and `render` into SVG or PNG.

No pyplot, and the style holds only while a figure is drawn: the rest of the program can use
matplotlib as if this were not there. Figures are at most 9.2 inches wide, which is the width of the
page's column, so that their text keeps its size there.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

import matplotlib
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch
    from numpy.typing import NDArray

    from fauxlab.training.run_log import Line

P = ParamSpec("P")
Style = dict[str, Any]  # keyword arguments of matplotlib's drawing functions

WIDTH = 9.2
CHARACTERS_PER_INCH = 11.5
# After Okabe and Ito: colours that colour-blind readers tell apart. The first three follow the
# report's Fig. 2: dark blue, light blue, green. Those that are hard to see on white are darkened.
COLOURS = ("#004c97", "#56b4e9", "#009e73", "#e69f00", "#cc79a7", "#d55e00", "#7f5f00", "#555555")
GREY = "#6f6f6f"
GRID = "#e8e8e8"
MARKERS = "osD^vP"
MOST_POINTS = 600  # of a curve, so that the page stays small

# Line styles: values as logged and their running mean, a curve through few points, a limit.
LOGGED: Style = {"linewidth": 0.7, "alpha": 0.45}
MEAN: Style = {"linewidth": 2.2}
CURVE: Style = {"markersize": 4.5, "linewidth": 1.8}
LIMIT: Style = {"color": GREY, "linestyle": ":", "linewidth": 1}

PAGE_STYLE: Any = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "figure.constrained_layout.h_pad": 0.08,
    "legend.frameon": False,
    "text.parse_math": False,  # a generator may be called $x$
    "svg.fonttype": "path",
    "svg.hashsalt": "fauxlab",  # the same figure gives the same bytes
}


def render(figure: Figure, form: str) -> bytes:
    """The figure as `svg` or `png` bytes, the same for the same figure.

    The first call settles the layout, which takes longer than the drawing; later calls keep it.
    """
    stream = io.BytesIO()
    # Dates and versions would change the bytes of an unchanged figure.
    metadata: dict[str, None] = {"Software": None}
    if form == "svg":
        metadata = {"Creator": None, "Date": None}
    with matplotlib.rc_context(PAGE_STYLE), warnings.catch_warnings():
        # A name in a script that the font lacks shows as boxes, which is no reason to warn.
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(stream, format=form, dpi=150, metadata=metadata)
        figure.set_layout_engine("none")
    return stream.getvalue()


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Make a drawing function draw in the pages' style."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context(PAGE_STYLE):
            return draw(*args, **kwargs)

    return drawn


def colour_of(number: int) -> str:
    """The colour of the curve with this number; after the last colour they start again."""
    return COLOURS[number % len(COLOURS)]


def marker_of(number: int) -> str:
    """The marker of the curve with this number; after the last marker they start again."""
    return MARKERS[number % len(MARKERS)]


def name_colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for each name in order, repeated names counted once."""
    distinct = dict.fromkeys(names)
    return {name: colour_of(i) for i, name in enumerate(distinct)}


def legend_entry(label: str, **style: Any) -> Line2D:
    """A line for a legend."""
    return Line2D([], [], label=label, **style)


def add_legend(figure: Figure, handles: Sequence[Line2D | Patch]) -> None:
    """Add a legend above the axes: in one line where there is room, else in equal columns."""
    if not handles:
        return
    labels = [str(handle.get_label()) for handle in handles]
    widths = [len(label) + 6 for label in labels]
    room = int(CHARACTERS_PER_INCH * WIDTH)
    columns = len(handles)
    if sum(widths) > room:
        widest = max(widths)
        columns = max(1, room // widest)
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=columns,
        handlelength=1.6,
    )


def label_images_axis(axes: Axes) -> None:
    """Let the horizontal axis count images seen: from 0, in thousands or millions."""
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    formatter = FuncFormatter(lambda images, _: _with_unit(images))
    axes.xaxis.set_major_formatter(formatter)


def draw_row_lines(axes: Axes) -> None:
    """Draw light horizontal lines behind the curves."""
    axes.grid(axis="y", color=GRID)


def thin_out(lines: Sequence[Line], key: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Images seen and the values of `key`; of many lines, means over neighbours."""
    points = [(line["images"], line[key]) for line in lines]
    table = np.array(points, dtype=float).reshape(-1, 2)
    if len(table):
        count = min(len(table), MOST_POINTS)
        parts = np.array_split(table, count)
        table = np.array([part.mean(axis=0) for part in parts])
    images, values = table.T
    return images, values


def running_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means over a fifteenth of the values around each; at the ends over those that are there."""
    width = max(1, len(values) // 15)
    kernel = np.ones(width)
    ones = np.ones_like(values)
    sums = np.convolve(values, kernel, "same")
    counts = np.convolve(ones, kernel, "same")
    means: NDArray[np.float64] = sums / counts
    return means


def plot_log(axes: Axes, lines: Sequence[Line], key: str, colour: str) -> None:
    """Plot a logged value over images seen, thin, and its running mean, bold."""
    images, values = thin_out(lines, key)
    axes.plot(images, values, color=colour, **LOGGED)
    if len(values):
        values = running_mean(values)
    axes.plot(images, values, color=colour, **MEAN)


def shorten(name: str, most: int = 22) -> str:
    """A long name with its middle left out."""
    if len(name) <= most:
        return name
    start = name[: most - 8]
    end = name[-7:]
    return f"{start}…{end}"


def _with_unit(images: float) -> str:
    if images >= 1_000_000:
        return f"{images / 1_000_000:g}M"
    if images >= 1000:
        return f"{images / 1000:g}k"
    return f"{images:g}"
