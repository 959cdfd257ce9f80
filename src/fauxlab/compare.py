"""Runs beside each other: what was set differently, what came of it, and how sure a difference
between detectors is.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fauxlab.errors import LabError
from fauxlab.records import PairedScores, RunComparison, RunSummary

if TYPE_CHECKING:
    from fauxlab.data.manifest import Manifest
    from fauxlab.training.run import Run
    from fauxlab.training.run_log import GanRun

Figures = dict[str, int | float | str | None]


def compare_runs(runs: Sequence[str | Path]) -> RunComparison:
    """Runs of one kind, from their folders, configs and logs alone; bundles that have no run say
    what they know.

    Raises LabError for fewer than two, for folders that are neither, and for a detector beside a
    generator.
    """
    if len(runs) < 2:
        raise LabError("one run alone compares with nothing; name two or more")
    from fauxlab.training.run_log import alike

    summaries, trees, gans = [], [], []
    for folder, name in zip(runs, _tell_apart([str(run) for run in runs]), strict=True):
        run = _find_run(Path(folder))
        gan = _read_gan(run) if run else None
        summaries.append(_summarise_run(name, run, gan) if run else _summarise_bundle(name, folder))
        trees.append(_flatten(tomllib.loads(run.recipe.to_toml())) if run else {})
        gans += [gan] if gan else []
    if len({summary.kind for summary in summaries}) > 1:
        raise LabError(
            "a detector and a generator have nothing to be compared in; name runs of one kind"
        )
    keys = dict.fromkeys(key for tree in trees for key in tree) if all(trees) else {}
    values = {key: [tree.get(key) for tree in trees] for key in keys if key != "name"}
    differ = {key: each for key, each in values.items() if any(a != b for a, b in pairwise(each))}
    remarks = _remark(summaries)
    if len(alike(gans)) > 1:
        remarks.append(
            "their distances are of other feature networks, N, sizes or reals, and cannot be compared"
        )
    return RunComparison(runs=summaries, differences=differ, remarks=remarks)


def compare_detectors(
    models: Sequence[str | Path],
    manifest: Manifest,
    bootstrap: int = 1000,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> tuple[list[PairedScores], Manifest]:
    """Detectors (runs, bundles, or the packaged one) on the same pictures; pass one split, as
    `data.test`.

    By generator against its matched reals, and pooled: AUCs, and their differences to the first
    with paired 95 % intervals over groups. Second the manifest of what was judged, with what could
    not be read in `skipped`. `progress` is called with the number of pictures just judged. Raises
    LabError where there are none.
    """
    from fauxlab.bundle.opening import open_detector
    from fauxlab.data.cache import load_images
    from fauxlab.evaluation.detection import list_parts, predict_scores
    from fauxlab.statistics import auc_change, auc_interval

    if not len(manifest):
        raise LabError("there is no image to compare on: this split of the manifest is empty")
    folders = [Path(m) / "best" if (Path(m) / "config.toml").is_file() else Path(m) for m in models]
    detectors = [open_detector(folder) for folder in folders]
    # Whoever comes later may fail to read what an earlier one found in the store at its own size.
    for detector in detectors:
        images = load_images(manifest, detector.size)
        manifest = replace(images.manifest, skipped=manifest.skipped + images.skipped)
    scores = []
    for detector in detectors:
        images = load_images(manifest, detector.size)
        scores.append(predict_scores(detector, images))
        if progress:
            progress(len(images))
    labels, groups = manifest.labels, np.array([row.group for row in manifest.rows])
    found = []
    for name, keep, _ in list_parts(manifest):
        y, g = labels[keep], groups[keep].tolist()
        parts = [each[keep] for each in scores]
        aucs = [auc_interval(y, part, g, bootstrap, seed) for part in parts]
        changes = [auc_change(y, parts[0], part, g, bootstrap, seed) for part in parts]
        found.append(PairedScores(name=name, n=int(keep.sum()), aucs=aucs, changes=changes))
    return found, manifest


def _find_run(folder: Path) -> Run | None:
    """The run in a folder, or the one whose `best` or `last` it is."""
    from fauxlab.training.run import Run

    inside = folder.name in ("best", "last")
    place = folder.resolve().parent if inside else folder
    return Run(place) if (place / "config.toml").is_file() else None


def _tell_apart(names: list[str]) -> list[str]:
    """Folders' last parts, with as many of those before as tell them apart."""
    parts = [Path(name).parts or (name,) for name in names]
    for length in range(1, max(map(len, parts)) + 1):
        short = [str(Path(*each[-length:])) for each in parts]
        if len(set(short)) == len(set(names)):
            return short
    return names


def _summarise_run(name: str, run: Run, gan: GanRun | None) -> RunSummary:
    environment, log = run.environment, list(run.read_log())
    seen = [line["images"] for line in log if "images" in line]
    end = next((line for line in log if line["event"] == "end"), None)
    return RunSummary(
        name=name,
        kind="generator" if gan else "detector",
        state="unfinished"
        if end is None
        else "stopped by the guard"
        if end.get("reason") == "guard"
        else "finished",
        recipe=run.recipe.name,
        images=seen[-1] if seen else 0,
        data_hash=str(environment.get("data_hash", "")),
        fauxlab=str(environment.get("fauxlab", "")),
        figures=_generator_figures(gan) if gan else _detector_figures(log),
    )


def _read_gan(run: Run) -> GanRun | None:
    """A GAN's run as its figures are read from it; None for a detector's."""
    from fauxlab.config import GanRecipe
    from fauxlab.training.run_log import GanRun

    recipe = run.recipe
    return (
        replace(GanRun.from_log(run.read_log()), recipe=recipe.model_dump())
        if isinstance(recipe, GanRecipe)
        else None
    )


def _detector_figures(log: list[dict[str, Any]]) -> Figures:
    """Of the validation split: the best epoch's AUC, and the last epoch's figures."""
    epochs = [line for line in log if line["event"] == "epoch"]
    ranked = [line for line in epochs if line.get("val_auc") is not None]
    if not epochs:
        return {}
    best = max(ranked, key=lambda line: line["val_auc"], default=None)
    last = {key: epochs[-1].get(f"val_{key}") for key in ("auc", "accuracy", "loss")}
    found: Figures = {"validation AUC, best": best["val_auc"] if best else None}
    found["at images"] = best["images"] if best else None
    return found | {
        f"validation {'AUC' if key == 'auc' else key}, last": value for key, value in last.items()
    }


def _generator_figures(run: GanRun) -> Figures:
    """Of the evaluations in training, and of the guard."""
    found: Figures = {}
    if run.last:
        best = run.best or {}
        found = {"distance": run.last["label"], "N": run.last["n"], "floor": run.last["floor"]}
        found |= {
            "best": best.get("distance"),
            "at images": best.get("images"),
            "last": run.last["distance"],
        }
        shares = ("precision", "recall", "coverage", "memorised_share")
        found |= {f"{key.replace('_', ' ')}, last": run.last.get(key) for key in shares}
    if run.guard:
        first = run.alarms[0] if run.alarms else None
        found["guard's first alarm"] = (
            f"{first['state']} at {first['images']:,}" if first else "none"
        )
        found["rollbacks"] = run.rollbacks
    return found


def _summarise_bundle(name: str, folder: str | Path) -> RunSummary:
    from fauxlab.bundle.folder import read_any_config
    from fauxlab.bundle.opening import DEFAULT_MODEL, PACKAGED

    config = read_any_config(PACKAGED if str(folder) == DEFAULT_MODEL else Path(folder))
    told = config.training
    return RunSummary(
        name=name,
        kind=config.kind,
        state="model",
        recipe=str(told.get("recipe", "")),
        images=told.get("images"),
        data_hash=str(told.get("data_hash", "")),
        fauxlab=str(told.get("fauxlab", "")),
        figures={},
    )


def _remark(runs: list[RunSummary]) -> list[str]:
    """What stands in the way of comparing the figures."""
    remarks = []
    if len({run.data_hash for run in runs}) > 1:
        remarks.append(
            "they learned from different data or splits: "
            + ", ".join(run.data_hash or "?" for run in runs)
        )
    if unfinished := [run.name for run in runs if run.state == "unfinished"]:
        remarks.append(f"not finished: {', '.join(unfinished)}")
    return remarks


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A recipe's leaves by their dotted keys; a schedule is one value."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        deeper = isinstance(value, dict) and not prefix
        found |= _flatten(value, f"{prefix}{key}.") if deeper else {f"{prefix}{key}": value}
    return found
