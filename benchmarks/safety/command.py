"""Run a command of fauxlab in a process of its own, and note its exit, output, time and memory."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIME_LIMIT = 120.0  # seconds


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int  # minus the signal that ended it
    stdout: str
    stderr: str
    seconds: float  # of the clock
    megabytes: float  # the most memory that it held itself

    @property
    def last_line(self) -> str:
        """The last line on stderr."""
        lines = self.stderr.strip().splitlines()
        return lines[-1] if lines else ""

    @property
    def failed_badly(self) -> bool:
        """Whether it crashed, was killed, or printed a traceback."""
        return self.code < 0 or "Traceback (most recent call last)" in self.stderr

    def verdicts(self) -> list[dict[str, Any]]:
        """The verdicts of `scan --json`; none where it printed none."""
        try:
            verdicts: list[dict[str, Any]] = json.loads(self.stdout)
        except ValueError:
            return []
        return verdicts


def run(
    *arguments: str | Path,
    stdin: bytes = b"",
    environment: Mapping[str, str | None] | None = None,
    folder: Path | None = None,
    limit: float = TIME_LIMIT,
) -> Ran:
    """Run `fauxlab` with these arguments; after `limit` seconds it is killed.

    A variable of the environment that is None is taken away.
    """
    command = [sys.executable, "-m", "fauxlab", *map(str, arguments)]
    return run_program(command, stdin, environment, folder, limit)


def run_program(
    command: Sequence[str],
    stdin: bytes = b"",
    environment: Mapping[str, str | None] | None = None,
    folder: Path | None = None,
    limit: float = TIME_LIMIT,
) -> Ran:
    """Run any program, as `run` does."""
    with (
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        given.write(stdin)
        given.seek(0)
        start = time.monotonic()
        process = subprocess.Popen(
            command,
            stdin=given,
            stdout=out,
            stderr=err,
            env=_environment(environment or {}),
            cwd=folder,
        )
        killer = threading.Timer(limit, process.kill)
        killer.start()
        megabytes = 0.0
        while process.poll() is None:
            megabytes = max(megabytes, _peak_of(process.pid))
            time.sleep(0.01)
        killer.cancel()
        seconds = time.monotonic() - start
        return Ran(process.returncode, _read(out), _read(err), seconds, megabytes)


def _peak_of(process: int) -> float:
    """The most megabytes that a process has held; 0 of one that has ended.

    Not the figure of `getrusage`, which begins at the size of the process that started this one.
    """
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0.0
    peak = re.search(r"VmHWM:\s*(\d+) kB", status)
    return int(peak[1]) / 1024 if peak else 0.0


def _environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    environment = dict(os.environ)
    for name, value in changes.items():
        environment.pop(name, None)
        if value is not None:
            environment[name] = value
    return environment


def _read(stream: Any) -> str:
    stream.seek(0)
    data: bytes = stream.read()
    return data.decode("utf-8", "replace")
