"""The course of a distance over a training: how far it rose, and from where on that means a turn.

A distance is never quiet. What counts as a turn must stand out of its own unrest, which is large
where the generator is not averaged.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise

RISE = 1.08  # least rise over the best, both taken over two checks, that counts as a turn
# By so many deviations of a check must a rise exceed what the best and the worst of as many pairs
# of checks differ by chance.
UNREST = 0.5
# A distance is far out of its range at twice its best and twice as far up (on a log scale) as a
# turn.
FAR = 2.0
WANDER = 6  # triples of checks from which on their unrest over longer lags is believed
SMALLEST = 1e-12  # keeps logarithms and ratios finite

# The median of |x| of a normal variable over its standard deviation.
MEDIAN_TO_DEVIATION = 0.6745
# The standard deviation of b - (a + c) / 2 of three independent values over that of one of them.
OF_THREE = 1.5**0.5


class Course:
    """Distances in the order they were taken; an empty course has neither risen nor turned."""

    def __init__(self, distances: Sequence[float]) -> None:
        self.distances = distances

    @cached_property
    def rise(self) -> float:
        """The mean of the last two distances over the least mean of two neighbours."""
        if not self.distances:
            return 1.0
        means = smooth(self.distances)
        least = max(min(means), SMALLEST)
        return means[-1] / least

    @cached_property
    def turn(self) -> float:
        """The rise from which on the distance has turned upwards; infinite while that is unknown.

        By chance the best and the worst of n values lie two expected extremes of n normal draws
        apart (Blom, 1958). A mean of two deviates by 1/√2 of what one does.
        """
        if not self.distances:
            return math.inf
        unrest = _unrest(self.distances)
        if unrest == math.inf:
            return math.inf
        n = len(self.distances)
        quantile = (n - 0.375) / (n + 0.25)
        extreme = statistics.NormalDist().inv_cdf(quantile)
        extreme_of_means = extreme / 2**0.5
        deviations = 2 * extreme_of_means + UNREST
        by_chance = math.exp(deviations * unrest)
        return max(RISE, by_chance)

    def rose(self) -> bool:
        """The distance is above its best, whatever its unrest."""
        return self.rise > RISE

    def turned_upwards(self) -> bool:
        """The distance rose by more than its unrest explains."""
        return self.rise > self.turn

    def rose_far(self) -> bool:
        """The distance rose so far that no second sign is needed, in both of the last two checks.

        Twice the best alone does not prove it where unrest is large, nor does one outlier.
        """
        far = max(FAR, self.turn**2)
        if self.rise <= far:
            return False
        last_two = self.distances[-2:]
        lower_of_both = min(last_two) * self.rise
        return lower_of_both > self.turn * statistics.mean(last_two)


def smooth(values: Sequence[float]) -> list[float]:
    """Means over two neighbours, so that one noisy check decides nothing; the first stays alone."""
    means = [values[0]]
    for before, after in pairwise(values):
        means.append((before + after) / 2)
    return means


def _unrest(distances: Sequence[float]) -> float:
    """Standard deviation of a check's log distance around its course; infinite below three checks.

    The course at a check is the mean of the two checks beside it, so a steady fall or rise cancels.
    Checks two and three away count as well where there are enough of them: a distance may wander
    more than it trembles.
    """
    logs = [math.log(max(distance, SMALLEST)) for distance in distances]
    medians = []
    for lag in (1, 2, 3):
        offsets = []
        for before, middle, after in zip(logs, logs[lag:], logs[2 * lag :], strict=False):
            course = (before + after) / 2
            offsets.append(abs(middle - course))
        enough = 1 if lag == 1 else WANDER
        if len(offsets) >= enough:
            medians.append(statistics.median(offsets))
    if not medians:
        return math.inf
    return max(medians) / (MEDIAN_TO_DEVIATION * OF_THREE)
