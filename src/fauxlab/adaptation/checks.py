"""What must hold before a head is fitted, and after."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.adaptation.examples import BATCH
from fauxlab.errors import LabError
from fauxlab.io.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.adaptation.reference import Reference
    from fauxlab.bundle.config import DetectorConfig
    from fauxlab.bundle.detector import AnyDetector
    from fauxlab.bundle.heads import HeadWeights

    Floats = NDArray[np.floating]
    Pixels = NDArray[np.uint8]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SAME = 0.97  # the least correlation of the reference's logits with those of the bundle's heads
TOLERANCE = 0.05  # of logits, between what was fitted and what the new bundle gives


def check_name(name: str, config: DetectorConfig) -> None:
    """Raise LabError on a name that is none, or that a head has already."""
    if not NAME.fullmatch(name):
        raise LabError(
            f"--name {printable(name)!r:.80}: up to 64 letters, digits, dots, dashes and "
            "underscores, as midjourney-7"
        )
    taken = [head.name for head in config.heads]
    if name in taken:
        raise LabError(
            f"the model has a head {name!r} already (it has {', '.join(taken)}); choose another "
            "--name, or adapt the model from before that"
        )


def check_rate(rate: float | None, config: DetectorConfig, model: str | Path) -> None:
    """Raise LabError on a rate that is none, and for a model that states none."""
    fit = config.calibration
    if fit is None or fit.false_alarm_rate is None:
        raise LabError(
            f"{printable(model)} states no false-alarm rate; calibrate it first, with "
            "`fauxlab detector calibrate MODEL MANIFEST --reference`"
        )
    if rate is not None and not 0 < rate < 1:
        raise LabError(f"--rate {rate}: give a share between 0 and 1, as 0.02")


def check_reference(reference: Reference, heads: HeadWeights, model: str | Path) -> None:
    """Raise LabError where the reference is not of this network and these heads."""
    space = reference.space
    is_alike = heads.weight.shape[1] == len(space.mean)
    is_alike &= reference.head_logits.shape[1] == len(heads.bias)
    if is_alike:
        weight = heads.weight * space.scale
        if space.basis.shape[1]:
            weight = weight @ space.basis
        again = reference.coordinates @ weight.T
        pairs = zip(again.T, reference.head_logits.T, strict=True)
        is_alike = all(correlate(one, other) >= SAME for one, other in pairs)
    if not is_alike:
        raise LabError(
            f"the reference in {printable(model)} is of another model; make it anew with "
            "`fauxlab detector calibrate MODEL MANIFEST --reference`"
        )


def correlate(one: Floats, other: Floats) -> float:
    """The correlation of two lists; 1 where both are constant."""
    spreads = one.std() * other.std()
    if not spreads:
        return 1.0 if one.std() == other.std() else 0.0
    products = (one - one.mean()) * (other - other.mean())
    return float(products.mean() / spreads)


def check_outcome(detector: AnyDetector, pixels: Pixels, expected: Floats) -> None:
    """Raise LabError where the new detector does not give these logits of its heads [n, H]."""
    for start in range(0, len(pixels), BATCH):
        part = slice(start, start + BATCH)
        given = detector.predict(pixels[part]).head_logits
        wanted = expected[part]
        is_same = given.shape == wanted.shape and np.allclose(given, wanted, TOLERANCE, TOLERANCE)
        if not is_same:
            raise LabError(
                "the new detector does not give what was fitted; nothing was written. Its graph "
                "does not compute the heads from the features that it gives: export it again"
            )
