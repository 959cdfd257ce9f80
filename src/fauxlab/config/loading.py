"""Reading recipes: from TOML, bases and overrides to typed tables, with faults named in words.

An unknown key or a value of the wrong type is refused with the key's place and, where one is close,
the key that was probably meant.
"""

from __future__ import annotations

import re
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from fauxlab.config.base import RUN_NAME
from fauxlab.config.detector import Recipe
from fauxlab.config.faults import describe_faults
from fauxlab.config.gan import GanRecipe
from fauxlab.errors import LabError, suggest
from fauxlab.io.reading import check_values, parse_toml, read_text
from fauxlab.io.text import printable, shorten

R = TypeVar("R", Recipe, GanRecipe)

MOST_BYTES = 2**23  # of a recipe
MOST_LETTERS = 64  # of a name for which a like one is looked for


def list_recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    names = []
    for path in _recipes().iterdir():
        if path.name.endswith(".toml"):
            names.append(path.name.removesuffix(".toml"))
    return sorted(names)


def recipe_text(name: str) -> str:
    """The TOML text of a packaged recipe, comments included."""
    known = list_recipes()
    if name not in known:
        guess = suggest(name[:MOST_LETTERS], known)
        raise LabError(f"no recipe {shorten(repr(name))}; `fauxlab recipes list` shows all{guess}")
    path = _recipes() / f"{name}.toml"
    return path.read_text(encoding="utf-8")


def _recipes() -> Traversable:
    """The folder of the packaged recipes."""
    return resources.files("fauxlab") / "recipes"


def load_recipe(source: str | Path, overrides: list[str] | None = None) -> Recipe:
    """A detector's recipe by packaged name or TOML path, with overrides applied in order.

    An override is written `table.key=value`. A recipe with `base = "NAME"` changes the packaged
    recipe of that name. Raises LabError on TOML that does not parse, unknown keys (with a
    suggestion), wrong types, and a recipe for a GAN.

    >>> load_recipe("unified-joint", ["train.epochs=2"]).train.epochs
    2
    """
    return _load(Recipe, source, overrides or [])


def load_gan_recipe(source: str | Path, overrides: list[str] | None = None) -> GanRecipe:
    """A GAN's recipe, as `load_recipe` reads a detector's.

    >>> load_gan_recipe("r3-32").data.size
    32
    """
    return _load(GanRecipe, source, overrides or [])


def any_recipe(source: str | Path, overrides: list[str] | None = None) -> Recipe | GanRecipe:
    """A recipe of either kind."""
    if "gan" in _read_tree(source):
        return load_gan_recipe(source, overrides)
    return load_recipe(source, overrides)


def _load(kind: type[R], source: str | Path, overrides: list[str]) -> R:
    tree = _read_tree(source)
    is_for_gan = "gan" in tree
    wants_gan = kind is GanRecipe
    where = printable(source)
    if is_for_gan and not wants_gan:
        raise LabError(f"recipe {where} is for a GAN; use it with `fauxlab gan train`")
    if wants_gan and not is_for_gan:
        raise LabError(
            f"recipe {where} has no [gan] table, so it is for a detector; "
            "use it with `fauxlab detector train`, or add the table"
        )
    for item in overrides:
        _override(tree, item, kind)
    return parse_recipe(tree, where, kind)


def _read_tree(source: str | Path) -> dict[str, Any]:
    """The recipe's tables, laid over those of its base."""
    text = _read_text(source)
    where = printable(source)
    try:
        tree = parse_toml(text)
    except ValueError as error:
        raise LabError(f"recipe {where} is not TOML: {shorten(str(error))}") from error
    tree.setdefault("name", Path(source).stem)
    base = tree.pop("base", None)
    if base is None:
        return tree
    is_name = isinstance(base, str) and not base.endswith(".toml")
    if not is_name or base == str(source):
        raise LabError(
            f"recipe {where}: base = {shorten(repr(base))}, "
            "expected the name of another packaged recipe"
        )
    base_tree = _read_tree(base)
    return _merge(base_tree, tree)


def _read_text(source: str | Path) -> str:
    path = Path(source)
    if path.suffix != ".toml":
        return recipe_text(str(source))
    return read_text(path, MOST_BYTES, encoding="utf-8-sig", what="recipe")


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The base with the changes, table by table."""
    merged = {**base, **changes}
    for key, value in changes.items():
        before = base.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            merged[key] = _merge(before, value)
    return merged


def parse_recipe(tree: dict[str, Any], where: str, kind: type[R]) -> R:
    """Validate a recipe's tree; one LabError names its faults, the first ones of many."""
    try:
        check_values(tree)
        return kind.model_validate(tree)
    except ValidationError as error:
        faults = describe_faults(error, kind)
    except ValueError as error:
        faults = str(error)
    raise LabError(f"recipe {where}: {faults}") from None


def check_run_name(name: str) -> str:
    """The name, when a run folder may have it.

    Raises LabError on paths, control characters and the like.
    """
    if not re.match(RUN_NAME, name):
        raise LabError(
            f"run name {name!r:.120}: up to 100 letters, digits, spaces and .-_, "
            "beginning with no sign"
        )
    return name


def as_name(text: str) -> str:
    """A manifest's name of a generator as a part of folder names: other characters become `_`."""
    return re.sub(r"[^\w.\- ]", "_", text)


def difference(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """Lines `key: old → new` for every leaf in which two trees differ."""
    lines = []
    keys = old.keys() | new.keys()
    for key in sorted(keys):
        before = old.get(key)
        after = new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            lines += difference(before, after, f"{prefix}{key}.")
        elif before != after:
            lines.append(f"{prefix}{key}: {before!r} → {after!r}")
    return lines


def _override(tree: dict[str, Any], item: str, kind: type[R]) -> None:
    """Set what `table.key=value` says, in place."""
    key, sign, raw = item.partition("=")
    shown = shorten(repr(item))
    if not sign or not key.strip():
        raise LabError(
            f"--set {shown}: write it as table.key=value, for example --set train.lr=1e-4"
        )
    path = key.strip().split(".")
    *tables, leaf = path
    node = tree
    for table in tables:
        node = node.setdefault(table, {})
        if not isinstance(node, dict):
            raise LabError(f"--set {shown}: {shorten(repr(table))} is a value, not a table")
    as_text = _takes_text(kind, path)
    node[leaf] = _read_value(raw, as_text)


def _read_value(raw: str, as_text: bool) -> Any:
    """A value of --set as TOML reads it; `as_text` where only text or lists of text fit."""
    try:
        table = parse_toml(f"v = {raw}")
    except ValueError:
        return raw  # bare words need no quotes on a command line
    value = table["v"]
    if as_text and not isinstance(value, str | list):
        return raw.strip()  # a generator may be called 2.10
    return value


def _takes_text(kind: Any, path: list[str]) -> bool:
    """Whether the value at this place is text, or a list of it."""
    for part in path:
        fields = getattr(kind, "model_fields", {})
        field = fields.get(part)
        kind = field and field.annotation
    return kind in (str, list[str])
