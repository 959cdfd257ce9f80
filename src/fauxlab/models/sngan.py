"""The generator and the discriminator of SNGAN (Miyato et al., 2018)."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from fauxlab.models.convolution import Conv2d
from fauxlab.models.gans import START, Widths, check_widths, count_doublings, halve, to_map


class SNGenerator(nn.Module):
    """The residual generator of SNGAN.

    Batch normalisation and ReLU before each convolution; doublings repeat the nearest pixel.
    """

    def __init__(self, size: int = 32, latent: int = 128, widths: Widths | None = None) -> None:
        super().__init__()
        if not widths:
            sides = count_doublings(size) + 1
            widths = [256] * sides
        check_widths(size, widths)
        first = widths[0]
        last = widths[-1]
        self.first = first
        self.dense = nn.Linear(latent, first * START**2)
        blocks = [_SNUp(before, after) for before, after in pairwise(widths)]
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(last)
        self.to_rgb = nn.Conv2d(last, 3, 3, padding=1)
        _init_xavier(self)

    def forward(self, latents: Tensor) -> Tensor:
        """Float [N, latent] to images [N, 3, size, size] in [-1, 1]."""
        start = self.dense(latents)
        maps = to_map(start, self.first)
        maps = self.blocks(maps)
        maps = self.norm(maps)
        maps = F.relu(maps)
        images: Tensor = self.to_rgb(maps)
        return images.tanh()


class SNDiscriminator(nn.Module):
    """The residual discriminator of SNGAN: every layer spectrally normalised, a sum over space.

    No operation mixes images.
    """

    def __init__(self, size: int = 32, widths: Widths | None = None) -> None:
        super().__init__()
        if not widths:
            sides = count_doublings(size) + 1
            widths = [128] * sides
        check_widths(size, widths)
        widths = widths[::-1]
        last_block = len(widths) - 1
        blocks: list[nn.Module] = []
        for before, after in pairwise([3, *widths]):
            number = len(blocks)
            first = number == 0
            last = number == last_block
            block = _SNDown(before, after, first, halve=not last)
            blocks.append(block)
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(widths[-1], 1)
        _init_xavier(self)
        _normalise_layers(self)

    def forward(self, images: Tensor) -> Tensor:
        """Float [N, 3, size, size] to logits [N]."""
        maps = self.blocks(images)
        maps = F.relu(maps)
        features = maps.sum(dim=(2, 3))
        logits: Tensor = self.head(features)
        return logits[:, 0]


class _SNUp(nn.Module):
    """A residual block that doubles the side."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(before)
        self.norm2 = nn.BatchNorm2d(after)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.shortcut = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = F.relu(self.norm1(x))
        hidden = _repeat(hidden)
        hidden = self.conv1(hidden)
        hidden = F.relu(self.norm2(hidden))
        hidden = self.conv2(hidden)
        # A 1×1 convolution gives the same before and after a doubling; before, it costs a quarter.
        shortcut: Tensor = _repeat(self.shortcut(x))
        return shortcut + hidden


class _SNDown(nn.Module):
    """A residual block that can halve the side; the first block takes images, without ReLU."""

    def __init__(self, before: int, after: int, first: bool, halve: bool) -> None:
        super().__init__()
        self.first = first
        self.halve = halve
        self.conv1 = Conv2d(before, after, 3, padding=1)
        self.conv2 = Conv2d(after, after, 3, padding=1)
        self.shortcut = Conv2d(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = x
        if not self.first:
            hidden = F.relu(hidden)
        hidden = self.conv1(hidden)
        hidden = F.relu(hidden)
        hidden = self.conv2(hidden)
        if self.halve:
            hidden = halve(hidden)
            x = halve(x)
        shortcut: Tensor = self.shortcut(x)
        return shortcut + hidden


def _repeat(x: Tensor) -> Tensor:
    """Doubling of the side by the nearest pixel."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


def _init_xavier(network: nn.Module) -> None:
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _normalise_layers(network: nn.Module) -> None:
    """Spectral normalisation of every layer."""
    # Listed first: the normalisation adds modules.
    for layer in list(network.modules()):
        if isinstance(layer, nn.Linear | nn.Conv2d):
            spectral_norm(layer)
