"""Detectors: networks that tell generated face photos from real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from fauxlab.models.heads import Heads, check_dropout
from fauxlab.models.inception import Inception

# The last block of an Inception trunk → the width of its map.
TRUNKS = {"Mixed_5d": 288, "Mixed_6a": 768, "Mixed_6b": 768, "Mixed_6c": 768}


class TensorPrediction(NamedTuple):
    """A detector's outputs for N pictures, as tensors; see `fauxlab.bundle.detector.Prediction`."""

    logits: Tensor
    activation_maps: Tensor
    ood_distances: Tensor
    head_logits: Tensor
    features: Tensor


class ReportCNN(nn.Module):
    """The report's discriminator (section III): four convolutions and a linear layer.

    64, 128, 256 and 512 filters. Every convolution is spectrally normalised (Miyato et al., 2018)
    and halves the side; batch normalisation after all but the first; LeakyReLU with slope 0.2;
    dropout of 0.3. The report ends in a sigmoid under binary cross-entropy. Here the network gives
    the logit, and the loss or the caller applies the sigmoid, which is the same function.

    The report leaves open, and here is assumed: 4×4 kernels with stride 2 and padding 1, dropout
    after each batch-normalised block, a flattened (not pooled) last map.

    `norm="none"` drops batch normalisation, for experiments that must not mix images.
    """

    def __init__(
        self,
        size: int = 128,
        widths: Sequence[int] = (64, 128, 256, 512),
        dropout: float = 0.3,
        norm: str = "batch",
        slope: float = 0.2,
    ) -> None:
        super().__init__()
        check_dropout(dropout)
        if not 0 <= slope <= 1:
            raise ValueError(f"slope {slope!r}, expected a number from 0 to 1")
        if norm not in ("batch", "none"):
            raise ValueError(f"norm {norm!r}, expected batch or none")
        scale = 2 ** len(widths)
        if size % scale:
            raise ValueError(f"size {size} cannot be halved {len(widths)} times")
        layers: list[nn.Module] = []
        channels = 3
        for block, width in enumerate(widths):
            first = block == 0
            normalised = norm == "batch" and not first
            # No bias before batch normalisation, which subtracts the mean and the bias with it.
            convolution = nn.Conv2d(channels, width, 4, stride=2, padding=1, bias=not normalised)
            layers.append(spectral_norm(convolution))
            if normalised:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.LeakyReLU(slope, inplace=True))
            if dropout > 0 and not first:
                layers.append(nn.Dropout(dropout))
            channels = width
        self.features = nn.Sequential(*layers)
        last_side = size // scale
        self.head = nn.Linear(channels * last_side**2, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Float [N, 3, size, size] in [-1, 1] to logits [N]."""
        maps = self.features(images)
        flat = maps.flatten(1)
        logits: Tensor = self.head(flat)
        return logits[:, 0]

    def predict(self, images: Tensor) -> TensorPrediction:
        """As `forward`, with class activation maps and distances of 0."""
        maps = self.features(images)
        # Each position of the last map has weights of its own, and an equal part of the bias.
        weights = self.head.weight.view(maps.shape[1:])
        positions = weights[0].numel()
        weighted = maps * weights
        activation = weighted.sum(1)
        activation = activation + self.head.bias / positions
        flat = maps.flatten(1)
        logits = self.head(flat)[:, 0]
        no_distance = torch.zeros_like(activation[:, 0, 0])
        no_heads = flat[:, :0]
        return TensorPrediction(logits, activation, no_distance, no_heads, flat)


class AveragedDetector(nn.Module):
    """A trunk, linear heads on the average of its last map, and an OOD distance.

    The heads average over positions, so pictures may have any size that the trunk takes. `trunk`
    gives a list of maps [N, C, h, w]: the last one has `channels`, all others together `described`.
    """

    def __init__(
        self, trunk: nn.Module, channels: int, described: int, dropout: float, heads: int
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = Heads(channels, dropout, heads)
        # The OOD distance; the weights of all bundles so far have it under this name.
        self.typicality = OodDistance(described)

    def forward(self, images: Tensor) -> Tensor:
        """Float [N, 3, H, W] to logits [N]; of several heads to the logits [N, heads] of each."""
        levels = self.trunk(images)
        logits: Tensor = self.head(levels[-1])
        return logits

    def join(self, head_logits: Tensor) -> Tensor:
        """The logits [N, heads] of several heads to one logit [N]."""
        joined: Tensor = self.head.join(head_logits)
        return joined

    def describe(self, images: Tensor) -> Tensor:
        """Float [N, 3, H, W] to features [N, described], in which the OOD distance is measured."""
        levels = self.trunk(images)
        return _describe(levels)

    def predict(self, images: Tensor) -> TensorPrediction:
        """One logit for each picture, with all that the heads and the OOD distance say of it."""
        levels = self.trunk(images)
        answer = self.head.explain(levels[-1])
        early = _describe(levels)
        distances = self.typicality(early)
        return TensorPrediction(
            answer.logits, answer.activation_maps, distances, answer.head_logits, answer.features
        )


def trace_net(
    size: int = 160,
    widths: Sequence[int] = (32, 64, 128, 256),
    blocks: Sequence[int] = (1, 1, 1, 1),
    stem: int = 32,
    dropout: float = 0.2,
    heads: int = 1,
) -> AveragedDetector:
    """A small residual network (He et al., 2016), trained from scratch; 1.2 million parameters.

    For any size from 32 pixels.
    """
    if len(blocks) != len(widths):
        raise ValueError(f"{len(blocks)} blocks for {len(widths)} widths, expected as many")
    trunk = TraceTrunk(widths, blocks, stem)
    last = widths[-1]
    described = sum(widths[:-1]) or last
    return AveragedDetector(trunk, last, described, dropout, heads)


def inception_detector(
    size: int = 160, depth: str = "Mixed_5d", dropout: float = 0.2, heads: int = 1
) -> AveragedDetector:
    """The trunk of Inception-v3 up to `depth`, made for weights from ImageNet that are fine-tuned.

    For any size from 32 pixels; beyond Mixed_5d from 75.
    """
    if depth not in TRUNKS:
        raise ValueError(f"depth {depth!r}, expected one of {', '.join(TRUNKS)}")
    least = 32 if depth == "Mixed_5d" else 75
    if size < least:
        raise ValueError(f"size {size} is below the least for {depth}, {least}")
    trunk = InceptionTrunk(depth)
    last = TRUNKS[depth]
    described = sum(InceptionTrunk.LEVELS.values())
    return AveragedDetector(trunk, last, described, dropout, heads)


class TraceTrunk(nn.Module):
    """Stages of residual blocks; each stage halves the side."""

    def __init__(self, widths: Sequence[int], blocks: Sequence[int], stem: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, stem, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU(inplace=True),
        )
        self.stages = nn.ModuleList()
        channels = stem
        for width, count in zip(widths, blocks, strict=True):
            stage = [Residual(channels, width, stride=2)]
            for _ in range(count - 1):
                stage.append(Residual(width, width))
            self.stages.append(nn.Sequential(*stage[:count]))
            channels = width

    def forward(self, images: Tensor) -> list[Tensor]:
        """Float [N, 3, H, W] to the map behind each stage."""
        x = self.stem(images)
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        return levels


class InceptionTrunk(nn.Module):
    """The first blocks of Inception-v3 (Szegedy et al., 2015), with the names of `Inception`."""

    POOLED = ("Conv2d_2b_3x3", "Conv2d_4a_3x3")  # blocks before a max pool
    # Blocks whose maps describe a picture → the widths of these maps.
    LEVELS: ClassVar = {
        "Conv2d_2b_3x3": 64,
        "Conv2d_4a_3x3": 192,
        "Mixed_5b": 256,
    }

    def __init__(self, depth: str) -> None:
        super().__init__()
        for name, block in Inception(complete=False).named_children():
            self.add_module(name, block)
            if name == depth:
                break

    def forward(self, images: Tensor) -> list[Tensor]:
        """Float [N, 3, H, W] to the maps behind LEVELS, and the last."""
        x = images
        levels = []
        for name, block in self.named_children():
            x = block(x)
            if name in self.POOLED:
                x = F.max_pool2d(x, 3, 2)
            if name in self.LEVELS:
                levels.append(x)
        return [*levels, x]

    def load_weights(self, state: Mapping[str, Tensor]) -> None:
        """Load these blocks' part of the weights of an `Inception`, complete or not."""
        blocks = {name for name, _ in self.named_children()}
        own = {}
        for name, tensor in state.items():
            block, _, _ = name.partition(".")
            if block in blocks:
                own[name] = tensor
        self.load_state_dict(own)


class Residual(nn.Module):
    """Two 3×3 convolutions with batch normalisation, beside a shortcut."""

    def __init__(self, channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(width)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(width)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or channels != width:
            # Averaging before the stride keeps all pixels in the shortcut (He et al., 2019).
            pool: nn.Module = nn.Identity()
            if stride > 1:
                pool = nn.AvgPool2d(stride, ceil_mode=True)
            convolution = nn.Conv2d(channels, width, 1, bias=False)
            norm = nn.BatchNorm2d(width)
            self.shortcut = nn.Sequential(pool, convolution, norm)

    def forward(self, x: Tensor) -> Tensor:
        """[N, channels, H, W] to [N, width, H / stride, W / stride], rounded up, at least 0."""
        y = self.first(x)
        y = self.first_norm(y)
        y = torch.relu_(y)
        y = self.second(y)
        y = self.second_norm(y) + self.shortcut(x)
        return torch.relu_(y)


class OodDistance(nn.Module):
    """Mahalanobis distance of features from those of the fitted pictures (Lee et al., 2018).

    Not trained: `fauxlab.calibration.ood` sets `mean` and `root`, a root of the inverse covariance.
    Until then every distance is 0. The squared distances of the fitted pictures average 1.
    """

    mean: Tensor
    root: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        mean = torch.zeros(channels)
        root = torch.zeros(channels, channels)
        self.register_buffer("mean", mean)
        self.register_buffer("root", root)

    def forward(self, features: Tensor) -> Tensor:
        """Float [N, channels] to distances [N]."""
        centred = features - self.mean
        whitened = centred @ self.root
        squares = whitened.square().mean(1)
        return squares.sqrt()


def _describe(levels: Sequence[Tensor]) -> Tensor:
    """Square roots of the maps' means, float [N, D], of all levels but the last.

    The last level says real or fake and little else, so it does not help here. Means are at least
    0, and their roots are less skewed. Both choices together make the limit recognise 14 percentage
    points more of the OOD images (noise, text, drawings).
    """
    described = levels[:-1] or levels
    means = [level.mean((2, 3)) for level in described]
    features = torch.cat(means, 1)
    return features.clamp(min=0).sqrt()
