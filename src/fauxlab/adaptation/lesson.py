"""The real photos that a head is fitted against, and the thresholds that they ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.adaptation.figures import extend, join
from fauxlab.adaptation.fitting import Material
from fauxlab.adaptation.thresholds import choose_thresholds
from fauxlab.calibration.kinds import Kinds, weigh_kinds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.adaptation.reference import Reference
    from fauxlab.adaptation.seeing import Seen
    from fauxlab.bundle.config import DetectorConfig

    Floats = NDArray[np.floating]
    Bools = NDArray[np.bool_]

OWN_KIND = "yours"  # the user's real photos, among the kinds


@dataclass(frozen=True)
class Lesson:
    """The real photos of a fit, those of the reference first, and the material that they are in."""

    material: Material
    kinds: NDArray[np.str_]  # [N]
    head_logits: Floats  # [N, H]
    told: Bools  # [N]

    @classmethod
    def of(
        cls,
        reference: Reference,
        config: DetectorConfig,
        examples: Seen,
        own: Seen | None,
    ) -> Lesson:
        """The reference's real photos, and the user's own as a kind of theirs."""
        real = reference.is_real
        coordinates = reference.coordinates[real]
        kinds = reference.kinds[real]
        groups = reference.groups[real]
        head_logits = reference.head_logits[real]
        told = reference.told(config)[real]
        if own is not None:
            n = len(own.told)
            own_kinds = np.full(n, OWN_KIND)
            first_free = groups.max() + 1
            own_groups = first_free + np.arange(n)
            as_they_are = own.views[0]
            coordinates = np.concatenate([coordinates, as_they_are])
            kinds = np.concatenate([kinds, own_kinds])
            groups = np.concatenate([groups, own_groups])
            head_logits = np.concatenate([head_logits, own.head_logits])
            told = np.concatenate([told, own.told])
        weights = weigh_kinds(kinds, groups)
        material = Material(coordinates, weights, groups, examples.views)
        return cls(material, kinds, head_logits, told)


def choose(
    config: DetectorConfig,
    lesson: Lesson,
    new: Floats,
    rate: float,
) -> DetectorConfig:
    """The config with the thresholds at which the real photos keep the stated rates.

    `new` [N] are the new head's logits of them. What gets no verdict is not called fake.
    """
    told = lesson.told
    extended = extend(lesson.head_logits, new)
    joined = join(extended).astype(np.float64)
    groups = lesson.material.groups.astype(np.str_)
    reals = Kinds.of(
        joined[told],
        lesson.kinds[told],
        groups[told],
    )
    fit, threshold = choose_thresholds(config, reals, rate)
    changes = {"calibration": fit, "threshold": threshold}
    return config.model_copy(update=changes)
