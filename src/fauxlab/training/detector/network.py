"""A detector's network as it is trained: precise heads, and a guess at a teacher's features."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fauxlab.models.detectors import AveragedDetector


class Answers(NamedTuple):
    """What a network in training says of n pictures, in single precision."""

    logits: Tensor  # [n]; of several heads [n, heads]
    features: Tensor  # [n, components] as predicted of the teacher's; [n, 0] without


class TrainedNetwork(nn.Module):
    """A network, and a linear layer from its features to the teacher's where they are learned.

    The heads compute in single precision, whatever the trunk does. The engine changes how this
    module computes and never `network`, which is validated and released.
    """

    def __init__(self, network: nn.Module, components: int = 0) -> None:
        super().__init__()
        self.network = network
        self.projection: nn.Linear | None = None
        if components:
            head: Any = network.head
            width = head.linear.in_features
            self.projection = nn.Linear(width, components)

    def forward(self, images: Tensor) -> Answers:
        """Float [n, 3, H, W] in [-1, 1] to the answers."""
        if not isinstance(self.network, AveragedDetector):
            logits = self.network(images)
            return Answers(logits, logits.new_zeros(len(images), 0))
        maps = self.network.trunk(images)[-1]
        with torch.autocast(maps.device.type, enabled=False):
            maps = maps.float()
            logits = self.network.head(maps)
            features = logits.new_zeros(len(images), 0)
            if self.projection is not None:
                averages = maps.mean((2, 3))
                features = self.projection(averages)
        return Answers(logits, features)
