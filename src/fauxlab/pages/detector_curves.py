"""Training curves of detectors: pure functions from lines of a run's log to a matplotlib Figure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from fauxlab.io.text import replace_file
from fauxlab.pages.figures import (
    CURVE,
    GREY,
    WIDTH,
    Style,
    add_legend,
    draw_row_lines,
    label_images_axis,
    legend_entry,
    marker_of,
    name_colours,
    plot_log,
    render,
    shorten,
    styled,
)
from fauxlab.training.run_log import Line

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

NEUTRAL = "#3b3b6d"  # of stages that are no generator
REALS: Style = {"color": "black", "linestyle": "--"}


def save_training_figure(log: Iterable[Line], folder: Path) -> Path:
    """Draw a run's log.jsonl lines into `folder/training.png`; returns its path."""
    steps = []
    epochs = []
    for line in log:
        if line["event"] == "step":
            steps.append(line)
        elif line["event"] == "epoch" and "val_loss" in line:
            epochs.append(line)
    stages = [line["stage"] for line in steps]
    generators = _list_generators(epochs)
    colours = name_colours([*stages, *generators])
    figure = draw_training(steps, epochs, colours)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "training.png"
    replace_file(path, render(figure, "png"))
    return path


@styled
def draw_losses(
    runs: Sequence[tuple[str, Sequence[Line], Sequence[Line]]], colours: Mapping[str, str]
) -> Figure:
    """Loss over the images seen, a panel for each run (title, steps, epochs), all on one scale."""
    count = len(runs)
    most = 2 if count == 4 else 3
    columns = max(1, min(count, most))
    rows = max(1, math.ceil(count / columns))
    height = 2.3 * rows + 0.3
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes in panels.flat[count:]:
        axes.axis("off")
    for axes, (title, steps, epochs) in zip(panels.flat, runs, strict=False):
        _plot_loss(axes, steps, epochs, colours)
        axes.set_title(shorten(title), fontweight="bold")
        axes.set_xlabel("images seen")
    for axes in panels[:, 0]:
        axes.set_ylabel("loss")
    tops = [_find_top(steps, epochs) for _, steps, epochs in runs]
    top = max(tops, default=1.0)
    panels[0, 0].set_ylim(0, top)
    return figure


@styled
def draw_training(
    steps: Sequence[Line], epochs: Sequence[Line], colours: Mapping[str, str]
) -> Figure:
    """One run: its loss coloured by stage, and below it the accuracy on validation images.

    The accuracy is drawn for each generator's fakes and for the real photos.
    """
    validated = [line for line in epochs if line.get("val_fake_accuracy")]
    rows = 2 if validated else 1
    height = 5.2 if validated else 3.2
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    panels = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    upper = panels[0]
    lowest = panels[-1]
    upper.set_ylim(0, _find_top(steps, epochs))
    _plot_loss(upper, steps, epochs, colours)
    upper.set_ylabel("loss")
    _separate_stages(panels, steps)
    if validated:
        _plot_accuracy(lowest, validated, colours)
    lowest.set_xlabel("images seen")
    handles = _list_handles(steps, validated, colours)
    add_legend(figure, handles)
    return figure


def _separate_stages(panels: Iterable[Axes], steps: Sequence[Line]) -> None:
    """Draw a vertical line where one stage ends and the next begins."""
    ends = [lines[-1]["images"] for _, lines in _split_stages(steps)]
    for axes in panels:
        for end in ends[:-1]:
            axes.axvline(end, color="#bbbbbb", linewidth=1)


def _list_handles(
    steps: Sequence[Line], validated: Sequence[Line], colours: Mapping[str, str]
) -> list[Line2D]:
    """Entries of the legend: stages and generators, validation loss, and reals."""
    generators = _list_generators(validated)
    markers = {name: marker_of(i) for i, name in enumerate(generators)}
    stages = [name for name, _ in _split_stages(steps)]
    handles = []
    for name in dict.fromkeys([*stages, *generators]):
        handle = legend_entry(
            shorten(name),
            color=colours.get(name, NEUTRAL),
            marker=markers.get(name, ""),
            linewidth=2.5,
        )
        handles.append(handle)
    dot: Style = {"marker": "o", "markeredgecolor": "black", "markersize": 5}
    handles.append(legend_entry("validation loss", color=GREY, linestyle="", **dot))
    if validated:
        handles.append(legend_entry("reals", **REALS))
    return handles


def _plot_loss(
    axes: Axes, steps: Sequence[Line], epochs: Sequence[Line], colours: Mapping[str, str]
) -> None:
    """Training loss thin, its running mean bold, validation loss as dots.

    A validation loss above the panel is a triangle at its upper end, with its value.
    """
    for stage, lines in _split_stages(steps):
        plot_log(axes, lines, "loss", colours.get(stage, NEUTRAL))
    top = _find_top(steps, epochs)
    for line in epochs:
        loss = line.get("val_loss")
        if loss is None or not math.isfinite(loss):
            continue
        images = line["images"]
        colour = to_hex(colours.get(line["stage"], NEUTRAL))
        style: Style = {"color": colour, "markeredgecolor": "black"}
        if loss > top:
            axes.plot(images, 0.97 * top, "^", markersize=6, **style)
            axes.text(
                images,
                0.92 * top,
                f"{loss:.1f}",
                ha="center",
                va="top",
                fontsize=8,
            )
        else:
            axes.plot(images, loss, "o", markersize=5, zorder=3, **style)
    draw_row_lines(axes)
    label_images_axis(axes)


def _plot_accuracy(axes: Axes, epochs: Sequence[Line], colours: Mapping[str, str]) -> None:
    """Share of validation images called right: a curve for each generator, and one for reals."""
    images = [line["images"] for line in epochs]
    for number, name in enumerate(_list_generators(epochs)):
        shares = [line["val_fake_accuracy"].get(name, math.nan) for line in epochs]
        axes.plot(
            images,
            shares,
            color=colours.get(name, NEUTRAL),
            marker=marker_of(number),
            **CURVE,
        )
    reals = []
    for line in epochs:
        share = line.get("val_real_accuracy")
        reals.append(math.nan if share is None else share)
    axes.plot(images, reals, linewidth=1.4, **REALS)
    axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel("validation images\ncalled right")
    draw_row_lines(axes)


def _split_stages(steps: Sequence[Line]) -> list[tuple[str, list[Line]]]:
    stages = []
    for stage, lines in groupby(steps, key=itemgetter("stage")):
        stages.append((str(stage), list(lines)))
    return stages


def _list_generators(epochs: Sequence[Line]) -> list[str]:
    names: dict[str, None] = {}
    for line in epochs:
        names |= dict.fromkeys(line["val_fake_accuracy"])
    return list(names)


def _find_top(steps: Sequence[Line], epochs: Sequence[Line]) -> float:
    """Upper end of the loss axis.

    The training loss decides, so that one bad validation does not flatten it.
    """
    losses = [line["loss"] for line in steps] or [math.log(2)]
    usual = float(np.percentile(losses, 99.5))
    most = 1.5 * usual
    top = usual
    for line in epochs:
        loss = line.get("val_loss")
        if loss is not None and math.isfinite(loss):
            bounded = min(float(loss), most)
            top = max(top, bounded)
    return 1.1 * top
