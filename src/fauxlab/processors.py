"""How many processors this process may use: a container may have a part of the machine's."""

from __future__ import annotations

import os
from pathlib import Path

# Linux: the share of processor time that a container may use, as "QUOTA PERIOD" or "max PERIOD".
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_processors() -> int:
    """How many processors this process may use, at least 1.

    It counts those that the system assigned to the process, and keeps a container's quota of
    processor time.
    """
    assigned = _assigned_processors()
    quota = _read_quota(_QUOTA)
    return assigned if quota is None else max(1, min(assigned, quota))


def _assigned_processors() -> int:
    if hasattr(os, "process_cpu_count"):  # since Python 3.13
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _read_quota(path: Path) -> int | None:
    """The quota in whole processors, rounded up; None where there is none."""
    try:
        quota, period = path.read_text(encoding="ascii").split()
        return -(-int(quota) // int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return None
