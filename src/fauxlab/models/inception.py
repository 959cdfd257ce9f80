"""Inception-v3 (Szegedy et al., "Rethinking the Inception Architecture", 2015) as a feature
network.

Written once for two sets of weights, under torchvision's layer names: the one of 2015-12-05 that
the Fréchet inception distance is defined on, complete to its classifier, and the one that Keras
publishes, here up to Mixed_7a. Both were trained in TensorFlow, whose average pools leave the
padding out of the count and whose batch normalisation has an epsilon of 1e-3; the 2015 network also
has a maximum, not an average, in the pool branch of its last block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

EPSILON = 1e-3
SIZE = 299
Kernel = int | tuple[int, int]
# Name, filters and kernel of one convolution; a chain of them is a branch, which may end in a fork
# of two.
Step = tuple[str, int, Kernel]
Branch = Sequence[Step | tuple[Step, Step]]


class Convolution(nn.Module):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(
        self, channels: int, filters: int, kernel: Kernel, stride: int = 1, same: bool = True
    ) -> None:
        super().__init__()
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (height // 2, width // 2) if same else (0, 0)
        self.conv = nn.Conv2d(channels, filters, (height, width), stride, padding, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(filters, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """[N, channels, H, W] to [N, filters, H', W'], at least 0."""
        y: Tensor = self.bn(self.conv(x))
        return y.relu_()

    def fold(self) -> None:
        """Turn the fixed normalisation into weights and a bias of the convolution: the same
        function, one pass less.
        """
        if isinstance(self.bn, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv, self.bn)
            self.bn = nn.Identity()


class Mixed(nn.Module):
    """Branches side by side over one input, the last of them a pool; their maps are joined by
    channel.

    With `stride` 2 the last convolution of each branch and the pool halve the side without padding.
    `pool` is "average" or "maximum"; `pooled` is the number of filters behind the pool, None where
    it stands alone.
    """

    def __init__(
        self,
        channels: int,
        branches: Sequence[Branch],
        pool: str = "average",
        pooled: int | None = None,
        stride: int = 1,
    ) -> None:
        super().__init__()
        self.chains: list[list[list[str]]] = []
        self.width = pooled or channels
        for branch in branches:
            inputs, chain = channels, []
            for step in branch:
                fork: Sequence[Step] = (step,) if isinstance(step[0], str) else step
                halve = stride == 2 and step is branch[-1]
                for name, filters, kernel in fork:
                    self.add_module(
                        name,
                        Convolution(inputs, filters, kernel, 2 if halve else 1, same=not halve),
                    )
                inputs = sum(filters for _, filters, _ in fork)
                chain.append([name for name, _, _ in fork])
            self.chains.append(chain)
            self.width += inputs
        padding = 1 if stride == 1 else 0
        self.pool = (
            nn.MaxPool2d(3, stride, padding)
            if pool == "maximum"
            else nn.AvgPool2d(3, stride, padding, count_include_pad=False)
        )
        self.branch_pool = Convolution(channels, pooled, 1) if pooled else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[N, channels, H, W] to [N, width, H', W']."""
        maps = []
        for chain in self.chains:
            found = [x]
            for fork in chain:
                found = [self.get_submodule(name)(found[0]) for name in fork]
            maps += found
        return torch.cat([*maps, self.branch_pool(self.pool(x))], 1)


def _block_a(channels: int, pooled: int) -> Mixed:
    return Mixed(
        channels,
        [
            [("branch1x1", 64, 1)],
            [("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)],
            [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)],
        ],
        pooled=pooled,
    )


def _block_b(channels: int) -> Mixed:
    return Mixed(
        channels,
        [
            [("branch3x3", 384, 3)],
            [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)],
        ],
        pool="maximum",
        stride=2,
    )


def _block_c(channels: int, inner: int) -> Mixed:
    row, column = (1, 7), (7, 1)
    double: list[tuple[Kernel, int]] = [
        (1, inner),
        (column, inner),
        (row, inner),
        (column, inner),
        (row, 192),
    ]
    return Mixed(
        channels,
        [
            [("branch1x1", 192, 1)],
            [("branch7x7_1", inner, 1), ("branch7x7_2", inner, row), ("branch7x7_3", 192, column)],
            [
                (f"branch7x7dbl_{i}", filters, kernel)
                for i, (kernel, filters) in enumerate(double, 1)
            ],
        ],
        pooled=192,
    )


def _block_d(channels: int) -> Mixed:
    seven: list[Step] = [
        ("branch7x7x3_1", 192, 1),
        ("branch7x7x3_2", 192, (1, 7)),
        ("branch7x7x3_3", 192, (7, 1)),
    ]
    return Mixed(
        channels,
        [[("branch3x3_1", 192, 1), ("branch3x3_2", 320, 3)], [*seven, ("branch7x7x3_4", 192, 3)]],
        pool="maximum",
        stride=2,
    )


def _block_e(channels: int, pool: str) -> Mixed:
    row, column = (1, 3), (3, 1)
    return Mixed(
        channels,
        [
            [("branch1x1", 320, 1)],
            [("branch3x3_1", 384, 1), (("branch3x3_2a", 384, row), ("branch3x3_2b", 384, column))],
            [
                ("branch3x3dbl_1", 448, 1),
                ("branch3x3dbl_2", 384, 3),
                (("branch3x3dbl_3a", 384, row), ("branch3x3dbl_3b", 384, column)),
            ],
        ],
        pool=pool,
        pooled=192,
    )


class Inception(nn.Module):
    """The network up to Mixed_7a, or with `complete` up to Mixed_7c and with the classifier's
    weights, unused.
    """

    def __init__(self, complete: bool = True) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Convolution(3, 32, 3, 2, same=False)
        self.Conv2d_2a_3x3 = Convolution(32, 32, 3, same=False)
        self.Conv2d_2b_3x3 = Convolution(32, 64, 3)
        self.Conv2d_3b_1x1 = Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = Convolution(80, 192, 3, same=False)
        self.Mixed_5b = _block_a(192, 32)
        self.Mixed_5c = _block_a(256, 64)
        self.Mixed_5d = _block_a(288, 64)
        self.Mixed_6a = _block_b(288)
        self.Mixed_6b = _block_c(768, 128)
        self.Mixed_6c = _block_c(768, 160)
        self.Mixed_6d = _block_c(768, 160)
        self.Mixed_6e = _block_c(768, 192)
        self.Mixed_7a = _block_d(768)
        self.complete = complete
        self.dimension = 1280
        if complete:
            self.Mixed_7b = _block_e(1280, "average")
            self.Mixed_7c = _block_e(2048, "maximum")
            self.fc = nn.Linear(2048, 1008)
            self.dimension = 2048

    def forward(self, x: Tensor) -> Tensor:
        """Float [N, 3, 299, 299], about -1 to 1, to the last map averaged over space: [N,
        dimension].
        """
        return self.levels(x)[self.dimension]

    def levels(self, x: Tensor) -> dict[int, Tensor]:
        """Maps averaged over space, by their width: 192 (second pool), 768 (Mixed_6e), 1280 and, if
        complete, 2048.
        """
        pool = nn.functional.max_pool2d
        x = pool(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))), 3, 2)
        x = pool(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)), 3, 2)
        found = [x]
        x = self.Mixed_6a(self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x))))
        found.append(self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(x)))))
        found.append(self.Mixed_7a(found[-1]))
        if self.complete:
            found.append(self.Mixed_7c(self.Mixed_7b(found[-1])))
        return {level.shape[1]: level.mean((2, 3)) for level in found}

    def load_weights(self, state: Mapping[str, Tensor]) -> None:
        """Take weights by torchvision's names, of any float type, used as float32.

        Raises ValueError that names the first one that is missing, left over, of another shape, or
        not finite.
        """
        # Counters of training steps, which some files hold and others do not.
        found = {
            name: tensor
            for name, tensor in state.items()
            if not name.endswith("num_batches_tracked")
        }
        expected = {
            name: t
            for name, t in self.state_dict().items()
            if not name.endswith("num_batches_tracked")
        }
        for name in sorted(expected.keys() | found.keys()):
            have, want = (tuple(d[name].shape) if name in d else None for d in (found, expected))
            if have != want:
                raise ValueError(f"{name} is {have or 'missing'}, expected {want or 'nothing'}")
            if not bool(torch.isfinite(found[name]).all()):
                raise ValueError(f"{name} holds NaN or infinity")
        self.load_state_dict({name: tensor.float() for name, tensor in found.items()}, strict=False)

    def fold(self) -> Inception:
        """Fold every batch normalisation into its convolution, for good; returns itself."""
        for module in self.eval().modules():
            if isinstance(module, Convolution):
                module.fold()
        return self
