"""Rankings against scikit-learn and against sums done by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from fauxlab.statistics import (
    Counts,
    auc,
    auc_between,
    auc_interval,
    average_precision,
    eer,
    fit_logistic,
    tpr_at_fpr,
)


@given(st.integers(0, 2**32 - 1), st.integers(4, 200), st.sampled_from([2, 10, 1000]))
@settings(max_examples=100, deadline=None)
def test_ranking_metrics_equal_scikit_learn(seed: int, n: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.append(rng.integers(0, 2, n), [0, 1])
    scores = np.round(rng.random(n + 2) * levels) / levels  # few levels make ties
    weights = rng.integers(0, 4, n + 2) + 0.0
    weights[-2:] = 1
    for w in (np.ones(n + 2), weights):
        counts = Counts.of(labels, scores, w[None])
        assert auc(counts)[0] == pytest.approx(
            sk.roc_auc_score(labels, scores, sample_weight=w), abs=1e-12
        )
        expected = sk.average_precision_score(labels, scores, sample_weight=w)
        assert average_precision(counts)[0] == pytest.approx(expected, abs=1e-12)
        fpr, tpr, _ = sk.roc_curve(labels, scores, sample_weight=w, drop_intermediate=False)
        for most in (0.01, 0.05, 0.5):
            assert tpr_at_fpr(counts, most)[0] == pytest.approx(tpr[fpr <= most].max(), abs=1e-12)


def test_auc_by_hand() -> None:
    # Fakes 3 and 1, reals 2 and 1: two pairs won, one lost, one tied. Counted twice, the fake 3
    # wins four of six.
    labels, scores = np.array([True, True, False, False]), np.array([3.0, 1, 2, 1])
    weights = np.array([[1.0, 1, 1, 1], [2, 1, 1, 1], [1, 0, 1, 0], [0, 0, 1, 1]])
    assert auc(Counts.of(labels, scores, weights))[:3].tolist() == [0.625, 4.5 / 6, 1]
    assert np.isnan(auc(Counts.of(labels, scores, weights))[3])


def test_equal_error_rate_by_hand() -> None:
    # Thresholds from above: (fpr, tpr) = (0, 1/4) (1/4, 1/4) (1/4, 3/4) → at 1/4 false positives,
    # 1/4 missed.
    labels = np.array([1, 0, 1, 1, 0, 1, 0, 0])
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
    assert eer(Counts.of(labels, scores, np.ones((1, 8))))[0] == pytest.approx(0.25)
    assert eer(Counts.of(labels, labels + 0.0, np.ones((1, 8))))[0] == 0
    assert eer(Counts.of(labels, 1.0 - labels, np.ones((1, 8))))[0] == 1
    assert eer(Counts.of(labels, np.full(8, 0.5), np.ones((1, 8))))[0] == pytest.approx(0.5)


def test_interval_needs_groups_and_both_classes() -> None:
    labels, scores = np.array([False, True] * 10), np.arange(20.0)
    assert auc_interval(labels, scores, ["a", "b"] * 10).low is None
    assert auc_interval(labels, scores, ["a", "b"] * 10).value == pytest.approx(0.55)
    assert auc_interval(np.ones(20, dtype=bool), scores, [*map(str, range(20))]).value is None
    videos = ["one video" if fake else str(k) for k, fake in enumerate(labels)]
    assert auc_interval(labels, scores, videos).low is None, (
        "one group of fakes tells nothing of the next"
    )
    whole = auc_interval(labels, labels * 1.0, [*map(str, range(20))])
    # Ten pairs of ten won: the exact bound, as drawing again cannot show the pair that is lost.
    assert (whole.low, whole.value, whole.high) == (pytest.approx(0.025**0.1), 1, 1)


def test_interval_draws_groups_not_images() -> None:
    # Every image ten times over: as groups of ten the interval is as wide as without the copies.
    rng = np.random.default_rng(3)
    labels = rng.random(60) < 0.5
    scores = rng.normal(size=60) + labels
    names = np.array([f"{i:02}" for i in range(60)])
    once = auc_interval(labels, scores, names.tolist())
    grouped = auc_interval(labels.repeat(10), scores.repeat(10), names.repeat(10).tolist())
    assert (grouped.low, grouped.high) == pytest.approx((once.low, once.high))


def test_auc_between_counts_pairs() -> None:
    # 3 > 2, 3 > 1, 1 < 2, 1 = 1: two and a half of four.
    assert auc_between(np.array([3.0, 1]), np.array([2.0, 1])) == 0.625
    rng = np.random.default_rng(0)
    high, low = rng.normal(1, 1, 40).round(1), rng.normal(0, 1, 30).round(1)
    pairs = (high[:, None] > low) + (high[:, None] == low) / 2
    assert auc_between(high, low) == pytest.approx(pairs.mean(), abs=1e-12)


def test_logistic_takes_soft_targets_weights_an_offset_and_a_goal() -> None:
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(80, 3))
    targets, weights, offset = rng.random(80), rng.random(80), rng.normal(size=80)
    penalty, goal = np.array([0.1, 2.0, 5.0]), np.array([0.0, 1.0, -1.0])
    found = fit_logistic(columns, targets, penalty, weights=weights, offset=offset, goal=goal)
    # At the minimum the gradient of the sum in the docstring is 0.
    p = 1 / (1 + np.exp(-(offset + columns @ found)))
    gradient = columns.T @ (weights * (p - targets)) + penalty * (found - goal)
    assert gradient == pytest.approx(np.zeros(3), abs=1e-9)
    # A weight of 2 is the same row twice.
    twice = fit_logistic(columns, targets, penalty, weights=np.full(80, 2.0))
    rows = np.repeat(np.arange(80), 2)
    assert twice == pytest.approx(fit_logistic(columns[rows], targets[rows], penalty), abs=1e-9)
