"""Calibration against scikit-learn, order statistics by hand, and coverage over many simulated
draws.
"""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from fauxlab.calibration.fit import (
    conformal_band,
    fit_calibration,
    log_loss,
    reliability,
    threshold_at_fpr,
)
from fauxlab.errors import LabError


def draw(seed: int, n_real: int, n_fake: int, gap: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits of overlapping classes, off the scale and off the centre, with their labels."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], [n_real, n_fake])
    return 3 * (rng.standard_normal(n_real + n_fake) + gap * labels) - 7, labels


def logistic(logits: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Slope and offset by scikit-learn for soft targets: each picture once fake and once real."""
    model = LogisticRegression(C=1e12, tol=1e-10, max_iter=10_000)
    twice = np.concatenate([logits, logits])[:, None]
    answers = np.repeat([1, 0], len(logits))
    model.fit(
        twice, answers, sample_weight=np.concatenate([weights * targets, weights * (1 - targets)])
    )
    return float(model.coef_[0, 0]), float(model.intercept_[0])


@pytest.mark.parametrize(("seed", "n_real", "n_fake"), [(0, 30_000, 20_000), (1, 20_000, 60_000)])
def test_fit_equals_scikit_learns_logistic_regression(seed: int, n_real: int, n_fake: int) -> None:
    logits, labels = draw(seed, n_real, n_fake)
    fit = fit_calibration(logits, labels)
    model = LogisticRegression(C=1e12, class_weight="balanced", tol=1e-10, max_iter=10_000)
    model.fit(logits[:, None], labels)
    assert 1 / fit.temperature == pytest.approx(model.coef_[0, 0], abs=1e-3)
    assert fit.bias == pytest.approx(model.intercept_[0], abs=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_few_pictures_are_fitted_to_platts_targets(seed: int) -> None:
    logits, labels = draw(seed, 25, 60)
    weights = np.random.default_rng(seed).integers(1, 4, 85) + 0.0
    n = np.bincount(labels, weights)
    targets = np.where(labels == 1, (n[1] + 1) / (n[1] + 2), 1 / (n[0] + 2))
    slope, offset = logistic(logits, targets, weights / n[labels] * n.sum() / 2)
    fit = fit_calibration(logits, labels, weights)
    assert 1 / fit.temperature == pytest.approx(slope, abs=1e-3)
    assert fit.bias == pytest.approx(offset, abs=1e-3)


def test_separable_classes_are_as_sure_as_their_number_allows() -> None:
    # All at ±3: the best fit gives each class its target, sigmoid(3 / T) = (n + 1) / (n + 2), so 3
    # / T = ln(n + 1).
    for n in (1, 9, 1000):
        fit = fit_calibration(np.repeat([-3.0, 3.0], n), np.repeat([0, 1], n))
        assert 3 / fit.temperature == pytest.approx(np.log(n + 1), rel=1e-5)
        assert fit.bias == pytest.approx(0, abs=1e-6)


def test_prior_is_one_half_and_a_shift_is_undone() -> None:
    logits, labels = draw(3, 4000, 4000)
    few = np.append(np.arange(4000), np.arange(4000, 8000, 4))
    fit, fewer = fit_calibration(logits, labels), fit_calibration(logits[few], labels[few])
    assert fewer.bias == pytest.approx(fit.bias, abs=0.1), (
        "a quarter of the fakes would shift it by ln 4"
    )
    # Normal classes of deviation 3, means -7 and -1: the log odds are (x + 4) · 6 / 9, so T = 1.5
    # and bias 8/3.
    assert fit.temperature == pytest.approx(1.5, abs=0.06)
    assert fit.bias == pytest.approx(8 / 3, abs=0.1)
    shifted = fit_calibration(logits + 50, labels)
    assert shifted.temperature == pytest.approx(fit.temperature, rel=1e-6)
    assert shifted.bias == pytest.approx(fit.bias - 50 / fit.temperature, abs=1e-4)


@pytest.mark.parametrize(
    ("logits", "temperature"),
    [([1.0, 1.0, -1.0, -1.0], 100), ([2.0, 2.0, 2.0, 2.0], 1), ([-1e-5, -1e-5, 1e-5, 1e-5], 0.01)],
    ids=["the wrong way round", "all equal", "tiny"],
)
def test_temperature_is_bounded(logits: list[float], temperature: float) -> None:
    fit = fit_calibration(np.array(logits), np.array([0, 0, 1, 1]))
    assert fit.temperature == pytest.approx(temperature, rel=1e-3)
    mean = np.mean(np.array(logits) / fit.temperature + fit.bias)
    assert mean == pytest.approx(0, abs=1e-4), "without evidence the prior is left"


def test_pictures_of_a_class_that_share_a_group_count_as_one() -> None:
    logits, labels = draw(4, 50, 50)
    groups = [str(i % 50) for i in range(100)]  # each of a real and a fake
    alone = fit_calibration(logits, labels)
    assert fit_calibration(logits, labels, groups=groups) == alone
    copies = np.append(np.arange(100), [0, 0, 99])
    tied = fit_calibration(logits[copies], labels[copies], groups=[groups[i] for i in copies])
    assert (tied.temperature, tied.bias) == pytest.approx((alone.temperature, alone.bias), rel=1e-6)


def test_what_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(LabError, match="no fakes to calibrate on"):
        fit_calibration(np.zeros(3), np.zeros(3, dtype=int))
    with pytest.raises(LabError, match="no finite score"):
        fit_calibration(np.array([0, np.nan]), np.array([0, 1]))


def test_threshold_by_hand() -> None:
    scores = np.arange(1, 40) / 100  # .01 to .39
    # 39 reals: .05 · 40 = 2, so one may lie above: the threshold is just past the second highest,
    # .38.
    threshold = threshold_at_fpr(scores, 0.05, ["a"] * 39)
    assert threshold == np.nextafter(0.38, 1)
    # 38 reals: .05 · 39 < 2, none may.
    assert threshold_at_fpr(scores[:38], 0.05, ["a"] * 38) == np.nextafter(0.38, 1)
    assert threshold_at_fpr(scores[:19], 0.05, ["a"] * 19) == np.nextafter(0.19, 1)
    with pytest.raises(LabError, match=r"18 group\(s\) of real source 'a' .* takes 19"):
        threshold_at_fpr(scores[:18], 0.05, ["a"] * 18)
    # Equal scores fall on one side together.
    assert threshold_at_fpr(np.repeat([0.2, 0.6], [36, 3]), 0.05, ["a"] * 39) == np.nextafter(
        0.6, 1
    )


def test_worst_source_decides() -> None:
    scores = np.concatenate([np.linspace(0, 0.3, 1000), np.linspace(0.5, 0.9, 20)])
    sources = ["many"] * 1000 + ["few"] * 20
    threshold = threshold_at_fpr(scores, 0.05, sources)
    assert threshold == np.nextafter(0.9, 1)
    assert threshold_at_fpr(scores, 0.05, ["one"] * 1020) < 0.7, (
        "pooled, the few would all be called fake"
    )


def test_pictures_of_a_group_share_one_vote() -> None:
    alone = np.random.default_rng(0).random(39)
    copies, ids = np.repeat(alone, 7), [str(i // 7) for i in range(39 * 7)]
    assert threshold_at_fpr(copies, 0.05, ["a"] * 273, ids) == threshold_at_fpr(
        alone, 0.05, ["a"] * 39
    )
    with pytest.raises(LabError, match=r"7 group\(s\)"):
        threshold_at_fpr(copies[:49], 0.05, ["a"] * 49, ids[:49])


@pytest.mark.parametrize("rate", [0.0, 1.0, -1, float("nan")])
def test_rates_are_shares(rate: float) -> None:
    with pytest.raises(LabError, match="between 0 and 1"):
        threshold_at_fpr(np.zeros(50), rate, ["a"] * 50)
    with pytest.raises(LabError, match="between 0 and 1"):
        conformal_band(np.arange(50) % 2, np.zeros(50), rate)


def test_reals_at_the_end_of_the_scale_leave_no_threshold() -> None:
    with pytest.raises(LabError, match="highest score there is"):
        threshold_at_fpr(np.ones(30), 0.05, ["a"] * 30)


def test_threshold_keeps_its_rate_on_new_reals() -> None:
    # The second highest of 39 uniform scores: a new one lies above it with probability 2/40,
    # exactly.
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(20_000):
        scores = rng.random(40)
        alarms += scores[39] >= threshold_at_fpr(scores[:39], 0.05, ["a"] * 39)
    assert alarms / 20_000 == pytest.approx(0.05, abs=3 * (0.05 * 0.95 / 20_000) ** 0.5)


def test_band_by_hand() -> None:
    # 9 of each at .1: one may lie outside. Fakes .2 to 1 without the lowest: from .2 on; reals up
    # to .9: past .8 …
    reals, fakes = np.arange(1, 10) / 10, np.arange(2, 11) / 10
    labels = np.repeat([0, 1], 9)
    assert conformal_band(labels, np.concatenate([reals, fakes]), 0.1) == (
        0.2,
        np.nextafter(0.9, 1),
    )
    # … at .2 two may: fakes from .3, reals up to .8.
    assert conformal_band(labels, np.concatenate([reals, fakes]), 0.2) == (
        0.3,
        np.nextafter(0.8, 1),
    )
    with pytest.raises(LabError, match=r"8 group\(s\) of fakes .* takes 9"):
        conformal_band(labels[:17], np.concatenate([reals, fakes[:8]]), 0.1)


@pytest.mark.parametrize("gap", [0.5, 2.0, 4.0], ids=["hard", "usual", "nearly separable"])
def test_each_class_is_covered(gap: float) -> None:
    alpha, draws = 0.1, 2000
    missed = np.zeros(2)
    for seed in range(draws):
        logits, labels = draw(seed, 61, 35, gap)
        scores, fresh = 1 / (1 + np.exp(-logits / 9)), np.array([60, 95])
        known = np.delete(np.arange(96), fresh)
        low, high = conformal_band(labels[known], scores[known], alpha)
        missed += [scores[60] >= high, scores[95] < low]
    assert (missed / draws <= alpha + 3 * (alpha * (1 - alpha) / draws) ** 0.5).all()
    if gap < 4:  # exact where classes overlap: 6 of 61 and 3 of 35
        assert missed / draws == pytest.approx([6 / 61, 3 / 35], abs=3 * (0.09 / draws) ** 0.5)


def test_band_empties_when_classes_separate() -> None:
    labels = np.repeat([0, 1], 50)
    scores = np.concatenate([np.linspace(0, 0.2, 50), np.linspace(0.7, 1, 50)])
    low, high = conformal_band(labels, scores, 0.1)
    assert (low, high) == (np.nextafter(0.2, 1), 0.7), (
        "what looks like neither class stays uncertain"
    )
    assert not ((scores >= low) & (scores < high)).any()
    # With 2 of 50 on the wrong side, the classes part at 3/51 < alpha: again nothing is left
    # between.
    scores[[48, 49]], scores[[50, 51]] = [0.8, 0.9], [0.05, 0.1]
    low, high = conformal_band(labels, scores, 0.1)
    assert not ((scores >= low) & (scores < high)).any()
    assert (scores[labels == 1] < low).sum() == (scores[labels == 0] >= high).sum() == 2


def test_reliability_by_hand() -> None:
    labels, scores = np.array([0, 1, 1, 1, 0]), np.array([0.1, 0.2, 0.9, 1.0, 0.0])
    assert reliability(labels, scores, bins=2) == [
        (pytest.approx(0.1), pytest.approx(1 / 3), 3),
        (pytest.approx(0.95), 1, 2),
    ]
    weighted = reliability(labels, scores, bins=2, weights=np.array([2.0, 1, 1, 3, 0]))
    assert weighted == [
        (pytest.approx(0.4 / 3), pytest.approx(1 / 3), 3),
        (pytest.approx(0.975), 1, 2),
    ]


def test_log_loss_by_hand() -> None:
    labels, ones = np.array([0, 1]), np.ones(2)
    assert log_loss(labels, np.zeros(2), ones) == pytest.approx(np.log(2))
    assert log_loss(labels, np.log([1 / 3, 3.0]), ones) == pytest.approx(np.log(4 / 3))
    assert log_loss(labels, np.array([1000.0, 1000.0]), ones) == pytest.approx(500)
