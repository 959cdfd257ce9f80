"""What a GAN's updates learn from: the stream of real images, and latents."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from fauxlab.config import GanRecipe
from fauxlab.data.cache import ImageArray
from fauxlab.models.inputs import to_input
from fauxlab.training.detector.inputs import pixel_source
from fauxlab.training.detector.schedule import Rows
from fauxlab.training.prefetch import Prefetcher
from fauxlab.transforms.augment import flip, send


class Stream:
    """An endless stream of shuffled passes through the rows.

    Any stretch of it is a function of the seed and the position, so a resumed run goes on in it.
    """

    def __init__(self, rows: Rows, seed: int) -> None:
        self.length = len(rows)

        @lru_cache(maxsize=2)
        def shuffled(epoch: int) -> Rows:
            rng = np.random.default_rng((seed, epoch))
            return rng.permutation(rows)

        self.shuffled = shuffled

    def rows(self, position: int, count: int) -> Rows:
        """The rows from `position` on."""
        parts = []
        while count:
            epoch, within = divmod(position, self.length)
            order = self.shuffled(epoch)
            part = order[within : within + count]
            parts.append(part)
            position += len(part)
            count -= len(part)
        return np.concatenate(parts)


class GanInputs:
    """One process's reals and latents; use it as a context manager, which ends its thread."""

    def __init__(
        self,
        accelerator: Accelerator,
        recipe: GanRecipe,
        images: ImageArray,
        rows: Rows,
    ) -> None:
        self.accelerator = accelerator
        self.recipe = recipe
        self.batch = recipe.train.batch
        self.stream = Stream(rows, recipe.train.seed)
        self.pixels = pixel_source(images, accelerator.device)
        self.ahead = Prefetcher(self._fetch)

    def pixels_at(self, position: int) -> Tensor:
        """This process's share of the batch at a position of the stream, uint8 [n, 3, H, W].

        While the batch is used, the background thread fetches the one that follows it.
        """
        following = position + self.batch
        return self.ahead.take(position, following)

    def reals(self, pixels: Tensor, draws: torch.Generator) -> Tensor:
        """These pixels for an update, float in [-1, 1]; half are mirrored if the recipe says so."""
        images = to_input(pixels)
        if self.recipe.gan.flip:
            images = flip(images, draws)
        return images

    def latents(self, count: int, draws: torch.Generator) -> Tensor:
        """Fresh latents on the device, standard normal [count, latent]."""
        length = self.recipe.model.latent
        latents = torch.randn(count, length, generator=draws)
        return send(latents, self.accelerator.device)

    def _fetch(self, position: int) -> Tensor:
        rows = self.stream.rows(position, self.batch)
        process = self.accelerator.process_index
        processes = self.accelerator.num_processes
        share = rows[process::processes]
        return self.pixels(share)

    def __enter__(self) -> GanInputs:
        return self

    def __exit__(self, *_: object) -> None:
        self.ahead.__exit__()
