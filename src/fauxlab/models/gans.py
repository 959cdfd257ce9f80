"""Generators and discriminators of faces.

A generator takes latents float [N, latent] from a standard normal distribution and gives images
float [N, 3, size, size], about -1 to 1. A discriminator takes such images and gives logits [N],
above 0 for real. `widths` are the channels at 4×4, 8×8, … up to the full size, so their number
determines the size: 4 widths for 32 px, 6 for 128.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from fauxlab.models.convolution import Conv2d

Widths = Sequence[int]
Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)

START = 4  # side of the first map in pixels
SLOPE = 0.2  # of LeakyReLU in residual blocks


def draw_latents(seeds: Iterable[int], latent: int) -> Tensor:
    """A standard normal latent for each seed, float [N, latent].

    A seed always gives the same latent, whatever other seeds are drawn with it.

    >>> draw_latents([7, 8], 64).shape
    torch.Size([2, 64])
    """
    generator = torch.Generator()
    rows = []
    for seed in seeds:
        generator.manual_seed(seed)
        row = torch.randn(latent, generator=generator)
        rows.append(row)
    if not rows:
        return torch.zeros(0, latent)
    return torch.stack(rows)


def to_pixels(images: Tensor) -> Tensor:
    """Float [N, 3, H, W] in [-1, 1] to uint8, rounded.

    To cut off the fractions instead would darken pictures by half a level.

    >>> to_pixels(torch.tensor([-1.0, 0.0, 1.0])).tolist()
    [0, 128, 255]
    """
    levels = images.float() * 127.5 + 127.5
    whole = levels.round()
    return whole.clamp(0, 255).to(torch.uint8)


class ReportGenerator(nn.Module):
    """The report's generator (section IV): a dense layer, then doublings and 3×3 convolutions.

    Doublings repeat the nearest pixel. Convolutions are spectrally and batch normalised, with ReLU
    between them and tanh at the end. The report does not state the first map and the channels.
    Assumed are 4×4 and 512 channels, halved with every doubling of the side down to 32, and batch
    normalisation after the dense layer as after the hidden convolutions.
    """

    def __init__(self, size: int = 128, latent: int = 256, widths: Widths | None = None) -> None:
        super().__init__()
        widths = widths or _report_widths(size)
        check_widths(size, widths)
        first = widths[0]
        last = widths[-1]
        self.first = first
        self.dense = nn.Linear(latent, first * START**2)
        layers: list[nn.Module] = []
        layers.append(nn.BatchNorm2d(first))
        layers.append(nn.ReLU(inplace=True))
        for before, after in pairwise(widths):
            convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
            layers.append(nn.Upsample(scale_factor=2, mode="nearest"))
            layers.append(spectral_norm(convolution))
            layers.append(nn.BatchNorm2d(after))
            layers.append(nn.ReLU(inplace=True))
        to_rgb = nn.Conv2d(last, 3, 3, padding=1)
        layers.append(spectral_norm(to_rgb))
        layers.append(nn.Tanh())
        self.layers = nn.Sequential(*layers)

    def forward(self, latents: Tensor) -> Tensor:
        """Float [N, latent] to images [N, 3, size, size] in [-1, 1]."""
        start = self.dense(latents)
        maps = to_map(start, self.first)
        images: Tensor = self.layers(maps)
        return images


class R3Generator(nn.Module):
    """A residual generator without normalisation, after R3GAN (Huang et al., 2024).

    It starts from a learned 4×4 basis, scaled by a linear function of the latent. At every side
    there are some residual blocks, between sides a bilinear doubling, and at the end a 1×1
    convolution to RGB, without tanh.
    """

    def __init__(
        self,
        size: int = 32,
        latent: int = 64,
        widths: Widths | None = None,
        blocks: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__()
        widths = widths or _r3_widths(size)
        _check_blocks(blocks)
        check_widths(size, widths)
        first = widths[0]
        last = widths[-1]
        basis = torch.randn(first, START, START)
        self.basis = nn.Parameter(basis)
        scale = nn.Linear(latent, first, bias=False)
        self.scale = _init_scaled(scale, 1.0)
        self.stages = _r3_stages(widths, blocks, groups, _double)
        to_rgb = nn.Conv2d(last, 3, 1)
        self.to_rgb = _init_scaled(to_rgb, 1.0)

    def forward(self, latents: Tensor) -> Tensor:
        """Float [N, latent] to images [N, 3, size, size], about -1 to 1."""
        scales = self.scale(latents)
        maps = scales[:, :, None, None] * self.basis
        maps = maps.contiguous(memory_format=torch.channels_last)
        maps = self.stages(maps)
        images: Tensor = self.to_rgb(maps)
        return images


class R3Discriminator(nn.Module):
    """The mirror image of `R3Generator`: residual blocks and halvings down to 4×4.

    No operation mixes images.
    """

    def __init__(
        self, size: int = 32, widths: Widths | None = None, blocks: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        widths = widths or _r3_widths(size)
        _check_blocks(blocks)
        check_widths(size, widths)
        widths = widths[::-1]
        first = widths[0]
        last = widths[-1]
        self.size = size
        from_rgb = Conv2d(3, first, 1)
        self.from_rgb = _init_scaled(from_rgb, 1.0)
        self.stages = _r3_stages(widths, blocks, groups, halve)
        basis = nn.Conv2d(last, last, START, groups=last, bias=False)
        self.basis = _init_scaled(basis, 1.0)
        head = nn.Linear(last, 1, bias=False)
        self.head = _init_scaled(head, 1.0)

    def forward(self, images: Tensor) -> Tensor:
        """Float [N, 3, size, size] to logits [N]."""
        maps = self.from_rgb(images)
        maps = self.stages(maps)
        if maps.shape[2:] != (START, START):
            sides = list(images.shape[2:])
            raise ValueError(f"images of {sides} pixels, made for {self.size}")
        # The convolution `basis`: each channel is weighted over its 4×4 and summed. Written out,
        # since torch differentiates a convolution in groups twice by one convolution a group.
        weights = self.basis.weight[:, 0]
        weighted = maps * weights
        features = weighted.sum((2, 3))
        logits: Tensor = self.head(features)
        return logits[:, 0]


class ResidualBlock(nn.Module):
    """A residual block without normalisation: x + 1×1 ∘ 3×3 ∘ 1×1, with LeakyReLU between.

    The last convolution starts at zero, so the block starts as the identity. The inner convolutions
    are scaled by depth^(-1/4), `depth` being the number of blocks in the network (Fixup, Zhang et
    al., 2019, for three convolutions). Without normalisation, this keeps activations in range
    however many blocks there are.
    """

    def __init__(self, width: int, depth: int, groups: int = 1) -> None:
        super().__init__()
        gain = 2**0.5 * depth**-0.25
        expand = Conv2d(width, width, 1)
        self.expand = _init_scaled(expand, gain)
        mix = Conv2d(width, width, 3, padding=1, groups=groups)
        self.mix = _init_scaled(mix, gain)
        out = Conv2d(width, width, 1, bias=False)
        self.out = _init_scaled(out, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        """Float [N, width, H, W] to the same shape."""
        hidden = self.expand(x)
        hidden = F.leaky_relu(hidden, SLOPE)
        hidden = self.mix(hidden)
        hidden = F.leaky_relu(hidden, SLOPE)
        change: Tensor = self.out(hidden)
        return x + change


class _Resize(nn.Module):
    """`_double` or `halve` as a layer, which has no weights."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def _r3_stages(
    widths: Widths, blocks: int, groups: int, resize: Callable[[Tensor], Tensor]
) -> nn.Sequential:
    """Residual blocks at every side, and a change of side and width between sides."""
    depth = blocks * len(widths)
    stages: list[nn.Module] = []
    before = widths[0]
    for width in widths:
        if stages:
            stages.append(_resample(before, width, resize))
        for _ in range(blocks):
            stages.append(ResidualBlock(width, depth, groups))
        before = width
    return nn.Sequential(*stages)


def _resample(before: int, after: int, resize: Callable[[Tensor], Tensor]) -> nn.Sequential:
    """A change of side, and of channels by a 1×1 convolution where they differ."""
    if before == after:
        return nn.Sequential(_Resize(resize))
    convolution = Conv2d(before, after, 1, bias=False)
    _init_scaled(convolution, 1.0)
    layers: list[nn.Module] = [_Resize(resize), convolution]
    # The smaller of the two maps is convolved, which is cheaper.
    if resize is _double:
        layers.reverse()
    return nn.Sequential(*layers)


def _double(x: Tensor) -> Tensor:
    """Bilinear doubling of the side."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def halve(x: Tensor) -> Tensor:
    """Bilinear halving: at exactly half the side it is the mean of 2×2 pixels."""
    return F.avg_pool2d(x, 2)


def to_map(x: Tensor, width: int) -> Tensor:
    """Float [N, width · 16] to maps [N, width, 4, 4]."""
    maps = x.view(-1, width, START, START)
    return maps.contiguous(memory_format=torch.channels_last)


def count_doublings(size: int) -> int:
    """How often the first map is doubled to reach the size."""
    is_power_of_two = size & (size - 1) == 0
    if size < 2 * START or not is_power_of_two:
        raise ValueError(f"size {size}, expected a power of two from {2 * START}")
    return size.bit_length() - START.bit_length()


def _check_blocks(blocks: int) -> None:
    if blocks < 1:
        raise ValueError(f"blocks {blocks}, expected 1 or more")


def check_widths(size: int, widths: Widths) -> None:
    """Raise ValueError unless there is one width for each side from START to `size`."""
    expected = count_doublings(size) + 1
    if len(widths) != expected:
        raise ValueError(
            f"{len(widths)} widths, expected {expected}: one a side from {START} to {size}"
        )


def _report_widths(size: int) -> list[int]:
    """512 channels at first, halved with every doubling of the side down to 32."""
    widths = []
    for doublings in range(count_doublings(size) + 1):
        width = 512 // 2**doublings
        widths.append(max(width, 32))
    return widths


def _r3_widths(size: int) -> list[int]:
    """Half the channels with every doubling of the side, down to 32 and up to 256.

    The cost is then about the same at every side.
    """
    widths = []
    for doublings in range(count_doublings(size) + 1):
        width = 32 * 2**doublings
        widths.append(min(width, 256))
    # The width is 32 at the full side, the last of the list.
    return widths[::-1]


def _init_scaled(layer: Layer, gain: float) -> Layer:
    """Normal weights with standard deviation gain / √fan-in, and biases of 0."""
    fan_in = layer.weight[0].numel()
    deviation = gain / fan_in**0.5
    nn.init.normal_(layer.weight, 0.0, deviation)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
