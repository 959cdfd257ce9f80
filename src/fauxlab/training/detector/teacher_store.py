"""A teacher's answers to pictures, kept in the cache folder: each picture is asked about once.

The answers of a teacher, named by its hash, stand in one folder. Every file in it holds those to
some pictures, and is written whole or not at all. So a training that was stopped goes on where it
was, and other trainings with this teacher find the answers there. Delete the folder to free the
space.
"""

from __future__ import annotations

import hashlib
import logging
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fauxlab.bundle.detector import AnyDetector, Prediction, check_pipeline
from fauxlab.data.cache import load_images
from fauxlab.data.manifest import Manifest, Row
from fauxlab.errors import LabError
from fauxlab.io.files import file_aside
from fauxlab.io.text import describe_error, printable, write_fault
from fauxlab.privacy import cache_folder

Progress = Callable[[int], None]
Part = dict[str, NDArray[Any]]  # PARTS

BLOCK = 64  # pictures asked about, and written, together
PARTS = ("keys", "logits", "features")
LARGEST = np.finfo(np.float16).max

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stored:
    """A teacher's answers to N pictures; of a picture that it could not read, zeros."""

    is_known: NDArray[np.bool_]  # [N]
    logits: NDArray[np.float32]  # [N, heads]
    features: NDArray[np.float16]  # [N, D]


def ask_teacher(
    teacher: AnyDetector, manifest: Manifest, progress: Progress | None = None
) -> Stored:
    """The teacher's answers to a manifest's pictures, made now where the cache lacks them.

    `progress` is called with the number of pictures that were just answered. Raises LabError where
    an answer is not finite, no picture can be read, or the disk is full.
    """
    check_pipeline(teacher)
    folder = cache_folder() / f"teacher-{teacher.hash}"
    keys = [_key(row) for row in manifest.rows]
    parts = _read_parts(folder)
    known = {key for part in parts for key in _keys_of(part)}
    if progress:
        progress(sum(key in known for key in keys))
    missing: dict[str, Row] = {}
    for key, row in zip(keys, manifest.rows, strict=True):
        if key not in known:
            missing[key] = row
    if missing:
        asked = replace(manifest, rows=tuple(missing.values()))
        parts += _answer(teacher, asked, folder, progress)
    return _collect(parts, keys)


def _key(row: Row) -> str:
    """What an answer depends on: the picture, and the part of it that is seen."""
    return row.image_hash


def _answer(
    teacher: AnyDetector,
    manifest: Manifest,
    folder: Path,
    progress: Progress | None,
) -> list[Part]:
    """Ask about all pictures that can be read, and keep each block of answers."""
    images = load_images(manifest, teacher.size)
    parts = []
    for start in range(0, len(images), BLOCK):
        stop = min(start + BLOCK, len(images))
        numbers = np.arange(start, stop)
        prediction = teacher.predict(images.take(numbers))
        if not _are_finite(prediction):
            first = images.manifest.rows[start]
            raise LabError(
                f"the teacher gives no finite answer to {printable(first.path)} or one of the "
                f"{BLOCK} pictures from there; train it again, or choose another"
            )
        keys = [_key(images.manifest.rows[i]) for i in numbers]
        bounded = np.clip(prediction.features, -LARGEST, LARGEST)
        part = {
            "keys": np.array(keys),
            "logits": prediction.head_logits.astype(np.float32),
            "features": bounded.astype(np.float16),
        }
        _write_part(folder, part)
        parts.append(part)
        if progress:
            progress(len(numbers))
    return parts


def _are_finite(prediction: Prediction) -> bool:
    answers = (prediction.head_logits, prediction.features)
    return all(bool(np.isfinite(array).all()) for array in answers)


def _write_part(folder: Path, part: Part) -> None:
    content = part["keys"].tobytes()
    name = hashlib.sha256(content).hexdigest()[:16]
    path = folder / f"{name}.npz"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with file_aside(path) as stream:
            np.savez(
                stream,
                keys=part["keys"],
                logits=part["logits"],
                features=part["features"],
            )
    except OSError as error:
        raise write_fault(path, error) from error


def _read_parts(folder: Path) -> list[Part]:
    """All files of a teacher's folder; a damaged one is made again."""
    parts = []
    for path in sorted(folder.glob("*.npz")):
        try:
            with np.load(path, allow_pickle=False) as file:
                part = {name: file[name] for name in PARTS}
            lengths = {len(array) for array in part.values()}
            if len(lengths) != 1:
                raise ValueError("its parts differ in length")
            parts.append(part)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            reason = describe_error(error)
            _logger.warning("%s is damaged (%s) and is made again", printable(path), reason)
    return parts


def _keys_of(part: Part) -> list[str]:
    keys: list[str] = part["keys"].tolist()
    return keys


def _collect(parts: Sequence[Part], keys: Sequence[str]) -> Stored:
    """The answers in the order of the keys."""
    place = {}
    for number, part in enumerate(parts):
        for k, key in enumerate(_keys_of(part)):
            place[key] = number, k
    heads = parts[0]["logits"].shape[1]
    width = parts[0]["features"].shape[1]
    logits = np.zeros((len(keys), heads), np.float32)
    features = np.zeros((len(keys), width), np.float16)
    is_known = np.zeros(len(keys), bool)
    for row, key in enumerate(keys):
        if key in place:
            number, k = place[key]
            logits[row] = parts[number]["logits"][k]
            features[row] = parts[number]["features"][k]
            is_known[row] = True
    return Stored(is_known, logits, features)
