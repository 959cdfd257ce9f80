"""What the cases of `benchmarks.safety.cases` share: what they are made of, and how they answer."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.safety.command import Ran, run
from PIL import Image

SLOW = 5.0  # seconds
LARGE = 1024.0  # megabytes


@dataclass(frozen=True)
class Faces:
    """What the cases are made of."""

    folder: Path  # an empty one for each case
    real: Image.Image  # a face that the detector calls real
    fake: Image.Image  # a face that the detector calls fake
    reals: list[Image.Image]

    def write(self, name: str, picture: Image.Image | None = None) -> Path:
        """Write a picture as a JPEG, the real face by default."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (picture or self.real).save(path, "JPEG", quality=95)
        return path


@dataclass(frozen=True)
class Answer:
    """What happened, and whether that is right."""

    now: str
    right: bool


@dataclass(frozen=True)
class Case:
    """A kind of input, by the number that it has in the table."""

    number: int
    title: str
    before: str  # what happened in version 0.1
    try_out: Callable[[Faces], Answer]


class Table:
    """Cases in the order in which their functions stand."""

    def __init__(self) -> None:
        self.cases: list[Case] = []

    def case(
        self, number: int, title: str, before: str
    ) -> Callable[[Callable[[Faces], Answer]], Callable[[Faces], Answer]]:
        """Enter a function into the table."""

        def enter(function: Callable[[Faces], Answer]) -> Callable[[Faces], Answer]:
            self.cases.append(Case(number, title, before, function))
            return function

        return enter


def scan_json(*arguments: str | Path) -> Ran:
    return run("scan", "--json", *arguments)


def decisions(ran: Ran) -> str:
    """The decisions of a scan with their counts, in words."""
    counted = Counter(verdict["decision"] for verdict in ran.verdicts())
    return ", ".join(f"{count} {name}" for name, count in sorted(counted.items())) or "none"


def is_cheap(ran: Ran) -> bool:
    return not ran.failed_badly and ran.seconds < SLOW and ran.megabytes < LARGE


def cost(ran: Ran) -> str:
    return f"{ran.seconds:.1f} s, {ran.megabytes:.0f} MB"


def all_real(ran: Ran, count: int) -> bool:
    verdicts = ran.verdicts()
    return len(verdicts) == count and all(item["decision"] == "real" for item in verdicts)


def compile_shim(folder: Path, source: str) -> Path | None:
    """A library that is loaded before all others; None without a compiler."""
    if not shutil.which("gcc"):
        return None
    code, library = folder / "shim.c", folder / "shim.so"
    code.write_text(source)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, code], check=True)
    return library
