"""The report's controller: every transition, the limits, and its reasons."""

from __future__ import annotations

import itertools

import pytest

from fauxlab.training.gan.step_controller import HIGH, LOW, Limits, Steps, adapt

LIMITS = Limits((2, 5), (1, 3))


@pytest.mark.parametrize(
    ("steps", "real", "fake", "expected"),
    [
        (Steps(2, 1), 0.7, 0.7, Steps(2, 1)),  # in balance
        (Steps(2, 1), 0.7, 0.9, Steps(3, 1)),  # fakes are found out: the generator needs more
        (Steps(5, 1), 0.7, 0.9, Steps(5, 1)),  # but not above 5
        (Steps(4, 1), 0.7, 0.5, Steps(3, 1)),  # fakes pass: fewer again
        (Steps(2, 1), 0.7, 0.5, Steps(2, 1)),  # but not below 2
        (Steps(2, 1), 0.4, 0.7, Steps(2, 2)),  # reals are not known: the discriminator needs more
        (Steps(2, 3), 0.4, 0.7, Steps(2, 3)),  # but not above 3
        (Steps(2, 3), 0.9, 0.7, Steps(2, 2)),
        (Steps(2, 1), 0.4, 0.9, Steps(3, 2)),  # both at once
        (Steps(3, 2), LOW, HIGH, Steps(3, 2)),  # the bounds themselves change nothing
    ],
)
def test_transitions(steps: Steps, real: float, fake: float, expected: Steps) -> None:
    new, reason = adapt(steps, LIMITS, real, fake)
    assert new == expected
    assert bool(reason) == (new != steps)


def test_reason_names_what_moved_and_why() -> None:
    _, reason = adapt(Steps(2, 1), LIMITS, 0.42, 0.93)
    assert reason == (
        "generator steps 2 → 3 (accuracy on fakes 0.93); "
        "discriminator steps 1 → 2 (accuracy on reals 0.42)"
    )


def test_no_sequence_leaves_the_limits() -> None:
    accuracies = (0.0, 0.7, 1.0)
    reached = {Steps(2, 1)}
    for _ in range(8):
        reached |= {
            adapt(s, LIMITS, real, fake)[0]
            for s in reached
            for real, fake in itertools.product(accuracies, repeat=2)
        }
    assert reached == {Steps(g, d) for g in range(2, 6) for d in range(1, 4)}
