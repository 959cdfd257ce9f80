"""`fauxlab scan`: verdicts on pictures."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fauxlab.cli.common import FINDING, AsJson, say
from fauxlab.errors import LabError
from fauxlab.progress import count_images


class Label(StrEnum):
    """What --fail-on takes."""

    real = "real"
    fake = "fake"


def scan(
    paths: Annotated[list[str], typer.Argument(metavar="PATH…", help="images, folders, zips, glob patterns")],
    model: Annotated[Path, typer.Option("--model", help="a bundle")] = Path("runs/latest/best"),
    json_: AsJson = False,
    csv_: Annotated[bool, typer.Option("--csv", help="CSV on stdout")] = False,
    fail_on: Annotated[
        Label | None,
        typer.Option(help="exit with 3 when a picture certainly gets this label; uncertain ones do not count"),
    ] = None,
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
            found += fail_on is not None and verdict.decision == fail_on.value
            if verdict.status == "error" and form != "table":
                say(f"{verdict.path}: {verdict.message}")
            advance(1)
    if failed:
        say(f"{failed} of {judged + failed} could not be judged")
    if not judged:
        raise LabError("no picture could be judged" if failed else f"no pictures found in {', '.join(paths)}")
    if found:
        raise typer.Exit(FINDING)
