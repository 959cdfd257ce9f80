"""Files of pretrained weights: fetched whole or not at all, and read without running code."""

from __future__ import annotations

import hashlib
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from fauxlab.errors import LabError
from fauxlab.io.files import file_aside
from fauxlab.io.text import printable

CHUNK = 2**20


def download(url: str, path: Path, prefix: str, otherwise: str) -> None:
    """Fetch a file whose SHA-256 begins with `prefix`, whole or not at all.

    By hand, since `torch.hub.download_url_to_file` knows no timeout. `otherwise` ends the message
    of the LabError that a fault raises: what else a user can do.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with file_aside(path) as stream:
            sha256 = _fetch(url, stream)
            if not sha256.startswith(prefix):
                raise LabError(
                    f"what {url} gave has SHA-256 {sha256[:8]}…, expected {prefix[:8]}…; "
                    "try again, or fetch it by hand and give its path as weights"
                )
    except (OSError, ValueError) as error:
        raise LabError(
            f"cannot fetch {url}: {error}; fetch it by hand to {printable(path)}{otherwise}"
        ) from error


def _fetch(url: str, stream: BinaryIO) -> str:
    """Write what an address gives to a stream; returns its SHA-256."""
    digest = hashlib.sha256()
    with urllib.request.urlopen(url, timeout=30) as response:
        while chunk := response.read(CHUNK):
            stream.write(chunk)
            digest.update(chunk)
    return digest.hexdigest()


def read_weights(path: Path, network: str) -> Mapping[str, Tensor]:
    """The state dict in a file, on the CPU. Raises LabError on anything else.

    `network` is the name of the network that the message asks for.
    """
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a damaged file raises depends on where the damage is
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise LabError(
            f"{printable(path)} is damaged or holds no plain weights ({reason}); fetch it again"
        ) from None
    is_table = isinstance(state, Mapping)
    if not is_table or not all(isinstance(value, Tensor) for value in state.values()):
        raise LabError(
            f"{printable(path)} holds no table of weights; give a state dict of {network}"
        )
    weights: Mapping[str, Tensor] = state
    return weights
