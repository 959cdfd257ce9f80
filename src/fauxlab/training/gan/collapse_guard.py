"""The collapse guard: a few cheap signals of a GAN's health, assessed at every check.

It tells three failures apart:

- *discriminator winning*: the discriminator separates real from fake almost without error, and the
  generator gets worse
- *discriminator overfitting*: the discriminator knows its training images from held-out ones
  (Karras et al., 2020, r_v), so its gradient teaches the generator the wrong thing
- *collapsing*: the generator's images become alike, as their spread, their recall or the number of
  near-duplicates shows

A discriminator that separates well is not yet a failure: a healthy relativistic GAN on a small
training set shows one. So most alarms need a second sign, a distance that has turned upwards. This
may be the guard's own distance, which is cheap and often taken, or the evaluated one, which may see
what the guard's small feature network does not.

Four findings need no second sign. For three of them one check is enough ("plain"): images that
have become alike beyond doubt, images that become alike while recall falls, and a distance whose
last two checks lie far out of its range. The fourth takes patience: images that were mostly alike
from the first check on, because a young generator may still grow out of it.

`assess` is a pure function of the history; `Guard` remembers the history and decides on alarms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fauxlab.training.gan.distance_course import Course, smooth

HEALTHY, WINNING, OVERFITTING, COLLAPSING = (
    "healthy",
    "discriminator winning",
    "discriminator overfitting",
    "collapsing",
)

# The first checks are not assessed. An untrained generator's noise is widely spread and, to some
# feature networks, near the reals: nothing that comes after may be compared with it.
WARM_UP = 5

# Share of pairs (real, fake) that a winning discriminator puts in the right order.
SEPARATION = 0.97
# An overfitting discriminator separates at least so many.
OVERFIT_SEPARATION = 0.9
# r_v of an overfitting discriminator. It is 0 when held-out images score as training images do, and
# 1 when they score as fakes do.
OVERFIT = 0.5

# Spread counts as lost below this share of its greatest value so far, and as lost beyond doubt
# where it is also below half of the reals' spread.
LOST = 0.75
HALF_SPREAD = 0.5

# A share of near-duplicates above this is a collapse, whatever the distance does. It is that high
# because a young generator's faces are blurred: a fifth of them counts as near-duplicates while all
# goes well.
ALIKE = 0.5
# Near-duplicates have multiplied at this many times their lowest share so far. A few always occur.
MULTIPLIED = 2.0
A_FEW_DUPLICATES = 0.05

# Recall counts as fallen below RECALL_FELL of its best, once that best was above CERTAIN_RECALL.
# Trainings that went well stayed above .77; before `r3-32` without its penalties collapsed, recall
# was at .65 of its best while the distance was at its best. A lower best recall is uncertain: then
# recall must fall to UNCERTAIN_RECALL_FELL, and nothing is said below LEAST_RECALL.
CERTAIN_RECALL = 0.2
RECALL_FELL = 0.7
UNCERTAIN_RECALL_FELL = 0.5
LEAST_RECALL = 0.05


@dataclass(frozen=True)
class Signals:
    """One check's figures.

    Distance, spread, recall and near-duplicates are measured in the guard's own feature network,
    the rest on logits.
    """

    images: int
    distance: float
    spread: float  # mean pairwise feature distance of fakes over that of reals
    recall: float
    near_duplicates: float  # share of the fakes
    separation: float  # share of pairs (real, fake) that the discriminator puts in the right order
    overfit: float  # r_v
    real_sign: float  # mean sign of the logits of training images, -1 to 1
    fake_sign: float


@dataclass(frozen=True)
class Assessment:
    """A state and the figures that speak for it; `plain` where no second check is needed."""

    state: str
    reason: str
    plain: bool = False


@dataclass(frozen=True)
class Variety:
    """The last check's signs of variety, and the best ones since the start or a rollback."""

    now: Signals
    top_spread: float
    top_recall: float  # of two neighbouring checks
    fewest_duplicates: float  # of two neighbouring checks

    @classmethod
    def of(cls, history: Sequence[Signals]) -> Variety:
        """From the checks to compare with, the last of them included."""
        return cls(
            now=history[-1],
            top_spread=max(check.spread for check in history),
            top_recall=max(smooth([check.recall for check in history])),
            fewest_duplicates=min(smooth([check.near_duplicates for check in history])),
        )

    @property
    def recall_is_certain(self) -> bool:
        """Whether recall was once high enough for a fall to be believed."""
        return self.top_recall > CERTAIN_RECALL

    def lost_spread(self) -> bool:
        """The images differ less from one another than they once did."""
        return self.now.spread < LOST * self.top_spread

    def duplicates_multiplied(self) -> bool:
        """More images have a near-duplicate than before, and more than the few that always do."""
        bar = max(A_FEW_DUPLICATES, MULTIPLIED * self.fewest_duplicates)
        return self.now.near_duplicates > bar

    def fell_recall(self) -> bool:
        """The generator covers less of the reals than it once did."""
        if self.top_recall <= LEAST_RECALL:
            return False
        share = RECALL_FELL if self.recall_is_certain else UNCERTAIN_RECALL_FELL
        return self.now.recall < share * self.top_recall

    def mostly_alike(self) -> bool:
        """More than half of the images have a near-duplicate."""
        return self.now.near_duplicates > ALIKE

    def alike_beyond_doubt(self) -> bool:
        """Most images have become alike, or their spread has fallen below half of the reals'."""
        became_alike = self.mostly_alike() and self.duplicates_multiplied()
        return became_alike or self.now.spread < min(HALF_SPREAD, LOST * self.top_spread)

    def list_losses(self) -> list[str]:
        """The signs of lost variety, in words."""
        now = self.now
        losses = []
        if self.lost_spread():
            losses.append(
                f"spread fell from {self.top_spread:.2f}× to {now.spread:.2f}× the reals'"
            )
        if self.duplicates_multiplied():
            losses.append(f"near-duplicates rose to {now.near_duplicates:.0%} of the images")
        if self.fell_recall():
            losses.append(f"recall fell from {self.top_recall:.3f} to {now.recall:.3f}")
        return losses


def assess(
    history: Sequence[Signals], evaluations: Sequence[float] = (), since: int = 0
) -> Assessment:
    """Assess the last check against those before it, from the first after WARM_UP on.

    `evaluations` are the evaluated distances since WARM_UP. Variety is compared with what it was
    from `since` images on.
    """
    if len(history) <= WARM_UP:
        return Assessment(HEALTHY, f"warming up, check {len(history)} of {WARM_UP}")
    history = history[WARM_UP:]
    now = history[-1]
    own = Course([check.distance for check in history])
    evaluated = Course(evaluations)
    distances = _describe(own, evaluated)
    turned_upwards = own.turned_upwards() or evaluated.turned_upwards()
    rose_far = own.rose_far()
    variety = Variety.of([check for check in history if check.images >= since])
    losses = variety.list_losses()

    # Variety is lost: plainly, or in one sign while a distance has turned.
    plain = variety.alike_beyond_doubt() or _recall_and_more_fell(variety, losses, own)
    if plain or (losses and turned_upwards):
        return Assessment(COLLAPSING, f"{', '.join(losses)}; {distances}", plain or rose_far)

    # Alike since the first check: nothing was lost, so the generator may still grow out of it, and
    # the guard takes patience.
    if variety.mostly_alike():
        reason = f"{now.near_duplicates:.0%} of the images are near-duplicates"
        return Assessment(COLLAPSING, reason, rose_far)

    # Variety is kept: the discriminator may be at fault, if the generator has got worse.
    if turned_upwards and _overfits(now):
        reason = f"held-out reals score {now.overfit:.0%} of the way to fakes; {distances}"
        return Assessment(OVERFITTING, reason, rose_far)
    if turned_upwards and _wins(now):
        reason = f"{now.separation:.1%} of real and fake pairs told apart; {distances}"
        return Assessment(WINNING, reason, rose_far)

    # Whatever the reason, images this far from the reals are a failure.
    if rose_far:
        return Assessment(COLLAPSING, distances, plain=True)
    return Assessment(HEALTHY, distances)


def _recall_and_more_fell(variety: Variety, losses: list[str], own: Course) -> bool:
    """Recall, the steadiest sign, fell together with another one.

    This is a loss of variety before the distance shows it. An uncertain recall also needs a
    distance that rose.
    """
    if not variety.fell_recall() or len(losses) < 2:
        return False
    return variety.recall_is_certain or own.rose()


def _overfits(now: Signals) -> bool:
    return now.overfit > OVERFIT and now.separation > OVERFIT_SEPARATION


def _wins(now: Signals) -> bool:
    return now.separation > SEPARATION


def _describe(own: Course, evaluated: Course) -> str:
    """Both distances in words, with the bar of a turn where there is one."""
    words = f"distance {own.rise:.2f}× its best"
    if own.turn < math.inf:
        words += f" (a turn: {own.turn:.2f}×)"
    if evaluated.turn < math.inf:
        words += f", the evaluated one {evaluated.rise:.2f}× (a turn: {evaluated.turn:.2f}×)"
    return words


class Guard:
    """The history of checks and the alarms given; all of it goes into the checkpoint."""

    def __init__(self, patience: int, state: dict[str, Any] | None = None) -> None:
        self.patience = patience
        if state is None:
            state = {"history": [], "ill": 0, "alarms": 0}
        self.history = [Signals(**signals) for signals in state["history"]]
        # (images, distance); checkpoints from before evaluations counted have none.
        self.evaluations: list[tuple[int, float]] = []
        for images, distance in state.get("evaluations", []):
            self.evaluations.append((images, distance))
        self.ill: int = state["ill"]  # checks in a row that were not healthy
        self.alarmed: bool = state.get("alarmed", self.ill >= patience)
        self.recovering: bool = state.get("recovering", False)
        # Images at the last check before the state that training went back to.
        self.since: int = state.get("since", 0)
        self.alarms: int = state["alarms"]

    def check(self, signals: Signals) -> tuple[Assessment, bool]:
        """Take a check in; returns its assessment, and whether the guard alarms at it.

        The guard alarms once, when a check is plain or `patience` checks in a row are not healthy,
        and again only after a healthy one. After a rollback it always takes patience, until a
        healthy check: the state gone back to may be ill itself, and the gentler values need time.
        """
        self.history.append(signals)
        distances = [distance for _, distance in self.evaluations]
        assessment = assess(self.history, distances, self.since)

        if assessment.state == HEALTHY:
            self.ill = 0
            self.alarmed = False
            self.recovering = False
            return assessment, False

        self.ill += 1
        out_of_patience = self.ill >= self.patience
        plain = assessment.plain and not self.recovering
        alarm = not self.alarmed and (out_of_patience or plain)
        if alarm:
            self.alarmed = True
            self.alarms += 1
        return assessment, alarm

    def note_evaluation(self, images: int, distance: float) -> None:
        """Take an evaluated distance in for later checks; it is ignored during the WARM_UP."""
        if len(self.history) >= WARM_UP and math.isfinite(distance):
            self.evaluations.append((images, distance))

    def forget_after(self, images: int) -> None:
        """Drop the checks after a state that training went back to."""
        self.history = [signals for signals in self.history if signals.images <= images]
        self.evaluations = [pair for pair in self.evaluations if pair[0] <= images]
        self.ill = 0
        self.alarmed = False
        self.recovering = True
        self.since = 0
        if self.history:
            self.since = self.history[-1].images

    def state(self) -> dict[str, Any]:
        """What `__init__` takes back."""
        return {
            "history": [asdict(signals) for signals in self.history],
            "evaluations": [list(pair) for pair in self.evaluations],
            "ill": self.ill,
            "alarmed": self.alarmed,
            "recovering": self.recovering,
            "since": self.since,
            "alarms": self.alarms,
        }
