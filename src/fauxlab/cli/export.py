"""`fauxlab export`: a detector that scans without torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fauxlab.cli.common import refuse_exported, refuse_unwritable, report_skipped, say
from fauxlab.errors import LabError
from fauxlab.progress import count_images

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PICTURES = 512  # that scales are found with


def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="a bundle, as runs/<name>/best")],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="the new bundle; MODEL-onnx or MODEL-int8 by default",
            show_default=False,
        ),
    ] = None,
    int8: Annotated[
        Path | None,
        typer.Option(
            metavar="MANIFEST",
            help="in 8-bit integers, scaled on the calibration split: faster, a little less exact",
        ),
    ] = None,
) -> None:
    """Write a detector as model.onnx, which `fauxlab scan` runs with onnxruntime, without torch."""
    refuse_exported(model, "exported again")
    from fauxlab.models.export import export_onnx
    from fauxlab.models.pretrained import Detector

    beside = model if model.name not in ("", "..") else model.resolve()
    folder = beside.with_name(f"{beside.name}-{'int8' if int8 else 'onnx'}") if out is None else out
    refuse_unwritable(folder, "--out")
    detector = Detector.from_pretrained(model, "cpu")
    made = export_onnx(detector, folder, _pictures(int8, detector.size) if int8 else None)
    say(f"wrote {folder}: model hash {made.hash}, {made.config.precision}")


def _pictures(path: Path, size: int) -> NDArray[np.uint8]:
    """Up to PICTURES of the calibration split, spread over it: uint8 [N, 3, size, size]."""
    import numpy as np

    from fauxlab.data.cache import load_images
    from fauxlab.data.manifest import Manifest

    part = Manifest.load(path).in_split("calibration")
    if not len(part):
        raise LabError(
            f"the calibration split of {path} is empty; split it again with `fauxlab data index`"
        )
    with count_images("decoding", len(part)) as advance:
        images = load_images(part, size, advance)
    report_skipped(images.skipped)
    return images.take(np.unique(np.linspace(0, len(images) - 1, PICTURES).astype(int)))
