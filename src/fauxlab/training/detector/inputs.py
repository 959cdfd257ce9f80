"""From rows to what a detector sees in a training step: squares, self-blends, degradations, changes
of tone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from fauxlab.config import TrainConfig
from fauxlab.data.cache import ImageArray
from fauxlab.models.inputs import to_input
from fauxlab.training.detector.sampling import Rows
from fauxlab.transforms.augment import augment, send
from fauxlab.transforms.degradations import degrade_batch, random_crops
from fauxlab.transforms.self_blend import blend_batch

Pixels = Callable[[Rows], Tensor]


def pixel_source(images: ImageArray, device: torch.device) -> Pixels:
    """A function from rows to uint8 [n, 3, size, size] on the device; a GPU holds all images where
    they fit.
    """
    if (
        device.type == "cuda"
        and len(images) * 3 * images.size**2 < 0.5 * torch.cuda.mem_get_info(device)[0]
    ):
        resident = torch.from_numpy(images.take(np.arange(len(images)))).to(device)
        return lambda rows: resident[send(torch.from_numpy(rows), device)]
    return lambda rows: send(torch.from_numpy(images.take(rows)), device)


def draw_batch(
    pixels: Pixels, labels: Tensor, rows: Rows, train: TrainConfig
) -> tuple[Tensor, Tensor]:
    """Inputs float [n, 3, side, side] in [-1, 1] and targets [n] of a step, all drawn from torch's
    generator.

    Blended first, as the mask stands where the face does; cut next, so that an encoder's grid of
    blocks falls anywhere on a square; degraded last, as that is what happens to pictures that are
    finished.
    """
    images, targets = pixels(rows), labels[rows].clone()
    if train.blend:
        images = _blend(images, targets, train.blend)
    if train.crop:
        images = random_crops(images, train.crop, train.zoom, _seeds(len(rows)))
    if "degrade" in train.augment:
        chosen = (torch.rand(len(rows)) < train.degrade_p).nonzero()[:, 0]
        seeds = _seeds(len(rows))[chosen.numpy()]
        done = torch.from_numpy(degrade_batch(images[chosen].cpu().numpy(), seeds)).to(
            images.device
        )
        images = images.index_copy(0, chosen.to(images.device), done)
    inputs = augment(to_input(images), [name for name in train.augment if name != "degrade"])
    return inputs, targets.to(inputs.device)


def _blend(images: Tensor, targets: Tensor, share: float) -> Tensor:
    """Some fakes give way to a real of the batch blended onto itself, so that both classes keep
    their share.
    """
    reals = (targets == 0).nonzero()[:, 0]
    places = ((targets == 1) & (torch.rand(len(targets)) < share)).nonzero()[:, 0]
    seeds = _seeds(len(places))
    if not len(reals) or not len(places):
        return images
    sources = reals[torch.randint(len(reals), (len(places),))]
    blended = torch.from_numpy(blend_batch(images[sources].cpu().numpy(), seeds)).to(images.device)
    return images.index_copy(0, places.to(images.device), blended)


def _seeds(count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return torch.randint(2**31, (count,)).numpy()
