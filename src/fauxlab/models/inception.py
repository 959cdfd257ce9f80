"""Inception-v3 (Szegedy et al., "Rethinking the Inception Architecture", 2015) for features.

Written once for two sets of weights, with torchvision's names of layers. One is of 2015-12-05,
complete to its classifier: the Fréchet inception distance is defined on it. The other is published
by Keras, and used here up to Mixed_7a. Both were trained in TensorFlow: its average pools do not
count the padding, and its batch normalisation has an epsilon of 1e-3. The network of 2015 also has
a maximum, not an average, in the pool branch of its last block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

EPSILON = 1e-3
SIZE = 299
Kernel = int | tuple[int, int]
# A convolution: name, filters, kernel.
Step = tuple[str, int, Kernel]
# Convolutions one after the other. The last one can be a fork: two that share an input.
Branch = Sequence[Step | tuple[Step, Step]]

ROW_7: Kernel = (1, 7)
COLUMN_7: Kernel = (7, 1)
ROW_3: Kernel = (1, 3)
COLUMN_3: Kernel = (3, 1)


class Convolution(nn.Module):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(
        self, channels: int, filters: int, kernel: Kernel, stride: int = 1, same: bool = True
    ) -> None:
        super().__init__()
        if isinstance(kernel, int):
            kernel = (kernel, kernel)
        padding = (0, 0)
        if same:
            height, width = kernel
            padding = (height // 2, width // 2)
        self.conv = nn.Conv2d(channels, filters, kernel, stride, padding, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(filters, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """[N, channels, H, W] to [N, filters, H', W'], at least 0."""
        y = self.conv(x)
        y = self.bn(y)
        activations: Tensor = y.relu_()
        return activations

    def fold(self) -> None:
        """Move the normalisation into the weights and a bias of the convolution, for good.

        The function stays the same and takes less time. Measured on one CPU thread: 9.5 images/s,
        9.2 without folding, and 6.7 without the memory format channels_last. Freezing by torch.jit
        gained nothing on top.
        """
        if isinstance(self.bn, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv, self.bn)
            self.bn = nn.Identity()


class Mixed(nn.Module):
    """Branches side by side on one input, the last of them a pool; their maps are concatenated.

    With `stride` 2 the last convolution of each branch and the pool halve the side, without
    padding. `pool` is "average" or "maximum"; `pooled` is the number of filters behind the pool,
    None where no convolution follows it.
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
        # The names of the convolutions of each branch, step by step; a fork has two.
        self.branches: list[list[list[str]]] = []
        self.width = pooled or channels
        for branch in branches:
            steps = []
            inputs = channels
            for step in branch:
                fork = _as_fork(step)
                halve = stride == 2 and step is branch[-1]
                step_stride = 2 if halve else 1
                names = []
                outputs = 0
                for name, filters, kernel in fork:
                    layer = Convolution(inputs, filters, kernel, step_stride, same=not halve)
                    self.add_module(name, layer)
                    names.append(name)
                    outputs += filters
                steps.append(names)
                inputs = outputs
            self.branches.append(steps)
            self.width += inputs
        self.pool = _pool(pool, stride)
        self.branch_pool: nn.Module = nn.Identity()
        if pooled:
            self.branch_pool = Convolution(channels, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, channels, H, W] to [N, width, H', W']."""
        maps = []
        for steps in self.branches:
            outputs = [x]
            for names in steps:
                # Only the last step of a branch can be a fork, so its input is one map.
                y = outputs[0]
                layers = [self.get_submodule(name) for name in names]
                outputs = [layer(y) for layer in layers]
            maps += outputs
        pooled = self.pool(x)
        maps.append(self.branch_pool(pooled))
        return torch.cat(maps, 1)


class Inception(nn.Module):
    """The network up to Mixed_7a, or with `complete` up to Mixed_7c.

    The complete one also has the weights of the classifier, which are not used.
    """

    def __init__(self, complete: bool = True) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Convolution(3, 32, 3, stride=2, same=False)
        self.Conv2d_2a_3x3 = Convolution(32, 32, 3, same=False)
        self.Conv2d_2b_3x3 = Convolution(32, 64, 3)
        self.Conv2d_3b_1x1 = Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = Convolution(80, 192, 3, same=False)
        self.Mixed_5b = _block_a(192, pooled=32)
        self.Mixed_5c = _block_a(256, pooled=64)
        self.Mixed_5d = _block_a(288, pooled=64)
        self.Mixed_6a = _block_b(288)
        self.Mixed_6b = _block_c(768, inner=128)
        self.Mixed_6c = _block_c(768, inner=160)
        self.Mixed_6d = _block_c(768, inner=160)
        self.Mixed_6e = _block_c(768, inner=192)
        self.Mixed_7a = _block_d(768)
        self.complete = complete
        self.dimension = 1280
        if complete:
            self.Mixed_7b = _block_e(1280, pool="average")
            self.Mixed_7c = _block_e(2048, pool="maximum")
            self.fc = nn.Linear(2048, 1008)
            self.dimension = 2048

    def forward(self, x: Tensor) -> Tensor:
        """Float [N, 3, 299, 299], about -1 to 1, to the mean of the last map: [N, dimension]."""
        means = self.levels(x)
        return means[self.dimension]

    def levels(self, x: Tensor) -> dict[int, Tensor]:
        """Means of maps over space, by their width.

        192 (second pool), 768 (Mixed_6e), 1280 (Mixed_7a), and 2048 (Mixed_7c) if complete.
        """
        x = self.Conv2d_1a_3x3(x)
        x = self.Conv2d_2a_3x3(x)
        x = self.Conv2d_2b_3x3(x)
        x = F.max_pool2d(x, 3, 2)
        x = self.Conv2d_3b_1x1(x)
        x = self.Conv2d_4a_3x3(x)
        x = F.max_pool2d(x, 3, 2)
        maps = [x]
        x = self.Mixed_5b(x)
        x = self.Mixed_5c(x)
        x = self.Mixed_5d(x)
        x = self.Mixed_6a(x)
        x = self.Mixed_6b(x)
        x = self.Mixed_6c(x)
        x = self.Mixed_6d(x)
        x = self.Mixed_6e(x)
        maps.append(x)
        x = self.Mixed_7a(x)
        maps.append(x)
        if self.complete:
            x = self.Mixed_7b(x)
            x = self.Mixed_7c(x)
            maps.append(x)
        means = {}
        for level in maps:
            width = level.shape[1]
            means[width] = level.mean((2, 3))
        return means

    def load_weights(self, state: Mapping[str, Tensor]) -> None:
        """Load weights by torchvision's names, of any float type, as float32.

        Raises ValueError with the name of the first weight that is missing, unknown, of another
        shape, or not finite.
        """
        given = _without_counters(state)
        expected = _without_counters(self.state_dict())
        all_names = expected.keys() | given.keys()
        for name in sorted(all_names):
            shape = _shape(given, name)
            expected_shape = _shape(expected, name)
            if shape != expected_shape:
                raise ValueError(
                    f"{name} is {shape or 'missing'}, expected {expected_shape or 'nothing'}"
                )
            is_finite = torch.isfinite(given[name])
            if not bool(is_finite.all()):
                raise ValueError(f"{name} holds NaN or infinity")
        weights = {name: tensor.float() for name, tensor in given.items()}
        self.load_state_dict(weights, strict=False)

    def fold(self) -> Inception:
        """Fold every batch normalisation into its convolution, for good; returns itself."""
        for module in self.eval().modules():
            if isinstance(module, Convolution):
                module.fold()
        return self


def _as_fork(step: Step | tuple[Step, Step]) -> Sequence[Step]:
    """The convolutions of a step: one, or the two of a fork."""
    is_single = isinstance(step[0], str)
    return (step,) if is_single else step  # type: ignore[return-value]


def _pool(kind: str, stride: int) -> nn.Module:
    padding = 1 if stride == 1 else 0
    if kind == "maximum":
        return nn.MaxPool2d(3, stride, padding)
    return nn.AvgPool2d(3, stride, padding, count_include_pad=False)


# Two 3×3 convolutions behind a 1×1: a branch of the first two kinds of blocks.
DOUBLE_3X3: Branch = [
    ("branch3x3dbl_1", 64, 1),
    ("branch3x3dbl_2", 96, 3),
    ("branch3x3dbl_3", 96, 3),
]


def _block_a(channels: int, pooled: int) -> Mixed:
    branches: list[Branch] = [
        [("branch1x1", 64, 1)],
        [
            ("branch5x5_1", 48, 1),
            ("branch5x5_2", 64, 5),
        ],
        DOUBLE_3X3,
    ]
    return Mixed(channels, branches, pooled=pooled)


def _block_b(channels: int) -> Mixed:
    branches: list[Branch] = [
        [("branch3x3", 384, 3)],
        DOUBLE_3X3,
    ]
    return Mixed(channels, branches, pool="maximum", stride=2)


def _block_c(channels: int, inner: int) -> Mixed:
    branches: list[Branch] = [
        [("branch1x1", 192, 1)],
        [
            ("branch7x7_1", inner, 1),
            ("branch7x7_2", inner, ROW_7),
            ("branch7x7_3", 192, COLUMN_7),
        ],
        [
            ("branch7x7dbl_1", inner, 1),
            ("branch7x7dbl_2", inner, COLUMN_7),
            ("branch7x7dbl_3", inner, ROW_7),
            ("branch7x7dbl_4", inner, COLUMN_7),
            ("branch7x7dbl_5", 192, ROW_7),
        ],
    ]
    return Mixed(channels, branches, pooled=192)


def _block_d(channels: int) -> Mixed:
    branches: list[Branch] = [
        [
            ("branch3x3_1", 192, 1),
            ("branch3x3_2", 320, 3),
        ],
        [
            ("branch7x7x3_1", 192, 1),
            ("branch7x7x3_2", 192, ROW_7),
            ("branch7x7x3_3", 192, COLUMN_7),
            ("branch7x7x3_4", 192, 3),
        ],
    ]
    return Mixed(channels, branches, pool="maximum", stride=2)


def _block_e(channels: int, pool: str) -> Mixed:
    branches: list[Branch] = [
        [("branch1x1", 320, 1)],
        [
            ("branch3x3_1", 384, 1),
            (("branch3x3_2a", 384, ROW_3), ("branch3x3_2b", 384, COLUMN_3)),
        ],
        [
            ("branch3x3dbl_1", 448, 1),
            ("branch3x3dbl_2", 384, 3),
            (("branch3x3dbl_3a", 384, ROW_3), ("branch3x3dbl_3b", 384, COLUMN_3)),
        ],
    ]
    return Mixed(channels, branches, pool=pool, pooled=192)


def _without_counters(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights without the counters of training steps, which only some files have."""
    weights = {}
    for name, tensor in state.items():
        if not name.endswith("num_batches_tracked"):
            weights[name] = tensor
    return weights


def _shape(state: Mapping[str, Tensor], name: str) -> tuple[int, ...] | None:
    if name not in state:
        return None
    return tuple(state[name].shape)
