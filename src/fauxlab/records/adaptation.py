"""What adapting a detector to a new generator came to."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from fauxlab.records.base import Record

SCHEMA_VERSION = 1


class Share(Record):
    """A share of some pictures, with its 95 % interval after Wilson (1927)."""

    count: NonNegativeInt
    of: PositiveInt
    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)

    @property
    def value(self) -> float:
        """The share, from 0 to 1."""
        return self.count / self.of

    def __str__(self) -> str:
        return f"{self.value:.1%} [{self.low:.1%}, {self.high:.1%}] of {self.of:,}"


class Change(Record):
    """A share before the adaptation, and after."""

    before: Share
    after: Share

    def __str__(self) -> str:
        return f"{self.before.value:>7.1%} → {self.after.value:<7.1%} of {self.after.of:,}"


class Adaptation(Record):
    """A head that was added to a detector, and what it brought and cost.

    `caught` is of the examples, each by a head that was fitted without it. `false_alarms` are of
    the real photos by source, also each by a head that was fitted without it; the user's learned
    ones are called "yours". `uncertain` is of all these. `own_reals` are the user's real photos
    that no fit used.

    `generators` says which share of the fakes that the detector knew before is caught. `named` says
    for which of these the manipulation is named rightly.
    """

    schema_version: int = SCHEMA_VERSION
    name: str
    manipulation: Literal["made", "altered"]
    adapted_from: str = Field(description="hash of the model before")
    examples: PositiveInt = Field(description="pictures that were learned from")
    fitted_reals: NonNegativeInt = Field(
        description="the user's real photos that were learned from"
    )
    rate: float = Field(gt=0, lt=1, description="the stated false-alarm rate")
    threshold_before: float
    threshold: float
    caught: Change
    own_reals: Change | None = None
    false_alarms: dict[str, Change]
    uncertain: Change
    generators: dict[str, Change]
    named: dict[str, Change]

    def table(self) -> str:
        """The figures as plain text."""
        lines = [
            f"{self.name}: learned from {self.examples} examples as {self.manipulation}",
            f"caught of the examples, each left out in turn: {self.caught.after}",
            f"  by the model as it was: {self.caught.before}",
        ]
        if self.own_reals is not None:
            lines.append(f"your real photos called fake: {self.own_reals.after}")
            lines.append(f"  by the model as it was: {self.own_reals.before}")
        lines += _block("real photos called fake, before and after", self.false_alarms)
        lines.append(f"real photos that get uncertain: {self.uncertain}")
        lines += _block("known fakes caught, before and after", self.generators)
        lines += _block("manipulation named rightly, of those caught", self.named)
        lines.append(f"threshold {self.threshold_before:.4f} → {self.threshold:.4f}")
        return "\n".join(lines)


def _block(title: str, changes: dict[str, Change]) -> list[str]:
    if not changes:
        return []
    width = max(map(len, changes))
    return [f"{title}:", *[f"  {name:<{width}} {change}" for name, change in changes.items()]]
