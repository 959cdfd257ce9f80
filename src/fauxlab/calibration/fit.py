"""From logits to probabilities: temperature and bias, and how well they fit.

Fitted on the manifest's calibration split, on which no weight was fitted and no checkpoint chosen.
Temperature and bias stretch and shift the logits, and so keep the order of the scores. Threshold
and band depend on this order only, so one split serves both (`fauxlab.calibration.points`).

Label 1 (fake) is the positive class; a score is P(fake).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fauxlab.bundle.config import MOST_BIAS, TEMPERATURES, Calibration
from fauxlab.calibration.counts import check_classes
from fauxlab.errors import LabError
from fauxlab.evaluation.metrics import ECE_BINS, score_bins
from fauxlab.statistics import fit_logistic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

RIDGE = 1e-8  # decides only where the pictures do not: all logits equal


class Bin(NamedTuple):
    """One bar of a reliability diagram: mean score, share of fakes, and number of pictures."""

    score: float
    share: float
    n: int


def fit_calibration(
    logits: Floats,
    labels: Integers,
    weights: Floats | None = None,
) -> Calibration:
    """Temperature and bias of P(fake) = sigmoid(logit / temperature + bias), by maximum likelihood.

    Logits, labels and weights (how many pictures each stands for, by default 1) are [N]. Each class
    weighs one half, so the prior is 0.5 whatever the split's. The temperature (Guo et al., 2017)
    stays within TEMPERATURES: logits with the wrong order get the highest. Raises LabError when a
    class is missing or a logit is not finite.
    """
    logits = np.asarray(logits, dtype=np.float64)
    labels = np.asarray(labels)
    _check_logits(logits, labels)
    if weights is None:
        weights = np.ones(len(labels))

    n_real = weights[labels == 0].sum()
    n_fake = weights[labels == 1].sum()
    targets = _smoothed_targets(labels, n_real, n_fake)
    class_sizes = np.where(labels == 1, n_fake, n_real)
    shares = weights / (2 * class_sizes)

    # Fitted to centred logits of unit spread: sums stay accurate whatever the network's scale.
    centre = float(shares @ logits)
    centred = logits - centre
    variance = shares @ centred**2
    spread = float(np.sqrt(variance)) or 1.0
    scaled = centred / spread
    slope, offset = _fit_slope(scaled, targets, shares, spread)

    # Back to the scale of the logits: slope · (logit - centre) / spread + offset.
    temperature = np.clip(spread / slope, *TEMPERATURES)
    bias = offset - slope * centre / spread
    bias = np.clip(bias, -MOST_BIAS, MOST_BIAS)
    return Calibration(temperature=float(temperature), bias=float(bias))


def log_loss(labels: Integers, logits: Floats, weights: Floats) -> float:
    """Mean of -ln P(label) for P(fake) = sigmoid(logits), all [N]; exact also near 0 and 1."""
    against = np.where(labels == 1, -logits, logits)
    losses = np.logaddexp(0, against)
    mean = weights @ losses / weights.sum()
    return float(mean)


def reliability(
    labels: Integers,
    scores: Floats,
    bins: int = ECE_BINS,
    weights: Floats | None = None,
) -> list[Bin]:
    """The bars of a reliability diagram, over equal-width bins of the scores [N]; no empty ones.

    Score and share are means with `weights` [N] (by default 1); counts are of pictures.
    """
    if weights is None:
        weights = np.ones(len(labels))
    bin_numbers = score_bins(scores, bins)
    bars = []
    for number in np.unique(bin_numbers):
        inside = bin_numbers == number
        bin_weights = weights[inside]
        score = np.average(scores[inside], weights=bin_weights)
        share = np.average(labels[inside], weights=bin_weights)
        n = inside.sum()
        bar = Bin(float(score), float(share), int(n))
        bars.append(bar)
    return bars


def _smoothed_targets(labels: Integers, n_real: float, n_fake: float) -> Floats:
    """Targets [N] as Platt (1999) has them: for n pictures, (n + 1)/(n + 2) and 1/(n + 2).

    With targets 1 and 0, classes that do not overlap would get scores of exactly 1 and 0.
    """
    real_target = 1 / (n_real + 2)
    fake_target = (n_fake + 1) / (n_fake + 2)
    return np.where(labels == 1, fake_target, real_target)


def _fit_slope(
    x: Floats,
    targets: Floats,
    shares: Floats,
    spread: float,
) -> tuple[float, float]:
    """Slope and offset of the best sigmoid(slope · x + offset), within the allowed temperatures.

    A slope of `spread` is a temperature of 1.
    """
    ones = np.ones_like(x)
    columns = np.stack([x, ones], axis=1)
    penalty = np.full(2, RIDGE)
    goal = np.array([spread, 0.0])
    coefficients = fit_logistic(
        columns,
        targets,
        penalty,
        weights=shares,
        goal=goal,
    )
    slope, offset = coefficients.tolist()
    coldest, hottest = TEMPERATURES
    flattest = spread / hottest
    steepest = spread / coldest
    allowed = float(np.clip(slope, flattest, steepest))
    if allowed == slope:
        return slope, offset
    # The loss is convex, so the best allowed slope lies on the bound; fit the offset again for it.
    column = ones[:, None]
    penalty = np.full(1, RIDGE)
    fixed = allowed * x
    coefficients = fit_logistic(
        column,
        targets,
        penalty,
        weights=shares,
        offset=fixed,
    )
    (offset,) = coefficients.tolist()
    return allowed, offset


def _check_logits(logits: Floats, labels: Integers) -> None:
    present = set()
    for label in np.unique(labels):
        present.add("fakes" if label else "reals")
    check_classes(present)
    if not np.isfinite(logits).all():
        raise LabError("the model gives no finite score for some pictures; train it again")
