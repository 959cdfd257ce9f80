"""`fauxlab scan`: verdicts on pictures."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fauxlab.cli.common import FINDING, AsJson, check_output, say
from fauxlab.errors import LabError
from fauxlab.progress import count_images

if TYPE_CHECKING:
    from fauxlab.scan.explain import Explained


class Label(StrEnum):
    """What --fail-on takes."""

    real = "real"
    fake = "fake"


class Crop(StrEnum):
    """What --crop takes."""

    face = "face"
    none = "none"


def scan(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH…", help="images, folders, zips, glob patterns")
    ],
    model: Annotated[
        str, typer.Option("--model", help="a bundle; by default the one that comes along")
    ] = "fauxlab",
    crop: Annotated[
        Crop,
        typer.Option(
            help="face: find the faces and judge each; none: the pictures are cropped faces"
        ),
    ] = Crop.face,
    json_: AsJson = False,
    csv_: Annotated[bool, typer.Option("--csv", help="CSV on stdout")] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write a page with all verdicts")
    ] = None,
    explain: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="write a picture of the evidence for each verdict"),
    ] = None,
    fail_on: Annotated[
        Label | None,
        typer.Option(
            help="exit with 3 when a picture certainly gets this label; not for uncertain or unreadable ones"
        ),
    ] = None,
) -> None:
    """Say of each face in the pictures whether it looks real or generated."""
    from fauxlab.scan.paths import expand_paths
    from fauxlab.scan.scanner import Scanner

    if json_ and csv_:
        raise LabError("--json and --csv exclude each other")
    check_output(html, "--html", "verdicts.html")
    scanner = Scanner.from_pretrained(model, crop.value)
    form = "json" if json_ else "csv" if csv_ else "table"
    counts: Counter[str] = Counter()
    pictures: Counter[str] = Counter()
    crowds, last = 0, None
    with count_images("scanning") as advance:
        from fauxlab.scan.writers import write_verdicts

        explained: Iterable[Explained] = scanner.explain(expand_paths(paths))
        if html:
            from fauxlab.scan.page import write_page

            fit = scanner.detector.config.calibration
            explained = write_page(
                explained,
                html,
                None if fit is None else fit.band,
                f"{model}, {scanner.detector.hash}",
            )
        if explain:
            explained = _explained(explained, explain)
        for verdict in write_verdicts(
            (explained.verdict for explained in explained), form, sys.stdout
        ):
            counts[verdict.decision] += 1
            if verdict.path != last:  # its faces come one after the other
                pictures[verdict.status] += 1
                crowds += verdict.left_out > 0
                advance(1)
            last = verdict.path
            if verdict.status == "error" and form != "table":
                say(f"{verdict.path}: {verdict.message}")
    total = pictures.total()
    if pictures["error"]:
        say(f"{pictures['error']} of {total} pictures could not be judged")
    if pictures["no face"]:
        found = f"no face found in {pictures['no face']} of {total} pictures"
        say(f"{found}; --crop none takes pictures as faces already cropped")
    if crowds:
        say(
            f"{crowds} of {total} pictures may show more faces than were judged (left_out in --json and --csv)"
        )
    if html:
        say(f"wrote {html}")
    if not total or pictures["error"] == total:
        raise LabError(
            "no picture could be judged" if total else f"no pictures found in {', '.join(paths)}"
        )
    if fail_on is not None and counts[fail_on.value]:
        raise typer.Exit(FINDING)


def _explained(explained: Iterable[Explained], folder: Path) -> Iterator[Explained]:
    """Write the evidence for each verdict that has some, numbered in their order, and pass all on."""
    from fauxlab.scan.explain import save_evidence

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LabError(
            f"cannot write into {folder}: {error.strerror or error}; name another folder"
        ) from error
    number = 0
    for one in explained:
        if one.activation_map is not None:
            number += 1
            save_evidence(folder / f"{number:05}-{_stem(one.verdict.path)}.png", one)
        yield one


def _stem(path: str) -> str:
    """What of a path may stand in a new file's name."""
    name = path.replace("\\", "/").rpartition("/")[2].rpartition(".")[0]
    safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in name)
    # names are bounded in bytes
    return safe.encode("utf-8", "replace")[:150].decode("utf-8", "ignore") or "picture"
