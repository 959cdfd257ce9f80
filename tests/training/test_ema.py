"""The averaged network follows with the half-life it is given."""

from __future__ import annotations

import pytest
from torch import nn

from fauxlab.training.ema import update_average


def test_average_follows_with_its_half_life() -> None:
    slow, fast = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    nn.init.zeros_(slow.weight)
    nn.init.ones_(fast.weight)
    fast.running_mean.fill_(5.0)  # type: ignore[union-attr]
    # Half-life 0.05 × 1000 = 50 images: after 50 shown the distance has halved, after 100 once
    # more.
    update_average(slow, fast, 0.05, 1000, 50)
    assert slow.weight.item() == pytest.approx(0.5)
    update_average(slow, fast, 0.05, 1000, 50)
    assert slow.weight.item() == pytest.approx(0.75)
    assert slow.running_mean.item() == 5.0, "buffers are copied"  # type: ignore[union-attr]
    update_average(slow, fast, 0.05, 10**9, 500_000)
    assert slow.weight.item() == pytest.approx(0.875), (
        "and the half-life is never above 500,000 images"
    )
