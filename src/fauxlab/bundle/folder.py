"""A model's folder: read with care, written whole or not at all. Like `config`, it needs no torch."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from fauxlab.bundle.card import write_card
from fauxlab.bundle.config import DetectorConfig, GeneratorConfig
from fauxlab.errors import LabError

# A bundle is a folder of CONFIG, CARD, and WEIGHTS for torch or GRAPH for onnxruntime.
WEIGHTS, GRAPH, CONFIG, CARD = "model.safetensors", "model.onnx", "config.json", "README.md"
BUNDLE = frozenset((WEIGHTS, GRAPH, CONFIG, CARD))

C = TypeVar("C", DetectorConfig, GeneratorConfig)


def read_config(folder: Path, kind: type[C], what: str, weights: str = WEIGHTS) -> C:
    """The config of a bundle. Raises LabError when it is none: a part missing, damaged, or of
    another kind of model.
    """
    if folder.is_file():
        raise LabError(
            f"{folder} is a file; a model is a folder with {CONFIG} and {WEIGHTS} "
            "(pickled checkpoints can run code and are never loaded)"
        )
    for name in (CONFIG, weights):
        if not (folder / name).is_file():
            raise LabError(f"no {name} in {folder}; {_where_to_look(folder)}")
    try:
        found = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        other = found.get("kind", what) if isinstance(found, dict) else what
        if other != what and other in ("detector", "generator"):
            maker = {"detector": "detector train", "generator": "gan train"}[what]
            raise LabError(f"{folder} is a {other}, no {what}; give one of `fauxlab {maker}`")
        return kind.model_validate(found)
    except (ValueError, RecursionError) as error:
        raise LabError(
            f"{folder / CONFIG} is not a {what}'s config ({first_line(error)}); fetch or train the model again"
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


def _where_to_look(folder: Path) -> str:
    """What to do where a folder holds no model."""
    if (folder / "best" / CONFIG).is_file():
        return f"this is a run, its model {folder / 'best'}"
    for run in (folder, folder.parent):
        if (run / "config.toml").is_file() and not (run / "best").exists():
            return f"the run {run} has no model yet: it was stopped before its first evaluation; go on with --resume"
    return "a model is a folder such as runs/<name>/best"


def check_place(folder: Path) -> None:
    """Raise LabError where a bundle would replace anything but a bundle: it replaces the whole
    folder.
    """
    names = (
        {path.name for path in folder.iterdir()}
        if folder.is_dir()
        else {folder.name}
        if folder.exists()
        else set()
    )
    if not names:
        return
    others = names - BUNDLE
    try:
        ours = not others and "architecture" in json.loads(
            (folder / CONFIG).read_text(encoding="utf-8")
        )
    except (OSError, ValueError, TypeError, RecursionError):
        ours = False
    if not ours:
        which = f" (it holds {min(others)!r})" if others else ""
        raise LabError(f"{folder} is there and is no model{which}; name a new folder")


def write_bundle(
    folder: Path, config: DetectorConfig | GeneratorConfig, weights: str, content: bytes
) -> str:
    """Write a bundle, whole or not at all, replacing an older one; returns its hash. `weights`:
    WEIGHTS or GRAPH.

    Raises LabError where the folder holds anything that is no part of a bundle.
    """
    folder = folder.resolve()  # a link's target is replaced, not the link
    check_place(folder)
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    (aside / weights).write_bytes(content)
    (aside / CONFIG).write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")
    found = hash_bundle(aside, weights)
    (aside / CARD).write_text(write_card(config, found), encoding="utf-8")
    if not folder.exists():
        os.replace(aside, folder)
    elif _exchange(aside, folder):
        shutil.rmtree(aside)
    else:
        old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
        os.replace(folder, old)
        os.replace(aside, folder)
        shutil.rmtree(old)
    return found


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change places at one stroke; False where the system or the file system
    cannot.
    """
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    here, swap = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return (
        rename is not None and rename(here, os.fsencode(one), here, os.fsencode(other), swap) == 0
    )


def hash_bundle(folder: Path, weights: str = WEIGHTS) -> str:
    """16 hexadecimal digits of SHA-256 over config and weights."""
    digest = hashlib.sha256((folder / CONFIG).read_bytes())
    with (folder / weights).open("rb") as stream:
        while chunk := stream.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()[:16]


def first_line(error: Exception) -> str:
    """One line of what an error says; of several faults in a config the first, with its place."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return ": ".join(
            part for part in (".".join(map(str, first["loc"])), first["msg"].lower()) if part
        )
    return (str(error) or type(error).__name__).splitlines()[0]
