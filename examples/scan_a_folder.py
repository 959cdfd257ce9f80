"""Verdicts on all pictures of a folder, and how often each verdict was given.

    python examples/scan_a_folder.py FOLDER

Needs the light install only (`pip install .`).
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import fauxlab as fl
from fauxlab.scan.paths import expand_paths


def scan_folder(folder: str | Path) -> Counter[str]:
    """Print one line for each face below `folder`; returns how often each decision was made."""
    # The packaged detector. `crop="face"` looks for faces in each picture; "none" takes the picture
    # as a face that was cropped already.
    scanner = fl.Scanner.from_pretrained(crop="face")
    decisions: Counter[str] = Counter()
    for verdict in scanner.scan(expand_paths([str(folder)])):
        decisions[verdict.decision] += 1
        # Only a verdict on a face has a score.
        score = "" if verdict.score is None else f"{verdict.score:.3f}"
        print(f"{verdict.decision:<12}  {score:<5}  {verdict.path}")
    return decisions


def main() -> None:
    """The command."""
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/scan_a_folder.py FOLDER")
    for decision, count in scan_folder(sys.argv[1]).most_common():
        print(f"{count:>6} × {decision}")


if __name__ == "__main__":
    main()
