"""What pictures look like to a network: feature vectors, by which generators are measured.

A distance between feature vectors means something only together with the network, the resize and the number of
pictures. So a network carries its name, the hash of its weights and how pictures reach it, and only distances on the
Inception weights of 2015-12-05 may be called FID (Heusel et al., 2017); on any other network they are "FD(name)".
"""

from __future__ import annotations

import difflib
import hashlib
import os
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from fauxlab.data.cache import cache_folder
from fauxlab.data.files import hash_file, show
from fauxlab.data.images import PIPELINE_VERSION
from fauxlab.errors import LabError
from fauxlab.models import inception

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.data.cache import ImageArray

FID, KERAS, RANDOM = "inception-fid", "keras-inception-7a", "randconv"
KERAS_VARIABLE = "FAUXLAB_INCEPTION"
# The weights of 2015-12-05, converted from TensorFlow by the torch-fidelity project (Apache-2.0). The last eight digits
# of the name are the first of the file's SHA-256.
FID_URL = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
RESIZE = "bicubic antialiased, rounded to 8 bits"
CHUNK = 2**20

Progress = Callable[[int], None]
# (first, count) → uint8 [count, 3, H, W]: pictures number first to first + count - 1.
Take = Callable[[int, int], Tensor]


@dataclass(frozen=True)
class FeatureNetwork:
    """A network that turns uint8 [N, 3, H, W] into float32 [N, dimension], with all that a figure on it must state.

    `input_size` is the side that pictures are resized to, None where they are taken as they are; `sha256` is that of
    the weights: of their file, or for `randconv` of their values.
    """

    name: str
    sha256: str
    dimension: int
    input_size: int | None
    input_range: str
    resize: str
    module: nn.Module

    @property
    def label(self) -> str:
        """What a Fréchet distance on this network may be called."""
        return "FID" if self.name == FID else f"FD({self.name})"

    @property
    def kid_label(self) -> str:
        """What a kernel distance on this network may be called."""
        return "KID" if self.name == FID else f"KID({self.name})"


def list_features() -> list[str]:
    """Names that `load_features` takes."""
    return [FID, KERAS, RANDOM]


def default_features() -> str:
    """The best network that can be used now, without a download; `randconv` where no weights are at hand."""
    if (_weights_folder() / Path(FID_URL).name).is_file():
        return FID
    return KERAS if os.environ.get(KERAS_VARIABLE) else RANDOM


def load_features(name: str, weights: str | Path | None = None, device: str | torch.device = "cpu") -> FeatureNetwork:
    """A feature network in evaluation mode on `device`.

    - `inception-fid`: 2048-d, the only one whose distance is FID. Without `weights` its file (96 MB) is downloaded to
      the cache folder on first use. Pictures reach it by an antialiased resize, as clean-fid (Parmar et al., 2022)
      recommends, not by TensorFlow's.
    - `keras-inception-7a`: 1280-d, Inception-v3 as published by Keras up to Mixed_7a; from `weights` or the file that
      `$FAUXLAB_INCEPTION` names.
    - `randconv`: 422-d, an untrained network of fixed random weights on pictures as they are, for quick comparisons of
      one training with itself. It needs no file, and knows nothing of faces.

    Raises LabError on an unknown name, and on weights that are absent, damaged, of another network, or that fail to
    download.
    """
    check_features(name, weights)
    if name == RANDOM:
        network = _random()
    elif name == FID:
        network = _inception_fid(weights)
    else:
        network = _keras_inception(weights or os.environ.get(KERAS_VARIABLE))
    network.module.requires_grad_(False).eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def check_features(name: str, weights: str | Path | None = None) -> None:
    """Raise LabError for what `load_features` refuses before it reads a file: a name, or a file that is not there."""
    if name not in list_features():
        close = difflib.get_close_matches(name, list_features(), 1, 0.4)
        hint = f", did you mean {close[0]!r}?" if close else ""
        raise LabError(f"no feature network {name!r}{hint}; there are {', '.join(list_features())}")
    if name == RANDOM and weights is not None:
        raise LabError(f"{RANDOM} has no weights to load; leave out {show(weights)} or name one of {_others()}")
    if name == KERAS or weights is not None:
        _present(_keras_file(weights or os.environ.get(KERAS_VARIABLE)))


def load_pretrained(name: str) -> dict[str, Tensor]:
    """An Inception's weights by torchvision's names, unfolded; names, places and errors as of `load_features`."""
    if name == FID:
        return _load_inception(_fid_file(None), complete=True).state_dict()
    if name == KERAS:
        return _load_inception(_keras_file(os.environ.get(KERAS_VARIABLE)), complete=False).state_dict()
    raise LabError(f"no pretrained weights {name!r}; there are {_others()}")


def extract(
    network: FeatureNetwork, take: Take, n: int, batch: int = 64, progress: Progress | None = None
) -> NDArray[np.float32]:
    """Features float32 [n, dimension] of the pictures 0 to n - 1 that `take` hands out, `batch` at a time.

    `progress` is called with the number of pictures just done. Raises LabError where `take` gives anything but uint8
    [count, 3, H, W], or a feature is not finite.
    """
    found = np.empty((n, network.dimension), dtype=np.float32)
    for first, features in _extract(network, take, n, batch, progress):
        found[first : first + len(features)] = features
    return found


def real_features(
    network: FeatureNetwork, images: ImageArray, progress: Progress | None = None, batch: int = 64
) -> NDArray[np.float32]:
    """Features float32 [len(images), dimension] of stored images, in their order; read-only, mapped from the cache.

    Computed once for the same network, size and contents in the same order. Memory: one batch.
    """
    path = _feature_file(network, images)
    shape = (len(images), network.dimension)
    if (known := _read(path, shape)) is not None:
        return known

    def take(first: int, count: int) -> Tensor:
        return torch.from_numpy(images.take(np.arange(first, first + count)))

    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with aside.open("wb") as stream:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
            for _, features in _extract(network, take, len(images), batch, progress):
                stream.write(features.astype("<f4", copy=False).tobytes())
        os.replace(aside, path)
    except OSError as error:
        raise LabError(
            f"cannot keep features in {show(path.parent)}: {error.strerror}; "
            "make room there or set FAUXLAB_CACHE to another folder"
        ) from error
    finally:
        aside.unlink(missing_ok=True)
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
        with torch.inference_mode():
            features = network.module(images.to(device)).float().cpu().numpy()
        if not np.isfinite(features).all():
            raise LabError(f"{network.name} gave NaN or infinity on pictures {first} to {first + count - 1}")
        yield first, features
        if progress:
            progress(count)


def _feature_file(network: FeatureNetwork, images: ImageArray) -> Path:
    digest = hashlib.sha256(
        f"{network.name} {network.sha256} {network.resize} {images.size} {PIPELINE_VERSION}".encode()
    )
    for row in images.manifest.rows:
        digest.update(bytes.fromhex(row.sha256))
    return cache_folder() / "features" / f"{network.name}-{images.size}px-{digest.hexdigest()[:32]}.npy"


def _read(path: Path, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    """The stored array, or None where there is none of this shape."""
    try:
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return stored if stored.shape == shape and stored.dtype == np.float32 else None


class Resized(nn.Module):
    """Pictures at `size` pixels in the range of the network behind.

    The resize is an antialiased bicubic one in float, rounded to whole levels as a stored picture would be: without
    antialiasing Fréchet distances are off by several units (Parmar et al., 2022).
    """

    def __init__(self, network: nn.Module, size: int, centre: float, scale: float) -> None:
        super().__init__()
        self.network = network
        self.size = size
        self.centre = centre
        self.scale = scale

    def forward(self, images: Tensor) -> Tensor:
        """uint8 [N, 3, H, W] to float32 [N, D]."""
        x = resize(images, self.size).sub_(self.centre).div_(self.scale)
        features: Tensor = self.network(x.contiguous(memory_format=torch.channels_last))
        return features


def resize(images: Tensor, size: int) -> Tensor:
    """uint8 [N, 3, H, W] to float32 [N, 3, size, size] of whole levels 0 to 255."""
    x = images.float()
    if images.shape[-2:] == (size, size):
        return x
    x = nn.functional.interpolate(x, (size, size), mode="bicubic", antialias=True, align_corners=False)
    return x.clamp_(0, 255).round_()


class RandomPyramid(nn.Module):
    """Untrained convolutions over three halvings of the picture; mean and deviation of every map over space.

    Random filters see colour, contrast and texture at each scale (Saxe et al., 2011), and so noise, blur and lost
    variety; they know nothing of faces. Every second filter of the first layer sums to 0 over space, so that it sees
    edges only. The weights come from raw PCG64 words, which no version of NumPy will change.
    """

    WIDTHS = (32, 48, 64, 64)
    SEED = 20151205

    def __init__(self) -> None:
        super().__init__()
        generator = np.random.PCG64(self.SEED)
        layers = []
        channels = 3
        for level, width in enumerate(self.WIDTHS):
            weight = random_filters(generator, width, channels, edges=level == 0)
            layer = nn.Conv2d(channels, width, 3, padding=1, bias=False, padding_mode="zeros")
            layer.weight = nn.Parameter(torch.from_numpy(weight), requires_grad=False)
            layers.append(layer)
            channels = width
        self.layers = nn.ModuleList(layers)
        self.dimension = 2 * (3 + sum(self.WIDTHS))

    def forward(self, images: Tensor) -> Tensor:
        """uint8 [N, 3, H, W], sides at least 8, to float32 [N, 422]: means and deviations, level by level."""
        x = images.to(dtype=torch.float32, memory_format=torch.channels_last).div_(127.5).sub_(1)
        found = list(_moments(x))
        for level, layer in enumerate(self.layers):
            x = layer(nn.functional.avg_pool2d(x, 2) if level else x).relu_()
            found += _moments(x)
        return torch.cat(found, 1)


def random_filters(
    generator: np.random.PCG64, filters: int, channels: int, *, edges: bool = False
) -> NDArray[np.float32]:
    """[filters, channels, 3, 3], uniform, of the variance that keeps a ReLU network's scale (He et al., 2015).

    With `edges`, every second filter sums to 0 over space in each channel, and counts threefold: differences between
    neighbours are smaller than brightness.
    """
    shape = (filters, channels, 3, 3)
    # The upper 53 bits of a word make a float64 from 0 to below 1.
    uniform = (generator.random_raw(int(np.prod(shape))) >> np.uint64(11)) * 2.0**-53
    weight = ((uniform * 2 - 1) * np.sqrt(3 * 2 / (9 * channels))).reshape(shape)
    if edges:
        weight[1::2] = 3 * (weight[1::2] - weight[1::2].mean((2, 3), keepdims=True))
    return weight.astype(np.float32)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    variance, mean = torch.var_mean(x, (2, 3), correction=0)
    return mean, variance.sqrt()


def _random() -> FeatureNetwork:
    module = RandomPyramid()
    digest = hashlib.sha256()
    for layer in module.layers:
        digest.update(layer.weight.numpy().astype("<f4").tobytes())  # type: ignore[operator]
    return FeatureNetwork(RANDOM, digest.hexdigest(), module.dimension, None, "x / 127.5 - 1", "none", module)


def _inception_fid(weights: str | Path | None) -> FeatureNetwork:
    path = _fid_file(weights)
    module = Resized(_load_inception(path, complete=True).fold(), inception.SIZE, 128, 128)
    return FeatureNetwork(FID, hash_file(path), 2048, inception.SIZE, "(x - 128) / 128", RESIZE, module)


def _fid_file(weights: str | Path | None) -> Path:
    name = Path(FID_URL).name
    prefix = name.removesuffix(".pth").rpartition("-")[2]
    if weights is None:
        path = _weights_folder() / name
        if not path.is_file() or not hash_file(path).startswith(prefix):
            _download(FID_URL, path, prefix)
    elif not (found := hash_file(path := Path(weights))).startswith(prefix):
        raise LabError(
            f"{show(path)} has SHA-256 {found[:8]}…, the FID network's file {prefix}…; only that one gives a FID: "
            f"fetch {FID_URL}"
        )
    return path


def _keras_inception(weights: str | Path | None) -> FeatureNetwork:
    path = _keras_file(weights)
    module = Resized(_load_inception(path, complete=False).fold(), inception.SIZE, 127.5, 127.5)
    return FeatureNetwork(KERAS, hash_file(path), 1280, inception.SIZE, "x / 127.5 - 1", RESIZE, module)


def _keras_file(weights: str | Path | None) -> Path:
    if not weights:
        raise LabError(
            f"{KERAS} needs its weights, which are not distributed with fauxlab: give the file's path or set "
            f"{KERAS_VARIABLE}, or use {RANDOM}"
        )
    return Path(weights)


def _present(path: Path) -> None:
    if not path.is_file():
        raise LabError(f"no weights {show(path)}; give the path of a file of Inception-v3 weights")


def _load_inception(path: Path, complete: bool) -> inception.Inception:
    """Measured on one CPU thread, images/s: 6.7 plain, 9.2 channels last, 9.5 with normalisation folded in too.

    torch.jit's freezing gave nothing on top, its optimize_for_inference took some away.
    """
    _present(path)
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a damaged file raises depends on where the damage is
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise LabError(f"{show(path)} is damaged or holds no plain weights ({reason}); fetch it again") from None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise LabError(f"{show(path)} holds no table of weights; give a state dict of Inception-v3")
    network = inception.Inception(complete)
    try:
        network.load_weights(state)
    except ValueError as error:
        raise LabError(f"{show(path)} does not fit Inception-v3: {error}; fetch it again") from None
    return network


def _download(url: str, path: Path, prefix: str) -> None:
    """Fetch a file whose SHA-256 begins with `prefix`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    digest = hashlib.sha256()
    try:
        with urllib.request.urlopen(url, timeout=30) as response, aside.open("wb") as stream:
            while chunk := response.read(CHUNK):
                stream.write(chunk)
                digest.update(chunk)
        if not digest.hexdigest().startswith(prefix):
            raise LabError(
                f"what {url} gave has SHA-256 {digest.hexdigest()[:8]}…, expected {prefix}…; "
                "try again, or fetch it by hand and give its path as weights"
            )
        os.replace(aside, path)
    except (OSError, ValueError) as error:
        raise LabError(
            f"cannot fetch {url}: {error}; fetch it by hand to {show(path)}, or use {RANDOM}, which needs no weights"
        ) from error
    finally:
        aside.unlink(missing_ok=True)


def _weights_folder() -> Path:
    return cache_folder() / "weights"


def _others() -> str:
    return f"{FID}, {KERAS}"
