"""`fauxlab detector`: train and evaluate detectors."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fauxlab.cli.adapt import adapt
from fauxlab.cli.calibrate import calibrate
from fauxlab.cli.common import (
    AsJson,
    DryRun,
    ManifestPath,
    MaxMinutes,
    Out,
    Pairs,
    RecipeName,
    Resume,
    RunName,
    Sets,
    Split,
    check_split,
    claim_folder,
    decode,
    is_main,
    parse_pairs,
    refuse_unwritable,
    say,
    say_end,
    step_bar,
    take_split,
)
from fauxlab.errors import LabError
from fauxlab.progress import count_images

if TYPE_CHECKING:
    from fauxlab.bundle.detector import AnyDetector
    from fauxlab.config import Recipe
    from fauxlab.data.manifest import Manifest
    from fauxlab.records import DetectionReport, RobustnessReport
    from fauxlab.training.detector.plan import TrainingPlan

app = typer.Typer(no_args_is_help=True, help="Train and evaluate detectors.")
app.command("calibrate")(calibrate)
app.command("adapt")(adapt)


@app.command("train")
def train(
    manifest: ManifestPath,
    recipe: RecipeName,
    sets: Sets = None,
    out: Out = Path("runs"),
    name: RunName = None,
    resume: Resume = False,
    dry_run: DryRun = False,
    max_minutes: MaxMinutes = None,
    leave_one_out: Annotated[
        bool,
        typer.Option(
            "--leave-one-out", help="train without each generator in turn, and evaluate on that one"
        ),
    ] = False,
) -> None:
    """Train a detector. Under `torchrun --nproc-per-node N -m` it trains on N processes."""
    from fauxlab.config import load_recipe
    from fauxlab.data.manifest import Manifest

    experiment = load_recipe(recipe, sets or [])
    if leave_one_out and name is not None:
        raise LabError(
            "--leave-one-out names its runs RECIPE-without-GENERATOR; "
            "leave out --name, or choose another --out"
        )
    data = Manifest.load(manifest)
    if dry_run:
        _print_plans(data, experiment, leave_one_out)
        return
    refuse_unwritable(out / experiment.name, "--out")
    if leave_one_out:
        _train_without_each(data, experiment, out, max_minutes)
        return
    from fauxlab.training.detector.loop import train_plan
    from fauxlab.training.detector.plan import list_warnings, plan_training

    plan = plan_training(data, experiment)
    folder = claim_folder(out, name or plan.name, resume)
    images = None
    on_step = None
    with ExitStack() as stack:
        if is_main():
            for warning in list_warnings(plan):
                say(f"warning: {warning}")
            _announce(plan)
            images = decode(plan.manifest, experiment.data.size)
            on_step = step_bar(stack, folder.name)
        run = train_plan(
            plan,
            out,
            name=folder.name,
            resume=resume,
            max_minutes=max_minutes,
            images=images,
            on_step=on_step,
        )
    if is_main():
        from fauxlab.pages.detector_curves import save_training_figure
        from fauxlab.training.run import fits_log

        with fits_log(run):
            save_training_figure(run.read_log(), run.folder / "figures")
        say_end(run)


def _announce(plan: TrainingPlan) -> None:
    """Say before a training what is to come."""
    rows: set[int] = set()
    for stage in plan.schedule.stages:
        rows.update(stage.rows.tolist())
    steps = plan.schedule.steps
    batch = plan.recipe.train.batch
    say(
        f"training on {len(rows):,} images: "
        f"{steps:,} steps of {batch:,}, {steps * batch:,} images in all"
    )


def _print_plans(data: Manifest, experiment: Recipe, leave_one_out: bool) -> None:
    """What --dry-run shows: the plan, or one for each generator that is left out."""
    from fauxlab.reproduce.unseen import plan_leave_one_out
    from fauxlab.training.detector.plan import describe_plan, plan_training

    recipes = [experiment]
    if leave_one_out:
        recipes = list(plan_leave_one_out(data, experiment).values())
    plans = [plan_training(data, recipe, read_weights=False) for recipe in recipes]
    print("\n\n".join(describe_plan(plan) for plan in plans))


def _train_without_each(
    data: Manifest, experiment: Recipe, out: Path, max_minutes: float | None
) -> None:
    """Print how the recipe does on generators that it never saw, and write it beside the runs."""
    from fauxlab.io.text import replace_file
    from fauxlab.reproduce.unseen import leave_one_out
    from fauxlab.training.detector.schedule import run_name

    with ExitStack() as stack:
        report = leave_one_out(
            data,
            experiment,
            out,
            max_minutes=max_minutes,
            on_step=(lambda title: step_bar(stack, title)) if is_main() else None,
        )
    if not is_main():
        return
    path = out / f"{run_name(experiment)}-leave-one-out.json"
    replace_file(path, report.model_dump_json(indent=1) + "\n")
    print(report.table())
    say(f"wrote {path}")


@app.command("eval")
def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="a bundle, as runs/<name>/best; fauxlab: the packaged"
        ),
    ],
    manifest: ManifestPath,
    split: Split = "test",
    pair: Pairs = None,
    robustness: Annotated[
        bool,
        typer.Option(
            "--robustness",
            help="evaluate again after recompression, resizing, blur, …: 29 times the work",
        ),
    ] = False,
    json_: AsJson = False,
) -> None:
    """Evaluate a detector on a split: per generator against its matched reals, and pooled."""
    from fauxlab.auditing.checks import describe_missing_reals
    from fauxlab.bundle.opening import open_detector
    from fauxlab.data.manifest import Manifest
    from fauxlab.data.seen import describe_training_images
    from fauxlab.evaluation.detection import evaluate

    check_split(split)
    data = Manifest.load(manifest).pair(parse_pairs(pair))
    for line in describe_missing_reals(data):
        say(f"warning: {line}")
    detector = open_detector(model)
    train = data.where(lambda row: row.split == "train")
    data = take_split(data, split)
    seen = describe_training_images(model, data)
    if seen:
        say(f"warning: {seen}")
    if robustness and len(data):
        degraded = _evaluate_degraded(detector, data)
        clean = _add_file_baseline(degraded.clean, train, data)
        degraded = degraded.model_copy(update={"clean": clean})
        tables = f"{clean.table()}\n\n{degraded.table()}"
        print(degraded.model_dump_json(indent=2) if json_ else tables)
        return
    if len(data):
        decode(data, detector.size)
    report = evaluate(detector, data)  # says what is wrong with an empty split
    report = _add_file_baseline(report, train, data)
    print(report.model_dump_json(indent=2) if json_ else report.table())


def _add_file_baseline(
    report: DetectionReport, train: Manifest, evaluated: Manifest
) -> DetectionReport:
    """The results with the AUC that features of the files alone reach, where it can be measured."""
    from fauxlab.auditing.audit import metadata_baseline

    # The baseline is fitted on the training split, so it cannot be measured there.
    if report.split in ("train", "unsplit") or "+" in report.split:
        return report
    try:
        areas = metadata_baseline(train, evaluated)
    except LabError as error:
        say(f"no baseline of file features: {error}")
        return report
    lacking = [name for name, interval in areas.items() if interval.value is None]
    if lacking:
        say(
            f"no AUC of file features for {', '.join(lacking)}: "
            "files are gone or changed, or a class is missing"
        )
    return report.model_copy(update={"file_auc": areas})


def _evaluate_degraded(detector: AnyDetector, data: Manifest) -> RobustnessReport:
    from fauxlab.evaluation.robustness import robustness_report
    from fauxlab.transforms.protocol import list_degradations

    images = decode(data, detector.size)
    rounds = 1 + len(list_degradations())
    with count_images("degrading and scoring", rounds * len(images)) as advance:
        return robustness_report(detector, images, progress=advance)
