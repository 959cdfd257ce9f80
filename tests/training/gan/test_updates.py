"""The game's arithmetic: its two updates, penalties, schedules, and the stream of real images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from fauxlab.config import GanRecipe
from fauxlab.models import convolution
from fauxlab.training.gan.updates import Game, State, _Stream, mixes_images

MakeRecipe = Callable[..., GanRecipe]
Start = Callable[[GanRecipe], tuple[Game, State]]


def weights(network: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()]).clone()


def test_the_stream_shows_every_image_once_before_any_twice() -> None:
    stream = _Stream(np.arange(100, 110), seed=0)
    seen = np.concatenate([stream.rows(start, 4) for start in range(0, 40, 4)])
    for k in range(4):
        assert sorted(seen[10 * k : 10 * (k + 1)]) == list(range(100, 110))
    assert not np.array_equal(seen[:10], seen[10:20])
    np.testing.assert_array_equal(stream.rows(7, 25), seen[7:32])


def test_updates_touch_their_own_side_only(start: Start, recipe: MakeRecipe) -> None:
    game, state = start(recipe())
    game._set_rates(state)
    reals = game.reals(0)
    sides = state.generator, state.discriminator
    before = [weights(side) for side in sides]
    game.update_discriminator(state, reals)
    middle = [weights(side) for side in sides]
    game.update_generator(state, reals)
    after = [weights(side) for side in sides]
    assert torch.equal(before[0], middle[0])
    assert not torch.equal(before[1], middle[1])
    assert torch.equal(middle[1], after[1])
    assert not torch.equal(middle[0], after[0])


def test_lazy_penalty_weighs_as_much_as_a_full_one(start: Start, recipe: MakeRecipe) -> None:
    """The gradient of a lazy penalty, on the updates that have it, is `penalty_every` times the
    full one's.
    """
    gradients = {}
    for every in (1, 4):
        options = [f"gan.penalty_every={every}", "gan.augment=[]", "gan.r1=3.0", "gan.r2=1.0"]
        game, state = start(recipe("r3-32", *options))
        game._step = lambda loss, _optimizer, network, key=every: gradients.setdefault(  # type: ignore[method-assign]
            key, torch.autograd.grad(loss, network.from_rgb.weight)[0]
        )
        torch.manual_seed(0)
        game.update_discriminator(state, game.reals(0))
    game, state = start(recipe("r3-32", "gan.r1=0", "gan.r2=0", "gan.augment=[]"))
    game._step = lambda loss, _optimizer, network: gradients.setdefault(  # type: ignore[method-assign]
        0, torch.autograd.grad(loss, network.from_rgb.weight)[0]
    )
    torch.manual_seed(0)
    game.update_discriminator(state, game.reals(0))
    assert (gradients[1] - gradients[0]).abs().max() > 0
    torch.testing.assert_close(
        gradients[4] - gradients[0], 4 * (gradients[1] - gradients[0]), rtol=1e-3, atol=1e-6
    )


def test_penalised_updates_alone_go_the_way_that_is_quick_to_differentiate_twice(
    monkeypatch: pytest.MonkeyPatch, start: Start, recipe: MakeRecipe
) -> None:
    game, state = start(recipe("r3-32", "gan.penalty_every=2"))
    seen: list[tuple[str, bool]] = []
    for name in ("_convolve", "_to_weight"):
        plain = getattr(convolution, name)
        monkeypatch.setattr(
            convolution,
            name,
            lambda *a, n=name, f=plain: seen.append((n, convolution._on["inputs only"])) or f(*a),
        )
    game.update_discriminator(state, game.reals(0))
    assert ("_convolve", False) in seen
    assert ("_to_weight", False) in seen
    assert ("_to_weight", True) not in seen, "the penalty needs the images' gradient alone"
    seen.clear()
    game.update_discriminator(state, game.reals(0))
    game.update_generator(state, game.reals(0))
    assert not seen


def test_schedules_reach_both_ends(start: Start, recipe: MakeRecipe) -> None:
    game, state = start(recipe("r3-32", "train.beta2={start=0.9,end=0.99}"))
    for images, rates, beta2 in (
        (0, (5e-4, 15e-4), 0.9),
        (80, (3e-4, 8.5e-4), 0.945),
        (160, (1e-4, 2e-4), 0.99),
    ):
        state.images = images
        game._set_rates(state)
        for optimizer, rate in zip(state.optimizers, rates, strict=True):
            assert optimizer.param_groups[0]["lr"] == pytest.approx(rate)
            assert optimizer.param_groups[0]["betas"] == pytest.approx((0.0, beta2))


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


def test_present_adds_noise_and_augments_both_sides_alike(start: Start, recipe: MakeRecipe) -> None:
    game, state = start(recipe("report-v2-32", "gan.noise=0.5"))
    torch.manual_seed(0)
    assert game.present(torch.zeros(64, 3, 32, 32), state).std() == pytest.approx(0.5, rel=0.02)
    game, state = start(recipe("r3-32", "gan.augment=[]"))
    images = torch.rand(64, 3, 32, 32)
    assert game.present(images, state) is images
    state.rollbacks = 1
    changed = (game.present(images, state) != images).flatten(1).any(dim=1).float().mean()
    assert 0.1 < changed < 0.5, "a rollback adds augmentation where the recipe has none"


def test_batch_statistics_are_not_shared_between_reals_and_fakes(
    start: Start, recipe: MakeRecipe
) -> None:
    game, state = start(recipe("report-v1-32"))
    assert mixes_images(state.discriminator)
    calls = []
    state.discriminator.register_forward_pre_hook(
        lambda _module, inputs: calls.append(len(inputs[0]))
    )
    game._set_rates(state)
    game.update_discriminator(state, game.reals(0))
    assert calls == [8, 8]
