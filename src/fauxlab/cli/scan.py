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
from fauxlab.io.limits import DEFAULT_LIMITS, MAX_FACES
from fauxlab.progress import show_progress

if TYPE_CHECKING:
    from fauxlab.scan.explain import Explained
    from fauxlab.scan.scanner import Scanner
    from fauxlab.scan.writers import Form, Sink

MOST_NAMED = 5  # arguments, in a message


class Finding(StrEnum):
    """The values of --fail-on."""

    real = "real"
    fake = "fake"
    error = "error"


class Crop(StrEnum):
    """The values of --crop."""

    face = "face"
    none = "none"


def _positive(parameter: typer.CallbackParam, value: float) -> float:
    """The value of an option that sets a limit. Raises LabError where it is not above 0."""
    if not value > 0:  # NaN is not, either
        option = parameter.opts[0]
        raise LabError(f"{option} {value:g}: give a number above 0")
    return value


Paths = Annotated[
    list[str],
    typer.Argument(metavar="PATH…", help="images, folders, zips, glob patterns; - for a pipe"),
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
AsJsonLines = Annotated[
    bool, typer.Option("--jsonl", help="JSON Lines on stdout, each verdict as soon as it is known")
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
    list[Finding] | None,
    typer.Option(
        help="exit with 3 when a face is certainly real or fake, or when a picture could not be "
        "judged (error); may be given several times"
    ),
]
MaxPixels = Annotated[
    int, typer.Option(help="refuse pictures with more pixels", callback=_positive)
]
Timeout = Annotated[
    float, typer.Option(help="seconds that decoding a picture may take", callback=_positive)
]
MaxFaces = Annotated[
    int, typer.Option(help="faces of a picture that get a verdict", callback=_positive)
]
Rate = Annotated[
    float | None,
    typer.Option(
        help="false-alarm rate to decide by, one of those that the model states, as .01; by "
        "default the first of these",
        show_default=False,
    ),
]


@dataclass
class Counts:
    """How many verdicts and pictures of each kind a scan came to."""

    decisions: Counter[str] = field(default_factory=Counter)  # verdicts by their decision
    pictures: Counter[str] = field(default_factory=Counter)  # by the status of their first verdict
    crowded: int = 0  # pictures that may show more faces than were judged
    coarse: int = 0  # pictures that were searched at a reduced size only
    small: int = 0  # faces that are too small for a score

    def add(self, explained: Explained) -> None:
        """Count one verdict, and its picture with the first verdict on it."""
        verdict = explained.verdict
        self.decisions[verdict.decision] += 1
        self.small += verdict.status == "ok" and verdict.score is None
        if explained.first:
            self.pictures[verdict.status] += 1
            self.crowded += verdict.left_out > 0
            self.coarse += verdict.coarse

    def found(self, findings: Sequence[Finding]) -> bool:
        """Whether anything was found that --fail-on names."""
        return any(self.decisions[finding.value] for finding in findings)

    def describe(self, findings: Sequence[Finding] = ()) -> list[str]:
        """What a user should know beside the verdicts, one line each."""
        total = self.pictures.total()
        errors, without = self.pictures["error"], self.pictures["no face"]
        lines = []
        if errors:
            advice = "" if findings else "; --fail-on error makes this exit code 3"
            lines.append(f"{errors:,} of {total:,} pictures could not be judged{advice}")
        if without:
            lines.append(
                f"no face found in {without:,} of {total:,} pictures; "
                "--crop none takes pictures as faces already cropped"
            )
        if self.small:
            words = "face is" if self.small == 1 else "faces are"
            lines.append(f"{self.small:,} {words} too small for a verdict")
        if self.coarse:
            lines.append(
                f"{self.coarse:,} of {total:,} pictures are too large to look at closely: "
                "small faces may be missed; cut out the part that matters"
            )
        if self.crowded:
            lines.append(
                f"{self.crowded:,} of {total:,} pictures may show more faces than were judged "
                "(left_out in --json, --jsonl and --csv)"
            )
        return lines


def scan(
    paths: Paths,
    model: ModelName = "fauxlab",
    crop: CropChoice = Crop.face,
    json_: AsJson = False,
    jsonl: AsJsonLines = False,
    csv_: AsCsv = False,
    html: Html = None,
    explain: Explain = None,
    fail_on: FailOn = None,
    max_pixels: MaxPixels = DEFAULT_LIMITS.max_pixels,
    timeout: Timeout = DEFAULT_LIMITS.timeout,
    max_faces: MaxFaces = MAX_FACES,
    trust_model: TrustModel = False,
    rate: Rate = None,
) -> None:
    """Say of each face in the pictures whether it looks real or generated."""
    from fauxlab.io.text import printable
    from fauxlab.scan.scanner import Scanner

    form = _choose_form(json_, jsonl, csv_)
    check_output(html, "--html", "verdicts.html")
    scanner = Scanner.from_pretrained(
        model,
        crop.value,
        max_pixels=max_pixels,
        timeout=timeout,
        max_faces=max_faces,
        trust=trust_model,
        rate=rate,
    )
    with ExitStack() as stack:
        sinks = _open_sinks(stack, scanner, html, explain, form)
        # In a table an error stands beside its path already.
        counts = _feed(scanner, paths, sinks, name_errors=form != "table")
    findings = fail_on or []
    for line in counts.describe(findings):
        say(line)
    if html:
        say(f"wrote {printable(html)}")
    _end(counts, paths, findings)


def _choose_form(json_: bool, jsonl: bool, csv_: bool) -> Form:
    """The form of the output. Raises LabError where several are asked for."""
    chosen: dict[Form, bool] = {"json": json_, "jsonl": jsonl, "csv": csv_}
    forms = [form for form, is_chosen in chosen.items() if is_chosen]
    if len(forms) > 1:
        options = " and ".join(f"--{form}" for form in forms)
        raise LabError(f"{options} exclude each other; choose one")
    return forms[0] if forms else "table"


def _open_sinks(
    stack: ExitStack,
    scanner: Scanner,
    html: Path | None,
    explain: Path | None,
    form: Form,
) -> list[Sink]:
    """All that takes the verdicts; `stack` closes what has to be closed."""
    from fauxlab.scan.explain import ExplanationFolder
    from fauxlab.scan.rule import describe_rule
    from fauxlab.scan.writers import open_writer

    sinks: list[Sink] = []
    config = scanner.config
    rule = describe_rule(config)
    if html:
        from fauxlab.scan.page import open_page

        page = open_page(html, config.band, scanner.model, rule)
        sinks.append(stack.enter_context(page))
    if explain:
        sinks.append(ExplanationFolder(explain))
    writer = open_writer(form, sys.stdout, [f"model {scanner.model}", *rule])
    sinks.append(stack.enter_context(writer))
    return sinks


def _feed(scanner: Scanner, paths: list[str], sinks: Sequence[Sink], name_errors: bool) -> Counts:
    """Give each verdict to every sink as it comes, and count them."""
    from fauxlab.io.passed_over import PassedOver
    from fauxlab.scan.ahead import ListedAhead
    from fauxlab.scan.paths import expand_paths

    counts = Counts()
    done = 0
    passed_over = PassedOver()
    listed = ListedAhead(expand_paths(paths, passed_over))
    verdicts = scanner.explain(listed)
    with closing(listed), closing(verdicts), show_progress("scanning") as show:
        for explained in verdicts:
            for sink in sinks:
                sink.add(explained)
            counts.add(explained)
            if explained.first:
                done += 1
                show(done, listed.total, "")
            verdict = explained.verdict
            if name_errors and verdict.status == "error":
                say(f"{verdict.path}: {verdict.message}")
    for line in passed_over.describe():
        say(line)
    return counts


def _end(counts: Counts, paths: list[str], findings: Sequence[Finding]) -> None:
    """Leave with the exit code of a finding.

    Raises LabError where no picture was found, or none could be judged.
    """
    from fauxlab.io.text import printable

    total = counts.pictures.total()
    if not total:
        named = ", ".join(map(printable, paths[:MOST_NAMED]))
        others = len(paths) - MOST_NAMED
        more = f" and {others:,} more" if others > 0 else ""
        raise LabError(f"no pictures found in {named}{more}")
    if counts.found(findings):
        raise typer.Exit(FINDING)
    if counts.pictures["error"] == total:
        raise LabError("no picture could be judged")
