"""What a figure was made with: versions, machine, command."""

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
    "opencv-python-headless",
)


def describe_environment(data_hash: str) -> dict[str, Any]:
    """What a reader needs to judge or repeat a run: versions, machine, command, data."""
    cpus = os.cpu_count()
    torch: Any = import_module("torch") if find_spec("torch") else None
    return {
        "fauxlab": __version__,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "processor": _processor(),
        "cpus": cpus,
        "threads": torch.get_num_threads() if torch else cpus,
        "gpu": torch.cuda.get_device_name() if torch and torch.cuda.is_available() else None,
        "command": shlex.join([_program(), *sys.argv[1:]]),
        "data_hash": data_hash,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _program() -> str:
    """What was started, by a name that means something on another machine: a path only below the
    folder it ran in.
    """
    name = Path(sys.argv[0])
    if name.name in ("fauxlab", "__main__.py"):  # the entry point, or python -m
        return "fauxlab"
    return str(name) if not name.is_absolute() else name.name


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
