"""The report's detector experiments in order, beside its own figures.

Iteration 1: a specialist for each generator. Iteration 2: one detector tuned stage by stage, then
the same with ten epochs a stage. Beyond the report: one detector trained on all generators at once.
Every training is a run folder of its own below `out`; a run that is finished is not repeated, one
that was cut short is resumed.
"""

from __future__ import annotations

import csv
import json
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fauxlab.config import Recipe, as_name, check_run_name, load_recipe
from fauxlab.data.cache import ImageArray, load_images
from fauxlab.data.manifest import Manifest
from fauxlab.environment import describe_environment
from fauxlab.errors import LabError
from fauxlab.evaluation.detection import detection_report, predict_scores
from fauxlab.io.text import csv_line, replace_file
from fauxlab.models.pretrained import Detector
from fauxlab.records import SCHEMA_VERSION, DetectionReport
from fauxlab.training.detector.loop import train_detector
from fauxlab.training.detector.plan import plan_training
from fauxlab.training.detector.schedule import run_name, schedule_stages
from fauxlab.training.detector.validation import stage_folder
from fauxlab.training.run import Run
from fauxlab.training.session import OnStep
from fauxlab.version import __version__

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Table I of the report: the unified detector on DeepFakeFace.
REPORT_TABLE = {
    "inpainting": {"accuracy": 0.989167, "macro_f1": 0.989166},
    "insight": {"accuracy": 0.963417, "macro_f1": 0.963374},
    "text2img": {"accuracy": 0.997667, "macro_f1": 0.997667},
}
WORST = 24


@dataclass(frozen=True)
class Experiment:
    """One training of the report's detector half. `part` is specialist, sequential, extended or
    joint.
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
    """Specialists, sequential, extended, joint, in this order; `overrides` apply to each recipe.

    The extended training is left out where they make it the sequential one once more.
    """
    sets = list(overrides)
    generators = load_recipe("unified-joint", sets).data.generators or manifest.generators
    plan = []
    for name in dict.fromkeys(generators):  # a generator may stand twice among the stages
        # a list: a name may hold a comma
        only = f"data.generators={json.dumps([name], ensure_ascii=False)}"
        plan.append(Experiment("specialist", load_recipe("report-specialist", [*sets, only])))
    plan.append(Experiment("sequential", sequential := load_recipe("report-unified", sets)))
    longer = load_recipe("report-unified-10", sets)
    # as where `overrides` set epochs
    if extended and longer != sequential.model_copy(update={"name": longer.name}):
        plan.append(Experiment("extended", longer))
    plan.append(Experiment("joint", load_recipe("unified-joint", sets)))
    return plan


def reproduce_detector(
    manifest: Manifest,
    out: str | Path,
    *,
    overrides: Sequence[str] = (),
    extended: bool = True,
    on_step: Callable[[str], OnStep] | None = None,
    on_judge: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Run the detector experiments below `out`, judge them on the test split, and write
    `results.json`.

    Called again it resumes where it stopped. `on_step` gets a run's name and gives that run's
    progress function; `on_judge` is called with a run's name before it is judged. Returns what
    `results.json` holds.
    """
    out = Path(out)
    experiments = plan_experiments(manifest, overrides, extended)
    # All that can be refused is refused before hours of training.
    check_names(experiment.recipe for experiment in experiments)
    for experiment in experiments:
        plan_training(manifest, experiment.recipe)
    if set(manifest.test.labels.tolist()) != {0, 1}:
        raise LabError("the manifest's test split needs reals and fakes; index more images")
    runs = {
        experiment.name: train_detector(
            manifest,
            experiment.recipe,
            out,
            resume=True,
            on_step=on_step(experiment.name) if on_step else None,
        )
        for experiment in experiments
    }
    images = load_images(manifest.test, experiments[0].recipe.data.size)
    described = []
    for experiment in experiments:
        if on_judge:
            on_judge(experiment.name)
        described.append(_describe_run(manifest, experiment, runs[experiment.name], images))
    results = {
        "schema_version": SCHEMA_VERSION,
        "code_version": __version__,
        "environment": describe_environment(manifest.data_hash),
        "data": _describe_data(manifest),
        "report_table": REPORT_TABLE,
        "runs": described,
        "worst": _worst(runs[experiments[-1].name].folder, images),
    }
    replace_file(out / "results.json", json.dumps(results, indent=1) + "\n")
    return results


def check_names(recipes: Iterable[Recipe]) -> None:
    """Raise LabError where a recipe's run can have no folder of its own."""
    names = [check_run_name(run_name(recipe)) for recipe in recipes]
    if twice := [name for name, n in Counter(names).items() if n > 1]:
        raise LabError(
            f"two trainings would share the run {twice[0]!r}: leave name and train.schedule out of --set, and give "
            "generators names that differ in more than signs"
        )


def judge(detector: Detector, images: ImageArray, folder: Path) -> DetectionReport:
    """Judge a detector on `images`; `folder` keeps the scores (CSV) and the report, and saves doing
    it twice.
    """
    report_path = folder / "evaluation.json"
    if report_path.exists():
        # What another version wrote is no obstacle: it is judged again.
        with suppress(ValueError):
            known = DetectionReport.model_validate_json(report_path.read_text(encoding="utf-8"))
            if (known.model_hash, known.data_hash) == (detector.hash, images.manifest.data_hash):
                return known
    scores = predict_scores(detector, images)
    report = detection_report(
        images.manifest,
        scores,
        model=detector.config.architecture,
        model_hash=detector.hash,
        threshold=detector.config.threshold,
    )
    folder.mkdir(parents=True, exist_ok=True)
    _write_scores(folder / "scores.csv", images.manifest, scores)
    replace_file(report_path, report.model_dump_json(indent=1) + "\n")
    return report


def _describe_run(
    manifest: Manifest, experiment: Experiment, run: Run, images: ImageArray
) -> dict[str, Any]:
    log = list(run.read_log())
    found: dict[str, Any] = {
        "name": experiment.name,
        "part": experiment.part,
        "recipe": tomllib.loads(experiment.recipe.to_toml()),
        "steps": [
            _pick(line, "images", "stage", "loss") for line in log if line["event"] == "step"
        ],
        "epochs": [
            {k: v for k, v in line.items() if k != "event"} for line in log if "val_loss" in line
        ],
        "test": judge(run.model, images, run.folder / "test").model_dump(),
        "stages": [],
    }
    if experiment.recipe.train.schedule == "sequential":
        for number, name in enumerate(
            stage.name for stage in schedule_stages(manifest, experiment.recipe).stages
        ):
            detector = Detector.from_pretrained(stage_folder(run, number, name))
            report = judge(
                detector, images, run.folder / "test" / f"stage-{number + 1}-{as_name(name)}"
            )
            found["stages"].append({"name": name, "test": report.model_dump()})
    return found


def _describe_data(manifest: Manifest) -> dict[str, Any]:
    counts: dict[str, dict[str, int]] = {}
    for (name, split), n in sorted(manifest.counts().items()):
        counts.setdefault(name, {})[split] = n
    return {
        "hash": manifest.data_hash,
        "images": len(manifest),
        "groups": len({row.group for row in manifest.rows}),
        "counts": counts,
        "matched_reals": {name: manifest.matched_reals(name) for name in manifest.generators},
    }


def _worst(folder: Path, images: ImageArray) -> list[dict[str, Any]]:
    """The joint detector's most confident errors on the test split."""
    with (folder / "test" / "scores.csv").open(
        encoding="utf-8", errors="surrogateescape", newline=""
    ) as stream:
        scores = np.array([float(row["score"]) for row in csv.DictReader(stream)])
    labels = images.manifest.labels
    wrong = np.flatnonzero((scores >= 0.5) != labels)
    order = wrong[np.argsort(-np.abs(scores[wrong] - 0.5), kind="stable")][:WORST]
    rows = images.manifest.rows
    return [
        {
            "path": rows[i].path,
            "truth": ("real", "fake")[rows[i].label],
            "from": rows[i].generator or rows[i].source,
            "score": float(scores[i]),
        }
        for i in order
    ]


def _write_scores(path: Path, manifest: Manifest, scores: NDArray[np.float64]) -> None:
    lines = [csv_line(("path", "label", "generator", "source", "group", "score"))]
    for row, score in zip(manifest.rows, scores.tolist(), strict=True):
        truth = ("real", "fake")[row.label]
        lines.append(
            csv_line((row.path, truth, row.generator, row.source, row.group, f"{score:.6g}"))
        )
    replace_file(path, "".join(lines))


def _pick(line: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: line[key] for key in keys}
