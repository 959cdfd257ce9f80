"""The tables of a detector's recipe."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import tomli_w
from pydantic import AfterValidator, BeforeValidator, Field

from fauxlab.config.base import (
    MOST_BATCH,
    MOST_EPOCHS,
    Names,
    RunName,
    Table,
    split_names,
)

HeadName = Literal["made", "altered"]


def check_heads(heads: list[HeadName]) -> list[HeadName]:
    """The heads of a detector: none, or both."""
    if heads and sorted(heads) != ["altered", "made"]:
        raise ValueError('expected [] or ["made", "altered"]')
    return heads


class DataConfig(Table):
    """Which images of the manifest, at which size."""

    size: int = Field(
        128, ge=32, le=512, description="side of the square images, pixels; a power of two"
    )
    generators: Names = Field(
        [], description="generators to train on, in this order; empty means all"
    )
    reals: Literal["matched", "all"] = Field(
        "matched", description="to train on: those matched with the generators"
    )
    leave_out: Names = Field(
        [], description="sources of reals that are neither trained nor validated on"
    )


class ModelConfig(Table):
    """A detector by name; `options` go to its constructor."""

    name: str = "report-cnn"
    options: dict[str, Any] = Field({}, description="by the names of the constructor's parameters")
    pretrained: str = Field(
        "", description="a feature network whose weights the trunk starts from; empty: none"
    )
    heads: Annotated[list[HeadName], BeforeValidator(split_names), AfterValidator(check_heads)] = (
        Field(
            [],
            description="made, altered: a head for pictures made whole, and one for photos altered "
            "inside; empty: one head, real or fake",
        )
    )


class TrainConfig(Table):
    """Schedule and optimiser."""

    schedule: Literal["single", "sequential", "joint"] = Field(
        "joint", description="one generator; real + one generator after the other; all at once"
    )
    epochs: int = Field(
        4,
        ge=1,
        le=MOST_EPOCHS,
        description="per stage; an epoch draws as many images as the stage holds",
    )
    batch: int = Field(32, ge=2, le=MOST_BATCH, description="images a step, over all processes")
    balance: Literal["none", "label", "generator", "group"] = Field(
        "label",
        description="none: every image once; label: half real, half fake; generator: and fakes "
        "evenly from each; group: and reals evenly from each source, both evenly from their groups",
    )
    replay: float = Field(
        0.0, ge=0, lt=1, description="sequential: share of a stage that comes from earlier ones"
    )
    crop: int = Field(
        0, ge=0, description="side of the random crops that are seen, pixels; 0: whole images"
    )
    zoom: float = Field(
        0.0, ge=0, le=1, description="share of these crops taken larger or smaller, then resized"
    )
    matched: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the reals that comes from the sources which fakes are compared with "
        "(compare_to), evenly; the others come as balance says",
    )
    altered: float = Field(
        0.35,
        gt=0,
        lt=1,
        description="with heads: share of the fakes that are altered ones; the others are made",
    )
    blend: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the fakes, with heads of the altered ones, that are reals blended "
        "onto themselves",
    )
    decode: float = Field(
        0.0,
        ge=0,
        le=1,
        description="with heads: share of the made fakes that are reals sent through the last "
        "layers of a generator",
    )
    augment: Annotated[
        list[Literal["flip", "filter", "degrade", "tone", "cutout"]], BeforeValidator(split_names)
    ] = Field(
        [],
        description="flip: mirror half of the images; filter: sepia, tints, film, denoising, "
        "sharpening; degrade: rescale, blur and recompress both classes alike; tone: brightness, "
        "contrast and saturation; cutout: a grey square",
    )
    degrade_p: float = Field(
        1.0, ge=0, le=1, description="share of the images that degrade touches"
    )
    ema: float = Field(
        0.0, ge=0, le=1, description="half-life of averaged weights, share of images seen; 0: off"
    )
    lr: float = Field(2e-4, gt=0, allow_inf_nan=False)
    beta1: float = Field(0.5, ge=0, lt=1)
    beta2: float = Field(0.999, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0, allow_inf_nan=False)
    lr_schedule: Literal["constant", "cosine"] = "constant"
    precision: Literal["no", "bf16", "auto"] = Field(
        "no", description="of the convolutions; auto: bf16 where the processor computes in it"
    )
    teacher: str = Field(
        "", description="with heads: a detector whose answers are learned as well; empty: none"
    )
    teacher_weight: float = Field(
        0.5, ge=0, le=1, description="share of the loss against the teacher's answers"
    )
    teacher_temperature: float = Field(
        1.0, gt=0, allow_inf_nan=False, description="the teacher's logits are divided by this"
    )
    teacher_features: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="weight of the error in predicting the teacher's features; 0: not predicted",
    )
    seed: int = Field(0, ge=0, lt=2**63)


class EvaluateConfig(Table):
    """Validation during training and the choice of the released weights."""

    select: Literal["last", "val_auc"] = Field("last", description="which epoch becomes best/")
    batch: int = Field(128, ge=1, le=MOST_BATCH)


class Recipe(Table):
    """One detector experiment."""

    name: RunName
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()

    def to_toml(self) -> str:
        """The recipe as TOML text that `load_recipe` reads back to an equal recipe."""
        return tomli_w.dumps(self.model_dump())
