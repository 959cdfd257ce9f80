"""Thirty kinds of input and fault that users of detectors meet: what happens with each.

    .venv/bin/python -m benchmarks.safety.cases REALS FAKES
    .venv/bin/python -m benchmarks.safety.cases REALS FAKES --only 4 22 25

REALS and FAKES are folders or zips of cropped face photos, real ones and generated ones. Every
input is made anew from them, each command runs in a process of its own, and what it does is
compared with the right answer. Number 12 is missing: what a file says of its origin is not read
yet.

Writes benchmarks/results/cases.json, and ends with 1 where an answer is wrong.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.output import command_line, describe_machine, save_results
from benchmarks.safety import inputs, other_cases, picture_cases
from benchmarks.safety.answers import Faces
from PIL import Image

from fauxlab.io.images import decode
from fauxlab.io.sources import FileReader
from fauxlab.scan.paths import expand_paths
from fauxlab.scan.scanner import Scanner

MANY_FACES = 60


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reals")
    parser.add_argument("fakes")
    parser.add_argument("--only", type=int, nargs="*", help="numbers of cases")
    options = parser.parse_args()
    reals, fakes = read_faces(options.reals), read_faces(options.fakes)
    real, fake = choose(reals, "real"), choose(fakes, "fake")
    rows = []
    cases = [*picture_cases.TABLE.cases, *other_cases.TABLE.cases]
    for entry in sorted(cases, key=lambda case: case.number):
        if options.only and entry.number not in options.only:
            continue
        with tempfile.TemporaryDirectory() as folder:
            answer = entry.try_out(Faces(Path(folder), real, fake, reals))
        rows.append(
            {
                "case": entry.number,
                "kind": entry.title,
                "before": entry.before,
                "now": answer.now,
                "right": answer.right,
            }
        )
        mark = "right" if answer.right else "WRONG"
        print(f"{entry.number:>3} {mark}  {entry.title}: {answer.now}", flush=True)
    if not options.only:
        result = {"cases": rows, "command": command_line(), "environment": describe_machine()}
        save_results("cases.json", result)
    return 0 if all(row["right"] for row in rows) else 1


def read_faces(place: str) -> list[Image.Image]:
    """The first sixty-odd pictures of a folder or zip, spread over it."""
    paths = list(expand_paths([place]))
    every = max(1, len(paths) // MANY_FACES)
    with FileReader() as reader:
        return [decode(reader.read(path)) for path in paths[::every][:MANY_FACES]]


def choose(pictures: list[Image.Image], decision: str) -> Image.Image:
    """The first picture on which the packaged detector decides so, also inside a scene."""
    scanner = Scanner.from_pretrained()
    for picture in pictures:
        scene = inputs.in_scene(picture, 1080, 1200, 200)
        jpeg = inputs.encoded(scene, "JPEG", quality=93)
        verdicts = [scanner(inputs.encoded(picture, "JPEG", quality=95)), scanner(jpeg)]
        if all(verdict.decision == decision for verdict in verdicts):
            return picture
    raise SystemExit(f"no picture is certainly {decision}; give other pictures")


if __name__ == "__main__":
    sys.exit(main())
