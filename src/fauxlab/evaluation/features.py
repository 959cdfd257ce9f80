"""What pictures look like to a network: their feature vectors, those of real pictures kept on disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.backends import cudnn

from fauxlab.data.cache import cache_folder
from fauxlab.errors import LabError
from fauxlab.evaluation.networks import FeatureNetwork
from fauxlab.io.images import PIPELINE_VERSION
from fauxlab.io.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.data.cache import ImageArray

Progress = Callable[[int], None]
# (first, count) → uint8 [count, 3, H, W]: pictures number first to first + count - 1.
Take = Callable[[int, int], Tensor]


def extract(
    network: FeatureNetwork, take: Take, n: int, batch: int = 64, progress: Progress | None = None
) -> NDArray[np.float32]:
    """Features float32 [n, dimension] of the pictures 0 to n - 1 that `take` hands out, `batch` at
    a time.

    `progress` is called with the number of pictures just done. Raises LabError where `take` gives
    anything but uint8 [count, 3, H, W], or a feature is not finite.
    """
    found = np.empty((n, network.dimension), dtype=np.float32)
    for first, features in _extract(network, take, n, batch, progress):
        found[first : first + len(features)] = features
    return found


def real_features(
    network: FeatureNetwork, images: ImageArray, progress: Progress | None = None, batch: int = 64
) -> NDArray[np.float32]:
    """Features float32 [len(images), dimension] of stored images, in their order; read-only, mapped
    from the cache.

    Computed once for the same network, size and contents in the same order. Memory: one batch.
    """
    path = _feature_file(network, images)
    shape = (len(images), network.dimension)
    if (known := _read(path, shape)) is not None:
        return known

    def take(first: int, count: int) -> Tensor:
        return torch.from_numpy(images.take(np.arange(first, first + count)))

    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as stream:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
            for _, features in _extract(network, take, len(images), batch, progress):
                stream.write(features.astype("<f4", copy=False).tobytes())
        os.replace(aside, path)
    except OSError as error:
        raise LabError(
            f"cannot keep features in {printable(path.parent)}: {error.strerror}; "
            "make room there or set FAUXLAB_CACHE to another folder"
        ) from error
    finally:
        with suppress(OSError):  # of which unlink raises one, too, where the folder is a file
            aside.unlink()
    found = _read(path, shape)
    assert found is not None
    return found


def _extract(
    network: FeatureNetwork, take: Take, n: int, batch: int, progress: Progress | None
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    device = next(network.module.parameters()).device
    for first in range(0, n, batch):
        count = min(batch, n - first)
        images = take(first, count)
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[:2] != (count, 3):
            raise LabError(
                f"pictures {first} to {first + count - 1} came as {images.dtype} {list(images.shape)}; "
                f"features are taken from torch.uint8 [{count}, 3, height, width]"
            )
        # In whole float32, where a GPU would round to 10 bits: figures of two machines are
        # compared.
        with (
            torch.inference_mode(),
            cudnn.flags(True, cudnn.benchmark, deterministic=cudnn.deterministic, allow_tf32=False),
        ):
            features = network.module(images.to(device)).float().cpu().numpy()
        if not np.isfinite(features).all():
            raise LabError(
                f"{network.name} gave NaN or infinity on pictures {first} to {first + count - 1}"
            )
        yield first, features
        if progress:
            progress(count)


def _feature_file(network: FeatureNetwork, images: ImageArray) -> Path:
    digest = hashlib.sha256(
        f"{network.name} {network.sha256} {network.resize} {images.size} {PIPELINE_VERSION}".encode()
    )
    for row in images.manifest.rows:
        digest.update(bytes.fromhex(row.sha256))
    return (
        cache_folder()
        / "features"
        / f"{network.name}-{images.size}px-{digest.hexdigest()[:32]}.npy"
    )


def _read(path: Path, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    """The stored array, or None where there is none of this shape."""
    try:
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return stored if stored.shape == shape and stored.dtype == np.float32 else None
