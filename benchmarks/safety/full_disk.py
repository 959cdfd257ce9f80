"""What do commands say when their disk is full, and do they give back the room?

    .venv/bin/python -m benchmarks.safety.full_disk

Mounts a disk of 3 MB (a tmpfs, which takes root) for what each command writes, and fills it but for
a few kilobytes. The command must end with exit code 1 and one line that names the disk's folder.
Afterwards no more room may be taken than before, but for the small files of a run that --resume
goes on with.

Writes benchmarks/results/full_disk.json: by command the line that it said, and the bytes that it
left.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.output import command_line, describe_machine, print_results, save_results

from fauxlab.data.indexing import index
from fauxlab.datasets.toyfaces import write_toyfaces

SIZE = 3 * 2**20
# Recipe, environment and log of a run.
RUN_FILES = 64 * 2**10
TINY = ["data.size=32", "train.epochs=1", "train.batch=8"]
WIDTHS = "{widths=[32,32,32,32]}"
TINY_GAN = [
    f"model.generator={WIDTHS}",
    f"model.discriminator={WIDTHS}",
    "model.latent=8",
    "train.batch=8",
    "train.images=80",
    "evaluate.every=80",
    "evaluate.n=16",
    "guard.every=80",
    "guard.n=64",
]


@dataclass(frozen=True)
class Case:
    """A command that writes below `disk/`, and the bytes that are free there."""

    name: str
    words: list[str]
    free: int = 8192
    cache: str = "cache"
    left: int = 0  # most bytes that may stay
    named: bool = True  # not for stdout, whose name a command does not know


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.parse_args()
    faults = []
    said = {}
    left = {}
    with tempfile.TemporaryDirectory() as name:
        ground = Path(name).resolve()
        prepare(ground)
        for case in list_cases():
            code, line, taken = run_case(ground, case)
            said[case.name] = line.replace(str(ground), "")
            left[case.name] = taken
            names_folder = str(ground / "disk") in line or "disk/" in line
            unnamed = case.named and not names_folder
            if code != 1 or unnamed or taken > case.left or "Traceback" in line:
                faults.append(case.name)
            print(case.name, code, taken, line, file=sys.stderr)
    result = {
        "faults": faults,
        "said": said,
        "bytes_left": left,
        "command": command_line(),
        "environment": describe_machine(),
    }
    save_results("full_disk.json", result)
    print_results(result)


def prepare(ground: Path) -> None:
    """Pictures, a manifest, and trained models, on a disk with room."""
    write_toyfaces(ground / "toy", n=48, size=64)
    manifest = index(ground / "toy").split(0, (0.4, 0.1, 0.3, 0.2))
    manifest.save(ground / "manifest.csv")
    train = ["detector", "train", "manifest.csv", "--recipe", "unified-joint", "--name", "d"]
    gan = ["gan", "train", "manifest.csv", "--recipe", "r3-32", "--name", "g"]
    for words in ([*train, *sets(TINY)], [*gan, *sets(TINY_GAN)]):
        code, errors = run(ground, words, "cache")
        assert code == 0, errors


def list_cases() -> list[Case]:
    train = ["detector", "train", "manifest.csv", "--recipe", "unified-joint", *sets(TINY)]
    gan = ["gan", "train", "manifest.csv", "--recipe", "r3-32", *sets(TINY_GAN)]
    calibrate = ["detector", "calibrate", "runs/d/best", "manifest.csv", "--fpr", ".5"]
    sample = ["gan", "sample", "runs/g/best"]
    scan = ["scan", "toy/wiki", "--crop", "none"]
    out = ["--out", "disk/runs"]
    return [
        Case("data index", ["data", "index", "toy", "--out", "disk/m.csv"]),
        Case("store", [*train, "--out", "other"], cache="disk/cache"),
        # The store of decoded pictures has room, and stays.
        Case("features", [*gan, "--out", "more"], 170_000, "disk/cache", 160_000),
        Case("train, at once", [*train, *out], 0),
        Case("train, at its checkpoint", [*train, *out], 100_000, left=RUN_FILES),
        Case("gan train, at its checkpoint", [*gan, *out], 100_000, left=RUN_FILES),
        Case("calibrate", [*calibrate, "--alpha", ".5", "--out", "disk/cal"]),
        Case("export", ["export", "runs/d/best", "--out", "disk/ex"]),
        Case("sample", [*sample, "--out", "disk/samples"], 16_384, left=16_384),
        Case("scan --html", [*scan, "--html", "disk/v.html"]),
        Case("scan --explain", [*scan, "--explain", "disk/maps"], 65_536, left=65_536),
        Case("scan --json", [*scan, "--json"], left=8192, named=False),
    ]


def run_case(ground: Path, case: Case) -> tuple[int, str, int]:
    """Exit code, last line on stderr, and bytes that were taken and not given back."""
    with small_disk(ground / "disk") as disk:
        free = shutil.disk_usage(disk).free
        (disk / "filling").write_bytes(bytes(max(free - case.free, 0)))
        before = shutil.disk_usage(disk).used
        code, errors = run(ground, case.words, case.cache)
        taken = shutil.disk_usage(disk).used - before
    lines = errors.strip().splitlines() or [""]
    return code, lines[-1], taken


def run(ground: Path, words: list[str], cache: str) -> tuple[int, str]:
    """Exit code and stderr of a command, whose stdout goes to the small disk."""
    environment = {**os.environ, "FAUXLAB_CACHE": str(ground / cache), "OMP_NUM_THREADS": "1"}
    stdout = ground / "disk" / "stdout" if "--json" in words else Path(os.devnull)
    with stdout.open("w") as stream:
        process = subprocess.run(
            [sys.executable, "-m", "fauxlab", *words],
            cwd=ground,
            env=environment,
            stdout=stream,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    return process.returncode, process.stderr


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()


def sets(settings: list[str]) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


if __name__ == "__main__":
    main()
