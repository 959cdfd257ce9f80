"""Recipes read: TOML, bases and overrides to typed tables, and what is wrong with them in words.

An unknown key or a value of the wrong type is refused with the key's place and, where one is close,
the key that was probably meant.
"""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from fauxlab.config.base import RUN_NAME
from fauxlab.config.detector import Recipe
from fauxlab.config.gan import GanRecipe
from fauxlab.errors import LabError, nearest, suggest

R = TypeVar("R", Recipe, GanRecipe)


def list_recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    folder = resources.files("fauxlab") / "recipes"
    return sorted(
        p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml")
    )


def recipe_text(name: str) -> str:
    """The TOML text of a packaged recipe, comments included."""
    known = list_recipes()
    if name not in known:
        raise LabError(
            f"no recipe {name!r}; `fauxlab recipes list` shows all{suggest(name, known)}"
        )
    return (resources.files("fauxlab") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")


def load_recipe(source: str | Path, overrides: list[str] | None = None) -> Recipe:
    """A detector's recipe by packaged name or TOML path, with `table.key=value` overrides applied
    in order.

    A recipe with `base = "NAME"` changes the packaged recipe of that name. Raises LabError on TOML
    that does not parse, unknown keys (with a suggestion), wrong types, and a recipe for a GAN.
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
        _override(tree, item, kind)
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
        raise LabError(
            f"recipe {source}: base = {base!r}, expected the name of another packaged recipe"
        )
    return _merged(_tree(base), tree)


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    both = {
        k: _merged(base[k], v)
        for k, v in changes.items()
        if isinstance(v, dict) and isinstance(base.get(k), dict)
    }
    return {**base, **changes, **both}


def parse_recipe(tree: dict[str, Any], where: str, kind: type[R]) -> R:
    """Validate a recipe's tree; every fault is named in one LabError."""
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        faults = dict.fromkeys(_fault(e, kind) for e in error.errors() if not _other_form(e))
        raise LabError(f"recipe {where}: " + "; ".join(faults)) from None


def check_run_name(name: str) -> str:
    """The name, when a run folder may be called so. Raises LabError on paths, control characters
    and the like.
    """
    if not re.match(RUN_NAME, name):
        raise LabError(
            f"run name {name!r:.120}: up to 100 letters, digits, spaces and .-_, beginning with no sign"
        )
    return name


def as_name(text: str) -> str:
    """What a manifest calls a generator, as a part of a run's or folder's name: other characters
    become `_`.
    """
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


def _override(tree: dict[str, Any], item: str, kind: type[R]) -> None:
    key, sign, raw = item.partition("=")
    if not sign or not key.strip():
        raise LabError(
            f"--set {item!r}: write it as table.key=value, for example --set train.lr=1e-4"
        )
    try:
        value = tomllib.loads(f"v = {raw}")["v"]
    except tomllib.TOMLDecodeError:
        value = raw  # bare words need no quotes on a command line
    *tables, leaf = path = key.strip().split(".")
    if not isinstance(value, str | list) and _takes_text(kind, path):
        value = raw.strip()  # a generator may be called 2.10
    node = tree
    for table in tables:
        node = node.setdefault(table, {})
        if not isinstance(node, dict):
            raise LabError(f"--set {item!r}: {table!r} is a value, not a table")
    node[leaf] = value


def _takes_text(kind: Any, path: list[str]) -> bool:
    """Whether the value there is text, or a list of it."""
    for part in path:
        field = getattr(kind, "model_fields", {}).get(part)
        kind = field and field.annotation
    return kind in (str, list[str])


# How pydantic names the two forms of a scheduled value, each of which it tries.
FORMS = ("constrained-float", "float", "Cosine")


def _other_form(error: Any) -> bool:
    """Whether the fault is only that a number is no schedule, or a schedule no number."""
    return (
        "Cosine" in error["loc"]
        and not isinstance(error["input"], dict)
        and error["loc"][-1] == "Cosine"
    ) or (error["loc"][-1] in FORMS[:2] and isinstance(error["input"], dict))


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
    if close := nearest(str(error["loc"][-1]), model.model_fields):
        return f"unknown key {place}: did you mean {prefix}{close}?"
    # A key in the wrong table is the next most common slip.
    for table, field in kind.model_fields.items():
        inner = getattr(field.annotation, "model_fields", {})
        if str(error["loc"][-1]) in inner:
            return f"unknown key {place}: did you mean {table}.{error['loc'][-1]}?"
    return f"unknown key {place}; known here: {', '.join(model.model_fields)}"
