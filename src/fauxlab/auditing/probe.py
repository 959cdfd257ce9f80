"""How well a few numbers tell two classes apart: a small logistic model, and its AUC on groups it
was not fitted on.

Small enough to be checked by hand, and quick enough to be fitted for every generator and every
family of traits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.records import Interval
from fauxlab.statistics import auc_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

RIDGE = 10.0
QUANTILES = np.linspace(0.05, 0.95, 13)


def held_out_auc(
    values: Floats,
    labels: Bools,
    train: Bools,
    groups: Sequence[str],
    bootstrap: int = 1000,
    seed: int = 0,
) -> Interval:
    """AUC on the rows outside `train` of a logistic model fitted on those inside, with its 95 %
    interval over groups.

    Values are [N, K], the rest [N]; `labels` True is fake. Not available (None) where either side
    lacks a class. Raises ValueError on values that are not finite: a column with one would be left
    out as if it told nothing.
    """
    if not np.isfinite(values).all():
        raise ValueError("values that are not finite")
    held = ~train
    if any(len(np.unique(labels[side])) < 2 for side in (train, held)):
        return Interval(value=None)
    mean, deviation = values[train].mean(axis=0), values[train].std(axis=0)
    told = deviation > 1e-9 * (1 + np.abs(mean))  # what all share tells nothing
    scaled = (values[:, told] - mean[told]) / deviation[told]
    weights = fit_logistic(scaled[train], labels[train])
    scores = scaled[held] @ weights[:-1]
    return auc_interval(
        labels[held], scores, [g for g, h in zip(groups, held, strict=True) if h], bootstrap, seed
    )


def add_steps(values: Floats, train: Bools) -> Floats:
    """Values [N, K] and, beside each, whether it reaches and whether it exceeds the training rows'
    quantiles.

    A linear model can then pick out one value ("exactly 512 pixels") or a range. Equal columns are
    kept once.
    """
    columns = [*values.T]
    for column in values.T:
        for edge in np.unique(np.quantile(column[train], QUANTILES, method="nearest")):
            columns += [(column >= edge).astype(np.float64), (column > edge).astype(np.float64)]
    return np.stack([*{column.tobytes(): column for column in columns}.values()], axis=1)


def fit_logistic(x: Floats, labels: Bools, ridge: float = RIDGE) -> Floats:
    """Weights [K + 1], the last the intercept, of the least ∑ log(1 + exp(∓z)) + ridge/2 ∑ w²,
    intercept free.

    By Newton's method (iteratively reweighted least squares), each step halved until it descends.
    Columns of `x` [N, K] should have about equal scale.
    """
    x = np.hstack([x, np.ones((len(x), 1))])
    y = labels.astype(np.float64)
    penalty = np.append(np.full(x.shape[1] - 1, ridge), 1e-9)

    def loss(w: Floats) -> float:
        z = x @ w
        return float(np.sum(np.logaddexp(0, z) - y * z) + (penalty * w**2).sum() / 2)

    w = np.zeros(x.shape[1])
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -500, 500)))
        slope = x.T @ (p - y) + penalty * w
        step = np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + np.diag(penalty), slope)
        here, size = loss(w), 1.0
        while size > 1e-8 and loss(w - size * step) > here:
            size /= 2
        w = w - size * step
        if np.abs(size * step).max() < 1e-9:
            break
    return w
