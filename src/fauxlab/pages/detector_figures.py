"""The figures of the detector page: pure functions from plain data to a matplotlib Figure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from fauxlab.io.text import replace_file
from fauxlab.pages.figures import (
    COLOURS,
    GREY,
    GRID,
    MARKERS,
    WIDTH,
    add_legend,
    count_images,
    name_colours,
    render,
    short,
    smooth,
    styled,
    thinned,
)
from fauxlab.records import Confusion, Interval
from fauxlab.training.run_log import Line

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from fauxlab.calibration.fit import Bin

# apart from the generators' colours
DETECTOR_COLOURS = ("#8a8a8a", "#d48ab5", "#8f2f6b", "#1b1b1f")
NEUTRAL = "#3b3b6d"
# White is chance (0.5), blue better, orange worse.
SCALE = LinearSegmentedColormap.from_list("chance", ["#d55e00", "#ffffff", "#004c97"])


@dataclass(frozen=True)
class Matrix:
    """A heat map: values in rows and columns (None: not measured), framed cells, and a line above
    row `rule`.
    """

    title: str
    rows: list[str]
    columns: list[str]
    values: list[list[float | None]]
    framed: list[tuple[int, int]] = field(default_factory=list)
    rule: int | None = None


def save_training_figure(log: Iterable[Line], folder: Path) -> Path:
    """Draw a run's log.jsonl lines into `folder/training.png`; returns its path."""
    lines = list(log)
    steps = [line for line in lines if line["event"] == "step"]
    epochs = [line for line in lines if line["event"] == "epoch" and "val_loss" in line]
    colours = name_colours([*(line["stage"] for line in steps), *_generators(epochs)])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "training.png"
    replace_file(path, render(draw_training(steps, epochs, colours), "png"))
    return path


@styled
def draw_overview(
    generators: Sequence[str], metrics: Mapping[str, Mapping[str, Sequence[Interval | None]]]
) -> Figure:
    """A panel a metric: for every generator one marker with its interval a detector (metric →
    detector → intervals).
    """
    figure = Figure(figsize=(WIDTH, 1.1 + 0.5 * len(generators)), layout="constrained")
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    detectors = list(next(iter(metrics.values())))
    for axes, (metric, series) in zip(panels, metrics.items(), strict=True):
        for k, intervals in enumerate(series.values()):
            shift = (k - (len(series) - 1) / 2) * 0.7 / len(series)
            for i, interval in enumerate(intervals):
                if interval is None or interval.value is None:
                    continue
                colour, marker = DETECTOR_COLOURS[k % 4], MARKERS[k % len(MARKERS)]
                if interval.low is not None:
                    axes.plot(
                        [interval.low, interval.high], [i + shift] * 2, color=colour, linewidth=1.5
                    )
                axes.plot(interval.value, i + shift, marker, color=colour, markersize=5.5)
        axes.axvline(0.5, color=GREY, linestyle=":", linewidth=1)
        axes.set_xlabel(metric)
        axes.set_xlim(right=1.02)
        for i in range(1, len(generators)):
            axes.axhline(i - 0.5, color="#dddddd", linewidth=0.8)
    panels[0].set_yticks(range(len(generators)), [short(name) for name in generators])
    panels[0].set_ylim(len(generators) - 0.5, -0.5)
    handles = [
        Line2D([], [], color=DETECTOR_COLOURS[k % 4], marker=MARKERS[k % len(MARKERS)], label=name)
        for k, name in enumerate(detectors)
    ]
    add_legend(figure, handles)
    return figure


@styled
def draw_confusions(parts: Sequence[tuple[str, Confusion]]) -> Figure:
    """A 2×2 confusion matrix for each named part: counts, and the share of the row, which is also
    the colour.
    """
    lines = max(1, -(-len(parts) // 5))
    columns = max(1, -(-len(parts) // lines))
    side = min(2.2, WIDTH / columns)
    figure = Figure(figsize=(side * columns + 0.3, (side + 0.35) * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes in grid.flat[len(parts) :]:
        axes.axis("off")
    for k, (name, cells) in enumerate(parts):
        axes = grid.flat[k]
        counts = np.array(
            [[cells.real_as_real, cells.real_as_fake], [cells.fake_as_real, cells.fake_as_fake]]
        )
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (i, j), count in np.ndenumerate(counts):
            text = f"{count:,}\n{100 * shares[i, j]:.1f}%"
            axes.text(
                j,
                i,
                text,
                ha="center",
                va="center",
                color="white" if shares[i, j] > 0.55 else "black",
            )
        axes.set_title(short(name, int(10 * side)), fontweight="bold")
        axes.set_xticks([0, 1], ["called\nreal", "called\nfake"])
        axes.set_yticks([0, 1], ["real", "fake"] if k % columns == 0 else ["", ""])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    return figure


@styled
def draw_losses(
    runs: Sequence[tuple[str, Sequence[Line], Sequence[Line]]], colours: Mapping[str, str]
) -> Figure:
    """Small multiples, a panel a run (title, steps, epochs): loss over the images seen."""
    columns = max(1, min(len(runs), 3 if len(runs) != 4 else 2))
    lines = max(1, -(-len(runs) // columns))
    figure = Figure(figsize=(WIDTH, 2.3 * lines + 0.3), layout="constrained")
    grid = figure.subplots(lines, columns, sharey=True, squeeze=False)
    for axes in grid.flat[len(runs) :]:
        axes.axis("off")
    for axes, (title, steps, epochs) in zip(grid.flat, runs, strict=False):
        _plot_loss(axes, steps, epochs, colours)
        axes.set_title(short(title), fontweight="bold")
        axes.set_xlabel("images seen")
    for axes in grid[:, 0]:
        axes.set_ylabel("loss")
    top = max((_loss_top(steps, epochs) for _, steps, epochs in runs), default=1.0)
    grid[0, 0].set_ylim(0, top)
    return figure


@styled
def draw_training(
    steps: Sequence[Line], epochs: Sequence[Line], colours: Mapping[str, str]
) -> Figure:
    """One run: loss coloured by stage, and below it the share of validation images called right, by
    generator.
    """
    judged = [line for line in epochs if line.get("val_fake_accuracy")]
    figure = Figure(figsize=(WIDTH, 5.2 if judged else 3.2), layout="constrained")
    panels = figure.subplots(2 if judged else 1, 1, sharex=True, squeeze=False)[:, 0]
    panels[0].set_ylim(0, _loss_top(steps, epochs))
    _plot_loss(panels[0], steps, epochs, colours)
    panels[0].set_ylabel("loss")
    ends = [lines[-1]["images"] for _, lines in _stages(steps)]
    for axes in panels:
        for end in ends[:-1]:
            axes.axvline(end, color="#bbbbbb", linewidth=1)
    if judged:
        _plot_shares(panels[1], judged, colours)
    panels[-1].set_xlabel("images seen")
    markers = {name: MARKERS[k % len(MARKERS)] for k, name in enumerate(_generators(judged))}
    handles = [
        Line2D(
            [],
            [],
            color=colours.get(name, NEUTRAL),
            marker=markers.get(name, ""),
            linewidth=2.5,
            label=short(name),
        )
        for name in dict.fromkeys([*(name for name, _ in _stages(steps)), *markers])
    ]
    handles.append(
        Line2D(
            [], [], color=GREY, linestyle="", marker="o", mec="black", ms=5, label="validation loss"
        )
    )
    if judged:
        handles.append(Line2D([], [], color="black", linestyle="--", label="reals"))
    add_legend(figure, handles)
    return figure


@styled
def draw_matrices(panels: Sequence[Matrix]) -> Figure:
    """Heat maps with the same rows, side by side where they fit, else one below the other."""
    columns, rows = len(panels[0].columns), len(panels[0].rows)
    beside = columns * len(panels) <= 12
    label = 0.09 * max(len(short(name)) for name in panels[0].rows)
    cell = min(1.0, (WIDTH - label) / (columns * (len(panels) if beside else 1)))
    width = label + cell * columns * (len(panels) if beside else 1) + 0.3
    height = (1.1 + 0.42 * rows) * (1 if beside else len(panels))
    figure = Figure(figsize=(min(WIDTH, max(width, 4.0)), height), layout="constrained")
    shape = (1, len(panels)) if beside else (len(panels), 1)
    for k, (axes, matrix) in enumerate(
        zip(figure.subplots(*shape, squeeze=False).flat, panels, strict=True)
    ):
        _plot_matrix(axes, matrix, names=k == 0 or not beside, size=min(10, 12 * cell))
    return figure


@styled
def draw_reliability(series: Mapping[str, Sequence[Bin]], title: str = "") -> Figure:
    """Share of fakes over the score, a curve a detector, and below it how many pictures have that
    score.

    On the diagonal a score is the probability that it says it is.
    """
    figure = Figure(figsize=(WIDTH / 2, WIDTH / 2 + 0.8), layout="constrained")
    curves, counts = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    curves.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    handles = []
    for k, (name, bins) in enumerate(series.items()):
        colour, marker = COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]
        score = [b.score for b in bins]
        curves.plot(
            score,
            [b.share for b in bins],
            color=colour,
            marker=marker,
            markersize=4.5,
            linewidth=1.8,
        )
        counts.plot(
            score, [b.n for b in bins], color=colour, marker=marker, markersize=3.5, linewidth=1.2
        )
        total = sum(b.n for b in bins)
        handles.append(
            Line2D([], [], color=colour, marker=marker, label=f"{short(name)} (N = {total:,})")
        )
    curves.set_xlim(-0.02, 1.02)
    curves.set_ylim(-0.02, 1.02)
    curves.set_ylabel("share of fakes")
    curves.set_title(short(title, 40), fontweight="bold")
    counts.set_ylim(bottom=0)
    counts.set_ylabel("pictures")
    counts.set_xlabel("score P(fake)")
    for axes in (curves, counts):
        axes.grid(axis="y", color=GRID)
    figure.legend(handles=handles, loc="outside upper center", ncols=1)
    return figure


def _plot_matrix(axes: Axes, matrix: Matrix, names: bool, size: float) -> None:
    values = np.array(
        [[math.nan if v is None else v for v in row] for row in matrix.values], dtype=float
    )
    axes.imshow(np.ma.masked_invalid(values), cmap=SCALE, vmin=0, vmax=1, aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        dark = abs(value - 0.5) > 0.3
        text = "–" if math.isnan(value) else f"{value:.3f}"
        axes.text(
            j, i, text, ha="center", va="center", fontsize=size, color="white" if dark else "black"
        )
    for i, j in matrix.framed:
        box = Rectangle(
            (j - 0.46, i - 0.44), 0.92, 0.88, fill=False, edgecolor="black", linewidth=2
        )
        axes.add_patch(box)
    if matrix.rule is not None:
        axes.axhline(matrix.rule - 0.5, color="black", linewidth=1.5)
    axes.set_title(matrix.title, fontweight="bold", pad=8)
    long = max(len(name) for name in matrix.columns) > 7
    axes.set_xticks(
        range(len(matrix.columns)),
        [short(name) for name in matrix.columns],
        rotation=25 if long else 0,
        ha="right" if long else "center",
        rotation_mode="anchor",
    )
    axes.set_yticks(
        range(len(matrix.rows)), [short(name, 30) if names else "" for name in matrix.rows]
    )
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _plot_loss(
    axes: Axes, steps: Sequence[Line], epochs: Sequence[Line], colours: Mapping[str, str]
) -> None:
    """Training loss thin, its running mean bold, validation loss as dots; what lies above the axes
    is named there.
    """
    for stage, lines in _stages(steps):
        x, loss = thinned(lines, "loss")
        colour = colours.get(stage, NEUTRAL)
        axes.plot(x, loss, color=colour, linewidth=0.7, alpha=0.45)
        axes.plot(x, smooth(loss), color=colour, linewidth=2.2)
    top = _loss_top(steps, epochs)
    for line in epochs:
        value = line.get("val_loss")
        if value is None or not math.isfinite(value):
            continue
        colour = to_hex(colours.get(line["stage"], NEUTRAL))
        if value > top:
            axes.plot(
                line["images"], 0.97 * top, "^", color=colour, markeredgecolor="black", markersize=6
            )
            axes.text(line["images"], 0.92 * top, f"{value:.1f}", ha="center", va="top", fontsize=8)
        else:
            axes.plot(
                line["images"],
                value,
                "o",
                color=colour,
                markeredgecolor="black",
                markersize=5,
                zorder=3,
            )
    axes.grid(axis="y", color=GRID)
    count_images(axes)


def _plot_shares(axes: Axes, epochs: Sequence[Line], colours: Mapping[str, str]) -> None:
    x = [line["images"] for line in epochs]
    for k, name in enumerate(_generators(epochs)):
        share = [line["val_fake_accuracy"].get(name, math.nan) for line in epochs]
        marker = MARKERS[k % len(MARKERS)]
        axes.plot(
            x, share, color=colours.get(name, NEUTRAL), marker=marker, markersize=4.5, linewidth=1.8
        )
    reals = [
        math.nan if line.get("val_real_accuracy") is None else line["val_real_accuracy"]
        for line in epochs
    ]
    axes.plot(x, reals, color="black", linestyle="--", linewidth=1.4)
    axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel("validation images\ncalled right")
    axes.grid(axis="y", color=GRID)


def _stages(steps: Sequence[Line]) -> list[tuple[str, list[Line]]]:
    return [(str(stage), list(lines)) for stage, lines in groupby(steps, key=itemgetter("stage"))]


def _generators(epochs: Sequence[Line]) -> list[str]:
    return list(dict.fromkeys(name for line in epochs for name in line["val_fake_accuracy"]))


def _loss_top(steps: Sequence[Line], epochs: Sequence[Line]) -> float:
    """Upper end of the loss axis: the training loss decides, so that one bad validation does not
    flatten it.
    """
    usual = float(np.percentile([line["loss"] for line in steps] or [math.log(2)], 99.5))
    seen = [
        float(v) for line in epochs if (v := line.get("val_loss")) is not None and math.isfinite(v)
    ]
    return 1.1 * max([usual, *(min(v, 1.5 * usual) for v in seen)])
