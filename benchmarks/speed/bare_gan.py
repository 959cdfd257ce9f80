"""A plain GAN loop with the losses of `r3`, against which `gan.py` measures ours."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from fauxlab.config import GanRecipe
from fauxlab.models import create_discriminator, create_generator
from fauxlab.transforms.augment import augment_some, flip

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
PENALTY = 0.25  # half of the gradient penalties' weight
AVERAGE = 0.01  # share of the new weights
AUGMENT = 0.8  # probability


def autocast(recipe: GanRecipe) -> torch.autocast:
    """The recipe's precision."""
    return torch.autocast(DEVICE.type, torch.bfloat16, enabled=recipe.train.precision == "bf16")


class BareGan:
    """Networks, optimisers and images in memory; `step` updates both networks once."""

    def __init__(self, recipe: GanRecipe, images: NDArray[np.uint8]) -> None:
        torch.manual_seed(0)
        model = recipe.model
        size = recipe.data.size
        self.recipe = recipe
        self.pixels = torch.from_numpy(images).to(DEVICE)
        self.generator = create_generator(model.name, size, model.latent, **model.generator)
        self.discriminator = create_discriminator(model.name, size, **model.discriminator)
        for network in (self.generator, self.discriminator):
            network.to(DEVICE).to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.generator_optimizer = adam(self.generator)
        self.discriminator_optimizer = adam(self.discriminator)
        self.steps = 0

    def step(self) -> None:
        """One update of the discriminator, one of the generator, and of its average."""
        reals = self.draw_reals()
        self.update_discriminator(reals)
        self.update_generator(reals)
        with torch.no_grad():
            pairs = zip(self.average.parameters(), self.generator.parameters(), strict=True)
            for slow, fast in pairs:
                slow.lerp_(fast, AVERAGE)
        self.steps += 1

    def draw_reals(self) -> Tensor:
        """A batch of images in [-1, 1], half of them mirrored."""
        batch = self.recipe.train.batch
        rows = torch.randint(len(self.pixels), (batch,))
        return flip(self.pixels[rows].float() / 127.5 - 1)

    def generate(self) -> Tensor:
        """A batch of fakes."""
        latents = torch.randn(self.recipe.train.batch, self.recipe.model.latent, device=DEVICE)
        with autocast(self.recipe):
            return self.generator(latents).float()

    def augment(self, images: Tensor) -> Tensor:
        """What the discriminator is shown."""
        return augment_some(images, self.recipe.gan.augment, AUGMENT)

    def discriminate(self, images: Tensor) -> Tensor:
        """Logits, above 0 for real."""
        with autocast(self.recipe):
            return self.discriminator(images).float()

    def update_discriminator(self, reals: Tensor) -> None:
        """The relativistic loss, with a gradient penalty at some steps."""
        every = self.recipe.gan.penalty_every
        penalise = self.steps % every == 0
        self.discriminator.requires_grad_(True)
        with torch.no_grad():
            fakes = self.generate()
        # The penalty's gradient is taken before the augmentation and through it.
        images = torch.cat([reals, fakes]).requires_grad_(penalise)
        shown_reals, shown_fakes = images.chunk(2)
        shown = torch.cat([self.augment(shown_reals), self.augment(shown_fakes)])
        logits = self.discriminate(shown)
        real_logits, fake_logits = logits.chunk(2)
        loss = F.softplus(fake_logits - real_logits).mean()
        if penalise:
            (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
            squared = gradient.square().sum((1, 2, 3)).mean()
            # Twice the mean over all images is R1 + R2, the sum of the means of reals and fakes.
            loss = loss + every * PENALTY * 2 * squared
        self.discriminator_optimizer.zero_grad()
        loss.backward()
        self.discriminator_optimizer.step()

    def update_generator(self, reals: Tensor) -> None:
        """The same loss with the signs exchanged."""
        self.discriminator.requires_grad_(False)
        with torch.no_grad():
            real_logits = self.discriminate(self.augment(reals))
        fakes = self.generate()
        fake_logits = self.discriminate(self.augment(fakes))
        loss = F.softplus(real_logits - fake_logits).mean()
        self.generator_optimizer.zero_grad()
        loss.backward()
        self.generator_optimizer.step()


def adam(network: torch.nn.Module) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), 2e-4, (0.0, 0.9))
