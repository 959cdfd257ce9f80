"""What the figures of both pages share: the style, the colours, and `render`, which turns a Figure
into SVG or PNG.

No pyplot; the style holds only while a figure is drawn, so other users of matplotlib in the program
see no change. Figures are at most 9.2 inches wide, which is the width of the page's column, so
their text keeps its size there.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

import matplotlib
import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from numpy.typing import NDArray

    from fauxlab.training.run_log import Line

P = ParamSpec("P")

WIDTH = 9.2
# After Okabe and Ito (colours that colour-blind readers tell apart), begun as the report's Fig. 2:
# dark blue, light blue, green. Those that would be hard to tell on white are darkened.
COLOURS = ("#004c97", "#56b4e9", "#009e73", "#e69f00", "#cc79a7", "#d55e00", "#7f5f00", "#555555")
GREY = "#6f6f6f"
GRID = "#e8e8e8"
MARKERS = "osD^vP"
MOST_POINTS = 600  # of a curve, so that the page stays small
STYLE: Any = {
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
    metadata = {"Creator": None, "Date": None} if form == "svg" else {"Software": None}
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        # a name in a script that the font lacks shows as boxes
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(stream, format=form, dpi=150, metadata=metadata)
        figure.set_layout_engine("none")
    return stream.getvalue()


def name_colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for each name in order; after the last colour they start again."""
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(dict.fromkeys(names))}


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """A drawing function that draws in the pages' style."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return drawn


def add_legend(figure: Figure, handles: Sequence[Line2D | Patch]) -> None:
    """Above the axes: in one line where the labels leave room, else in columns for the longest of
    them.
    """
    if not handles:
        return
    widths = [len(str(handle.get_label())) + 6 for handle in handles]
    room = int(11.5 * WIDTH)  # characters
    columns = len(handles) if sum(widths) <= room else max(1, room // max(widths))
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, handlelength=1.6)


def count_images(axes: Axes) -> None:
    """Make the horizontal axis one of images seen: from 0, in thousands or millions."""
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _rounded(x)))


def thinned(lines: Sequence[Line], key: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Images and the values of `key`; of many lines the means of neighbouring ones."""
    values = np.array([[line["images"], line[key]] for line in lines], dtype=float).reshape(-1, 2)
    if not len(values):
        return values[:, 0], values[:, 1]
    means = np.array(
        [part.mean(axis=0) for part in np.array_split(values, min(len(values), MOST_POINTS))]
    )
    return means[:, 0], means[:, 1]


def smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centred running mean over a fifteenth of the values; at the ends over those that are there."""
    kernel = np.ones(max(1, len(values) // 15))
    means: NDArray[np.float64] = np.convolve(values, kernel, "same") / np.convolve(
        np.ones_like(values), kernel, "same"
    )
    return means


def short(name: str, most: int = 22) -> str:
    """A long name with its middle left out."""
    return name if len(name) <= most else f"{name[: most - 8]}…{name[-7:]}"


def _rounded(images: float) -> str:
    for unit, name in ((1_000_000, "M"), (1000, "k")):
        if images >= unit:
            return f"{images / unit:g}{name}"
    return f"{images:g}"
