"""A teacher: a detector whose answers to the clean pictures the student learns on changed ones.

After Hinton et al. ("Distilling the Knowledge in a Neural Network", 2015). A teacher may be slow,
so it is asked about each training picture once, before the first step. What the training needs of
its answers is kept in the run folder, so that a resumed run learns the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from fauxlab.bundle.detector import AnyDetector
from fauxlab.bundle.opening import open_detector
from fauxlab.config import Recipe
from fauxlab.data.manifest import Manifest
from fauxlab.errors import LabError
from fauxlab.io.text import describe_error, printable, replace_file
from fauxlab.training.detector.losses import Taught
from fauxlab.training.detector.schedule import Rows, Schedule
from fauxlab.training.detector.teacher_store import ask_teacher

FILE = "teacher.safetensors"
COMPONENTS = 128  # of the teacher's features
PASSES = 4  # of the search for the components


@dataclass(frozen=True)
class TeacherAnswers:
    """What a training needs of a teacher's answers to the N pictures of its manifest."""

    is_known: Tensor  # bool [N]; false of pictures that are not trained on
    chances: Tensor  # float [N, heads], between 0 and 1
    features: Tensor  # float [N, components], or [N, 0]

    @property
    def components(self) -> int:
        """How many numbers the student predicts of the teacher's features."""
        return self.features.shape[1]

    def of(self, rows: Rows, is_unchanged: Tensor, device: torch.device) -> Taught:
        """The answers to these rows; where a pseudo-fake took the place of one, there is none."""
        is_known = self.is_known[rows] & is_unchanged
        return Taught(
            is_known.float().to(device),
            self.chances[rows].to(device),
            self.features[rows].to(device),
        )


def open_teacher(recipe: Recipe) -> AnyDetector:
    """The recipe's teacher. Raises LabError where it has not the heads that are trained."""
    name = recipe.train.teacher
    if not recipe.model.heads:
        raise LabError('train.teacher needs model.heads = ["made", "altered"]')
    teacher = open_detector(name)
    present = [head.manipulation for head in teacher.config.heads]
    missing = [head for head in recipe.model.heads if head not in present]
    if missing:
        raise LabError(
            f"teacher {printable(name)} has no head {', '.join(missing)}; choose a detector with "
            "both heads, or leave out train.teacher"
        )
    return teacher


def ask_about_training(
    manifest: Manifest,
    schedule: Schedule,
    recipe: Recipe,
    progress: Callable[[int], None] | None = None,
) -> TeacherAnswers:
    """The teacher's answers to all pictures that are trained on; see `ask_teacher`."""
    teacher = open_teacher(recipe)
    rows = training_rows(schedule)
    trained = replace(manifest, rows=tuple(manifest.rows[i] for i in rows))
    stored = ask_teacher(teacher, trained, progress)
    columns = _columns(teacher, recipe)
    logits = torch.from_numpy(stored.logits[:, columns])
    known = rows[stored.is_known]
    count = len(manifest)
    is_known = torch.zeros(count, dtype=torch.bool)
    is_known[known] = True
    chances = torch.zeros(count, len(columns))
    chances[rows] = torch.sigmoid(logits / recipe.train.teacher_temperature)
    features = torch.zeros(count, 0)
    if recipe.train.teacher_features:
        components = _reduce(stored.features[stored.is_known], recipe)
        features = torch.zeros(count, components.shape[1])
        features[known] = components
    return TeacherAnswers(is_known, chances, features)


def training_rows(schedule: Schedule) -> Rows:
    """The rows that any stage trains on, each once."""
    parts = []
    for stage in schedule.stages:
        parts += [stage.reals, stage.fakes]
    return np.unique(np.concatenate(parts))


def keep_answers(folder: Path, answers: TeacherAnswers) -> None:
    """Write the answers into a run folder."""
    tensors = {
        "is_known": answers.is_known,
        "chances": answers.chances,
        "features": answers.features,
    }
    replace_file(folder / FILE, save(tensors))


def read_answers(folder: Path, count: int) -> TeacherAnswers | None:
    """The answers that a run folder holds to `count` pictures; None where there are none yet.

    Raises LabError where the file is damaged.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        tensors = load_file(path)
        answers = TeacherAnswers(tensors["is_known"], tensors["chances"], tensors["features"])
        if any(len(tensor) != count for tensor in tensors.values()):
            raise ValueError(f"not of {count} pictures")
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise LabError(
            f"{printable(path)} is damaged ({describe_error(error)}); restore it, or start over in "
            "another folder"
        ) from None
    return answers


def _columns(teacher: AnyDetector, recipe: Recipe) -> list[int]:
    """Where the teacher has the heads that are trained."""
    present = [head.manipulation for head in teacher.config.heads]
    return [present.index(head) for head in recipe.model.heads]


def _reduce(features: NDArray[np.float16], recipe: Recipe) -> Tensor:
    """Principal components [n, C] of standardised features [n, D], of mean square 1.

    Raises LabError where there are no features.
    """
    if not features.size:
        raise LabError(
            f"teacher {printable(recipe.train.teacher)} gives no features; "
            "leave out train.teacher_features"
        )
    values = torch.from_numpy(features).float()
    values -= values.mean(0)
    deviations = values.std(0, unbiased=False)
    values /= torch.where(deviations > 0, deviations, 1.0)
    count = min(COMPONENTS, *values.shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.train.seed)
        _, _, directions = torch.pca_lowrank(values, count, center=False, niter=PASSES)
    components = values @ directions
    size = components.square().mean().sqrt()
    return components / size if size > 0 else components
