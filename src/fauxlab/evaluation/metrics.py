"""Figures of labels and scores: calibration error, accuracy, F1.

Label 1 (fake) is the positive class; a score is P(fake). Weights are [R, N], a row for each
bootstrap replicate (see `fauxlab.statistics`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Bools = NDArray[np.bool_]

ECE_BINS = 15


def expected_calibration_error(labels: Integers, scores: Floats, weights: Floats) -> Floats:
    """Mean gap between score and share of fakes over equal-width bins [R] (Guo et al., 2017).

    Each bin counts by the weight of its pictures. Chance alone makes some error: `expected_ece`
    says how much. A calibrated score is P(fake) where both classes are equally frequent, so measure
    it with `balanced` weights.
    """
    bins = score_bins(scores, ECE_BINS)
    gaps = np.zeros(len(weights))
    for number in np.unique(bins):
        inside = bins == number
        excess = labels[inside] - scores[inside]
        total_excess = weights[:, inside] @ excess
        gaps += np.abs(total_excess)
    return gaps / weights.sum(axis=1)


def score_bins(scores: Floats, bins: int) -> Integers:
    """The number [N] of each score's bin; the last bin also holds the score 1."""
    numbers = (scores * bins).astype(int)
    return np.minimum(numbers, bins - 1)


def expected_ece(labels: Integers, scores: Floats, seed: int = 0, draws: int = 200) -> float | None:
    """The calibration error that chance would give these scores [N] if they were right.

    It is the mean error, with `balanced` weights, of sets with as many reals and as many fakes. If
    the scores are right, a fake has a given score with a chance in proportion to the score, and a
    real in proportion to 1 - score. None where a class is missing.
    """
    real_chances = balanced(labels) * (1 - scores)
    fake_chances = balanced(labels) * scores
    real_total = real_chances.sum()
    fake_total = fake_chances.sum()
    can_draw = real_total > 0 and fake_total > 0
    classes = np.unique(labels)
    if not can_draw or len(classes) < 2:
        return None
    rng = np.random.default_rng(seed)
    n = len(scores)
    n_real, n_fake = np.bincount(labels)
    real_chances = real_chances / real_total
    fake_chances = fake_chances / fake_total
    drawn_labels = np.repeat([0, 1], [n_real, n_fake])
    weights = balanced(drawn_labels)[None]
    errors = []
    for _ in range(draws):
        reals = rng.choice(n, n_real, p=real_chances)
        fakes = rng.choice(n, n_fake, p=fake_chances)
        drawn = np.concatenate([reals, fakes])
        error = expected_calibration_error(drawn_labels, scores[drawn], weights)
        errors.append(error[0])
    return float(np.mean(errors))


def balanced(labels: Integers) -> Floats:
    """Weights [N] that give each class one half of the total; a class alone gets all of it."""
    sizes = np.bincount(labels, minlength=2)
    return 1 / sizes[labels]


def confusion_counts(labels: Integers, called_fake: Bools, weights: Floats) -> Floats:
    """Weighted counts [R, 4]: real as real, real as fake, fake as real, fake as fake."""
    cell = labels * 2 + called_fake
    counts = []
    for number in range(4):
        inside = cell == number
        count = weights[:, inside].sum(axis=1)
        counts.append(count)
    return np.stack(counts, axis=1)


def accuracy(cells: Floats) -> Floats:
    """Share of right calls [R] from counts [R, 4]."""
    tn, _, _, tp = cells.T
    right = tn + tp
    total = cells.sum(axis=1)
    return right / total


def macro_f1(cells: Floats) -> Floats:
    """Mean F1 score of real and fake [R] from counts [R, 4]; NaN where a class is missing."""
    tn, fp, fn, tp = cells.T
    with np.errstate(invalid="ignore"):
        fake_f1 = 2 * tp / (2 * tp + fp + fn)
        real_f1 = 2 * tn / (2 * tn + fp + fn)
    mean_f1 = (fake_f1 + real_f1) / 2
    has_reals = tn + fp > 0
    has_fakes = fn + tp > 0
    has_both = has_reals & has_fakes
    return np.where(has_both, mean_f1, np.nan)
