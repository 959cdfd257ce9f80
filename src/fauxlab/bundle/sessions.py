"""Sessions of onnxruntime, which run a network on the processors that this process may use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnxruntime

# Linux: the share of processor time that a container may use, as "QUOTA PERIOD" or "max PERIOD".
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
# A user's own limit for libraries that compute, which onnxruntime itself does not read.
_LIMIT = "OMP_NUM_THREADS"


def make_session(model: bytes | str, threads: int | None = None) -> onnxruntime.InferenceSession:
    """A session on the CPU for a network in ONNX, given by its bytes or its path.

    It computes in so many `threads`, by default in `usable_processors()`. Raises onnxruntime's own
    errors where the network cannot be run.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Faults are raised; onnxruntime's own lines would stand between ours.
    options.log_severity_level = 4
    # With a stated number, onnxruntime binds no thread to a core. In a container that may use a
    # part of the cores only, binding fails, and each thread prints an error.
    options.intra_op_num_threads = threads or usable_processors()
    # Threads that wait busily would take the cores from those that decode the next pictures.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Its second format can hold compiled parts, which `fauxlab.bundle.graph` cannot check.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def usable_processors() -> int:
    """How many processors this process may use, at least 1.

    It counts those that the system assigned to the process, and keeps a container's quota of
    processor time and the variable OMP_NUM_THREADS.
    """
    limits = [len(os.sched_getaffinity(0))]
    quota = _read_quota(_QUOTA)
    if quota is not None:
        limits.append(quota)
    stated = os.environ.get(_LIMIT, "")
    if stated.isdecimal():
        limits.append(int(stated))
    return max(1, min(limits))


def _read_quota(path: Path) -> int | None:
    """The quota in whole processors, rounded up; None where there is none."""
    try:
        quota, period = path.read_text(encoding="ascii").split()
        return -(-int(quota) // int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return None
