"""The command line. Each command parses, calls the library, and prints: data to stdout, all else to stderr.

Exit codes: 0 done, 1 failed, 2 usage, 3 finding (with --fail-on), 130 interrupted (trainings resume with --resume).
Heavy imports stand inside the commands, so that --help is instant.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fauxlab.errors import LabError
from fauxlab.progress import count_images, show_progress

if TYPE_CHECKING:
    from fauxlab.data.manifest import Manifest
    from fauxlab.training.detector import OnStep

FINDING, INTERRUPTED = 3, 130

app = typer.Typer(
    name="fauxlab",
    help="A laboratory for fake faces: train, judge and use detectors of generated face photos.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(no_args_is_help=True, help="Index image folders and draw the embedded data set.")
detector_app = typer.Typer(no_args_is_help=True, help="Train and evaluate detectors.")
recipes_app = typer.Typer(no_args_is_help=True, help="Experiments that come with the package.")
models_app = typer.Typer(no_args_is_help=True, help="Networks by name.")
for name, sub in {"data": data_app, "detector": detector_app, "recipes": recipes_app, "models": models_app}.items():
    app.add_typer(sub, name=name)

ManifestPath = Annotated[Path, typer.Argument(metavar="MANIFEST", help="manifest.csv from `fauxlab data index`")]
RecipeName = Annotated[str, typer.Option("--recipe", help="packaged recipe, or a .toml file")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="override, as train.lr=1e-4")]
Out = Annotated[Path, typer.Option("--out", help="folder that holds the run folders")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout")]
Pairs = Annotated[
    list[str] | None,
    typer.Option("--pair", metavar="GENERATOR=SOURCE,…", help="reals that a generator's fakes are compared with"),
]


class Label(StrEnum):
    """What --fail-on takes."""

    real = "real"
    fake = "fake"


class Half(StrEnum):
    """What --only takes."""

    detector = "detector"


@app.command()
def doctor() -> None:
    """Show versions, machine, and where the decoded images are kept."""
    import shutil

    from fauxlab.data.cache import cache_folder
    from fauxlab.training.run import describe_environment

    for key, value in describe_environment("").items():
        if key not in ("command", "data_hash", "started"):
            print(f"{key:<12}{value}")
    folder = cache_folder()
    stored = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) if folder.exists() else 0
    free = shutil.disk_usage(next(p for p in (folder, *folder.parents) if p.exists())).free
    print(f"{'cache':<12}{folder} ({stored / 2**30:.2f} GiB used, {free / 2**30:.0f} GiB free)")


@app.command()
def demo(
    out: Out = Path("runs/demo"),
    images: Annotated[int, typer.Option(help="images in each of the four folders", min=60)] = 400,
) -> None:
    """Draw the embedded data set, run the detector half of the report on it at 64 px, and write report.html."""
    from fauxlab.data.toyfaces import write_toyfaces

    with show_progress("drawing toyfaces") as show:
        show(0, None, "")
        folder = write_toyfaces(out / "toyfaces", n=images, size=64)
    manifest = _index(folder, seed=0)
    manifest.save(out / "manifest.csv")
    _reproduce(manifest, out, ["data.size=64"], extended=False, show_images=True)


@data_app.command("index")
def data_index(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="images in any layout that DATA LAYOUTS names")],
    out: Annotated[Path, typer.Option("--out", help="the manifest to write")] = Path("manifest.csv"),
    seed: Annotated[int, typer.Option(help="of the split")] = 0,
    fractions: Annotated[str, typer.Option("--split", help="train,val,calibration,test")] = ".7,.1,.1,.1",
    pair: Pairs = None,
) -> None:
    """Read every image below DIR into a manifest with group-safe splits.

    DATA LAYOUTS: real/ and fake/<generator>/; DeepFakeFace's wiki/ inpainting/ insight/ text2img/ as folders or zips; a
    metadata.csv (file_name, label, and optionally generator, group, source) beside images or beside zips.
    """

    try:
        shares = [float(part) for part in fractions.split(",")]
    except ValueError:
        raise LabError(f"--split {fractions!r}: give four numbers, as .7,.1,.1,.1") from None
    manifest = _index(folder, seed, shares, _pairs(pair))
    manifest.save(out)
    _say(f"wrote {out}: {len(manifest):,} images, data hash {manifest.data_hash}")


@data_app.command("toyfaces")
def data_toyfaces(
    folder: Annotated[Path, typer.Argument(metavar="DIR")],
    n: Annotated[int, typer.Option(help="images in each of the four folders", min=1)] = 400,
    size: Annotated[int, typer.Option(help="side in pixels", min=32, max=512)] = 128,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Draw the embedded data set in DeepFakeFace's layout."""
    from fauxlab.data.toyfaces import write_toyfaces

    _say(f"wrote {write_toyfaces(folder, n=n, size=size, seed=seed)}")


@detector_app.command("train")
def detector_train(
    manifest: ManifestPath,
    recipe: RecipeName,
    sets: Sets = None,
    out: Out = Path("runs"),
    name: Annotated[str | None, typer.Option(help="run folder's name; the recipe's by default")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="continue a run that was stopped")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show the plan and stop")] = False,
    max_minutes: Annotated[float | None, typer.Option(help="stop, resumable, after this long", min=0)] = None,
) -> None:
    """Train a detector. Under `torchrun --nproc-per-node N -m` it trains on N processes."""
    from fauxlab.config import load_recipe
    from fauxlab.data.manifest import Manifest

    experiment = load_recipe(recipe, sets or [])
    data = Manifest.load(manifest)
    if dry_run:
        from fauxlab.training.stages import describe_plan

        print(describe_plan(data, experiment))
        return
    from fauxlab.data.cache import load_images
    from fauxlab.training.detector import train_detector
    from fauxlab.training.stages import run_name

    title = name or run_name(experiment)
    with ExitStack() as stack:
        if _is_main():
            with count_images("decoding") as advance:
                skipped = load_images(data, experiment.data.size, advance).skipped
            _report_skipped(skipped)
        on_step = _on_step(stack, title) if _is_main() else None
        run = train_detector(data, experiment, out, name=name, resume=resume, max_minutes=max_minutes, on_step=on_step)
    if _is_main():
        from fauxlab.report.figures import save_training_figure

        save_training_figure(run.read_log(), run.folder / "figures")
        _say(f"{'finished' if run.finished else 'stopped, continue with --resume'}: {run.folder}")


@detector_app.command("eval")
def detector_eval(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="a bundle, as runs/<name>/best")],
    manifest: ManifestPath,
    split: Annotated[str, typer.Option(help="train, val, calibration, test, or all")] = "test",
    pair: Pairs = None,
    json_: AsJson = False,
) -> None:
    """Judge a detector on a split: per generator against its matched reals, and pooled."""
    from fauxlab.data.manifest import Manifest
    from fauxlab.data.split import SPLITS
    from fauxlab.evaluation.detection import evaluate
    from fauxlab.models.bundle import Detector

    if split not in (*SPLITS, "all"):
        raise LabError(f"--split {split!r}: one of {', '.join(SPLITS)}, all")
    data = Manifest.load(manifest).pair(_pairs(pair))
    detector = Detector.from_pretrained(model)
    report = evaluate(detector, data if split == "all" else data.in_split(split))
    print(report.model_dump_json(indent=2) if json_ else report.table())


@app.command()
def reproduce(
    manifest: ManifestPath,
    only: Annotated[Half, typer.Option(help="which half of the report")] = Half.detector,
    out: Out = Path("runs/reproduce"),
    sets: Sets = None,
    extended: Annotated[bool, typer.Option(help="include the ten-epoch stages (report-unified-10)")] = True,
    show_images: Annotated[
        bool, typer.Option("--show-images", help="put the worst errors' pictures in the page")
    ] = False,
) -> None:
    """Run the report's experiments in order and write report.html and results.json; resumes where it stopped."""
    from fauxlab.data.manifest import Manifest

    _reproduce(Manifest.load(manifest), out, sets or [], extended, show_images)


@app.command()
def scan(
    paths: Annotated[list[str], typer.Argument(metavar="PATH…", help="images, folders, zips, glob patterns")],
    model: Annotated[Path, typer.Option("--model", help="a bundle")] = Path("runs/latest/best"),
    json_: AsJson = False,
    csv_: Annotated[bool, typer.Option("--csv", help="CSV on stdout")] = False,
    fail_on: Annotated[Label | None, typer.Option(help="exit with 3 when a picture gets this label")] = None,
) -> None:
    """Say of each picture whether it looks real or generated."""
    from fauxlab.scan import Scanner, expand_paths

    if json_ and csv_:
        raise LabError("--json and --csv exclude each other")
    scanner = Scanner.from_pretrained(model)
    form = "json" if json_ else "csv" if csv_ else "table"
    judged = failed = found = 0
    with count_images("scanning") as advance:
        from fauxlab.report.verdicts import write_verdicts

        for verdict in write_verdicts(scanner.scan(expand_paths(paths)), form, sys.stdout):
            judged += verdict.status == "ok"
            failed += verdict.status == "error"
            found += fail_on is not None and verdict.label == fail_on.value
            if verdict.status == "error" and form != "table":
                _say(f"{verdict.path}: {verdict.message}")
            advance(1)
    if failed:
        _say(f"{failed} of {judged + failed} could not be judged")
    if not judged:
        raise LabError("no picture could be judged" if failed else "no pictures found")
    if found:
        raise typer.Exit(FINDING)


@recipes_app.command("list")
def recipes_list() -> None:
    """Names and purposes of the packaged recipes."""
    from fauxlab.config import list_recipes, recipe_text

    for name in list_recipes():
        print(f"{name:<22}{recipe_text(name).splitlines()[0].lstrip('# ')}")


@recipes_app.command("show")
def recipes_show(name: str) -> None:
    """Print a recipe's TOML."""
    from fauxlab.config import recipe_text

    print(recipe_text(name), end="")


@recipes_app.command("copy")
def recipes_copy(
    name: str, to: Annotated[Path | None, typer.Argument(help="file to write; NAME.toml by default")] = None
) -> None:
    """Copy a recipe, to change it and train with --recipe FILE."""
    from fauxlab.config import recipe_text

    path = to or Path(f"{name}.toml")
    text = recipe_text(name)
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise LabError(f"{path} exists; choose another name") from None
    _say(f"wrote {path}")


@models_app.command("list")
def models_list() -> None:
    """Names of the detectors that recipes can use."""
    from fauxlab.models import list_models

    print("\n".join(list_models()))


def main() -> None:
    """Run the command line; every expected fault becomes one line on stderr and a non-zero exit."""
    try:
        app(standalone_mode=True)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:  # what typer makes of Ctrl-C
            _say("interrupted; trainings continue with --resume")
        raise
    except BrokenPipeError:  # the reader of our output has left, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("fauxlab"):
            raise
        _say(f"error: this needs the package {error.name}; pip install 'fauxlab[train]'")
        sys.exit(1)
    except Exception as error:
        if not isinstance(error, LabError | OSError):
            raise
        _say(f"error: {error}")
        sys.exit(1)
    finally:
        _leave_processes()


def _index(
    folder: Path, seed: int, fractions: list[float] | None = None, pairs: dict[str, list[str]] | None = None
) -> Manifest:
    from fauxlab.data.manifest import index
    from fauxlab.data.split import FRACTIONS

    with count_images("indexing") as advance:
        manifest = index(folder, advance)
    _report_skipped(manifest.skipped)
    manifest = manifest.split(seed, fractions or FRACTIONS).pair(pairs or {})
    totals: dict[str, int] = {}
    for (name, _), n in manifest.counts().items():
        totals[name] = totals.get(name, 0) + n
    for name, n in totals.items():
        _say(f"  {name:<24}{n:>8,}")
    return manifest


def _reproduce(manifest: Manifest, out: Path, sets: list[str], extended: bool, show_images: bool) -> None:
    from fauxlab.config import load_recipe
    from fauxlab.data.cache import load_images
    from fauxlab.reproduce import reproduce_detector

    size = load_recipe("unified-joint", sets).data.size
    with count_images("decoding") as advance:
        _report_skipped(load_images(manifest, size, advance).skipped)
    with ExitStack() as stack:
        results = reproduce_detector(
            manifest,
            out,
            overrides=sets,
            extended=extended,
            on_step=lambda name: _on_step(stack, name),
            on_judge=lambda name: _say(f"judging {name} on the test split"),
        )
    from fauxlab.report.html import write_report

    page = write_report(results, out, manifest if show_images else None)
    _say(f"wrote {page} and {out / 'results.json'}")


def _on_step(stack: ExitStack, title: str) -> OnStep:
    """A bar that opens with a run's first step and closes with its last."""
    show: Callable[[int, int | None, str], None] | None = None

    def on_step(done: int, total: int, loss: float) -> None:
        nonlocal show
        if show is None:
            show = stack.enter_context(show_progress(title))
        show(done, total, f"loss {loss:.3f}")
        if done >= total:
            stack.close()

    return on_step


def _pairs(items: list[str] | None) -> dict[str, list[str]]:
    pairs = {}
    for item in items or []:
        generator, sign, sources = item.partition("=")
        if not sign or not sources:
            raise LabError(f"--pair {item!r}: write it as GENERATOR=SOURCE or GENERATOR=SOURCE,SOURCE")
        pairs[generator] = sources.split(",")
    return pairs


def _report_skipped(skipped: tuple[tuple[str, str], ...], most: int = 20) -> None:
    from fauxlab.data.files import show

    for path, reason in skipped[:most]:
        _say(f"skipped {show(path)}: {reason}")
    if len(skipped) > most:
        _say(f"… and {len(skipped) - most:,} more skipped")


def _is_main() -> bool:
    """Under torchrun only the first process talks."""
    return os.environ.get("RANK", "0") == "0"


def _leave_processes() -> None:
    """Take leave of the other processes under torchrun: one that just exits can abort in its last moment."""
    if "torch.distributed" in sys.modules:
        import torch.distributed

        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _say(text: str) -> None:
    print(text, file=sys.stderr)
