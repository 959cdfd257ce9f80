"""What the GAN recipes reach at equal images seen, what each part of `r3` is worth, and whether the
guard was right.

    fauxlab data index FACES --out runs/faces/manifest.csv
    FAUXLAB_INCEPTION=keras_inception_v3_mixed7a.pth \
        .venv/bin/python -m benchmarks.gan.recipes runs/faces/manifest.csv --sources celeba --seeds 0 \
        --evaluations 3 --precision bf16

Trains every run below `runs/gan` (resuming what was cut short, skipping what is finished) and
writes each into benchmarks/results/gan_recipes.json as soon as it ends: distance by the feature
network with N and floor, best and last, recall, the guard's alarms. Prints the guard's confusion
table over all runs in the file, and saves a grid of each run's best and last faces, and the best of
all recipes side by side. `--only r3-32,report-v2-32` chooses runs, `--size 64` or `128` takes the
recipes for a GPU. `--describe` trains nothing and writes what the logs of the chosen runs say, of
runs that were cut short, too.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fauxlab.config import GanRecipe, difference, load_gan_recipe
from fauxlab.data.cache import load_images
from fauxlab.data.manifest import Manifest
from fauxlab.evaluation.generation import evaluate_generator, load_reference
from fauxlab.evaluation.networks import load_features
from fauxlab.io.marking import Mark, save_png
from fauxlab.io.text import replace_file
from fauxlab.models import create_generator
from fauxlab.models.pretrained import Generator
from fauxlab.training.gan.collapse_guard import ALIKE, WARM_UP, Guard, Signals
from fauxlab.training.gan.loop import train_gan
from fauxlab.training.gan.plan import plan_gan
from fauxlab.training.run import Run

RESULTS = Path(__file__).parents[1] / "results" / "gan_recipes.json"
SIGNALS = [field.name for field in fields(Signals)]  # all are kept, for rules to come
ROSE = 1.25  # times its best: from here on a distance counts as collapsed
# By size, the recipe to beat the others with first, and the images that each of them sees.
RECIPES = {
    32: ("r3-32", "report-v2-32", "report-v1-32", "sngan-32"),
    64: ("r3", "report-v2-64", "report-v1-64", "sngan"),
    128: ("r3-128", "report-v2", "report-v1"),
}
IMAGES = {32: 300_000, 64: 3_000_000, 128: 280_000}  # the last: the report's 100 epochs of 2,800
# Short runs for the guard, looked at often and in the features that cost least; a later value
# stands.
SHORT = ["guard.every=2500", "evaluate.every=10000", "evaluate.features=randconv"]
# Mode collapse made to order: the discriminator stops learning at half of the run, and the
# generator learns what it does not see.
DEAD = [
    "train.discriminator_lr={start=2e-4,end=0,over=0.5}",
    "train.images=60000",
    *SHORT,
    "evaluate.every=5000",
]
# What may fail of itself: few faces, and a relativistic pair that nothing holds back.
FEW = ["data.limit=200", "train.images=150000", *SHORT, "guard.every=5000", "evaluate.every=15000"]
FREE = ["gan.r1=0", "gan.r2=0", "train.images=60000", *SHORT]
ABLATIONS = {
    "": [],
    "no R2": ["gan.r2=0"],
    "no EMA": [],  # the whole recipe's run, see `unaveraged`
    "no augmentation": ["gan.augment=[]"],
    "dead discriminator": DEAD,
    "dead discriminator rollback": [*DEAD, "guard.on_collapse=rollback"],
    "few faces": FEW,
    "no penalty": FREE,
    "no penalty rollback": [*FREE, "guard.on_collapse=rollback"],
}


@dataclass(frozen=True)
class Planned:
    """One run: a recipe, what is changed in it, and a seed."""

    recipe: str
    ablation: str
    seed: int

    @property
    def name(self) -> str:
        """The run folder's name."""
        return "-".join([self.recipe, *self.ablation.lower().split(), f"s{self.seed}"])

    def overrides(
        self, sources: str, images: int, every: int, features: str, precision: str
    ) -> list[str]:
        """The recipe's changes; the guard only watches, unless the run is there to show what it
        does.
        """
        common = [f"data.sources={sources}", f"train.seed={self.seed}", f"train.images={images}"]
        common += [f"train.precision={precision}"]
        common += [f"evaluate.every={every}", f"evaluate.features={features}", "evaluate.n=2000"]
        common += [f"guard.every={max(10_000, images // 30)}"]
        return [*common, "guard.on_collapse=warn", *ABLATIONS[self.ablation]]


def plan(size: int, seeds: list[int]) -> list[Planned]:
    """All runs at a size, the main ones of every seed first."""
    names = RECIPES[size]
    main = [Planned(name, "", seed) for seed in seeds for name in names]
    parts = [Planned(names[0], part, seeds[0]) for part in ("no R2", "no EMA", "no augmentation")]
    dead = [
        Planned(names[1], part, seeds[0])
        for part in ("dead discriminator", "dead discriminator rollback")
    ]
    few = [Planned(name, "few faces", seeds[0]) for name in names]
    free = [Planned(names[0], part, seeds[0]) for part in ("no penalty", "no penalty rollback")]
    return [*main, *parts, *dead, *few, *free]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--sources", default="celeba")
    parser.add_argument("--runs", type=Path, default=Path("runs/gan"))
    parser.add_argument("--size", type=int, choices=tuple(RECIPES), default=32)
    parser.add_argument("--seeds", default="0")
    parser.add_argument(
        "--only", help="names of runs, as r3-32-no-r2-s0, or of recipes, separated by commas"
    )
    parser.add_argument(
        "--images", type=int, help="by default 300,000 at 32 px, 3,000,000 at 64, 280,000 at 128"
    )
    parser.add_argument("--evaluations", type=int, default=5, help="distances a run")
    parser.add_argument("--features", default="keras-inception-7a")
    parser.add_argument("--precision", default="no", help="bf16 where the machine has it")
    parser.add_argument(
        "--max-minutes", type=float, help="of each run; the same command goes on later"
    )
    parser.add_argument(
        "--describe", action="store_true", help="train nothing; what the logs below `--runs` say"
    )
    options = parser.parse_args()
    images = options.images or IMAGES[options.size]
    manifest = Manifest.load(options.manifest)
    chosen = set((options.only or "").split(",")) - {""}
    seeds = [int(seed) for seed in options.seeds.split(",")]
    for planned in plan(options.size, seeds):
        if chosen and not chosen & {planned.name, planned.recipe if not planned.ablation else ""}:
            continue
        every = images // options.evaluations
        whole = replace(planned, ablation="") if planned.ablation == "no EMA" else planned
        overrides = planned.overrides(
            options.sources, images, every, options.features, options.precision
        )
        if options.describe:
            run = Run(options.runs / whole.name)
            if whole != planned or not any(entry["event"] == "eval" for entry in run.read_log()):
                print(
                    f"{planned.name}: no evaluation in its log, or more than a log is needed; passed over"
                )
                continue
            changed = difference(
                run.recipe.model_dump(), load_gan_recipe(planned.recipe, overrides).model_dump()
            )
            if changed:
                raise SystemExit(f"{run.folder} was made by another command: {'; '.join(changed)}")
        else:
            run = train_gan(
                manifest,
                load_gan_recipe(planned.recipe, overrides),
                options.runs,
                name=whole.name,
                resume=True,
                max_minutes=options.max_minutes,
                on_event=lambda text, name=whole.name: print(f"{name}: {text}", flush=True),
            )
        if run.finished or options.describe:
            entry = describe(
                planned, run, command(options.manifest, options.runs, whole, overrides)
            )
            if whole != planned:
                # The figure is this script's; `gan train` only makes the run.
                entry["command"] = shlex.join(["benchmarks/gan/recipes.py", *sys.argv[1:]])
                entry |= unaveraged(manifest, run, load_gan_recipe(planned.recipe, overrides))
            record(entry, run)
    entries = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    # side by side they need one size
    show_faces({entry["name"]: entry for entry in entries}, plan(32, [0]))
    for onset, words in (
        ("rose_at_images", "single looks"),
        ("collapsed_at_images", "medians of three looks"),
    ):
        print(f"onset by {words}:\n{confusion(entries, onset)}")


def command(manifest: Path, runs: Path, planned: Planned, overrides: list[str]) -> str:
    """The command line that trains the same run."""
    sets = [part for item in overrides for part in ("--set", item)]
    words = [
        "fauxlab",
        "gan",
        "train",
        manifest,
        "--recipe",
        planned.recipe,
        "--out",
        runs,
        "--name",
        planned.name,
    ]
    return shlex.join([*map(str, words), *sets])


def record(entry: dict[str, Any], run: Run) -> None:
    """Put a run into the results in place of an older one of the same name, and its faces beside
    them.
    """
    entries = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    entries = [other for other in entries if other["name"] != entry["name"]] + [entry]
    RESULTS.parent.mkdir(exist_ok=True)
    replace_file(RESULTS, json.dumps(sorted(entries, key=lambda e: e["name"]), indent=1) + "\n")
    if entry["ablation"] != "no EMA":
        for moment in ("best", "last"):
            grid = run.folder / "samples" / f"fakes{entry[f'{moment}_images']:09}.png"
            shutil.copyfile(grid, RESULTS.parent / f"faces-{entry['name']}-{moment}.png")
    long = {"command", "machine", "trend", "guard_trend"}
    print(json.dumps({key: value for key, value in entry.items() if key not in long}, indent=1))


def show_faces(entries: dict[str, dict[str, Any]], runs: list[Planned]) -> None:
    """Two pictures: the best faces of the unchanged recipes, worst distance first; a collapse, and
    what rollback saved.

    The second shows the best and the last faces without rollback and the last with it.
    """
    main = [entries[run.name] for run in runs if not run.ablation and run.name in entries]
    main.sort(key=lambda entry: -entry["best"])
    dead = [entries.get(run.name) for run in runs if run.ablation.startswith("dead")]
    if main:
        put_side_by_side("gan-faces.png", [(entry, "best") for entry in main])
    if len(dead) == 2 and dead[0] and dead[1]:
        put_side_by_side(
            "gan-collapse.png", [(dead[0], "best"), (dead[0], "last"), (dead[1], "last")]
        )


def put_side_by_side(name: str, shown: list[tuple[dict[str, Any], str]]) -> None:
    """Some faces of each run at its best or last moment, in a picture among the results."""
    panels = []
    for entry, moment in shown:
        with Image.open(RESULTS.parent / f"faces-{entry['name']}-{moment}.png") as grid:
            faces = np.asarray(grid.convert("RGB"))[: 4 * entry["size"], : 6 * entry["size"]]
        panels += [np.full((faces.shape[0], 8, 3), 255, np.uint8), faces]
    pixels = np.concatenate(panels[1:], axis=1).repeat(2, 0).repeat(2, 1).transpose(2, 0, 1)
    recipes = dict.fromkeys(entry["recipe"] for entry, _ in shown)
    save_png(RESULTS.parent / name, pixels, Mark(", ".join(recipes), ""))


def describe(planned: Planned, run: Run, line: str) -> dict[str, Any]:
    """A run's figures from its log."""
    log = list(run.read_log())
    evals = [entry for entry in log if entry["event"] == "eval"]
    checks = [entry for entry in log if entry["event"] == "guard"]
    if "rollback" not in planned.ablation:
        judge_again(checks, evals, load_gan_recipe(planned.recipe).guard.patience)
    best = min(evals, key=lambda entry: entry["distance"])
    alarms = [entry for entry in checks if entry["alarm"]]
    environment = run.environment
    return {
        "name": planned.name,
        "recipe": planned.recipe,
        "ablation": planned.ablation,
        "size": load_gan_recipe(planned.recipe).data.size,
        "images": max(entry["images"] for entry in log if "images" in entry),
        "finished": run.finished,
        "seed": planned.seed,
        "features": best["label"],
        "n": best["n"],
        "floor": best["floor"],
        "floor_n": best["floor_n"],
        "best": best["distance"],
        "best_images": best["images"],
        "last": evals[-1]["distance"],
        "last_images": evals[-1]["images"],
        "recall_best": best["recall"],
        "recall_last": evals[-1]["recall"],
        "coverage_best": best["coverage"],
        "coverage_last": evals[-1]["coverage"],
        "memorised_last": evals[-1]["memorised_share"],
        "guard_alarms": len(alarms),
        "guard_first_alarm_images": alarms[0]["images"] if alarms else None,
        "guard_first_alarm_state": alarms[0]["state"] if alarms else None,
        "collapsed_at_images": collapse(checks, evals, run.finished),
        "rose_at_images": collapse(checks, evals, run.finished, looks=1),
        "rollbacks": sum(entry["action"] == "rollback" for entry in checks),
        "trend": [{key: entry[key] for key in ("images", "distance", "recall")} for entry in evals],
        "guard_trend": [{key: entry[key] for key in (*SIGNALS, "state")} for entry in checks],
        "command": line,
        "machine": {
            key: environment[key] for key in ("processor", "cpus", "gpu", "packages", "fauxlab")
        },
    }


def unaveraged(manifest: Manifest, run: Run, recipe: GanRecipe) -> dict[str, Any]:
    """The figures of the weights that a run ended with before averaging, in place of those of the
    averaged ones.

    Its course and best moment are unknown, and so is what the guard would have said of it.
    """
    checkpoint = run.load_checkpoint()
    assert checkpoint is not None
    network = create_generator(
        recipe.model.name, recipe.data.size, recipe.model.latent, **recipe.model.generator
    )
    network.load_state_dict(checkpoint["model"][0])
    generator = Generator(network.eval(), run.generator.config)
    images = load_images(plan_gan(manifest, recipe).manifest, recipe.data.size)
    reference = load_reference(
        images, load_features(recipe.evaluate.features), recipe.evaluate.n, seed=recipe.train.seed
    )
    report = evaluate_generator(
        generator.sample, reference, model=recipe.model.name, model_hash="", seed=0
    )
    figures: dict[str, Any] = {
        "best_images": checkpoint["images"],
        "memorised_last": report.memorised_share,
    }
    for moment in ("best", "last"):
        figures |= {moment: report.distance}
        figures |= {f"recall_{moment}": report.recall, f"coverage_{moment}": report.coverage}
    guard = dict.fromkeys(("guard_alarms", "guard_first_alarm_images", "guard_first_alarm_state"))
    return (
        figures
        | guard
        | {"collapsed_at_images": None, "rollbacks": 0, "trend": [], "guard_trend": []}
    )


def judge_again(checks: list[dict[str, Any]], evals: list[dict[str, Any]], patience: int) -> None:
    """Put the guard's present judgement of the logged signals into the checks of a run in which it
    only watched.
    """
    guard = Guard(patience)
    waiting = list(evals)
    for check in checks:
        # an evaluation comes before a check
        while waiting and waiting[0]["images"] <= check["images"]:
            guard.note_evaluation(waiting[0]["images"], waiting.pop(0)["distance"])
        assessment, check["alarm"] = guard.check(Signals(**{name: check[name] for name in SIGNALS}))
        check["state"] = assessment.state


def collapse(
    checks: list[dict[str, Any]], evals: list[dict[str, Any]], finished: bool = True, looks: int = 3
) -> int | None:
    """Images from which on the distance stayed a quarter above its best to the end; None when it
    did not.

    Whether, the evaluated distance says; when, the guard's, which is taken far more often: told
    afterwards and from medians of `looks` checks, so that a noisy distance that comes back is no
    collapse. Of a run that was cut short after its last evaluation the guard's says whether, too,
    where its last check shows lost variety besides.
    """
    judged = checks[WARM_UP:]
    distances = [check["distance"] for check in judged]
    middle = [
        float(np.median(distances[max(0, i + 1 - looks) : i + 1])) for i in range(len(distances))
    ]
    at, nearest = None, float("inf")
    for check, distance in zip(judged, middle, strict=True):
        nearest = min(nearest, distance)
        if distance <= ROSE * nearest:
            at = None
        elif at is None:
            at = int(check["images"])
    if evals[-1]["distance"] > ROSE * min(entry["distance"] for entry in evals):
        return at or int(evals[-1]["images"])
    cut = not finished and bool(judged) and judged[-1]["images"] > evals[-1]["images"]
    lost = cut and (
        judged[-1]["near_duplicates"] > ALIKE
        or judged[-1]["recall"] < max(check["recall"] for check in judged) / 2
    )
    return at if lost else None


def confusion(entries: list[dict[str, Any]], onset: str) -> str:
    """The guard against what happened by the distance, over runs in which it only watched; look at
    the faces, too.
    """
    cells = {"collapsed, alarm before": 0, "collapsed, alarm too late": 0, "collapsed, no alarm": 0}
    cells |= {"did not collapse, alarm": 0, "did not collapse, no alarm": 0}
    for entry in entries:
        at, alarm = entry[onset], entry["guard_first_alarm_images"]
        if "rollback" in entry["ablation"] or entry["ablation"] == "no EMA":
            continue
        if at is None:
            cells["did not collapse, no alarm" if alarm is None else "did not collapse, alarm"] += 1
        elif alarm is None:
            cells["collapsed, no alarm"] += 1
        else:
            cells["collapsed, alarm before" if alarm <= at else "collapsed, alarm too late"] += 1
    return "\n".join(f"{n:>4}  {name}" for name, n in cells.items())


if __name__ == "__main__":
    main()
