"""`fauxlab detector adapt`: a detector learns a new generator from about ten examples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fauxlab.cli.common import AsJson, folder_beside, refuse_unwritable, report_skipped, say
from fauxlab.cli.scan import Crop, CropChoice, TrustModel

if TYPE_CHECKING:
    from fauxlab.adaptation.adapt import Adapted
    from fauxlab.adaptation.examples import Faces

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="a bundle, as runs/<name>/best-onnx; or `fauxlab`")
]
NewFakes = Annotated[
    list[str],
    typer.Argument(
        metavar="NEW-FAKES…",
        help="pictures of the new generator, at least three: images, folders, zips, patterns",
    ),
]
OwnReals = Annotated[
    list[str] | None,
    typer.Option(
        "--real",
        metavar="PATH",
        help="real photos of yours, of the same sort; may be given several times",
    ),
]
HeadName = Annotated[
    str | None,
    typer.Option(
        "--name", help="of the generator; by default that of NEW-FAKES", show_default=False
    ),
]
Altered = Annotated[
    bool, typer.Option("--altered", help="the fakes are real photos altered inside, as by a swap")
]
OutFolder = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="the new bundle; MODEL-NAME by default", show_default=False),
]
Rate = Annotated[
    float | None,
    typer.Option(
        help="most real photos that may be called fake, as a share; by default what MODEL states",
        show_default=False,
    ),
]


def adapt(
    model: Model,
    fakes: NewFakes,
    reals: OwnReals = None,
    name: HeadName = None,
    altered: Altered = False,
    crop: CropChoice = Crop.face,
    out: OutFolder = None,
    rate: Rate = None,
    json_: AsJson = False,
    trust_model: TrustModel = False,
) -> None:
    """Teach a detector a new generator from about ten of its pictures: a new bundle.

    Prints what was caught of the examples, each left out in turn, and what became of the false
    alarms and of the generators known before.
    """
    from fauxlab.adaptation.adapt import adapt
    from fauxlab.bundle.folder import check_place
    from fauxlab.io.passed_over import PassedOver

    chosen = name or _name_after(fakes[0])
    folder = out or folder_beside(Path(model), chosen)
    check_place(folder)
    refuse_unwritable(folder, "--out")
    passed_over = PassedOver()
    adapted = adapt(
        model,
        fakes,
        reals or (),
        name=chosen,
        altered=altered,
        rate=rate,
        crop=crop.value,
        trust=trust_model,
        passed_over=passed_over,
    )
    for line in passed_over.describe():
        say(line)
    _say_left_out(adapted)
    digest = adapted.save_pretrained(folder)
    report = adapted.report
    print(report.model_dump_json(indent=2) if json_ else report.table())
    say(f"wrote {folder}: model hash {digest}")


def _name_after(path: str) -> str:
    """A name for the generator: that of the first folder or file of its pictures."""
    return Path(path).resolve().stem


def _say_left_out(adapted: Adapted) -> None:
    """Name the pictures that were not used, and say where the figures ask for care."""
    for faces in (adapted.fakes, adapted.reals):
        if faces is not None:
            _say_unused(faces)
    report = adapted.report
    own = report.own_reals
    if own is not None and own.after.low > report.rate:
        say(
            f"warning: {own.after.value:.1%} of your real photos are called fake, more than the "
            f"stated {report.rate:.1%}; give more of them with --real"
        )


def _say_unused(faces: Faces) -> None:
    from fauxlab.io.text import printable

    report_skipped(tuple(faces.skipped))
    for copy, first in faces.copies[:20]:
        say(f"{printable(copy)} shows the same as {printable(first)}, and counts once with it")
    if len(faces.copies) > 20:
        say(f"… and {len(faces.copies) - 20:,} more that show the same as others")
    if faces.left_out:
        say(f"the first {len(faces):,} faces are used; there are more pictures than that")
