"""The `heads.npz` of a large detector: its heads, and the LayerNorms that its tower gets.

An npz is a zip of arrays. It is read with limits: the names are known, every array is stored as it
is and holds 32-bit floats, and no pickled object is ever loaded.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fauxlab.bundle.heads import MOST_FEATURES, MOST_HEADS, NAMES, HeadWeights, check_heads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Arrays = dict[str, Floats]

WIDTH = 768  # of the tower's tokens
LAYERS = 12
MOST_BYTES = 2**26  # of the file: 64 heads of 7,000 features take 2 MB

_ENDING = ".npy"
_VERSION = (1, 0)  # of the form of an array, the only one that small plain arrays have


class TowerWeights(NamedTuple):
    """What a large detector adds to the tower.

    `layer_norms` are by the names of the tower's constants, [768] each; those that are missing stay
    the tower's own.
    """

    heads: HeadWeights
    layer_norms: Arrays


def layer_norm_names() -> frozenset[str]:
    """The names of the tower's constants that `layer_norms` may replace."""
    places = ["pre_layrnorm", "post_layernorm"]
    for number in range(LAYERS):
        places += [f"encoder.layers.{number}.layer_norm{which}" for which in (1, 2)]
    kinds = ("weight", "bias")
    return frozenset(f"vision_model.{place}.{kind}" for place in places for kind in kinds)


def write_weights(weights: TowerWeights) -> bytes:
    """The bytes of a `heads.npz`. Raises ValueError as `check_weights` does."""
    check_weights(weights)
    heads = dict(zip(NAMES, weights.heads, strict=True))
    arrays = heads | weights.layer_norms
    plain = {}
    for name, array in arrays.items():
        plain[name] = np.ascontiguousarray(array, "<f4")
    stream = io.BytesIO()
    # Through a dictionary, as mypy would take the names for those of options.
    np.savez(stream, **plain)  # type: ignore[arg-type]
    return stream.getvalue()


def read_weights(content: bytes) -> TowerWeights:
    """What the bytes of a `heads.npz` hold.

    Raises ValueError where they are damaged, hold anything else, or do not fit each other.
    """
    arrays = _read_arrays(content)
    missing = [name for name in NAMES if name not in arrays]
    if missing:
        raise ValueError(f"it has no {missing[0]}")
    heads = HeadWeights(*[arrays.pop(name) for name in NAMES])
    weights = TowerWeights(heads, arrays)
    check_weights(weights)
    return weights


def check_weights(weights: TowerWeights) -> None:
    """Raise ValueError where heads or LayerNorms cannot be used."""
    check_heads(weights.heads)
    check_layer_norms(weights.layer_norms)


def check_layer_norms(layer_norms: Mapping[str, Floats]) -> None:
    """Raise ValueError where the tower has no such constant, or none of this form."""
    known = layer_norm_names()
    for name, array in layer_norms.items():
        if name not in known:
            raise ValueError(f"the tower has no LayerNorm {name[:80]!r}")
        if array.shape != (WIDTH,) or array.dtype != np.float32:
            raise ValueError(f"{name} is no list of {WIDTH} 32-bit floats")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds numbers that are not finite")


def _read_arrays(content: bytes) -> Arrays:
    known = layer_norm_names() | set(NAMES)
    arrays: Arrays = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for entry in archive.infolist():
                name = entry.filename.removesuffix(_ENDING)
                if name not in known or name in arrays:
                    raise ValueError(f"it holds an array {name[:80]!r}, unknown or twice")
                # Stored as it is, so that no entry is larger than the file.
                if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > len(content):
                    raise ValueError(f"its {name} is compressed")
                arrays[name] = _read_array(archive.read(entry), name)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OverflowError):
        raise ValueError("it is damaged or no npz") from None
    return arrays


def _read_array(data: bytes, name: str) -> Floats:
    """An array out of the bytes of its npy, which must be plain 32-bit floats."""
    stream = io.BytesIO(data)
    fault = ValueError(f"its {name} is no list or table of 32-bit floats")
    try:
        if np.lib.format.read_magic(stream) != _VERSION:
            raise fault
        shape, is_fortran, kind = np.lib.format.read_array_header_1_0(stream)
    except (TypeError, SyntaxError):  # NumPy reads this head as a text of Python
        raise fault from None
    count = math.prod(shape)
    is_small = len(shape) <= 2 and 0 <= count <= MOST_HEADS * MOST_FEATURES
    numbers = data[stream.tell() :]
    if is_fortran or kind != np.dtype("<f4") or not is_small or len(numbers) != 4 * count:
        raise fault
    array = np.frombuffer(numbers, dtype="<f4")
    return array.astype(np.float32).reshape(shape)
