"""The run folder of a training: recipe, environment, log, checkpoints, and the check on resuming.

No state of a random generator is stored. Every draw of a step follows from the recipe's seed, the
step and the process, so a killed run repeats from its last checkpoint exactly what it would have
done.
"""

from __future__ import annotations

import json
import logging
import os
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fauxlab.bundle.folder import read_any_config
from fauxlab.config import (
    GanRecipe,
    Recipe,
    any_recipe,
    check_run_name,
    difference,
    parse_recipe,
)
from fauxlab.data.manifest import SKIPPED_COLUMNS
from fauxlab.data.tables import read_table
from fauxlab.environment import describe_environment
from fauxlab.errors import LabError
from fauxlab.io.files import file_aside
from fauxlab.io.reading import open_regular, parse_json, parse_toml, read_text
from fauxlab.io.text import csv_line, describe_error, replace_file, write_fault
from fauxlab.version import __version__

if TYPE_CHECKING:
    from fauxlab.models.pretrained import Detector, Generator

_logger = logging.getLogger(__name__)

CHECKPOINT_PARTS = {"step", "log_bytes", "model", "optimizer"}
MOST_LOG = 2**30  # bytes of log.jsonl
FIRST_SKIPPED = 5  # pictures that the log names; skipped.csv has all of them


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
            data = parse_json(read_text(path))
            if not isinstance(data, dict):
                raise ValueError("no table")
        except (LabError, ValueError) as error:
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
    def best_images(self) -> int | None:
        """The images that the model in `best/` was trained on; None where there is no model."""
        best = self.folder / "best"
        if not best.is_dir():
            return None
        images = read_any_config(best).training.get("images")
        return images if isinstance(images, int) else None

    @property
    def stopped_by_guard(self) -> bool:
        """Whether the collapse guard ended the training."""
        return any(line.get("reason") == "guard" for line in self._ends())

    @property
    def finished(self) -> bool:
        """Whether the training reached its end."""
        return any(True for _ in self._ends())

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """Pictures of the manifest that could not be decoded: paths and reasons."""
        path = self.folder / "skipped.csv"
        if not path.exists():
            return []
        return [(row["path"], row["reason"]) for row in read_table(path, SKIPPED_COLUMNS)]

    def read_log(self) -> Iterator[dict[str, Any]]:
        """The lines of log.jsonl; a last line cut short by a kill is left out."""
        path = self.folder / "log.jsonl"
        if not path.exists():
            return
        try:
            for line in read_text(path, MOST_LOG).splitlines(keepends=True):
                if line.endswith("\n"):
                    yield _read_event(line)
        except ValueError as error:
            raise LabError(
                f"{path} is damaged ({error}); restore it, or start over in another folder"
            ) from None

    def log(self, event: str, **values: Any) -> None:
        """Append one line to log.jsonl."""
        line = json.dumps({"event": event, **values})
        path = self.folder / "log.jsonl"
        try:
            with path.open("a", encoding="utf-8") as stream:
                stream.write(line + "\n")
        except OSError as error:
            raise LabError(
                f"cannot write {path}: {error.strerror or error}; make room, and continue with "
                "--resume"
            ) from error

    def rewind_log(self, length: int) -> None:
        """Cut log.jsonl back to its length at the checkpoint; the rest will be written again."""
        path = self.folder / "log.jsonl"
        present = path.stat().st_size if path.exists() else 0
        if present < length:
            raise LabError(
                f"{path} has lost lines since the checkpoint; "
                "restore it, or start over in another folder"
            )
        if present > length:
            os.truncate(path, length)

    def log_skipped(self, skipped: Sequence[tuple[str, str]]) -> None:
        """Keep the pictures that could not be decoded: all in skipped.csv, the first in the log."""
        if not skipped:
            return
        lines = [csv_line(("path", "reason"))]
        for picture in skipped:
            lines.append(csv_line(picture))
        replace_file(self.folder / "skipped.csv", "".join(lines))
        first = []
        for path, reason in skipped[:FIRST_SKIPPED]:
            first.append({"path": path, "reason": reason})
        self.log("skipped", count=len(skipped), first=first)

    def save_checkpoint(self, state: dict[str, Any], name: str = "last.pt") -> None:
        """Replace the checkpoint in one move; the log's length is stored with it."""
        log = self.folder / "log.jsonl"
        log_bytes = 0
        if log.exists():
            # The log must be on disk before a checkpoint that counts on its length.
            with log.open("rb") as stream:
                os.fsync(stream.fileno())
            log_bytes = log.stat().st_size
        folder = self.folder / "checkpoints"
        saved = {**state, "log_bytes": log_bytes, "processes": _processes()}
        path = folder / name
        try:
            folder.mkdir(exist_ok=True)
            (folder / f"{name}.tmp").unlink(missing_ok=True)  # left by a killed run of version 0.2
            with file_aside(path) as stream:
                torch.save(saved, stream)
        except (OSError, RuntimeError) as error:  # torch raises RuntimeError on a full disk
            reason = describe_error(error)
            raise LabError(
                f"cannot write the checkpoint {path} ({reason}); the one before it is "
                "intact: make room, and continue with --resume"
            ) from error

    def load_checkpoint(
        self, name: str = "last.pt", to_resume: bool = False
    ) -> dict[str, Any] | None:
        """A checkpoint, or None where there is none yet.

        With `to_resume`, one written by another number of processes is refused: their draws cannot
        be continued. Raises LabError on this, and on a file that is damaged or carries code.
        """
        path = self.folder / "checkpoints" / name
        if not path.exists():
            return None
        try:
            with open_regular(path) as stream:
                state: dict[str, Any] = torch.load(stream, map_location="cpu", weights_only=True)
            _check_parts(state)
        except LabError:
            raise
        except Exception as error:  # the unpickler raises whatever the bytes make it raise
            reason = describe_error(error)[:120]
            raise LabError(
                f"checkpoint {path} cannot be used ({reason}): damaged, or a pickle with code in "
                f"it, which is never run; delete {path.parent} to start over"
            ) from None
        count = state.get("processes", _processes())
        if to_resume and count != _processes():
            raise LabError(
                f"{self.folder} was trained by {count} processes and cannot go on with "
                f"{_processes()}: use torchrun --nproc-per-node {count}, or start over in another "
                "folder"
            )
        return state

    def _ends(self) -> Iterator[dict[str, Any]]:
        return (line for line in self.read_log() if line["event"] == "end")


def run_folder(out: str | Path, name: str) -> Path:
    """Where a run of this name lies. Raises LabError on a name that is no plain folder name."""
    return Path(out) / check_run_name(name)


def refuse_taken(folder: Path) -> None:
    """Raise LabError where the folder holds a run already."""
    if (folder / "config.toml").exists():
        raise LabError(
            f"{folder} holds a run already; continue it with --resume, "
            "or choose another --name or --out"
        )


def open_run(
    folder: Path,
    recipe: Recipe | GanRecipe,
    data_hash: str,
    resume: bool,
    precision: str | None = None,
) -> Run:
    """Create a run folder, or reopen one for the same recipe and data.

    `precision` is the one that the training computes in. Raises LabError when the folder is taken
    and `resume` is off, or when the run was started with other parameters (the difference is
    shown).
    """
    run = Run(folder)
    config = folder / "config.toml"
    if not config.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_fault(folder, error) from error
        environment = describe_environment(data_hash)
        if precision:
            environment["precision"] = precision
        text = json.dumps(environment, indent=2)
        replace_file(folder / "environment.json", text + "\n")
        replace_file(config, recipe.to_toml())
        return run
    if not resume:
        refuse_taken(folder)

    # Parsed as a recipe, so that a key which is newer than the run counts as its default.
    kind: Any = type(recipe)
    started = parse_recipe(_read_toml(config), str(config), kind)
    before = tomllib.loads(started.to_toml())
    now = tomllib.loads(recipe.to_toml())
    changes = difference(before, now)
    hash_before = run.environment.get("data_hash")
    changes += difference({"data": hash_before}, {"data": data_hash})
    if changes:
        raise LabError(
            f"{folder} was started with other parameters, so it cannot be resumed: "
            + "; ".join(changes)
        )
    _check_precision(run, precision)
    _warn_of_another_version(run)
    return run


def _check_precision(run: Run, precision: str | None) -> None:
    """Raise LabError where an unfinished run would go on in another precision."""
    # Runs of before version 0.4 name none: it was the recipe's.
    before = run.environment.get("precision")
    if before is None or precision is None or before == precision or run.finished:
        return
    raise LabError(
        f"{run.folder} was trained in precision {before!r}, this machine trains in {precision!r}: "
        "continue it on a machine like the first, or start over with "
        f"--set train.precision={precision}"
    )


def _warn_of_another_version(run: Run) -> None:
    """Say that another version began the run: its training may not be this version's."""
    begun_with = run.environment.get("fauxlab")
    if not run.finished and begun_with != __version__:
        _logger.warning(
            "%s was begun with fauxlab %s and goes on with %s. Where training changed in between "
            "(see the changelog), the result is that of neither version.",
            run.folder,
            begun_with,
            __version__,
        )


@contextmanager
def fits_checkpoint(run: Run) -> Iterator[None]:
    """Turn what torch raises on a checkpoint of another network into one line."""
    try:
        yield
    except (RuntimeError, KeyError, TypeError, ValueError, AttributeError) as error:
        reason = describe_error(error)
        raise LabError(
            f"the checkpoint in {run.folder} does not fit its config.toml ({reason}); "
            f"delete {run.folder / 'checkpoints'} to start over"
        ) from error


@contextmanager
def fits_log(run: Run) -> Iterator[None]:
    """Turn what is raised on lines of log.jsonl that lack values, or hold others, into one line."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LabError(
            f"{run.folder / 'log.jsonl'} is damaged: a line of it lacks a value or holds another "
            f"({type(error).__name__}: {describe_error(error)}); restore it, or start over in "
            "another folder"
        ) from error


def _read_event(line: str) -> dict[str, Any]:
    entry = parse_json(line)
    if not isinstance(entry, dict) or not isinstance(entry.get("event"), str):
        raise ValueError(f"no event in {line[:60].strip()!r}")
    return entry


def _check_parts(state: dict[str, Any]) -> None:
    """Raise ValueError where a checkpoint lacks what every training's holds."""
    if not state.keys() >= CHECKPOINT_PARTS:
        raise ValueError("it lacks parts")
    for key in ("step", "log_bytes"):
        if type(state[key]) is not int or state[key] < 0:
            raise ValueError("its counts are no whole numbers")


def _processes() -> int:
    """How many processes train together, as torchrun says."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return parse_toml(read_text(path))
    except ValueError as error:
        raise LabError(f"{path} cannot be read: {error}") from error
