"""The heads that were added to a detector after its training, as its card tells of them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from fauxlab.records.adaptation import Adaptation

if TYPE_CHECKING:
    from fauxlab.bundle.config import DetectorConfig

ADAPTATIONS = "adaptations"  # the key in a config's `training`


def list_adaptations(config: DetectorConfig) -> list[Adaptation]:
    """The adaptations that a config tells of, in order; those that cannot be read are left out."""
    stored = config.training.get(ADAPTATIONS, [])
    adaptations = []
    for fields in stored if isinstance(stored, list) else []:
        with suppress(ValueError):
            adaptations.append(Adaptation.model_validate(fields))
    return adaptations


def describe_adaptations(config: DetectorConfig) -> str:
    """The section of a card on heads that were added; empty without any."""
    blocks = []
    for adaptation in list_adaptations(config):
        blocks.append(
            f"## Learned later: {adaptation.name}\n\n"
            f"Added to the model `{adaptation.adapted_from}`.\n"
            "The figures are of held-out pictures. They hold for pictures like these.\n\n"
            f"```\n{adaptation.table()}\n```\n"
        )
    return "\n".join(blocks)
