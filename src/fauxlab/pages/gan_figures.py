"""Distances and training curves of GAN runs: pure functions from log lines to a Figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from fauxlab.io.text import replace_file
from fauxlab.pages.figures import (
    CURVE,
    GREY,
    LIMIT,
    WIDTH,
    Style,
    add_legend,
    colour_of,
    draw_row_lines,
    label_images_axis,
    legend_entry,
    marker_of,
    plot_log,
    render,
    shorten,
    styled,
)
from fauxlab.pages.gan_words import format_number
from fauxlab.pages.guard_figure import draw_guard, mark_alarms, scale_axis
from fauxlab.training.gan.step_controller import HIGH, LOW
from fauxlab.training.run_log import RISEN, GanRun, Line, alike, number

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

GENERATOR = "#d55e00"
DISCRIMINATOR = "#004c97"
REALS = "#009e73"
FAKES = "#cc79a7"
YELLOW = "#ffd400"
STAR: Style = {"marker": "*", "linestyle": "", "markeredgecolor": "black"}
FLOOR: Style = {"color": "black", "linestyle": "--"}


def save_gan_figures(log: Iterable[Line], folder: Path) -> list[Path]:
    """Draw a run's log.jsonl lines into `folder`; returns the paths of the figures.

    They are distance.png, training.png and guard.png, each where the log has such lines.
    """
    run = GanRun.from_log(log)
    figures = {}
    if run.best:
        figures["distance.png"] = draw_distance(run)
    if run.steps:
        figures["training.png"] = draw_gan_training(run)
    if run.guard:
        figures["guard.png"] = draw_guard(run)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in figures.items():
        path = folder / name
        replace_file(path, render(figure, "png"))
        paths.append(path)
    return paths


@styled
def draw_distances(runs: Sequence[GanRun]) -> Figure:
    """All runs: distance above the floor over images seen.

    Runs that were evaluated in the same way share a panel.
    """
    groups = alike(runs)
    rows = len(groups)
    height = 0.4 + 2.8 * rows
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    panels = figure.subplots(rows, 1, squeeze=False)
    handles = []
    for axes, group in zip(panels.flat, groups, strict=True):
        distances: list[float] = []
        for run in group:
            place = runs.index(run)
            style: Style = {}
            style["color"] = colour_of(place)
            style["marker"] = marker_of(place)
            distances += _plot_above_floor(axes, run, style)
            name = shorten(run.name)
            handles.append(legend_entry(name, markersize=4.5, **style))
        scale_axis(axes, distances)
        evaluation = group[0].evaluation
        label = evaluation.get("label", "distance")
        axes.set_ylabel(f"{label}\nabove the floor")
        draw_row_lines(axes)
        label_images_axis(axes)
        axes.set_xlabel("images seen")
    handles.append(legend_entry("best", color=GREY, markersize=11, **STAR))
    add_legend(figure, handles)
    return figure


def _plot_above_floor(axes: Axes, run: GanRun, style: Style) -> list[float]:
    """Plot a run's distances above the floor, with a star at the best; returns the distances."""
    images = []
    distances = []
    for line in run.evals:
        above = run.above(line)
        if above is not None:
            images.append(line["images"])
            distances.append(above)
    axes.plot(images, distances, **style, **CURVE)
    best = run.above(run.best)
    if run.best and best is not None:
        star: Style = {**STAR, "color": style["color"]}
        axes.plot(run.best["images"], best, markersize=14, zorder=4, **star)
    return distances


@styled
def draw_distance(run: GanRun) -> Figure:
    """One run: distance over images seen, with the floor, the best, and the guard's alarms.

    The upper axis counts epochs, where their length is known.
    """
    lines = [line for line in run.evals if number(line, "distance") is not None]
    best = run.best or lines[0]
    label = str(run.evaluation.get("label", "distance"))
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    axes = figure.subplots()
    images = [line["images"] for line in lines]
    distances = [line["distance"] for line in lines]
    curve: Style = {"color": DISCRIMINATOR, "marker": "o"}
    axes.plot(images, distances, **curve, **CURVE)
    handles = [legend_entry(label, markersize=4.5, **curve)]
    handles += _mark_best(axes, run, best)
    floor = number(best, "floor")
    if floor is not None:
        axes.axhline(floor, linewidth=1.2, **FLOOR)
        floor_label = f"floor: {format_number(floor)}"
        handles.append(legend_entry(floor_label, **FLOOR))
    shown = list(distances)
    if floor:
        shown.append(floor)
    scale_axis(axes, shown)
    handles += mark_alarms([axes], run)
    axes.set_ylabel(label)
    axes.set_xlabel("images seen")
    draw_row_lines(axes)
    label_images_axis(axes)
    if run.epoch:
        _add_epoch_axis(axes, run.epoch)
    add_legend(figure, handles)
    return figure


def _mark_best(axes: Axes, run: GanRun, best: Line) -> list[Line2D]:
    """Draw a star at the best distance, and a line at `RISEN` times it; returns their legend."""
    star: Style = {**STAR, "color": YELLOW}
    images = best["images"]
    distance = best["distance"]
    axes.plot(images, distance, markersize=15, zorder=4, **star)
    # Only from the best on: a distance above this line there means that something was lost.
    risen = RISEN * distance
    axes.plot([images, run.seen], [risen, risen], ":", color=GREY)
    best_label = f"best: {format_number(distance)}"
    risen_label = f"{RISEN - 1:.0%} over the best"
    return [
        legend_entry(best_label, markersize=12, **star),
        legend_entry(risen_label, color=GREY, linestyle=":"),
    ]


def _add_epoch_axis(axes: Axes, epoch: int) -> None:
    """Count epochs along the upper edge; `epoch` is the number of images in one."""

    def to_epochs(images: Any) -> Any:
        return np.divide(images, epoch)

    def to_images(epochs: Any) -> Any:
        return np.multiply(epochs, epoch)

    above = axes.secondary_xaxis("top", functions=(to_epochs, to_images))
    above.set_xlabel("epoch")


@styled
def draw_gan_training(run: GanRun) -> Figure:
    """One run: losses, the discriminator's accuracies, and updates a round, over images seen."""
    figure = Figure(figsize=(WIDTH, 5.8), layout="constrained")
    heights = (3, 2.4, 1.4)
    losses, shares, updates = figure.subplots(3, 1, sharex=True, height_ratios=heights)
    curves = (
        (losses, "generator_loss", GENERATOR, "generator"),
        (losses, "discriminator_loss", DISCRIMINATOR, "discriminator"),
        (shares, "real_accuracy", REALS, "reals called real"),
        (shares, "fake_accuracy", FAKES, "fakes called fake"),
    )
    handles: list[Line2D] = []
    for axes, key, colour, label in curves:
        lines = [line for line in run.steps if number(line, key) is not None]
        plot_log(axes, lines, key, colour)
        handles.append(legend_entry(label, color=colour, linewidth=2.5))
    _limit_losses(losses, run.steps)
    losses.set_ylabel("loss")
    shares.set_ylim(-0.03, 1.03)
    shares.set_ylabel("discriminator\naccuracy")
    if run.controller:
        # Between these the report's controller leaves the number of updates alone.
        shares.axhline(LOW, **LIMIT)
        shares.axhline(HIGH, **LIMIT)
    _plot_updates(updates, run)
    updates.set_xlabel("images seen")
    for axes in (losses, shares, updates):
        draw_row_lines(axes)
    label_images_axis(updates)
    add_legend(figure, handles)
    return figure


def _plot_updates(axes: Axes, run: GanRun) -> None:
    """Updates a round of each side: as logged, and from each of the controller's decisions on."""
    top = 2
    # The discriminator's line lies on the generator's where they are equal, and is thinner.
    sides = (("generator", GENERATOR, 2.6), ("discriminator", DISCRIMINATOR, 1.2))
    for side, colour, width in sides:
        changes = _read_values(run.steps, f"{side}_steps")
        changes += _read_values(run.controller, side)
        changes.sort(key=lambda change: change[0])
        if not changes:
            continue
        images = [seen for seen, _ in changes]
        values = [value for _, value in changes]
        # From 0, whatever was logged first, and to the end of the run.
        edges = [0, *images[1:], run.seen]
        heights = [*values, values[-1]]
        axes.step(edges, heights, where="post", color=colour, linewidth=width)
        top = max(top, *values)
    axes.set_ylabel("updates\na round")
    axes.set_ylim(0, top + 0.5)
    axes.set_yticks(range(top + 1))


def _read_values(lines: Sequence[Line], key: str) -> list[tuple[int, int]]:
    """Images seen and the value of `key`, of the lines that have it."""
    values = []
    for line in lines:
        if number(line, key) is not None:
            values.append((line["images"], line[key]))
    return values


def _limit_losses(axes: Axes, steps: Sequence[Line]) -> None:
    """Show nearly all of both losses, so that a few spikes do not flatten the rest."""
    values = []
    for line in steps:
        for key in ("generator_loss", "discriminator_loss"):
            loss = number(line, key)
            if loss is not None:
                values.append(loss)
    if values:
        low, high = np.percentile(values, [0.5, 99.5])
        bottom = min(0.0, 1.1 * float(low))
        top = 1.1 * float(high) or 1.0
        axes.set_ylim(bottom, top)
