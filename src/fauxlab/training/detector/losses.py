"""What the pictures of a batch are to the network, and how far its answers are from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from fauxlab.config import Recipe, TrainConfig
from fauxlab.training.detector.manipulations import NUMBERS, REAL
from fauxlab.training.detector.network import Answers


@dataclass(frozen=True)
class Taught:
    """A teacher's answers to n pictures; it never saw the pseudo-fakes among them."""

    is_known: Tensor  # float [n], 1 or 0
    chances: Tensor  # float [n, heads]: what the teacher's heads give, between 0 and 1
    features: Tensor  # float [n, components], or [n, 0]


@dataclass(frozen=True)
class HeadTargets:
    """What heads should say of n pictures."""

    labels: Tensor  # float [n, heads]; 1 where the head should call it fake
    counted: Tensor  # float [n, heads]; 0 where the head is not asked
    taught: Taught | None = None


def head_targets(
    manipulations: Tensor, heads: Sequence[str], taught: Taught | None = None
) -> HeadTargets:
    """The targets of pictures by their manipulations [n] (REAL, MADE or ALTERED).

    A real picture counts for every head, a fake one only for the head of its own manipulation.
    """
    own = [NUMBERS[head] for head in heads]
    numbers = torch.tensor(own, device=manipulations.device)
    each = manipulations[:, None]
    labels = each == numbers
    is_real = each == REAL
    counted = labels | is_real
    return HeadTargets(labels.float(), counted.float(), taught)


def choose_loss(recipe: Recipe) -> Callable[[Answers, Any], Tensor]:
    """The loss of the recipe's answers against the targets of a batch."""
    return HeadLoss(recipe.train) if recipe.model.heads else label_loss


def label_loss(answers: Answers, targets: Tensor) -> Tensor:
    """Binary cross-entropy of one logit [n] against 1 for fake, 0 for real."""
    return F.binary_cross_entropy_with_logits(answers.logits, targets)


class HeadLoss:
    """Binary cross-entropy of several heads, and the distance from a teacher.

    The mean is over what counts: two answers for a real picture, one for a fake. In a balanced
    batch of pairs this number is fixed, so the mean over processes is that of the whole batch.
    """

    def __init__(self, train: TrainConfig) -> None:
        self.teacher_weight = train.teacher_weight
        self.features_weight = train.teacher_features

    def __call__(self, answers: Answers, targets: HeadTargets) -> Tensor:
        """The loss of logits [n, heads]."""
        losses = _cross_entropy(answers.logits, targets.labels)
        taught = targets.taught
        if taught is not None:
            weight = self.teacher_weight * taught.is_known[:, None]
            soft_losses = _cross_entropy(answers.logits, taught.chances)
            losses = (1 - weight) * losses + weight * soft_losses
        total = (losses * targets.counted).sum()
        loss = total / targets.counted.sum()
        if taught is None or not self.features_weight:
            return loss
        errors = answers.features - taught.features
        squares = errors.square().mean(1)
        distance = (squares * taught.is_known).mean()
        return loss + self.features_weight * distance


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
