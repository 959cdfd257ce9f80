"""Losses against their formulas by hand, penalties against gradients taken image by image."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fauxlab.models.gans import R3Discriminator
from fauxlab.training.gan.losses import discriminator_loss, generator_loss, squared_gradients

REAL, FAKE = torch.tensor([2.0, -1.0]), torch.tensor([0.5, -3.0])


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def test_bce() -> None:
    smooth = 0.1
    real = (
        sum(
            -(1 - smooth) * math.log(s) - smooth * math.log(1 - s)
            for s in torch.sigmoid(REAL).tolist()
        )
        / 2
    )
    fake = sum(-math.log(1 - s) for s in torch.sigmoid(FAKE).tolist()) / 2
    assert discriminator_loss("bce", REAL, FAKE, smooth).item() == pytest.approx(
        real + fake, rel=1e-6
    )
    assert generator_loss("bce", FAKE).item() == pytest.approx(
        (softplus(-0.5) + softplus(3.0)) / 2, rel=1e-6
    )


def test_hinge() -> None:
    assert discriminator_loss("hinge", REAL, FAKE).item() == pytest.approx(
        (0 + 2) / 2 + (1.5 + 0) / 2
    )
    assert generator_loss("hinge", FAKE).item() == pytest.approx(1.25)


def test_relativistic() -> None:
    loss = (softplus(0.5 - 2.0) + softplus(-3.0 + 1.0)) / 2
    assert discriminator_loss("relativistic", REAL, FAKE).item() == pytest.approx(loss, rel=1e-6)
    assert generator_loss("relativistic", FAKE, REAL).item() == pytest.approx(
        (softplus(2.0 - 0.5) + softplus(-1.0 + 3.0)) / 2, rel=1e-6
    )
    both = torch.cat([REAL, FAKE]) + 7.0
    assert discriminator_loss("relativistic", both[:2], both[2:]).item() == pytest.approx(
        loss, rel=1e-5
    )


def test_penalty_of_a_linear_discriminator_is_its_weight() -> None:
    weight = torch.randn(3, 4, 4)
    images = torch.randn(5, 3, 4, 4, requires_grad=True)
    (squares,) = squared_gradients((images * weight).sum(dim=(1, 2, 3)), images)
    torch.testing.assert_close(squares, weight.square().sum().expand(5))


def test_one_call_gives_every_images_own_gradient_and_can_be_differentiated() -> None:
    torch.manual_seed(0)
    network = R3Discriminator(32, widths=[4, 4, 4, 4])
    with torch.no_grad():
        for p in network.parameters():
            p.normal_(0, 0.2)
    images = torch.randn(4, 3, 32, 32, requires_grad=True)
    (squares,) = squared_gradients(network(images), images)

    def alone(image: Tensor) -> Tensor:
        image = image.detach()[None].requires_grad_()
        (gradient,) = torch.autograd.grad(network(image)[0], image)
        return gradient.square().sum()

    torch.testing.assert_close(
        squares, torch.stack([alone(image) for image in images]), rtol=1e-4, atol=1e-8
    )
    parameter = network.from_rgb.weight
    (gradient,) = torch.autograd.grad(squares.sum(), parameter)
    at, step = (0, 0, 0, 0), 1e-2
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            parameter[at] += sign * step
        values.append(squared_gradients(network(images), images)[0].sum().item())
        with torch.no_grad():
            parameter[at] -= sign * step
    assert gradient[at].item() == pytest.approx((values[0] - values[1]) / (2 * step), rel=0.05)
