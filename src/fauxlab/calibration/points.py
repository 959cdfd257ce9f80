"""The scores from which on a detector says real, uncertain or fake, at a stated false-alarm rate.

A score is called fake from the threshold on: at most the stated rate of the real photos of a
further kind can be expected to reach it. It is called real below the low end of the uncertain band,
where few of the known fakes lie. Between the two it is uncertain.

How well this holds is measured by leaving kinds out. Each kind of real photos gets verdicts by
limits that were fitted without it. A kind that the detector was trained on is still easier than a
new one. So detectors that were trained without the kind can score it instead.

All limits are on the logits, whose order is that of the scores.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fauxlab.bundle.config import LeftOut, OperatingPoint
from fauxlab.bundle.decision import compute_scores
from fauxlab.calibration.counts import groups_needed
from fauxlab.calibration.kinds import Kinds, bound_for_next_kind, bound_on_average
from fauxlab.errors import LabError

if TYPE_CHECKING:
    from fauxlab.bundle.config import DetectorConfig

# The most real photos of kinds that were left out which may be uncertain, as a share.
MOST_UNCERTAIN = 0.15
# Of the fakes, that may be called real for the sake of this: of a detector that cannot tell, more
# reals must stay uncertain.
MOST_MISSED = 0.5
# How the rate falls that limits are fitted for, until kinds that are left out keep the stated one.
STEP = 0.8
MOST_STEPS = 10
LARGEST_SHARE = 0.999  # that a stated rate may be


class Limits(NamedTuple):
    """Where the band begins and where it ends, in logits."""

    low: float
    threshold: float


@dataclass(frozen=True)
class Reals:
    """The logits of real photos: of kinds that the detector knows, and of kinds left out.

    `unseen` are by detectors that were trained without the kind, on the scale of this one; None
    where there are none.
    """

    known: Kinds
    unseen: Kinds | None = None

    @property
    def strangest(self) -> Kinds:
        """The reals that come nearest to photos of a new kind."""
        return self.unseen or self.known

    def without(self, name: str) -> Reals | None:
        """The other kinds; None where no known ones are left."""
        known = self.known.without(name)
        if known is None:
            return None
        return Reals(known, self.unseen and self.unseen.without(name))


def fit_point(
    config: DetectorConfig,
    reals: Reals,
    fakes: Kinds,
    rate: float,
    alpha: float,
) -> OperatingPoint:
    """Threshold and uncertain band at a false-alarm rate, as scores of a config.

    At most `alpha` of the fakes lie below the band, each generator counted alike, unless more than
    MOST_UNCERTAIN of the reals would then be uncertain. Then it is more of the fakes, up to
    MOST_MISSED; the point has the share that it came to.
    Raises LabError where there are too few groups, or where the reals get the highest score.
    """
    level = find_level(reals, fakes, rate, alpha)
    limits = fit_limits(reals, fakes, level, alpha)
    logits = np.array([limits.low, limits.threshold])
    low, threshold = compute_scores(config, logits).tolist()
    # Two logits can have one score: a real just below the threshold must not reach it.
    threshold = float(np.nextafter(threshold, np.inf))
    if threshold >= 1:
        raise LabError(
            f"more than {rate:g} of the reals get the highest score there is, and no threshold "
            "spares them; ask for a higher rate (--rate), or train the model on more of them"
        )
    below = fakes.values < limits.low
    n_below = fakes.share(below) * fakes.n_groups
    # As of a bound: one more for the next picture.
    missed = (n_below + 1) / (fakes.n_groups + 1)
    real_alpha = max(alpha, missed)
    return OperatingPoint(
        rate=rate,
        threshold=threshold,
        low=min(low, threshold),
        high=threshold,
        alpha=min(real_alpha, LARGEST_SHARE),
        left_out=leave_kinds_out(reals, fakes, level, alpha),
    )


def find_level(
    reals: Reals,
    fakes: Kinds,
    rate: float,
    alpha: float,
) -> float:
    """The rate to fit limits for, so that kinds left out keep `rate` on average.

    It is `rate`, or lower: limits that are fitted without a kind do not know how high this kind's
    scores are. Where the pictures are too few, it is the lowest that they allow.
    """
    level = rate
    for _ in range(MOST_STEPS):
        lower = STEP * level
        left_out = leave_kinds_out(reals, fakes, level, alpha)
        is_kept = left_out is None or left_out.mean_called_fake <= rate
        if is_kept or reals.known.n_groups < groups_needed(lower):
            break
        level = lower
    return level


def fit_limits(
    reals: Reals,
    fakes: Kinds,
    rate: float,
    alpha: float,
) -> Limits:
    """Threshold and low end of the band; arguments and errors as of `fit_point`."""
    threshold = bound_for_next_kind(reals.known, rate)
    if reals.unseen is not None:
        threshold = max(threshold, _bound_of_unseen(reals.unseen, rate))
    low = _bound_below(fakes, alpha)
    most_missed = max(alpha, MOST_MISSED)
    narrowest = _bound_below(fakes, most_missed)
    allowed = _lowest_allowed(reals.strangest, threshold)
    capped = min(allowed, narrowest)
    low = max(low, capped)
    low = min(low, threshold)
    return Limits(low, threshold)


def leave_kinds_out(
    reals: Reals,
    fakes: Kinds,
    rate: float,
    alpha: float,
) -> LeftOut | None:
    """The verdicts on each kind of reals by limits that were fitted without the kind.

    None where the kinds that are left have too few groups for the rate.
    """
    called_fake = {}
    uncertain = {}
    for name in reals.strangest.names:
        others = reals.without(name)
        if others is None or others.known.n_groups < groups_needed(rate):
            return None
        low, threshold = fit_limits(others, fakes, rate, alpha)
        own = reals.strangest.only(name)
        is_fake = own.values >= threshold
        is_above = own.values >= low
        is_uncertain = is_above & ~is_fake
        called_fake[name] = own.share(is_fake)
        uncertain[name] = own.share(is_uncertain)
    return LeftOut(
        of="calibration" if reals.unseen is None else "training",
        called_fake=called_fake,
        uncertain=uncertain,
    )


def to_scale(values: Kinds, theirs: Kinds, ours: Kinds) -> Kinds:
    """Logits of another detector on the scale of ours.

    `theirs` and `ours` are the logits of both detectors on the same reals, which both know. Their
    means and deviations are made equal.
    """
    their_mean, their_deviation = theirs.scale()
    our_mean, our_deviation = ours.scale()
    stretch = our_deviation / their_deviation if their_deviation else 1.0
    moved = (values.values - their_mean) * stretch + our_mean
    return replace(values, values=moved)


def _bound_of_unseen(unseen: Kinds, rate: float) -> float:
    """The bound of kinds left out, at the lowest rate that they allow where they are few."""
    if unseen.n_groups < groups_needed(rate):
        highest = unseen.values.max()
        return float(np.nextafter(highest, np.inf))
    return bound_on_average(unseen, rate)


def _bound_below(fakes: Kinds, rate: float) -> float:
    """The highest logit that at most `rate` of new fakes lie below, on average over generators."""
    # The lower tail of the fakes is the upper tail of their negatives. A fake exactly at the bound
    # does not lie below it: undo the step that the bound took.
    mirrored = replace(fakes, values=-fakes.values)
    bound = bound_on_average(mirrored, rate, "fakes")
    return -float(np.nextafter(bound, -np.inf))


def _lowest_allowed(reals: Kinds, threshold: float) -> float:
    """The lowest logit at which a band may begin: few enough reals lie in the band."""
    above = reals.share(reals.values >= threshold)
    allowed = above + MOST_UNCERTAIN
    if allowed >= 1 or reals.n_groups < groups_needed(allowed):
        return -np.inf
    return bound_on_average(reals, allowed)
