"""Detectors: networks that say how much a face photo looks generated."""

from __future__ import annotations

from collections.abc import Sequence

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
                layers.append(nn.Dropout(dropout))
            channels = width
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(channels * (size // 2 ** len(widths)) ** 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Float [N, 3, size, size] in [-1, 1] to logits [N]."""
        logits: Tensor = self.head(self.features(images).flatten(1))
        return logits[:, 0]
