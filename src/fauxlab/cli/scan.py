"""`fauxlab scan`: verdicts on pictures."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fauxlab.cli.common import FINDING, AsJson, check_output, say
from fauxlab.errors import LabError
from fauxlab.progress import count_images

if TYPE_CHECKING:
    from fauxlab.scan.explain import Explained
    from fauxlab.scan.scanner import Scanner
    from fauxlab.scan.writers import Form, Sink


class Label(StrEnum):
    """The values of --fail-on."""

    real = "real"
    fake = "fake"


class Crop(StrEnum):
    """The values of --crop."""

    face = "face"
    none = "none"


Paths = Annotated[
    list[str], typer.Argument(metavar="PATH…", help="images, folders, zips, glob patterns")
]
ModelName = Annotated[
    str, typer.Option("--model", help="a bundle; by default the one that comes along")
]
TrustModel = Annotated[
    bool,
    typer.Option(
        "--trust-model", help="open a model.onnx unchecked, as one would run its maker's program"
    ),
]
CropChoice = Annotated[
    Crop,
    typer.Option(
        help="face: find the faces and give a verdict on each; none: the pictures are cropped faces"
    ),
]
AsCsv = Annotated[bool, typer.Option("--csv", help="CSV on stdout")]
Html = Annotated[Path | None, typer.Option(metavar="FILE", help="write a page with all verdicts")]
Explain = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="write a picture of the class activation map for each verdict"
    ),
]
FailOn = Annotated[
    Label | None,
    typer.Option(
        help="exit with 3 when a picture certainly gets this label; "
        "not for uncertain or unreadable ones"
    ),
]


@dataclass
class Counts:
    """How many verdicts and pictures of each kind a scan came to."""

    decisions: Counter[str] = field(default_factory=Counter)  # verdicts by their decision
    pictures: Counter[str] = field(default_factory=Counter)  # by the status of their first verdict
    crowded: int = 0  # pictures that may show more faces than were judged

    def add(self, explained: Explained) -> None:
        """Count one verdict, and its picture with the first verdict on it."""
        verdict = explained.verdict
        self.decisions[verdict.decision] += 1
        if explained.first:
            self.pictures[verdict.status] += 1
            self.crowded += verdict.left_out > 0

    def describe(self) -> list[str]:
        """What a user should know beside the verdicts, one line each."""
        total = self.pictures.total()
        errors, without = self.pictures["error"], self.pictures["no face"]
        lines = []
        if errors:
            lines.append(f"{errors} of {total} pictures could not be judged")
        if without:
            lines.append(
                f"no face found in {without} of {total} pictures; "
                "--crop none takes pictures as faces already cropped"
            )
        if self.crowded:
            lines.append(
                f"{self.crowded} of {total} pictures may show more faces than were judged "
                "(left_out in --json and --csv)"
            )
        return lines


def scan(
    paths: Paths,
    model: ModelName = "fauxlab",
    crop: CropChoice = Crop.face,
    json_: AsJson = False,
    csv_: AsCsv = False,
    html: Html = None,
    explain: Explain = None,
    fail_on: FailOn = None,
    trust_model: TrustModel = False,
) -> None:
    """Say of each face in the pictures whether it looks real or generated."""
    from fauxlab.scan.scanner import Scanner

    if json_ and csv_:
        raise LabError("--json and --csv exclude each other")
    check_output(html, "--html", "verdicts.html")
    form: Form = "table"
    if json_ or csv_:
        form = "json" if json_ else "csv"
    scanner = Scanner.from_pretrained(model, crop.value, trust=trust_model)
    with ExitStack() as stack:
        sinks = _open_sinks(stack, scanner, model, html, explain, form)
        # In a table an error stands beside its path already.
        counts = _feed(scanner, paths, sinks, name_errors=form != "table")
    for line in counts.describe():
        say(line)
    if html:
        say(f"wrote {html}")
    _refuse_nothing(counts, paths)
    if fail_on is not None and counts.decisions[fail_on.value]:
        raise typer.Exit(FINDING)


def _open_sinks(
    stack: ExitStack,
    scanner: Scanner,
    model: str,
    html: Path | None,
    explain: Path | None,
    form: Form,
) -> list[Sink]:
    """All that takes the verdicts; `stack` closes what has to be closed."""
    from fauxlab.scan.explain import ExplanationFolder
    from fauxlab.scan.writers import open_writer

    sinks: list[Sink] = []
    if html:
        from fauxlab.scan.page import open_page

        calibration = scanner.detector.config.calibration
        band = None if calibration is None else calibration.band
        page = open_page(html, band, f"{model}, {scanner.detector.hash}")
        sinks.append(stack.enter_context(page))
    if explain:
        sinks.append(ExplanationFolder(explain))
    writer = open_writer(form, sys.stdout)
    sinks.append(stack.enter_context(writer))
    return sinks


def _feed(scanner: Scanner, paths: list[str], sinks: Sequence[Sink], name_errors: bool) -> Counts:
    """Give each verdict to every sink as it comes, and count them."""
    from fauxlab.scan.paths import expand_paths

    counts = Counts()
    verdicts = scanner.explain(expand_paths(paths))
    with count_images("scanning") as advance, closing(verdicts):
        for explained in verdicts:
            for sink in sinks:
                sink.add(explained)
            counts.add(explained)
            if explained.first:
                advance(1)
            verdict = explained.verdict
            if name_errors and verdict.status == "error":
                say(f"{verdict.path}: {verdict.message}")
    return counts


def _refuse_nothing(counts: Counts, paths: list[str]) -> None:
    """Raise LabError where no picture was found, or none could be read."""
    from fauxlab.io.text import printable

    total = counts.pictures.total()
    if not total:
        raise LabError(f"no pictures found in {printable(', '.join(paths))}")
    if counts.pictures["error"] == total:
        raise LabError("no picture could be judged")
