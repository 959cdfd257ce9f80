"""A slow average of a network's weights, which generalises better than the last step's."""

from __future__ import annotations

import torch
from torch import Tensor, nn

EMA_IMAGES = 500_000  # longest half-life


@torch.no_grad()
def update_average(
    average: nn.Module, network: nn.Module, share: float, images: int, shown: int
) -> None:
    """Move the averaged network towards the current one; buffers are copied.

    The half-life is `share` of the `images` seen so far, at most EMA_IMAGES; `shown` of them came
    since the last call.
    """
    decay = 0.5 ** (shown / min(EMA_IMAGES, share * images))
    slow: list[Tensor] = [*average.parameters()]
    fast: list[Tensor] = [*network.parameters()]
    # one kernel on a GPU, where one a parameter is most of the cost
    torch._foreach_lerp_(slow, fast, 1 - decay)
    for held, new in zip(average.buffers(), network.buffers(), strict=True):
        held.copy_(new)
