"""The game itself: the two updates of a GAN, shown plainly, and all that changes while it is
played.

A round is some discriminator updates, then some generator updates. Everything random in it is a
function of (seed, round, process), and the order of the real images of (seed, position).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from fauxlab.config import GanRecipe, value_at
from fauxlab.data.cache import ImageArray
from fauxlab.models.convolution import differentiated_twice
from fauxlab.models.inputs import to_input
from fauxlab.training.detector.inputs import pixel_source
from fauxlab.training.detector.sampling import Rows
from fauxlab.training.ema import update_average
from fauxlab.training.gan.collapse_guard import Guard
from fauxlab.training.gan.losses import discriminator_loss, generator_loss, squared_gradients
from fauxlab.training.gan.step_controller import Limits, Steps, adapt
from fauxlab.training.run import seed_step
from fauxlab.transforms.augment import augment_some, flip, send

# What a rollback does, each time, to the learning rates, the penalties, and the share of augmented
# images.
GENTLER, FIRMER, MORE = 0.5, 2.0, 0.3
RESCUE_AUGMENTATIONS = ("translation", "colour", "cutout")


@dataclass
class State:
    """All that changes during training; what a checkpoint holds."""

    generator: nn.Module
    discriminator: nn.Module
    average: nn.Module | None
    optimizers: tuple[torch.optim.Adam, torch.optim.Adam]
    steps: Steps
    guard: Guard
    images: int = 0
    round: int = 0
    updates: int = 0  # of the discriminator, since its penalty comes every few of them
    rollbacks: int = 0
    best: float = math.inf
    # What the controller decides on. On the device until then: to read one waits for all that was
    # asked of a GPU.
    window: dict[str, list[Tensor]] = field(default_factory=dict)
    decision: str = ""  # the controller's in this round, in words

    @property
    def shown(self) -> nn.Module:
        """The generator that is evaluated and released."""
        return self.average or self.generator

    def as_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            "step": self.round,
            "model": [
                n.state_dict()
                for n in (self.generator, self.discriminator, self.average)
                if n is not None
            ],
            "optimizer": [optimizer.state_dict() for optimizer in self.optimizers],
            "steps": [self.steps.generator, self.steps.discriminator],
            "guard": self.guard.state(),
            "images": self.images,
            "updates": self.updates,
            "rollbacks": self.rollbacks,
            "best": self.best,
            "window": {
                key: [float(value) for value in values] for key, values in self.window.items()
            },
        }

    def load_networks(self, saved: dict[str, Any]) -> None:
        """Weights and optimisers from a checkpoint."""
        networks = [n for n in (self.generator, self.discriminator, self.average) if n is not None]
        for network, weights in zip(networks, saved["model"], strict=True):
            network.load_state_dict(weights)
        for optimizer, moments in zip(self.optimizers, saved["optimizer"], strict=True):
            optimizer.load_state_dict(moments)
        self.steps = Steps(*saved["steps"])

    def load(self, saved: dict[str, Any], patience: int) -> None:
        """Everything from a checkpoint. Raises ValueError, or what torch makes of it, where it is
        damaged.
        """
        counts = [saved[key] for key in ("images", "updates", "rollbacks")] + [
            n - 1 for n in saved["steps"]
        ]
        if not all(type(n) is int and n >= 0 for n in counts) or type(saved["best"]) is not float:
            raise ValueError("its counts are no whole numbers, or its best distance is no number")
        device = next(self.generator.parameters()).device
        window = {
            k: [torch.tensor(float(v), device=device) for v in vs]
            for k, vs in saved["window"].items()
        }
        self.load_networks(saved)
        self.guard = Guard(patience, saved["guard"])
        self.round = saved["step"]
        self.images, self.updates, self.rollbacks = (
            saved["images"],
            saved["updates"],
            saved["rollbacks"],
        )
        self.best, self.window = saved["best"], window


class Game:
    """The two updates on one device; `play` makes a round of them."""

    def __init__(
        self,
        accelerator: Accelerator,
        recipe: GanRecipe,
        images: ImageArray,
        train_rows: Rows,
        budget: int,
    ) -> None:
        self.accelerator, self.recipe, self.budget = accelerator, recipe, budget
        self.pixels = pixel_source(images, accelerator.device)
        self.stream = _Stream(train_rows, recipe.train.seed)
        gan = recipe.gan
        self.limits = Limits(
            (gan.generator_steps, gan.most_generator_steps),
            (gan.discriminator_steps, gan.most_discriminator_steps),
        )

    def play(self, state: State) -> dict[str, Tensor]:
        """One round, in place; returns its losses and accuracies as tensors on the device."""
        train, gan = self.recipe.train, self.recipe.gan
        seed_step(train.seed, state.round, self.accelerator.process_index)
        self._set_rates(state)
        state.decision = ""
        found: dict[str, Tensor] = {}
        for k in range(state.steps.discriminator):
            found |= self.update_discriminator(state, self.reals(state.images + k * train.batch))
        for k in range(state.steps.generator):
            # The pairing loss compares with reals; which ones does not matter, so they are those
            # just seen.
            reals = self.reals(state.images + (k % state.steps.discriminator) * train.batch)
            found |= self.update_generator(state, reals)
        shown = state.steps.discriminator * train.batch
        state.images += shown
        if state.average is not None:
            update_average(state.average, state.generator, gan.ema, state.images, shown)
        if gan.steps == "adaptive":
            self._adapt(state, found)
        return found

    def update_discriminator(self, state: State, reals: Tensor) -> dict[str, Tensor]:
        """One step of the discriminator on reals float [N, 3, H, W] and as many fresh fakes."""
        gan, network = self.recipe.gan, state.discriminator
        network.requires_grad_(True)
        with torch.no_grad(), self.accelerator.autocast():
            fakes = state.generator(self.latents(len(reals))).float()
        real, fake = self.present(reals, state), self.present(fakes, state)
        r1, r2 = (self.at(value, state) * FIRMER**state.rollbacks for value in (gan.r1, gan.r2))
        penalised = (r1 > 0 or r2 > 0) and state.updates % gan.penalty_every == 0
        real_logits, fake_logits, both, together = self._judge_both(network, real, fake, penalised)
        loss = discriminator_loss(gan.loss, real_logits, fake_logits, gan.smoothing)
        found = {"discriminator_loss": loss.detach()}
        if penalised:
            squares = squared_gradients(together, both)
            on_real, on_fake = squares[: len(real)].mean(), squares[len(real) :].mean()
            loss = loss + gan.penalty_every * (r1 / 2 * on_real + r2 / 2 * on_fake)
            found |= {"r1": on_real.detach(), "r2": on_fake.detach()}
        self._step(loss, state.optimizers[1], network)
        state.updates += 1
        found["real_accuracy"] = (real_logits > 0).float().mean()
        found["fake_accuracy"] = (fake_logits < 0).float().mean()
        return found

    def update_generator(self, state: State, reals: Tensor) -> dict[str, Tensor]:
        """One step of the generator on fresh latents; `reals` serve the pairing loss only."""
        gan, network = self.recipe.gan, state.discriminator
        network.requires_grad_(False)
        with self.accelerator.autocast():
            fakes = state.generator(self.latents(len(reals))).float()
            fake_logits = network(self.present(fakes, state)).float()
            real_logits = None
            if gan.loss == "relativistic":
                with torch.no_grad():
                    real_logits = network(self.present(reals, state)).float()
        loss = generator_loss(gan.loss, fake_logits, real_logits)
        self._step(loss, state.optimizers[0], state.generator)
        return {"generator_loss": loss.detach()}

    def present(self, images: Tensor, state: State) -> Tensor:
        """What the discriminator is shown of images: augmented, with instance noise (Sønderby et
        al., 2017).
        """
        gan = self.recipe.gan
        names = gan.augment or (RESCUE_AUGMENTATIONS if state.rollbacks else ())
        share = self.at(gan.augment_p, state) if gan.augment else 0.0
        images = augment_some(images, names, min(1.0, share + MORE * state.rollbacks))
        noise = self.at(gan.noise, state)
        return images + noise * torch.randn_like(images) if noise > 0 else images

    def reals(self, position: int) -> Tensor:
        """This process's share of a batch of the stream of real images, float [N, 3, H, W] in [-1,
        1].
        """
        rows = self.stream.rows(position, self.recipe.train.batch)
        mine = rows[self.accelerator.process_index :: self.accelerator.num_processes]
        images = to_input(self.pixels(mine))
        return flip(images) if self.recipe.gan.flip else images

    def latents(self, n: int) -> Tensor:
        """Fresh latents on the device."""
        return send(torch.randn(n, self.recipe.model.latent), self.accelerator.device)

    def at(self, value: Any, state: State) -> float:
        """A scheduled value now."""
        return value_at(value, min(state.images / self.budget, 1.0))

    def values(self, state: State) -> dict[str, Any]:
        """What the log says of the schedules."""
        return {
            "lr": state.optimizers[0].param_groups[0]["lr"],
            "generator_steps": state.steps.generator,
            "discriminator_steps": state.steps.discriminator,
        }

    def _judge_both(
        self, network: nn.Module, real: Tensor, fake: Tensor, penalised: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logits of reals, of fakes, and both in one batch. Batch statistics would mix the two, so
        they go apart.
        """
        if mixes_images(network):
            with self.accelerator.autocast():
                logits = network(real).float(), network(fake).float()
            return *logits, real, logits[0]
        both = torch.cat([real, fake]).detach().requires_grad_(penalised)
        with self.accelerator.autocast(), differentiated_twice(penalised):
            together = network(both).float()
        return together[: len(real)], together[len(real) :], both, together

    def _step(self, loss: Tensor, optimizer: torch.optim.Adam, network: nn.Module) -> None:
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if self.accelerator.num_processes > 1:
            average_gradients(self.accelerator, network)
        if self.recipe.train.clip > 0:
            nn.utils.clip_grad_norm_(network.parameters(), self.recipe.train.clip)
        optimizer.step()

    def _set_rates(self, state: State) -> None:
        train = self.recipe.train
        rates = train.lr, train.lr if train.discriminator_lr is None else train.discriminator_lr
        for optimizer, rate in zip(state.optimizers, rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = self.at(rate, state) * GENTLER**state.rollbacks
                group["betas"] = (train.beta1, self.at(train.beta2, state))

    def _adapt(self, state: State, found: dict[str, Tensor]) -> None:
        """Note the round's accuracies; at the end of a window let the controller move the steps."""
        for key in ("real_accuracy", "fake_accuracy"):
            state.window.setdefault(key, []).append(self.accelerator.reduce(found[key], "mean"))
        if len(state.window["real_accuracy"]) < self.recipe.gan.adapt_every:
            return
        real, fake = (
            float(torch.stack(state.window[key]).double().mean())
            for key in ("real_accuracy", "fake_accuracy")
        )
        state.window = {}
        state.steps, state.decision = adapt(state.steps, self.limits, real, fake)


def average_gradients(accelerator: Accelerator, network: nn.Module) -> None:
    """Replace every gradient by its mean over the processes, in one message.

    By hand, since a penalty differentiates twice through networks that are called several times a
    step.
    """
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    means: Any = accelerator.reduce(torch.cat([g.flatten() for g in gradients]), "mean")
    for gradient, mean in zip(gradients, means.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def mixes_images(network: nn.Module) -> bool:
    """Whether one image's output depends on the others of its batch."""
    return any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in network.modules())


class _Stream:
    """An endless stream of shuffled passes through the rows; any stretch of it is a function of
    seed and position.
    """

    def __init__(self, rows: Rows, seed: int) -> None:
        self.length = len(rows)
        self.shuffled = lru_cache(maxsize=2)(
            lambda epoch: np.random.default_rng((seed, epoch)).permutation(rows)
        )

    def rows(self, position: int, count: int) -> Rows:
        parts = []
        while count:
            epoch, within = divmod(position, self.length)
            parts.append(self.shuffled(epoch)[within : within + count])
            position, count = position + len(parts[-1]), count - len(parts[-1])
        return np.concatenate(parts)
