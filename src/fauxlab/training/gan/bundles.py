"""A generator in training as a bundle that can be sampled and saved."""

from __future__ import annotations

from typing import Any

from torch import nn

from fauxlab.bundle.config import GeneratorConfig
from fauxlab.config import GanRecipe
from fauxlab.models.pretrained import Generator


def wrap_generator(
    network: nn.Module,
    recipe: GanRecipe,
    training: dict[str, Any] | None = None,
    metrics: dict[str, Any] | None = None,
) -> Generator:
    """The network in evaluation mode, with its architecture and what is known of it."""
    config = GeneratorConfig(
        architecture=recipe.model.name,
        latent=recipe.model.latent,
        size=recipe.data.size,
        options=recipe.model.generator,
        training=training or {},
        metrics=metrics or {},
    )
    return Generator(network.eval(), config)
