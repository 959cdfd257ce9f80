"""From rows of the manifest to what a detector sees in a training step.

The order of the changes follows how pictures come about. Blending is first, because its mask stands
where the face does. Cropping is next, so that an encoder's grid of blocks falls anywhere on a crop.
Filters and then degradations are last, because they happen to finished pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from accelerate import Accelerator
from torch import Generator, Tensor

from fauxlab.config import Recipe, TrainConfig
from fauxlab.data.cache import ImageArray
from fauxlab.data.manifest import Manifest
from fauxlab.models.inputs import to_input
from fauxlab.training.detector.losses import HeadTargets, head_targets
from fauxlab.training.detector.manipulations import list_manipulations
from fauxlab.training.detector.pseudo_fakes import (
    Shares,
    change_reals,
    draw_seeds,
    places_of,
    plan_shares,
    replace_at,
    replace_fakes,
)
from fauxlab.training.detector.sampling import deal, stage_order
from fauxlab.training.detector.schedule import Rows, Schedule
from fauxlab.training.detector.teacher import TeacherAnswers
from fauxlab.training.seeding import step_generator
from fauxlab.transforms.augment import AUGMENTATIONS, augment, send
from fauxlab.transforms.degradations import degrade_batch, filter_batch, random_crops
from fauxlab.transforms.self_blend import blend_batch

Pixels = Callable[[Rows], Tensor]


@dataclass(frozen=True)
class Batch:
    """What one process sees in one step, on its device."""

    inputs: Tensor  # float [n, 3, side, side] in [-1, 1]
    targets: Tensor | HeadTargets  # float [n], 1 is fake; of several heads those of each
    generator: Generator  # the step's, after all draws of the inputs


class TrainingInputs:
    """The batches of a training by the number of their step."""

    def __init__(
        self,
        accelerator: Accelerator,
        images: ImageArray,
        schedule: Schedule,
        recipe: Recipe,
        teacher: TeacherAnswers | None = None,
    ) -> None:
        self.accelerator = accelerator
        self.manifest: Manifest = images.manifest
        self.schedule = schedule
        self.train = recipe.train
        self.heads = recipe.model.heads
        self.teacher = teacher
        self.pixels = pixel_source(images, accelerator.device)
        self.labels = torch.from_numpy(images.manifest.labels).float()
        self.manipulations = list_manipulations(images.manifest)
        self._order = lru_cache(maxsize=2)(self._order_of_epoch)
        self._shares = lru_cache(maxsize=2)(self._shares_of_stage)

    def rows(self, step: int) -> Rows:
        """The rows of a step's whole batch, over all processes."""
        stage, epoch, within = self.schedule.at(step)
        batch = self.train.batch
        first = within * batch
        order = self._order(stage, epoch)
        return order[first : first + batch]

    def batch(self, step: int) -> Batch:
        """This process's share of a step's batch: a pure function of the step."""
        process = self.accelerator.process_index
        processes = self.accelerator.num_processes
        share = deal(self.rows(step), process, processes)
        generator = step_generator(self.train.seed, step, process)
        if self.heads:
            return self._batch_of_heads(step, share, generator)
        inputs, targets = draw_batch(self.pixels, self.labels, share, self.train, generator)
        return Batch(inputs, targets, generator)

    def _batch_of_heads(self, step: int, rows: Rows, generator: Generator) -> Batch:
        """These rows with pseudo-fakes among them, and what each head should say."""
        shares = self._shares(self.schedule.at(step).stage)
        before = torch.from_numpy(self.manipulations[rows])
        images, after, is_new = replace_fakes(self.pixels(rows), before, shares, generator)
        inputs = change_inputs(images, self.train, generator)
        device = inputs.device
        taught = None
        if self.teacher is not None:
            taught = self.teacher.of(rows, ~is_new, device)
        targets = head_targets(after.to(device), self.heads, taught)
        return Batch(inputs, targets, generator)

    def _order_of_epoch(self, number: int, epoch: int) -> Rows:
        stage = self.schedule.stages[number]
        altered = self.train.altered if self.heads else None
        return stage_order(self.manifest, stage, self.train, epoch, number, altered)

    def _shares_of_stage(self, number: int) -> dict[int, Shares]:
        stage = self.schedule.stages[number]
        return plan_shares(self.train, self.manipulations[stage.fakes])


def pixel_source(images: ImageArray, device: torch.device) -> Pixels:
    """A function from rows to uint8 [n, 3, size, size] on the device.

    A GPU holds all images where they fit into half of its free memory.
    """

    def from_store(rows: Rows) -> Tensor:
        pictures = torch.from_numpy(images.take(rows))
        return send(pictures, device)

    if device.type != "cuda":
        return from_store
    bytes_needed = len(images) * 3 * images.size**2
    bytes_free, _ = torch.cuda.mem_get_info(device)
    if bytes_needed >= 0.5 * bytes_free:
        return from_store

    all_rows = np.arange(len(images))
    everything = images.take(all_rows)
    resident = torch.from_numpy(everything).to(device)

    def from_memory(rows: Rows) -> Tensor:
        numbers = torch.from_numpy(rows)
        return resident[send(numbers, device)]

    return from_memory


def draw_batch(
    pixels: Pixels,
    labels: Tensor,
    rows: Rows,
    train: TrainConfig,
    generator: Generator,
) -> tuple[Tensor, Tensor]:
    """Inputs float [n, 3, side, side] in [-1, 1] and targets [n] of these rows.

    All that is random is drawn from `generator`, in the order below.
    """
    images = pixels(rows)
    targets = labels[rows].clone()
    if train.blend:
        images = _blend(images, targets, train.blend, generator)
    inputs = change_inputs(images, train, generator)
    targets = targets.to(inputs.device)
    return inputs, targets


def change_inputs(images: Tensor, train: TrainConfig, generator: Generator) -> Tensor:
    """Images uint8 [n, 3, size, size], cut and changed, as float [n, 3, side, side] in [-1, 1]."""
    if train.crop:
        seeds = draw_seeds(len(images), generator)
        images = random_crops(images, train.crop, train.zoom, seeds)
    if "filter" in train.augment:
        images = _filter(images, generator)
    if "degrade" in train.augment:
        images = _degrade(images, train.degrade_p, generator)
    names = [name for name in train.augment if name in AUGMENTATIONS]
    return augment(to_input(images), names, generator)


def _blend(
    images: Tensor,
    targets: Tensor,
    share: float,
    generator: Generator,
) -> Tensor:
    """Replace a share of the fakes by reals of the batch that are blended onto themselves.

    Only fakes are replaced, so that both classes keep their share of the batch.
    """
    is_fake = targets == 1
    draws = torch.rand(len(targets), generator=generator)
    places = places_of(is_fake & (draws < share))
    reals = places_of(~is_fake)
    blended, _ = change_reals(images, reals, places, blend_batch, generator)
    return blended


def _filter(images: Tensor, generator: Generator) -> Tensor:
    """The images, of both classes alike, after random filters; a share of them stays as it is."""
    seeds = draw_seeds(len(images), generator)
    filtered = filter_batch(images.cpu().numpy(), seeds)
    return torch.from_numpy(filtered).to(images.device)


def _degrade(images: Tensor, share: float, generator: Generator) -> Tensor:
    """Send a share of the images, of both classes alike, through a random degradation."""
    draws = torch.rand(len(images), generator=generator)
    chosen = places_of(draws < share)
    seeds = draw_seeds(len(images), generator)
    chosen_seeds = seeds[chosen.numpy()]
    originals = images[chosen].cpu().numpy()
    degraded = degrade_batch(originals, chosen_seeds)
    return replace_at(images, chosen, degraded)
