"""The command line. Each command parses, calls the library, and prints: data to stdout, all else to
stderr.

Exit codes: 0 done, 1 failed, 2 usage, 3 finding (with --fail-on), 4 stopped by the collapse guard,
130 interrupted (trainings resume with --resume). Heavy imports stand inside the commands, so that
--help is instant.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import threading

import typer

from fauxlab.cli import data, detector, experiments, export, gan, lists, scan
from fauxlab.cli.common import INTERRUPTED, say
from fauxlab.errors import LabError

# How what was interrupted goes on, by a word of the command; others start over.
GOES_ON = {"train": "the same command with --resume goes on"} | dict.fromkeys(
    ("fetch", "reproduce", "demo"), "the same command goes on"
)

app = typer.Typer(
    name="fauxlab",
    help="A laboratory for fake faces: train, judge and use detectors of generated face photos.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.command()
def doctor() -> None:
    """Show versions, machine, and where the decoded images are kept."""
    import shutil

    from fauxlab.data.cache import cache_folder
    from fauxlab.environment import describe_environment

    for key, value in describe_environment("").items():
        if key not in ("command", "data_hash", "started"):
            print(f"{key:<12}{value}")
    folder = cache_folder()
    stored = (
        sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) if folder.exists() else 0
    )
    free = shutil.disk_usage(next(p for p in (folder, *folder.parents) if p.exists())).free
    print(f"{'cache':<12}{folder} ({stored / 2**30:.2f} GiB used, {free / 2**30:.0f} GiB free)")


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
app.add_typer(lists.recipes_app, name="recipes")
app.add_typer(lists.models_app, name="models")


def main() -> None:
    """Run the command line; every expected fault becomes one line on stderr and a non-zero exit."""
    _ready_streams()
    interrupted = _note_interrupts()
    try:
        app(standalone_mode=True)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:  # what typer makes of Ctrl-C
            say(_interrupted())
        raise
    except BrokenPipeError:  # the reader of our output has left, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("fauxlab"):
            raise
        extra = "export" if error.name == "onnx" else "train"
        say(f"error: this needs the package {error.name}; pip install 'fauxlab[{extra}]'")
        sys.exit(1)
    except Exception as error:
        # Ctrl-C while a package was importing comes out as whatever that package makes of it
        if interrupted.is_set():
            say(_interrupted())
            sys.exit(INTERRUPTED)
        if isinstance(error, OSError):
            place = f"{error.filename}: " if error.filename else ""
            say(
                f"error: {place}{error.strerror or error}; check that it exists and may be read and written"
            )
        elif isinstance(error, LabError):
            say(f"error: {error}")
        else:
            raise
        sys.exit(1)
    finally:
        _leave_processes()


def _interrupted() -> str:
    how = next((GOES_ON[word] for word in sys.argv[1:3] if word in GOES_ON), "")
    return f"interrupted; {how}" if how else "interrupted"


def _ready_streams() -> None:
    """Streams that take any text: a closed one, or one of a narrow encoding, is no reason to fail."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    for stream, errors in ((sys.stdout, "strict"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors=errors)


def _note_interrupts() -> threading.Event:
    """An event that is set once Ctrl-C was pressed; it still raises KeyboardInterrupt as before."""
    event = threading.Event()

    def note(_number: int, _frame: object) -> None:
        event.set()
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, note)
    return event


def _leave_processes() -> None:
    """Take leave of the other processes under torchrun: one that just exits can abort in its last
    moment.
    """
    # Only where torchrun started this: a torch whose import Ctrl-C cut short fails when it is
    # imported again.
    if "RANK" in os.environ and "torch.distributed" in sys.modules:
        import torch.distributed

        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
            stop = sys.exc_info()[1]
            if isinstance(stop, SystemExit):
                # Now and then a process that took part aborts while the interpreter takes itself
                # down (torch 2.13, gloo), and torchrun then calls a finished training failed: there
                # is nothing left to take down.
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(stop.code if isinstance(stop.code, int) else int(stop.code is not None))
