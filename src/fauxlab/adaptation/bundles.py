"""Bundles whose heads can be read and replaced, in the light install."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from fauxlab.bundle.folder import GRAPH, REFERENCE, write_bundle
from fauxlab.bundle.heads import HeadWeights, read_heads, replace_heads
from fauxlab.bundle.onnx import OnnxDetector, start_graph
from fauxlab.bundle.opening import open_detector
from fauxlab.errors import LabError
from fauxlab.io.text import describe_error, printable

if TYPE_CHECKING:
    from fauxlab.bundle.config import DetectorConfig
    from fauxlab.bundle.detector import AnyDetector


class Adaptable(Protocol):
    """A bundle that can get further heads."""

    @property
    def detector(self) -> AnyDetector:
        """The detector, ready for use."""

    def read_heads(self) -> HeadWeights:
        """The weights of its heads. Raises ValueError where it has none of this form."""

    def with_heads(self, heads: HeadWeights, config: DetectorConfig) -> Adaptable:
        """The same network with these heads and this config. Raises whatever is wrong."""

    def save(self, folder: Path, reference: bytes) -> str:
        """Write the bundle with its reference, whole or not at all; returns its hash."""


@dataclass(frozen=True)
class OnnxBundle:
    """A bundle with a `model.onnx`, of which these are the bytes."""

    detector: OnnxDetector
    content: bytes

    def read_heads(self) -> HeadWeights:
        """See `Adaptable`."""
        return read_heads(self.content)

    def with_heads(self, heads: HeadWeights, config: DetectorConfig) -> OnnxBundle:
        """See `Adaptable`."""
        content = replace_heads(self.content, heads)
        return OnnxBundle(start_graph(content, config), content)

    def save(self, folder: Path, reference: bytes) -> str:
        """See `Adaptable`."""
        config = self.detector.config
        return write_bundle(folder, config, GRAPH, self.content, {REFERENCE: reference})


def open_adaptable(model: str | Path, trust: bool = False) -> tuple[Adaptable, Path]:
    """A bundle to which a head can be added, and its folder; found as by `open_detector`.

    Raises LabError as `open_detector` does, and for bundles whose heads cannot be replaced.
    """
    detector = open_detector(model, trust)
    if not isinstance(detector, OnnxDetector) or detector.folder is None:
        raise LabError(
            f"{printable(model)} has weights for torch; write it with `fauxlab export`, "
            "calibrate that with --reference, and adapt what comes of it"
        )
    content = (detector.folder / GRAPH).read_bytes()
    return OnnxBundle(detector, content), detector.folder


def heads_of(bundle: Adaptable, model: str | Path) -> HeadWeights:
    """The heads of a bundle, as many as its config names. Raises LabError where there are none."""
    try:
        heads = bundle.read_heads()
    except ValueError as error:
        raise LabError(
            f"{printable(model)} has no heads that another can be added to "
            f"({describe_error(error)}); train a detector with heads, as the recipe `detector` does"
        ) from None
    named = len(bundle.detector.config.heads)
    if named != len(heads.bias):
        raise LabError(
            f"{printable(model)} names {named} heads and has {len(heads.bias)}; export it again"
        )
    return heads


def add_head(heads: HeadWeights, row: HeadWeights) -> HeadWeights:
    """The weights of H heads with those of one more, which is a `HeadWeights` of one head."""
    pairs = zip(heads, row, strict=True)
    joined = [np.concatenate([old, new]).astype(np.float32) for old, new in pairs]
    return HeadWeights(*joined)
