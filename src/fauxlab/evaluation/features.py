"""Pictures as feature vectors of a network; those of real pictures are stored on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.backends import cudnn

from fauxlab.errors import LabError
from fauxlab.evaluation.networks import FeatureNetwork
from fauxlab.io.files import file_aside
from fauxlab.io.images import PIPELINE_VERSION
from fauxlab.io.text import printable
from fauxlab.models.batches import apply_network, device_of, row_batches
from fauxlab.privacy import cache_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.data.cache import ImageArray

    Features = NDArray[np.float32]

Progress = Callable[[int], None]
# (first, count) → uint8 [count, 3, H, W]: the pictures with the numbers first to first + count - 1.
Take = Callable[[int, int], Tensor]


def extract(
    network: FeatureNetwork, take: Take, n: int, batch: int = 64, progress: Progress | None = None
) -> Features:
    """Features float32 [n, dimension] of the pictures 0 to n - 1 that `take` gives.

    `progress` is called with the number of pictures just done. Raises LabError where `take` gives
    anything but uint8 [count, 3, H, W], and where a feature is not finite.
    """
    features = np.empty((n, network.dimension), dtype=np.float32)
    for rows, values in _extract_batches(network, take, n, batch, progress):
        features[rows] = values
    return features


def real_features(
    network: FeatureNetwork, images: ImageArray, progress: Progress | None = None, batch: int = 64
) -> Features:
    """Features float32 [len(images), dimension] of stored images, in their order.

    They are computed once for a network, a size and a list of files, and mapped read-only from the
    cache folder afterwards. Memory: one batch. Raises LabError where they cannot be written.
    """
    path = _feature_file(network, images)
    shape = (len(images), network.dimension)
    stored = _read(path, shape)
    if stored is not None:
        return stored

    def take(first: int, count: int) -> Tensor:
        rows = np.arange(first, first + count)
        return torch.from_numpy(images.take(rows))

    batches = _extract_batches(network, take, len(images), batch, progress)
    try:
        _write(path, shape, (features for _, features in batches))
    except OSError as error:
        raise LabError(
            f"cannot keep features in {printable(path.parent)}: {error.strerror}; "
            "make room there or set FAUXLAB_CACHE to another folder"
        ) from error
    stored = _read(path, shape)
    assert stored is not None
    return stored


def has_features(network: FeatureNetwork, images: ImageArray) -> bool:
    """Whether the features of these images are stored already."""
    shape = (len(images), network.dimension)
    return _read(_feature_file(network, images), shape) is not None


def _extract_batches(
    network: FeatureNetwork, take: Take, n: int, batch: int, progress: Progress | None
) -> Iterator[tuple[NDArray[np.int64], Features]]:
    """The features of a batch of pictures, and the numbers of these pictures, batch by batch."""
    device = device_of(network.module)
    for rows in row_batches(n, batch, progress):
        images = take(int(rows[0]), len(rows))
        _check_pictures(images, rows)
        # In full float32: a GPU would round to 10 bits, and features of two machines are compared.
        with cudnn.flags(
            True, cudnn.benchmark, deterministic=cudnn.deterministic, allow_tf32=False
        ):
            features = apply_network(network.module, images, device)
        if not np.isfinite(features).all():
            raise LabError(
                f"{network.name} gave NaN or infinity on pictures {rows[0]} to {rows[-1]}"
            )
        yield rows, features


def _check_pictures(images: Tensor, rows: NDArray[np.int64]) -> None:
    count = len(rows)
    has_shape = images.ndim == 4 and images.shape[:2] == (count, 3)
    if images.dtype != torch.uint8 or not has_shape:
        raise LabError(
            f"pictures {rows[0]} to {rows[-1]} came as {images.dtype} {list(images.shape)}; "
            f"features are taken from torch.uint8 [{count}, 3, height, width]"
        )


def _feature_file(network: FeatureNetwork, images: ImageArray) -> Path:
    """Where these features are stored: the name holds all that they depend on."""
    description = [
        network.name,
        network.sha256,
        network.resize,
        str(images.size),
        str(PIPELINE_VERSION),
    ]
    digest = hashlib.sha256(" ".join(description).encode())
    for row in images.manifest.rows:
        digest.update(bytes.fromhex(row.image_hash))
    name = f"{network.name}-{images.size}px-{digest.hexdigest()[:32]}.npy"
    return cache_folder() / "features" / name


def _write(path: Path, shape: tuple[int, int], batches: Iterator[Features]) -> None:
    """Write a .npy file batch by batch, whole or not at all."""
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    path.parent.mkdir(parents=True, exist_ok=True)
    with file_aside(path) as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for features in batches:
            stream.write(features.astype("<f4", copy=False).tobytes())


def _read(path: Path, shape: tuple[int, int]) -> Features | None:
    """The stored array, or None where there is none of this shape."""
    try:
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if stored.shape != shape or stored.dtype != np.float32:
        return None
    return stored
