"""Runs side by side: what was set differently, their figures, and differences between detectors."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fauxlab.errors import LabError
from fauxlab.records import PairedScores, RunComparison, RunSummary

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.bundle.detector import AnyDetector
    from fauxlab.data.manifest import Manifest
    from fauxlab.training.run import Run
    from fauxlab.training.run_log import GanRun

    Scores = NDArray[np.float64]

Figures = dict[str, int | float | str | None]


def compare_runs(runs: Sequence[str | Path]) -> RunComparison:
    """Compare runs of one kind, from their folders, settings and logs alone.

    Bundles without a run may be among them, with the little that they know. Raises LabError for
    fewer than two, for folders that are neither, and for a detector beside a generator.

    >>> import fauxlab as fl
    >>> print(fl.compare_runs(["runs/a", "runs/b"]).table())  # doctest: +SKIP
    """
    if len(runs) < 2:
        raise LabError("one run alone compares with nothing; name two or more")
    names = _tell_apart([str(run) for run in runs])
    summaries: list[RunSummary] = []
    recipes: list[dict[str, Any]] = []
    gans: list[GanRun] = []
    for folder, name in zip(runs, names, strict=True):
        run = _find_run(Path(folder))
        if run is None:
            summaries.append(_summarise_bundle(name, folder))
            recipes.append({})
            continue
        gan = _read_gan(run)
        if gan:
            gans.append(gan)
        summaries.append(_summarise_run(name, run, gan))
        recipe = tomllib.loads(run.recipe.to_toml())
        recipes.append(_flatten(recipe))
    kinds = {summary.kind for summary in summaries}
    if len(kinds) > 1:
        raise LabError(
            "a detector and a generator have nothing to be compared in; name runs of one kind"
        )
    differences = _find_differences(recipes)
    remarks = _list_remarks(summaries, gans)
    return RunComparison(runs=summaries, differences=differences, remarks=remarks)


def compare_detectors(
    models: Sequence[str | Path],
    manifest: Manifest,
    bootstrap: int = 1000,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> tuple[list[PairedScores], Manifest]:
    """Compare detectors (runs, bundles, or "fauxlab", the packaged one) on the same pictures.

    Give one split, as `data.test`. Returns AUCs by generator against its matched reals, and pooled,
    with their differences to the first detector; these have paired 95 % intervals over groups.
    Second, the manifest of what was compared, with what could not be read in `skipped`. `progress`
    is called with the number of pictures just scored. Raises LabError where there are none.

    >>> import fauxlab as fl
    >>> test = fl.Manifest.load("manifest.csv").test  # doctest: +SKIP
    >>> parts, _ = fl.compare_detectors(["fauxlab", "runs/mine"], test)  # doctest: +SKIP
    >>> print(parts[-1].name, parts[-1].changes[1])  # doctest: +SKIP
    pooled 0.012 [0.004, 0.019]
    """
    from fauxlab.bundle.opening import open_detector

    if not len(manifest):
        raise LabError("there is no image to compare on: this split of the manifest is empty")
    detectors = []
    for model in models:
        bundle = _find_bundle(Path(model))
        detectors.append(open_detector(bundle))
    scores, manifest = _score(detectors, manifest, progress)
    paired = _pair_scores(scores, manifest, bootstrap, seed)
    return paired, manifest


def _find_bundle(folder: Path) -> Path:
    """The bundle of a detector, which for a run is the best of its epochs."""
    if _is_run(folder):
        return folder / "best"
    return folder


def _is_run(folder: Path) -> bool:
    return (folder / "config.toml").is_file()


def _score(
    detectors: Sequence[AnyDetector],
    manifest: Manifest,
    progress: Callable[[int], None] | None,
) -> tuple[list[Scores], Manifest]:
    """Scores of each detector on the pictures that all of them can read, and their manifest."""
    from fauxlab.data.cache import load_images
    from fauxlab.evaluation.predicting import predict_scores

    # A picture may be in the store at one detector's size and be unreadable at another's: only
    # after all sizes were loaded is it known which pictures remain.
    for detector in detectors:
        images = load_images(manifest, detector.size)
        skipped = manifest.skipped + images.skipped
        manifest = replace(images.manifest, skipped=skipped)
    scores = []
    for detector in detectors:
        images = load_images(manifest, detector.size)
        scores.append(predict_scores(detector, images))
        if progress:
            progress(len(images))
    return scores, manifest


def _pair_scores(
    scores: Sequence[Scores], manifest: Manifest, bootstrap: int, seed: int
) -> list[PairedScores]:
    """AUCs and their differences to the first detector, by generator and pooled."""
    from fauxlab.evaluation.detection import list_parts
    from fauxlab.statistics import auc_change, auc_interval

    groups = manifest.groups
    paired = []
    for name, chosen, _ in list_parts(manifest):
        labels = manifest.labels[chosen]
        part_groups = groups[chosen].tolist()
        part_scores = [own[chosen] for own in scores]
        first = part_scores[0]
        aucs = []
        changes = []
        for own in part_scores:
            auc = auc_interval(labels, own, part_groups, bootstrap, seed)
            change = auc_change(labels, first, own, part_groups, bootstrap, seed)
            aucs.append(auc)
            changes.append(change)
        n = int(chosen.sum())
        paired.append(PairedScores(name=name, n=n, aucs=aucs, changes=changes))
    return paired


def _find_run(folder: Path) -> Run | None:
    """The run in a folder, or the run whose `best` or `last` bundle the folder is."""
    from fauxlab.training.run import Run

    if folder.name in ("best", "last"):
        folder = folder.resolve().parent
    return Run(folder) if _is_run(folder) else None


def _tell_apart(names: list[str]) -> list[str]:
    """The last parts of folders, as many as it takes to tell the folders apart."""
    n_folders = len(set(names))
    paths = [Path(name).parts or (name,) for name in names]
    longest = max(len(parts) for parts in paths)
    for length in range(1, longest + 1):
        ends = []
        for parts in paths:
            end = Path(*parts[-length:])
            ends.append(str(end))
        if len(set(ends)) == n_folders:
            return ends
    return names


def _find_differences(recipes: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Recipe keys whose values are not all equal; none where a recipe is not known."""
    if not all(recipes):
        return {}
    keys: dict[str, None] = {}
    for recipe in recipes:
        keys |= dict.fromkeys(recipe)
    keys.pop("name", None)
    differences = {}
    for key in keys:
        values = [recipe.get(key) for recipe in recipes]
        first = values[0]
        if any(value != first for value in values):
            differences[key] = values
    return differences


def _summarise_run(name: str, run: Run, gan: GanRun | None) -> RunSummary:
    from fauxlab.training.run import fits_log

    environment = run.environment
    log = list(run.read_log())
    with fits_log(run):
        images = 0
        for line in log:
            images = line.get("images", images)
        figures = _generator_figures(gan) if gan else _detector_figures(log)
        return RunSummary(
            name=name,
            kind="generator" if gan else "detector",
            state=_describe_state(log),
            recipe=run.recipe.name,
            images=images,
            data_hash=str(environment.get("data_hash", "")),
            fauxlab=str(environment.get("fauxlab", "")),
            figures=figures,
        )


def _describe_state(log: list[dict[str, Any]]) -> str:
    """Whether and how a training ended, by its log."""
    for line in log:
        if line["event"] == "end":
            by_guard = line.get("reason") == "guard"
            return "stopped by the guard" if by_guard else "finished"
    return "unfinished"


def _read_gan(run: Run) -> GanRun | None:
    """The log of a GAN's training, from which its figures are read; None for a detector's run."""
    from fauxlab.config import GanRecipe
    from fauxlab.training.run_log import GanRun

    recipe = run.recipe
    if not isinstance(recipe, GanRecipe):
        return None
    gan = GanRun.from_log(run.read_log())
    return replace(gan, recipe=recipe.model_dump())


def _detector_figures(log: list[dict[str, Any]]) -> Figures:
    """On the validation split: the best epoch's AUC, and the last epoch's figures."""
    epochs = [line for line in log if line["event"] == "epoch"]
    if not epochs:
        return {}
    with_auc = [line for line in epochs if line.get("val_auc") is not None]
    best = max(with_auc, key=lambda line: line["val_auc"], default={})
    last = epochs[-1]
    return {
        "validation AUC, best": best.get("val_auc"),
        "at images": best.get("images"),
        "validation AUC, last": last.get("val_auc"),
        "validation accuracy, last": last.get("val_accuracy"),
        "validation loss, last": last.get("val_loss"),
    }


def _generator_figures(run: GanRun) -> Figures:
    """Of the evaluations in training, and of the guard."""
    figures: Figures = {}
    if run.last:
        last = run.last
        best = run.best or {}
        figures["distance"] = last["label"]
        figures["N"] = last["n"]
        figures["floor"] = last["floor"]
        figures["best"] = best.get("distance")
        figures["at images"] = best.get("images")
        figures["last"] = last["distance"]
        figures["precision, last"] = last.get("precision")
        figures["recall, last"] = last.get("recall")
        figures["coverage, last"] = last.get("coverage")
        figures["memorised share, last"] = last.get("memorised_share")
    if run.guard:
        first = "none"
        if run.alarms:
            alarm = run.alarms[0]
            first = f"{alarm['state']} at {alarm['images']:,}"
        figures["guard's first alarm"] = first
        figures["rollbacks"] = run.rollbacks
    return figures


def _summarise_bundle(name: str, folder: str | Path) -> RunSummary:
    """What a bundle's configuration says of its training."""
    from fauxlab.bundle.folder import read_any_config
    from fauxlab.bundle.opening import PACKAGED_MODELS

    bundle = PACKAGED_MODELS.get(str(folder), Path(folder))
    config = read_any_config(bundle)
    training = config.training
    return RunSummary(
        name=name,
        kind=config.kind,
        state="model",
        recipe=str(training.get("recipe", "")),
        images=training.get("images"),
        data_hash=str(training.get("data_hash", "")),
        fauxlab=str(training.get("fauxlab", "")),
        figures={},
    )


def _list_remarks(runs: Sequence[RunSummary], gans: Sequence[GanRun]) -> list[str]:
    """What keeps the figures from being compared."""
    from fauxlab.training.run_log import alike

    remarks = []
    hashes = [run.data_hash or "?" for run in runs]
    if len(set(hashes)) > 1:
        listed = ", ".join(hashes)
        remarks.append(f"they learned from different data or splits: {listed}")
    unfinished = [run.name for run in runs if run.state == "unfinished"]
    if unfinished:
        remarks.append(f"not finished: {', '.join(unfinished)}")
    if len(alike(gans)) > 1:
        remarks.append(
            "their distances are of other feature networks, N, sizes or reals, and cannot be "
            "compared"
        )
    return remarks


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A recipe's values by their dotted keys; a schedule, which is a table, is one value."""
    values: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and not prefix:
            values |= _flatten(value, f"{key}.")
        else:
            values[f"{prefix}{key}"] = value
    return values
