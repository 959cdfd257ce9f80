"""One step of GAN training: which updates are made, with which values, and what follows them."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch import Tensor

from fauxlab.config import GanRecipe
from fauxlab.training.ema import update_average
from fauxlab.training.gan.inputs import GanInputs
from fauxlab.training.gan.schedules import Values, values_at
from fauxlab.training.gan.state import State
from fauxlab.training.gan.step_controller import Limits, adapt
from fauxlab.training.gan.updates import Log, Updater
from fauxlab.training.seeding import seed_step


class Stepper:
    """Makes the steps of one training, of `budget` images in all.

    A step is some updates of the discriminator and then some of the generator. The log counts
    steps under the key `round`. All that is random in it is a function of (seed, step, process).
    """

    def __init__(
        self,
        accelerator: Accelerator,
        recipe: GanRecipe,
        inputs: GanInputs,
        budget: int,
    ) -> None:
        self.accelerator = accelerator
        self.recipe = recipe
        self.inputs = inputs
        self.budget = budget

    def step(self, state: State) -> Log:
        """One step, in place; returns its losses and accuracies, tensors on the device."""
        recipe = self.recipe
        inputs = self.inputs
        batch = recipe.train.batch
        updater = self.updater(state)
        draws = updater.draws
        set_rates(state, updater.values, recipe.train.beta1)
        log: Log = {}

        # The discriminator sees new real images in each of its updates.
        seen = []
        for number in range(state.steps.discriminator):
            position = state.images + number * batch
            pixels = inputs.pixels_at(position)
            seen.append(pixels)
            reals = inputs.reals(pixels, draws)
            latents = inputs.latents(len(reals), draws)
            log |= updater.update_discriminator(state, reals, latents)

        # The generator's relativistic loss needs reals as well: those just seen, in turn.
        for number in range(state.steps.generator):
            pixels = seen[number % len(seen)]
            reals = inputs.reals(pixels, draws)
            latents = inputs.latents(len(reals), draws)
            log |= updater.update_generator(state, reals, latents)

        # The budget counts the real images that the discriminator was shown.
        shown = state.steps.discriminator * batch
        state.images += shown
        state.round += 1
        if state.average is not None:
            update_average(state.average, state.generator, recipe.gan.ema, state.images, shown)
        state.decision = ""
        if recipe.gan.steps == "adaptive":
            self.adapt_steps(state, log)
        return log

    def updater(self, state: State) -> Updater:
        """The updates of the coming step."""
        share = state.images / self.budget
        values = values_at(self.recipe, share, state.rollbacks)
        seed = self.recipe.train.seed
        process = self.accelerator.process_index
        draws = seed_step(seed, state.round, process)
        return Updater(self.accelerator, self.recipe, values, draws)

    def adapt_steps(self, state: State, log: Log) -> None:
        """Note the step's accuracies; at the end of a window let the controller decide."""
        for key in ("real_accuracy", "fake_accuracy"):
            accuracy = self.accelerator.reduce(log[key], "mean")
            noted = state.window.setdefault(key, [])
            noted.append(accuracy)
        gan = self.recipe.gan
        on_reals = state.window["real_accuracy"]
        on_fakes = state.window["fake_accuracy"]
        if len(on_reals) < gan.adapt_every:
            return
        real_accuracy = _mean(on_reals)
        fake_accuracy = _mean(on_fakes)
        limits = Limits.of(gan)
        state.steps, state.decision = adapt(state.steps, limits, real_accuracy, fake_accuracy)
        state.window = {}


def set_rates(state: State, values: Values, beta1: float) -> None:
    """Give both optimisers the rates of the coming step."""
    rates = (values.lr, values.discriminator_lr)
    for optimizer, rate in zip(state.optimizers, rates, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = rate
            group["betas"] = (beta1, values.beta2)


def _mean(values: list[Tensor]) -> float:
    stacked = torch.stack(values).double()
    return float(stacked.mean())
