"""What an adaptation brought and cost, counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fauxlab.adaptation.reference import MANIPULATIONS
from fauxlab.bundle.decision import compute_scores
from fauxlab.records.adaptation import Change, Share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.adaptation.reference import Reference
    from fauxlab.adaptation.seeing import Seen
    from fauxlab.bundle.config import DetectorConfig

    Floats = NDArray[np.floating]
    Bools = NDArray[np.bool_]

SMALLEST = 1e-12  # a threshold of 0 or 1 has no logit
NORMAL = 1.959964  # deviations on each side of a 95 % interval


def wilson(hits: int, n: int) -> Share:
    """`hits` of n trials, with Wilson's interval (1927); n is at least 1."""
    share = hits / n
    widening = NORMAL**2 / n
    total = 1 + widening
    centre = (share + widening / 2) / total
    variance = share * (1 - share) + widening / 4
    deviation = (variance / n) ** 0.5
    half = NORMAL * deviation / total
    # At 0 and at n, rounding must not carry an end past the share itself.
    low = 0.0 if hits == 0 else centre - half
    high = 1.0 if hits == n else centre + half
    return Share(count=hits, of=n, low=low, high=high)


def compare(before: Bools, after: Bools) -> Change:
    """The shares of two lists of hits, each of at least one picture."""
    n = len(before)
    n_before = int(before.sum())
    n_after = int(after.sum())
    return Change(
        before=wilson(n_before, n),
        after=wilson(n_after, n),
    )


def compare_kinds(before: Bools, after: Bools, kinds: NDArray[np.str_]) -> dict[str, Change]:
    """The shares of hits [N] by kind."""
    changes = {}
    for kind in np.unique(kinds).tolist():
        own = kinds == kind
        own_before = before[own]
        own_after = after[own]
        changes[kind] = compare(own_before, own_after)
    return changes


def join(head_logits: Floats) -> Floats:
    """The joined logits [N] of heads' logits [N, H] on one scale: the log-sum-exp."""
    joined: Floats = np.logaddexp.reduce(head_logits, axis=1)
    return joined


def extend(head_logits: Floats, new: Floats) -> Floats:
    """Logits [N, H + 1] of all heads, from those of the others [N, H] and of the new one [N]."""
    return np.column_stack([head_logits, new])


def scores_of(config: DetectorConfig, head_logits: Floats) -> Floats:
    """P(fake) [N], in the precision of a detector, from heads' logits [N, H]."""
    joined = join(head_logits)
    return compute_scores(config, joined.astype(np.float32))


def call(config: DetectorConfig, head_logits: Floats, told: Bools) -> Bools:
    """Which pictures [N] are called fake."""
    scores = scores_of(config, head_logits)
    return told & (scores >= config.threshold)


def threshold_logit(config: DetectorConfig) -> float:
    """The joined logit from which on a picture is called fake."""
    score = np.clip(config.threshold, SMALLEST, 1 - SMALLEST)
    calibrated = np.log(score / (1 - score))
    fit = config.calibration
    if fit is None:
        return float(calibrated)
    return float((calibrated - fit.bias) * fit.temperature)


def is_uncertain(config: DetectorConfig, head_logits: Floats, told: Bools) -> Bools:
    """Which pictures [N] get the verdict "uncertain"."""
    low, high = config.band or (0.0, 0.0)
    scores = scores_of(config, head_logits)
    is_above = scores >= low
    is_below = scores < high
    return told & is_above & is_below


def compare_calls(
    before: DetectorConfig,
    after: DetectorConfig,
    seen: Seen,
    new: Floats,
) -> Change:
    """How many of these faces are called fake, before and after."""
    extended = extend(seen.head_logits, new)
    called_before = call(before, seen.head_logits, seen.told)
    called_after = call(after, extended, seen.told)
    return compare(called_before, called_after)


def known_fakes(
    before: DetectorConfig,
    after: DetectorConfig,
    reference: Reference,
    new: Floats,
) -> tuple[dict[str, Change], dict[str, Change]]:
    """Of the reference's fakes by generator: how many are caught, and named rightly of those.

    No fit has seen them, so the head is the final one.
    """
    fake = ~reference.is_real
    new_of_fakes = new[fake]
    kinds = reference.kinds[fake]
    told = reference.told(before)[fake]
    truth = reference.manipulations[fake]
    logits_before = reference.head_logits[fake]
    logits_after = extend(logits_before, new_of_fakes)
    called_before = call(before, logits_before, told)
    called_after = call(after, logits_after, told)
    caught = compare_kinds(called_before, called_after, kinds)

    right_before = _name(before, logits_before) == truth
    right_after = _name(after, logits_after) == truth
    # Of those that are caught before and after, so that the two shares can be compared.
    both = called_before & called_after
    named = compare_kinds(
        right_before[both],
        right_after[both],
        kinds[both],
    )
    return caught, named


def _name(config: DetectorConfig, head_logits: Floats) -> NDArray[np.int64]:
    """The manipulation [N] that the largest head stands for, as its place in MANIPULATIONS."""
    places = []
    for head in config.heads:
        place = MANIPULATIONS.index(head.manipulation)
        places.append(place)
    largest = head_logits.argmax(axis=1)
    manipulations: NDArray[np.int64] = np.array(places)[largest]
    return manipulations
