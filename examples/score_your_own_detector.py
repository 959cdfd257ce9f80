"""Measure any detector with fauxlab's metrics: per generator, with 95 % intervals over groups.

    python examples/score_your_own_detector.py manifest.csv

Replace `my_detector` by your own function from the path of a picture to a score, where a larger
score means "more likely fake". It may call any library or service. Needs the light install only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

import fauxlab as fl
from fauxlab.evaluation.detection import detection_report


def my_detector(path: str) -> float:
    """A score for one picture, 0 to 1. This one only looks at how smooth the picture is."""
    grey = np.asarray(Image.open(path).convert("L"), dtype=np.float64)
    differences = np.abs(np.diff(grey, axis=0)).mean()
    return float(1 / (1 + differences))


def measure(
    manifest: fl.Manifest, detector: Callable[[str], float], name: str
) -> fl.DetectionReport:
    """The figures of a detector on all pictures of a manifest."""
    # The picture of a row is a file, or `archive.zip!/name` for the member of a zip, which
    # `fauxlab.io.sources.FileReader` reads.
    scores = np.array([detector(manifest.resolve(row)) for row in manifest.rows])
    # Intervals come from drawing whole groups again and again: pictures of one group are alike.
    return detection_report(manifest, scores, model=name, model_hash="", threshold=0.5)


def main() -> None:
    """The command."""
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/score_your_own_detector.py manifest.csv")
    test = fl.Manifest.load(Path(sys.argv[1])).test
    print(measure(test, my_detector, "smoothness").table())


if __name__ == "__main__":
    main()
