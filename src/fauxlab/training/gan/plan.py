"""What a GAN training comes to on a manifest: its networks, what is refused before it starts, and
what is shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from fauxlab.config import GanRecipe, check_run_name
from fauxlab.config.gan import FEWEST
from fauxlab.data.cache import load_images
from fauxlab.data.manifest import Manifest
from fauxlab.errors import LabError
from fauxlab.evaluation.networks import check_features
from fauxlab.models import create_discriminator, create_generator
from fauxlab.training.detector.sampling import Rows
from fauxlab.training.gan.updates import mixes_images
from fauxlab.training.run import refuse_taken


@dataclass(frozen=True)
class GanPlan:
    """What a recipe means for a manifest, before any image is decoded."""

    manifest: Manifest  # the real images, all splits
    train_rows: Rows  # those learned from
    # validation images: never trained on, the guard compares them with the others
    heldout_rows: Rows
    images: int
    evaluate_every: int


def plan_gan(manifest: Manifest, recipe: GanRecipe) -> GanPlan:
    """Choose the real images. Raises LabError when there are none, or when the recipe's parts
    exclude each other.
    """
    manifest.in_split("train")  # says so where the manifest was never split
    reals = manifest.reals(*recipe.data.sources)
    splits = np.array([row.split for row in reals.rows])
    train = measured = np.flatnonzero(splits == "train")
    if recipe.data.limit:
        train = np.sort(
            np.random.default_rng(recipe.train.seed).permutation(train)[: recipe.data.limit]
        )
    if len(measured) < FEWEST:
        raise LabError(
            f"{len(measured)} real images to learn from (source {', '.join(reals.sources) or 'none'}, split train); a "
            f"GAN and its figures need {FEWEST}: index more images"
        )
    if len(train) < recipe.train.batch:
        raise LabError(
            f"{len(train)} real images to learn from (source {', '.join(reals.sources) or 'none'}, split train), "
            f"fewer than a batch of {recipe.train.batch}; index more images or set train.batch={max(2, len(train))} or "
            "less"
        )
    if recipe.evaluate.n > len(measured):
        raise LabError(
            f"evaluate.n = {recipe.evaluate.n}, but there are {len(measured)} real images to compare with; index more "
            f"images or set evaluate.n={len(measured)}"
        )
    discriminator = create_discriminator(
        recipe.model.name, recipe.data.size, **recipe.model.discriminator
    )
    if (recipe.gan.r1, recipe.gan.r2) != (0.0, 0.0) and mixes_images(discriminator):
        raise LabError(
            f"gan.r1 and gan.r2 need a discriminator without batch normalisation; {recipe.model.name} has it "
            "(a gradient penalty is on the gradient of one image's logit)"
        )
    return GanPlan(
        reals,
        train,
        np.flatnonzero(splits == "val"),
        recipe.train.images or recipe.train.epochs * len(train),
        recipe.evaluate.every or recipe.evaluate.every_epochs * len(train),
    )


def check_gan(
    manifest: Manifest,
    recipe: GanRecipe,
    out: str | Path,
    name: str | None,
    resume: bool,
    weights: str | Path | None = None,
) -> GanPlan:
    """The plan; raises LabError for whatever can be refused before images are decoded and the
    folder is taken.
    """
    folder = Path(out) / check_run_name(name or recipe.name)
    plan = plan_gan(manifest, recipe)
    create_sides(recipe)
    check_features(recipe.evaluate.features, weights)
    if not resume:
        refuse_taken(folder)
    return plan


def decode_reals(
    manifest: Manifest, recipe: GanRecipe, progress: Callable[[int], None] | None = None
) -> tuple[tuple[str, str], ...]:
    """Fill the store of decoded images with what the recipe needs; returns what had to be skipped,
    with reasons.
    """
    return load_images(plan_gan(manifest, recipe).manifest, recipe.data.size, progress).skipped


def describe_gan_plan(
    manifest: Manifest, recipe: GanRecipe, weights: str | Path | None = None
) -> str:
    """The recipe as TOML, and in comments what it comes to on this manifest; errors as of
    `check_gan`.
    """
    plan = plan_gan(manifest, recipe)
    check_features(recipe.evaluate.features, weights)
    sides = create_sides(recipe)
    counts = [sum(p.numel() for p in side.parameters()) for side in sides]
    return "\n".join(
        [
            recipe.to_toml(),
            f"# generator {counts[0]:,} parameters, discriminator {counts[1]:,}; data hash {plan.manifest.data_hash}",
            f"# {len(plan.train_rows):,} real images, {len(plan.heldout_rows):,} held out",
            f"# {plan.images:,} images in all, evaluated every {plan.evaluate_every:,} on {recipe.evaluate.n:,}",
        ]
    )


def create_sides(recipe: GanRecipe) -> tuple[nn.Module, nn.Module]:
    """Generator and discriminator with drawn weights."""
    model, size = recipe.model, recipe.data.size
    return (
        create_generator(model.name, size, model.latent, **model.generator),
        create_discriminator(model.name, size, **model.discriminator),
    )
