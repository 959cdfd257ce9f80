"""A slow average of a network's weights (EMA), which generalises better than the last step's.

Karras et al. (2018) use it for generators; here it serves detectors as well.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

EMA_IMAGES = 500_000  # the longest half-life


@torch.no_grad()
def update_average(
    average: nn.Module,
    network: nn.Module,
    share: float,
    images: int,
    shown: int,
) -> None:
    """Move the averaged weights towards the current ones, in place; buffers are copied.

    The half-life is `share` of the `images` seen so far, at most EMA_IMAGES; `shown` of them came
    since the last call.
    """
    half_life = min(EMA_IMAGES, share * images)
    decay = 0.5 ** (shown / half_life)
    slow: list[Tensor] = [*average.parameters()]
    fast: list[Tensor] = [*network.parameters()]
    # One call for all tensors: on a GPU the start of a call costs more than its arithmetic.
    torch._foreach_lerp_(slow, fast, 1 - decay)
    for averaged, current in zip(average.buffers(), network.buffers(), strict=True):
        averaged.copy_(current)
