"""Trainings in processes of their own, which can be killed or trained together.

A Python that imports torch takes seconds to start. So one process imports it once and is forked for
every training (the start method "forkserver" of `multiprocessing`).
"""

from __future__ import annotations

import multiprocessing
import os
import socket
from multiprocessing.context import ForkServerProcess

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "accelerate",
        "fauxlab.training.detector.loop",
        "fauxlab.training.gan.loop",
        "torch.distributed.run",
    ]
)
# A fork has the environment of the process that it comes from, not that of the test.
PREPARE = """
import os, sys
os.environ.clear()
os.environ.update(environment)
sys.argv = ["-c", *arguments]
"""


def start_process(script: str, arguments: list[str], **environment: str) -> ForkServerProcess:
    """Begin what `python -c script arguments` does, with additions to the environment."""
    names = {
        "__name__": "__main__",
        "arguments": arguments,
        "environment": {**os.environ, **environment},
    }
    process = CONTEXT.Process(target=exec, args=(PREPARE + script, names), daemon=True)
    process.start()
    return process


def wait(process: ForkServerProcess) -> int:
    """The exit code, or minus the signal that ended the process."""
    process.join(timeout=300)
    assert process.exitcode is not None, "the process has not ended in five minutes"
    return process.exitcode


def run_together(count: int, script: str, arguments: list[str]) -> list[int]:
    """Run a script in `count` processes that know of each other, as torchrun does; exit codes."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    processes = []
    for rank in range(count):
        environment = {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(count),
            "LOCAL_WORLD_SIZE": str(count),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
        processes.append(start_process(script, arguments, **environment))
    return [wait(process) for process in processes]
