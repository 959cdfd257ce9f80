"""What both trainers share from the first line to the last: engine, clock, run folder and lock."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from filelock import FileLock, Timeout

from fauxlab.config import GanRecipe, Recipe
from fauxlab.data.cache import ImageArray
from fauxlab.errors import LabError
from fauxlab.io.files import scratch_folder
from fauxlab.io.text import write_fault
from fauxlab.training.distributed import any_process, start_accelerator
from fauxlab.training.opening import open_run, refuse_taken
from fauxlab.training.precision import choose_precision
from fauxlab.training.run import Run

CHECKPOINT_SECONDS = 60.0
# Called after every logged step with (images seen, images in all, mean loss).
OnStep = Callable[[int, int, float], None]
# Called with one line of text: on evaluations, alarms, and what takes long.
OnEvent = Callable[[str], None]


@dataclass
class Session:
    """One call of a trainer, on one of its processes."""

    accelerator: Accelerator
    recipe: Recipe | GanRecipe
    folder: Path
    resume: bool
    budget: float  # seconds that the call may take; infinite without --max-minutes
    deadline: float  # of time.monotonic()
    saved: float  # when the last checkpoint was written
    held: ExitStack  # the lock on the run folder

    @property
    def is_main(self) -> bool:
        """Whether this is the first process: the only one that writes and talks."""
        return bool(self.accelerator.is_main_process)

    def open_run(self, images: ImageArray) -> Run:
        """The run on these images, new or to be resumed, and locked unless it is finished."""
        with self.accelerator.main_process_first():
            precision = str(self.accelerator.mixed_precision)
            data_hash = images.manifest.data_hash
            run = open_run(self.folder, self.recipe, data_hash, self.resume, precision)
        if self.is_main and not run.finished:
            self.held.enter_context(train_alone(run))
        return run

    def affords(self, evaluation: float) -> bool:
        """Whether an evaluation of so many seconds leaves at least half of the time to training."""
        return 2 * evaluation <= self.budget

    def out_of_time(self, evaluation: float = 0.0) -> bool:
        """Whether the time is over on any process, with the same answer on all.

        `evaluation` is about how many seconds the last evaluation of this call will take. They are
        kept for it where the time is long enough.
        """
        reserve = evaluation if self.affords(evaluation) else 0.0
        return any_process(self.accelerator, time.monotonic() + reserve > self.deadline)

    def checkpoint_due(self) -> bool:
        """Whether the last checkpoint is old enough for another one."""
        return time.monotonic() - self.saved > CHECKPOINT_SECONDS

    def save_checkpoint(self, run: Run, state: dict[str, Any]) -> None:
        """Replace the run's checkpoint, and note when."""
        run.save_checkpoint(state)
        self.saved = time.monotonic()


@contextmanager
def session(
    recipe: Recipe | GanRecipe,
    folder: Path,
    resume: bool,
    max_minutes: float | None,
) -> Iterator[Session]:
    """One training in `folder`; afterwards `latest` beside it leads there.

    Raises LabError where the folder holds a run and `resume` is off.
    """
    start = time.monotonic()
    budget = math.inf if max_minutes is None else 60 * max_minutes
    accelerator = start_accelerator(choose_precision(recipe.train.precision))
    # Only the first process asks whether the folder is taken: it may have begun the run before the
    # others look.
    resume = resume or not accelerator.is_main_process
    if not resume:
        refuse_taken(folder)
    with ExitStack() as held:
        yield Session(accelerator, recipe, folder, resume, budget, start + budget, start, held)
    if accelerator.is_main_process:
        point_latest(folder)
    accelerator.wait_for_everyone()


@contextmanager
def train_alone(run: Run) -> Iterator[None]:
    """Lock the run folder: two trainings would write into each other's log and checkpoints.

    Raises LabError where another training holds the lock, or the folder cannot be written.
    """
    lock = FileLock(run.folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise LabError(
            f"{run.folder} is being trained by another process; "
            "wait for it, or choose another --name"
        ) from None
    except OSError as error:
        raise write_fault(run.folder / "lock", error) from error
    try:
        yield
    finally:
        lock.release()


def point_latest(folder: Path) -> None:
    """Let `latest` beside the run folder lead to it; file systems without links go without."""
    latest = folder.with_name("latest")
    with suppress(OSError), scratch_folder(latest) as aside:
        link = aside / latest.name
        link.symlink_to(folder.name, target_is_directory=True)
        os.replace(link, latest)
