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
    check_output,
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
from fauxlab.cli.leaving_out import parse_leaving, print_plans, train_without_each
from fauxlab.errors import LabError
from fauxlab.progress import count_images

if TYPE_CHECKING:
    from fauxlab.bundle.detector import AnyDetector
    from fauxlab.config import Recipe
    from fauxlab.data.manifest import Manifest
    from fauxlab.evaluation.subgroups import Grouping
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
        bool, typer.Option("--leave-one-out", help="the same as --leave-out generators")
    ] = False,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(
            "--leave-out",
            metavar="SORT",
            help="generators, families or real-kinds: train without each in turn, and evaluate on "
            "that one; may be given twice, with --folds",
        ),
    ] = None,
    family: Annotated[
        list[str] | None,
        typer.Option(
            "--family",
            metavar="NAME=GENERATOR,…",
            help="generators that are left out together; may be given several times",
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(help="leave out in so many trainings, a share of the kinds in each", min=2),
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            help="the left-out kinds' pictures to evaluate on: test, all, or some splits, as "
            "train+val"
        ),
    ] = "test",
    rate: Annotated[
        float | None,
        typer.Option(
            help="false-alarm rate to calibrate for on the remaining kinds; by default as "
            "`detector calibrate` has it"
        ),
    ] = None,
    degraded: Annotated[
        bool, typer.Option("--degraded", help="calibrate them on pictures recompressed at random")
    ] = False,
) -> None:
    """Train a detector. Under `torchrun --nproc-per-node N -m` it trains on N processes.

    The options from --family on go with --leave-out.
    """
    from fauxlab.config import load_recipe
    from fauxlab.data.manifest import Manifest

    experiment = load_recipe(recipe, sets or [])
    sorts = [*(leave_out or []), *(["generators"] if leave_one_out else [])]
    leaving = None
    if sorts:
        leaving = parse_leaving(sorts, family or [], folds, split, rate, degraded)
        if name is not None:
            raise LabError(
                "--leave-out names its runs RECIPE-without-KIND; "
                "leave out --name, or choose another --out"
            )
    elif family or folds or split != "test" or rate is not None or degraded:
        raise LabError(
            "--family, --folds, --split, --rate and --degraded go with --leave-out; "
            "name what to leave out"
        )
    data = Manifest.load(manifest)
    if dry_run:
        print_plans(data, experiment, leaving)
        return
    refuse_unwritable(out / experiment.name, "--out")
    if leaving:
        train_without_each(data, experiment, out, leaving, max_minutes)
        return
    _train_one(data, experiment, out, name, resume, max_minutes)


def _train_one(
    data: Manifest,
    experiment: Recipe,
    out: Path,
    name: str | None,
    resume: bool,
    max_minutes: float | None,
) -> None:
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
            if experiment.train.teacher:
                _ask_teacher(plan)
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


def _ask_teacher(plan: TrainingPlan) -> None:
    """Ask the recipe's teacher about the training pictures, with a progress bar."""
    from fauxlab.training.detector.teacher import ask_about_training, training_rows

    with count_images("teacher", len(training_rows(plan.schedule))) as advance:
        ask_about_training(plan.manifest, plan.schedule, plan.recipe, advance)


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
            help="evaluate again after recompression, resizing, blur, …: 77 times the work",
        ),
    ] = False,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            metavar="COLUMN",
            help="what a scan says of pictures by a column of the manifest; age:0,13,20 for bands "
            "of numbers; may be given several times",
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write the tables as an HTML page")
    ] = None,
    json_: AsJson = False,
) -> None:
    """Evaluate a detector on a split: per generator against its matched reals, and pooled."""
    from fauxlab.auditing.checks import describe_missing_reals
    from fauxlab.bundle.opening import open_detector
    from fauxlab.data.manifest import Manifest
    from fauxlab.data.seen import describe_training_images
    from fauxlab.evaluation.detection import evaluate
    from fauxlab.evaluation.subgroups import parse_grouping

    check_split(split)
    check_output(html, "--html", "evaluation.html")
    data = Manifest.load(manifest).pair(parse_pairs(pair)).without_pseudo()
    columns = by or []
    groupings = [parse_grouping(column, data.columns) for column in columns]
    for line in describe_missing_reals(data):
        say(f"warning: {line}")
    detector = open_detector(model)
    train = data.where(lambda row: row.split == "train")
    data = take_split(data, split)
    seen = describe_training_images(model, data)
    if seen:
        say(f"warning: {seen}")
    if robustness and len(data):
        degraded = _evaluate_degraded(detector, data, groupings)
        clean = _add_file_baseline(degraded.clean, train, data)
        degraded = degraded.model_copy(update={"clean": clean})
        _write_page(clean, html)
        tables = f"{clean.table()}\n\n{degraded.table()}"
        print(degraded.model_dump_json(indent=2) if json_ else tables)
        return
    if len(data):
        decode(data, detector.size)
    report = evaluate(detector, data, by=columns)  # says what is wrong with an empty split
    report = _add_file_baseline(report, train, data)
    _write_page(report, html)
    print(report.model_dump_json(indent=2) if json_ else report.table())


def _write_page(report: DetectionReport, path: Path | None) -> None:
    if path is None:
        return
    from fauxlab.pages.evaluation import write_evaluation

    write_evaluation(report, path)
    say(f"wrote {path}")


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


def _evaluate_degraded(
    detector: AnyDetector, data: Manifest, groupings: list[Grouping]
) -> RobustnessReport:
    from fauxlab.evaluation.robustness import robustness_report
    from fauxlab.transforms.protocol import list_degradations

    images = decode(data, detector.size)
    rounds = 1 + len(list_degradations())
    with count_images("degrading and scoring", rounds * len(images)) as advance:
        return robustness_report(detector, images, by=groupings, progress=advance)
