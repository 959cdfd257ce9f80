"""Runs the command line on hostile input, and says how it ended."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SLOW = 5.0  # seconds of the processor
LARGE = 2**30  # bytes of memory
KILLED = 120.0  # seconds after which a process counts as hung, on a machine that others use, too
DONE = "done"
REFUSED = "refused"
LINES = 5  # most lines on stderr of a command that refuses its input


@dataclass(frozen=True)
class Outcome:
    """How a process ended, and what it took together with the processes that it started."""

    name: str
    ending: str  # done, refused, crash, hang, traceback, many lines, raw controls
    seconds: float  # of the processor
    memory: int  # bytes
    words: str  # the last line on stderr


def run(name: str, arguments: list[str], folder: Path) -> Outcome:
    """Run `fauxlab` in a process of its own, with its cache in `folder`."""
    environment = os.environ | {"FAUXLAB_CACHE": str(folder / "cache")}
    command = [sys.executable, "-m", "fauxlab", *arguments]
    log = folder / "stderr"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=stream
        )
    stopped = time.monotonic() + KILLED
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        if time.monotonic() > stopped:
            process.kill()
            pid, status, usage = os.wait4(process.pid, 0)
            break
        time.sleep(0.02)
    process.returncode = os.waitstatus_to_exitcode(status)
    text = log.read_text(encoding="utf-8", errors="replace")
    seconds = usage.ru_utime + usage.ru_stime
    ending = classify(process.returncode, text, seconds)
    last = (text.splitlines() or [""])[-1]
    return Outcome(name, ending, round(seconds, 2), usage.ru_maxrss * 1024, last[:300])


def classify(code: int, text: str, seconds: float) -> str:
    """The ending of a process with this exit code, text on stderr, and processor time."""
    lines = text.splitlines()
    if "Traceback" in text:
        return "traceback"
    if seconds > SLOW:
        return "hang"
    if code < 0:
        return "hang" if code == -9 else "crash"
    if any(not line.isprintable() for line in lines):
        return "raw controls"
    if len(lines) > LINES:
        return "many lines"
    if code == 0:
        return DONE
    return REFUSED if lines and lines[-1].startswith("error: ") else "crash"


def summarise(outcomes: list[Outcome]) -> dict[str, Any]:
    """Counts of the endings, the most that a process took, and all that went wrong."""
    kinds = [outcome.name.split(" ", 1)[0] for outcome in outcomes]
    pairs = zip(kinds, outcomes, strict=True)
    endings = Counter(f"{kind}: {outcome.ending}" for kind, outcome in pairs)
    wrong = [outcome for outcome in outcomes if outcome.ending not in (DONE, REFUSED)]
    large = [outcome for outcome in outcomes if outcome.memory > LARGE]
    return {
        "n": len(outcomes),
        "endings": dict(sorted(endings.items())),
        "wrong": [asdict(outcome) for outcome in wrong],
        "above_1_gib": [asdict(outcome) for outcome in large],
        "most_cpu_seconds": max(outcome.seconds for outcome in outcomes),
        "most_bytes": max(outcome.memory for outcome in outcomes),
    }
