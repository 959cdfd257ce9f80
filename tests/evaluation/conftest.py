"""Shared fixtures: a feature network whose features can be computed by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fauxlab.evaluation.networks import FeatureNetwork


class Counting(nn.Module):
    """Channel means, and how many pictures were seen."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1), requires_grad=False)
        self.seen = 0

    def forward(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        return images.float().mean((2, 3)) * self.weight


@pytest.fixture
def counting() -> Callable[..., FeatureNetwork]:
    """A network of channel means; its module's `seen` is the number of pictures that it was asked
    for.
    """

    def make(sha256: str = "0" * 64) -> FeatureNetwork:
        return FeatureNetwork("counting", sha256, 3, None, "0 to 255", "none", Counting())

    return make
