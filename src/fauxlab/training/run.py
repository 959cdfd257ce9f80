"""The run folder of a training: recipe, environment, log and checkpoints.

No state of a random generator is stored. Every draw of a step follows from the recipe's seed, the
step and the process, so a killed run repeats from its last checkpoint exactly what it would have
done.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fauxlab.bundle.folder import read_any_config
from fauxlab.config import GanRecipe, Recipe, any_recipe
from fauxlab.data.manifest import SKIPPED_COLUMNS
from fauxlab.data.tables import read_table
from fauxlab.errors import LabError
from fauxlab.io.files import file_aside
from fauxlab.io.reading import open_regular, parse_json, read_text
from fauxlab.io.text import csv_line, describe_error, replace_file

if TYPE_CHECKING:
    from fauxlab.models.pretrained import Detector, Generator

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
