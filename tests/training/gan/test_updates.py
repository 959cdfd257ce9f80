"""The arithmetic of a GAN's step: both updates, penalties, schedules, and the stream of reals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from fauxlab.config import GanRecipe
from fauxlab.models import convolution
from fauxlab.training.gan.inputs import Stream
from fauxlab.training.gan.losses import mixes_images, squared_gradients
from fauxlab.training.gan.schedules import values_at
from fauxlab.training.gan.state import State
from fauxlab.training.gan.step import Stepper, set_rates
from fauxlab.training.gan.updates import Updater
from fauxlab.transforms.augment import colour, cutout

MakeRecipe = Callable[..., GanRecipe]
Start = Callable[[GanRecipe], tuple[Stepper, State]]


def weights(network: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()]).clone()


def update_discriminator(stepper: Stepper, state: State) -> dict[str, torch.Tensor]:
    """One update on the first batch."""
    updater = stepper.updater(state)
    set_rates(state, updater.values, 0.0)
    reals = stepper.inputs.reals(stepper.inputs.pixels_at(0), updater.draws)
    latents = stepper.inputs.latents(len(reals), updater.draws)
    return updater.update_discriminator(state, reals, latents)


def update_generator(stepper: Stepper, state: State) -> dict[str, torch.Tensor]:
    """One update beside the reals of the first batch."""
    updater = stepper.updater(state)
    set_rates(state, updater.values, 0.0)
    reals = stepper.inputs.reals(stepper.inputs.pixels_at(0), updater.draws)
    latents = stepper.inputs.latents(len(reals), updater.draws)
    return updater.update_generator(state, reals, latents)


def test_the_stream_shows_every_image_once_before_any_twice() -> None:
    stream = Stream(np.arange(100, 110), seed=0)
    seen = np.concatenate([stream.rows(start, 4) for start in range(0, 40, 4)])
    for k in range(4):
        assert sorted(seen[10 * k : 10 * (k + 1)]) == list(range(100, 110))
    assert not np.array_equal(seen[:10], seen[10:20])
    np.testing.assert_array_equal(stream.rows(7, 25), seen[7:32])


def test_updates_touch_their_own_network_only(start: Start, recipe: MakeRecipe) -> None:
    stepper, state = start(recipe())
    networks = state.generator, state.discriminator
    before = [weights(network) for network in networks]
    update_discriminator(stepper, state)
    middle = [weights(network) for network in networks]
    update_generator(stepper, state)
    after = [weights(network) for network in networks]
    assert torch.equal(before[0], middle[0])
    assert not torch.equal(before[1], middle[1])
    assert torch.equal(middle[1], after[1])
    assert not torch.equal(middle[0], after[0])


def first_gradient(monkeypatch: pytest.MonkeyPatch, stepper: Stepper, state: State) -> torch.Tensor:
    """Of the first weights of the discriminator, in its first update."""
    gradients = []

    def keep(_self: Updater, loss: torch.Tensor, network: nn.Module, _optimizer: object) -> None:
        gradients.append(torch.autograd.grad(loss, network.from_rgb.weight)[0])  # type: ignore[union-attr,arg-type]

    monkeypatch.setattr(Updater, "descend", keep)
    update_discriminator(stepper, state)
    return gradients[0]


def test_lazy_penalty_weighs_as_much_as_a_full_one(
    monkeypatch: pytest.MonkeyPatch, start: Start, recipe: MakeRecipe
) -> None:
    """The gradient of a lazy penalty, on the updates that have it, is `penalty_every` times the
    full one's.
    """
    gradients = {}
    for every in (1, 4):
        options = [f"gan.penalty_every={every}", "gan.augment=[]", "gan.r1=3.0", "gan.r2=1.0"]
        stepper, state = start(recipe("r3-32", *options))
        gradients[every] = first_gradient(monkeypatch, stepper, state)
    stepper, state = start(recipe("r3-32", "gan.r1=0", "gan.r2=0", "gan.augment=[]"))
    without = first_gradient(monkeypatch, stepper, state)
    assert (gradients[1] - without).abs().max() > 0
    torch.testing.assert_close(
        gradients[4] - without, 4 * (gradients[1] - without), rtol=1e-3, atol=1e-6
    )


class Linear(nn.Module):
    """A discriminator whose logit is w times the sum of the pixels."""

    def __init__(self, w: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.w * images.sum(dim=(1, 2, 3))


@pytest.mark.parametrize(
    ("augment", "share"),
    [
        ("[]", 1.0),
        # A square of half the side is grey, so at most a quarter of the pixels has no gradient.
        ("cutout", None),
    ],
)
def test_penalties_are_taken_before_the_augmentation_and_through_it(
    start: Start, recipe: MakeRecipe, augment: str, share: float | None
) -> None:
    """‖∂ logit / ∂ image‖² of the linear discriminator is w² times the number of pixels shown."""
    w, pixels = 0.5, 3 * 32 * 32
    options = ["gan.r1=1", "gan.r2=1", "gan.penalty_every=1", "gan.augment_p=1"]
    stepper, state = start(recipe("r3-32", *options, f"gan.augment={augment}"))
    state.discriminator = Linear(w)
    log = update_discriminator(stepper, state)
    for penalty in (log["r1"], log["r2"]):
        if share is not None:
            assert float(penalty) == pytest.approx(share * w**2 * pixels)
        else:
            assert 0.75 * w**2 * pixels <= float(penalty) < 0.95 * w**2 * pixels


def test_a_penalty_counts_the_pixels_that_an_augmentation_shows() -> None:
    images = torch.rand(16, 3, 32, 32).requires_grad_()
    draws = torch.Generator()
    shown = cutout(images, draws.manual_seed(0))
    (norms,) = squared_gradients(0.5 * shown.sum(dim=(1, 2, 3)), images)
    visible = (cutout(torch.ones(16, 3, 32, 32), draws.manual_seed(0)) > 0).sum(dim=(1, 2, 3))
    assert norms.tolist() == (0.25 * visible).tolist()


def test_a_penalty_scales_with_the_contrast_squared_and_can_be_lowered() -> None:
    """The logit is the difference of two pixels of one colour channel of a grey image.

    Brightness and the mean cancel in it, and saturation and contrast scale it. So its gradient is
    that of the difference of what the augmentation makes of unit steps of these pixels.
    """
    draws = torch.Generator()
    images = torch.zeros(8, 3, 16, 16, requires_grad=True)
    shown = colour(images, draws.manual_seed(3))
    logits = (shown[:, :, 0, 0] - shown[:, :, 0, 1]).sum(dim=1)
    (norms,) = squared_gradients(logits, images)
    # All three channels alike: grey is not changed by saturation, so contrast alone remains.
    contrast = torch.rand(3, 8, generator=draws.manual_seed(3))[2] + 0.5
    torch.testing.assert_close(norms, 6 * contrast**2)

    weight = torch.tensor(2.0, requires_grad=True)
    shown = colour(images, draws.manual_seed(3))
    logits = weight * (shown[:, :, 0, 0] - shown[:, :, 0, 1]).sum(dim=1)
    (norms,) = squared_gradients(logits, images)
    norms.sum().backward()
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad, 2 * 2.0 * (6 * contrast**2).sum())


def test_penalised_updates_alone_use_what_is_quick_to_differentiate_twice(
    monkeypatch: pytest.MonkeyPatch, start: Start, recipe: MakeRecipe
) -> None:
    stepper, state = start(recipe("r3-32", "gan.penalty_every=2"))
    seen: list[tuple[str, bool]] = []
    for name in ("_convolve", "_to_weight"):
        plain = getattr(convolution, name)
        monkeypatch.setattr(
            convolution,
            name,
            lambda *a, n=name, f=plain: seen.append((n, convolution._on["inputs only"])) or f(*a),
        )
    update_discriminator(stepper, state)
    assert ("_convolve", False) in seen
    assert ("_to_weight", False) in seen
    assert ("_to_weight", True) not in seen, "the penalty needs the images' gradient alone"
    seen.clear()
    update_discriminator(stepper, state)
    update_generator(stepper, state)
    assert not seen


def test_schedules_reach_both_ends(start: Start, recipe: MakeRecipe) -> None:
    stepper, state = start(recipe("r3-32", "train.beta2={start=0.9,end=0.99}"))
    for images, rates, beta2 in (
        (0, (5e-4, 15e-4), 0.9),
        (80, (3e-4, 8.5e-4), 0.945),
        (160, (1e-4, 2e-4), 0.99),
    ):
        state.images = images
        set_rates(state, stepper.updater(state).values, 0.0)
        for optimizer, rate in zip(state.optimizers, rates, strict=True):
            assert optimizer.param_groups[0]["lr"] == pytest.approx(rate)
            assert optimizer.param_groups[0]["betas"] == pytest.approx((0.0, beta2))


def test_each_rollback_makes_training_gentler(recipe: MakeRecipe) -> None:
    experiment = recipe("r3-32", "gan.augment_p=0.5")
    plain, gentler = values_at(experiment, 0.0, 0), values_at(experiment, 0.0, 2)
    assert gentler.lr == pytest.approx(plain.lr / 4)
    assert gentler.discriminator_lr == pytest.approx(plain.discriminator_lr / 4)
    assert (gentler.r1, gentler.r2) == (4 * plain.r1, 4 * plain.r2)
    assert (plain.augment_p, gentler.augment_p) == (0.5, 1.0)


def test_averaged_gradients_are_those_of_the_whole_batch(start: Start, recipe: MakeRecipe) -> None:
    """What two processes would each compute on half a batch averages to one process's gradient on
    all of it.
    """
    network = start(recipe())[1].discriminator
    images = torch.randn(8, 3, 32, 32)

    def gradient(part: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad(
            nn.functional.softplus(network(part)).mean(), network.from_rgb.weight
        )[0]

    torch.testing.assert_close(
        (gradient(images[::2]) + gradient(images[1::2])) / 2, gradient(images)
    )


def test_present_adds_noise_and_augments_both_kinds_alike(start: Start, recipe: MakeRecipe) -> None:
    stepper, state = start(recipe("report-v2-32", "gan.noise=0.5"))
    shown = stepper.updater(state).present(torch.zeros(64, 3, 32, 32))
    assert shown.std() == pytest.approx(0.5, rel=0.02)
    stepper, state = start(recipe("r3-32", "gan.augment=[]"))
    images = torch.rand(64, 3, 32, 32)
    assert stepper.updater(state).present(images) is images
    state.rollbacks = 1
    shown = stepper.updater(state).present(images)
    changed = (shown != images).flatten(1).any(dim=1).float().mean()
    assert 0.1 < changed < 0.5, "a rollback adds augmentation where the recipe has none"


def test_batch_statistics_are_not_shared_between_reals_and_fakes(
    start: Start, recipe: MakeRecipe
) -> None:
    stepper, state = start(recipe("report-v1-32"))
    assert mixes_images(state.discriminator)
    calls = []
    state.discriminator.register_forward_pre_hook(
        lambda _module, inputs: calls.append(len(inputs[0]))
    )
    update_discriminator(stepper, state)
    assert calls == [8, 8]
