"""The losses of both networks and the gradients that the penalties are made of.

A logit above 0 means "real". All losses are means over the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fauxlab.models.convolution import input_gradients_only


def discriminator_loss(
    kind: str,
    real: Tensor,
    fake: Tensor,
    smoothing: float = 0.0,
) -> Tensor:
    """The discriminator's loss from its logits [N] of reals and fakes.

    - bce: cross-entropy (Goodfellow et al., 2014), with the target of reals lowered to
      1 - `smoothing` (one-sided label smoothing, Salimans et al., 2016)
    - hinge: max(0, 1 - real) + max(0, 1 + fake) (Lim and Ye, 2017)
    - relativistic: softplus(fake - real) over pairs (Jolicoeur-Martineau, 2018; R3GAN, Huang et
      al., 2024)
    """
    if kind == "bce":
        targets = torch.full_like(real, 1 - smoothing)
        on_reals = F.binary_cross_entropy_with_logits(real, targets)
        on_fakes = F.softplus(fake)
        return on_reals + on_fakes.mean()
    if kind == "hinge":
        on_reals = F.relu(1 - real)
        on_fakes = F.relu(1 + fake)
        return on_reals.mean() + on_fakes.mean()
    difference = fake - real
    return F.softplus(difference).mean()


def generator_loss(kind: str, fake: Tensor, real: Tensor | None = None) -> Tensor:
    """The generator's loss from the logits [N] of its fakes.

    - bce: softplus(-fake), the non-saturating form (Goodfellow et al., 2014)
    - hinge: -fake
    - relativistic: softplus(real - fake) over pairs, which needs the reals' logits [N] as well
    """
    if kind == "relativistic":
        assert real is not None
        difference = real - fake
        return F.softplus(difference).mean()
    if kind == "bce":
        return F.softplus(-fake).mean()
    return -fake.mean()


def squared_gradients(logits: Tensor, *images: Tensor) -> list[Tensor]:
    """‖∂ logit / ∂ image‖² of every image, differentiable; float32 [N] for each of `images` [N, …].

    R1 takes it at reals, R2 at fakes (Mescheder et al., 2018; Roth et al., 2017). The gradient of
    the summed logits holds each image's own gradient, as long as the discriminator has no operation
    across images.
    """
    with input_gradients_only():
        gradients = torch.autograd.grad(logits.sum(), images, create_graph=True)
    norms = []
    for gradient in gradients:
        squares = gradient.float().square()
        norms.append(squares.sum(dim=(1, 2, 3)))
    return norms


def mixes_images(network: nn.Module) -> bool:
    """Whether an image's output depends on the others of its batch, as by batch normalisation."""
    batch_norm = nn.modules.batchnorm._BatchNorm
    return any(isinstance(layer, batch_norm) for layer in network.modules())
