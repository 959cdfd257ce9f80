"""Shared fixtures: a GAN of tiny networks, its recipe, and its state before the first step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from accelerate import Accelerator

from fauxlab.config import GanRecipe, load_gan_recipe
from fauxlab.data.cache import load_images
from fauxlab.data.manifest import Manifest
from fauxlab.training.gan.inputs import GanInputs
from fauxlab.training.gan.plan import plan_gan
from fauxlab.training.gan.state import State, start_state
from fauxlab.training.gan.step import Stepper
from fauxlab.training.run import Run

Start = Callable[[GanRecipe], tuple[Stepper, State]]

WIDTHS = "{ widths = [8, 8, 8, 8] }"


@pytest.fixture
def tiny() -> list[str]:
    """Overrides that make any 32 px recipe tiny and short."""
    return [
        f"model.generator={WIDTHS}",
        f"model.discriminator={WIDTHS}",
        "model.latent=8",
        "train.batch=8",
        "train.images=160",
        "evaluate.every=64",
        "evaluate.n=20",
        "guard.every=48",
        "guard.n=64",
    ]


@pytest.fixture
def recipe(tiny: list[str]) -> Callable[..., GanRecipe]:
    """Such a recipe by name, with overrides of its own."""

    def load(name: str = "r3-32", *overrides: str) -> GanRecipe:
        return load_gan_recipe(name, [*tiny, *overrides])

    return load


@pytest.fixture
def start(small: Manifest, tmp_path: Path) -> Iterator[Start]:
    """The steps of a recipe on the small data set, and its state before the first of them."""
    opened = ExitStack()

    def begin(experiment: GanRecipe) -> tuple[Stepper, State]:
        plan = plan_gan(small, experiment)
        images = load_images(plan.manifest, 32)
        accelerator = Accelerator(cpu=True)
        state = start_state(accelerator, Run(tmp_path), plan, ())
        inputs = opened.enter_context(GanInputs(accelerator, experiment, images, plan.train_rows))
        return Stepper(accelerator, experiment, inputs, plan.images), state

    with opened:
        yield begin
