"""A trial of somebody else's model, in a process of its own that has limits of memory and time.

onnxruntime sets no limits, and computes what is constant in a graph while it loads it. So before
this process loads the graph, another one does, and runs it on a grey picture and on as many as are
ever predicted at once. `fauxlab.bundle.graph` has seen to it that other pictures take no more.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from fauxlab.bundle.graph import RefusedError
from fauxlab.io.interpreter import find_interpreter, import_path

# Pixels that are predicted at once: 10 pictures of 160 pixels, 5 of 224, 1 from 512 on.
MOST_PIXELS = 2**18
# Memory beyond that of an empty process, in bytes: at least, for each pixel, and for each byte of
# the file, which onnxruntime copies while it optimises. A layer of 64 channels in full resolution
# takes 256 bytes a pixel.
MEMORY = 2**28
MEMORY_A_PIXEL = 2**10
MEMORY_A_BYTE = 4
# Seconds of a processor: for the file, and at least for MOST_PIXELS. Inception-v3 takes one, and a
# vision transformer about 10 for a file of 300 MB.
SECONDS = 2.0
SECONDS_A_GIBIBYTE = 60.0
# The clock is a last resort: processors may be shared with others.
CLOCK = 4
CLOCK_START = 20.0

TOO_LARGE = "too large"  # the process's answer where memory ran out

# The process gets this one's import path, and neither the present folder nor files of the user.
_START = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from fauxlab.bundle import trial"
_CODE = f"{_START}; trial.main(sys.argv[2])"


@dataclass(frozen=True)
class Budget:
    """What a trial may take: bytes of memory and seconds of a processor, for so many pictures.

    `size` is the side of a picture in pixels.
    """

    pictures: int
    size: int
    memory: int
    seconds: float


def pictures_at_once(size: int) -> int:
    """How many pictures of this side are predicted at once."""
    return max(1, MOST_PIXELS // size**2)


def budget_of(length: int, size: int) -> Budget:
    """The budget for a graph of so many bytes that takes pictures of this side."""
    pictures = pictures_at_once(size)
    pixels = max(pictures * size**2, MOST_PIXELS)
    memory = MEMORY + MEMORY_A_PIXEL * pixels + MEMORY_A_BYTE * length
    seconds = SECONDS * pixels / MOST_PIXELS + SECONDS_A_GIBIBYTE * length / 2**30
    return Budget(pictures, size, memory, seconds)


def try_graph(content: bytes, size: int) -> None:
    """Raise RefusedError where a graph takes too much memory or time.

    Raises ValueError where onnxruntime cannot load or run it. A graph that takes other pictures
    than the config says is only loaded.
    """
    if sys.platform != "linux":
        raise RefusedError("a trial of it needs Linux")
    budget = budget_of(len(content), size)
    arguments = [json.dumps(import_path()), json.dumps(asdict(budget))]
    # Isolated from the user's settings, and without leaving compiled files behind.
    options = ["-I", "-B", "-c", _CODE, *arguments]
    try:
        ended = subprocess.run(
            [find_interpreter(), *options],
            input=content,
            capture_output=True,
            timeout=CLOCK * budget.seconds + CLOCK_START,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RefusedError(_too_slow(budget)) from None
    except OSError as error:
        raise RefusedError(f"no process for a trial: {error.strerror or error}") from None
    answer = _read_answer(ended.stdout)
    if answer is None:
        raise RefusedError(_describe_end(ended, budget))
    if answer == TOO_LARGE:
        raise RefusedError(_too_large(budget))
    if answer:
        raise ValueError(answer)


def main(budget: str) -> None:
    """What the process does: run the graph on its standard input, and print what is wrong."""
    content = sys.stdin.buffer.read()
    problem = _run(content, Budget(**json.loads(budget)))
    print(json.dumps(problem))


def _run(content: bytes, budget: Budget) -> str:
    """What is wrong with a graph: TOO_LARGE, onnxruntime's own words, or nothing."""
    import numpy as np
    import onnxruntime  # noqa: F401  # its own memory does not count

    from fauxlab.bundle.sessions import make_session

    _limit_process(budget)
    try:
        session = make_session(content)
        inputs = session.get_inputs()
        shapes = [item.shape for item in inputs]
        sides = [budget.size, budget.size]
        if len(shapes) != 1 or shapes[0][1:] != [3, *sides] or isinstance(shapes[0][0], int):
            return ""
        for count in sorted({1, budget.pictures}):
            grey = np.zeros((count, 3, budget.size, budget.size), dtype=np.float32)
            session.run(None, {inputs[0].name: grey})
    except MemoryError:
        return TOO_LARGE
    except Exception as error:  # onnxruntime's own errors have no narrower base
        text = str(error)
        return TOO_LARGE if "alloc" in text else text or type(error).__name__
    return ""


def _limit_process(budget: Budget) -> None:
    """Let this process take so much more memory and time than it has taken so far."""
    import resource  # only Unix has it

    _lower(resource.RLIMIT_DATA, _data_bytes() + budget.memory)
    _lower(resource.RLIMIT_CORE, 0)
    # At its end this timer of processor time ends the process, whatever its threads do.
    signal.setitimer(signal.ITIMER_PROF, budget.seconds)


def _lower(kind: int, limit: int) -> None:
    import resource

    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(kind, (limit, limit))


def _data_bytes() -> int:
    """Bytes of this process's data, as Linux counts them for its limit."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(pages[5]) * os.sysconf("SC_PAGE_SIZE")


def _read_answer(output: bytes) -> str | None:
    """What the process found wrong, if anything; None where it ended without an answer."""
    lines = output.decode("utf-8", "replace").splitlines()
    try:
        return str(json.loads(lines[-1]))
    except (IndexError, ValueError):
        return None


def _describe_end(ended: subprocess.CompletedProcess[bytes], budget: Budget) -> str:
    """Why a process ended without an answer."""
    code = ended.returncode
    if -code in (signal.SIGPROF, signal.SIGKILL):
        return _too_slow(budget)
    lines = ended.stderr.decode("utf-8", "replace").splitlines() or [f"exit code {code}"]
    return f"its trial ended without an answer: {lines[-1]}"


def _too_large(budget: Budget) -> str:
    return f"it takes more than {budget.memory / 2**20:,.0f} MiB for {_pictures(budget)}"


def _too_slow(budget: Budget) -> str:
    return f"it takes more than {budget.seconds:.0f} seconds for {_pictures(budget)}"


def _pictures(budget: Budget) -> str:
    noun = "picture" if budget.pictures == 1 else "pictures"
    return f"{budget.pictures} {noun} of {budget.size} pixels"
