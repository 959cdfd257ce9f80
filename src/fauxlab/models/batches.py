"""Pictures in batches through a network: what every measurement does with its pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn


def row_batches(
    n: int, size: int, progress: Callable[[int], None] | None = None
) -> Iterator[NDArray[np.int64]]:
    """The row numbers 0 to n - 1 in order, `size` at a time.

    `progress` is called with the number of rows of a batch, once the caller asks for the next.

    >>> [rows.tolist() for rows in row_batches(5, 2)]
    [[0, 1], [2, 3], [4]]
    """
    for first in range(0, n, size):
        end = min(first + size, n)
        rows = np.arange(first, end)
        yield rows
        if progress:
            progress(len(rows))


def apply_network(
    network: Callable[[Tensor], Tensor], pixels: Tensor, device: torch.device
) -> NDArray[np.float32]:
    """The output of a network on `device` for pictures uint8 [N, 3, H, W], float32 on the CPU."""
    import torch

    with torch.inference_mode():
        output = network(pixels.to(device))
    return output.float().cpu().numpy()


def device_of(network: nn.Module) -> torch.device:
    """The device that a network's parameters are on."""
    return next(network.parameters()).device
