r"""Calibrate the packaged detector anew, on more kinds of photos and on tones and filters.

    fauxlab data index FACES --out faces/manifest.csv --split 0,.2,.4,.4
    .venv/bin/python -m benchmarks.detector.recalibrate faces/manifest.csv
    .venv/bin/python -m benchmarks.detector.tones faces/manifest.csv \
        before=OLDER-BUNDLE after=fauxlab
    .venv/bin/python -m benchmarks.detector.release TRAINING-MANIFEST

Its graph stays as it is. Temperature, bias, threshold and uncertain band are fitted on the
calibration split, on pictures after random filters and degradations, and a limit of tint is set.
The other limits stay. Real photos are of every source with enough groups for the rate; fakes are of
the generators that the detector has learned, since the band is promised for these. No kind gets
more than MOST pictures.

Writes config.json and the card in src/fauxlab/weights/detector.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.detector.tones import kind_of

from fauxlab.bundle.folder import CARD, CONFIG
from fauxlab.bundle.onnx import OnnxDetector
from fauxlab.bundle.opening import PACKAGED
from fauxlab.calibration.calibrate import calibrate
from fauxlab.calibration.counts import groups_needed
from fauxlab.data.manifest import Manifest
from fauxlab.io.text import replace_file
from fauxlab.progress import count_images
from fauxlab.transforms.degradations import degrade_repeatably

# Some filters are harder than the mixture of all, on which this rate is promised. So it is lower
# than the 5 % that are to hold after each filter. Chosen on the validation split: at .05, three of
# twenty sources had 9 to 18 % of their faded photos called fake; at .04, none had more than 5 %
# after sepia, warm light, fading or the mixture.
RATE = 0.04
MOST = 250  # pictures of a kind


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    options = parser.parse_args()
    detector = OnnxDetector.from_pretrained(PACKAGED)
    part = choose(Manifest.load(options.manifest).calibration, detector)
    with count_images("scoring") as advance:
        calibrated = calibrate(
            detector,
            part,
            RATE,
            degrade=degrade_repeatably,
            progress=advance,
            refuse_tinted=True,
            keep_limits=True,
        )
    print(calibrated.table())
    with tempfile.TemporaryDirectory() as folder:
        saved = calibrated.detector.save_pretrained(Path(folder) / "detector")
        for name in (CONFIG, CARD):
            text = (Path(folder) / "detector" / name).read_text(encoding="utf-8")
            replace_file(PACKAGED / name, text)
    print(f"wrote {PACKAGED}: model hash {saved.hash}")


def choose(part: Manifest, detector: OnnxDetector) -> Manifest:
    """The reals of sources with enough groups, and the fakes that the detector has learned."""
    groups: dict[str, set[str]] = {}
    for row in part.rows:
        groups.setdefault(kind_of(row), set()).add(row.group)
    learned = detector.config.training["generators"]
    needed = groups_needed(RATE)
    taken: Counter[str] = Counter()
    rows = []
    for row in part.rows:
        kind = kind_of(row)
        is_wanted = kind in learned if row.label else len(groups[kind]) >= needed
        if is_wanted and taken[kind] < MOST:
            taken[kind] += 1
            rows.append(row)
    return Manifest(tuple(rows), part.root)


if __name__ == "__main__":
    main()
