"""`fauxlab export`: a detector that scans without torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fauxlab.cli.common import folder_beside, refuse_unwritable, report_skipped, say
from fauxlab.errors import LabError
from fauxlab.progress import count_images

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PICTURES = 512  # most pictures from which the scales of 8-bit integers are measured


Model = Annotated[Path, typer.Argument(metavar="MODEL", help="a bundle, as runs/<name>/best")]
OutFolder = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="the new bundle; MODEL-onnx, MODEL-int8 or MODEL-half by default",
        show_default=False,
    ),
]
Int8Manifest = Annotated[
    Path | None,
    typer.Option(
        metavar="MANIFEST",
        help="in 8-bit integers, scaled on the calibration split: faster, a little less exact",
    ),
]


Half = Annotated[
    bool,
    typer.Option(
        "--half", help="weights in 16 bits: half the size on disk, nearly the same scores"
    ),
]


def export(
    model: Model, out: OutFolder = None, int8: Int8Manifest = None, half: Half = False
) -> None:
    """Write a detector as model.onnx, which `fauxlab scan` runs with onnxruntime, without torch."""
    _refuse_exported(model)
    from fauxlab.models.export import export_onnx
    from fauxlab.models.pretrained import Detector

    if half and int8:
        raise LabError("--half and --int8 exclude each other; choose one")
    suffix = "int8" if int8 else "half" if half else "onnx"
    folder = out or folder_beside(model, suffix)
    refuse_unwritable(folder, "--out")
    detector = Detector.from_pretrained(model, "cpu")
    pictures = _take_pictures(int8, detector.size) if int8 else None
    exported = export_onnx(detector, folder, pictures, half)
    say(f"wrote {folder}: model hash {exported.hash}, {exported.config.precision}")


def _refuse_exported(model: Path) -> None:
    """Raise LabError for an exported model, as the packaged one, which has no weights for torch."""
    from fauxlab.bundle.folder import GRAPH, WEIGHTS
    from fauxlab.bundle.opening import DEFAULT_MODEL
    from fauxlab.io.text import printable

    has_graph = str(model) == DEFAULT_MODEL or (model / GRAPH).is_file()
    has_weights = (model / WEIGHTS).is_file()
    if has_graph and not has_weights:
        raise LabError(
            f"{printable(model)} is an exported detector ({GRAPH}), which cannot be exported "
            f"again; give one with {WEIGHTS}, as runs/<name>/best of `fauxlab detector train`"
        )


def _take_pictures(path: Path, size: int) -> NDArray[np.uint8]:
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
    places = np.linspace(0, len(images) - 1, PICTURES)
    return images.take(np.unique(places.astype(int)))
