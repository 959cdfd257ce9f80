"""A detector's network as it is trained: precise heads, and a guess at a teacher's features."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from fauxlab.models.detectors import AveragedDetector


class Answers(NamedTuple):
    """What a network in training says of n pictures, in single precision."""

    logits: Tensor  # [n]; of several heads [n, heads]
    features: Tensor  # [n, components] as predicted of the teacher's; [n, 0] without


class TrainedNetwork(nn.Module):
    """A network, and a linear layer from its features to the teacher's where they are learned.

    The heads always compute in single precision. What a processor does not compute in half
    precision by itself is left to the engine, which changes only this module and never `network`.
    """

    def __init__(self, network: nn.Module, components: int = 0) -> None:
        super().__init__()
        self.network = network
        self.projection: nn.Linear | None = None
        if components:
            self.projection = nn.Linear(network.head.linear.in_features, components)  # type: ignore

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
                features = self.projection(maps.mean((2, 3)))
        return Answers(logits, features)
