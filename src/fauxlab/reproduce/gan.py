"""The report's GAN experiments in order, then what does not fail, and the loop closed.

Iteration 1 (report-v1) and iteration 2 (report-v2) of the report, then `r3`. Every training is a
run folder of its own below `out`; finished ones are not repeated. At the end faces of the last
generator become a data set, and the unified detector is judged on them: before it has seen any, and
after it was trained with some.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fauxlab.config import GanRecipe, load_gan_recipe, load_recipe
from fauxlab.data.cache import load_images
from fauxlab.data.manifest import Manifest
from fauxlab.environment import describe_environment
from fauxlab.errors import LabError
from fauxlab.evaluation.networks import check_features
from fauxlab.io.text import replace_file
from fauxlab.records import SCHEMA_VERSION, DetectionReport
from fauxlab.reproduce.detector import judge
from fauxlab.sample import write_dataset
from fauxlab.training.detector.loop import train_detector
from fauxlab.training.detector.plan import plan_training
from fauxlab.training.gan.loop import train_gan
from fauxlab.training.gan.plan import plan_gan
from fauxlab.training.run import Run
from fauxlab.training.session import OnEvent, OnStep
from fauxlab.version import __version__

RESULTS = "gan_results.json"
# What the report says of its two runs (section IV), to stand beside ours.
REPORT_ACCOUNT = {
    "v1": "Iteration 1: incoherent images; after epoch 75 of 100 the discriminator rejected everything and the "
    "generator learned nothing more.",
    "v2": "Iteration 2: the lowest FID at epoch 24; a sharp rise after epoch 25; by epoch 81 the images "
    "had become alike.",
}
PARTS = ("v1", "v2", "r3")
# By scale: at the report's own size and epochs, or for two CPU cores. All of a scale make faces of
# one size.
RECIPES = {
    "full": {"v1": "report-v1", "v2": "report-v2", "r3": "r3-128"},
    "cpu": {"v1": "report-v1-32", "v2": "report-v2-32", "r3": "r3-32"},
}
SCALES = tuple(RECIPES)
OWN = 1000  # faces of our own that the detector is judged on and trained with


@dataclass(frozen=True)
class GanExperiment:
    """One training of the GAN half."""

    part: str
    recipe: GanRecipe


def plan_gan_experiments(
    scale: str,
    sources: Sequence[str] = (),
    overrides: Sequence[str] = (),
    parts: Sequence[str] = PARTS,
) -> list[GanExperiment]:
    """The named parts in the report's order. `sources` are for all but iteration 1, which took all
    kinds of photos.
    """
    plan = []
    for part in parts:
        chosen = [f"data.sources={','.join(sources)}"] if sources and part != "v1" else []
        plan.append(
            GanExperiment(part, load_gan_recipe(RECIPES[scale][part], [*chosen, *overrides]))
        )
    return plan


def check_gan_half(
    manifest: Manifest,
    experiments: Sequence[GanExperiment],
    *,
    own: int = OWN,
    detector_overrides: Sequence[str] = (),
    weights: str | Path | None = None,
) -> None:
    """Raise LabError for all that `reproduce_gan` can refuse before hours of training."""
    for experiment in experiments:
        plan_gan(manifest, experiment.recipe)
        check_features(experiment.recipe.evaluate.features, weights)
    if not own:
        return
    plan_training(manifest, recipe := load_recipe("unified-joint", list(detector_overrides)))
    if recipe.data.generators:
        raise LabError(
            "data.generators cannot be set for the loop: the detector must learn all generators"
        )
    if (name := own_name(experiments[-1])) in manifest.generators:
        raise LabError(
            f"the manifest has a generator {name!r} already; give one without our own faces"
        )
    if not len(manifest.test):
        raise LabError("the manifest has no images in its test split; index more images")


def own_name(experiment: GanExperiment) -> str:
    """What an experiment's faces are called as a generator."""
    return "own-" + experiment.recipe.name


def reproduce_gan(
    manifest: Manifest,
    out: str | Path,
    experiments: Sequence[GanExperiment] | None = None,
    *,
    own: int = OWN,
    detector_overrides: Sequence[str] = (),
    weights: str | Path | None = None,
    on_step: Callable[[str], OnStep] | None = None,
    on_event: OnEvent | None = None,
) -> dict[str, Any]:
    """Run the GAN experiments below `out` and write gan_results.json; called again it resumes where
    it stopped.

    By default all three, with the recipes for a CPU. The unified detector is judged on `own` faces
    of the last generator, before and after it was trained with some of them; 0 leaves that out.
    `weights` is the file of the feature network that the recipes name, where it needs one. Returns
    what gan_results.json holds.
    """
    out = Path(out)
    experiments = experiments or plan_gan_experiments("cpu")
    check_gan_half(
        manifest, experiments, own=own, detector_overrides=detector_overrides, weights=weights
    )
    runs = []
    for experiment in experiments:
        name = experiment.recipe.name
        steps = on_step(name) if on_step else None
        runs.append(
            train_gan(
                manifest,
                experiment.recipe,
                out,
                resume=True,
                weights=weights,
                on_step=steps,
                on_event=on_event,
            )
        )
    results: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "code_version": __version__,
        "environment": describe_environment(manifest.data_hash),
        "data": {
            "hash": manifest.data_hash,
            "reals": {name: len(manifest.reals(name)) for name in manifest.sources},
        },
        "account": REPORT_ACCOUNT,
        "runs": [_describe(e, run, manifest) for e, run in zip(experiments, runs, strict=True)],
        "loop": None,
    }
    replace_file(out / RESULTS, json.dumps(results, indent=1) + "\n")
    if own:  # training once more, during which what is known so far can be read
        name = own_name(experiments[-1])
        results["loop"] = _close_loop(
            manifest, runs[-1], name, out, own, detector_overrides, on_step
        )
        replace_file(out / RESULTS, json.dumps(results, indent=1) + "\n")
    return results


def _describe(experiment: GanExperiment, run: Run, manifest: Manifest) -> dict[str, Any]:
    """A run's recipe and log, sorted by event; paths of sample grids are relative to the run's
    folder.
    """
    log = list(run.read_log())
    events: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("step", "eval", "guard", "controller", "not_finite", "end")
    }
    for line in log:
        if line["event"] in events:
            events[line["event"]].append({k: v for k, v in line.items() if k != "event"})
    plan = plan_gan(manifest, experiment.recipe)
    return {
        "name": run.folder.name,
        "part": experiment.part,
        "recipe": tomllib.loads(experiment.recipe.to_toml()),
        "images_an_epoch": len(plan.train_rows),
        "budget": plan.images,
        "steps": events["step"],
        "evals": events["eval"],
        "guard": events["guard"],
        "controller": events["controller"],
        "broken": events["not_finite"],
        "end": events["end"][-1] if events["end"] else None,
        "samples": [
            {"images": line["images"], "path": f"samples/fakes{line['images']:09}.png"}
            for line in events["eval"]
        ],
    }


def _close_loop(
    manifest: Manifest,
    run: Run,
    name: str,
    out: Path,
    own: int,
    overrides: Sequence[str],
    on_step: Callable[[str], OnStep] | None,
) -> dict[str, Any]:
    """The unified detector on our own generator's faces, before and after training with some of
    them.

    Before: `unified-joint` below `out` (trained now where the detector half has not yet). Both are
    judged on the own faces' test split against reals of the same size and encoding, and on the
    manifest's own test split.
    """
    folder = out / "own-faces"
    own_faces = write_dataset(run.generator, folder, own, name, beside=manifest)
    joint = Manifest.load(folder / "joint.csv")
    recipe = load_recipe("unified-joint", list(overrides))
    judged: dict[str, Any] = {"generator": name, "model_hash": run.generator.hash}
    for key, data, run_name in (
        ("before", manifest, "unified-joint"),
        ("after", joint, "unified-joint-own"),
    ):
        steps = on_step(run_name) if on_step else None
        trained = train_detector(data, recipe, out, name=run_name, resume=True, on_step=steps)
        judged[key] = {
            place: _judge(trained, part, trained.folder / "test" / place)
            for place, part in (("own", own_faces.test), ("others", manifest.test))
        }
    return judged


def _judge(run: Run, data: Manifest, folder: Path) -> dict[str, Any]:
    report: DetectionReport = judge(run.model, load_images(data, run.model.size), folder)
    return report.model_dump()
