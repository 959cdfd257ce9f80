"""The tables of a GAN's recipe, and the values that move over a training."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_serializer

from fauxlab.config.base import (
    MOST_BATCH,
    MOST_EPOCHS,
    MOST_IMAGES,
    MOST_MEASURED,
    Names,
    RunName,
    Table,
    split_names,
)

FEWEST = 16  # images from which the figures of a GAN can be computed


class Cosine(Table):
    """A value that moves from `start` to `end` by a half cosine.

    It arrives when the share `over` of the budget is spent, and then stays.
    """

    start: float = Field(ge=0, allow_inf_nan=False)
    end: float = Field(ge=0, allow_inf_nan=False)
    over: float = Field(1.0, gt=0, le=1)

    def at(self, share: float) -> float:
        """The value when `share` of the budget is spent."""
        progress = min(share / self.over, 1.0)
        cosine = math.cos(math.pi * progress)
        left = 0.5 * (1 + cosine)  # from 1 to 0
        distance = self.start - self.end
        return self.end + distance * left


# A number, or {start = …, end = …}.
Scheduled = Annotated[float, Field(ge=0, allow_inf_nan=False)] | Cosine


def value_at(value: float | Cosine, share: float) -> float:
    """A scheduled value when `share` (0 to 1) of the budget is spent."""
    if isinstance(value, Cosine):
        return value.at(share)
    return value


def _at_most(value: float | Cosine, most: float) -> float | Cosine:
    start = value_at(value, 0.0)
    end = value_at(value, 1.0)
    if max(start, end) > most:
        raise ValueError(f"expected at most {most:g}")
    return value


class GanDataConfig(Table):
    """Which real images of the manifest, at which size."""

    size: int = Field(
        64, ge=32, le=256, description="side of the square images, pixels; a power of two"
    )
    sources: Names = Field([], description="collections of reals to learn from; empty means all")
    limit: int = Field(
        0, ge=0, description="learn from so many images only, distances still to all; 0: no limit"
    )


class GanModelConfig(Table):
    """A generator and its discriminator by name; the two option tables go to their constructors."""

    name: str = "r3"
    latent: int = Field(64, ge=1, le=65536, description="length of the latent vector")
    generator: dict[str, Any] = Field({}, description="options of its constructor")
    discriminator: dict[str, Any] = Field({}, description="options of its constructor")


class GanTrainConfig(Table):
    """Budget and optimisers (Adam)."""

    images: int = Field(
        0,
        ge=0,
        le=MOST_IMAGES,
        description="real images shown to the discriminator; 0: `epochs` decide",
    )
    epochs: int = Field(
        100,
        ge=1,
        le=MOST_EPOCHS,
        description="passes through the real images, where `images` is 0",
    )
    batch: int = Field(
        64, ge=2, le=MOST_BATCH, description="images in an update, over all processes"
    )
    lr: Scheduled = 2e-4
    discriminator_lr: Scheduled | None = Field(None, description="as `lr` where it is not given")
    beta1: float = Field(0.0, ge=0, lt=1)
    beta2: Scheduled = 0.99
    clip: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="largest norm of a network's gradient; 0: none"
    )
    precision: Literal["no", "bf16"] = "no"
    seed: int = Field(0, ge=0, lt=2**63)

    @field_validator("beta2")
    @classmethod
    def _below_one(cls, value: float | Cosine) -> float | Cosine:
        return _at_most(value, 0.99999)

    @model_serializer(mode="wrap")
    def _without_none(self, dump: Any) -> Any:
        # TOML has no null.
        table = dump(self)
        return {key: value for key, value in table.items() if value is not None}


class GanConfig(Table):
    """The updates: losses, regularisers, and how many of them each network gets in a step."""

    loss: Literal["bce", "hinge", "relativistic"] = "relativistic"
    smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="bce: the target of a real image is 1 minus this"
    )
    r1: Scheduled = Field(0.0, description="gamma of the penalty on gradients at real images")
    r2: Scheduled = Field(0.0, description="gamma of the penalty on gradients at fakes")
    penalty_every: int = Field(
        1, ge=1, description="discriminator updates from penalty to penalty, weighted to match"
    )
    noise: Scheduled = Field(
        0.0, description="standard deviation of instance noise; images span [-1, 1]"
    )
    flip: bool = Field(True, description="mirror half of the real images")
    augment: Annotated[
        list[Literal["translation", "colour", "cutout"]], BeforeValidator(split_names)
    ] = Field([], description="differentiable augmentations")
    augment_p: Scheduled = Field(1.0, description="share of the images that are augmented")
    ema: float = Field(
        0.0,
        ge=0,
        le=1,
        description="half-life of the averaged generator, share of images seen; 0: off",
    )
    steps: Literal["fixed", "adaptive"] = Field(
        "fixed", description="adaptive: the student paper's controller moves them"
    )
    generator_steps: int = Field(1, ge=1)
    discriminator_steps: int = Field(1, ge=1)
    most_generator_steps: int = Field(5, ge=1, validate_default=True, description="adaptive only")
    most_discriminator_steps: int = Field(
        3, ge=1, validate_default=True, description="adaptive only"
    )
    adapt_every: int = Field(50, ge=1, description="adaptive only: steps from decision to decision")

    @field_validator("augment_p")
    @classmethod
    def _a_share(cls, value: float | Cosine) -> float | Cosine:
        return _at_most(value, 1.0)

    @field_validator("most_generator_steps", "most_discriminator_steps")
    @classmethod
    def _not_below_the_start(cls, value: int, info: ValidationInfo) -> int:
        name = str(info.field_name).removeprefix("most_")
        start = info.data.get(name, 1)
        is_adaptive = info.data.get("steps") == "adaptive"
        if is_adaptive and start > value:
            raise ValueError(f"expected at least gan.{name} = {start}")
        return value


class GanEvaluateConfig(Table):
    """Distance during training, on the averaged generator where there is one."""

    every: int = Field(
        0, ge=0, description="images from evaluation to evaluation; 0: `every_epochs` decides"
    )
    every_epochs: int = Field(5, ge=1)
    n: int = Field(
        2000, ge=FEWEST, le=MOST_MEASURED, description="generated images, and as many real ones"
    )
    features: str = Field("randconv", description="feature network, see `fauxlab models list`")


class GuardConfig(Table):
    """The collapse guard, whose signals come from a cheap feature network of its own."""

    every: int = Field(10_000, ge=0, description="images from check to check; 0: no guard")
    n: int = Field(1000, ge=64, le=MOST_MEASURED, description="images of each kind in a check")
    patience: int = Field(
        2, ge=1, description="checks in a row before it alarms, unless one is plain"
    )
    on_collapse: Literal["warn", "stop", "rollback"] = "warn"
    rollbacks: int = Field(2, ge=0, description="at most, then stop")


class GanRecipe(Table):
    """One generator experiment."""

    name: RunName
    data: GanDataConfig = GanDataConfig()
    model: GanModelConfig = GanModelConfig()
    train: GanTrainConfig = GanTrainConfig()
    gan: GanConfig = GanConfig()
    evaluate: GanEvaluateConfig = GanEvaluateConfig()
    guard: GuardConfig = GuardConfig()

    def to_toml(self) -> str:
        """The recipe as TOML text that `load_gan_recipe` reads back to an equal recipe."""
        return tomli_w.dumps(self.model_dump())
