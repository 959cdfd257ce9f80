"""What a figure was made with: versions, machine, command and data."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fauxlab.version import __version__

PACKAGES = (
    "torch",
    "accelerate",
    "numpy",
    "pillow",
    "safetensors",
    "onnxruntime",
)


def describe_environment(data_hash: str) -> dict[str, Any]:
    """What a reader needs to repeat a run or to weigh its figures: all of it as JSON values."""
    cpus = os.cpu_count()
    threads = cpus
    gpu = None
    if find_spec("torch"):
        torch: Any = import_module("torch")
        threads = torch.get_num_threads()
        gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "fauxlab": __version__,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "processor": _processor(),
        "cpus": cpus,
        "threads": threads,
        "gpu": gpu,
        "command": shlex.join([_program(), *sys.argv[1:]]),
        "data_hash": data_hash,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _program() -> str:
    """The program's name as somebody could type it on another machine.

    Scripts keep their path below the folder they ran in, and lose any other.
    """
    path = Path(sys.argv[0])
    if path.name in ("fauxlab", "__main__.py"):  # the entry point, or python -m
        return "fauxlab"
    return path.name if path.is_absolute() else str(path)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()
