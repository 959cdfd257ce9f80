"""The student paper's step controller (section IV.B): the network that lags gets more updates.

The paper gives the starts and limits (generator 2 to 5, discriminator 1 to 3) and the accuracies
that decide. The values at which the numbers move, and that they move back, are assumed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from fauxlab.config.gan import GanConfig

# Accuracies of the discriminator. Above HIGH on fakes the generator "requires improvement"; below
# LOW on reals the discriminator's accuracy "needs enhancement". Between them a network's updates
# stay as they are, and on the far side they fall back.
LOW, HIGH = 0.6, 0.8


@dataclass(frozen=True)
class Limits:
    """Fewest and most updates in a step."""

    generator: tuple[int, int] = (2, 5)
    discriminator: tuple[int, int] = (1, 3)

    @classmethod
    def of(cls, gan: GanConfig) -> Limits:
        """The recipe's."""
        return cls(
            (gan.generator_steps, gan.most_generator_steps),
            (gan.discriminator_steps, gan.most_discriminator_steps),
        )


@dataclass(frozen=True)
class Steps:
    """Updates of each network in a step."""

    generator: int
    discriminator: int


def adapt(
    steps: Steps,
    limits: Limits,
    real_accuracy: float,
    fake_accuracy: float,
) -> tuple[Steps, str]:
    """The next numbers of updates and, in words, why they moved.

    `real_accuracy` and `fake_accuracy` are the shares (0 to 1) of reals and fakes that the
    discriminator called right, over the same window of steps.
    """
    new, reasons = steps, []
    # A discriminator that sees through the fakes calls for a better generator.
    generator = steps.generator + _direction(low=fake_accuracy < LOW, high=fake_accuracy > HIGH)
    generator = _within(generator, limits.generator)
    if generator != steps.generator:
        new = replace(new, generator=generator)
        moved = f"{steps.generator} → {generator}"
        reasons.append(f"generator steps {moved} (accuracy on fakes {fake_accuracy:.2f})")

    # One that does not know the reals needs more updates itself.
    discriminator = steps.discriminator - _direction(
        low=real_accuracy < LOW, high=real_accuracy > HIGH
    )
    discriminator = _within(discriminator, limits.discriminator)
    if discriminator != steps.discriminator:
        new = replace(new, discriminator=discriminator)
        moved = f"{steps.discriminator} → {discriminator}"
        reasons.append(f"discriminator steps {moved} (accuracy on reals {real_accuracy:.2f})")
    return new, "; ".join(reasons)


def _direction(low: bool, high: bool) -> int:
    return int(high) - int(low)


def _within(value: int, limits: tuple[int, int]) -> int:
    fewest, most = limits
    return min(max(value, fewest), most)
