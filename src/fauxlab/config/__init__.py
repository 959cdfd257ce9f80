"""Recipes: typed experiments, read from TOML and overridden by key=value."""

from __future__ import annotations

from fauxlab.config.detector import Recipe, TrainConfig
from fauxlab.config.gan import Cosine, GanRecipe, value_at
from fauxlab.config.loading import (
    R,
    any_recipe,
    as_name,
    check_run_name,
    difference,
    list_recipes,
    load_gan_recipe,
    load_recipe,
    parse_recipe,
    recipe_text,
)

__all__ = [
    "Cosine",
    "GanRecipe",
    "R",
    "Recipe",
    "TrainConfig",
    "any_recipe",
    "as_name",
    "check_run_name",
    "difference",
    "list_recipes",
    "load_gan_recipe",
    "load_recipe",
    "parse_recipe",
    "recipe_text",
    "value_at",
]
