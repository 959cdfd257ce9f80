"""Convolutions that a GPU differentiates twice in the time of a few convolutions.

A gradient penalty differentiates a gradient. For that torch writes a convolution's weight gradient
as one more convolution, whose filter is as large as the picture. On an H100 that took 209 of the
224 ms of a penalised step of the discriminator (recipe `r3`, 384 pictures of 64 px, bf16, torch
2.11), and a step without penalty 8 ms; benchmarks/speed/gan.py measures both ways on the machine at
hand. Here a convolution and the gradient of its weights name each other as derivatives (the
gradient of the pictures is a convolution with turned weights), so that each is computed by the
routine made for it, however often it is differentiated. Without a penalty torch's own convolution
is as quick and is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from operator import lt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# For the process, not a thread: a GPU's gradients are computed on a thread of their own. So one
# training at a time.
_on = {"twice": False, "inputs only": False}


@contextmanager
def differentiated_twice(on: bool = True) -> Iterator[None]:
    """Within, every `Conv2d` is computed so that its gradients' gradients are quick."""
    with _switched("twice", on):
        yield


@contextmanager
def input_gradients_only() -> Iterator[None]:
    """For `autograd.grad` of pictures: within, the weights' gradients are left out, which nobody
    would have used.
    """
    with _switched("inputs only", True):
        yield


class Conv2d(nn.Conv2d):
    """torch's layer; within `differentiated_twice`, at stride 1 with plain padding, it is computed
    as said above.
    """

    def _conv_forward(self, images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        plain = self.stride == self.dilation == (1, 1) and self.padding_mode == "zeros"
        plain = (
            plain
            and isinstance(self.padding, tuple)
            and all(map(lt, self.padding, self.kernel_size))
        )
        if not (_on["twice"] and plain):
            usual: Tensor = super()._conv_forward(images, weight, bias)
            return usual
        if torch.is_autocast_enabled(images.device.type):
            kind = torch.get_autocast_dtype(images.device.type)
            images, weight, bias = (
                images.to(kind),
                weight.to(kind),
                None if bias is None else bias.to(kind),
            )
        found: Tensor = _convolve(images, weight, self.padding, self.groups)
        return found if bias is None else found + bias[:, None, None]


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
        of_images, of_weight = ctx.needs_input_grad[:2]
        return (
            _to_images(outputs, weight, *ctx.how) if of_images else None,
            _to_weight(outputs, images, weight.shape, *ctx.how)
            if of_weight and not _on["inputs only"]
            else None,
            None,
            None,
        )


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
        found: Tensor = torch.ops.aten.convolution_backward(
            outputs,
            images,
            like,
            None,
            [1, 1],
            padding,
            [1, 1],
            False,
            [0, 0],
            groups,
            [False, True, False],
        )[1]
        return found

    @staticmethod
    def backward(ctx: Any, weight: Tensor) -> tuple[Tensor | None, ...]:
        outputs, images = ctx.saved_tensors
        of_outputs, of_images = ctx.needs_input_grad[:2]
        return (
            _convolve(images, weight, *ctx.how) if of_outputs else None,
            _to_images(outputs, weight, *ctx.how) if of_images else None,
            None,
            None,
            None,
        )


_convolve: Any = _Convolve.apply
_to_weight: Any = _ToWeight.apply


def _to_images(outputs: Tensor, weight: Tensor, padding: tuple[int, int], groups: int) -> Tensor:
    """Outputs' gradient and weights [O, I / groups, H, W] to the pictures' gradient: weights
    turned, ends exchanged.
    """
    ends, (high, wide) = weight.shape[:2], weight.shape[2:]
    turned = (
        weight.flip(2, 3)
        .view(groups, ends[0] // groups, ends[1], high, wide)
        .transpose(1, 2)
        .flatten(0, 1)
    )
    found: Tensor = _convolve(
        outputs, turned, (high - 1 - padding[0], wide - 1 - padding[1]), groups
    )
    return found


@contextmanager
def _switched(name: str, on: bool) -> Iterator[None]:
    before, _on[name] = _on[name], on
    try:
        yield
    finally:
        _on[name] = before
