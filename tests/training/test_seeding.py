"""Draws of a step are a function of seed, step and process, whichever generator makes them."""

from __future__ import annotations

import torch

from fauxlab.training.seeding import seed_networks, seed_step, step_generator, step_seed


def test_a_generator_of_its_own_draws_as_the_global_one() -> None:
    torch.manual_seed(step_seed(3, 5, 1))
    expected = torch.rand(4), torch.randint(100, (4,)), torch.randn(4)
    own = step_generator(3, 5, 1)
    drawn = (
        torch.rand(4, generator=own),
        torch.randint(100, (4,), generator=own),
        torch.randn(4, generator=own),
    )
    for one, other in zip(drawn, expected, strict=True):
        assert torch.equal(one, other)
    again = seed_step(3, 5, 1)
    assert torch.equal(torch.rand(4, generator=again), expected[0])
    assert torch.equal(torch.randint(100, (4,)), expected[1]), "and it is the global one"


def test_seed_step_and_process_all_count() -> None:
    seeds = {step_seed(s, n, p) for s in range(3) for n in range(50) for p in range(4)}
    assert len(seeds) == 3 * 50 * 4


def test_networks_go_on_where_the_inputs_ended() -> None:
    torch.manual_seed(step_seed(0, 0, 0))
    expected = torch.rand(6)
    inputs = step_generator(0, 0, 0)
    assert torch.equal(torch.rand(4, generator=inputs), expected[:4])
    torch.rand(100)  # whatever else drew in between
    seed_networks(inputs)
    assert torch.equal(torch.rand(2), expected[4:])
