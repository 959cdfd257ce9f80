"""The tiny autoencoder: shapes, files that are fetched and checked, and what the weights reach."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fauxlab.datasets.toyfaces import draw, plan
from fauxlab.errors import LabError
from fauxlab.models import autoencoder
from fauxlab.models.autoencoder import (
    DECODER_FILE,
    ENCODER_FILE,
    Autoencoder,
    open_autoencoder,
)

WEIGHTS = Path(os.environ.get("FAUXLAB_TAEF2", Path(__file__).parents[3] / "shared" / "weights"))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with the two files, of random weights and stored as float16."""
    torch.manual_seed(0)
    network = Autoencoder()
    halves = {ENCODER_FILE: network.encoder, DECODER_FILE: network.decoder}
    folder = tmp_path / "files"
    folder.mkdir()
    for name, half in halves.items():
        state = {key: value.half() for key, value in half.state_dict().items()}
        torch.save(state, folder / name)
    return folder


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_latents_have_an_eighth_of_the_side(pictures: Callable[..., Tensor]) -> None:
    network = Autoencoder().eval()
    images = pictures(2, size=48)[:, :, :32].float() / 127.5 - 1
    with torch.no_grad():
        latents = network.encode(images)
        decoded = network.decode(100 * latents)
    assert latents.shape == (2, 32, 4, 6)
    assert decoded.shape == images.shape
    assert decoded.abs().max() <= 1
    with pytest.raises(LabError, match="multiples of 8, not 44x32"):
        network.encode(images[:, :, :, :44])


def test_latents_are_bounded_softly() -> None:
    network = Autoencoder().eval()
    with torch.no_grad():
        far = network.decode(torch.full((1, 32, 2, 2), 1e4))
        bound = network.decoder(torch.full((1, 32, 2, 2), 3.0)).clamp(0, 1) * 2 - 1
    torch.testing.assert_close(far, bound)


def test_pictures_of_any_size_keep_it(files: Path, pictures: Callable[..., Tensor]) -> None:
    network = open_autoencoder(files)
    picture = pictures(1, size=45)[:, :, :21]
    found = network.reconstruct(picture)
    assert found.shape == picture.shape
    assert found.dtype == torch.uint8
    # Where nothing is to be padded, it is encoding and decoding, up to rounding.
    whole = pictures(1, size=16)
    with torch.no_grad():
        expected = (network(whole.float() / 127.5 - 1) + 1) * 127.5
    assert (network.reconstruct(whole).float() - expected).abs().max() < 3


def test_it_is_fetched_once_and_checked(
    files: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = {name: sha256(files / name) for name in (ENCODER_FILE, DECODER_FILE)}
    monkeypatch.setattr(autoencoder, "URL", f"{files.as_uri()}/")
    monkeypatch.setattr(autoencoder, "HASHES", hashes)
    fetched = open_autoencoder("taef2")
    assert fetched.sha256 == open_autoencoder(files).sha256
    assert not any(weight.requires_grad for weight in fetched.parameters())
    assert {path.name for path in (cache / "weights").iterdir()} == set(hashes)
    (files / ENCODER_FILE).unlink()  # from now on it comes from the cache
    assert open_autoencoder("taef2").sha256 == fetched.sha256
    monkeypatch.setitem(hashes, DECODER_FILE, "0" * 64)
    with pytest.raises(LabError, match="expected 00000000"):
        open_autoencoder("taef2")


def test_other_files_are_refused(files: Path, tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"no weights .*nowhere.*name taef2, or a folder"):
        open_autoencoder(tmp_path / "nowhere")
    torch.save({"0.weight": torch.zeros(3)}, files / DECODER_FILE)
    with pytest.raises(LabError, match=r"taef2_decoder\.pth does not fit taef2"):
        open_autoencoder(files)
    (files / DECODER_FILE).write_bytes(b"no weights")
    with pytest.raises(LabError, match=r"taef2_decoder\.pth is damaged"):
        open_autoencoder(files)


def test_the_published_weights_give_pictures_back() -> None:
    if not (WEIGHTS / ENCODER_FILE).is_file():
        pytest.skip("taef2's weights are not on this machine (set FAUXLAB_TAEF2 to their folder)")
    network = open_autoencoder(WEIGHTS)
    face = draw("wiki", plan(1), 0, 128).transpose(2, 0, 1).copy()
    # The encoder was trained on photos, which have less grain than the drawn faces.
    smooth = torch.nn.functional.avg_pool2d(torch.from_numpy(face[None]).float(), 2)
    picture = smooth.round().to(torch.uint8)
    error = (network.reconstruct(picture).float() - picture.float()).square().mean()
    assert 10 * np.log10(255**2 / float(error)) > 28
    with torch.no_grad():
        latents = network.encode(picture.float() / 127.5 - 1)
    assert 0.5 < float(latents.std()) < 1.5
