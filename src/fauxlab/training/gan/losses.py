"""What generator and discriminator are trained on. Logits above 0 mean "real"; all losses are means
over the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fauxlab.models.convolution import input_gradients_only


def discriminator_loss(kind: str, real: Tensor, fake: Tensor, smoothing: float = 0.0) -> Tensor:
    """The discriminator's loss from logits [N] of reals and fakes.

    - bce: cross-entropy (Goodfellow et al., 2014), the target of reals lowered to 1 - `smoothing`
      (one-sided label smoothing, Salimans et al., 2016)
    - hinge: Lim and Ye, 2017
    - relativistic: softplus of fake minus real in pairs (Jolicoeur-Martineau, 2018; R3GAN, Huang et
      al., 2024)
    """
    if kind == "bce":
        targets = torch.full_like(real, 1 - smoothing)
        loss = F.binary_cross_entropy_with_logits(real, targets) + F.softplus(fake).mean()
    elif kind == "hinge":
        loss = F.relu(1 - real).mean() + F.relu(1 + fake).mean()
    else:
        loss = F.softplus(fake - real).mean()
    return loss


def generator_loss(kind: str, fake: Tensor, real: Tensor | None = None) -> Tensor:
    """The generator's loss from logits [N] of its fakes; the relativistic one needs the reals' [N]
    as well.

    bce is the non-saturating form, softplus(-fake).
    """
    if kind == "relativistic":
        assert real is not None
        return F.softplus(real - fake).mean()
    return F.softplus(-fake).mean() if kind == "bce" else -fake.mean()


def squared_gradients(logits: Tensor, images: Tensor) -> Tensor:
    """‖∂ logit / ∂ image‖² of every image [N], in float32 and differentiable.

    R1 takes it at real images, R2 at fakes (Mescheder et al., 2018; Roth et al., 2017); both come
    from one call when reals and fakes lie in one batch. The gradient of the summed logits is each
    image's own gradient as long as the discriminator has no operation across images.
    """
    with input_gradients_only():
        (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.float().square().sum(dim=(1, 2, 3))
