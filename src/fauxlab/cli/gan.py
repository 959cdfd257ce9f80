"""`fauxlab gan`: train, evaluate and sample generators."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fauxlab.cli.common import (
    COLLAPSED,
    AsJson,
    DryRun,
    ManifestPath,
    MaxMinutes,
    Out,
    RecipeName,
    Resume,
    RunName,
    Sets,
    Weights,
    claim_folder,
    decode,
    is_main,
    refuse_unwritable,
    report_skipped,
    say,
    say_end,
    step_bar,
)
from fauxlab.errors import LabError
from fauxlab.progress import count_images

if TYPE_CHECKING:
    from fauxlab.models.pretrained import Generator
    from fauxlab.training.gan.plan import GanPlan

app = typer.Typer(no_args_is_help=True, help="Train, evaluate and sample generators of faces.")


ModelPath = Annotated[
    Path, typer.Argument(metavar="MODEL", help="a generator's bundle, as runs/<name>/best")
]


class OnCollapse(StrEnum):
    """What --on-collapse takes."""

    warn = "warn"
    stop = "stop"
    rollback = "rollback"


OnAlarm = Annotated[
    OnCollapse | None,
    typer.Option(help="what the guard does when it alarms; the recipe's by default"),
]


@app.command()
def train(
    manifest: ManifestPath,
    recipe: RecipeName,
    sets: Sets = None,
    out: Out = Path("runs"),
    name: RunName = None,
    on_collapse: OnAlarm = None,
    weights: Weights = None,
    resume: Resume = False,
    dry_run: DryRun = False,
    max_minutes: MaxMinutes = None,
) -> None:
    """Train a generator on the manifest's real images.

    Exit code 4: the collapse guard stopped it.
    """
    from fauxlab.config import load_gan_recipe
    from fauxlab.data.manifest import Manifest

    chosen = [f"guard.on_collapse={on_collapse.value}"] if on_collapse else []
    experiment = load_gan_recipe(recipe, [*(sets or []), *chosen])
    data = Manifest.load(manifest)
    if not dry_run:
        refuse_unwritable(out / experiment.name, "--out")

    from fauxlab.evaluation.networks import check_features
    from fauxlab.training.gan.loop import train_gan_plan
    from fauxlab.training.gan.plan import describe_gan_plan, plan_gan

    plan = plan_gan(data, experiment)
    check_features(experiment.evaluate.features, weights)
    if dry_run:
        print(describe_gan_plan(plan))
        return
    folder = claim_folder(out, name or plan.name, resume)
    images = None
    on_step = None
    with ExitStack() as stack:
        if is_main():
            _announce(plan)
            images = decode(plan.manifest, experiment.data.size)
            on_step = step_bar(stack, folder.name)
        run = train_gan_plan(
            plan,
            out,
            name=folder.name,
            resume=resume,
            max_minutes=max_minutes,
            weights=weights,
            images=images,
            on_step=on_step,
            on_event=say,
        )
    if is_main():
        from fauxlab.pages.gan_figures import save_gan_figures
        from fauxlab.training.run import fits_log

        with fits_log(run):
            save_gan_figures(run.read_log(), run.folder / "figures")
        say_end(run)
    if run.stopped_by_guard:
        raise typer.Exit(COLLAPSED)


def _announce(plan: GanPlan) -> None:
    """Say before a training what is to come."""
    batch = plan.recipe.train.batch
    steps = -(-plan.images // batch)
    say(
        f"training on {len(plan.train_rows):,} real images: "
        f"{steps:,} discriminator steps of {batch:,}, {plan.images:,} images in all"
    )


@app.command("eval")
def evaluate(
    model: ModelPath,
    manifest: ManifestPath,
    n: Annotated[
        int, typer.Option("--n", help="generated images, and as many real ones", min=16)
    ] = 2000,
    features: Annotated[
        str, typer.Option(help="feature network, see `fauxlab models list`")
    ] = "randconv",
    weights: Weights = None,
    sources: Annotated[
        str | None,
        typer.Option(
            help="real collections to compare with, as a,b; those it learned from by default"
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="of the images; the reals are drawn with it, too", min=0)
    ] = 0,
    json_: AsJson = False,
) -> None:
    """Measure a generator: distance to real images, quality, variety and copying.

    Each figure comes with N and with the floor: the same figure between two sets of reals.
    """
    from fauxlab.data.manifest import Manifest
    from fauxlab.evaluation.generation import evaluate_generator, load_reference
    from fauxlab.evaluation.networks import load_features
    from fauxlab.models.pretrained import Generator
    from fauxlab.sample.dataset import training_reals
    from fauxlab.sample.images import SEEDS

    generator = Generator.from_pretrained(model)
    if (seed + 1) * n > SEEDS:
        raise LabError(
            f"--seed {seed} with --n {n}: its images would repeat those of others; "
            "give a smaller one"
        )
    network = load_features(features, weights, next(generator.model.parameters()).device)
    data = Manifest.load(manifest)
    if sources:
        data = data.reals(*sources.split(","))
    else:
        data = training_reals(generator, data, "or --sources")
    images = decode(data, generator.config.size)
    with count_images("features of reals") as advance:
        reference = load_reference(images, network, n, seed, advance)
    with count_images("generating", n) as advance:
        report = evaluate_generator(
            lambda first, count: generator.sample(seed * n + first, count),
            reference,
            model=generator.config.architecture,
            model_hash=generator.hash,
            seed=seed,
            progress=advance,
        )
    print(report.model_dump_json(indent=2) if json_ else report.table())


@app.command("sample")
def sample(
    model: ModelPath,
    n: Annotated[
        int | None, typer.Option("--n", help="images, of the seeds from 0 on; 64 by default")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="instead of --n: seeds, as 0-63 or 3,5,9")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="folder to write; samples by default")
    ] = None,
    truncation: Annotated[
        float, typer.Option(help="of the latents, above 0: less varied the smaller; 1 is off")
    ] = 1.0,
    columns: Annotated[
        int | None, typer.Option(help="of the grid; as square as can be by default")
    ] = None,
    with_grid: Annotated[
        bool, typer.Option("--grid/--no-grid", help="grid.png with all of them")
    ] = True,
    interpolate: Annotated[
        int | None,
        typer.Option(metavar="FRAMES", help="interpolation.gif, a closed path through the seeds"),
    ] = None,
    as_dataset: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="write fakes of a data set and its manifest.csv instead"),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="with --as-dataset: the generator's name there")
    ] = None,
    beside: Annotated[
        Path | None,
        typer.Option(
            metavar="MANIFEST",
            help="with --as-dataset: the manifest that the generator learned from; its real images "
            "are copied into DIR at the fakes' size and quality, for this machine only: do not "
            "pass them on",
        ),
    ] = None,
    no_mark: Annotated[
        bool, typer.Option("--no-mark", help="do not mark as AI-generated; logged in the folder")
    ] = False,
) -> None:
    """Draw faces of people who do not exist, each file marked as AI-generated."""
    if n is not None and seeds is not None:
        raise LabError("--n and --seeds exclude each other")
    from fauxlab.sample.images import check_count

    check_count(n := 64 if n is None else n)
    chosen = range(n) if seeds is None else parse_seeds(seeds)
    if as_dataset is None:
        if name is not None or beside is not None:
            raise LabError("--name and --beside need --as-dataset")
        _write_samples(
            model,
            out or Path("samples"),
            chosen,
            truncation,
            with_grid,
            columns,
            interpolate,
            not no_mark,
        )
        return
    if out is not None or columns is not None or interpolate is not None:
        raise LabError("--as-dataset excludes --out, --columns and --interpolate")
    if name is None:
        raise LabError("--as-dataset needs --name, the generator's name in the manifest")
    _write_dataset(model, as_dataset, chosen, name, beside, truncation, not no_mark)


def parse_seeds(text: str) -> Sequence[int]:
    """The seeds that --seeds names: numbers and ranges with both ends, separated by commas.

    Raises LabError on anything else.
    """
    from fauxlab.sample.images import MOST

    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"([0-9]{1,10})(?:-([0-9]{1,10}))?", part.strip())
        if not match:
            raise LabError(f"--seeds {text!r}: write it as 0-63 or 3,5,9")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise LabError(f"--seeds {text!r}: {part.strip()} runs backwards")
        if len(seeds) + last - first >= MOST:
            raise LabError(f"--seeds {text!r}: more than {MOST:,} images")
        seeds += range(first, last + 1)
    return seeds


def _write_samples(
    model: Path,
    out: Path,
    seeds: Sequence[int],
    truncation: float,
    with_grid: bool,
    columns: int | None,
    frames: int | None,
    mark: bool,
) -> None:
    from fauxlab.models.pretrained import Generator
    from fauxlab.sample.files import write_samples

    generator = Generator.from_pretrained(model)
    with count_images("sampling", len(seeds) + (frames or 0)) as advance:
        paths = write_samples(
            generator,
            out,
            seeds,
            truncation=truncation,
            with_grid=with_grid,
            columns=columns,
            frames=frames,
            mark=mark,
            progress=advance,
        )
    say(f"wrote {paths[0]}" + (f" … {paths[len(seeds) - 1].name}" if len(seeds) > 1 else ""))
    for path in paths[len(seeds) :]:
        say(f"wrote {path}")
    _say_mark(generator, len(paths), mark, out)


def _write_dataset(
    model: Path,
    folder: Path,
    seeds: Sequence[int],
    name: str,
    beside: Path | None,
    truncation: float,
    mark: bool,
) -> None:
    from fauxlab.data.manifest import Manifest
    from fauxlab.models.pretrained import Generator
    from fauxlab.sample.dataset import write_dataset

    first, n = (seeds[0] if seeds else 0), len(seeds)
    if list(seeds) != list(range(first, first + n)):
        raise LabError("--as-dataset takes seeds without gaps, as 1000-1999")
    generator = Generator.from_pretrained(model)
    data = None if beside is None else Manifest.load(beside)
    with count_images("writing") as advance:
        manifest = write_dataset(
            generator,
            folder,
            n,
            name,
            data,
            first_seed=first,
            truncation=truncation,
            mark=mark,
            progress=advance,
        )
    report_skipped(manifest.skipped)
    for (kind, split), count in manifest.counts().items():
        say(f"  {kind:<24}{split:<12}{count:>8,}")
    say(
        f"wrote {folder / 'manifest.csv'}: {len(manifest):,} images, data hash {manifest.data_hash}"
    )
    if data is not None:
        say(f"wrote {folder / 'joint.csv'}: these and {beside}")
        say(
            f"{folder / 'real'} holds copies of real people's pictures for this machine only: "
            "do not pass them on"
        )
    _say_mark(generator, n, mark, folder)


def _say_mark(generator: Generator, count: int, mark: bool, folder: Path) -> None:
    if mark:
        say(f"marked as AI-generated by model {generator.hash}: {count:,} images")
    else:
        say(
            f"NOT marked as AI-generated: {count:,} images of model {generator.hash}; "
            f"see {folder / 'unmarked.log'}"
        )
