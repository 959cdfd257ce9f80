"""Sessions of onnxruntime, which run a network on the processors that this process may use."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fauxlab.processors import usable_processors

if TYPE_CHECKING:
    import onnxruntime

# A user's own limit for libraries that compute, which onnxruntime itself does not read.
_LIMIT = "OMP_NUM_THREADS"


def make_session(
    model: bytes | str,
    threads: int | None = None,
    *,
    constants: Mapping[str, onnxruntime.OrtValue] | None = None,
    exact: bool = False,
) -> onnxruntime.InferenceSession:
    """A session on the CPU for a network in ONNX, given by its bytes or its path.

    It computes in so many `threads`, by default `thread_count()`. `constants` take the place of the
    network's constants of these names; whether these exist is not checked. The session reads them
    where they lie, so they must live as long as it does. With `exact`, products of 8-bit integers
    are summed without loss on processors that would cut them off, at half the speed. Raises
    onnxruntime's own errors where the network cannot be run.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Faults are raised; onnxruntime's own lines would stand between ours.
    options.log_severity_level = 4
    # With a stated number, onnxruntime binds no thread to a core. In a container that may use a
    # part of the cores only, binding fails, and each thread prints an error.
    options.intra_op_num_threads = threads or thread_count()
    # Threads that wait busily would take the cores from those that decode the next pictures.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Its second format can hold compiled parts, which `fauxlab.bundle.graph` cannot check.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    if exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
    for name, value in (constants or {}).items():
        options.add_initializer(name, value)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def thread_count() -> int:
    """The processors that this process may use, and no more than OMP_NUM_THREADS."""
    stated = os.environ.get(_LIMIT, "")
    processors = usable_processors()
    return max(1, min(processors, int(stated))) if stated.isdecimal() else processors
