"""Feature networks: their names, their weights, how pictures reach them, and what they refuse."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from fauxlab.errors import LabError
from fauxlab.evaluation import networks
from fauxlab.evaluation.networks import FeatureNetwork, list_features, load_features, resize
from fauxlab.models.inception import Inception

FID_NAME = "weights-inception-2015-12-05-6726825d.pth"


@pytest.fixture
def constant_weights(tmp_path: Path) -> Callable[..., Path]:
    """A file of Inception weights, all 0.01: one stored number each, so that it is small."""

    def make(complete: bool, **changes: Tensor) -> Path:
        state = {
            k: torch.tensor(0.01).expand(v.shape)
            for k, v in Inception(complete).state_dict().items()
        }
        path = tmp_path / "weights.pth"
        torch.save({**state, **changes}, path)
        return path

    return make


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# --- how pictures reach a network


def test_resize_rounds_to_levels_as_pillow_does(jpeg: Callable[..., bytes], tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(3, (80, 80)))
    with Image.open(tmp_path / "a.jpg") as image:
        stored = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None]
        for size in (37, 299):  # antialiased on the way down, smooth on the way up
            found = resize(stored, size)
            assert torch.equal(found, found.round())
            assert 0 <= found.min() <= found.max() <= 255
            expected = np.asarray(
                image.resize((size, size), Image.Resampling.BICUBIC), dtype=np.float32
            )
            difference = np.abs(found[0].permute(1, 2, 0).numpy() - expected)
            assert difference.max() <= 1  # Pillow rounds between the two passes
            assert difference.mean() < 0.2


def test_resize_clamps_the_overshoot_and_leaves_the_right_size_alone(
    pictures: Callable[..., Tensor],
) -> None:
    edge = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    edge[..., 4:] = 255
    found = resize(edge, 64)
    assert (found.min(), found.max()) == (0, 255)
    images = pictures(1, 299)
    assert torch.equal(resize(images, 299), images.float())


def test_input_range_of_both_inceptions(
    monkeypatch: pytest.MonkeyPatch, constant_weights: Callable[..., Path]
) -> None:
    monkeypatch.setattr(Inception, "forward", lambda self, x: x.amax((2, 3)))
    black = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    keras = load_features("keras-inception-7a", constant_weights(False))
    assert keras.module(black).tolist() == [[-1, -1, -1]]
    assert keras.module(black + 255).tolist() == [[1, 1, 1]]
    path = constant_weights(True)
    monkeypatch.setattr(networks, "FID_URL", f"file:///x-{sha256(path)[:8]}.pth")
    fid = load_features("inception-fid", path)
    assert fid.module(black).tolist() == [[-1, -1, -1]]
    assert fid.module(black + 255).tolist() == [[127 / 128] * 3]


# --- names, weights, downloads


def test_random_network_is_the_same_everywhere() -> None:
    network = load_features("randconv")
    assert (network.dimension, network.input_size, network.label) == (422, None, "FD(randconv)")
    assert network.sha256 == "720350105d28f3b45e74a1eb79da1ef242c9f6568ef025f0ceb50818d320585f"
    assert load_features("randconv").sha256 == network.sha256


def test_only_the_network_of_2015_is_called_fid(counting: Callable[..., FeatureNetwork]) -> None:
    labels = {name: replace(counting(), name=name) for name in list_features()}
    assert [network.label for network in labels.values()] == [
        "FID",
        "FD(keras-inception-7a)",
        "FD(randconv)",
    ]
    assert labels["inception-fid"].kid_label == "KID"
    assert labels["randconv"].kid_label == "KID(randconv)"
    assert Path(networks.FID_URL).name == FID_NAME


def test_unknown_names_and_missing_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("FAUXLAB_INCEPTION", raising=False)
    with pytest.raises(LabError, match="did you mean 'inception-fid'"):
        load_features("inception_fid")
    with pytest.raises(LabError, match="FAUXLAB_INCEPTION"):
        load_features("keras-inception-7a")
    with pytest.raises(LabError, match=r"no weights .*nothing\.pth"):
        load_features("keras-inception-7a", tmp_path / "nothing.pth")
    with pytest.raises(LabError, match=r"nothing\.pth"):
        load_features("inception-fid", tmp_path / "nothing.pth")
    monkeypatch.setenv("FAUXLAB_INCEPTION", __file__)
    with pytest.raises(LabError, match=r"no weights \."):
        load_features("inception-fid", "")  # which is no request for another network's file
    with pytest.raises(LabError, match="has no weights to load"):
        load_features("randconv", tmp_path / "nothing.pth")


def test_weights_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, constant_weights: Callable[..., Path]
) -> None:
    path = constant_weights(complete=False)
    monkeypatch.setenv("FAUXLAB_INCEPTION", str(path))
    network = load_features("keras-inception-7a")
    assert (network.dimension, network.input_size, network.sha256) == (1280, 299, sha256(path))


def test_damaged_weights_are_refused(tmp_path: Path, constant_weights: Callable[..., Path]) -> None:
    whole = constant_weights(complete=False)
    cut = tmp_path / "cut.pth"
    cut.write_bytes(whole.read_bytes()[:2000])
    noise = tmp_path / "noise.pth"
    noise.write_bytes(bytes(range(256)) * 8)
    empty = tmp_path / "empty.pth"
    empty.touch()
    other = tmp_path / "list.pth"
    torch.save([torch.zeros(3)], other)
    for path, message in (
        (cut, "damaged"),
        (noise, "damaged"),
        (empty, "damaged"),
        (other, "no table of weights"),
    ):
        with pytest.raises(LabError, match=message) as caught:
            load_features("keras-inception-7a", path)
        assert "\n" not in str(caught.value)
    changes = {"Mixed_5b.branch1x1.conv.weight": torch.zeros(64, 192, 3, 3)}
    with pytest.raises(
        LabError,
        match=r"Mixed_5b.branch1x1.conv.weight is \(64, 192, 3, 3\), expected \(64, 192, 1, 1",
    ):
        load_features("keras-inception-7a", constant_weights(complete=False, **changes))


def test_weights_that_run_code_are_refused(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    torch.save({"a": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(LabError, match=r"trap\.pth"):
        load_features("keras-inception-7a", tmp_path / "trap.pth")
    assert not (tmp_path / "sprung").exists()


def test_download_is_checked_and_kept(
    monkeypatch: pytest.MonkeyPatch,
    cache: Path,
    tmp_path: Path,
    constant_weights: Callable[..., Path],
    pictures: Callable[..., Tensor],
) -> None:
    file = constant_weights(complete=True)
    served = tmp_path / f"inception-{sha256(file)[:8]}.pth"
    file.rename(served)
    monkeypatch.setattr(networks, "FID_URL", served.as_uri())
    network = load_features("inception-fid")
    assert (network.dimension, network.label, network.sha256) == (2048, "FID", sha256(served))
    assert [path.name for path in (cache / "weights").iterdir()] == [served.name]
    served.unlink()  # from now on it comes from the cache
    assert load_features("inception-fid").sha256 == network.sha256
    with torch.no_grad():
        assert network.module(pictures(1)).shape == (1, 2048)


def test_a_wrong_download_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, cache: Path, tmp_path: Path
) -> None:
    served = tmp_path / "inception-01234567.pth"
    served.write_bytes(b"an error page")
    monkeypatch.setattr(networks, "FID_URL", served.as_uri())
    with pytest.raises(LabError, match=f"SHA-256 {sha256(served)[:8]}…, expected 01234567"):
        load_features("inception-fid")
    served.unlink()
    with pytest.raises(LabError, match=r"cannot fetch file:.*fetch it by hand"):
        load_features("inception-fid")
    assert list((cache / "weights").iterdir()) == []


def test_a_damaged_copy_in_the_cache_is_fetched_again(
    monkeypatch: pytest.MonkeyPatch,
    cache: Path,
    tmp_path: Path,
    constant_weights: Callable[..., Path],
) -> None:
    file = constant_weights(complete=True)
    served = tmp_path / f"inception-{sha256(file)[:8]}.pth"
    file.rename(served)
    monkeypatch.setattr(networks, "FID_URL", served.as_uri())
    (cache / "weights").mkdir()
    (cache / "weights" / served.name).write_bytes(served.read_bytes()[:-1])
    assert load_features("inception-fid").sha256 == sha256(served)


def test_other_weights_are_not_called_fid(constant_weights: Callable[..., Path]) -> None:
    with pytest.raises(LabError, match="6726825d…; only that one gives a FID"):
        load_features("inception-fid", constant_weights(complete=True))
