"""The audit's model and its AUC, against values by hand and scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from fauxlab.auditing.probe import add_steps, fit_probe, held_out_auc


@pytest.mark.parametrize("ridge", [0.1, 10.0])
# 50: the classes lie apart, and only the ridge bounds the weights
@pytest.mark.parametrize("gap", [0.5, 50.0])
def test_logistic_is_scikit_learns(ridge: float, gap: float) -> None:
    rng = np.random.default_rng(1)
    labels = rng.random(120) < 0.3
    x = rng.normal(size=(120, 4)) + gap * labels[:, None] * np.array([1, 0, -0.5, 0])
    model = LogisticRegression(C=1 / ridge, tol=1e-10, max_iter=10_000).fit(x, labels)
    assert np.allclose(
        fit_probe(x, labels, ridge), [*model.coef_[0], model.intercept_[0]], rtol=1e-3, atol=1e-4
    )


def test_one_exact_value_is_found_among_values_around_it() -> None:
    rng = np.random.default_rng(2)
    labels = np.arange(400) % 2 == 1
    side = np.where(labels, 512, 512 + rng.integers(1, 200, 400) * rng.choice([-1, 1], 400)).astype(
        float
    )[:, None]
    train, groups = np.arange(400) < 280, [str(i) for i in range(400)]
    plain, stepped = (
        held_out_auc(v, labels, train, groups) for v in (side, add_steps(side, train))
    )
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
