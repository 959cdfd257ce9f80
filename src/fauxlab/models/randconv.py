"""A network with fixed random weights: features where no trained ones are at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from numpy.typing import NDArray


class RandomConvolutions(nn.Module):
    """Untrained convolutions over three halvings of the picture.

    Its features are mean and standard deviation of every map over space. Random filters respond to
    colour, contrast and texture at each scale (Saxe et al., 2011), and so to noise, blur and lost
    variety; they know nothing of faces. Every second filter of the first layer sums to 0 over
    space, and so responds to edges only. The weights come from raw PCG64 words, which are the same
    in every version of NumPy.
    """

    WIDTHS = (32, 48, 64, 64)
    SEED = 20151205

    def __init__(self) -> None:
        super().__init__()
        generator = np.random.PCG64(self.SEED)
        self.layers = nn.ModuleList()
        channels = 3
        for width in self.WIDTHS:
            first = len(self.layers) == 0
            filters = random_filters(generator, width, channels, edges=first)
            weight = torch.from_numpy(filters)
            layer = nn.Conv2d(channels, width, 3, padding=1, bias=False)
            layer.weight = nn.Parameter(weight, requires_grad=False)
            self.layers.append(layer)
            channels = width
        maps = 3 + sum(self.WIDTHS)
        self.dimension = 2 * maps

    def forward(self, images: Tensor) -> Tensor:
        """uint8 [N, 3, H, W], sides at least 8, to float32 [N, 422].

        Means, then deviations, of the picture and of each layer's maps in turn.
        """
        x = images.to(dtype=torch.float32, memory_format=torch.channels_last)
        x = x.div_(127.5).sub_(1)
        features = list(_moments(x))
        for level, layer in enumerate(self.layers):
            if level:
                x = F.avg_pool2d(x, 2)
            x = layer(x)
            x = x.relu_()
            features += _moments(x)
        return torch.cat(features, 1)


def random_filters(
    generator: np.random.PCG64, filters: int, channels: int, *, edges: bool = False
) -> NDArray[np.float32]:
    """Uniform random filters [filters, channels, 3, 3].

    Their variance keeps the scale of activations in a ReLU network (He et al., 2015). With `edges`,
    every second filter sums to 0 over space in each channel, and counts threefold: differences
    between neighbours are smaller than brightness.
    """
    shape = (filters, channels, 3, 3)
    size = int(np.prod(shape))
    words = generator.random_raw(size)
    # The upper 53 bits of a word make a float64 from 0 to below 1.
    uniform = (words >> np.uint64(11)) * 2.0**-53
    symmetric = uniform * 2 - 1
    fan_in = 9 * channels
    limit = np.sqrt(3 * 2 / fan_in)
    weight: NDArray[np.float64] = symmetric * limit
    weight = weight.reshape(shape)
    if edges:
        every_second = weight[1::2]
        mean = every_second.mean((2, 3), keepdims=True)
        weight[1::2] = 3 * (every_second - mean)
    return weight.astype(np.float32)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each map over space, float [N, C]."""
    variance, mean = torch.var_mean(x, (2, 3), correction=0)
    return mean, variance.sqrt()
