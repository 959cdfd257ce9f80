"""Networks that turn pictures into feature vectors: their names, their weights, and how pictures
reach them.

A distance between feature vectors means something only together with the network, the resize and
the number of pictures. So a network carries its name, the hash of its weights and how pictures
reach it, and only distances on the Inception weights of 2015-12-05 may be called FID (Heusel et
al., 2017); on any other network they are "FD(name)".
"""

from __future__ import annotations

import hashlib
import os
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fauxlab.data.cache import cache_folder
from fauxlab.errors import LabError, suggest
from fauxlab.io.text import hash_file, printable
from fauxlab.models import inception
from fauxlab.models.randconv import RandomConvolutions

FID, KERAS, RANDOM = "inception-fid", "keras-inception-7a", "randconv"
KERAS_VARIABLE = "FAUXLAB_INCEPTION"
# The weights of 2015-12-05, converted from TensorFlow by the torch-fidelity project (Apache-2.0).
# The last eight digits of the name are the first of the file's SHA-256.
FID_URL = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
RESIZE = "bicubic antialiased, rounded to 8 bits"
CHUNK = 2**20


@dataclass(frozen=True)
class FeatureNetwork:
    """A network that turns uint8 [N, 3, H, W] into float32 [N, dimension], with all that a figure
    on it must state.

    `input_size` is the side that pictures are resized to, None where they are taken as they are;
    `sha256` is that of the weights: of their file, or for `randconv` of their values.
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


def load_features(
    name: str, weights: str | Path | None = None, device: str | torch.device = "cpu"
) -> FeatureNetwork:
    """A feature network in evaluation mode on `device`.

    - `inception-fid`: 2048-d, the only one whose distance is FID. Without `weights` its file (96
      MB) is downloaded to the cache folder on first use. Pictures reach it by an antialiased
      resize, as clean-fid (Parmar et al., 2022) recommends, not by TensorFlow's.
    - `keras-inception-7a`: 1280-d, Inception-v3 as published by Keras up to Mixed_7a; from
      `weights` or the file that `$FAUXLAB_INCEPTION` names.
    - `randconv`: 422-d, an untrained network of fixed random weights on pictures as they are, for
      quick comparisons of one training with itself. It needs no file, and knows nothing of faces.

    Raises LabError on an unknown name, and on weights that are absent, damaged, of another network,
    or that fail to download.
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
    """Raise LabError for what `load_features` refuses before it reads a file: a name, or a file
    that is not there.
    """
    if name not in list_features():
        there = ", ".join(list_features())
        raise LabError(
            f"no feature network {name!r}; there are {there}{suggest(name, list_features())}"
        )
    if name == RANDOM and weights is not None:
        raise LabError(
            f"{RANDOM} has no weights to load; leave out {printable(weights)} or name one of {_others()}"
        )
    if name == KERAS:
        _present(_keras_file(weights or os.environ.get(KERAS_VARIABLE)))
    elif weights is not None:
        _present(Path(weights))


def load_pretrained(name: str) -> dict[str, Tensor]:
    """An Inception's weights by torchvision's names, unfolded; names, places and errors as of
    `load_features`.
    """
    check_pretrained(name)
    if name == FID:
        return _load_inception(_fid_file(None), complete=True).state_dict()
    return _load_inception(_keras_file(os.environ.get(KERAS_VARIABLE)), complete=False).state_dict()


def check_pretrained(name: str) -> None:
    """Raise LabError for what `load_pretrained` refuses before it reads a file: a name, or a file
    that is not there.
    """
    if name not in (FID, KERAS):
        raise LabError(f"no pretrained weights {name!r}; there are {_others()}")
    check_features(name)


class Resized(nn.Module):
    """Pictures at `size` pixels in the range of the network behind.

    The resize is an antialiased bicubic one in float, rounded to whole levels as a stored picture
    would be: without antialiasing Fréchet distances are off by several units (Parmar et al., 2022).
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
    x = nn.functional.interpolate(
        x, (size, size), mode="bicubic", antialias=True, align_corners=False
    )
    return x.clamp_(0, 255).round_()


def _random() -> FeatureNetwork:
    module = RandomConvolutions()
    digest = hashlib.sha256()
    for layer in module.layers:
        digest.update(layer.weight.numpy().astype("<f4").tobytes())  # type: ignore[operator]
    return FeatureNetwork(
        RANDOM, digest.hexdigest(), module.dimension, None, "x / 127.5 - 1", "none", module
    )


def _inception_fid(weights: str | Path | None) -> FeatureNetwork:
    path = _fid_file(weights)
    module = Resized(_load_inception(path, complete=True).fold(), inception.SIZE, 128, 128)
    return FeatureNetwork(
        FID, hash_file(path), 2048, inception.SIZE, "(x - 128) / 128", RESIZE, module
    )


def _fid_file(weights: str | Path | None) -> Path:
    name = Path(FID_URL).name
    prefix = name.removesuffix(".pth").rpartition("-")[2]
    if weights is None:
        path = _weights_folder() / name
        if not path.is_file() or not hash_file(path).startswith(prefix):
            _download(FID_URL, path, prefix)
    elif not (found := hash_file(path := Path(weights))).startswith(prefix):
        raise LabError(
            f"{printable(path)} has SHA-256 {found[:8]}…, the FID network's file {prefix}…; only that one gives a FID: "
            f"fetch {FID_URL}"
        )
    return path


def _keras_inception(weights: str | Path | None) -> FeatureNetwork:
    path = _keras_file(weights)
    module = Resized(_load_inception(path, complete=False).fold(), inception.SIZE, 127.5, 127.5)
    return FeatureNetwork(
        KERAS, hash_file(path), 1280, inception.SIZE, "x / 127.5 - 1", RESIZE, module
    )


def _keras_file(weights: str | Path | None) -> Path:
    if not weights:
        raise LabError(
            f"{KERAS} needs its weights, which are not distributed with fauxlab: give the file's path or set "
            f"{KERAS_VARIABLE}, or use {RANDOM}"
        )
    return Path(weights)


def _present(path: Path) -> None:
    if not path.is_file():
        raise LabError(
            f"no weights {printable(path)}; give the path of a file of Inception-v3 weights"
        )


def _load_inception(path: Path, complete: bool) -> inception.Inception:
    """Measured on one CPU thread, images/s: 6.7 plain, 9.2 channels last, 9.5 with normalisation
    folded in too.

    torch.jit's freezing gave nothing on top, its optimize_for_inference took some away.
    """
    _present(path)
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a damaged file raises depends on where the damage is
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise LabError(
            f"{printable(path)} is damaged or holds no plain weights ({reason}); fetch it again"
        ) from None
    if not isinstance(state, Mapping) or not all(
        isinstance(value, Tensor) for value in state.values()
    ):
        raise LabError(
            f"{printable(path)} holds no table of weights; give a state dict of Inception-v3"
        )
    network = inception.Inception(complete)
    try:
        network.load_weights(state)
    except ValueError as error:
        raise LabError(
            f"{printable(path)} does not fit Inception-v3: {error}; fetch it again"
        ) from None
    return network


def _download(url: str, path: Path, prefix: str) -> None:
    """Fetch a file whose SHA-256 begins with `prefix`, whole or not at all."""
    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    digest = hashlib.sha256()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
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
            f"cannot fetch {url}: {error}; fetch it by hand to {printable(path)}, or use {RANDOM}, which needs no weights"
        ) from error
    finally:
        with suppress(OSError):
            aside.unlink()


def _weights_folder() -> Path:
    return cache_folder() / "weights"


def _others() -> str:
    return f"{FID}, {KERAS}"
