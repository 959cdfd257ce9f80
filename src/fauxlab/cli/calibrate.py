"""`fauxlab detector calibrate`: scores, threshold and uncertain band at a stated error."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from fauxlab.cli.common import (
    ManifestPath,
    check_output,
    folder_beside,
    refuse_unwritable,
    report_skipped,
    say,
)
from fauxlab.errors import LabError
from fauxlab.progress import count_images

if TYPE_CHECKING:
    from fauxlab.calibration.calibrate import AnyBundle, Calibrated
    from fauxlab.data.manifest import Manifest


def calibrate(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="a bundle, as runs/<name>/best, or `fauxlab`")
    ],
    manifest: ManifestPath,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate",
            "--fpr",
            metavar="SHARE",
            help="share of the reals of a further source that may be called fake; by default .02, "
            "or the lowest that the pictures can promise",
            show_default=False,
        ),
    ] = None,
    also: Annotated[
        list[float] | None,
        typer.Option(
            metavar="SHARE",
            help="a further rate, for `scan --rate`; may be given several times; by default .01, "
            "where the pictures can promise it",
            show_default=False,
        ),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="share of the fakes that may be called real; by default .1, or the lowest that "
            "the pictures can promise",
            show_default=False,
        ),
    ] = None,
    left_out: Annotated[
        list[str] | None,
        typer.Option(
            "--left-out",
            metavar="SOURCE,…=MODEL",
            help="MODEL was trained in the same way without these sources of reals: keep the rate "
            "on them, too; may be given several times",
        ),
    ] = None,
    degraded: Annotated[
        bool,
        typer.Option(
            "--degraded", help="fit and measure on pictures filtered and recompressed at random"
        ),
    ] = False,
    refuse_tinted: Annotated[
        bool,
        typer.Option(
            "--refuse-tinted",
            help='"cannot tell" for pictures in nearly one colour, as sepia, if it learned none',
        ),
    ] = False,
    keep_limits: Annotated[
        bool, typer.Option("--keep-limits", help="leave the OOD limits that MODEL has")
    ] = False,
    reference: Annotated[
        bool,
        typer.Option(
            "--reference", help="keep what `detector adapt` needs: features, and no pictures"
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="the new bundle; MODEL-calibrated by default", show_default=False
        ),
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write a reliability diagram (PNG)")
    ] = None,
) -> None:
    """Fit scores, threshold, uncertain band and OOD limits on the calibration split.

    Prints the figures before and after. Takes exported models, too.
    """
    from fauxlab.bundle.folder import check_place
    from fauxlab.data.cache import load_images
    from fauxlab.data.manifest import Manifest
    from fauxlab.transforms.degradations import degrade_repeatably

    folder = out or folder_beside(model, "calibrated")
    check_place(folder)
    refuse_unwritable(folder, "--out")
    check_output(figure, "--figure", "reliability.png")
    data = Manifest.load(manifest).without_pseudo()
    from fauxlab.calibration.calibrate import calibrate

    detector = _open_bundle(model)
    others = _open_left_out(left_out or [])
    if len(data.calibration):  # `calibrate` reports an empty split
        with count_images("decoding") as advance:
            images = load_images(data.in_split("calibration", "test"), detector.size, advance)
        report_skipped(images.skipped)
    degrade = degrade_repeatably if degraded else None
    with count_images("scoring") as advance:
        calibrated = calibrate(
            detector,
            data,
            rate,
            alpha,
            degrade,
            advance,
            refuse_tinted=refuse_tinted,
            keep_limits=keep_limits,
            also=also,
            left_out=others,
        )
    saved = calibrated.detector.save_pretrained(folder)
    if reference:
        _write_reference(calibrated.detector, data, folder)
    if figure:
        _save_figure(calibrated, figure)
    print(calibrated.table())
    for note in calibrated.notes:
        say(note)
    say(f"wrote {folder}: model hash {saved.hash}")


def _open_left_out(options: list[str]) -> dict[str, AnyBundle]:
    """The detector of each source that was left out, as --left-out names them."""
    detectors: dict[str, AnyBundle] = {}
    for option in options:
        sources, found, model = option.partition("=")
        names = [name for name in sources.split(",") if name]
        if not found or not model or not names:
            raise LabError(f"--left-out {option}: give SOURCE=MODEL, or SOURCE,SOURCE=MODEL")
        detector = _open_bundle(Path(model))
        for name in names:
            if name in detectors:
                raise LabError(f"--left-out {option}: {name} has a model already")
            detectors[name] = detector
    return detectors


def _open_bundle(model: Path) -> AnyBundle:
    """The bundle with torch's weights where it has them, else as a scan opens it."""
    from fauxlab.bundle.folder import WEIGHTS
    from fauxlab.bundle.opening import open_detector
    from fauxlab.models.pretrained import Detector

    if (model / WEIGHTS).is_file():
        return Detector.from_pretrained(model)
    return cast("AnyBundle", open_detector(model))


def _write_reference(detector: AnyBundle, data: Manifest, folder: Path) -> None:
    """Put the features of the calibration split beside the calibrated detector."""
    from fauxlab.adaptation.making import make_reference
    from fauxlab.adaptation.reference import write_reference
    from fauxlab.data.cache import load_images

    images = load_images(data.in_split("calibration"), detector.size)
    with count_images("reference", None) as advance:
        made = make_reference(detector, images, progress=advance)
    write_reference(folder, made)
    say(f"kept the features of {len(made):,} pictures for `fauxlab detector adapt`")


def _save_figure(calibrated: Calibrated, path: Path) -> None:
    from fauxlab.io.text import replace_file
    from fauxlab.pages.detector_figures import draw_reliability
    from fauxlab.pages.figures import render

    split = "test" if "test" in calibrated.reliability else "calibration"
    before, after = calibrated.reliability[split]
    figure = draw_reliability({"before": before, "after": after}, f"{split} split")
    replace_file(path, render(figure, "png"))
    say(f"wrote {path}")
