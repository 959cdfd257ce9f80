"""What an adaptation brought and cost, counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fauxlab.records.adaptation import Change, Share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.floating]
    Bools = NDArray[np.bool_]

NORMAL = 1.959964  # deviations on each side of a 95 % interval


def wilson(hits: int, n: int) -> Share:
    """`hits` of n trials, with Wilson's interval (1927); n is at least 1."""
    share = hits / n
    widening = NORMAL**2 / n
    centre = (share + widening / 2) / (1 + widening)
    deviation = np.sqrt(share * (1 - share) / n + widening / (4 * n))
    half = NORMAL * deviation / (1 + widening)
    # At 0 and at n rounding must not carry an end past the share itself.
    low = 0.0 if hits == 0 else float(centre - half)
    high = 1.0 if hits == n else float(centre + half)
    return Share(count=hits, of=n, low=low, high=high)


def compare(before: Bools, after: Bools) -> Change:
    """The shares of two lists of hits, each of at least one picture."""
    return Change(
        before=wilson(int(before.sum()), len(before)), after=wilson(int(after.sum()), len(after))
    )


def compare_kinds(before: Bools, after: Bools, kinds: NDArray[np.str_]) -> dict[str, Change]:
    """The shares of hits [N] by kind."""
    changes = {}
    for kind in np.unique(kinds).tolist():
        own = kinds == kind
        changes[kind] = compare(before[own], after[own])
    return changes


def join(head_logits: Floats) -> Floats:
    """The joined logits [N] of heads' logits [N, H] on one scale: the log-sum-exp."""
    return np.logaddexp.reduce(head_logits, axis=1)
