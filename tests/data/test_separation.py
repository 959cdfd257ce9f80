"""The audit's model and its AUC, against values by hand and scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from fauxlab.data.separation import add_steps, auc_interval, fit_logistic, held_out_auc, weighted_auc


def test_auc_by_hand() -> None:
    # Fakes 3 and 1, reals 2 and 1: two pairs won, one lost, one tied. Counted twice, the fake 3 wins four of six.
    labels, scores = np.array([True, True, False, False]), np.array([3.0, 1, 2, 1])
    weights = np.array([[1.0, 1, 1, 1], [2, 1, 1, 1], [1, 0, 1, 0], [0, 0, 1, 1]])
    assert weighted_auc(labels, scores, weights)[:3].tolist() == [0.625, 4.5 / 6, 1]
    assert np.isnan(weighted_auc(labels, scores, weights)[3])


def test_auc_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    labels, scores = rng.random(200) < 0.4, rng.integers(0, 30, 200).astype(float)
    weights = rng.integers(0, 4, (5, 200)).astype(float)
    expected = [roc_auc_score(labels, scores, sample_weight=w) for w in weights]
    assert np.allclose(weighted_auc(labels, scores, weights), expected)


@pytest.mark.parametrize("ridge", [0.1, 10.0])
@pytest.mark.parametrize("gap", [0.5, 50.0])  # 50: the classes lie apart, and only the ridge bounds the weights
def test_logistic_is_scikit_learns(ridge: float, gap: float) -> None:
    rng = np.random.default_rng(1)
    labels = rng.random(120) < 0.3
    x = rng.normal(size=(120, 4)) + gap * labels[:, None] * np.array([1, 0, -0.5, 0])
    model = LogisticRegression(C=1 / ridge, tol=1e-10, max_iter=10_000).fit(x, labels)
    assert np.allclose(fit_logistic(x, labels, ridge), [*model.coef_[0], model.intercept_[0]], rtol=1e-3, atol=1e-4)


def test_one_exact_value_is_found_among_values_around_it() -> None:
    rng = np.random.default_rng(2)
    labels = np.arange(400) % 2 == 1
    side = np.where(labels, 512, 512 + rng.integers(1, 200, 400) * rng.choice([-1, 1], 400)).astype(float)[:, None]
    train, groups = np.arange(400) < 280, [str(i) for i in range(400)]
    plain, stepped = (held_out_auc(v, labels, train, groups) for v in (side, add_steps(side, train)))
    assert plain.value is not None
    assert stepped.low is not None
    assert plain.value < 0.65
    assert stepped.low > 0.99


def test_what_all_share_tells_nothing() -> None:
    labels, train = np.arange(100) % 2 == 1, np.arange(100) < 60
    found = held_out_auc(np.full((100, 3), 7.0), labels, train, [str(i) for i in range(100)])
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


def test_a_value_that_is_no_number_is_no_value_that_all_share() -> None:
    values = np.column_stack([np.arange(8.0), np.zeros(8)])
    values[3, 1] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        held_out_auc(values, np.arange(8) % 2 == 1, np.arange(8) < 4, [str(i) for i in range(8)])


def test_interval_needs_groups_and_both_classes() -> None:
    labels, scores = np.array([False, True] * 10), np.arange(20.0)
    assert auc_interval(labels, scores, ["a", "b"] * 10).low is None
    assert auc_interval(labels, scores, ["a", "b"] * 10).value == pytest.approx(0.55)
    assert auc_interval(np.ones(20, dtype=bool), scores, [*map(str, range(20))]).value is None
    videos = ["one video" if fake else str(k) for k, fake in enumerate(labels)]
    assert auc_interval(labels, scores, videos).low is None, "one group of fakes tells nothing of the next"
    whole = auc_interval(labels, labels * 1.0, [*map(str, range(20))])
    assert (whole.low, whole.value, whole.high) == (1, 1, 1)


def test_interval_draws_groups_not_images() -> None:
    # Every image ten times over: as groups of ten the interval is as wide as without the copies.
    rng = np.random.default_rng(3)
    labels = rng.random(60) < 0.5
    scores = rng.normal(size=60) + labels
    names = np.array([f"{i:02}" for i in range(60)])
    once = auc_interval(labels, scores, names.tolist())
    grouped = auc_interval(labels.repeat(10), scores.repeat(10), names.repeat(10).tolist())
    assert (grouped.low, grouped.high) == pytest.approx((once.low, once.high))
