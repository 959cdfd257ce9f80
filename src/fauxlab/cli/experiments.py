"""`fauxlab reproduce` and `fauxlab demo`: the report's experiments, on any data and on the embedded set."""

from __future__ import annotations

from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fauxlab.cli.common import ManifestPath, Out, Sets, index_folder, report_skipped, say, step_bar
from fauxlab.progress import count_images, show_progress

if TYPE_CHECKING:
    from fauxlab.data.manifest import Manifest


class Half(StrEnum):
    """What --only takes."""

    detector = "detector"


def demo(
    out: Out = Path("runs/demo"),
    images: Annotated[int, typer.Option(help="images in each of the four folders", min=60)] = 400,
) -> None:
    """Draw the embedded data set, run the detector half of the report on it at 64 px, and write report.html."""
    from fauxlab.data.toyfaces import write_toyfaces

    with show_progress("drawing toyfaces") as show:
        show(0, None, "")
        folder = write_toyfaces(out / "toyfaces", n=images, size=64)
    manifest = index_folder(folder, seed=0)
    manifest.save(out / "manifest.csv")
    _reproduce(manifest, out, ["data.size=64"], extended=False, show_images=True)


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


def _reproduce(manifest: Manifest, out: Path, sets: list[str], extended: bool, show_images: bool) -> None:
    from fauxlab.config import load_recipe
    from fauxlab.data.cache import load_images
    from fauxlab.reproduce.detector import reproduce_detector

    size = load_recipe("unified-joint", sets).data.size
    with count_images("decoding") as advance:
        report_skipped(load_images(manifest, size, advance).skipped)
    with ExitStack() as stack:
        results = reproduce_detector(
            manifest,
            out,
            overrides=sets,
            extended=extended,
            on_step=lambda name: step_bar(stack, name),
            on_judge=lambda name: say(f"judging {name} on the test split"),
        )
    from fauxlab.report.html import write_report

    page = write_report(results, out, manifest if show_images else None)
    say(f"wrote {page} and {out / 'results.json'}")
