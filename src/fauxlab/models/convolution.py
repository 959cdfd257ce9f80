"""Convolutions that a GPU differentiates twice in the time of a few convolutions.

A gradient penalty differentiates a gradient. For this torch writes the gradient of a convolution's
weights as one more convolution, whose filter is as large as the picture. On an H100 that filter
took 209 of the 224 ms of a penalised step of the discriminator (recipe `r3`, 384 pictures of 64 px,
bf16, torch 2.11); a step without penalty took 8 ms. benchmarks/speed/gan.py measures both.

Here a convolution and the gradient of its weights name each other as derivatives, and the gradient
of the pictures is a convolution with turned weights. So each is computed by the routine made for
it, however often it is differentiated. Without a penalty torch's own convolution is as quick, and
is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from operator import lt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# The switches hold for the whole process and not for a thread, because a GPU's gradients are
# computed on a thread of their own. So a process trains one network at a time.
_on = {"twice": False, "inputs only": False}


@contextmanager
def differentiated_twice(on: bool = True) -> Iterator[None]:
    """Within, every `Conv2d` is computed so that its gradients' gradients are quick."""
    with _switched("twice", on):
        yield


@contextmanager
def input_gradients_only() -> Iterator[None]:
    """Within, gradients of the weights are left out: for `autograd.grad` of pictures alone."""
    with _switched("inputs only", True):
        yield


class Conv2d(nn.Conv2d):
    """torch's layer, computed as said above within `differentiated_twice`.

    Other strides and paddings than the usual ones are left to torch.
    """

    def _conv_forward(self, images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not _on["twice"] or not self._is_plain():
            usual: Tensor = super()._conv_forward(images, weight, bias)
            return usual
        # torch casts what its own operations take; ours must do so themselves.
        device = images.device.type
        if torch.is_autocast_enabled(device):
            kind = torch.get_autocast_dtype(device)
            images = images.to(kind)
            weight = weight.to(kind)
            if bias is not None:
                bias = bias.to(kind)
        outputs: Tensor = _convolve(images, weight, self.padding, self.groups)
        if bias is None:
            return outputs
        return outputs + bias[:, None, None]

    def _is_plain(self) -> bool:
        """Whether stride, dilation and padding are those that the formulas here are for."""
        if self.stride != (1, 1) or self.dilation != (1, 1):
            return False
        if self.padding_mode != "zeros" or isinstance(self.padding, str):
            return False
        # The gradient of the pictures is padded by kernel - 1 - padding, which must not be below 0.
        return all(map(lt, self.padding, self.kernel_size))


class _Convolve(torch.autograd.Function):
    """Pictures and weights to outputs; linear in both."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, weight: Tensor, padding: tuple[int, int], groups: int
    ) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.how = padding, groups
        return F.conv2d(images, weight, None, 1, padding, 1, groups)

    @staticmethod
    def backward(ctx: Any, outputs: Tensor) -> tuple[Tensor | None, ...]:
        images, weight = ctx.saved_tensors
        needs_images, needs_weight, _, _ = ctx.needs_input_grad
        of_images = of_weight = None
        if needs_images:
            of_images = _to_images(outputs, weight, *ctx.how)
        if needs_weight and not _on["inputs only"]:
            of_weight = _to_weight(outputs, images, weight.shape, *ctx.how)
        return of_images, of_weight, None, None


class _ToWeight(torch.autograd.Function):
    """Outputs' gradient and pictures to the weights' gradient; linear in both."""

    @staticmethod
    def forward(
        ctx: Any,
        outputs: Tensor,
        images: Tensor,
        shape: torch.Size,
        padding: tuple[int, int],
        groups: int,
    ) -> Tensor:
        ctx.save_for_backward(outputs, images)
        ctx.how = padding, groups
        like = images.new_empty(shape)  # only its shape counts
        _of_images, of_weight, _of_bias = torch.ops.aten.convolution_backward(
            outputs,
            images,
            like,
            bias_sizes=None,
            stride=[1, 1],
            padding=padding,
            dilation=[1, 1],
            transposed=False,
            output_padding=[0, 0],
            groups=groups,
            output_mask=[False, True, False],
        )
        gradient: Tensor = of_weight
        return gradient

    @staticmethod
    def backward(ctx: Any, weight: Tensor) -> tuple[Tensor | None, ...]:
        outputs, images = ctx.saved_tensors
        needs_outputs, needs_images = ctx.needs_input_grad[:2]
        of_outputs = of_images = None
        if needs_outputs:
            of_outputs = _convolve(images, weight, *ctx.how)
        if needs_images:
            of_images = _to_images(outputs, weight, *ctx.how)
        return of_outputs, of_images, None, None, None


_convolve: Any = _Convolve.apply
_to_weight: Any = _ToWeight.apply


def _to_images(outputs: Tensor, weight: Tensor, padding: tuple[int, int], groups: int) -> Tensor:
    """Outputs' gradient and weights [O, I / groups, H, W] to the pictures' gradient.

    This is a convolution with the weights turned by 180°, inputs and outputs exchanged.
    """
    n_outputs, n_inputs, height, width = weight.shape
    turned = weight.flip(2, 3)
    grouped = turned.view(groups, n_outputs // groups, n_inputs, height, width)
    exchanged = grouped.transpose(1, 2).flatten(0, 1)
    down, across = padding
    margins = (height - 1 - down, width - 1 - across)
    of_images: Tensor = _convolve(outputs, exchanged, margins, groups)
    return of_images


@contextmanager
def _switched(name: str, on: bool) -> Iterator[None]:
    before = _on[name]
    _on[name] = on
    try:
        yield
    finally:
        _on[name] = before
