"""Generators and discriminators of faces.

A generator takes latents float [N, latent] from a standard normal and gives images float [N, 3,
size, size] around [-1, 1]; a discriminator takes such images and gives logits [N], above 0 for
"real". `widths` are the channels at 4×4, 8×8, … up to the full size, so their number fixes the
size: 4 widths for 32 px, 6 for 128.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from fauxlab.models.convolution import Conv2d

Widths = Sequence[int]
Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)

START = 4  # pixels: the side of the first map


def draw_latents(seeds: Iterable[int], latent: int) -> Tensor:
    """A standard normal latent for each seed, float [N, latent]; a seed gives the same one in any
    company.
    """
    draw = torch.Generator()
    rows = [torch.randn(latent, generator=draw.manual_seed(seed)) for seed in seeds]
    return torch.stack(rows) if rows else torch.zeros(0, latent)


def to_pixels(images: Tensor) -> Tensor:
    """Float [N, 3, H, W] in [-1, 1] to uint8, rounded (cutting off instead would darken by half a
    level).
    """
    return (images.float() * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)


class ReportGenerator(nn.Module):
    """The report's generator (section IV): a dense layer, then nearest-neighbour upsampling and 3×3
    convolutions.

    Convolutions are spectrally and batch normalised, ReLU between them, tanh at the end. The report
    names neither the first map nor the channels; assumed are 4×4 and 512 channels, halved with
    every doubling of the side but not below 32, and batch normalisation after the dense layer as
    after the hidden convolutions.
    """

    def __init__(self, size: int = 128, latent: int = 256, widths: Widths | None = None) -> None:
        super().__init__()
        widths = _checked(
            size, widths or [max(512 // 2**i, 32) for i in range(_doublings(size) + 1)]
        )
        self.first = widths[0]
        self.dense = nn.Linear(latent, widths[0] * START**2)
        layers: list[nn.Module] = [nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)]
        for before, after in pairwise(widths):
            conv = nn.Conv2d(before, after, 3, padding=1, bias=False)
            layers += [
                nn.Upsample(scale_factor=2, mode="nearest"),
                spectral_norm(conv),
                nn.BatchNorm2d(after),
            ]
            layers += [nn.ReLU(inplace=True)]
        layers += [spectral_norm(nn.Conv2d(widths[-1], 3, 3, padding=1)), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, latents: Tensor) -> Tensor:
        """Float [N, latent] to images [N, 3, size, size] in [-1, 1]."""
        images: Tensor = self.layers(_to_map(self.dense(latents), self.first))
        return images


class R3Generator(nn.Module):
    """A residual generator without normalisation, after R3GAN (Huang et al., 2024).

    A learned 4×4 basis scaled by a linear function of the latent, then at every side some residual
    blocks, with bilinear doubling between, and a 1×1 convolution to RGB without a squashing
    function.
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
        widths = _checked(size, widths or _r3_widths(size), blocks)
        self.basis = nn.Parameter(torch.randn(widths[0], START, START))
        self.scale = _scaled(nn.Linear(latent, widths[0], bias=False), 1.0)
        depth = blocks * len(widths)
        stages: list[nn.Module] = []
        for before, after in pairwise([widths[0], *widths]):
            if stages:
                stages.append(_Resample(before, after, _double))
            stages += [ResidualBlock(after, depth, groups) for _ in range(blocks)]
        self.stages = nn.Sequential(*stages)
        self.to_rgb = _scaled(nn.Conv2d(widths[-1], 3, 1), 1.0)

    def forward(self, latents: Tensor) -> Tensor:
        """Float [N, latent] to images [N, 3, size, size] around [-1, 1]."""
        maps = self.scale(latents)[:, :, None, None] * self.basis
        images: Tensor = self.to_rgb(
            self.stages(maps.contiguous(memory_format=torch.channels_last))
        )
        return images


class R3Discriminator(nn.Module):
    """The mirror image of `R3Generator`: residual blocks and halving down to 4×4, no operation
    across images.
    """

    def __init__(
        self, size: int = 32, widths: Widths | None = None, blocks: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        widths = list(reversed(_checked(size, widths or _r3_widths(size), blocks)))
        depth = blocks * len(widths)
        self.size = size
        self.from_rgb = _scaled(Conv2d(3, widths[0], 1), 1.0)
        stages: list[nn.Module] = []
        for before, after in pairwise([widths[0], *widths]):
            if stages:
                stages.append(_Resample(before, after, _halve))
            stages += [ResidualBlock(after, depth, groups) for _ in range(blocks)]
        self.stages = nn.Sequential(*stages)
        self.basis = _scaled(
            nn.Conv2d(widths[-1], widths[-1], START, groups=widths[-1], bias=False), 1.0
        )
        self.head = _scaled(nn.Linear(widths[-1], 1, bias=False), 1.0)

    def forward(self, images: Tensor) -> Tensor:
        """Float [N, 3, size, size] to logits [N]."""
        maps = self.stages(self.from_rgb(images))
        if maps.shape[2:] != (START, START):
            raise ValueError(f"images of {list(images.shape[2:])} pixels, made for {self.size}")
        # The convolution `basis`, each channel weighed over its 4×4 and summed; written out, since
        # torch differentiates a convolution in groups twice by a convolution for each group.
        logits: Tensor = self.head((maps * self.basis.weight[:, 0]).sum((2, 3)))
        return logits[:, 0]


class ResidualBlock(nn.Module):
    """x + 1×1 ∘ 3×3 ∘ 1×1 with LeakyReLU between, the last convolution starting at zero.

    At the start the block is the identity, and its inner convolutions are scaled by depth^(-1/4),
    `depth` being the number of blocks in the network (Fixup, Zhang et al., 2019, for three
    convolutions), so that without normalisation the activations stay in range however many blocks
    follow each other.
    """

    def __init__(self, width: int, depth: int, groups: int = 1) -> None:
        super().__init__()
        gain = 2**0.5 * depth**-0.25
        self.expand = _scaled(Conv2d(width, width, 1), gain)
        self.mix = _scaled(Conv2d(width, width, 3, padding=1, groups=groups), gain)
        self.out = _scaled(Conv2d(width, width, 1, bias=False), 0.0)

    def forward(self, x: Tensor) -> Tensor:
        """Float [N, width, H, W] to the same shape."""
        hidden = F.leaky_relu(self.expand(x), 0.2)
        hidden = F.leaky_relu(self.mix(hidden), 0.2)
        out: Tensor = self.out(hidden)
        return x + out


class SNGenerator(nn.Module):
    """The residual generator of SNGAN (Miyato et al., 2018): batch normalisation, ReLU,
    nearest-neighbour doubling.
    """

    def __init__(self, size: int = 32, latent: int = 128, widths: Widths | None = None) -> None:
        super().__init__()
        widths = _checked(size, widths or [256] * (_doublings(size) + 1))
        self.first = widths[0]
        self.dense = nn.Linear(latent, widths[0] * START**2)
        self.blocks = nn.Sequential(*(_SNUp(before, after) for before, after in pairwise(widths)))
        self.norm = nn.BatchNorm2d(widths[-1])
        self.to_rgb = nn.Conv2d(widths[-1], 3, 3, padding=1)
        _xavier(self)

    def forward(self, latents: Tensor) -> Tensor:
        """Float [N, latent] to images [N, 3, size, size] in [-1, 1]."""
        maps = self.blocks(_to_map(self.dense(latents), self.first))
        return torch.tanh(self.to_rgb(F.relu(self.norm(maps))))


class SNDiscriminator(nn.Module):
    """The residual discriminator of SNGAN: every layer spectrally normalised, no batch statistics,
    sum over space.
    """

    def __init__(self, size: int = 32, widths: Widths | None = None) -> None:
        super().__init__()
        widths = list(reversed(_checked(size, widths or [128] * (_doublings(size) + 1))))
        pairs = list(pairwise([3, *widths]))
        self.blocks = nn.Sequential(
            *(
                _SNDown(a, b, first=i == 0, halve=i < len(pairs) - 1)
                for i, (a, b) in enumerate(pairs)
            )
        )
        self.head = nn.Linear(widths[-1], 1)
        _xavier(self)
        _normalise_all(self)

    def forward(self, images: Tensor) -> Tensor:
        """Float [N, 3, size, size] to logits [N]."""
        logits: Tensor = self.head(F.relu(self.blocks(images)).sum(dim=(2, 3)))
        return logits[:, 0]


class _SNUp(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(before), nn.BatchNorm2d(after)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.shortcut = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        double = partial(F.interpolate, scale_factor=2, mode="nearest")
        hidden: Tensor = self.conv1(double(F.relu(self.norm1(x))))
        hidden = self.conv2(F.relu(self.norm2(hidden)))
        # A 1×1 convolution and nearest doubling commute; this order costs a quarter.
        shortcut: Tensor = double(self.shortcut(x))
        return shortcut + hidden


class _SNDown(nn.Module):
    def __init__(self, before: int, after: int, first: bool, halve: bool) -> None:
        super().__init__()
        self.first, self.halve = first, halve
        self.conv1 = Conv2d(before, after, 3, padding=1)
        self.conv2 = Conv2d(after, after, 3, padding=1)
        self.shortcut = Conv2d(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.conv2(F.relu(self.conv1(x if self.first else F.relu(x))))
        shortcut: Tensor = self.shortcut(_halve(x) if self.halve else x)
        return shortcut + (_halve(hidden) if self.halve else hidden)


class _Resample(nn.Sequential):
    """A change of side, and of channels by a 1×1 convolution where they differ; the cheaper map is
    convolved.
    """

    def __init__(self, before: int, after: int, resize: Callable[[Tensor], Tensor]) -> None:
        conv = [] if before == after else [_scaled(Conv2d(before, after, 1, bias=False), 1.0)]
        change = [_Apply(resize)]
        super().__init__(*(conv + change if resize is _double else change + conv))


class _Apply(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _halve(x: Tensor) -> Tensor:
    """Bilinear halving: at exactly half the side it is the mean of 2×2 pixels."""
    return F.avg_pool2d(x, 2)


def _to_map(x: Tensor, width: int) -> Tensor:
    return x.view(-1, width, START, START).contiguous(memory_format=torch.channels_last)


def _doublings(size: int) -> int:
    if size < 2 * START or size & (size - 1):
        raise ValueError(f"size {size}, expected a power of two from {2 * START}")
    return size.bit_length() - START.bit_length()


def _checked(size: int, widths: Widths, blocks: int = 1) -> Widths:
    if blocks < 1:
        raise ValueError(f"blocks {blocks}, expected 1 or more")
    if len(widths) != _doublings(size) + 1:
        raise ValueError(
            f"{len(widths)} widths, expected {_doublings(size) + 1}: one a side from {START} to {size}"
        )
    return widths


def _r3_widths(size: int) -> list[int]:
    """Half the channels with every doubling of the side, ending at 32: the cost is about the same
    at every side.
    """
    top = _doublings(size)
    return [min(256, 32 * 2 ** (top - i)) for i in range(top + 1)]


def _scaled(layer: Layer, gain: float) -> Layer:
    """Normal weights of standard deviation gain / √fan-in, and no bias."""
    fan_in = layer.weight[0].numel()
    nn.init.normal_(layer.weight, 0.0, gain / fan_in**0.5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _xavier(network: nn.Module) -> None:
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _normalise_all(network: nn.Module) -> None:
    for layer in list(network.modules()):
        if isinstance(layer, nn.Linear | nn.Conv2d):
            spectral_norm(layer)
