"""Recipes: typed experiments, read from TOML and overridden by key=value.

A recipe is a TOML file with the tables below. An unknown key or a value of the wrong type is refused with the
key's place and, where one is close, the key that was probably meant.
"""

from __future__ import annotations

import difflib
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tomli_w
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from fauxlab.errors import LabError


def _split_names(value: object) -> object:
    """`a,b` on the command line stands for the list ["a", "b"]."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Names = Annotated[list[str], BeforeValidator(_split_names)]


class Table(BaseModel):
    """Base of the recipe's tables: no unknown keys, no silent conversion between types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class DataConfig(Table):
    """Which images of the manifest, at which size."""

    size: int = Field(128, ge=32, le=512, description="side of the square images, pixels; a power of two")
    generators: Names = Field([], description="generators to train on, in this order; empty means all")


class ModelConfig(Table):
    """A detector by name; `options` go to its constructor."""

    name: str = "report-cnn"
    options: dict[str, Any] = {}


class TrainConfig(Table):
    """Schedule and optimiser."""

    schedule: Literal["single", "sequential", "joint"] = Field(
        "joint", description="one generator; real + one generator after the other; all at once"
    )
    epochs: int = Field(4, ge=1, description="per stage; an epoch draws as many images as the stage holds")
    batch: int = Field(32, ge=2, description="images a step, over all processes")
    balance: Literal["none", "label", "generator"] = Field(
        "label", description="none: every image once; label: half real, half fake; generator: fakes evenly from each"
    )
    augment: list[Literal["flip"]] = []
    lr: float = Field(2e-4, gt=0)
    beta1: float = Field(0.5, ge=0, lt=1)
    beta2: float = Field(0.999, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    lr_schedule: Literal["constant", "cosine"] = "constant"
    precision: Literal["no", "bf16"] = "no"
    seed: int = Field(0, ge=0)


class EvaluateConfig(Table):
    """Validation during training and the choice of the released weights."""

    select: Literal["last", "val_auc"] = Field("last", description="which epoch becomes best/")
    batch: int = Field(128, ge=1)


class Recipe(Table):
    """One detector experiment."""

    name: str
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()

    def to_toml(self) -> str:
        """The recipe as TOML text that `load_recipe` reads back to an equal recipe."""
        return tomli_w.dumps(self.model_dump())


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
    """A recipe by packaged name or TOML path, with `table.key=value` overrides applied in order.

    Raises LabError on TOML that does not parse, unknown keys (with a suggestion) and wrong types.
    """
    path = Path(source)
    if path.suffix == ".toml":
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise LabError(f"cannot read recipe {path}: {error}") from error
    else:
        text = recipe_text(str(source))
    try:
        tree: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LabError(f"recipe {source} is not TOML: {error}") from error
    tree.setdefault("name", path.stem)
    for item in overrides or []:
        _override(tree, item)
    return parse_recipe(tree, str(source))


def parse_recipe(tree: dict[str, Any], where: str) -> Recipe:
    """Validate a recipe's tree; every fault is named in one LabError."""
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise LabError(f"recipe {where}: " + "; ".join(_fault(e) for e in error.errors())) from None


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


def _fault(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] != "extra_forbidden":
        return f"{place} = {error['input']!r}: {error['msg'].lower()}"
    model: Any = Recipe
    for part in error["loc"][:-1]:
        model = model.model_fields[part].annotation
        model = next((m for m in (model, *get_args(model)) if hasattr(m, "model_fields")), model)
    prefix = "".join(f"{part}." for part in error["loc"][:-1])
    close = difflib.get_close_matches(str(error["loc"][-1]), list(model.model_fields), 1, 0.5)
    if close:
        return f"unknown key {place}: did you mean {prefix}{close[0]}?"
    # A key in the wrong table is the next most common slip.
    for table, field in Recipe.model_fields.items():
        inner = getattr(field.annotation, "model_fields", {})
        if str(error["loc"][-1]) in inner:
            return f"unknown key {place}: did you mean {table}.{error['loc'][-1]}?"
    return f"unknown key {place}; known here: {', '.join(model.model_fields)}"


def _meant(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, 1, 0.4)
    return f", did you mean {close[0]!r}?" if close else ""
