"""What is left when a command is killed at any instant, and does the next run mend it?

    .venv/bin/python -m benchmarks.safety.kill

Commands that write are started on the embedded data set and killed (SIGKILL) at random instants.
Afterwards each file with a final name must be whole. The same command once more (trainings with
--resume) must succeed, give the bytes of a run that was never killed, and leave nothing beside.
Then the same with SIGTERM and with SIGINT, which must end alike: with exit code 130 (or 0, where
the command was done), and without any left-over. A signal that comes while Python is still starting
ends the process at once, with nothing said or written.

Writes benchmarks/results/kill.json: how often each command was stopped, in which state it was, and
every fault.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.output import command_line, describe_machine, print_results, save_results
from PIL import Image
from safetensors.torch import load_file

from fauxlab.data.indexing import index
from fauxlab.datasets.toyfaces import write_toyfaces

# A process that has imported all this is forked for every command: torch takes seconds to import.
PRELOAD = [
    "fauxlab.calibration.calibrate",
    "fauxlab.cli",
    "fauxlab.models.export",
    "fauxlab.pages.detector_figures",
    "fauxlab.pages.gan_figures",
    "fauxlab.scan.page",
    "fauxlab.scan.scanner",
    "fauxlab.training.detector.loop",
    "fauxlab.training.gan.loop",
    "onnx",
    "torch._dynamo",
]
PATIENCE = 300.0  # seconds
TINY = ["data.size=32", "train.epochs=3", "train.batch=8"]
WIDTHS = "{widths=[8,8,8,8]}"
TINY_GAN = [
    f"model.generator={WIDTHS}",
    f"model.discriminator={WIDTHS}",
    "model.latent=8",
    "train.batch=8",
    "train.images=240",
    "evaluate.every=80",
    "evaluate.n=16",
    "guard.every=80",
    "guard.n=64",
]

Content = dict[str, Any]  # of a folder, by path


@dataclass(frozen=True)
class Job:
    """A command to be stopped, and how it goes on."""

    name: str
    words: list[str]
    resume: tuple[str, ...] = ()


@dataclass
class Outcome:
    """What became of the stops of one job by one signal."""

    stops: int = 0
    left_overs: int = 0  # stops that left something aside, for the next run to remove
    codes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=50, help="stops by SIGKILL, over all commands")
    parser.add_argument("--signals", type=int, default=24, help="stops by SIGTERM and by SIGINT")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="one command, as index")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory() as name:
        ground = Ground(Path(name).resolve())
        jobs = ground.jobs()
        if options.only:
            jobs = [job for job in jobs if job.name == options.only]
        references = {job.name: ground.run_whole(job) for job in jobs}
        plans = [(signal.SIGKILL, options.n)]
        plans += [(number, options.signals // 2) for number in (signal.SIGTERM, signal.SIGINT)]
        outcomes: dict[str, Outcome] = {}
        for number, count in plans:
            for i in range(count):
                job = jobs[i % len(jobs)]
                key = f"{job.name}: {signal.Signals(number).name}"
                outcome = outcomes.setdefault(key, Outcome())
                seconds, content = references[job.name]
                ground.stop(job, number, rng.uniform(0, seconds), content, outcome)
                print(f"{key}: {dict(outcome.codes)}", *outcome.faults, file=sys.stderr)
    result = {
        "stops": sum(outcome.stops for outcome in outcomes.values()),
        "faults": sum(len(outcome.faults) for outcome in outcomes.values()),
        "seconds_of_a_whole_run": {name: seconds for name, (seconds, _) in references.items()},
        "by_command": {
            key: {
                "stops": o.stops,
                "left_overs": o.left_overs,
                "exit_codes": dict(sorted(o.codes.items())),
                "faults": o.faults,
            }
            for key, o in outcomes.items()
        },
        "command": command_line(),
        "environment": describe_machine(),
    }
    save_results("kill.json", result)
    print_results(result)


class Ground:
    """The folder that all runs share: pictures, a manifest, and a model."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.context = multiprocessing.get_context("forkserver")
        os.environ["FAUXLAB_CACHE"] = str(folder / "cache")
        os.environ["OMP_NUM_THREADS"] = "1"
        self.context.set_forkserver_preload(PRELOAD)
        write_toyfaces(folder / "toy", n=48, size=64)
        manifest = index(folder / "toy").split(0, (0.4, 0.1, 0.3, 0.2))
        manifest.save(folder / "manifest.csv")
        words = ["detector", "train", "../manifest.csv", "--name", "model", *_sets(TINY[:2])]
        self.run_whole(Job("model", [*words, "--recipe", "unified-joint"]))
        shutil.copytree(folder / "whole-model" / "runs" / "model" / "best", folder / "model")
        pictures = sorted((folder / "toy" / "wiki").rglob("*.jpg"))
        (folder / "few").mkdir()
        for path in pictures[:8]:
            shutil.copy(path, folder / "few")

    def jobs(self) -> list[Job]:
        """The commands to be stopped; each runs in a folder of its own below this one."""
        train = ["detector", "train", "../manifest.csv", "--recipe", "unified-joint"]
        gan = ["gan", "train", "../manifest.csv", "--recipe", "r3-32", *_sets(TINY_GAN)]
        rates = ["--out", "cal", "--fpr", ".5", "--alpha", ".5", "--figure", "r.png"]
        scan = ["scan", "../few", "--crop", "none", "--html", "v.html", "--explain", "maps"]
        return [
            Job("index", ["data", "index", "../toy", "--out", "m.csv"]),
            Job("train", [*train, *_sets(TINY)], ("--resume",)),
            Job("gan", gan, ("--resume",)),
            Job("calibrate", ["detector", "calibrate", "../model", "../manifest.csv", *rates]),
            Job("export", ["export", "../model", "--out", "ex", "--int8", "../manifest.csv"]),
            Job("scan", [*scan, "--json"]),
        ]

    def run_whole(self, job: Job) -> tuple[float, Content]:
        """Seconds and result of a run that nobody stops; the second of two, with warm files."""
        for _ in range(2):
            folder = self.folder / f"whole-{job.name}"
            shutil.rmtree(folder, ignore_errors=True)
            start = time.monotonic()
            process = self.start(job, folder)
            process.join(PATIENCE)
            seconds = time.monotonic() - start
            assert process.exitcode == 0, (folder / "stderr").read_text()
        return seconds, read(folder, job)

    def start(self, job: Job, folder: Path, more: tuple[str, ...] = ()) -> ForkServerProcess:
        """Begin a command in a folder, which also holds its cache and its temporary files."""
        for name in ("cache", "tmp"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        process = self.context.Process(target=run_command, args=(folder, [*job.words, *more]))
        process.start()
        return process

    def stop(self, job: Job, number: int, after: float, whole: Content, outcome: Outcome) -> None:
        """Stop one run, look at what is left, and let it go on."""
        folder = self.folder / "stopped"
        shutil.rmtree(folder, ignore_errors=True)
        process = self.start(job, folder)
        time.sleep(after)
        assert process.pid is not None
        with suppress(ProcessLookupError):  # it was done before
            os.kill(process.pid, number)
        process.join(PATIENCE)
        outcome.stops += 1
        outcome.codes[str(process.exitcode)] += 1
        note = f"{job.name} after {after:.3f} s"
        try:
            left = self._check_stopped(job, folder, number, process.exitcode)
            outcome.left_overs += bool(left)
            process = self.start(job, folder, job.resume)
            process.join(PATIENCE)
            said = (folder / "stderr").read_text()
            assert process.exitcode == 0, f"the next run ended with {process.exitcode}: {said}"
            assert_same(read(folder, job), whole)
        except Exception as error:  # any fault is a line of the result
            traceback.print_exc()
            outcome.faults.append(f"{note}: {error}")

    def _check_stopped(self, job: Job, folder: Path, number: int, code: int | None) -> list[str]:
        """What was left aside; raises where it may not be there, and where a file is not whole."""
        content = read(folder, job, stopped=number == signal.SIGKILL)
        left = [name for name in content if is_left_over(name)]
        if number != signal.SIGKILL:
            assert not left, f"left behind: {left}"
            said = read_text(folder / "stderr")
            assert "Traceback" not in said, said
            # The signal came while Python was still starting, where SIGINT gives 1.
            if code in (-number, 1) and not said:
                return left
            assert code in (0, 130), f"exit code {code}: {said}"
            assert (code == 130) == ("interrupted" in said), said
        return left


def run_command(folder: Path, words: list[str]) -> None:
    """The command, as a process of its own would run it."""
    os.chdir(folder)
    os.environ["FAUXLAB_CACHE"] = str(folder / "cache")
    tempfile.tempdir = str(folder / "tmp")
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(stream, number)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", buffering=1)
    sys.argv = ["fauxlab", *words]
    from fauxlab.cli import main as run

    run()


# --- what is compared


def read(folder: Path, job: Job, stopped: bool = False) -> Content:
    """All that a run wrote, by its path; raises where a final file is not whole.

    Where the run was `stopped` by SIGKILL, names of left-overs are allowed, and not read.
    """
    content: Content = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if is_left_over(name) or path.is_dir() or name in ("stdout", "stderr"):
            content[name] = None
            continue
        value = READERS.get(path.suffix, Path.read_bytes)(path)
        # environment.json holds the time.
        content[name] = None if path.name == "environment.json" else value
    if "--json" in job.words and not stopped:
        json.loads(read_text(folder / "stdout") or "[]")
    return content


def read_text(path: Path) -> str:
    """The text of a file; empty where there is none yet."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


def is_left_over(name: str) -> bool:
    """Whether a path leads through what was written aside."""
    return any(part.startswith(".") for part in name.split("/"))


def assert_same(content: Content, whole: Content) -> None:
    """Raise where two runs wrote different files, or different bytes into one."""
    names = content.keys() ^ whole.keys()
    assert not names, f"only after one of the two: {sorted(names)}"
    other = [name for name in whole if not _is_same(content[name], whole[name])]
    assert not other, f"differ: {other}"


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_is_same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return bool(one == other)


def read_picture(path: Path) -> bytes:
    """The pixels."""
    with Image.open(path) as picture:
        return picture.tobytes()


def read_page(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    assert text.rstrip().endswith("</html>"), f"{path} is cut"
    return text


def read_log(path: Path) -> str:
    """The text, whose whole lines are JSON; the last may be cut."""
    text = path.read_text(encoding="utf-8")
    for line in text.splitlines(keepends=True):
        if line.endswith("\n"):
            json.loads(line)
    return text


READERS: dict[str, Callable[[Path], Any]] = {
    ".html": read_page,
    ".json": lambda path: json.loads(path.read_text(encoding="utf-8")),
    ".jsonl": read_log,
    ".png": read_picture,
    ".pt": lambda path: torch.load(path, weights_only=True),
    ".safetensors": load_file,
}


def _sets(settings: list[str]) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


if __name__ == "__main__":
    main()
