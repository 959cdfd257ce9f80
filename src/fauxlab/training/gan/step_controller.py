"""The report's controller of update steps (section IV.B): whoever falls behind gets more updates,
within limits.

The report gives the starts and limits (generator 2 to 5, discriminator 1 to 3) and what each side
is judged by. The accuracies at which steps move, and that they move back, are assumed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

# Accuracies of the discriminator. Above HIGH on fakes the generator "requires improvement"; below
# LOW on reals the discriminator's accuracy "needs enhancement". Between, a side's steps stay; on
# the far side they fall back.
LOW, HIGH = 0.6, 0.8


@dataclass(frozen=True)
class Limits:
    """Updates a round: at least and at most."""

    generator: tuple[int, int] = (2, 5)
    discriminator: tuple[int, int] = (1, 3)


@dataclass(frozen=True)
class Steps:
    """Updates a round of each side."""

    generator: int
    discriminator: int


def adapt(
    steps: Steps, limits: Limits, real_accuracy: float, fake_accuracy: float
) -> tuple[Steps, str]:
    """The next steps and, in words, why; both sides are judged on the same window of rounds.

    `real_accuracy` and `fake_accuracy` are the shares (0 to 1) of reals and fakes that the
    discriminator called right.
    """
    generator = _move(
        steps.generator, limits.generator, up=fake_accuracy > HIGH, down=fake_accuracy < LOW
    )
    discriminator = _move(
        steps.discriminator, limits.discriminator, up=real_accuracy < LOW, down=real_accuracy > HIGH
    )
    new = replace(steps, generator=generator, discriminator=discriminator)
    reasons = [
        f"{name} steps {before} → {after} (accuracy on {what} {accuracy:.2f})"
        for name, before, after, what, accuracy in (
            ("generator", steps.generator, generator, "fakes", fake_accuracy),
            ("discriminator", steps.discriminator, discriminator, "reals", real_accuracy),
        )
        if before != after
    ]
    return new, "; ".join(reasons)


def _move(value: int, limits: tuple[int, int], up: bool, down: bool) -> int:
    return min(max(value + up - down, limits[0]), limits[1])
