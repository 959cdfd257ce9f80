"""What a network costs before it is computed: refuses layers that take gigabytes or minutes.

The weights in a file say little about the maps that they make: a layer of 4,096 channels may have
100,000 weights, and its map of a picture of 1,024 pixels takes 17 gigabytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

# For one picture: numbers in a map (of 4 bytes each), and multiplications in the network. The
# packaged networks take at most half of either at 1,024 pixels.
MOST_NUMBERS = 2**25
MOST_PRODUCTS = 2**37
# Numbers in a map of all pictures that are predicted at once.
MOST_AT_ONCE = 2**27


class Costs:
    """The largest map [1, C, h, w] of a network so far, and its multiplications."""

    def __init__(self) -> None:
        self.largest = 0
        self.products = 0

    @property
    def pictures_at_once(self) -> int:
        """How many pictures may be predicted at once."""
        return max(1, MOST_AT_ONCE // max(1, self.largest))

    def add(self, layer: nn.Conv2d, inputs: tuple[Tensor, ...]) -> None:
        """Count a convolution before it is computed.

        Raises ValueError where it takes too much.
        """
        maps = inputs[0]
        positions = 1
        for axis in (0, 1):
            positions *= _count_steps(layer, maps.shape[2 + axis], axis)
        self.largest = max(self.largest, layer.out_channels * positions)
        kernel = layer.kernel_size[0] * layer.kernel_size[1]
        weights = layer.out_channels * layer.in_channels * kernel // layer.groups
        self.products += weights * positions
        if self.largest > MOST_NUMBERS:
            raise ValueError(f"a layer of it makes {self.largest:,} numbers of one picture")
        if self.products > MOST_PRODUCTS:
            raise ValueError("it takes minutes for one picture")


@contextmanager
def measure_costs(network: nn.Module) -> Iterator[Costs]:
    """The costs of what the network computes in this context, on one picture."""
    costs = Costs()
    hooks: list[Any] = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_pre_hook(costs.add))
    try:
        yield costs
    finally:
        for hook in hooks:
            hook.remove()


def _count_steps(layer: nn.Conv2d, side: int, axis: int) -> int:
    """The side of a convolution's map, from that of its input."""
    padding = layer.padding[axis] if isinstance(layer.padding, tuple) else 0
    room = side + 2 * int(padding) - layer.kernel_size[axis]
    return room // layer.stride[axis] + 1
