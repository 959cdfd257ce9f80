"""Feature networks: what they compute, what they keep on disk, and what they refuse."""

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
from scipy.signal import correlate
from torch import Tensor, nn

from fauxlab.data.cache import ImageArray, load_images
from fauxlab.data.manifest import Manifest
from fauxlab.errors import LabError
from fauxlab.evaluation import features
from fauxlab.evaluation.features import (
    FeatureNetwork,
    default_features,
    extract,
    list_features,
    load_features,
    real_features,
    resize,
)
from fauxlab.models.inception import Inception

FID_NAME = "weights-inception-2015-12-05-6726825d.pth"


def pictures(n: int, size: int = 32, seed: int = 0) -> Tensor:
    """uint8 [n, 3, size, size]."""
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (n, 3, size, size), dtype=np.uint8))


class Counting(nn.Module):
    """Channel means, and how many pictures were seen."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1), requires_grad=False)
        self.seen = 0

    def forward(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        return images.float().mean((2, 3)) * self.weight


def counting(sha256: str = "0" * 64) -> FeatureNetwork:
    return FeatureNetwork("counting", sha256, 3, None, "0 to 255", "none", Counting())


@pytest.fixture
def reals(small: Manifest) -> ImageArray:
    return load_images(small.where(lambda row: not row.label), 32)


@pytest.fixture
def constant_weights(tmp_path: Path) -> Callable[..., Path]:
    """A file of Inception weights, all 0.01: one stored number each, so that it is small."""

    def make(complete: bool, **changes: Tensor) -> Path:
        state = {k: torch.tensor(0.01).expand(v.shape) for k, v in Inception(complete).state_dict().items()}
        path = tmp_path / "weights.pth"
        torch.save({**state, **changes}, path)
        return path

    return make


# --- the random network


def test_random_network_equals_scipy() -> None:
    images = pictures(2, 16)
    network = load_features("randconv")
    found = extract(network, lambda first, count: images[first : first + count], 2)
    # The same words as uniform numbers through NumPy's own interface, and layers as plain correlations.
    draw = np.random.Generator(np.random.PCG64(20151205))
    weights = []
    for width, channels in ((32, 3), (48, 32), (64, 48), (64, 64)):
        weights.append((draw.random((width, channels, 3, 3)) * 2 - 1) * (6 / (9 * channels)) ** 0.5)
    weights[0][1::2] = 3 * (weights[0][1::2] - weights[0][1::2].mean((2, 3), keepdims=True))
    for image, vector in zip(images, found, strict=True):
        x = image.double().numpy() / 127.5 - 1
        expected = [x.mean((1, 2)), x.std((1, 2))]
        for level, weight in enumerate(weights):
            if level:
                x = x.reshape(len(x), x.shape[1] // 2, 2, -1, 2).mean((2, 4))
            padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
            x = np.stack([np.maximum(correlate(padded, w, mode="valid")[0], 0) for w in weight])
            expected += [x.mean((1, 2)), x.std((1, 2))]
        np.testing.assert_allclose(vector, np.concatenate(expected), atol=2e-5)


def test_random_network_is_the_same_everywhere() -> None:
    network = load_features("randconv")
    assert (network.dimension, network.input_size, network.label) == (422, None, "FD(randconv)")
    assert network.sha256 == "720350105d28f3b45e74a1eb79da1ef242c9f6568ef025f0ceb50818d320585f"
    assert load_features("randconv").sha256 == network.sha256


# --- how pictures reach a network


def test_resize_rounds_to_levels_as_pillow_does(jpeg: Callable[..., bytes], tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(3, (80, 80)))
    with Image.open(tmp_path / "a.jpg") as image:
        stored = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None]
        for size in (37, 299):  # antialiased on the way down, smooth on the way up
            found = resize(stored, size)
            assert torch.equal(found, found.round())
            assert 0 <= found.min() <= found.max() <= 255
            expected = np.asarray(image.resize((size, size), Image.Resampling.BICUBIC), dtype=np.float32)
            difference = np.abs(found[0].permute(1, 2, 0).numpy() - expected)
            assert difference.max() <= 1  # Pillow rounds between the two passes
            assert difference.mean() < 0.2


def test_resize_clamps_the_overshoot_and_leaves_the_right_size_alone() -> None:
    edge = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    edge[..., 4:] = 255
    found = resize(edge, 64)
    assert (found.min(), found.max()) == (0, 255)
    images = pictures(1, 299)
    assert torch.equal(resize(images, 299), images.float())


def test_input_range_of_both_inceptions(monkeypatch: pytest.MonkeyPatch, constant_weights: Callable[..., Path]) -> None:
    monkeypatch.setattr(Inception, "forward", lambda self, x: x.amax((2, 3)))
    black = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    keras = load_features("keras-inception-7a", constant_weights(False))
    assert keras.module(black).tolist() == [[-1, -1, -1]]
    assert keras.module(black + 255).tolist() == [[1, 1, 1]]
    path = constant_weights(True)
    monkeypatch.setattr(features, "FID_URL", f"file:///x-{sha256(path)[:8]}.pth")
    fid = load_features("inception-fid", path)
    assert fid.module(black).tolist() == [[-1, -1, -1]]
    assert fid.module(black + 255).tolist() == [[127 / 128] * 3]


# --- names, weights, downloads


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_only_the_network_of_2015_is_called_fid() -> None:
    labels = {name: replace(counting(), name=name) for name in list_features()}
    assert [network.label for network in labels.values()] == ["FID", "FD(keras-inception-7a)", "FD(randconv)"]
    assert labels["inception-fid"].kid_label == "KID"
    assert labels["randconv"].kid_label == "KID(randconv)"
    assert Path(features.FID_URL).name == FID_NAME


def test_default_is_the_best_network_at_hand(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.delenv("FAUXLAB_INCEPTION", raising=False)
    assert default_features() == "randconv"
    monkeypatch.setenv("FAUXLAB_INCEPTION", "weights.pth")
    assert default_features() == "keras-inception-7a"
    (cache / "weights").mkdir()
    (cache / "weights" / FID_NAME).touch()
    assert default_features() == "inception-fid"


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
    with pytest.raises(LabError, match="has no weights to load"):
        load_features("randconv", tmp_path / "nothing.pth")


def test_weights_from_the_environment(monkeypatch: pytest.MonkeyPatch, constant_weights: Callable[..., Path]) -> None:
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
    for path, message in ((cut, "damaged"), (noise, "damaged"), (empty, "damaged"), (other, "no table of weights")):
        with pytest.raises(LabError, match=message) as caught:
            load_features("keras-inception-7a", path)
        assert "\n" not in str(caught.value)
    changes = {"Mixed_5b.branch1x1.conv.weight": torch.zeros(64, 192, 3, 3)}
    with pytest.raises(
        LabError, match=r"Mixed_5b.branch1x1.conv.weight is \(64, 192, 3, 3\), expected \(64, 192, 1, 1"
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
    monkeypatch: pytest.MonkeyPatch, cache: Path, tmp_path: Path, constant_weights: Callable[..., Path]
) -> None:
    file = constant_weights(complete=True)
    served = tmp_path / f"inception-{sha256(file)[:8]}.pth"
    file.rename(served)
    monkeypatch.setattr(features, "FID_URL", served.as_uri())
    network = load_features("inception-fid")
    assert (network.dimension, network.label, network.sha256) == (2048, "FID", sha256(served))
    assert [path.name for path in (cache / "weights").iterdir()] == [served.name]
    served.unlink()  # from now on it comes from the cache
    assert load_features("inception-fid").sha256 == network.sha256
    with torch.no_grad():
        assert network.module(pictures(1)).shape == (1, 2048)


def test_a_wrong_download_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, cache: Path, tmp_path: Path) -> None:
    served = tmp_path / "inception-01234567.pth"
    served.write_bytes(b"an error page")
    monkeypatch.setattr(features, "FID_URL", served.as_uri())
    with pytest.raises(LabError, match=f"SHA-256 {sha256(served)[:8]}…, expected 01234567"):
        load_features("inception-fid")
    served.unlink()
    with pytest.raises(LabError, match=r"cannot fetch file:.*fetch it by hand"):
        load_features("inception-fid")
    assert list((cache / "weights").iterdir()) == []


def test_a_damaged_copy_in_the_cache_is_fetched_again(
    monkeypatch: pytest.MonkeyPatch, cache: Path, tmp_path: Path, constant_weights: Callable[..., Path]
) -> None:
    file = constant_weights(complete=True)
    served = tmp_path / f"inception-{sha256(file)[:8]}.pth"
    file.rename(served)
    monkeypatch.setattr(features, "FID_URL", served.as_uri())
    (cache / "weights").mkdir()
    (cache / "weights" / served.name).write_bytes(served.read_bytes()[:-1])
    assert load_features("inception-fid").sha256 == sha256(served)


def test_other_weights_are_not_called_fid(constant_weights: Callable[..., Path]) -> None:
    with pytest.raises(LabError, match="6726825d…; only that one gives a FID"):
        load_features("inception-fid", constant_weights(complete=True))


# --- extraction and its cache


def test_extraction_keeps_order_and_counts() -> None:
    images, network, done = pictures(10), counting(), []
    found = extract(network, lambda first, count: images[first : first + count], 10, batch=4, progress=done.append)
    assert (found.shape, found.dtype, done) == ((10, 3), np.float32, [4, 4, 2])
    np.testing.assert_allclose(found, images.float().mean((2, 3)), rtol=1e-6)
    assert extract(network, lambda first, count: images[:0], 0).shape == (0, 3)


def test_extraction_refuses_what_is_no_picture() -> None:
    for wrong in (pictures(4).float(), pictures(3), pictures(4)[:, :1], pictures(4)[0]):
        with pytest.raises(LabError, match=r"uint8 \[4, 3, height, width\]"):
            extract(counting(), lambda first, count, wrong=wrong: wrong, 4)
    network = counting()
    network.module.weight.fill_(float("nan"))
    with pytest.raises(LabError, match="NaN"):
        extract(network, lambda first, count: pictures(count), 4)


def test_real_features_are_computed_once(reals: ImageArray, cache: Path) -> None:
    network = counting()
    found = real_features(network, reals, batch=16)
    assert network.module.seen == len(reals) == len(found)
    expected = reals.take(np.arange(len(reals))).mean((2, 3))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_array_equal(real_features(network, reals), found)
    assert network.module.seen == len(reals)
    assert [path.suffix for path in (cache / "features").iterdir()] == [".npy"]


def test_real_features_follow_images_order_size_and_network(reals: ImageArray) -> None:
    network = counting()
    first = real_features(network, reals)
    reordered = replace(
        reals, manifest=replace(reals.manifest, rows=reals.manifest.rows[::-1]), slots=reals.slots[::-1].copy()
    )
    np.testing.assert_array_equal(real_features(network, reordered), first[::-1])
    assert network.module.seen == 2 * len(reals)
    rows = (replace(reals.manifest.rows[0], sha256="f" * 64), *reals.manifest.rows[1:])
    real_features(network, replace(reals, manifest=replace(reals.manifest, rows=rows)))
    assert network.module.seen == 3 * len(reals)
    real_features(network, load_images(reals.manifest, 16))
    assert network.module.seen == 4 * len(reals)
    other = counting("1" * 64)
    real_features(other, reals)
    assert other.module.seen == len(reals)


def test_a_damaged_cache_is_computed_again(reals: ImageArray, cache: Path) -> None:
    found = real_features(counting(), reals).copy()
    (path,) = (cache / "features").iterdir()
    for content in (path.read_bytes()[:200], b"", b"not an array"):
        path.write_bytes(content)
        network = counting()
        np.testing.assert_array_equal(real_features(network, reals), found)
        assert network.module.seen == len(reals)


def test_an_interrupted_extraction_leaves_nothing(reals: ImageArray, cache: Path) -> None:
    def interrupt(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        real_features(counting(), reals, interrupt, batch=16)
    assert list((cache / "features").iterdir()) == []
