"""A model's folder: read with care, written whole or not at all. Needs no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from fauxlab.bundle.card import write_card
from fauxlab.bundle.config import SCHEMA_VERSION, DetectorConfig, GeneratorConfig, config_text
from fauxlab.errors import LabError
from fauxlab.io.files import folder_aside
from fauxlab.io.reading import parse_json, read_text
from fauxlab.io.text import describe_error, printable, write_fault

# A bundle is a folder of CONFIG, CARD, and WEIGHTS for torch or GRAPH for onnxruntime.
WEIGHTS = "model.safetensors"
GRAPH = "model.onnx"
CONFIG = "config.json"
CARD = "README.md"
# Heads on a tower that lies elsewhere (`fauxlab.bundle.tower`), beside GRAPH.
HEADS = "heads.npz"
# What the detector makes of known pictures, as numbers: optional, and no part of the hash.
REFERENCE = "reference.npz"
BUNDLE = frozenset((WEIGHTS, GRAPH, HEADS, CONFIG, CARD, REFERENCE))
# The commands that make a model of each kind.
MAKERS = {"detector": "detector train", "generator": "gan train"}
HASH_DIGITS = 16
CHUNK = 2**20  # bytes
MOST_CONFIG = 2**20  # bytes
LONGEST_PLACE = 100  # characters of the name of a faulty field

Config = TypeVar("Config", DetectorConfig, GeneratorConfig)


# --- read


def read_config(folder: Path, kind: type[Config], what: str, weights: str = WEIGHTS) -> Config:
    """The config of a bundle; `what` is "detector" or "generator", as `kind` is.

    Raises LabError where the folder is no bundle: a part is missing, damaged, of a newer version,
    or of another kind of model.
    """
    name = printable(folder)
    if folder.is_file():
        raise LabError(
            f"{name} is a file; a model is a folder with {CONFIG} and {WEIGHTS} "
            "(pickled checkpoints can run code and are never loaded)"
        )
    for part in (CONFIG, weights):
        if not (folder / part).is_file():
            raise LabError(f"no {part} in {name}; {_where_to_look(folder)}")
    text = read_text(folder / CONFIG, MOST_CONFIG)
    try:
        fields = parse_json(text)
        _refuse_other_kind(folder, fields, what)
        _refuse_newer(folder, fields)
        return kind.model_validate(fields)
    except ValueError as error:
        reason = _first_fault(error)
        raise LabError(
            f"{name}/{CONFIG} is not a {what}'s config ({reason}); fetch or train the model again"
        ) from None


def read_any_config(folder: Path) -> DetectorConfig | GeneratorConfig:
    """The config of a bundle of either kind; errors as of `read_config`."""
    weights = GRAPH if (folder / GRAPH).is_file() else WEIGHTS
    try:
        return read_config(folder, DetectorConfig, "detector", weights)
    except LabError:
        with suppress(LabError):
            return read_config(folder, GeneratorConfig, "generator", weights)
        raise


def hash_bundle(folder: Path, weights: str = WEIGHTS) -> str:
    """16 hexadecimal digits of SHA-256 over config and weights, and over HEADS where they are."""
    digest = hashlib.sha256()
    parts = [CONFIG, weights]
    if (folder / HEADS).is_file():
        parts.append(HEADS)
    for name in parts:
        with (folder / name).open("rb") as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
    return digest.hexdigest()[:HASH_DIGITS]


def _first_fault(error: ValueError) -> str:
    """The first of the faults of a config, with its place."""
    if not isinstance(error, ValidationError):
        return describe_error(error)
    fault = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, fault["loc"]))
    words = fault["msg"].lower()
    return describe_error(ValueError(f"{place[:LONGEST_PLACE]}: {words}" if place else words))


def _refuse_other_kind(folder: Path, fields: Any, what: str) -> None:
    if not isinstance(fields, dict):
        return
    kind = fields.get("kind", what)
    if kind != what and kind in ("detector", "generator"):
        raise LabError(
            f"{printable(folder)} is a {kind}, no {what}; give one of `fauxlab {MAKERS[what]}`"
        )


def _refuse_newer(folder: Path, fields: Any) -> None:
    version = fields.get("schema_version") if isinstance(fields, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise LabError(
            f"{printable(folder / CONFIG)} has schema_version {version}, "
            f"and this fauxlab reads versions up to {SCHEMA_VERSION}; install a newer fauxlab"
        )


def _where_to_look(folder: Path) -> str:
    """What to do where a folder holds no model."""
    best = folder / "best"
    if (best / CONFIG).is_file():
        return f"this is a run, its model {best}"
    for run in (folder, folder.parent):
        is_run = (run / "config.toml").is_file()
        if is_run and not (run / "best").exists():
            return (
                f"the run {printable(run)} has no model yet: "
                "it was stopped before its first evaluation; go on with --resume"
            )
    return "a model is a folder such as runs/<name>/best"


def read_reference_bytes(folder: Path | None) -> dict[str, bytes]:
    """The reference that lies in a bundle's folder, by its name; empty where there is none."""
    if folder is None or not (folder / REFERENCE).is_file():
        return {}
    return {REFERENCE: (folder / REFERENCE).read_bytes()}


# --- write


def write_bundle(
    folder: Path,
    config: DetectorConfig | GeneratorConfig,
    weights: str,
    content: bytes,
    further: Mapping[str, bytes] | None = None,
) -> str:
    """Write a bundle, whole or not at all, replacing an older one; returns its hash.

    `weights` is the name of the file that gets the content: WEIGHTS or GRAPH. `further` are other
    files of a bundle, by name. Raises LabError where the folder holds anything that is no part of a
    bundle, or cannot be written.
    """
    folder = folder.resolve()  # a link's target is replaced, not the link
    check_place(folder)
    try:
        with folder_aside(folder) as aside:
            (aside / weights).write_bytes(content)
            for name, data in (further or {}).items():
                (aside / name).write_bytes(data)
            (aside / CONFIG).write_text(config_text(config), encoding="utf-8")
            digest = hash_bundle(aside, weights)
            (aside / CARD).write_text(write_card(config, digest), encoding="utf-8")
    except OSError as error:
        raise write_fault(folder, error) from error
    return digest


def check_place(folder: Path) -> None:
    """Raise LabError where a bundle would replace anything but a bundle.

    Writing a bundle replaces the whole folder.
    """
    if folder.is_dir():
        names = {path.name for path in folder.iterdir()}
        if not names:
            return
    elif folder.exists():
        names = {folder.name}
    else:
        return
    others = names - BUNDLE
    if others or not _has_architecture(folder / CONFIG):
        example = f" (it holds {min(others)!r})" if others else ""
        raise LabError(f"{printable(folder)} is there and is no model{example}; name a new folder")


def _has_architecture(config: Path) -> bool:
    try:
        return "architecture" in parse_json(read_text(config, MOST_CONFIG))
    except (LabError, ValueError, TypeError):
        return False
