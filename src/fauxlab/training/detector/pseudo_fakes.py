"""Fakes of a batch that give way to pseudo-fakes: real pictures of the batch, changed.

A detector with two heads learns the trace of a change apart from any generator: a real photo
blended onto itself or changed in a part is an altered one, a real photo that went through the last
layers of a generator is a made one. Only fakes are replaced, so that both classes keep their share
of the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from fauxlab.config import TrainConfig
from fauxlab.training.detector.manipulations import ALTERED, MADE, REAL, Manipulations
from fauxlab.transforms.alter import alter_batch
from fauxlab.transforms.decode import decode_batch

Pictures = NDArray[np.uint8]
Seeds = NDArray[np.int64]
Change = Callable[[Pictures, Seeds], Pictures]


class Shares(NamedTuple):
    """Which shares of the fakes of one manipulation give way to pseudo-fakes of either sort."""

    blended: float
    decoded: float


def plan_shares(train: TrainConfig, manipulations: Manipulations) -> dict[int, Shares]:
    """The shares for the fakes among a stage's pictures.

    Where no picture is altered, all altered ones must be pseudo-fakes: they take their share of the
    made ones' places. The same holds the other way round.
    """
    made = Shares(0.0, train.decode)
    altered = Shares(train.blend, 0.0)
    has_altered = (manipulations == ALTERED).any()
    has_made = (manipulations == MADE).any()
    others = 1 - train.altered
    if train.blend and not has_altered:
        made = Shares(train.altered, others * train.decode)
    if train.decode and not has_made:
        altered = Shares(train.altered * train.blend, others)
    return {MADE: made, ALTERED: altered}


def replace_fakes(
    images: Tensor,
    manipulations: Tensor,
    shares: dict[int, Shares],
    generator: Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Images uint8 [n, 3, s, s] with pseudo-fakes, their manipulations [n], and which are new [n].

    Nothing is replaced in a batch without reals.
    """
    draws = torch.rand(len(images), generator=generator)
    none = torch.zeros(len(images), dtype=torch.bool)
    blended = none.clone()
    decoded = none.clone()
    for manipulation, share in shares.items():
        is_candidate = manipulations == manipulation
        is_blended = draws < share.blended
        is_either = draws < share.blended + share.decoded
        blended |= is_candidate & is_blended
        decoded |= is_candidate & is_either & ~is_blended
    is_new = none.clone()
    after = manipulations.clone()
    reals = places_of(manipulations == REAL)
    for chosen, change, manipulation in (
        (blended, alter_batch, ALTERED),
        (decoded, decode_batch, MADE),
    ):
        places = places_of(chosen)
        images, done = change_reals(images, reals, places, change, generator)
        if done:
            after[places] = manipulation
            is_new[places] = True
    return images, after, is_new


def change_reals(
    images: Tensor,
    reals: Tensor,
    places: Tensor,
    change: Change,
    generator: Generator,
) -> tuple[Tensor, bool]:
    """The images with changed reals, drawn from those at `reals`, at `places`; and whether any."""
    seeds = draw_seeds(len(places), generator)
    if not len(reals) or not len(places):
        return images, False
    numbers = torch.randint(len(reals), (len(places),), generator=generator)
    picked = reals[numbers]
    originals = images[picked].cpu().numpy()
    changed = change(originals, seeds)
    return replace_at(images, places, changed), True


def places_of(flags: Tensor) -> Tensor:
    """The places at which flags [N] are true."""
    return flags.nonzero()[:, 0]


def replace_at(images: Tensor, places: Tensor, pictures: Pictures) -> Tensor:
    """The images with `pictures` at these places, on the images' device."""
    device = images.device
    changed = torch.from_numpy(pictures).to(device)
    return images.index_copy(0, places.to(device), changed)


def draw_seeds(count: int, generator: Generator) -> Seeds:
    """A seed for each of `count` pictures."""
    seeds = torch.randint(2**31, (count,), generator=generator)
    return seeds.numpy()
