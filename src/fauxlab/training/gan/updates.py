"""The two updates of a GAN, the discriminator's and the generator's.

The generator G turns a latent z, noise, into an image. The discriminator D gives an image a number,
its logit, above 0 for "real". They are trained in turns, each against the other as it is:

    discriminator   lowers  loss_D(D(real), D(G(z))) + r1/2 ‖∇D(real)‖² + r2/2 ‖∇D(G(z))‖²
    generator       lowers  loss_G(D(G(z)), D(real))    where only a relativistic loss uses D(real)

The gradients ∇ are with respect to the image (Mescheder et al., 2018; R3GAN, Huang et al., 2024).
`losses.py` holds the losses with their papers; `step.py` says how often each network is updated and
how rates, penalties and augmentation move over the training.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from fauxlab.config import GanRecipe
from fauxlab.models.convolution import differentiated_twice
from fauxlab.training.distributed import average_gradients
from fauxlab.training.gan.losses import (
    discriminator_loss,
    generator_loss,
    mixes_images,
    squared_gradients,
)
from fauxlab.training.gan.schedules import Values
from fauxlab.training.gan.state import State
from fauxlab.transforms.augment import augment_some

Log = dict[str, Tensor]  # losses and accuracies by name


@dataclass(frozen=True)
class Updater:
    """Makes updates at one moment of a training: with its values and its random draws."""

    accelerator: Accelerator
    recipe: GanRecipe
    values: Values
    draws: torch.Generator

    def update_discriminator(self, state: State, reals: Tensor, latents: Tensor) -> Log:
        """One update on reals [N, 3, H, W] in [-1, 1] and latents [N, latent].

        Returns figures for the log.
        """
        gan = self.recipe.gan
        values = self.values
        generator = state.generator
        discriminator = state.discriminator
        discriminator.requires_grad_(True)

        # Fresh fakes. Only the discriminator learns from them here, so no gradient leads back.
        with torch.no_grad(), self.accelerator.autocast():
            fakes = generator(latents).float()

        # The penalties come every few updates ("lazy", Karras et al., 2020), weighted to match.
        is_due = state.updates % gan.penalty_every == 0
        penalised = values.has_penalty and is_due

        # Real and fake images get the same kinds of random changes, drawn anew for each image. The
        # penalties' gradients are taken at the images *before* these changes and through them, as
        # R3GAN and StyleGAN2-ADA do: what the augmentation hides has no gradient.
        reals = reals.detach().requires_grad_(penalised)
        fakes = fakes.detach().requires_grad_(penalised)
        shown_reals = self.present(reals)
        shown_fakes = self.present(fakes)

        # The logits of both, in one batch where the network allows it.
        with self.accelerator.autocast(), differentiated_twice(penalised):
            real_logits, fake_logits = logits_of_both(discriminator, shown_reals, shown_fakes)
        loss = discriminator_loss(gan.loss, real_logits, fake_logits, gan.smoothing)
        log = {"discriminator_loss": loss.detach()}

        # R1 and R2: a discriminator that is flat around real and fake images cannot win outright.
        if penalised:
            logits = torch.cat([real_logits, fake_logits])
            real_norms, fake_norms = squared_gradients(logits, reals, fakes)
            r1 = real_norms.mean()
            r2 = fake_norms.mean()
            penalty = values.r1 / 2 * r1 + values.r2 / 2 * r2
            loss = loss + gan.penalty_every * penalty
            log["r1"] = r1.detach()
            log["r2"] = r2.detach()

        self.descend(loss, discriminator, state.optimizers[1])
        state.updates += 1
        return log | accuracies(real_logits, fake_logits)

    def update_generator(self, state: State, reals: Tensor, latents: Tensor) -> Log:
        """One update on latents [N, latent]; `reals` serve the relativistic loss only.

        Returns figures for the log.
        """
        gan = self.recipe.gan
        generator = state.generator
        discriminator = state.discriminator
        discriminator.requires_grad_(False)

        # The gradient passes through the discriminator, which stays as it is, into the generator.
        with self.accelerator.autocast():
            fakes = generator(latents).float()
            shown_fakes = self.present(fakes)
            fake_logits = discriminator(shown_fakes).float()

            # The relativistic loss asks for fakes that look more real than the reals beside them.
            real_logits = None
            if gan.loss == "relativistic":
                shown_reals = self.present(reals)
                with torch.no_grad():
                    real_logits = discriminator(shown_reals).float()

        loss = generator_loss(gan.loss, fake_logits, real_logits)
        self.descend(loss, generator, state.optimizers[0])
        return {"generator_loss": loss.detach()}

    def present(self, images: Tensor) -> Tensor:
        """What the discriminator is shown of images: augmented, with noise.

        Differentiable augmentation is Zhao et al., 2020; instance noise Sønderby et al., 2017.
        """
        values = self.values
        shown = augment_some(images, values.augment, values.augment_p, self.draws)
        if values.noise > 0:
            noise = normal_like(shown, self.draws)
            shown = shown + values.noise * noise
        return shown

    def descend(self, loss: Tensor, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """One step of the optimiser down the gradient of the loss."""
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        average_gradients(self.accelerator, network)
        largest_norm = self.recipe.train.clip
        if largest_norm > 0:
            nn.utils.clip_grad_norm_(network.parameters(), largest_norm)
        optimizer.step()


def logits_of_both(discriminator: nn.Module, reals: Tensor, fakes: Tensor) -> tuple[Tensor, Tensor]:
    """The logits [N] of reals and of fakes.

    One batch is quicker than two. But batch normalisation would mix the statistics of reals and
    fakes, so a network that has it gets two batches.
    """
    if mixes_images(discriminator):
        real_logits = discriminator(reals).float()
        fake_logits = discriminator(fakes).float()
        return real_logits, fake_logits
    both = torch.cat([reals, fakes])
    logits = discriminator(both).float()
    real_logits, fake_logits = logits.split([len(reals), len(fakes)])
    return real_logits, fake_logits


def accuracies(real_logits: Tensor, fake_logits: Tensor) -> Log:
    """Shares of reals and fakes that the discriminator calls right."""
    real = (real_logits > 0).float()
    fake = (fake_logits < 0).float()
    return {"real_accuracy": real.mean(), "fake_accuracy": fake.mean()}


def normal_like(images: Tensor, draws: torch.Generator) -> Tensor:
    """Standard normal numbers in the shape of images, drawn where the images are.

    A GPU draws from its own generator, which is seeded with the step's seed as well: to send so
    many numbers from the CPU would take longer.
    """
    on_cpu = images.device.type == "cpu"
    source = draws if on_cpu else None
    noise = torch.empty_like(images)
    return noise.normal_(generator=source)
