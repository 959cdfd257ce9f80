"""What several commands share: their options, progress bars and messages."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fauxlab.errors import LabError
from fauxlab.progress import count_images, show_progress

if TYPE_CHECKING:
    from fauxlab.data.manifest import Manifest
    from fauxlab.training.run import OnStep

FINDING, COLLAPSED, INTERRUPTED = 3, 4, 130  # exit codes

ManifestPath = Annotated[Path, typer.Argument(metavar="MANIFEST", help="manifest.csv from `fauxlab data index`")]
RecipeName = Annotated[str, typer.Option("--recipe", help="packaged recipe, or a .toml file")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="override, as train.lr=1e-4")]
Out = Annotated[Path, typer.Option("--out", help="folder that holds the run folders")]
Weights = Annotated[
    Path | None,
    typer.Option("--weights", help="file of the feature network; $FAUXLAB_INCEPTION for keras-inception-7a"),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout")]
Pairs = Annotated[
    list[str] | None,
    typer.Option("--pair", metavar="GENERATOR=SOURCE,…", help="reals that a generator's fakes are compared with"),
]


def index_folder(
    folder: Path, seed: int, fractions: list[float] | None = None, pairs: dict[str, list[str]] | None = None
) -> Manifest:
    """Index with a bar, split and pair, and tell what was found."""
    from fauxlab.data.manifest import index
    from fauxlab.data.split import FRACTIONS

    with count_images("indexing") as advance:
        manifest = index(folder, advance)
    report_skipped(manifest.skipped)
    manifest = manifest.split(seed, fractions or FRACTIONS).pair(pairs or {})
    totals: dict[str, int] = {}
    for (name, _), n in manifest.counts().items():
        totals[name] = totals.get(name, 0) + n
    for name, n in totals.items():
        say(f"  {name:<24}{n:>8,}")
    return manifest


def step_bar(stack: ExitStack, title: str) -> OnStep:
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


def parse_pairs(items: list[str] | None) -> dict[str, list[str]]:
    """What --pair says, as generator → sources."""
    pairs = {}
    for item in items or []:
        generator, sign, sources = item.partition("=")
        if not sign or not sources:
            raise LabError(f"--pair {item!r}: write it as GENERATOR=SOURCE or GENERATOR=SOURCE,SOURCE")
        pairs[generator] = sources.split(",")
    return pairs


def refuse_picture(path: Path | None, option: str, example: str) -> None:
    """A shell that unfolds `--html *.jpg` names a photo as the place to write to: raise LabError rather than do so."""
    from fauxlab.data.files import show
    from fauxlab.data.images import SUFFIXES

    if path is not None and path.suffix.lower() in SUFFIXES - {Path(example).suffix}:
        raise LabError(f"{option} {show(path)} would write over a picture; name another file, as {example}")


def report_skipped(skipped: tuple[tuple[str, str], ...], most: int = 20) -> None:
    """Name the files that had to be left out."""
    from fauxlab.data.files import show

    for path, reason in skipped[:most]:
        say(f"skipped {show(path)}: {reason}")
    if len(skipped) > most:
        say(f"… and {len(skipped) - most:,} more skipped")


def is_main() -> bool:
    """Under torchrun only the first process talks."""
    return os.environ.get("RANK", "0") == "0"


def say(text: str) -> None:
    """To stderr: stdout is for data."""
    print(text, file=sys.stderr)
