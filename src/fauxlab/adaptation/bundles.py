"""Detectors whose heads can be read and replaced, in the light install."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from fauxlab.bundle.detector import AnyDetector
from fauxlab.bundle.heads import HeadWeights
from fauxlab.bundle.opening import open_detector
from fauxlab.errors import LabError
from fauxlab.io.text import describe_error, printable

if TYPE_CHECKING:
    from fauxlab.bundle.config import DetectorConfig


class Adaptable(AnyDetector, Protocol):
    """A detector that can get further heads."""

    @property
    def folder(self) -> Path | None:
        """Where its bundle lies; None before it is saved."""

    def read_heads(self) -> HeadWeights:
        """The weights of its heads. Raises ValueError where it has none of this form."""

    def with_heads(self, heads: HeadWeights, config: DetectorConfig) -> Adaptable:
        """The same network with these heads and this config. Raises ValueError for others."""

    def save_pretrained(self, folder: str | Path, further: Mapping[str, bytes]) -> Adaptable:
        """Write the bundle and these further files, whole or not at all; the hash comes with it."""


def open_adaptable(model: str | Path, trust: bool = False) -> tuple[Adaptable, Path]:
    """A detector to which a head can be added, and its folder; found as by `open_detector`.

    Raises LabError as `open_detector` does, and for bundles whose heads cannot be replaced.
    """
    detector = open_detector(model, trust)
    folder = getattr(detector, "folder", None)
    if folder is None or not hasattr(detector, "with_heads"):
        raise LabError(
            f"{printable(model)} has weights for torch; write it with `fauxlab export`, "
            "calibrate that with --reference, and adapt what comes of it"
        )
    return cast(Adaptable, detector), folder


def heads_of(detector: Adaptable, model: str | Path) -> HeadWeights:
    """The heads of a detector, which its config names. Raises LabError where there are none."""
    try:
        heads = detector.read_heads()
    except ValueError as error:
        raise LabError(
            f"{printable(model)} has no heads that another can be added to "
            f"({describe_error(error)}); train a detector with heads, as the recipe `detector` does"
        ) from None
    named = len(detector.config.heads)
    if named != len(heads.bias):
        raise LabError(
            f"{printable(model)} names {named} heads and has {len(heads.bias)}; export it again"
        )
    return heads


def add_head(heads: HeadWeights, row: HeadWeights) -> HeadWeights:
    """The weights of H heads with those of one more, which is a `HeadWeights` of one head."""
    joined = []
    for old, new in zip(heads, row, strict=True):
        both = np.concatenate([old, new])
        joined.append(both.astype(np.float32))
    return HeadWeights(*joined)
