r"""What do the GAN recipes reach after equally many images, and was the collapse guard right?

    fauxlab data index FACES --out runs/faces/manifest.csv
    export FAUXLAB_INCEPTION=keras_inception_v3_mixed7a.pth
    .venv/bin/python -m benchmarks.gan.recipes runs/faces/manifest.csv \
        --sources celeba --seeds 0 --evaluations 3 --precision bf16

Trains the recipes, and `r3` without each of its parts, in folders below `runs/gan`. A run that was
cut short goes on; a finished one is not repeated. `--only r3-32,report-v2-32` chooses runs;
`--size 64` or `128` takes the recipes meant for a GPU. `--describe` trains nothing and reads the
logs of the chosen runs, also of runs that were cut short.

Writes into benchmarks/results/, after each run:

- gan_recipes.json: the Fréchet distance with its feature network, N and floor (the distance between
  two sets of real photos), at its best and at the end; recall, coverage, and the guard's alarms;
- faces-RUN-best.png, and faces-RUN-last.png where it differs: generated faces;
- gan-faces.png: the best faces of all recipes side by side, and gan-collapse.png: a collapse made
  on purpose, and what a rollback saves.

Prints how often the guard was right, over all runs in the file.
"""

from __future__ import annotations

import argparse
import shlex
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.gan.collapse import SIGNALS, confusion_table, find_collapse, reassess
from benchmarks.gan.pictures import put_side_by_side, store_grids
from benchmarks.gan.runs import IMAGES, RECIPES, PlannedRun, list_overrides, plan_runs
from benchmarks.output import command_line, load_results, print_results, save_results

from fauxlab.config import GanRecipe, difference, load_gan_recipe
from fauxlab.data.cache import load_images
from fauxlab.data.manifest import Manifest
from fauxlab.evaluation.generation import evaluate_generator, load_reference
from fauxlab.evaluation.networks import load_features
from fauxlab.models import create_generator
from fauxlab.models.pretrained import Generator
from fauxlab.training.gan.loop import train_gan
from fauxlab.training.gan.plan import plan_gan
from fauxlab.training.run import Run

RESULTS = "gan_recipes.json"
LONG = ("command", "machine", "trend", "guard_trend")
MACHINE = ("processor", "cpus", "gpu", "packages", "fauxlab")

Entry = dict[str, Any]


def main() -> None:
    options = parse_options()
    manifest = Manifest.load(options.manifest)
    chosen = set(options.only.split(",")) - {""}
    seeds = [int(seed) for seed in options.seeds.split(",")]
    for planned in plan_runs(options.size, seeds):
        if chosen and not planned.names & chosen:
            continue
        entry = measure(planned, manifest, options)
        if entry is not None:
            record(entry)
    entries = load_results(RESULTS) or []
    # Pictures side by side need one size, the smallest.
    draw_comparisons(entries, plan_runs(32, [0]))
    print(f"onset by single looks:\n{confusion_table(entries, 'rose_at_images')}")
    print(f"onset by medians of three looks:\n{confusion_table(entries, 'collapsed_at_images')}")


def parse_options() -> Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--sources", default="celeba")
    parser.add_argument("--runs", type=Path, default=Path("runs/gan"))
    parser.add_argument("--size", type=int, choices=tuple(RECIPES), default=32)
    parser.add_argument("--seeds", default="0")
    parser.add_argument(
        "--only",
        default="",
        help="names of runs, as r3-32-no-r2-s0, or of recipes, separated by commas",
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
        "--describe", action="store_true", help="train nothing; read the logs below `--runs`"
    )
    options = parser.parse_args()
    options.images = options.images or IMAGES[options.size]
    return options


def measure(planned: PlannedRun, manifest: Manifest, options: Namespace) -> Entry | None:
    """Train a run, or read its log; its figures, or None where it is not finished."""
    overrides = list_overrides(planned, options)
    # The figures without averaging are those of another generator of the whole recipe's run.
    is_unaveraged = planned.ablation == "no EMA"
    trained = replace(planned, ablation="") if is_unaveraged else planned
    recipe = load_gan_recipe(planned.recipe, overrides)
    if options.describe:
        run = Run(options.runs / trained.name)
        evaluated = any(entry["event"] == "eval" for entry in run.read_log())
        if is_unaveraged or not evaluated:
            print(f"{planned.name}: skipped; its log has no evaluation, or a log is not enough")
            return None
        check_recipe(run, recipe)
    else:
        run = train(trained.name, manifest, recipe, options)
        if not run.finished:
            return None
    entry = describe_run(planned, run)
    if is_unaveraged:
        entry["command"] = command_line()
        entry |= measure_unaveraged(manifest, run, recipe)
    else:
        entry["command"] = training_command(options, trained, overrides)
    if not is_unaveraged:
        store_grids(entry, run.folder / "samples")
    return entry


def train(name: str, manifest: Manifest, recipe: GanRecipe, options: Namespace) -> Run:
    return train_gan(
        manifest,
        recipe,
        options.runs,
        name=name,
        resume=True,
        max_minutes=options.max_minutes,
        on_event=lambda text: print(f"{name}: {text}", flush=True),
    )


def check_recipe(run: Run, recipe: GanRecipe) -> None:
    """Exit where the run in the folder was made by another recipe."""
    changed = difference(run.recipe.model_dump(), recipe.model_dump())
    if changed:
        raise SystemExit(f"{run.folder} was made by another command: {'; '.join(changed)}")


def training_command(options: Namespace, planned: PlannedRun, overrides: list[str]) -> str:
    """The command line that trains the same run."""
    words = ["fauxlab", "gan", "train", str(options.manifest)]
    words += ["--recipe", planned.recipe]
    words += ["--out", str(options.runs), "--name", planned.name]
    for override in overrides:
        words += ["--set", override]
    return shlex.join(words)


def record(entry: Entry) -> None:
    """Put a run into the results, in place of an older run of the same name."""
    entries = [other for other in load_results(RESULTS) or [] if other["name"] != entry["name"]]
    entries.append(entry)
    entries.sort(key=lambda other: other["name"])
    save_results(RESULTS, entries)
    print_results(entry, without=LONG)


# --- figures


def describe_run(planned: PlannedRun, run: Run) -> Entry:
    """A run's figures from its log."""
    recipe = load_gan_recipe(planned.recipe)
    log = list(run.read_log())
    evals = [entry for entry in log if entry["event"] == "eval"]
    checks = [entry for entry in log if entry["event"] == "guard"]
    if "rollback" not in planned.ablation:
        reassess(checks, evals, recipe.guard.patience)
    best = min(evals, key=lambda entry: entry["distance"])
    last = evals[-1]
    return {
        "name": planned.name,
        "recipe": planned.recipe,
        "ablation": planned.ablation,
        "size": recipe.data.size,
        "images": max(entry["images"] for entry in log if "images" in entry),
        "finished": run.finished,
        "seed": planned.seed,
        "features": best["label"],
        "n": best["n"],
        "floor": best["floor"],
        "floor_n": best["floor_n"],
        "best": best["distance"],
        "best_images": best["images"],
        "last": last["distance"],
        "last_images": last["images"],
        "recall_best": best["recall"],
        "recall_last": last["recall"],
        "coverage_best": best["coverage"],
        "coverage_last": last["coverage"],
        "memorised_last": last["memorised_share"],
        **describe_guard(checks),
        "collapsed_at_images": find_collapse(checks, evals, run.finished),
        "rose_at_images": find_collapse(checks, evals, run.finished, looks=1),
        "rollbacks": sum(check["action"] == "rollback" for check in checks),
        "trend": [pick(entry, ("images", "distance", "recall")) for entry in evals],
        "guard_trend": [pick(check, (*SIGNALS, "state")) for check in checks],
        "machine": pick(run.environment, MACHINE),
    }


def describe_guard(checks: list[Entry]) -> Entry:
    alarms = [check for check in checks if check["alarm"]]
    first = alarms[0] if alarms else {"images": None, "state": None}
    return {
        "guard_alarms": len(alarms),
        "guard_first_alarm_images": first["images"],
        "guard_first_alarm_state": first["state"],
    }


def pick(entry: Entry, keys: tuple[str, ...]) -> Entry:
    return {key: entry[key] for key in keys}


def measure_unaveraged(manifest: Manifest, run: Run, recipe: GanRecipe) -> Entry:
    """The figures of a run's last weights without averaging, instead of the averaged weights'.

    Their course, their best moment, and what the guard would have said are unknown.
    """
    checkpoint = run.load_checkpoint()
    assert checkpoint is not None
    model = recipe.model
    network = create_generator(model.name, recipe.data.size, model.latent, **model.generator)
    network.load_state_dict(checkpoint["model"][0])
    generator = Generator(network.eval(), run.generator.config)
    images = load_images(plan_gan(manifest, recipe).manifest, recipe.data.size)
    features = load_features(recipe.evaluate.features)
    reference = load_reference(images, features, recipe.evaluate.n, seed=recipe.train.seed)
    report = evaluate_generator(
        generator.sample, reference, model=model.name, model_hash="", seed=0
    )
    return {
        "best": report.distance,
        "best_images": checkpoint["images"],
        "last": report.distance,
        "recall_best": report.recall,
        "recall_last": report.recall,
        "coverage_best": report.coverage,
        "coverage_last": report.coverage,
        "memorised_last": report.memorised_share,
        "guard_alarms": None,
        "guard_first_alarm_images": None,
        "guard_first_alarm_state": None,
        "collapsed_at_images": None,
        "rollbacks": 0,
        "trend": [],
        "guard_trend": [],
    }


# --- pictures


def draw_comparisons(entries: list[Entry], runs: list[PlannedRun]) -> None:
    """Draw the best faces of the unchanged recipes, and a collapse with and without rollback."""
    by_name = {entry["name"]: entry for entry in entries}
    unchanged = [by_name[run.name] for run in runs if not run.ablation and run.name in by_name]
    unchanged.sort(key=lambda entry: -entry["best"])
    if unchanged:
        put_side_by_side("gan-faces.png", [(entry, "best") for entry in unchanged])
    collapsed = [by_name.get(run.name) for run in runs if run.ablation == "dead discriminator"]
    rescued = [
        by_name.get(run.name) for run in runs if run.ablation == "dead discriminator rollback"
    ]
    for without, with_rollback in zip(collapsed, rescued, strict=True):
        if without and with_rollback:
            shown = [(without, "best"), (without, "last"), (with_rollback, "last")]
            put_side_by_side("gan-collapse.png", shown)


if __name__ == "__main__":
    main()
