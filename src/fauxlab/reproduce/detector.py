"""The report's detector experiments in order, beside its own figures.

Iteration 1: a specialist for each generator. Iteration 2: one detector tuned stage by stage, then
the same with ten epochs a stage. Beyond the report: one detector trained on all generators at once.
Every training is a run folder of its own below `out`; a run that is finished is not repeated, an
interrupted one is resumed.
"""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fauxlab.config import Recipe, as_name, check_run_name, load_recipe
from fauxlab.data.cache import ImageArray, load_images
from fauxlab.data.manifest import Manifest
from fauxlab.environment import describe_environment
from fauxlab.errors import LabError
from fauxlab.io.text import replace_file
from fauxlab.models.pretrained import Detector
from fauxlab.reproduce.scores import LABELS, evaluate_and_save, read_scores
from fauxlab.training.detector.loop import train_detector
from fauxlab.training.detector.plan import plan_training
from fauxlab.training.detector.schedule import run_name, schedule_stages
from fauxlab.training.detector.validation import stage_folder
from fauxlab.training.run import Run, fits_log
from fauxlab.training.session import OnStep
from fauxlab.version import __version__

# Table I of the report: the unified detector on DeepFakeFace.
REPORT_TABLE = {
    "inpainting": {"accuracy": 0.989167, "macro_f1": 0.989166},
    "insight": {"accuracy": 0.963417, "macro_f1": 0.963374},
    "text2img": {"accuracy": 0.997667, "macro_f1": 0.997667},
}
WORST = 24  # errors listed
SCHEMA_VERSION = 4  # of results.json


@dataclass(frozen=True)
class Experiment:
    """One training of the detector half.

    `part` is specialist, sequential, extended or joint.
    """

    part: str
    recipe: Recipe

    @property
    def name(self) -> str:
        """The run folder's name."""
        return run_name(self.recipe)


def plan_experiments(
    manifest: Manifest, overrides: Sequence[str] = (), extended: bool = True
) -> list[Experiment]:
    """Specialists, sequential, extended and joint, in this order; `overrides` apply to each recipe.

    The extended training is left out where the overrides make it equal to the sequential one, as
    they do when they set the epochs.
    """
    overrides = list(overrides)
    joint = load_recipe("unified-joint", overrides)
    sequential = load_recipe("report-unified", overrides)
    longer = load_recipe("report-unified-10", overrides)
    plan = []
    # A generator may be named twice, as two stages: it gets one specialist.
    for name in dict.fromkeys(joint.data.generators or manifest.generators):
        # As JSON, since a name may hold a comma.
        only = f"data.generators={json.dumps([name], ensure_ascii=False)}"
        specialist = load_recipe("report-specialist", [*overrides, only])
        plan.append(Experiment("specialist", specialist))
    plan.append(Experiment("sequential", sequential))
    renamed = sequential.model_copy(update={"name": longer.name})
    if extended and longer != renamed:
        plan.append(Experiment("extended", longer))
    plan.append(Experiment("joint", joint))
    return plan


def reproduce_detector(
    manifest: Manifest,
    out: str | Path,
    *,
    overrides: Sequence[str] = (),
    extended: bool = True,
    on_step: Callable[[str], OnStep] | None = None,
    on_evaluate: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Run the detector experiments below `out`, evaluate them, and write results.json.

    They are evaluated on the test split. Called again it resumes where it stopped. `on_step` gets a
    run's name and gives that run's progress function; `on_evaluate` is called with a run's name
    before it is evaluated. Returns what results.json holds.

    >>> import fauxlab as fl
    >>> data = fl.index("faces/").split(seed=0)  # doctest: +SKIP
    >>> results = fl.reproduce_detector(data, "runs/reproduce")  # doctest: +SKIP
    >>> [run["name"] for run in results["runs"]][-1]  # doctest: +SKIP
    'unified-joint'
    """
    out = Path(out)
    experiments = plan_experiments(manifest, overrides, extended)
    _check_experiments(manifest, experiments)
    runs = []
    for experiment in experiments:
        on_run_step = on_step(experiment.name) if on_step else None
        recipe = experiment.recipe
        run = train_detector(manifest, recipe, out, resume=True, on_step=on_run_step)
        runs.append(run)
    images = load_images(manifest.test, experiments[0].recipe.data.size)
    described = []
    for experiment, run in zip(experiments, runs, strict=True):
        if on_evaluate:
            on_evaluate(experiment.name)
        described.append(_describe_run(manifest, experiment, run, images))
    results = {
        "schema_version": SCHEMA_VERSION,
        "code_version": __version__,
        "environment": describe_environment(manifest.data_hash),
        "data": _describe_data(manifest),
        "report_table": REPORT_TABLE,
        "runs": described,
        "worst": _list_worst(runs[-1].folder, images),
    }
    replace_file(out / "results.json", json.dumps(results, indent=1) + "\n")
    return results


def _check_experiments(manifest: Manifest, experiments: Sequence[Experiment]) -> None:
    """Raise LabError for all that can be refused before hours of training."""
    check_names(experiment.recipe for experiment in experiments)
    for experiment in experiments:
        plan_training(manifest, experiment.recipe, read_weights=False)
    if set(manifest.test.labels.tolist()) != {0, 1}:
        raise LabError("the manifest's test split needs reals and fakes; index more images")


def check_names(recipes: Iterable[Recipe]) -> None:
    """Raise LabError where a recipe's run can have no folder of its own."""
    names = [check_run_name(run_name(recipe)) for recipe in recipes]
    counts = Counter(names)
    repeated = [name for name, n in counts.items() if n > 1]
    if repeated:
        raise LabError(
            f"two trainings would share the run {repeated[0]!r}: leave name and train.schedule out "
            "of --set, and give generators names that differ in more than signs"
        )


def _describe_run(
    manifest: Manifest, experiment: Experiment, run: Run, images: ImageArray
) -> dict[str, Any]:
    """A run's recipe, what its log says of steps and epochs, and its results on the test images."""
    steps = []
    epochs = []
    with fits_log(run):
        for line in run.read_log():
            if line["event"] == "step":
                step = {key: line[key] for key in ("images", "stage", "loss")}
                steps.append(step)
            if "val_loss" in line:
                epoch = {key: value for key, value in line.items() if key != "event"}
                epochs.append(epoch)
    report = evaluate_and_save(run.model, images, run.folder / "test")
    return {
        "name": experiment.name,
        "part": experiment.part,
        "recipe": tomllib.loads(experiment.recipe.to_toml()),
        "steps": steps,
        "epochs": epochs,
        "test": report.model_dump(),
        "stages": _describe_stages(manifest, experiment, run, images),
    }


def _describe_stages(
    manifest: Manifest, experiment: Experiment, run: Run, images: ImageArray
) -> list[dict[str, Any]]:
    """The results after each stage of a sequential training; empty for others."""
    if experiment.recipe.train.schedule != "sequential":
        return []
    stages = []
    schedule = schedule_stages(manifest, experiment.recipe)
    for number, stage in enumerate(schedule.stages):
        bundle = stage_folder(run, number, stage.name)
        detector = Detector.from_pretrained(bundle)
        folder = run.folder / "test" / f"stage-{number + 1}-{as_name(stage.name)}"
        report = evaluate_and_save(detector, images, folder)
        stages.append({"name": stage.name, "test": report.model_dump()})
    return stages


def _describe_data(manifest: Manifest) -> dict[str, Any]:
    counts: dict[str, dict[str, int]] = {}
    for (name, split), n in sorted(manifest.counts().items()):
        by_split = counts.setdefault(name, {})
        by_split[split] = n
    return {
        "hash": manifest.data_hash,
        "images": len(manifest),
        "groups": len({row.group for row in manifest.rows}),
        "counts": counts,
        "matched_reals": {name: manifest.matched_reals(name) for name in manifest.generators},
    }


def _list_worst(run: Path, images: ImageArray) -> list[dict[str, Any]]:
    """A detector's most confident errors on the test split."""
    scores = read_scores(run / "test")
    called_fake = scores >= 0.5
    wrong = np.flatnonzero(called_fake != images.manifest.labels)
    confidence = np.abs(scores[wrong] - 0.5)
    from_surest = np.argsort(-confidence, kind="stable")
    order = wrong[from_surest]
    worst = []
    for i in order[:WORST]:
        row = images.manifest.rows[i]
        worst.append(
            {
                "path": row.path,
                "truth": LABELS[row.label],
                "from": row.generator or row.source,
                "score": float(scores[i]),
            }
        )
    return worst
