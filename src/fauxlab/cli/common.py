"""Options, progress bars and messages that several commands share."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fauxlab.errors import LabError
from fauxlab.progress import count_images, show_progress

if TYPE_CHECKING:
    from fauxlab.data.cache import ImageArray
    from fauxlab.data.grouping import GroupBy
    from fauxlab.data.indexing import Crop
    from fauxlab.data.manifest import Manifest
    from fauxlab.training.run import Run
    from fauxlab.training.session import OnStep

# Exit codes.
USAGE = 2
FINDING = 3
COLLAPSED = 4
INTERRUPTED = 130

ManifestPath = Annotated[
    Path,
    typer.Argument(
        metavar="MANIFEST",
        help="manifest.csv from `fauxlab data index`; its images are decoded once, into "
        "$FAUXLAB_CACHE (~/.cache/fauxlab)",
    ),
]
RecipeName = Annotated[str, typer.Option("--recipe", help="packaged recipe, or a .toml file")]
Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="override, as train.lr=1e-4")
]
Out = Annotated[Path, typer.Option("--out", help="folder that holds the run folders")]
RunName = Annotated[str | None, typer.Option(help="run folder's name; the recipe's by default")]
Resume = Annotated[bool, typer.Option("--resume", help="continue a run that was stopped")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="show the plan and stop")]
MaxMinutes = Annotated[float | None, typer.Option(help="stop, resumable, after this long", min=0)]
Weights = Annotated[
    Path | None,
    typer.Option(
        "--weights", help="file of the feature network; $FAUXLAB_INCEPTION for keras-inception-7a"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout")]
Split = Annotated[str, typer.Option(help="train, val, calibration, test, or all")]
Pairs = Annotated[
    list[str] | None,
    typer.Option(
        "--pair",
        metavar="GENERATOR=SOURCE,…",
        help="compare the fakes of GENERATOR only with the reals of these sources; may be given "
        "several times",
    ),
]


def index_folder(
    folder: Path | None,
    seed: int,
    fractions: list[float] | None = None,
    pairs: dict[str, list[str]] | None = None,
    earlier: Manifest | None = None,
    *,
    reals: Sequence[Path] = (),
    fakes: Sequence[Path] = (),
    group_by: GroupBy = "auto",
    altered: Sequence[str] = (),
    crop: Crop = "none",
) -> Manifest:
    """Index a folder with a progress bar, split and pair its images, and say what it holds.

    In place of the folder, `reals` and `fakes` may name folders of either label. Images of the
    `earlier` manifest stay in its splits, with its crops. Raises LabError for fractions, pairs and
    altered generators that make no sense before any file is read.
    """
    from fauxlab.auditing.checks import describe_missing_reals
    from fauxlab.data.indexing import index
    from fauxlab.data.manifest import check_fractions
    from fauxlab.data.split import FRACTIONS

    fractions = fractions or list(FRACTIONS)
    check_fractions(fractions)
    with count_images("indexing") as advance:
        lines: list[str] = []
        manifest = index(
            folder,
            advance,
            reals=reals,
            fakes=fakes,
            group_by=group_by,
            tell=lines.append,
            pairs=pairs,
            altered=altered,
            crop=crop,
            earlier=earlier,
        )
    report_skipped(manifest.skipped)
    manifest = manifest.split(seed, fractions, earlier)
    _say_counts(manifest)
    for line in lines:
        say(line)
    for line in (*manifest.describe_uneven(fractions), *describe_missing_reals(manifest)):
        say(f"warning: {line}")
    return manifest


def _say_counts(manifest: Manifest, most: int = 100) -> None:
    """The number of images of each generator and source."""
    totals: Counter[str] = Counter()
    for (name, _), n in manifest.counts().items():
        totals[name] += n
    for name, n in list(totals.items())[:most]:
        say(f"  {name:<24}{n:>8,}")
    if len(totals) > most:
        say(f"  … and {len(totals) - most:,} more generators and sources")


def step_bar(stack: ExitStack, title: str) -> OnStep:
    """A progress bar that opens with a run's first step and closes with its last."""
    show: Callable[[int, int | None, str], None] | None = None

    def on_step(done: int, total: int, loss: float) -> None:
        nonlocal show
        if show is None:
            # The first step of a resumed run: the steps before it do not count in the rate.
            show = stack.enter_context(show_progress(title, done))
        show(done, total, f"loss {loss:.3f}")
        if done >= total:
            stack.close()

    return on_step


def say_end(run: Run) -> None:
    """Say where a training left its run, and after how many images the model in best/ is."""
    ended = "stopped, continue with --resume"
    if run.finished:
        ended = "stopped by the guard" if run.stopped_by_guard else "finished"
    images = run.best_images
    best = "" if images is None else f"; best/ is the model after {images:,} images"
    say(f"{ended}: {run.folder}{best}")


def claim_folder(out: Path, name: str, resume: bool) -> Path:
    """The run folder of a training, before images are decoded.

    Raises LabError on a name that is none, and where a run is there that is not to be resumed. Only
    the first process asks for that: it may have begun the run before the others look.
    """
    from fauxlab.training.opening import refuse_taken, run_folder

    folder = run_folder(out, name)
    if is_main() and not resume:
        refuse_taken(folder)
    return folder


def decode(data: Manifest, size: int) -> ImageArray:
    """The manifest's images with a progress bar; those that could not be decoded are named."""
    from fauxlab.data.cache import load_images

    with count_images("decoding") as advance:
        images = load_images(data, size, advance)
    report_skipped(images.skipped)
    return images


def check_split(split: str) -> None:
    """Raise LabError where --split names none."""
    from fauxlab.data.split import SPLITS

    if split not in (*SPLITS, "all"):
        raise LabError(f"--split {split!r}: one of {', '.join(SPLITS)}, all")


def take_split(data: Manifest, split: str) -> Manifest:
    """The part of a manifest that --split names."""
    return data if split == "all" else data.in_split(split)


def parse_pairs(items: list[str] | None) -> dict[str, list[str]]:
    """The values of --pair as a table: generator → sources."""
    pairs = {}
    for item in items or []:
        generator, _, sources = item.partition("=")
        if not sources:
            raise LabError(
                f"--pair {item!r}: write it as GENERATOR=SOURCE or GENERATOR=SOURCE,SOURCE"
            )
        pairs[generator] = sources.split(",")
    return pairs


def check_output(path: Path | None, option: str, example: str) -> None:
    """Raise LabError where `path` has another suffix than `example`, or cannot be written.

    A shell that expands `--html *.zip` names somebody's archive as the place to write to. Devices
    may have any name.
    """
    from fauxlab.io.text import printable

    if path is None:
        return
    name = printable(path)
    suffixes = [Path(example).suffix]
    if suffixes == [".html"]:
        suffixes.append(".htm")
    if path.suffix.lower() not in suffixes and not _is_device(path):
        raise LabError(
            f"{option} {name} could write over another file; "
            f"name one that ends in {' or '.join(suffixes)}, as {example}"
        )
    if os.path.isdir(path):
        raise LabError(f"{option} {name} is a folder; name a file in it, as {example}")
    refuse_unwritable(path, option)


def refuse_unwritable(path: Path, option: str) -> None:
    """Raise LabError where neither `path` nor the nearest folder above it may be written."""
    from fauxlab.io.text import printable

    name = printable(path)
    place = os.path.abspath(path)
    if not os.path.exists(place) or os.path.isfile(place):
        # A file is written beside its place and renamed, so its folder has to be writable.
        place = os.path.dirname(place)
        while not os.path.lexists(place):
            place = os.path.dirname(place)
        if not os.path.isdir(place):
            raise LabError(
                f"{option} {name}: {printable(place)} is no folder; choose another place"
            )
    if not os.access(place, os.W_OK):
        raise LabError(
            f"{option} {name}: {printable(place)} cannot be written; choose another place"
        )


def _is_device(path: Path) -> bool:
    is_file_or_folder = os.path.isfile(path) or os.path.isdir(path)
    return os.path.exists(path) and not is_file_or_folder


def folder_beside(model: Path, suffix: str) -> Path:
    """A folder beside the model's, named after it: MODEL-suffix."""
    if model.name in ("", ".."):  # as of `.` and `..`
        model = model.resolve()
    return model.with_name(f"{model.name}-{suffix}")


def report_skipped(skipped: tuple[tuple[str, str], ...], most: int = 20) -> None:
    """Name the files that had to be left out."""
    from fauxlab.io.text import printable

    for path, reason in skipped[:most]:
        say(f"skipped {printable(path)}: {reason}")
    if len(skipped) > most:
        say(f"… and {len(skipped) - most:,} more skipped")


def is_main() -> bool:
    """Under torchrun only the first process talks."""
    return os.environ.get("RANK", "0") == "0"


def say(text: str) -> None:
    """To stderr: stdout is for data."""
    print(text, file=sys.stderr)
