"""What a GAN's recipe comes to on a manifest: made once, then checked, described and trained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from fauxlab.config import GanRecipe
from fauxlab.config.gan import FEWEST
from fauxlab.data.cache import ImageArray
from fauxlab.data.manifest import Manifest
from fauxlab.errors import LabError
from fauxlab.models import create_discriminator, create_generator
from fauxlab.training.detector.schedule import Rows
from fauxlab.training.gan.losses import mixes_images


@dataclass(frozen=True)
class GanPlan:
    """All that is known before the first image is decoded; rows are those of `manifest`."""

    manifest: Manifest  # the real images, all splits
    recipe: GanRecipe
    generator: nn.Module
    discriminator: nn.Module
    train_rows: Rows  # those learned from
    # Validation images: never trained on, so the guard can compare the discriminator on both.
    heldout_rows: Rows
    images: int  # the budget: real images shown to the discriminator, repeats counted
    evaluate_every: int  # images

    @property
    def name(self) -> str:
        """The run folder's default name."""
        return self.recipe.name

    def without_skipped(self, images: ImageArray) -> GanPlan:
        """The plan for the images that could be decoded.

        Raises LabError where these are too few.
        """
        if not images.skipped:
            return self
        _check_counts(images.manifest, self.recipe)
        return _plan_images(images.manifest, self.recipe, self.generator, self.discriminator)


def plan_gan(manifest: Manifest, recipe: GanRecipe) -> GanPlan:
    """Choose the real images and build both networks, each once. No image is decoded.

    Raises LabError when there are too few real images, and when the recipe's parts exclude each
    other.
    """
    manifest.in_split("train")  # raises where the manifest was never split
    manifest = manifest.reals(*recipe.data.sources)
    _check_counts(manifest, recipe)
    generator, discriminator = _build_networks(recipe)
    penalised = (recipe.gan.r1, recipe.gan.r2) != (0.0, 0.0)
    if penalised and mixes_images(discriminator):
        raise LabError(
            "gan.r1 and gan.r2 need a discriminator without batch normalisation; "
            f"{recipe.model.name} has it (a gradient penalty is on the gradient of one image's "
            "logit)"
        )
    return _plan_images(manifest, recipe, generator, discriminator)


def describe_gan_plan(plan: GanPlan) -> str:
    """The recipe as TOML, and in comments what it comes to on the manifest."""
    generator = sum(p.numel() for p in plan.generator.parameters())
    discriminator = sum(p.numel() for p in plan.discriminator.parameters())
    lines = [
        plan.recipe.to_toml(),
        f"# generator {generator:,} parameters, discriminator {discriminator:,}; "
        f"data hash {plan.manifest.data_hash}",
        f"# {len(plan.train_rows):,} real images, {len(plan.heldout_rows):,} held out",
        f"# {plan.images:,} images in all, evaluated every {plan.evaluate_every:,} "
        f"on {plan.recipe.evaluate.n:,}",
    ]
    return "\n".join(lines)


def _plan_images(
    manifest: Manifest,
    recipe: GanRecipe,
    generator: nn.Module,
    discriminator: nn.Module,
) -> GanPlan:
    """The plan on these real images, with networks that are built already."""
    train_rows = _choose_train_rows(manifest, recipe)
    return GanPlan(
        manifest=manifest,
        recipe=recipe,
        generator=generator,
        discriminator=discriminator,
        train_rows=train_rows,
        heldout_rows=_rows_of_split(manifest, "val"),
        images=recipe.train.images or recipe.train.epochs * len(train_rows),
        evaluate_every=recipe.evaluate.every or recipe.evaluate.every_epochs * len(train_rows),
    )


def _rows_of_split(manifest: Manifest, split: str) -> Rows:
    return np.flatnonzero([row.split == split for row in manifest.rows])


def _choose_train_rows(manifest: Manifest, recipe: GanRecipe) -> Rows:
    rows = _rows_of_split(manifest, "train")
    if not recipe.data.limit:
        return rows
    rng = np.random.default_rng(recipe.train.seed)
    shuffled = rng.permutation(rows)
    chosen = shuffled[: recipe.data.limit]
    return np.sort(chosen)


def _check_counts(manifest: Manifest, recipe: GanRecipe) -> None:
    """Raise LabError where there are too few reals to learn from or to compare with."""
    origin = f"(source {', '.join(manifest.sources) or 'none'}, split train)"
    available = len(_rows_of_split(manifest, "train"))
    learned = len(_choose_train_rows(manifest, recipe))
    batch = recipe.train.batch
    n = recipe.evaluate.n
    if available < FEWEST:
        raise LabError(
            f"{available} real images to learn from {origin}; "
            f"a GAN and its figures need {FEWEST}: index more images"
        )
    if learned < batch:
        raise LabError(
            f"{learned} real images to learn from {origin}, fewer than a batch of {batch}; "
            f"index more images or set train.batch={max(2, learned)} or less"
        )
    if n > available:
        raise LabError(
            f"evaluate.n = {n}, but there are {available} real images to compare with; "
            f"index more images, or use --set evaluate.n={available}"
        )


def _build_networks(recipe: GanRecipe) -> tuple[nn.Module, nn.Module]:
    """Generator and discriminator; their first weights are a function of the recipe's seed."""
    model = recipe.model
    size = recipe.data.size
    with torch.random.fork_rng(devices=[]):  # the caller's own draws are not disturbed
        torch.manual_seed(recipe.train.seed)
        generator = create_generator(model.name, size, model.latent, **model.generator)
        discriminator = create_discriminator(model.name, size, **model.discriminator)
    return generator, discriminator
