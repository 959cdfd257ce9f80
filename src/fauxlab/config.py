"""Recipes: typed experiments, read from TOML and overridden by key=value.

A recipe is a TOML file with the tables below. An unknown key or a value of the wrong type is refused with the
key's place and, where one is close, the key that was probably meant.
"""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import tomli_w
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_serializer

from fauxlab.errors import LabError


def _split_names(value: object) -> object:
    """`a,b` on the command line stands for the list ["a", "b"]."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


# What a run folder may be called: no path, nothing that a terminal acts on.
RUN_NAME = r"^\w[\w.\- ]{0,99}$"
RunName = Annotated[str, Field(pattern=RUN_NAME)]
Names = Annotated[list[str], BeforeValidator(_split_names)]


class Table(BaseModel):
    """Base of the recipe's tables: no unknown keys, no silent conversion between types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class DataConfig(Table):
    """Which images of the manifest, at which size."""

    size: int = Field(128, ge=32, le=512, description="side of the square images, pixels; a power of two")
    generators: Names = Field([], description="generators to train on, in this order; empty means all")
    reals: Literal["matched", "all"] = Field("matched", description="to train on: those matched with the generators")


class ModelConfig(Table):
    """A detector by name; `options` go to its constructor."""

    name: str = "report-cnn"
    options: dict[str, Any] = {}
    pretrained: str = Field("", description="a feature network whose weights the trunk starts from; empty: none")


class TrainConfig(Table):
    """Schedule and optimiser."""

    schedule: Literal["single", "sequential", "joint"] = Field(
        "joint", description="one generator; real + one generator after the other; all at once"
    )
    epochs: int = Field(4, ge=1, description="per stage; an epoch draws as many images as the stage holds")
    batch: int = Field(32, ge=2, description="images a step, over all processes")
    balance: Literal["none", "label", "generator", "group"] = Field(
        "label",
        description="none: every image once; label: half real, half fake; generator: and fakes evenly from each; "
        "group: and reals evenly from each source, both evenly from their groups",
    )
    replay: float = Field(0.0, ge=0, lt=1, description="sequential: share of a stage that comes from earlier ones")
    crop: int = Field(0, ge=0, description="side of the random squares that are seen, pixels; 0: whole images")
    zoom: float = Field(0.0, ge=0, le=1, description="share of these squares taken larger or smaller, then resized")
    blend: float = Field(0.0, ge=0, le=1, description="share of the fakes that are reals blended onto themselves")
    augment: Annotated[list[Literal["flip", "degrade", "tone", "cutout"]], BeforeValidator(_split_names)] = Field(
        [],
        description="flip: mirror half of the images; degrade: rescale, blur and recompress both classes alike; "
        "tone: brightness, contrast and saturation; cutout: a grey square",
    )
    degrade_p: float = Field(1.0, ge=0, le=1, description="share of the images that degrade touches")
    ema: float = Field(0.0, ge=0, le=1, description="half-life of averaged weights, share of images seen; 0: off")
    lr: float = Field(2e-4, gt=0, allow_inf_nan=False)
    beta1: float = Field(0.5, ge=0, lt=1)
    beta2: float = Field(0.999, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0, allow_inf_nan=False)
    lr_schedule: Literal["constant", "cosine"] = "constant"
    precision: Literal["no", "bf16"] = "no"
    seed: int = Field(0, ge=0, lt=2**63)


class EvaluateConfig(Table):
    """Validation during training and the choice of the released weights."""

    select: Literal["last", "val_auc"] = Field("last", description="which epoch becomes best/")
    batch: int = Field(128, ge=1)


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


class Cosine(Table):
    """A value that moves from `start` to `end` by a half cosine over the first share `over` of the budget."""

    start: float = Field(ge=0, allow_inf_nan=False)
    end: float = Field(ge=0, allow_inf_nan=False)
    over: float = Field(1.0, gt=0, le=1)

    def at(self, share: float) -> float:
        """The value when `share` of the budget is spent."""
        return self.end + (self.start - self.end) * 0.5 * (1 + math.cos(math.pi * min(share / self.over, 1.0)))


# A number, or {start = …, end = …}.
Scheduled = Annotated[float, Field(ge=0, allow_inf_nan=False)] | Cosine


def value_at(value: float | Cosine, share: float) -> float:
    """A scheduled value when `share` (0 to 1) of the budget is spent."""
    return value.at(share) if isinstance(value, Cosine) else value


def _at_most(value: float | Cosine, most: float) -> float | Cosine:
    if max(value_at(value, 0.0), value_at(value, 1.0)) > most:
        raise ValueError(f"expected at most {most:g}")
    return value


class GanDataConfig(Table):
    """Which real images of the manifest, at which size."""

    size: int = Field(64, ge=32, le=256, description="side of the square images, pixels; a power of two")
    sources: Names = Field([], description="collections of reals to learn from; empty means all")
    limit: int = Field(0, ge=0, description="learn from so many images only, distances still to all; 0: no limit")


class GanModelConfig(Table):
    """A generator and its discriminator by name; the two option tables go to their constructors."""

    name: str = "r3"
    latent: int = Field(64, ge=1, description="length of the latent vector")
    generator: dict[str, Any] = {}
    discriminator: dict[str, Any] = {}


class GanTrainConfig(Table):
    """Budget and optimisers (Adam)."""

    images: int = Field(0, ge=0, description="real images shown to the discriminator; 0: `epochs` decide")
    epochs: int = Field(100, ge=1, description="passes through the real images, where `images` is 0")
    batch: int = Field(64, ge=2, description="images a step, over all processes")
    lr: Scheduled = 2e-4
    discriminator_lr: Scheduled | None = Field(None, description="as `lr` where it is not given")
    beta1: float = Field(0.0, ge=0, lt=1)
    beta2: Scheduled = 0.99
    clip: float = Field(0.0, ge=0, allow_inf_nan=False, description="largest norm of a network's gradient; 0: none")
    precision: Literal["no", "bf16"] = "no"
    seed: int = Field(0, ge=0, lt=2**63)

    @field_validator("beta2")
    @classmethod
    def _below_one(cls, value: float | Cosine) -> float | Cosine:
        return _at_most(value, 0.99999)

    @model_serializer(mode="wrap")
    def _without_none(self, dump: Any) -> Any:
        return {key: value for key, value in dump(self).items() if value is not None}  # TOML has no null


class GanConfig(Table):
    """The game: losses, regularisers, and how many updates each side gets."""

    loss: Literal["bce", "hinge", "relativistic"] = "relativistic"
    smoothing: float = Field(0.0, ge=0, lt=0.5, description="bce: the target of a real image is 1 minus this")
    r1: Scheduled = Field(0.0, description="gamma of the penalty on gradients at real images")
    r2: Scheduled = Field(0.0, description="gamma of the penalty on gradients at fakes")
    penalty_every: int = Field(1, ge=1, description="discriminator updates from penalty to penalty, weighted to match")
    noise: Scheduled = Field(0.0, description="standard deviation of instance noise; images span [-1, 1]")
    flip: bool = Field(True, description="mirror half of the real images")
    augment: Annotated[list[Literal["translation", "colour", "cutout"]], BeforeValidator(_split_names)] = Field(
        [], description="differentiable augmentations"
    )
    augment_p: Scheduled = Field(1.0, description="share of the images that are augmented")
    ema: float = Field(0.0, ge=0, le=1, description="half-life of the averaged generator, share of images seen; 0: off")
    steps: Literal["fixed", "adaptive"] = Field("fixed", description="adaptive: the report's controller moves them")
    generator_steps: int = Field(1, ge=1)
    discriminator_steps: int = Field(1, ge=1)
    most_generator_steps: int = Field(5, ge=1, description="adaptive only")
    most_discriminator_steps: int = Field(3, ge=1, description="adaptive only")
    adapt_every: int = Field(50, ge=1, description="adaptive only: rounds from decision to decision")

    @field_validator("augment_p")
    @classmethod
    def _a_share(cls, value: float | Cosine) -> float | Cosine:
        return _at_most(value, 1.0)


class GanEvaluateConfig(Table):
    """Distance during training, on the averaged generator where there is one."""

    every: int = Field(0, ge=0, description="images from evaluation to evaluation; 0: `every_epochs` decides")
    every_epochs: int = Field(5, ge=1)
    n: int = Field(2000, ge=16, description="generated images, and as many real ones")
    features: str = Field("randconv", description="feature network, see `fauxlab models list`")


class GuardConfig(Table):
    """The collapse guard; its signals come from a cheap feature network whatever `evaluate.features` is."""

    every: int = Field(10_000, ge=0, description="images from check to check; 0: no guard")
    n: int = Field(1000, ge=64, description="images of each kind that a check looks at")
    patience: int = Field(2, ge=1, description="checks in a row that must agree before it alarms")
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


R = TypeVar("R", Recipe, GanRecipe)


def list_recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    folder = resources.files("fauxlab") / "recipes"
    return sorted(p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml"))


def recipe_text(name: str) -> str:
    """The TOML text of a packaged recipe, comments included."""
    known = list_recipes()
    if name not in known:
        raise LabError(f"no recipe {name!r}{_meant(name, known)}; `fauxlab recipes list` shows all")
    return (resources.files("fauxlab") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")


def load_recipe(source: str | Path, overrides: list[str] | None = None) -> Recipe:
    """A detector's recipe by packaged name or TOML path, with `table.key=value` overrides applied in order.

    A recipe with `base = "NAME"` changes the packaged recipe of that name. Raises LabError on TOML that does not
    parse, unknown keys (with a suggestion), wrong types, and a recipe for a GAN.
    """
    return _load(Recipe, source, overrides or [])


def load_gan_recipe(source: str | Path, overrides: list[str] | None = None) -> GanRecipe:
    """A GAN's recipe, as `load_recipe` reads a detector's."""
    return _load(GanRecipe, source, overrides or [])


def any_recipe(source: str | Path, overrides: list[str] | None = None) -> Recipe | GanRecipe:
    """A recipe of either kind."""
    return (load_gan_recipe if "gan" in _tree(source) else load_recipe)(source, overrides)


def _load(kind: type[R], source: str | Path, overrides: list[str]) -> R:
    tree = _tree(source)
    if "gan" in tree and kind is not GanRecipe:
        raise LabError(f"recipe {source} is for a GAN; use it with `fauxlab gan train`")
    if "gan" not in tree and kind is GanRecipe:
        raise LabError(
            f"recipe {source} has no [gan] table, so it is for a detector; use it with `fauxlab detector train`, or "
            "add the table"
        )
    for item in overrides:
        _override(tree, item)
    return parse_recipe(tree, str(source), kind)


def _tree(source: str | Path) -> dict[str, Any]:
    """The recipe's tables, laid over those of its base."""
    path = Path(source)
    if path.suffix == ".toml":
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise LabError(f"cannot read recipe {path}: {error}") from error
    else:
        text = recipe_text(str(source))
    try:
        tree: dict[str, Any] = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise LabError(f"recipe {source} is not TOML: {error}") from error
    tree.setdefault("name", path.stem)
    base = tree.pop("base", None)
    if base is None:
        return tree
    if not isinstance(base, str) or base.endswith(".toml") or base == str(source):
        raise LabError(f"recipe {source}: base = {base!r}, expected the name of another packaged recipe")
    return _merged(_tree(base), tree)


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    both = {k: _merged(base[k], v) for k, v in changes.items() if isinstance(v, dict) and isinstance(base.get(k), dict)}
    return {**base, **changes, **both}


def parse_recipe(tree: dict[str, Any], where: str, kind: type[R]) -> R:
    """Validate a recipe's tree; every fault is named in one LabError."""
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        faults = dict.fromkeys(_fault(e, kind) for e in error.errors() if not _other_form(e))
        raise LabError(f"recipe {where}: " + "; ".join(faults)) from None


def check_run_name(name: str) -> str:
    """The name, when a run folder may be called so. Raises LabError on paths, control characters and the like."""
    if not re.match(RUN_NAME, name):
        raise LabError(f"run name {name!r:.120}: up to 100 letters, digits, spaces and .-_, beginning with no sign")
    return name


def as_name(text: str) -> str:
    """What a manifest calls a generator, as a part of a run's or folder's name: other characters become `_`."""
    return re.sub(r"[^\w.\- ]", "_", text)


def difference(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """Lines `key: old → new` for every leaf in which two trees differ."""
    lines = []
    for key in sorted(old.keys() | new.keys()):
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            lines += difference(a, b, f"{prefix}{key}.")
        elif a != b:
            lines.append(f"{prefix}{key}: {a!r} → {b!r}")
    return lines


def _override(tree: dict[str, Any], item: str) -> None:
    key, sign, raw = item.partition("=")
    if not sign or not key.strip():
        raise LabError(f"--set {item!r}: write it as table.key=value, for example --set train.lr=1e-4")
    try:
        value = tomllib.loads(f"v = {raw}")["v"]
    except tomllib.TOMLDecodeError:
        value = raw  # bare words need no quotes on a command line
    node = tree
    *tables, leaf = key.strip().split(".")
    for table in tables:
        node = node.setdefault(table, {})
        if not isinstance(node, dict):
            raise LabError(f"--set {item!r}: {table!r} is a value, not a table")
    node[leaf] = value


# How pydantic names the two forms of a scheduled value, each of which it tries.
FORMS = ("constrained-float", "float", "Cosine")


def _other_form(error: Any) -> bool:
    """Whether the fault is only that a number is no schedule, or a schedule no number."""
    return ("Cosine" in error["loc"] and not isinstance(error["input"], dict) and error["loc"][-1] == "Cosine") or (
        error["loc"][-1] in FORMS[:2] and isinstance(error["input"], dict)
    )


def _fault(error: Any, kind: type[Recipe] | type[GanRecipe]) -> str:
    place = ".".join(str(part) for part in error["loc"] if part not in FORMS)
    if error["type"] != "extra_forbidden":
        return f"{place} = {error['input']!r}: {error['msg'].removeprefix('Value error, ').lower()}"
    model: Any = kind
    for part in error["loc"][:-1]:
        if part in FORMS:
            continue
        model = model.model_fields[part].annotation
        model = next((m for m in (model, *get_args(model)) if hasattr(m, "model_fields")), model)
    prefix = "".join(f"{part}." for part in error["loc"][:-1] if part not in FORMS)
    close = difflib.get_close_matches(str(error["loc"][-1]), list(model.model_fields), 1, 0.5)
    if close:
        return f"unknown key {place}: did you mean {prefix}{close[0]}?"
    # A key in the wrong table is the next most common slip.
    for table, field in kind.model_fields.items():
        inner = getattr(field.annotation, "model_fields", {})
        if str(error["loc"][-1]) in inner:
            return f"unknown key {place}: did you mean {table}.{error['loc'][-1]}?"
    return f"unknown key {place}; known here: {', '.join(model.model_fields)}"


def _meant(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, 1, 0.4)
    return f", did you mean {close[0]!r}?" if close else ""
