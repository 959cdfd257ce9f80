"""The values of a GAN's recipe that move over a training, at one moment of it."""

from __future__ import annotations

from dataclasses import dataclass

from fauxlab.config import Cosine, GanRecipe, value_at

# What each rollback does: the learning rates are multiplied by GENTLER and the penalties by FIRMER,
# and the share of augmented images grows by MORE.
GENTLER, FIRMER, MORE = 0.5, 2.0, 0.3
# The augmentations after a rollback where the recipe has none.
RESCUE_AUGMENTATIONS = ("translation", "colour", "cutout")


@dataclass(frozen=True)
class Values:
    """The moving values; those of the recipe unless training was rolled back."""

    lr: float
    discriminator_lr: float
    beta2: float
    r1: float
    r2: float
    noise: float
    augment: tuple[str, ...]
    augment_p: float

    @property
    def has_penalty(self) -> bool:
        """Whether the discriminator's gradients are penalised at all."""
        return self.r1 > 0 or self.r2 > 0


def values_at(recipe: GanRecipe, share: float, rollbacks: int) -> Values:
    """The values when `share` (0 to 1) of the budget is spent, after so many rollbacks."""
    train = recipe.train
    gan = recipe.gan
    gentler = GENTLER**rollbacks
    firmer = FIRMER**rollbacks
    spent = min(share, 1.0)

    def now(value: float | Cosine) -> float:
        return value_at(value, spent)

    augment: tuple[str, ...] = tuple(gan.augment)
    augment_p = now(gan.augment_p) if augment else 0.0
    if rollbacks:
        augment = augment or RESCUE_AUGMENTATIONS
        augment_p = min(1.0, augment_p + MORE * rollbacks)
    discriminator_lr = train.lr if train.discriminator_lr is None else train.discriminator_lr
    return Values(
        lr=now(train.lr) * gentler,
        discriminator_lr=now(discriminator_lr) * gentler,
        beta2=now(train.beta2),
        r1=now(gan.r1) * firmer,
        r2=now(gan.r2) * firmer,
        noise=now(gan.noise),
        augment=augment,
        augment_p=augment_p,
    )
