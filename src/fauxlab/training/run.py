"""The run folder: recipe, environment, log, atomic checkpoints, and the check that a resumed run is
the same run.

Nothing random is stored: every draw of a step follows from the recipe's seed, the step and the
process, so a run that was killed repeats from its last checkpoint exactly what it would have done.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from filelock import FileLock, Timeout

from fauxlab.config import GanRecipe, R, Recipe, any_recipe, difference, parse_recipe
from fauxlab.environment import describe_environment
from fauxlab.errors import LabError
from fauxlab.io.text import replace_file

if TYPE_CHECKING:
    from fauxlab.models.pretrained import Detector, Generator

CHECKPOINT_SECONDS = 60.0
# Called after every logged step with (images seen, images in all, mean loss).
OnStep = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Run:
    """One training's folder."""

    folder: Path

    @property
    def recipe(self) -> Recipe | GanRecipe:
        """The recipe that the run was started with."""
        return any_recipe(self.folder / "config.toml")

    @property
    def environment(self) -> dict[str, Any]:
        """Machine, versions, command and data hash, as they were at the start."""
        path = self.folder / "environment.json"
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(data, dict):
                raise ValueError("no table")
        except (OSError, ValueError) as error:
            raise LabError(
                f"{path} cannot be read ({error}); start over in another folder"
            ) from None
        return data

    @property
    def model(self) -> Detector:
        """The detector in `best/`."""
        from fauxlab.models.pretrained import Detector

        return Detector.from_pretrained(self.folder / "best")

    @property
    def generator(self) -> Generator:
        """The generator in `best/`."""
        from fauxlab.models.pretrained import Generator

        return Generator.from_pretrained(self.folder / "best")

    @property
    def stopped_by_guard(self) -> bool:
        """Whether the collapse guard ended the training."""
        return any(
            line["event"] == "end" and line.get("reason") == "guard" for line in self.read_log()
        )

    @property
    def finished(self) -> bool:
        """Whether the training reached its end."""
        return any(line["event"] == "end" for line in self.read_log())

    def read_log(self) -> Iterator[dict[str, Any]]:
        """The lines of log.jsonl; a last line cut short by a kill is left out."""
        path = self.folder / "log.jsonl"
        if path.exists():
            try:
                for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
                    if line.endswith("\n"):
                        entry = json.loads(line)
                        if not isinstance(entry, dict) or "event" not in entry:
                            raise ValueError(f"no event in {line[:60].strip()!r}")
                        yield entry
            except ValueError as error:
                raise LabError(
                    f"{path} is damaged ({error}); restore it, or start over in another folder"
                ) from None

    def log(self, event: str, **values: Any) -> None:
        """Append one line to log.jsonl."""
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"event": event, **values}) + "\n")

    def save_checkpoint(self, state: dict[str, Any], name: str = "last.pt") -> None:
        """Replace the checkpoint at one stroke; the log's length goes with it."""
        log = self.folder / "log.jsonl"
        if log.exists():
            with log.open("rb") as stream:
                os.fsync(stream.fileno())
        folder = self.folder / "checkpoints"
        folder.mkdir(exist_ok=True)
        aside = folder / f"{name}.tmp"
        with aside.open("wb") as stream:
            ends = {
                "log_bytes": log.stat().st_size if log.exists() else 0,
                "processes": _processes(),
            }
            torch.save({**state, **ends}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(aside, folder / name)

    def load_checkpoint(
        self, name: str = "last.pt", to_resume: bool = False
    ) -> dict[str, Any] | None:
        """A checkpoint, or None where there is none yet. Raises LabError on one that is damaged or
        carries code.

        `to_resume`: also where another number of processes wrote it, whose draws nobody could
        continue.
        """
        path = self.folder / "checkpoints" / name
        if not path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            if not {"step", "log_bytes", "model", "optimizer"} <= state.keys():
                raise ValueError("it lacks parts")
            if not all(
                type(state[key]) is int and state[key] >= 0 for key in ("step", "log_bytes")
            ):
                raise ValueError("its counts are no whole numbers")
        except Exception as error:  # the unpickler raises whatever the bytes make it raise
            reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
            raise LabError(
                f"checkpoint {path} cannot be used ({reason}): damaged, or a pickle with code in it, which is never "
                f"run; delete {path.parent} to start over"
            ) from None
        count = state.get("processes", _processes())
        if to_resume and count != _processes():
            raise LabError(
                f"{self.folder} was trained by {count} processes and cannot go on with {_processes()}: "
                f"use torchrun --nproc-per-node {count}, or start over in another folder"
            )
        return state

    def rewind_log(self, length: int) -> None:
        """Cut log.jsonl back to its length at the checkpoint; what follows will be written again."""
        path = self.folder / "log.jsonl"
        held = path.stat().st_size if path.exists() else 0
        if held < length:
            raise LabError(
                f"{path} has lost lines since the checkpoint; restore it, or start over in another folder"
            )
        if held > length:
            os.truncate(path, length)


def start_accelerator(precision: str) -> Accelerator:
    """The engine of one training. A process may train at one precision and then at another."""
    # Otherwise a second precision in one process is refused; the processes' ties to each other are
    # kept.
    AcceleratorState._reset_state()
    return Accelerator(mixed_precision=precision, cpu=not torch.cuda.is_available())


def any_process(accelerator: Accelerator, flag: bool) -> bool:
    """Whether any process raises the flag; all get the same answer."""
    if accelerator.num_processes == 1:
        return flag
    return bool(accelerator.gather(torch.tensor([flag], device=accelerator.device)).any())


def open_run(folder: Path, recipe: R, data_hash: str, resume: bool) -> Run:
    """Create a run folder, or reopen one for the same recipe and data.

    Raises LabError when the folder is taken and `resume` is off, or when it was made with other
    parameters (the difference is shown).
    """
    run = Run(folder)
    if not (folder / "config.toml").exists():
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(
            folder / "environment.json",
            json.dumps(describe_environment(data_hash), indent=2) + "\n",
        )
        replace_file(folder / "config.toml", recipe.to_toml())
        return run
    if not resume:
        refuse_taken(folder)
    # Read as a recipe, so that a key which is newer than the run counts as its default.
    held = parse_recipe(
        _read_toml(folder / "config.toml"), str(folder / "config.toml"), type(recipe)
    )
    changes = difference(tomllib.loads(held.to_toml()), tomllib.loads(recipe.to_toml()))
    changes += difference({"data": run.environment.get("data_hash")}, {"data": data_hash})
    if changes:
        raise LabError(
            f"{folder} was started with other parameters, so it cannot be resumed: "
            + "; ".join(changes)
        )
    return run


def point_latest(out: Path, folder: Path) -> None:
    """`out/latest` leads to the run trained last; without links on the file system there is none."""
    aside = out / f".latest.{os.getpid()}"
    try:
        aside.symlink_to(folder.name, target_is_directory=True)
        os.replace(aside, out / "latest")
    except OSError:
        aside.unlink(missing_ok=True)


def refuse_taken(folder: Path) -> None:
    """Raise LabError where a run lies already."""
    if (folder / "config.toml").exists():
        raise LabError(
            f"{folder} holds a run already; continue it with --resume, or choose another --name or --out"
        )


@contextmanager
def train_alone(run: Run, is_main: bool) -> Iterator[None]:
    """Keep other processes than those of this training out of the run's folder; its main process
    holds the lock.

    Raises LabError where another training holds it: two would write into each other's log and
    checkpoints.
    """
    if not is_main:
        yield
        return
    lock = FileLock(run.folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise LabError(
            f"{run.folder} is being trained by another process; wait for it, or choose another --name"
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def fits_checkpoint(run: Run) -> Iterator[None]:
    """What torch makes of a checkpoint whose parts do not fit the network becomes one line."""
    try:
        yield
    except (RuntimeError, KeyError, TypeError, ValueError, AttributeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise LabError(
            f"the checkpoint in {run.folder} does not fit its config.toml ({reason}); "
            f"delete {run.folder / 'checkpoints'} to start over"
        ) from error


def seed_step(seed: int, step: int, rank: int) -> None:
    """Seed torch for one step of one process; the same three numbers always give the same draws."""
    torch.manual_seed(((seed * 1_000_003 + step) * 1_009 + rank) % 2**63)


def _processes() -> int:
    """How many train together, as torchrun says."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise LabError(f"{path} cannot be read: {error}") from error
