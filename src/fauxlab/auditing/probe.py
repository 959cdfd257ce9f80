"""A linear probe: how well a few numbers of each picture tell fakes from reals.

A small logistic regression is fitted on some groups, and its AUC is measured on the others. It is
small enough to check by hand, and fast enough to fit for each generator and each family of shortcut
features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.records import Interval
from fauxlab.statistics import auc_interval, fit_logistic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

RIDGE = 10.0
FREE = 1e-9  # penalty of the intercept: none, but the fit stays unique
CONSTANT = 1e-9  # relative deviation of a column below which all its values count as equal
QUANTILES = np.linspace(0.05, 0.95, 13)


def held_out_auc(
    values: Floats,
    labels: Bools,
    train: Bools,
    groups: Sequence[str],
    bootstrap: int = 1000,
    seed: int = 0,
) -> Interval:
    """AUC outside `train` of a probe that was fitted inside, with its 95 % interval over groups.

    Values are [N, K], the rest [N]; `labels` True is fake. The AUC is None where either side lacks
    a class. Raises ValueError on values that are not finite: such a column would count as constant
    and be left out.
    """
    if not np.isfinite(values).all():
        raise ValueError("values that are not finite")
    held_out = ~train
    train_labels = labels[train]
    test_labels = labels[held_out]
    if not _both_classes(train_labels) or not _both_classes(test_labels):
        return Interval(value=None)
    scaled = _standardise(values, train)
    coefficients = fit_probe(scaled[train], train_labels)
    # Without the intercept, which changes no ranking.
    slopes = coefficients[:-1]
    scores = scaled[held_out] @ slopes
    group_names = np.asarray(groups)
    test_groups = group_names[held_out].tolist()
    return auc_interval(test_labels, scores, test_groups, bootstrap, seed)


def fit_probe(values: Floats, labels: Bools, ridge: float = RIDGE) -> Floats:
    """Coefficients [K + 1] of a ridge logistic regression, the intercept last and not penalised.

    The columns of `values` [N, K] should have about the same scale.
    """
    n, size = values.shape
    intercept = np.ones((n, 1))
    columns = np.hstack([values, intercept])
    slope_penalties = np.full(size, ridge)
    penalty = np.append(slope_penalties, FREE)
    targets = labels.astype(np.float64)
    return fit_logistic(columns, targets, penalty)


def add_steps(values: Floats, train: Bools) -> Floats:
    """The values [N, K] and, for each quantile of the training rows, two step functions of them.

    The steps say whether a value reaches the quantile, and whether it exceeds it. A linear model
    can then pick out one exact value ("512 pixels wide") or a range. Equal columns are kept once.
    """
    columns = list(values.T)
    for column in values.T:
        quantiles = np.quantile(column[train], QUANTILES, method="nearest")
        for edge in np.unique(quantiles):
            reaches = column >= edge
            exceeds = column > edge
            columns.append(reaches.astype(np.float64))
            columns.append(exceeds.astype(np.float64))
    distinct = {column.tobytes(): column for column in columns}
    return np.stack(list(distinct.values()), axis=1)


def _both_classes(labels: Bools) -> bool:
    return len(np.unique(labels)) == 2


def _standardise(values: Floats, train: Bools) -> Floats:
    """Columns with mean 0 and deviation 1 over the training rows; constant columns are dropped."""
    fitted = values[train]
    mean = fitted.mean(axis=0)
    deviation = fitted.std(axis=0)
    least_deviation = CONSTANT * (1 + np.abs(mean))
    varies = deviation > least_deviation
    centred = values[:, varies] - mean[varies]
    scaled: Floats = centred / deviation[varies]
    return scaled
