"""A network of fixed random weights, which gives features where no trained ones are at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from numpy.typing import NDArray


class RandomConvolutions(nn.Module):
    """Untrained convolutions over three halvings of the picture; mean and deviation of every map
    over space.

    Random filters see colour, contrast and texture at each scale (Saxe et al., 2011), and so noise,
    blur and lost variety; they know nothing of faces. Every second filter of the first layer sums
    to 0 over space, so that it sees edges only. The weights come from raw PCG64 words, which no
    version of NumPy will change.
    """

    WIDTHS = (32, 48, 64, 64)
    SEED = 20151205

    def __init__(self) -> None:
        super().__init__()
        generator = np.random.PCG64(self.SEED)
        layers = []
        channels = 3
        for level, width in enumerate(self.WIDTHS):
            weight = random_filters(generator, width, channels, edges=level == 0)
            layer = nn.Conv2d(channels, width, 3, padding=1, bias=False, padding_mode="zeros")
            layer.weight = nn.Parameter(torch.from_numpy(weight), requires_grad=False)
            layers.append(layer)
            channels = width
        self.layers = nn.ModuleList(layers)
        self.dimension = 2 * (3 + sum(self.WIDTHS))

    def forward(self, images: Tensor) -> Tensor:
        """uint8 [N, 3, H, W], sides at least 8, to float32 [N, 422]: means and deviations, level by
        level.
        """
        x = images.to(dtype=torch.float32, memory_format=torch.channels_last).div_(127.5).sub_(1)
        found = list(_moments(x))
        for level, layer in enumerate(self.layers):
            x = layer(nn.functional.avg_pool2d(x, 2) if level else x).relu_()
            found += _moments(x)
        return torch.cat(found, 1)


def random_filters(
    generator: np.random.PCG64, filters: int, channels: int, *, edges: bool = False
) -> NDArray[np.float32]:
    """[filters, channels, 3, 3], uniform, of the variance that keeps a ReLU network's scale (He et
    al., 2015).

    With `edges`, every second filter sums to 0 over space in each channel, and counts threefold:
    differences between neighbours are smaller than brightness.
    """
    shape = (filters, channels, 3, 3)
    # The upper 53 bits of a word make a float64 from 0 to below 1.
    uniform = (generator.random_raw(int(np.prod(shape))) >> np.uint64(11)) * 2.0**-53
    weight: NDArray[np.float64] = ((uniform * 2 - 1) * np.sqrt(3 * 2 / (9 * channels))).reshape(
        shape
    )
    if edges:
        weight[1::2] = 3 * (weight[1::2] - weight[1::2].mean((2, 3), keepdims=True))
    return weight.astype(np.float32)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    variance, mean = torch.var_mean(x, (2, 3), correction=0)
    return mean, variance.sqrt()
