"""Detectors: networks that say how much a face photo looks generated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from fauxlab.models.inception import Inception

# width of the map behind each
TRUNKS = {"Mixed_5d": 288, "Mixed_6a": 768, "Mixed_6b": 768, "Mixed_6c": 768}


class TensorPrediction(NamedTuple):
    """What a detector makes of N pictures, as tensors; see `fauxlab.bundle.detector.Prediction`."""

    logits: Tensor
    activation_maps: Tensor
    ood_distances: Tensor


class ReportCNN(nn.Module):
    """The report's discriminator (section III): four convolutions of 64, 128, 256 and 512 filters
    and a linear layer.

    Every convolution is spectrally normalised (Miyato et al., 2018) and halves the side; batch
    normalisation after all but the first; LeakyReLU of slope 0.2; dropout of 0.3. The report ends
    in a sigmoid under binary cross-entropy; here the logit leaves the network and the loss or the
    caller applies the sigmoid, which is the same function.

    The report leaves open, and here is assumed: 4×4 kernels with stride 2 and padding 1, dropout
    after each batch-normalised block, a flattened (not pooled) last map.

    `norm="none"` drops the batch statistics, for experiments that must not mix images.
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
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout {dropout!r}, expected a share from 0 to below 1")
        if not 0 <= slope <= 1:
            raise ValueError(f"slope {slope!r}, expected a number from 0 to 1")
        if norm not in ("batch", "none"):
            raise ValueError(f"norm {norm!r}, expected batch or none")
        if size % 2 ** len(widths):
            raise ValueError(f"size {size} cannot be halved {len(widths)} times")
        layers: list[nn.Module] = []
        channels = 3
        for i, width in enumerate(widths):
            normalised = norm == "batch" and i > 0
            # Batch normalisation subtracts the mean, and any bias with it.
            layers.append(
                spectral_norm(
                    nn.Conv2d(channels, width, 4, stride=2, padding=1, bias=not normalised)
                )
            )
            if normalised:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.LeakyReLU(slope, inplace=True))
            if i > 0 and dropout > 0:
                layers.append(Dropout(dropout))
            channels = width
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(channels * (size // 2 ** len(widths)) ** 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Float [N, 3, size, size] in [-1, 1] to logits [N]."""
        logits: Tensor = self.head(self.features(images).flatten(1))
        return logits[:, 0]

    def predict(self, images: Tensor) -> TensorPrediction:
        """As `forward`, with evidence at each position of the last map."""
        maps = self.features(images)
        weights = self.head.weight.view(maps.shape[1:])
        evidence = (maps * weights).sum(1) + self.head.bias / weights[0].numel()
        return TensorPrediction(
            self.head(maps.flatten(1))[:, 0], evidence, torch.zeros_like(evidence[:, 0, 0])
        )


class AveragedDetector(nn.Module):
    """A trunk, a linear head on the average of its last map, and a distance from what is typical.

    As the head averages over places, pictures of any size will do that the trunk takes. `trunk`
    gives a list of maps [N, C, h, w]: the last has `channels`, those before it `described` in all.
    """

    def __init__(self, trunk: nn.Module, channels: int, described: int, dropout: float) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = Head(channels, dropout)
        # Named so in the weights of all bundles so far.
        self.typicality = OodDistance(described)

    def forward(self, images: Tensor) -> Tensor:
        """Float [N, 3, H, W] in [-1, 1] to logits [N]."""
        logits: Tensor = self.head(self.trunk(images)[-1])
        return logits

    def describe(self, images: Tensor) -> Tensor:
        """Float [N, described]: what `typicality` goes by."""
        return _describe(self.trunk(images))

    def predict(self, images: Tensor) -> TensorPrediction:
        """As `forward`, with evidence at each position of the last map, and the distance from what
        is typical.
        """
        levels = self.trunk(images)
        logits, evidence = self.head(levels[-1]), self.head.activation_map(levels[-1])
        return TensorPrediction(logits, evidence, self.typicality(_describe(levels)))


def trace_net(
    size: int = 160,
    widths: Sequence[int] = (32, 64, 128, 256),
    blocks: Sequence[int] = (1, 1, 1, 1),
    stem: int = 32,
    dropout: float = 0.2,
) -> AveragedDetector:
    """A small residual network (He et al., 2016) from scratch: 1.2 million parameters, any size
    from 32 pixels.
    """
    if len(blocks) != len(widths):
        raise ValueError(f"{len(blocks)} blocks for {len(widths)} widths, expected as many")
    return AveragedDetector(
        TraceTrunk(widths, blocks, stem), widths[-1], sum(widths[:-1]) or widths[0], dropout
    )


def inception_detector(
    size: int = 160, depth: str = "Mixed_5d", dropout: float = 0.2
) -> AveragedDetector:
    """The trunk of Inception-v3 up to `depth`, made for weights that come from ImageNet and are
    tuned further.

    Any size from 32 pixels, beyond Mixed_5d from 75.
    """
    if depth not in TRUNKS:
        raise ValueError(f"depth {depth!r}, expected one of {', '.join(TRUNKS)}")
    least = 32 if depth == "Mixed_5d" else 75
    if size < least:
        raise ValueError(f"size {size} is below the least for {depth}, {least}")
    return AveragedDetector(
        InceptionTrunk(depth), TRUNKS[depth], sum(InceptionTrunk.LEVELS.values()), dropout
    )


class TraceTrunk(nn.Module):
    """Stages of residual blocks, each of which halves the side; shortcuts average before they
    stride.
    """

    def __init__(self, widths: Sequence[int], blocks: Sequence[int], stem: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, stem, 3, 2, 1, bias=False), nn.BatchNorm2d(stem), nn.ReLU(inplace=True)
        )
        self.stages = nn.ModuleList()
        channels = stem
        for width, count in zip(widths, blocks, strict=True):
            stage = [
                Residual(channels if i == 0 else width, width, 2 if i == 0 else 1)
                for i in range(count)
            ]
            self.stages.append(nn.Sequential(*stage))
            channels = width

    def forward(self, images: Tensor) -> list[Tensor]:
        """Float [N, 3, H, W] to the map behind each stage."""
        x, found = self.stem(images), []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found


class InceptionTrunk(nn.Module):
    """The first blocks of Inception-v3 (Szegedy et al., 2015), under the names that they have
    there.
    """

    POOLED = ("Conv2d_2b_3x3", "Conv2d_4a_3x3")
    # and their widths
    LEVELS: ClassVar = {"Conv2d_2b_3x3": 64, "Conv2d_4a_3x3": 192, "Mixed_5b": 256}

    def __init__(self, depth: str) -> None:
        super().__init__()
        for name, block in Inception(complete=False).named_children():
            self.add_module(name, block)
            if name == depth:
                break

    def forward(self, images: Tensor) -> list[Tensor]:
        """Float [N, 3, H, W] to the maps behind LEVELS, and the last."""
        x, found = images, []
        for name, block in self.named_children():
            x = block(x)
            if name in self.POOLED:
                x = nn.functional.max_pool2d(x, 3, 2)
            if name in self.LEVELS:
                found.append(x)
        return [*found, x]

    def load_weights(self, state: Mapping[str, Tensor]) -> None:
        """Take these blocks' part of the weights of an `Inception`, complete or not."""
        names = {name for name, _ in self.named_children()}
        self.load_state_dict(
            {name: tensor for name, tensor in state.items() if name.split(".")[0] in names}
        )


class Residual(nn.Module):
    """Two 3×3 convolutions with batch normalisation beside a shortcut."""

    def __init__(self, channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(width)
        self.second = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(width)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or channels != width:
            pool: nn.Module = nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity()
            self.shortcut = nn.Sequential(
                pool, nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        """[N, channels, H, W] to [N, width, H / stride, W / stride], rounded up, at least 0."""
        y = torch.relu_(self.first_norm(self.first(x)))
        y = self.second_norm(self.second(y)) + self.shortcut(x)
        return torch.relu_(y)


class Head(nn.Module):
    """A linear layer on a map averaged over space; as both are linear, each position's part in the
    logit is known.
    """

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout {dropout!r}, expected a share from 0 to below 1")
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Float [N, channels, h, w] to logits [N]."""
        logits: Tensor = self.linear(self.dropout(maps.mean((2, 3))))
        return logits[:, 0]

    def activation_map(self, maps: Tensor) -> Tensor:
        """Float [N, channels, h, w] to [N, h, w], which sums to the logits."""
        parts: Tensor = nn.functional.conv2d(
            maps, self.linear.weight[:, :, None, None], self.linear.bias
        )
        return parts[:, 0] / (maps.shape[2] * maps.shape[3])


class OodDistance(nn.Module):
    """Mahalanobis distance of features from those of the pictures that it was fitted to (Lee et
    al., 2018).

    Not trained: `mean` and `root`, a root of the inverse covariance, are set afterwards; until then
    every distance is 0. Scaled so that the fitted pictures' squared distances average 1.
    """

    mean: Tensor
    root: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("root", torch.zeros(channels, channels))

    def forward(self, features: Tensor) -> Tensor:
        """Float [N, channels] to distances [N]."""
        return ((features - self.mean) @ self.root).square().mean(1).sqrt()


def _describe(levels: Sequence[Tensor]) -> Tensor:
    """Roots of the maps' means, float [N, D], of all but the last level.

    The last one knows what it takes to tell real from fake and no more, and adds nothing; roots
    make the means, which are at least 0, less skewed. On odd pictures (noise, text, drawings) that
    is worth .14 of those recognised.
    """
    kept = levels[:-1] or levels
    return torch.cat([level.mean((2, 3)) for level in kept], 1).clamp(min=0).sqrt()


class Dropout(nn.Module):
    """Elementwise dropout (Srivastava et al., 2014) whose mask is cheap on a CPU.

    PyTorch draws a CPU mask one Bernoulli number at a time, which costs the report's network a
    quarter of its training time; here one 64-bit draw decides four elements, each with a
    probability exact to 1/65536. On other devices PyTorch's own kernel is used.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self._cut = round(p * 65536)

    def forward(self, x: Tensor) -> Tensor:
        """Zero a share `p` of the elements in training, and scale the rest so that the mean stays."""
        if not self.training or self._cut == 0:
            return x
        if x.device.type != "cpu":
            return nn.functional.dropout(x, self.p, training=True)
        # The full range must be asked for: by default random_() leaves the sign bit, one lane's top
        # bit, at 0.
        draws = (
            torch.empty(-(-x.numel() // 4), dtype=torch.int64)
            .random_(-(2**63), None)
            .view(torch.int16)
        )
        kept = (
            (draws[: x.numel()] >= self._cut - 32768).to(x.dtype).mul_(65536 / (65536 - self._cut))
        )
        # Elements are independent, so any arrangement of the draws will do; the input's own needs
        # no copy.
        dense = x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last)
        return x * (kept.as_strided(x.shape, x.stride()) if dense else kept.view(x.shape))
