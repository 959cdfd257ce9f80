"""Detectors: networks that say how much a face photo looks generated."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class ReportCNN(nn.Module):
    """The report's discriminator (section III): four convolutions of 64, 128, 256 and 512 filters and a linear layer.

    Every convolution is spectrally normalised (Miyato et al., 2018) and halves the side; batch normalisation after all
    but the first; LeakyReLU of slope 0.2; dropout of 0.3. The report ends in a sigmoid under binary cross-entropy;
    here the logit leaves the network and the loss or the caller applies the sigmoid, which is the same function.

    The report leaves open, and here is assumed: 4×4 kernels with stride 2 and padding 1, dropout after each
    batch-normalised block, a flattened (not pooled) last map.

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
            layers.append(spectral_norm(nn.Conv2d(channels, width, 4, stride=2, padding=1, bias=not normalised)))
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


class Dropout(nn.Module):
    """Elementwise dropout (Srivastava et al., 2014) whose mask is cheap on a CPU.

    PyTorch draws a CPU mask one Bernoulli number at a time, which costs the report's network a quarter of its training
    time; here one 64-bit draw decides four elements, each with a probability exact to 1/65536. On other devices
    PyTorch's own kernel is used.
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
        # The full range must be asked for: by default random_() leaves the sign bit, one lane's top bit, at 0.
        draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
        kept = (draws[: x.numel()] >= self._cut - 32768).to(x.dtype).mul_(65536 / (65536 - self._cut))
        # Elements are independent, so any arrangement of the draws will do; the input's own needs no copy.
        dense = x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last)
        return x * (kept.as_strided(x.shape, x.stride()) if dense else kept.view(x.shape))
