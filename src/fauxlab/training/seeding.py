"""Random numbers of a training step, as a function of (seed, step, process) and of nothing else.

This is why a run can be killed at any instant and resumed exactly without storing the state of a
random generator, and why the inputs of the next step can be drawn while this one computes.
"""

from __future__ import annotations

import torch


def step_seed(seed: int, step: int, process: int) -> int:
    """One number for a step of one process; the recipe's seed comes first."""
    of_step = seed * 1_000_003 + step
    of_process = of_step * 1_009 + process
    return of_process % 2**63


def step_generator(seed: int, step: int, process: int) -> torch.Generator:
    """A CPU generator for all random numbers of a step's inputs."""
    generator = torch.Generator()
    generator.manual_seed(step_seed(seed, step, process))
    return generator


def seed_step(seed: int, step: int, process: int) -> torch.Generator:
    """Seed torch's global generators for a step and return the CPU's.

    For steps in which inputs and dropout are drawn in turns, from one stream of random numbers.
    """
    seed_of_step = step_seed(seed, step, process)
    return torch.manual_seed(seed_of_step)


def seed_networks(generator: torch.Generator) -> None:
    """Seed torch's global generators, from which the layers of a network draw (dropout).

    On the CPU they go on where `generator` ended, so that the inputs and the dropout of a step
    never share a random number.
    """
    seed_of_step = generator.initial_seed()
    torch.manual_seed(seed_of_step)
    state = generator.get_state()
    torch.set_rng_state(state)
