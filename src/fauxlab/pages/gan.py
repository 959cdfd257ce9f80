"""The GAN page, gan.html: one self-contained file, made from gan_results.json and sample grids."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from fauxlab.pages.detector_figures import draw_overview
from fauxlab.pages.gan_figures import draw_distance, draw_distances, draw_gan_training
from fauxlab.pages.gan_loop import collect_loop_series, read_loop
from fauxlab.pages.gan_tables import summarise, tabulate_evaluation
from fauxlab.pages.gan_words import (
    describe_nearest,
    describe_result,
    format_number,
    format_share,
    list_cautions,
)
from fauxlab.pages.grids import load_grids, slug
from fauxlab.pages.guard_figure import draw_guard
from fauxlab.pages.html import EmbeddedFigure, embed_figure, escape_unprintable, write_page
from fauxlab.training.gan import collapse_guard as guard
from fauxlab.training.run_log import RISEN, GanRun, alike, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_gan_page(results: dict[str, Any], out: Path) -> Path:
    """Write `out/gan.html`, and its figures as PNG into `out/figures/`; returns the page's path.

    `results` is what gan_results.json holds; the runs' folders lie in `out`, and their sample grids
    are read from there.
    """
    folder = out / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    # Grids are files: they are found by the runs' names as they are, before these are escaped.
    grids = []
    for i, run in enumerate(_read_runs(results), start=1):
        stem = folder / f"fig6.{i}-faces-{slug(run.name)}"
        grids.append(load_grids(run, out, stem))
    results = escape_unprintable(results)
    runs = _read_runs(results)
    loop = read_loop(results.get("loop"))
    facts = {
        "grids": grids,
        "figures": _embed_figures(runs, loop, folder),
        "loop_results": loop,
        **_collect_facts(results, runs),
    }
    return write_page(out, "gan.html", "gan.html.j2", facts)


def _read_runs(results: dict[str, Any]) -> list[GanRun]:
    return [GanRun.read(run) for run in results.get("runs") or []]


def _collect_facts(results: dict[str, Any], runs: list[GanRun]) -> dict[str, Any]:
    """All that the template names, apart from figures, grids and the loop."""
    groups = alike(runs)
    comparisons = [describe_nearest(group) for group in groups]
    recipes = []
    for run in runs:
        if run.recipe:
            toml = tomli_w.dumps(run.recipe)
            recipes.append((run.name, toml))
    return {
        "runs": runs,
        "summary": summarise(runs),
        "comparisons": [sentence for sentence in comparisons if sentence],
        "describe_result": describe_result,
        "differing": len(groups) > 1,
        "cautions": list_cautions(runs),
        "account": results.get("account") or {},
        "data": results.get("data") or {},
        "evaluation": tabulate_evaluation(runs),
        "recipes": recipes,
        "code_version": results.get("code_version", "unknown"),
        "environment": results.get("environment") or {},
        "number": number,
        "format_number": format_number,
        "format_share": format_share,
        "risen": f"{RISEN - 1:.0%}",
        "guard": guard,
    }


def _embed_figures(
    runs: list[GanRun], loop: dict[str, Any] | None, folder: Path
) -> dict[str, EmbeddedFigure]:
    """Draw all figures, save each as PNG in `folder`, and return them by the template's key.

    Their numbers are the report's (its Fig. 5 is the distance, its Fig. 6 the faces), with the
    number of the run behind the point.
    """
    figures: dict[str, EmbeddedFigure] = {}

    def add(key: str, number: str, file: str, figure: Figure, alt: str) -> None:
        figures[key] = embed_figure(figure, number, alt, folder / f"{file}.png")

    if alike(runs):
        alt = "distance of all runs over images seen"
        add("all", "At a glance", "all-distances", draw_distances(runs), alt)
    for i, run in enumerate(runs, start=1):
        name = slug(run.name)
        if run.best:
            figure = draw_distance(run)
            file = f"fig5.{i}-distance-{name}"
            alt = f"distance of {run.name} over images seen"
            add(f"distance-{i}", f"Fig. 5.{i}", file, figure, alt)
        if run.steps:
            figure = draw_gan_training(run)
            file = f"fig7.{i}-training-{name}"
            alt = f"losses, accuracies and updates of {run.name}"
            add(f"training-{i}", f"Fig. 7.{i}", file, figure, alt)
        if run.guard:
            figure = draw_guard(run)
            file = f"fig8.{i}-guard-{name}"
            alt = f"what the guard saw of {run.name}"
            add(f"guard-{i}", f"Fig. 8.{i}", file, figure, alt)
    if loop:
        names = [row["name"] for row in loop["rows"]]
        series = collect_loop_series(loop)
        figure = draw_overview(names, series)
        alt = "scores of the unified detector before and after it was trained with our own faces"
        add("loop", "Fig. 9", "fig9-loop", figure, alt)
    return figures
