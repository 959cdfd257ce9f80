"""The report's GAN experiments in order, then a recipe that does not fail, and the closed loop.

Iteration 1 (report-v1) and iteration 2 (report-v2) of the report, then `r3`. Every training is a
run folder of its own below `out`; finished ones are not repeated. At the end faces of the last
generator become a data set. The unified detector is tested on it twice: before it has seen any of
these faces, and after it was trained with some.
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
from fauxlab.reproduce.scores import evaluate_and_save
from fauxlab.sample.dataset import write_dataset
from fauxlab.training.detector.loop import train_detector
from fauxlab.training.detector.plan import plan_training
from fauxlab.training.gan.loop import train_gan
from fauxlab.training.gan.plan import plan_gan
from fauxlab.training.run import Run, fits_log
from fauxlab.training.session import OnEvent, OnStep
from fauxlab.version import __version__

RESULTS = "gan_results.json"
SCHEMA_VERSION = 4  # of RESULTS
# What the report says of its two runs (section IV), to stand beside ours.
REPORT_ACCOUNT = {
    "v1": "Iteration 1: incoherent images; after epoch 75 of 100 the discriminator rejected "
    "everything and the generator learned nothing more.",
    "v2": "Iteration 2: the lowest FID at epoch 24; a sharp rise after epoch 25; by epoch 81 the "
    "images had become alike.",
}
PARTS = ("v1", "v2", "r3")
# By scale: at the report's own size and epochs, or for two CPU cores. All recipes of a scale make
# faces of one size, so that their distances compare.
RECIPES = {
    "full": {"v1": "report-v1", "v2": "report-v2", "r3": "r3-128"},
    "cpu": {"v1": "report-v1-32", "v2": "report-v2-32", "r3": "r3-32"},
}
SCALES = tuple(RECIPES)
OWN = 1000  # faces of our own that the detector is tested on and trained with

# Name of a log line's event → key of gan_results.json. "end" is one line, the others are lists.
EVENTS = {
    "step": "steps",
    "eval": "evals",
    "guard": "guard",
    "controller": "controller",
    "not_finite": "broken",
    "end": "end",
}


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
    """The named parts in the report's order.

    `sources` are for all parts but iteration 1, which took all kinds of photos.
    """
    plan = []
    for part in parts:
        settings = list(overrides)
        if sources and part != "v1":
            settings.insert(0, f"data.sources={','.join(sources)}")
        recipe = load_gan_recipe(RECIPES[scale][part], settings)
        plan.append(GanExperiment(part, recipe))
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
    recipe = load_recipe("unified-joint", list(detector_overrides))
    plan_training(manifest, recipe, read_weights=False)
    if recipe.data.generators:
        raise LabError(
            "data.generators cannot be set for the loop: the detector must learn all generators"
        )
    name = own_name(experiments[-1])
    if name in manifest.generators:
        raise LabError(
            f"the manifest has a generator {name!r} already; give one without our own faces"
        )
    if not len(manifest.test):
        raise LabError("the manifest has no images in its test split; index more images")


def own_name(experiment: GanExperiment) -> str:
    """The name of an experiment's faces as a generator."""
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
    """Run the GAN experiments below `out` and write gan_results.json.

    Called again it resumes where it stopped. By default it runs all three experiments, with the
    recipes for a CPU. The unified detector is tested on `own` faces of the last generator, before
    and after it was trained with some of them; 0 leaves that out. `weights` is the file of the
    feature network that the recipes name, where it needs one. Returns what gan_results.json holds.

    >>> import fauxlab as fl
    >>> data = fl.index("faces/").split(seed=0)  # doctest: +SKIP
    >>> results = fl.reproduce_gan(data, "runs/reproduce")  # doctest: +SKIP
    >>> [run["part"] for run in results["runs"]]  # doctest: +SKIP
    ['v1', 'v2', 'r3']
    """
    out = Path(out)
    experiments = experiments or plan_gan_experiments("cpu")
    check_gan_half(
        manifest, experiments, own=own, detector_overrides=detector_overrides, weights=weights
    )
    runs = []
    described = []
    for experiment in experiments:
        run = train_gan(
            manifest,
            experiment.recipe,
            out,
            resume=True,
            weights=weights,
            on_step=on_step(experiment.recipe.name) if on_step else None,
            on_event=on_event,
        )
        runs.append(run)
        described.append(_describe_run(experiment, run, manifest))
    results: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "code_version": __version__,
        "environment": describe_environment(manifest.data_hash),
        "data": _describe_data(manifest),
        "account": REPORT_ACCOUNT,
        "runs": described,
        "loop": None,
    }
    # Written before the loop as well: the results so far can be read while the detector trains.
    _write_results(out, results)
    if own:
        loop = _Loop(manifest, out, detector_overrides, on_step)
        name = own_name(experiments[-1])
        results["loop"] = loop.close(runs[-1], name, own)
        _write_results(out, results)
    return results


def _write_results(out: Path, results: dict[str, Any]) -> None:
    replace_file(out / RESULTS, json.dumps(results, indent=1) + "\n")


def _describe_data(manifest: Manifest) -> dict[str, Any]:
    reals = {name: len(manifest.reals(name)) for name in manifest.sources}
    return {"hash": manifest.data_hash, "reals": reals}


def _describe_run(experiment: GanExperiment, run: Run, manifest: Manifest) -> dict[str, Any]:
    """A run's recipe and its log, sorted by event.

    Paths of sample grids are relative to the run's folder.
    """
    events: dict[str, list[dict[str, Any]]] = {key: [] for key in EVENTS.values()}
    for line in run.read_log():
        key = EVENTS.get(line["event"])
        if key:
            values = {name: value for name, value in line.items() if name != "event"}
            events[key].append(values)
    ends = events.pop("end")
    plan = plan_gan(manifest, experiment.recipe)
    samples = []
    with fits_log(run):
        for line in events["evals"]:
            path = f"samples/fakes{line['images']:09}.png"
            samples.append({"images": line["images"], "path": path})
    return {
        "name": run.folder.name,
        "part": experiment.part,
        "recipe": tomllib.loads(experiment.recipe.to_toml()),
        "images_an_epoch": len(plan.train_rows),
        "budget": plan.images,
        **events,
        "end": ends[-1] if ends else None,
        "samples": samples,
    }


@dataclass(frozen=True)
class _Loop:
    """The unified detector on our own generator's faces, before and after training with some."""

    manifest: Manifest
    out: Path
    overrides: Sequence[str]
    on_step: Callable[[str], OnStep] | None

    def close(self, run: Run, name: str, own: int) -> dict[str, Any]:
        """Write `own` faces of the run's generator, and test the detector on them twice.

        Before: `unified-joint` below `out`, trained now where the detector half has not done so.
        Both detectors are tested on the own faces' test split, against reals of the same size and
        encoding, and on the manifest's own test split.
        """
        folder = self.out / "own-faces"
        own_faces = write_dataset(run.generator, folder, own, name, beside=self.manifest, keep=True)
        joint = Manifest.load(folder / "joint.csv")
        tests = {"own": own_faces.test, "others": self.manifest.test}
        before = self._train(self.manifest, "unified-joint")
        results = {"before": self._test(before, tests)}
        after = self._train(joint, "unified-joint-own")
        results["after"] = self._test(after, tests)
        return {"generator": name, "model_hash": run.generator.hash, **results}

    def _train(self, data: Manifest, name: str) -> Run:
        recipe = load_recipe("unified-joint", list(self.overrides))
        on_step = self.on_step(name) if self.on_step else None
        return train_detector(data, recipe, self.out, name=name, resume=True, on_step=on_step)

    def _test(self, run: Run, tests: dict[str, Manifest]) -> dict[str, Any]:
        """Results by place, as JSON."""
        results = {}
        for place, data in tests.items():
            images = load_images(data, run.model.size)
            report = evaluate_and_save(run.model, images, run.folder / "test" / place)
            results[place] = report.model_dump()
        return results
