"""The command line. Each command parses, calls the library, and prints.

Data goes to stdout, all else to stderr. Exit codes: 0 done, 1 failed, 2 usage, 3 finding (with
--fail-on), 4 stopped by the collapse guard, 130 interrupted (trainings resume with --resume). Heavy
imports stand inside the commands, so that --help is instant.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from fauxlab.cli import data, detector, experiments, export, gan, models, recipes, scan
from fauxlab.cli.common import INTERRUPTED, is_main, say
from fauxlab.cli.interrupts import Interrupts, noted_interrupts
from fauxlab.errors import DISK_FULL, LabError
from fauxlab.version import __version__

# How an interrupted command goes on, by a word of the command. Others start anew.
SAME_COMMAND = "the same command goes on"
GOES_ON = {
    "train": "the same command with --resume goes on",
    "fetch": SAME_COMMAND,
    "reproduce": SAME_COMMAND,
    "demo": SAME_COMMAND,
}

app = typer.Typer(
    name="fauxlab",
    help="A laboratory for fake faces: train, evaluate and use detectors of generated face photos.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"fauxlab {__version__}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option(
        "--version", callback=_print_version, is_eager=True, help="print the version and leave"
    ),
]


@app.callback()
def _options(version: Version = False) -> None:
    """Options of `fauxlab` itself."""


@app.command()
def doctor() -> None:
    """Show versions, machine, and where the decoded images are kept."""
    import shutil

    from fauxlab.environment import describe_environment
    from fauxlab.privacy import cache_folder

    for key, value in describe_environment("").items():
        if key not in ("command", "data_hash", "started"):
            print(f"{key:<12}{value}")
    folder = cache_folder()
    files = [path for path in folder.rglob("*") if path.is_file()]
    used = sum(path.stat().st_size for path in files)
    free = shutil.disk_usage(_nearest_folder(folder)).free
    print(f"{'cache':<12}{folder} ({used / 2**30:.2f} GiB used, {free / 2**30:.0f} GiB free)")


def _nearest_folder(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(path for path in (folder, *folder.parents) if path.exists())


for command in (
    experiments.demo,
    experiments.reproduce,
    experiments.compare,
    scan.scan,
    export.export,
):
    app.command()(command)
app.add_typer(data.app, name="data")
app.add_typer(detector.app, name="detector")
app.add_typer(gan.app, name="gan")
app.add_typer(recipes.recipes_app, name="recipes")
app.add_typer(models.models_app, name="models")


def main() -> None:
    """Run the command line; every expected fault becomes one line on stderr and a non-zero exit."""
    _ready_streams()
    try:
        with noted_interrupts() as interrupts:
            _run(interrupts)
    except KeyboardInterrupt:  # after the command itself, where typer catches it
        _say_interrupted()
        sys.exit(INTERRUPTED)


def _run(interrupts: Interrupts) -> None:
    try:
        try:
            app(standalone_mode=True)
        finally:
            _empty_stdout()
    except SystemExit as stop:
        if stop.code == INTERRUPTED:  # typer's exit code for Ctrl-C
            _say_interrupted()
        raise
    except BrokenPipeError:  # the reader of our output has left, as in `| head`
        sys.exit(1)
    except Exception as error:
        # Ctrl-C during an import becomes whatever the imported package makes of it.
        if interrupts.came:
            _say_interrupted()
            sys.exit(INTERRUPTED)
        fault = _describe_fault(error)
        if fault is None:
            raise
        from fauxlab.io.text import printable

        say(f"error: {printable(fault)}")
        sys.exit(1)
    finally:
        _leave_processes()


def _empty_stdout() -> None:
    """Write out what stdout still holds. Raises LabError where its disk is full."""
    try:
        sys.stdout.flush()
    except OSError as error:
        # Python writes it out at its end, too, and would complain once more.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise
        raise LabError(
            f"cannot write to stdout: {error.strerror or error}; make room where it leads, or "
            "send it to another disk"
        ) from error


def _describe_fault(error: Exception) -> str | None:
    """One line for a fault that users meet; None for one of our own, which needs a traceback."""
    if isinstance(error, LabError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        missing = error.name or ""
        if missing.startswith("fauxlab"):
            return None
        extra = "export" if missing == "onnx" else "train"
        return f"this needs the package {error.name}; pip install 'fauxlab[{extra}]'"
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        reason = error.strerror or error
        advice = "check that it exists and may be read and written"
        if error.errno in DISK_FULL:
            advice = "make room there"
            if not error.filename:  # of a stream that was open already
                advice = "make room where it writes, and where stdout leads"
        return f"{place}{reason}; {advice}"
    return None


def _say_interrupted() -> None:
    if not is_main():
        return
    words = [word for word in sys.argv[1:3] if word in GOES_ON]
    say("; ".join(["interrupted", *(GOES_ON[word] for word in words)]))


def _ready_streams() -> None:
    """Let stdout and stderr take any text, even if they are closed or of a narrow encoding."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, nowhere)
    for stream, errors in ((sys.stdout, "strict"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors=errors)


def _leave_processes() -> None:
    """Leave the other processes under torchrun; one that only exits can abort at its very end."""
    # Under torchrun alone, because a torch whose import Ctrl-C cut short fails when it is imported
    # again.
    if "RANK" not in os.environ or "torch.distributed" not in sys.modules:
        return
    import torch.distributed

    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return
    torch.distributed.destroy_process_group()
    stop = sys.exc_info()[1]
    if isinstance(stop, SystemExit):
        # Now and then a process that took part aborts while the interpreter shuts down (torch 2.13,
        # gloo), and torchrun then calls a finished training failed. Nothing is left to shut down,
        # so leave at once.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_exit_code(stop))


def _exit_code(stop: SystemExit) -> int:
    """The number that Python makes of an exit: 0 of None, 1 of a message."""
    if isinstance(stop.code, int):
        return stop.code
    return 0 if stop.code is None else 1
