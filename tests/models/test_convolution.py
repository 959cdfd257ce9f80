"""Convolutions quick to differentiate twice: they must give what torch's own give, to the second
derivative.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fauxlab.models import create_discriminator
from fauxlab.models.convolution import Conv2d, differentiated_twice, input_gradients_only
from fauxlab.training.gan.losses import squared_gradients


@pytest.mark.parametrize(("side", "groups"), [(1, 1), (3, 1), (3, 2)])
def test_first_and_second_derivatives_are_right(side: int, groups: int) -> None:
    torch.manual_seed(0)
    layer = Conv2d(4, 6, side, padding=side // 2, groups=groups).double()
    images = torch.randn(2, 4, 3, 4, dtype=torch.float64, requires_grad=True)
    parameters = (layer.weight, layer.bias)

    def run(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return layer._conv_forward(x, weight, bias)

    expected = layer(images)
    with differentiated_twice():
        torch.testing.assert_close(layer(images), expected)
        assert torch.autograd.gradcheck(run, (images, *parameters))
        assert torch.autograd.gradgradcheck(run, (images, *parameters))


def penalised_gradients(
    network: nn.Module, images: Tensor, twice: bool, device: str = "cpu"
) -> Tensor:
    """The parameters' gradients of a logit loss with penalty, in one row."""
    network.zero_grad()
    pixels = images.to(device).requires_grad_()
    with differentiated_twice(twice):
        logits = network(pixels)
    (logits.square().mean() + squared_gradients(logits, pixels)[0].mean()).backward()
    return torch.cat([p.grad.flatten().cpu() for p in network.parameters() if p.grad is not None])


def spread_out(name: str) -> nn.Module:
    """A discriminator of which no layer starts at zero."""
    torch.manual_seed(0)
    network = create_discriminator(name, 32, widths=[12, 10, 8, 8]).eval()
    for p in network.parameters():
        nn.init.normal_(p, 0, 0.2)
    return network.to(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", ["r3", "sngan"])
def test_a_penalised_discriminator_gets_the_same_gradients(name: str) -> None:
    network, images = spread_out(name).double(), torch.randn(3, 3, 32, 32, dtype=torch.float64)
    expected = penalised_gradients(network, images, twice=False)
    assert expected.abs().max() > 0
    torch.testing.assert_close(penalised_gradients(network, images, twice=True), expected)


def test_under_autocast_it_computes_in_the_narrow_type() -> None:
    network, images = spread_out("r3"), torch.randn(3, 3, 32, 32)
    expected = penalised_gradients(network, images, twice=False)
    with torch.autocast("cpu", torch.bfloat16):
        with differentiated_twice():
            assert network.from_rgb(images).dtype == torch.bfloat16
        found = penalised_gradients(network, images, twice=True)
    assert torch.nn.functional.cosine_similarity(found, expected, dim=0) > 0.99


def test_weights_are_left_out_only_where_asked_for() -> None:
    layer, images = Conv2d(3, 4, 3, padding=1), torch.randn(2, 3, 8, 8, requires_grad=True)
    with differentiated_twice():
        out = layer(images)
    with input_gradients_only():
        (gradient,) = torch.autograd.grad(out.sum(), images, create_graph=True)
        assert torch.autograd.grad(
            out.sum(), layer.weight, allow_unused=True, retain_graph=True
        ) == (None,)
    assert torch.autograd.grad(gradient.square().sum(), layer.weight)[0].abs().max() > 0
    assert torch.autograd.grad(out.sum(), layer.weight)[0].abs().max() > 0


@pytest.mark.parametrize(
    "options",
    [
        {"stride": 2},
        {"padding_mode": "reflect"},
        {"padding": "same"},
        {"padding": (1, 3)},
        {"dilation": 2},
    ],
)
def test_other_convolutions_are_left_to_torch(options: dict[str, Any]) -> None:
    layer, images = (
        Conv2d(3, 4, 3, **{"padding": 1} | options),
        torch.randn(2, 3, 8, 8, requires_grad=True),
    )
    expected = layer(images)
    with differentiated_twice():
        found = layer(images)
    torch.testing.assert_close(found, expected)
    assert "_Convolve" not in type(found.grad_fn).__name__


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_the_gradients_of_a_cpu() -> None:
    network, images = spread_out("r3"), torch.randn(3, 3, 32, 32)
    expected = penalised_gradients(network, images, twice=True)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        found = penalised_gradients(network.cuda(), images, twice=True, device="cuda")
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
