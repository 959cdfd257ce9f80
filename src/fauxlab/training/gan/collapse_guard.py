"""The collapse guard: a few cheap signals of a GAN's health, judged check by check.

The three ways of failing that it tells apart:

- *discriminator winning*: it separates real from fake almost without error, and the generator gets
  worse
- *discriminator overfitting*: it knows its training images from held-out ones (Karras et al., 2020,
  r_v), so that its gradient teaches the generator the wrong thing
- *collapsing*: the generator's images become alike (their spread, recall or number of
  near-duplicates says so)

A large discriminator margin alone is not a failure: a healthy relativistic pair with a small
training set shows one. So most alarms also need a distance to have turned upwards: the guard's own,
which is cheap and often taken, or the evaluated one, which may see what the guard's small network
does not. Images that are alike beyond doubt need none, nor do those that grow alike while recall,
the steadiest signal, falls: variety is then lost before the distance says so. A distance that rose
far out of its range needs nothing else. Such evidence is plain, and one look is enough.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

HEALTHY, WINNING, OVERFITTING, COLLAPSING = (
    "healthy",
    "discriminator winning",
    "discriminator overfitting",
    "collapsing",
)
# Checks before the first judgement. An untrained generator's noise is widely spread and, to some
# feature networks, near: nothing that comes after may be held against it.
WARM_UP = 5
RISE = 1.08  # of the distance over its best, both taken over two checks, that counts as a turn
# A turn must also stand out of the distance's own unrest, which is large where the generator is not
# averaged: by so many deviations of a check more than the best and the worst of as many pairs of
# checks lie apart by chance.
UNREST = 0.5
# and twice as far up as a turn, each of the two checks past it: such a rise needs no second signal
FAR = 2.0
WANDER = 6  # triples of checks from which on their unrest at a distance is believed
SEPARATION = 0.97  # share of pairs (real, fake) that the discriminator puts in the right order
# r_v: 0 when held-out images score as training images do, 1 when they score as fakes do
OVERFIT = 0.5
LOST = 0.75  # of the greatest spread so far, when diversity counts as falling
# Share of near-duplicates that is a collapse whatever else; so is less than half the reals' spread.
# A young generator's faces are blurred and so near each other that a fifth counts as
# near-duplicates while all goes well.
ALIKE = 0.5
MULTIPLIED = 2.0  # near-duplicates over their lowest share so far, when diversity counts as falling
# Recall, once it was as high as this, counts as fallen at such a share of its best. Training that
# went well kept it above .77 of that; before `r3-32` without its penalties collapsed, it was at .65
# while the distance was at its best. A lower recall is too uncertain: of that it takes half, and a
# rise of the distance besides.
SEEN, FELL = 0.2, 0.7


@dataclass(frozen=True)
class Signals:
    """One check. Distance and the next three are measured in the guard's own feature network, the
    rest on logits.
    """

    images: int
    distance: float
    spread: float  # mean pairwise feature distance of fakes over that of reals
    recall: float
    near_duplicates: float
    separation: float
    overfit: float
    real_sign: float  # mean sign of the logits of training images, -1 to 1
    fake_sign: float


@dataclass(frozen=True)
class Assessment:
    """A state and the figures that speak for it; `plain` where no second look is needed."""

    state: str
    evidence: str
    plain: bool = False


def assess(
    history: Sequence[Signals], evaluations: Sequence[float] = (), since: int = 0
) -> Assessment:
    """Judge the last check against those before it, from the first after WARM_UP on.

    `evaluations` are the evaluated distances since then. Variety is held against what it was from
    `since` images on.
    """
    if len(history) <= WARM_UP:
        return Assessment(HEALTHY, f"warming up, check {len(history)} of {WARM_UP}")
    history = history[WARM_UP:]
    now = history[-1]
    distances = [s.distance for s in history]
    rise, turn = _turn(distances)
    evaluated, its_turn = _turn(evaluations)
    since_then = [s for s in history if s.images >= since]
    spread, top_spread = now.spread, max(s.spread for s in since_then)
    recall, top_recall = now.recall, max(_smooth([s.recall for s in since_then]))
    turned = f"distance {rise:.2f}× its best" + (
        f" (a turn: {turn:.2f}×)" if turn < math.inf else ""
    )
    turned += (
        f", the evaluated one {evaluated:.2f}× (a turn: {its_turn:.2f}×)"
        if its_turn < math.inf
        else ""
    )
    grew_alike = now.near_duplicates > max(
        0.05, MULTIPLIED * min(_smooth([s.near_duplicates for s in since_then]))
    )
    lost = []  # signs of lost variety
    if spread < LOST * top_spread:
        lost.append(f"spread fell from {top_spread:.2f}× to {spread:.2f}× the reals'")
    if grew_alike:
        lost.append(f"near-duplicates rose to {now.near_duplicates:.0%} of the images")
    seen = top_recall > SEEN
    if fell := top_recall > 0.05 and recall < (FELL if seen else 0.5) * top_recall:
        lost.append(f"recall fell from {top_recall:.3f} to {recall:.3f}")
    alike = now.near_duplicates > ALIKE
    plain = (alike and grew_alike) or spread < min(0.5, LOST * top_spread)
    plain = plain or (fell and len(lost) > 1 and (seen or rise > RISE))
    far = rise > max(FAR, turn**2) and min(distances[-2:]) * rise > turn * statistics.mean(
        distances[-2:]
    )
    upwards = rise > turn or evaluated > its_turn
    if plain or (lost and upwards):
        return Assessment(COLLAPSING, f"{', '.join(lost)}; {turned}", plain or far)
    if alike:  # from the first look on is no turn: a generator may still grow out of it
        return Assessment(
            COLLAPSING, f"{now.near_duplicates:.0%} of the images are near-duplicates", far
        )
    if upwards and now.overfit > OVERFIT and now.separation > 0.9:
        return Assessment(
            OVERFITTING,
            f"held-out reals score {now.overfit:.0%} of the way to fakes; {turned}",
            far,
        )
    if upwards and now.separation > SEPARATION:
        return Assessment(
            WINNING, f"{now.separation:.1%} of real and fake pairs told apart; {turned}", far
        )
    if far:
        return Assessment(COLLAPSING, turned, plain=True)
    return Assessment(HEALTHY, turned)


class Guard:
    """The history of checks and of what was made of them; everything in it goes into the
    checkpoint.
    """

    def __init__(self, patience: int, state: dict[str, Any] | None = None) -> None:
        self.patience = patience
        state = {"history": [], "ill": 0, "alarms": 0} if state is None else state
        self.evaluations: list[tuple[int, float]] = [
            (n, d) for n, d in state.get("evaluations", [])
        ]
        self.history = [Signals(**signals) for signals in state["history"]]
        self.ill: int = state["ill"]
        self.alarmed: bool = state.get("alarmed", self.ill >= patience)
        self.recovering: bool = state.get("recovering", False)
        # images at the last look before the state gone back to
        self.since: int = state.get("since", 0)
        self.alarms: int = state["alarms"]

    def check(self, signals: Signals) -> tuple[Assessment, bool]:
        """Take a check in; the second answer tells whether this is the check at which the guard
        alarms.

        It alarms once when a check's evidence is plain or `patience` checks in a row are not
        healthy, and again only after a healthy one. After a rollback, until a healthy check, it
        takes patience: the state gone back to may be ill itself, and what was changed needs time to
        tell. Its variety is what counts as lost or not from then on.
        """
        self.history.append(signals)
        assessment = assess(
            self.history, [distance for _, distance in self.evaluations], self.since
        )
        self.ill = 0 if assessment.state == HEALTHY else self.ill + 1
        alarm = not self.alarmed and (
            self.ill >= self.patience or (assessment.plain and not self.recovering)
        )
        self.alarmed = self.ill > 0 and (alarm or self.alarmed)
        self.recovering = self.recovering and self.ill > 0
        self.alarms += alarm
        return assessment, alarm

    def note_evaluation(self, images: int, distance: float) -> None:
        """Take an evaluated distance in for the checks to come; before WARM_UP checks it is passed
        over.
        """
        if len(self.history) >= WARM_UP and math.isfinite(distance):
            self.evaluations.append((images, distance))

    def forget_after(self, images: int) -> None:
        """Drop the checks after a state that training went back to."""
        self.history = [signals for signals in self.history if signals.images <= images]
        self.evaluations = [(at, distance) for at, distance in self.evaluations if at <= images]
        self.ill, self.alarmed, self.recovering = 0, False, True
        # the last look at what was gone back to
        self.since = self.history[-1].images if self.history else 0

    def state(self) -> dict[str, Any]:
        """What `__init__` takes back."""
        history, evaluations = (
            [asdict(s) for s in self.history],
            [list(pair) for pair in self.evaluations],
        )
        counts = {"ill": self.ill, "alarmed": self.alarmed, "recovering": self.recovering}
        counts |= {"since": self.since, "alarms": self.alarms}
        return {"history": history, "evaluations": evaluations, **counts}


def _turn(distances: Sequence[float]) -> tuple[float, float]:
    """How far the last two distances lie over the best two neighbours, and from where on that is a
    turn upwards.
    """
    if not distances:
        return 1.0, math.inf
    means, unrest = _smooth(distances), _unrest(distances)
    # The expected extreme of n normal draws (Blom, 1958); a mean of two deviates by 1/√2 of what
    # one does.
    n = len(distances)
    extreme = statistics.NormalDist().inv_cdf((n - 0.375) / (n + 0.25)) / 2**0.5
    turn = math.exp((2 * extreme + UNREST) * unrest) if unrest < math.inf else math.inf
    return means[-1] / max(min(means), 1e-12), max(RISE, turn)


def _unrest(distances: Sequence[float]) -> float:
    """Standard deviation of one check's log distance around its course; unknown, infinite, below
    three checks.

    From the median distance of a check to the mean of the two beside it, in which a steady fall or
    rise cancels. Also of those two and three checks away, where there are enough to tell: a
    distance may wander more than it trembles.
    """
    logs = [math.log(max(distance, 1e-12)) for distance in distances]
    found = []
    for lag in (1, 2, 3):
        offsets = [
            abs(b - (a + c) / 2) for a, b, c in zip(logs, logs[lag:], logs[2 * lag :], strict=False)
        ]
        if len(offsets) >= (1 if lag == 1 else WANDER):
            found.append(statistics.median(offsets))
    return max(found) / (0.6745 * 1.5**0.5) if found else math.inf


def _smooth(values: Sequence[float]) -> list[float]:
    """Means over two neighbours, so that one noisy check decides nothing."""
    return [(a + b) / 2 for a, b in zip([values[0], *values], values, strict=False)]
