"""What the collapse guard saw of a run, as a figure, and its alarms in the figures of others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator

from fauxlab.pages.figures import LIMIT, WIDTH, add_legend, label_images_axis, legend_entry, styled
from fauxlab.training.gan.collapse_guard import (
    ALIKE,
    COLLAPSING,
    HEALTHY,
    OVERFIT,
    OVERFITTING,
    SEPARATION,
    WINNING,
)
from fauxlab.training.run_log import GanRun, Line, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

ALARM = "#b3261e"
STATES = {HEALTHY: "#9fd8c3", WINNING: "#f3c15b", OVERFITTING: "#8fc7ee", COLLAPSING: "#e4896f"}


class Signal(NamedTuple):
    """A value that the guard checks; beyond the limit, if there is one, it speaks for a failure."""

    key: str
    label: str
    limit: float | None


SIGNALS = (
    Signal("distance", "distance", None),
    Signal("spread", "spread", 0.5),
    Signal("recall", "recall", None),
    Signal("near_duplicates", "duplicates", ALIKE),
    Signal("overfit", "overfit", OVERFIT),
    Signal("separation", "separation", SEPARATION),
)
FROM_ZERO = ("spread", "recall", "near_duplicates")


class AlarmStyle(NamedTuple):
    """How an alarm is drawn, by what the guard did then."""

    linestyle: str
    marker: str
    label: str


ALARM_STYLES = {
    "warn": AlarmStyle("-", "v", "alarm"),
    "rollback": AlarmStyle("--", "<", "alarm, rolled back"),
    "stop": AlarmStyle("-", "X", "alarm, stopped"),
}


@styled
def draw_guard(run: GanRun) -> Figure:
    """One run: the guard's state as coloured bands, and below it the signals, check by check."""
    figure = Figure(figsize=(WIDTH, 8.2), layout="constrained")
    heights = [0.45]
    heights += [1.0] * len(SIGNALS)
    axes_below = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    strip, *panels = axes_below
    for start, end, state in _find_bands(run.guard):
        colour = STATES.get(state, "#dddddd")
        strip.axvspan(start, end, color=colour, linewidth=0)
        for axes in panels:
            axes.axvspan(start, end, color=colour, alpha=0.3, linewidth=0)
    strip.set_yticks([])
    strip.set_ylabel("state", rotation=0, ha="right", va="center")
    for axes, signal in zip(panels, SIGNALS, strict=True):
        _plot_signal(axes, run.guard, signal)
    seen_states = {line.get("state") for line in run.guard}
    handles: list[Line2D | Patch] = []
    for state, colour in STATES.items():
        if state in seen_states:
            handles.append(Patch(color=colour, label=state))
    handles += mark_alarms([strip, *panels], run)
    lowest = panels[-1]
    lowest.set_xlabel("images seen")
    label_images_axis(lowest)
    last_check = max(line["images"] for line in run.guard)
    lowest.set_xlim(right=1.005 * last_check)
    figure.align_ylabels(panels)
    add_legend(figure, handles)
    return figure


def _plot_signal(axes: Axes, checks: Sequence[Line], signal: Signal) -> None:
    lines = [line for line in checks if number(line, signal.key) is not None]
    images = [line["images"] for line in lines]
    values = [line[signal.key] for line in lines]
    axes.plot(images, values, ".-", color="#1b1b1f", linewidth=1.4)
    if signal.limit is not None:
        axes.axhline(signal.limit, **LIMIT)
    if signal.key == "distance":
        scale_axis(axes, values)
    elif signal.key in FROM_ZERO:
        most = max([0.1, *values])
        axes.set_ylim(0, 1.15 * most)
    else:
        axes.margins(y=0.15)
    axes.set_ylabel(signal.label)


def mark_alarms(panels: Sequence[Axes], run: GanRun) -> list[Line2D]:
    """Draw the guard's alarms as lines through all panels; returns their legend."""
    drawn = set()
    for alarm in run.alarms:
        action = str(alarm.get("action"))
        if action not in ALARM_STYLES:
            action = "warn"
        drawn.add(action)
        style = ALARM_STYLES[action]
        images = alarm["images"]
        for axes in panels:
            axes.axvline(
                images,
                color=ALARM,
                linestyle=style.linestyle,
                linewidth=1,
                zorder=1.5,
            )
        # The marker stands on the upper edge of the first panel.
        panels[0].plot(
            images,
            1,
            style.marker,
            color=ALARM,
            markersize=8,
            clip_on=False,
            transform=panels[0].get_xaxis_transform(),
            zorder=5,
        )
    return _list_alarm_handles(drawn)


def _list_alarm_handles(drawn: set[str]) -> list[Line2D]:
    """Legend entries for the actions that were drawn."""
    handles = []
    for action, style in ALARM_STYLES.items():
        if action not in drawn:
            continue
        entry = legend_entry(
            style.label,
            color=ALARM,
            linestyle=style.linestyle,
            marker=style.marker,
        )
        handles.append(entry)
    return handles


def _find_bands(checks: Sequence[Line]) -> list[tuple[float, float, str]]:
    """Start, end and state of every stretch between checks, equal neighbours as one.

    A check's state belongs to the stretch that led to it.
    """
    bands: list[tuple[float, float, str]] = []
    edges = [0, *(line["images"] for line in checks)]
    for (start, end), line in zip(pairwise(edges), checks, strict=True):
        state = str(line.get("state", ""))
        if bands and bands[-1][2] == state:
            first_start = bands[-1][0]
            bands[-1] = (first_start, end, state)
        else:
            bands.append((start, end, state))
    return bands


def scale_axis(axes: Axes, values: Sequence[float]) -> None:
    """Scale the vertical axis: logarithmic for positive values far apart, else from 0.

    Where a value is below 0, the axis starts there.
    """
    usable = [value for value in values if math.isfinite(value)]
    if not usable:
        return
    least = min(usable)
    most = max(usable)
    far_apart = most > 8 * least
    if least > 0 and far_apart:
        axes.set_yscale("log")
        axes.set_ylim(0.85 * least, 1.3 * most)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter("")
    else:
        bottom = min(0, 1.05 * least)
        top = 1.08 * max(most, 1e-12)
        axes.set_ylim(bottom, top)
