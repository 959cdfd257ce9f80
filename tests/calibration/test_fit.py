"""Probabilities against scikit-learn, and their figures by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from fauxlab.calibration.fit import (
    fit_calibration,
    log_loss,
    reliability,
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


def test_what_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(LabError, match="no fakes to calibrate on"):
        fit_calibration(np.zeros(3), np.zeros(3, dtype=int))
    with pytest.raises(LabError, match="no finite score"):
        fit_calibration(np.array([0, np.nan]), np.array([0, 1]))


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
