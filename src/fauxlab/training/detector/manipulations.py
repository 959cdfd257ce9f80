"""How a picture is fake, and how much a picture weighs: what the two heads are trained by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fauxlab.data.manifest import Manifest, Row

Manipulations = NDArray[np.int64]  # one of the numbers below for each picture
REAL = 0
MADE = 1
ALTERED = 2
NUMBERS = {"": REAL, "made": MADE, "altered": ALTERED}


def manipulation_of(row: Row) -> str:
    """How a fake was made: `made` or `altered`; a real one has none."""
    return row.manipulation


def is_pseudo(row: Row) -> bool:
    """Whether a picture is a real one that was changed to train on, and no generator's work."""
    return bool(row.extra.get("pseudo"))


def list_manipulations(manifest: Manifest) -> Manipulations:
    """REAL, MADE or ALTERED for each row."""
    numbers = [NUMBERS[manipulation_of(row)] for row in manifest.rows]
    return np.array(numbers, dtype=np.int64)


def kind_of(row: Row) -> str:
    """The kind of a picture: a fake's generator, a real one's source."""
    return row.generator if row.label else row.source


def weigh_kinds(kinds: Sequence[str], groups: Sequence[str]) -> NDArray[np.float64]:
    """Weights [N] that sum to 1: as much for each kind, and in a kind as much for each group."""
    pairs = list(zip(kinds, groups, strict=True))
    in_group = Counter(pairs)
    groups_of = Counter(kind for kind, _ in in_group)
    weights = []
    for pair in pairs:
        kind, _ = pair
        of_kind = 1 / len(groups_of)
        of_group = of_kind / groups_of[kind]
        weights.append(of_group / in_group[pair])
    return np.array(weights)
