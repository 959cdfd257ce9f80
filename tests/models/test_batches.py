"""Batches: every row once and in order, and one way through a network."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from fauxlab.models.batches import apply_network, device_of, row_batches


def test_every_row_comes_once_and_progress_after_its_use() -> None:
    done: list[int] = []
    used: list[int] = []
    for rows in row_batches(10, 4, done.append):
        assert sum(done) == len(used), "told once a batch was used"
        used += rows.tolist()
    assert used == list(range(10))
    assert done == [4, 4, 2]
    assert list(row_batches(0, 4)) == []


def test_a_network_is_applied_without_gradients() -> None:
    network = nn.Linear(4, 2).double()

    def features(pixels: Tensor) -> Tensor:
        assert torch.is_inference_mode_enabled()
        return network(pixels.flatten(1)[:, :4].double())

    pixels = torch.arange(24, dtype=torch.uint8).view(2, 3, 2, 2)
    found = apply_network(features, pixels, device_of(network))
    assert found.dtype == np.float32
    expected = network(pixels.flatten(1)[:, :4].double()).detach().float()
    np.testing.assert_array_equal(found, expected)
