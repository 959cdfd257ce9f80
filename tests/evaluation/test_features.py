"""Feature vectors: their order, what is kept of them on disk, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from fauxlab.data.cache import ImageArray, load_images
from fauxlab.data.manifest import Manifest
from fauxlab.errors import LabError
from fauxlab.evaluation.features import extract, real_features
from fauxlab.evaluation.networks import FeatureNetwork


@pytest.fixture
def reals(small: Manifest) -> ImageArray:
    return load_images(small.where(lambda row: not row.label), 32)


def test_extraction_keeps_order_and_counts(
    pictures: Callable[..., Tensor], counting: Callable[..., FeatureNetwork]
) -> None:
    images, network, done = pictures(10), counting(), []
    found = extract(
        network,
        lambda first, count: images[first : first + count],
        10,
        batch=4,
        progress=done.append,
    )
    assert (found.shape, found.dtype, done) == ((10, 3), np.float32, [4, 4, 2])
    np.testing.assert_allclose(found, images.float().mean((2, 3)), rtol=1e-6)
    assert extract(network, lambda first, count: images[:0], 0).shape == (0, 3)


def test_extraction_refuses_what_is_no_picture(
    pictures: Callable[..., Tensor], counting: Callable[..., FeatureNetwork]
) -> None:
    for wrong in (pictures(4).float(), pictures(3), pictures(4)[:, :1], pictures(4)[0]):
        with pytest.raises(LabError, match=r"uint8 \[4, 3, height, width\]"):
            extract(counting(), lambda first, count, wrong=wrong: wrong, 4)
    network = counting()
    network.module.weight.fill_(float("nan"))
    with pytest.raises(LabError, match="NaN"):
        extract(network, lambda first, count: pictures(count), 4)


def test_real_features_are_computed_once(
    reals: ImageArray, cache: Path, counting: Callable[..., FeatureNetwork]
) -> None:
    network = counting()
    found = real_features(network, reals, batch=16)
    assert network.module.seen == len(reals) == len(found)
    expected = reals.take(np.arange(len(reals))).mean((2, 3))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_array_equal(real_features(network, reals), found)
    assert network.module.seen == len(reals)
    assert [path.suffix for path in (cache / "features").iterdir()] == [".npy"]


def test_real_features_follow_images_order_size_and_network(
    reals: ImageArray, counting: Callable[..., FeatureNetwork]
) -> None:
    network = counting()
    first = real_features(network, reals)
    reordered = replace(
        reals,
        manifest=replace(reals.manifest, rows=reals.manifest.rows[::-1]),
        slots=reals.slots[::-1].copy(),
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


def test_a_damaged_cache_is_computed_again(
    reals: ImageArray, cache: Path, counting: Callable[..., FeatureNetwork]
) -> None:
    found = real_features(counting(), reals).copy()
    (path,) = (cache / "features").iterdir()
    for content in (path.read_bytes()[:200], b"", b"not an array"):
        path.write_bytes(content)
        network = counting()
        np.testing.assert_array_equal(real_features(network, reals), found)
        assert network.module.seen == len(reals)


def test_an_interrupted_extraction_leaves_nothing(
    reals: ImageArray, cache: Path, counting: Callable[..., FeatureNetwork]
) -> None:
    def interrupt(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        real_features(counting(), reals, interrupt, batch=16)
    assert list((cache / "features").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_said(
    reals: ImageArray, counting: Callable[..., FeatureNetwork], cache: Path
) -> None:
    (cache / "features").write_text("a file where the folder belongs")
    with pytest.raises(LabError, match=r"cannot keep features in .*FAUXLAB_CACHE"):
        real_features(counting(), reals)
