"""The figures of the GAN page: pure functions from a run's log lines to a matplotlib Figure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator

from fauxlab.io.text import replace_file
from fauxlab.pages.figures import (
    COLOURS,
    GREY,
    GRID,
    MARKERS,
    WIDTH,
    add_legend,
    count_images,
    render,
    short,
    smooth,
    styled,
    thinned,
)
from fauxlab.pages.gan_words import show
from fauxlab.training.gan.collapse_guard import (
    ALIKE,
    COLLAPSING,
    HEALTHY,
    OVERFIT,
    OVERFITTING,
    SEPARATION,
    WINNING,
)
from fauxlab.training.gan.step_controller import HIGH, LOW
from fauxlab.training.run_log import RISEN, GanRun, Line, alike, number

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

GENERATOR, DISCRIMINATOR = "#d55e00", "#004c97"
REALS, FAKES = "#009e73", "#cc79a7"
ALARM = "#b3261e"
STATES = {HEALTHY: "#9fd8c3", WINNING: "#f3c15b", OVERFITTING: "#8fc7ee", COLLAPSING: "#e4896f"}
# What the guard looks at: key, name of the panel, the limit beyond which it counts as a sign.
SIGNALS = (
    ("distance", "distance", None),
    ("spread", "spread", 0.5),
    ("recall", "recall", None),
    ("near_duplicates", "duplicates", ALIKE),
    ("overfit", "overfit", OVERFIT),
    ("separation", "separation", SEPARATION),
)


def save_gan_figures(log: Iterable[Line], folder: Path) -> list[Path]:
    """Draw a run's log.jsonl lines into `folder`: distance.png, training.png and guard.png, each
    where it has lines.
    """
    run = GanRun.from_log(log)
    figures = {
        "distance.png": draw_distance(run) if run.best else None,
        "training.png": draw_game(run) if run.steps else None,
        "guard.png": draw_guard(run) if run.guard else None,
    }
    folder.mkdir(parents=True, exist_ok=True)
    saved = []
    for name, figure in figures.items():
        if figure is not None:
            replace_file(folder / name, render(figure, "png"))
            saved.append(folder / name)
    return saved


@styled
def draw_distances(runs: Sequence[GanRun]) -> Figure:
    """All runs: distance above the floor over images seen, a panel for each group of runs that were
    judged alike.
    """
    groups = alike(runs)
    figure = Figure(figsize=(WIDTH, 0.4 + 2.8 * len(groups)), layout="constrained")
    handles = []
    for axes, group in zip(
        figure.subplots(len(groups), 1, squeeze=False)[:, 0], groups, strict=True
    ):
        seen = []
        for run in group:
            k = runs.index(run)
            colour, marker = COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]
            points = [
                (line["images"], y) for line in run.evals if (y := run.above(line)) is not None
            ]
            axes.plot(
                *zip(*points, strict=True),
                color=colour,
                marker=marker,
                markersize=4.5,
                linewidth=1.8,
            )
            if run.best and (above := run.above(run.best)) is not None:
                axes.plot(
                    run.best["images"],
                    above,
                    "*",
                    color=colour,
                    markeredgecolor="black",
                    markersize=14,
                    zorder=4,
                )
            seen += [y for _, y in points]
            handles.append(
                Line2D([], [], color=colour, marker=marker, markersize=4.5, label=short(run.name))
            )
        _scale(axes, seen)
        axes.set_ylabel(f"{group[0].judged.get('label', 'distance')}\nabove the floor")
        axes.grid(axis="y", color=GRID)
        count_images(axes)
        axes.set_xlabel("images seen")
    star = Line2D(
        [],
        [],
        color=GREY,
        linestyle="",
        marker="*",
        markeredgecolor="black",
        markersize=11,
        label="best",
    )
    add_legend(figure, [*handles, star])
    return figure


@styled
def draw_distance(run: GanRun) -> Figure:
    """One run: distance over images seen, epochs above, with the floor, the best, and what the
    guard did.
    """
    points = [line for line in run.evals if number(line, "distance") is not None]
    best, label = (
        points[0] if run.best is None else run.best,
        str(run.judged.get("label", "distance")),
    )
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    axes = figure.subplots()
    x, y = [line["images"] for line in points], [line["distance"] for line in points]
    axes.plot(x, y, color=DISCRIMINATOR, marker="o", markersize=4.5, linewidth=1.8)
    axes.plot(
        best["images"],
        best["distance"],
        "*",
        color="#ffd400",
        markeredgecolor="black",
        markersize=15,
        zorder=4,
    )
    # From the best on, where standing above it means that something was lost.
    axes.plot([best["images"], run.seen], [RISEN * best["distance"]] * 2, ":", color=GREY)
    handles = [
        Line2D([], [], color=DISCRIMINATOR, marker="o", markersize=4.5, label=label),
        Line2D(
            [],
            [],
            color="#ffd400",
            linestyle="",
            marker="*",
            markeredgecolor="black",
            markersize=12,
            label=f"best: {show(best['distance'])}",
        ),
        Line2D([], [], color=GREY, linestyle=":", label=f"{RISEN - 1:.0%} over the best"),
    ]
    floor = number(best, "floor")
    if floor is not None:
        axes.axhline(floor, color="black", linestyle="--", linewidth=1.2)
        handles.append(Line2D([], [], color="black", linestyle="--", label=f"floor: {show(floor)}"))
    _scale(axes, [*y, *([floor] if floor else [])])
    handles += _mark_events([axes], run)
    axes.set_ylabel(label)
    axes.set_xlabel("images seen")
    axes.grid(axis="y", color=GRID)
    count_images(axes)
    if run.epoch:
        epoch = run.epoch
        above = axes.secondary_xaxis(
            "top", functions=(lambda n: np.divide(n, epoch), lambda n: np.multiply(n, epoch))
        )
        above.set_xlabel("epoch")
    add_legend(figure, handles)
    return figure


@styled
def draw_game(run: GanRun) -> Figure:
    """One run: losses, the discriminator's accuracies, and updates a round, in panels over the same
    images seen.
    """
    figure = Figure(figsize=(WIDTH, 5.8), layout="constrained")
    losses, shares, updates = figure.subplots(3, 1, sharex=True, height_ratios=[3, 2.4, 1.4])
    curves = (
        (losses, "generator_loss", GENERATOR, "generator"),
        (losses, "discriminator_loss", DISCRIMINATOR, "discriminator"),
        (shares, "real_accuracy", REALS, "reals called real"),
        (shares, "fake_accuracy", FAKES, "fakes called fake"),
    )
    for axes, key, colour, _ in curves:
        x, y = thinned([line for line in run.steps if number(line, key) is not None], key)
        axes.plot(x, y, color=colour, linewidth=0.7, alpha=0.45)
        axes.plot(x, smooth(y) if len(y) else y, color=colour, linewidth=2.2)
    _set_loss_limits(losses, run.steps)
    losses.set_ylabel("loss")
    shares.set_ylim(-0.03, 1.03)
    shares.set_ylabel("discriminator\naccuracy")
    for limit in (LOW, HIGH) if run.controller else ():
        shares.axhline(limit, color=GREY, linestyle=":", linewidth=1)
    _plot_updates(updates, run)
    updates.set_xlabel("images seen")
    for axes in (losses, shares, updates):
        axes.grid(axis="y", color=GRID)
    count_images(updates)
    add_legend(
        figure,
        [Line2D([], [], color=colour, linewidth=2.5, label=name) for _, _, colour, name in curves],
    )
    return figure


@styled
def draw_guard(run: GanRun) -> Figure:
    """One run: the guard's state as coloured bands, and below it the signals that it judges by,
    check by check.
    """
    figure = Figure(figsize=(WIDTH, 8.2), layout="constrained")
    strip, *panels = figure.subplots(
        1 + len(SIGNALS), 1, sharex=True, height_ratios=[0.45, *[1] * len(SIGNALS)]
    )
    checks = run.guard
    for start, end, state in _bands(checks):
        colour = STATES.get(state, "#dddddd")
        strip.axvspan(start, end, color=colour, linewidth=0)
        for axes in panels:
            axes.axvspan(start, end, color=colour, alpha=0.3, linewidth=0)
    strip.set_yticks([])
    strip.set_ylabel("state", rotation=0, ha="right", va="center")
    for axes, (key, name, limit) in zip(panels, SIGNALS, strict=True):
        lines = [line for line in checks if number(line, key) is not None]
        axes.plot(
            [line["images"] for line in lines],
            [line[key] for line in lines],
            ".-",
            color="#1b1b1f",
            linewidth=1.4,
        )
        if limit is not None:
            axes.axhline(limit, color=GREY, linestyle=":", linewidth=1)
        if key == "distance":
            _scale(axes, [line[key] for line in lines])
        elif key in ("spread", "recall", "near_duplicates"):
            axes.set_ylim(0, 1.15 * max([0.1, *(line[key] for line in lines)]))
        else:
            axes.margins(y=0.15)
        axes.set_ylabel(name)
    handles: list[Line2D | Patch] = [
        Patch(color=colour, label=state)
        for state, colour in STATES.items()
        if any(c.get("state") == state for c in checks)
    ]
    handles += _mark_events([strip, *panels], run)
    panels[-1].set_xlabel("images seen")
    count_images(panels[-1])
    panels[-1].set_xlim(right=1.005 * max(line["images"] for line in checks))
    figure.align_ylabels(panels)
    add_legend(figure, handles)
    return figure


def _plot_updates(axes: Axes, run: GanRun) -> None:
    """Updates a round of each side: as logged, and from each of the controller's decisions on."""
    top = 2
    # The discriminator's line lies on the generator's where they are equal, and is thinner.
    for key, colour, width in (
        ("generator", GENERATOR, 2.6),
        ("discriminator", DISCRIMINATOR, 1.2),
    ):
        named = ((f"{key}_steps", run.steps), (key, run.controller))
        moves = [
            (line["images"], line[n])
            for n, lines in named
            for line in lines
            if number(line, n) is not None
        ]
        moves.sort(key=lambda move: move[0])
        if moves:
            values = [value for _, value in moves]
            axes.step(
                [0, *(x for x, _ in moves[1:]), run.seen],
                [*values, values[-1]],
                where="post",
                color=colour,
                linewidth=width,
            )
            top = max(top, *values)
    axes.set_ylabel("updates\na round")
    axes.set_ylim(0, top + 0.5)
    axes.set_yticks(range(top + 1))


def _mark_events(panels: Sequence[Axes], run: GanRun) -> list[Line2D]:
    """The guard's alarms as lines through all panels, each by what it did then; returns their
    legend.
    """
    looks: dict[str, tuple[Literal["-", "--"], str, str]] = {
        "warn": ("-", "v", "alarm"),
        "rollback": ("--", "<", "alarm, rolled back"),
        "stop": ("-", "X", "alarm, stopped"),
    }
    actions = ((line["images"], str(line.get("action"))) for line in run.alarms)
    events = [(images, action if action in looks else "warn") for images, action in actions]
    for images, kind in events:
        for axes in panels:
            axes.axvline(images, color=ALARM, linestyle=looks[kind][0], linewidth=1, zorder=1.5)
        panels[0].plot(
            images,
            1,
            looks[kind][1],
            color=ALARM,
            markersize=8,
            clip_on=False,
            transform=panels[0].get_xaxis_transform(),
            zorder=5,
        )
    found = {kind for _, kind in events}
    return [
        Line2D([], [], color=ALARM, linestyle=line, marker=marker, label=label)
        for kind, (line, marker, label) in looks.items()
        if kind in found
    ]


def _bands(checks: Sequence[Line]) -> list[tuple[float, float, str]]:
    """Start, end and state of every stretch between checks, equals as one; a check speaks of what
    led to it.
    """
    bands: list[tuple[float, float, str]] = []
    edges = [0, *(line["images"] for line in checks)]
    for (start, end), line in zip(pairwise(edges), checks, strict=True):
        state = str(line.get("state", ""))
        if bands and bands[-1][2] == state:
            bands[-1] = (bands[-1][0], end, state)
        else:
            bands.append((start, end, state))
    return bands


def _scale(axes: Axes, values: Sequence[float]) -> None:
    """Logarithmic where the values are all above 0 and far apart, else from 0 (or from the least
    below it).
    """
    usable = [value for value in values if math.isfinite(value)]
    if usable and min(usable) > 0 and max(usable) > 8 * min(usable):
        axes.set_yscale("log")
        axes.set_ylim(0.85 * min(usable), 1.3 * max(usable))
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
        axes.yaxis.set_minor_formatter("")
    elif usable:
        axes.set_ylim(min(0, 1.05 * min(usable)), 1.08 * max(*usable, 1e-12))


def _set_loss_limits(axes: Axes, steps: Sequence[Line]) -> None:
    """Nearly all of both losses, so that a few spikes do not flatten the rest."""
    keys = ("generator_loss", "discriminator_loss")
    values = [value for line in steps for key in keys if (value := number(line, key)) is not None]
    if values:
        low, high = np.percentile(values, [0.5, 99.5])
        axes.set_ylim(min(0.0, 1.1 * float(low)), 1.1 * float(high) or 1.0)
