"""What `fauxlab scan` says of each picture, and how often, with intervals over groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.bundle.decision import can_tell, decide, name_manipulation
from fauxlab.io.sharpness import measure_sharpness
from fauxlab.io.tint import measure_tint
from fauxlab.records import DecisionShares, Interval
from fauxlab.statistics import with_intervals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.bundle.config import DetectorConfig
    from fauxlab.bundle.detector import Prediction
    from fauxlab.data.manifest import Manifest

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]
    Texts = NDArray[np.str_]
    Pixels = NDArray[np.uint8]

REAL, FAKE, UNCERTAIN, CANNOT_TELL = "real", "fake", "uncertain", "cannot tell"


@dataclass(frozen=True)
class Decided:
    """A scan's decisions [N] in words, and how it takes each picture to be manipulated [N].

    The manipulations are "made" or "altered", or "" for a detector without heads; they count where
    the decision is fake.
    """

    words: Texts
    manipulations: Texts

    def __getitem__(self, rows: Bools) -> Decided:
        """Those of some of the pictures."""
        words = self.words[rows]
        manipulations = self.manipulations[rows]
        return Decided(words, manipulations)

    @classmethod
    def by_threshold(cls, scores: Floats, threshold: float) -> Decided:
        """Of scores [N] alone: fake from the threshold on, else real."""
        words = np.where(scores >= threshold, FAKE, REAL)
        unnamed = np.full(len(words), "")
        return cls(words, unnamed)

    @classmethod
    def join(cls, parts: Sequence[Decided]) -> Decided:
        """Those of all parts, one after the other."""
        none = np.zeros(0, dtype=np.str_)
        words = [none]
        manipulations = [none]
        for part in parts:
            words.append(part.words)
            manipulations.append(part.manipulations)
        return cls(
            np.concatenate(words),
            np.concatenate(manipulations),
        )


def decide_batch(
    config: DetectorConfig, pixels: Pixels, scores: Floats, predicted: Prediction
) -> Decided:
    """The decisions on pictures uint8 [N, 3, size, size] with these scores [N]."""
    words = []
    manipulations = []
    columns = zip(
        pixels,
        scores.tolist(),
        predicted.ood_distances.tolist(),
        predicted.head_logits,
        strict=True,
    )
    for picture, score, distance, head_logits in columns:
        word = _decide(config, picture, score, distance)
        manipulation = name_manipulation(config, head_logits)
        words.append(word)
        manipulations.append(manipulation or "")
    return Decided(
        np.array(words, dtype=np.str_),
        np.array(manipulations, dtype=np.str_),
    )


def _decide(config: DetectorConfig, picture: Pixels, score: float, distance: float) -> str:
    if config.ood is not None:
        sharpness = measure_sharpness(picture)
        tint = measure_tint(picture)
        if not can_tell(config, distance, sharpness, tint):
            return CANNOT_TELL
    label, uncertain = decide(config, score)
    return UNCERTAIN if uncertain else label


def shares_of(
    manifest: Manifest, decided: Decided, rows: Bools, bootstrap: int, seed: int
) -> DecisionShares:
    """The shares of the decisions among some rows [N] of a manifest, which have one label."""
    chosen = decided[rows]
    groups = manifest.groups[rows].tolist()
    n_groups = len(set(groups))
    hits = {
        "called_fake": chosen.words == FAKE,
        "called_real": chosen.words == REAL,
        "uncertain": chosen.words == UNCERTAIN,
        "cannot_tell": chosen.words == CANNOT_TELL,
    }
    shares = share_intervals(hits, groups, bootstrap, seed)
    right = _manipulation_right(manifest, decided, rows, bootstrap, seed)
    return DecisionShares(
        n=len(groups),
        n_groups=n_groups,
        manipulation_right=right,
        **shares,
    )


def right_manipulations(manifest: Manifest, decided: Decided) -> Bools:
    """Which pictures [N] are manipulated as the detector says."""
    truths = [row.manipulation for row in manifest.rows]
    return decided.manipulations == np.array(truths, dtype=np.str_)


def _manipulation_right(
    manifest: Manifest, decided: Decided, rows: Bools, bootstrap: int, seed: int
) -> Interval | None:
    is_named = decided.manipulations != ""
    is_fake = manifest.labels == 1
    asked = rows & is_named & is_fake
    if not asked.any():
        return None
    is_caught = decided.words == FAKE
    caught = asked & is_caught
    is_right = right_manipulations(manifest, decided)
    hits = {"right": is_right[caught]}
    groups = manifest.groups[caught].tolist()
    shares = share_intervals(hits, groups, bootstrap, seed)
    return shares["right"]


def share_intervals(
    hits: dict[str, Bools], groups: Sequence[str], bootstrap: int, seed: int
) -> dict[str, Interval]:
    """Each share of hits [N] with its 95 % interval over groups [N]; all are drawn together."""
    if not groups:
        return {name: Interval(value=None) for name in hits}
    columns = list(hits.values())
    table = np.stack(columns, axis=1).astype(np.float64)

    def measure(weights: Floats) -> dict[str, Floats]:
        totals = weights.sum(axis=1, keepdims=True)
        shares = weights @ table / totals
        return dict(zip(hits, shares.T, strict=True))

    one_class = np.zeros(len(groups), dtype=np.int64)
    n_groups = len(set(groups))
    trials = dict.fromkeys(hits, n_groups)
    return with_intervals(measure, groups, one_class, bootstrap, seed, trials)
