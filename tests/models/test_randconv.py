"""The random network against SciPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.signal import correlate
from torch import Tensor

from fauxlab.evaluation.features import extract
from fauxlab.evaluation.networks import load_features


def test_random_network_equals_scipy(pictures: Callable[..., Tensor]) -> None:
    images = pictures(2, 16)
    network = load_features("randconv")
    found = extract(network, lambda first, count: images[first : first + count], 2)
    # The same words as uniform numbers through NumPy's own interface, and layers as plain
    # correlations.
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
