"""Detectors' scores as figures: pure functions from plain data to a matplotlib Figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fauxlab.pages.figures import (
    CURVE,
    LIMIT,
    WIDTH,
    Style,
    add_legend,
    colour_of,
    draw_row_lines,
    legend_entry,
    marker_of,
    shorten,
    styled,
)
from fauxlab.records import Confusion, Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fauxlab.calibration.fit import Bin

# Apart from the generators' colours.
DETECTOR_COLOURS = ("#8a8a8a", "#d48ab5", "#8f2f6b", "#1b1b1f")
# White is chance (0.5), blue better, orange worse.
WORSE = "#d55e00"
CHANCE = "#ffffff"
BETTER = "#004c97"
SCALE = LinearSegmentedColormap.from_list("chance", [WORSE, CHANCE, BETTER])
CENTRED: Style = {"ha": "center", "va": "center"}


@dataclass(frozen=True)
class Matrix:
    """A heat map of values in rows and columns; None is a value that was not measured."""

    title: str
    rows: list[str]
    columns: list[str]
    values: list[list[float | None]]
    framed: list[tuple[int, int]] = field(default_factory=list)  # cells with a frame
    line_above: int | None = None  # row with a line above it


@styled
def draw_overview(
    generators: Sequence[str], metrics: Mapping[str, Mapping[str, Sequence[Interval | None]]]
) -> Figure:
    """A panel for each metric: every detector's figure on every generator, with its interval.

    `metrics` maps metric → detector → an interval for each generator.
    """
    rows = len(generators)
    height = 1.1 + 0.5 * rows
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    (panels,) = figure.subplots(1, len(metrics), sharey=True, squeeze=False)
    for axes, (metric, series) in zip(panels, metrics.items(), strict=True):
        _plot_metric(axes, series, rows)
        axes.set_xlabel(metric)
    first = panels[0]
    names = [shorten(name) for name in generators]
    first.set_yticks(range(rows), names)
    first.set_ylim(rows - 0.5, -0.5)
    detectors = next(iter(metrics.values()))
    handles = []
    for number, name in enumerate(detectors):
        colour = DETECTOR_COLOURS[number % 4]
        handle = legend_entry(name, color=colour, marker=marker_of(number))
        handles.append(handle)
    add_legend(figure, handles)
    return figure


def _plot_metric(axes: Axes, series: Mapping[str, Sequence[Interval | None]], rows: int) -> None:
    """All detectors' figures, those of one generator on the same line."""
    detectors = len(series)
    middle = (detectors - 1) / 2
    for number, intervals in enumerate(series.values()):
        # Detectors stand beside each other on the line of a generator.
        from_middle = number - middle
        shift = from_middle * 0.7 / detectors
        _plot_intervals(axes, number, intervals, shift)
    axes.axvline(0.5, **LIMIT)
    axes.set_xlim(right=1.02)
    for row in range(1, rows):
        axes.axhline(row - 0.5, color="#dddddd", linewidth=0.8)


def _plot_intervals(
    axes: Axes, number: int, intervals: Sequence[Interval | None], shift: float
) -> None:
    """One detector's figures on all generators, each a marker on a line as long as its interval."""
    colour = DETECTOR_COLOURS[number % 4]
    for row, interval in enumerate(intervals):
        if interval is None or interval.value is None:
            continue
        height = row + shift
        if interval.low is not None and interval.high is not None:
            ends = [interval.low, interval.high]
            axes.plot(ends, [height, height], color=colour, linewidth=1.5)
        axes.plot(
            interval.value,
            height,
            marker_of(number),
            color=colour,
            markersize=5.5,
        )


@styled
def draw_confusions(parts: Sequence[tuple[str, Confusion]]) -> Figure:
    """A 2×2 confusion matrix for each named part: counts, and shares of the rows as colour."""
    count = len(parts)
    rows = max(1, math.ceil(count / 5))
    columns = max(1, math.ceil(count / rows))
    side = min(2.2, WIDTH / columns)
    width = side * columns + 0.3
    height = (side + 0.35) * rows
    figure = Figure(figsize=(width, height), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat[count:]:
        axes.axis("off")
    for number, (name, cells) in enumerate(parts):
        axes = panels.flat[number]
        _plot_confusion(axes, cells)
        title = shorten(name, int(10 * side))
        axes.set_title(title, fontweight="bold")
        axes.set_xticks([0, 1], ["called\nreal", "called\nfake"])
        first_of_row = number % columns == 0
        labels = ["", ""]
        if first_of_row:
            labels = ["real", "fake"]
        axes.set_yticks([0, 1], labels)
        _hide_frame(axes)
    return figure


def _plot_confusion(axes: Axes, cells: Confusion) -> None:
    reals = [cells.real_as_real, cells.real_as_fake]
    fakes = [cells.fake_as_real, cells.fake_as_fake]
    counts = np.array([reals, fakes])
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        share = shares[row, column]
        percent = 100 * share
        text = f"{count:,}\n{percent:.1f}%"
        colour = "white" if share > 0.55 else "black"
        axes.text(column, row, text, color=colour, **CENTRED)


@styled
def draw_matrices(panels: Sequence[Matrix]) -> Figure:
    """Heat maps with the same rows, side by side where they fit, else one below the other."""
    first = panels[0]
    columns = len(first.columns)
    height = 1.1 + 0.42 * len(first.rows)
    count = len(panels)
    shape = (1, count)
    beside = columns * count <= 12
    if beside:
        columns *= count
    else:
        height *= count
        shape = (count, 1)
    longest = max(len(shorten(name)) for name in first.rows)
    label = 0.09 * longest
    room = WIDTH - label
    cell = min(1.0, room / columns)
    wanted = label + cell * columns + 0.3
    width = min(WIDTH, max(wanted, 4.0))
    figure = Figure(figsize=(width, height), layout="constrained")
    all_axes = figure.subplots(*shape, squeeze=False).flat
    font_size = min(10, 12 * cell)
    for axes, matrix in zip(all_axes, panels, strict=True):
        # Maps side by side have the same rows: only the first one names them.
        named = matrix is first or not beside
        _plot_matrix(axes, matrix, named, font_size)
    return figure


def _plot_matrix(axes: Axes, matrix: Matrix, named: bool, font_size: float) -> None:
    """One heat map; with `named` its rows have their names."""
    values = np.array(matrix.values, dtype=float)  # None becomes nan
    masked = np.ma.masked_invalid(values)
    axes.imshow(masked, cmap=SCALE, vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        dark = abs(value - 0.5) > 0.3
        text = "–" if math.isnan(value) else f"{value:.3f}"
        colour = "white" if dark else "black"
        axes.text(column, row, text, fontsize=font_size, color=colour, **CENTRED)
    for row, column in matrix.framed:
        corner = (column - 0.46, row - 0.44)
        frame = Rectangle(
            corner,
            width=0.92,
            height=0.88,
            fill=False,
            edgecolor="black",
            linewidth=2,
        )
        axes.add_patch(frame)
    if matrix.line_above is not None:
        axes.axhline(matrix.line_above - 0.5, color="black", linewidth=1.5)
    axes.set_title(matrix.title, fontweight="bold", pad=8)
    _name_columns(axes, matrix.columns)
    names = [""] * len(matrix.rows)
    if named:
        names = [shorten(name, 30) for name in matrix.rows]
    axes.set_yticks(range(len(names)), names)
    _hide_frame(axes)


def _name_columns(axes: Axes, names: Sequence[str]) -> None:
    """Names below the columns, slanted where they are long."""
    long = max(len(name) for name in names) > 7
    axes.set_xticks(
        range(len(names)),
        [shorten(name) for name in names],
        rotation=25 if long else 0,
        ha="right" if long else "center",
        rotation_mode="anchor",
    )


def _hide_frame(axes: Axes) -> None:
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


@styled
def draw_reliability(series: Mapping[str, Sequence[Bin]], title: str = "") -> Figure:
    """Share of fakes over the score for each detector, and below it how many pictures score so.

    On the diagonal a score is the probability that it says it is.
    """
    side = WIDTH / 2
    figure = Figure(figsize=(side, side + 0.8), layout="constrained")
    curves, counts = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    curves.plot([0, 1], [0, 1], **LIMIT)
    handles = []
    for number, (name, bins) in enumerate(series.items()):
        style: Style = {"color": colour_of(number), "marker": marker_of(number)}
        scores = [part.score for part in bins]
        shares = [part.share for part in bins]
        curves.plot(scores, shares, **style, **CURVE)
        sizes = [part.n for part in bins]
        counts.plot(scores, sizes, markersize=3.5, linewidth=1.2, **style)
        label = f"{shorten(name)} (N = {sum(sizes):,})"
        handles.append(legend_entry(label, **style))
    curves.set_xlim(-0.02, 1.02)
    curves.set_ylim(-0.02, 1.02)
    curves.set_ylabel("share of fakes")
    curves.set_title(shorten(title, 40), fontweight="bold")
    counts.set_ylim(bottom=0)
    counts.set_ylabel("pictures")
    counts.set_xlabel("score P(fake)")
    for axes in (curves, counts):
        draw_row_lines(axes)
    figure.legend(handles=handles, loc="outside upper center", ncols=1)
    return figure
