"""Linear heads on a map that is averaged over space, and how several of them become one logit."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Answer(NamedTuple):
    """What heads say of N pictures; see `fauxlab.bundle.detector.Prediction`."""

    logits: Tensor  # [N]
    activation_maps: Tensor  # [N, h, w]
    head_logits: Tensor  # [N, heads] on one scale; [N, 0] of one head
    features: Tensor  # [N, channels]


class Heads(nn.Module):
    """Linear layers on a map that is averaged over space; each answers a question of its own.

    Both steps are linear, so each position's part of a logit is known: its class activation map
    (CAM, Zhou et al., 2016).
    """

    def __init__(self, channels: int, dropout: float, heads: int = 1) -> None:
        super().__init__()
        check_dropout(dropout)
        if heads < 1:
            raise ValueError(f"{heads} heads, expected at least one")
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(channels, heads)
        if heads > 1:
            self.join = Join(heads)

    def forward(self, maps: Tensor) -> Tensor:
        """Float [N, channels, h, w] to logits [N]; of several heads [N, heads]."""
        averages = maps.mean((2, 3))
        averages = self.dropout(averages)
        logits: Tensor = self.linear(averages)
        if logits.shape[1] == 1:
            return logits[:, 0]
        return logits

    def explain(self, maps: Tensor) -> Answer:
        """Float [N, channels, h, w] to one logit for each picture, and where it comes from.

        An activation map sums to its picture's logit. Of several heads each has its part in it,
        as large as its part in the joined logit.
        """
        features = maps.mean((2, 3))
        head_logits = self.linear(features)
        if head_logits.shape[1] == 1:
            activation = self._activation_map(maps)
            return Answer(head_logits[:, 0], activation, head_logits[:, :0], features)
        alike = self.join.standardise(head_logits)
        logits = torch.logsumexp(alike, 1)
        activation = self._joined_map(maps, alike, logits)
        return Answer(logits, activation, alike, features)

    def _activation_map(self, maps: Tensor) -> Tensor:
        """Float [N, channels, h, w] to [N, h, w], which sums to the logit of the only head."""
        weight = self.linear.weight[:, :, None, None]
        parts = F.conv2d(maps, weight, self.linear.bias)
        positions = maps.shape[2] * maps.shape[3]
        return parts[:, 0] / positions

    def _joined_map(self, maps: Tensor, alike: Tensor, logits: Tensor) -> Tensor:
        """Float [N, channels, h, w] to [N, h, w], which sums to the joined logits [N].

        The weights are used as they are, never reshaped: an exported graph holds them once, and
        nothing in it depends on how many heads there are (`fauxlab.bundle.heads`).
        """
        height, width = maps.shape[2:]
        shares = torch.softmax(alike, 1) / self.join.scale
        weights = shares @ self.linear.weight  # [N, channels]
        flat = maps.flatten(2)
        parts = (weights[:, None] @ flat)[:, 0] / (height * width)
        # Biases and the join belong to no place, so every place gets as much of them.
        rest = logits - parts.sum(1)
        activation = parts + rest[:, None] / (height * width)
        return activation.reshape(-1, height, width)


class Join(nn.Module):
    """Several heads' logits as one: the logarithm of the sum of exponentials, on one scale.

    Not trained: `centre` and `scale` are set once the heads are, so that each head calls about as
    many real pictures fake as the others do. Until then they are 0 and 1.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(heads))
        self.register_buffer("scale", torch.ones(heads))

    def standardise(self, head_logits: Tensor) -> Tensor:
        """The logits [N, heads] on one scale."""
        return (head_logits - self.centre) / self.scale

    def forward(self, head_logits: Tensor) -> Tensor:
        """The logits [N, heads] to one logit [N]."""
        return torch.logsumexp(self.standardise(head_logits), 1)


def check_dropout(dropout: float) -> None:
    """Raise ValueError where a share of dropped features is none."""
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout {dropout!r}, expected a share from 0 to below 1")
