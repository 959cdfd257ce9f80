"""Networks that turn pictures into feature vectors: names, weights, and how pictures are prepared.

A distance between feature vectors depends on the network, on how pictures were resized, and on
their number. So a network carries its name, the hash of its weights and its resize. Only distances
on the Inception weights of 2015-12-05 may be called FID (Heusel et al., 2017); on any other network
they are called "FD(name)".
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from fauxlab.errors import LabError, suggest
from fauxlab.io.text import hash_file, printable
from fauxlab.models import inception
from fauxlab.models.randconv import RandomConvolutions
from fauxlab.models.weights import download, read_weights
from fauxlab.privacy import cache_folder

FID = "inception-fid"
KERAS = "keras-inception-7a"
RANDOM = "randconv"
PRETRAINED = f"{FID}, {KERAS}"
KERAS_VARIABLE = "FAUXLAB_INCEPTION"
# The weights of 2015-12-05, converted from TensorFlow by the torch-fidelity project (Apache-2.0).
# The last eight digits of the name are the first of the file's SHA-256.
FID_URL = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth"
)
RESIZE = "bicubic antialiased, rounded to 8 bits"


@dataclass(frozen=True)
class FeatureNetwork:
    """A network from uint8 [N, 3, H, W] to float32 [N, dimension], and what a result says of it.

    `input_size` is the side that pictures are resized to, None where they are not resized;
    `sha256` is the hash of the file of weights, or for `randconv` of the weights' values.
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
        """The name of a Fréchet distance on this network."""
        return "FID" if self.name == FID else f"FD({self.name})"

    @property
    def kid_label(self) -> str:
        """The name of a kernel distance on this network."""
        return "KID" if self.name == FID else f"KID({self.name})"


def list_features() -> list[str]:
    """Names that `load_features` takes.

    >>> list_features()
    ['inception-fid', 'keras-inception-7a', 'randconv']
    """
    return [FID, KERAS, RANDOM]


def load_features(
    name: str, weights: str | Path | None = None, device: str | torch.device = "cpu"
) -> FeatureNetwork:
    """A feature network in evaluation mode on `device`.

    - `inception-fid`: 2048-d, the only network whose distance is FID. Without `weights` its file
      (96 MB) is downloaded to the cache folder on first use. Pictures are resized with
      antialiasing, as clean-fid (Parmar et al., 2022) recommends, not in TensorFlow's way.
    - `keras-inception-7a`: 1280-d, Inception-v3 as published by Keras up to Mixed_7a; from
      `weights` or the file that `$FAUXLAB_INCEPTION` names.
    - `randconv`: 422-d, an untrained network with fixed random weights, on pictures as they are.
      It needs no file, but was trained on nothing: use it to compare a training with itself.

    Raises LabError on an unknown name, and on weights that are absent, damaged, of another network,
    or that fail to download.

    >>> network = load_features("randconv")
    >>> network.dimension, network.label
    (422, 'FD(randconv)')
    """
    check_features(name, weights)
    if name == RANDOM:
        network = _random()
    elif name == FID:
        network = _inception_fid(weights)
    else:
        network = _keras_inception(weights or os.environ.get(KERAS_VARIABLE))
    module = network.module.requires_grad_(False).eval()
    module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def check_features(name: str, weights: str | Path | None = None) -> None:
    """Raise LabError on a name or a missing file that `load_features` would refuse.

    It reads no file, so it is quick enough to call before a training.
    """
    if name not in list_features():
        known = ", ".join(list_features())
        guess = suggest(name, list_features())
        raise LabError(f"no feature network {name!r}; there are {known}{guess}")
    if name == RANDOM and weights is not None:
        raise LabError(
            f"{RANDOM} has no weights to load; leave out {printable(weights)} or name one of "
            f"{PRETRAINED}"
        )
    if name == KERAS:
        _need_file(_keras_file(weights or os.environ.get(KERAS_VARIABLE)))
    elif weights is not None:
        _need_file(Path(weights))


def load_pretrained(name: str) -> dict[str, Tensor]:
    """An Inception's weights by torchvision's names, with normalisation not folded in.

    Names, places and errors are as in `load_features`.
    """
    check_pretrained(name)
    if name == FID:
        return _load_inception(_fid_file(None), complete=True).state_dict()
    path = _keras_file(os.environ.get(KERAS_VARIABLE))
    return _load_inception(path, complete=False).state_dict()


def check_pretrained(name: str) -> None:
    """Raise LabError on a name or a missing file that `load_pretrained` would refuse."""
    if name not in (FID, KERAS):
        raise LabError(f"no pretrained weights {name!r}; there are {PRETRAINED}")
    if name == KERAS and not os.environ.get(KERAS_VARIABLE):
        raise LabError(
            f"model.pretrained = {KERAS} needs its weights, which are not distributed with "
            f"fauxlab: set {KERAS_VARIABLE} to the file, or use model.pretrained={FID}, which is "
            "downloaded"
        )
    check_features(name)


class Resized(nn.Module):
    """A network behind a resize of its pictures to `size` pixels and to its range of values.

    The resize is bicubic and antialiased, in float, rounded to whole levels as in a stored picture.
    Without antialiasing, Fréchet distances are wrong by several units (Parmar et al., 2022).
    """

    def __init__(self, network: nn.Module, size: int, centre: float, scale: float) -> None:
        super().__init__()
        self.network = network
        self.size = size
        self.centre = centre
        self.scale = scale

    def forward(self, images: Tensor) -> Tensor:
        """uint8 [N, 3, H, W] to float32 [N, D]."""
        x = resize(images, self.size)
        x = x.sub_(self.centre).div_(self.scale)
        x = x.contiguous(memory_format=torch.channels_last)
        features: Tensor = self.network(x)
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
    for name, weight in module.state_dict().items():
        assert name.endswith(".weight")
        digest.update(weight.numpy().astype("<f4").tobytes())
    return FeatureNetwork(
        name=RANDOM,
        sha256=digest.hexdigest(),
        dimension=module.dimension,
        input_size=None,
        input_range="x / 127.5 - 1",
        resize="none",
        module=module,
    )


def _inception_fid(weights: str | Path | None) -> FeatureNetwork:
    path = _fid_file(weights)
    network = _load_inception(path, complete=True).fold()
    return FeatureNetwork(
        name=FID,
        sha256=hash_file(path),
        dimension=2048,
        input_size=inception.SIZE,
        input_range="(x - 128) / 128",
        resize=RESIZE,
        module=Resized(network, inception.SIZE, centre=128, scale=128),
    )


def _keras_inception(weights: str | Path | None) -> FeatureNetwork:
    path = _keras_file(weights)
    network = _load_inception(path, complete=False).fold()
    return FeatureNetwork(
        name=KERAS,
        sha256=hash_file(path),
        dimension=1280,
        input_size=inception.SIZE,
        input_range="x / 127.5 - 1",
        resize=RESIZE,
        module=Resized(network, inception.SIZE, centre=127.5, scale=127.5),
    )


def _fid_file(weights: str | Path | None) -> Path:
    """The file of the FID network: the given one, or the one in the cache, downloaded if needed."""
    name = Path(FID_URL).name
    prefix = name.removesuffix(".pth").rpartition("-")[2]
    if weights is None:
        path = cache_folder() / "weights" / name
        if not path.is_file() or not hash_file(path).startswith(prefix):
            download(FID_URL, path, prefix, f", or use {RANDOM}, which needs no weights")
        return path
    path = Path(weights)
    sha256 = hash_file(path)
    if not sha256.startswith(prefix):
        raise LabError(
            f"{printable(path)} has SHA-256 {sha256[:8]}…, the FID network's file {prefix}…; only "
            f"that one gives a FID: fetch {FID_URL}"
        )
    return path


def _keras_file(weights: str | Path | None) -> Path:
    if not weights:
        raise LabError(
            f"{KERAS} needs its weights, which are not distributed with fauxlab: give the file's "
            f"path or set {KERAS_VARIABLE}, or use {RANDOM}"
        )
    return Path(weights)


def _need_file(path: Path) -> None:
    if not path.is_file():
        raise LabError(
            f"no weights {printable(path)}; give the path of a file of Inception-v3 weights"
        )


def _load_inception(path: Path, complete: bool) -> inception.Inception:
    """An Inception with the weights of a file; LabError where they do not fit."""
    _need_file(path)
    network = inception.Inception(complete)
    try:
        network.load_weights(read_weights(path, "Inception-v3"))
    except ValueError as error:
        raise LabError(
            f"{printable(path)} does not fit Inception-v3: {error}; fetch it again"
        ) from None
    return network
