"""The arithmetic of a head: spaces, fits, left-out logits, scales, intervals, thresholds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fauxlab.adaptation.figures import wilson
from fauxlab.adaptation.fitting import Line, Material, match_scale
from fauxlab.adaptation.space import fit_space
from fauxlab.adaptation.thresholds import choose_thresholds
from fauxlab.bundle.config import Calibration, DetectorConfig, OperatingPoint, Preprocessing
from fauxlab.calibration.kinds import Kinds
from fauxlab.errors import LabError
from fauxlab.io.images import PIPELINE_VERSION

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("most", [20, 5])
def test_a_head_on_coordinates_is_one_on_features(most: int) -> None:
    features = RNG.normal(3, 2, (60, 20)) @ RNG.normal(0, 1, (20, 20))
    space = fit_space(features, np.ones(60), most)
    coordinates = space.project(features)
    assert coordinates.shape == (60, most)
    weight = RNG.normal(0, 1, most)
    on_features, bias = space.fold(weight, 0.5)
    assert features @ on_features + bias == pytest.approx(coordinates @ weight + 0.5, abs=1e-2)


def test_components_are_those_of_the_largest_variance() -> None:
    features = RNG.normal(0, 1, (50, 30)) * np.arange(1, 31)
    weights = RNG.random(50)
    space = fit_space(features, weights, 4)
    shares = weights / weights.sum()
    standardised = (features - space.mean) / space.scale
    _, _, rows = np.linalg.svd(np.sqrt(shares)[:, None] * standardised, full_matrices=False)
    overlap = np.abs(rows[:4] @ space.basis.astype(np.float64))
    assert overlap == pytest.approx(np.eye(4), abs=5e-3)


def make_material(n: int = 4) -> Material:
    reals = RNG.normal(0, 1, (40, 3))
    views = RNG.normal([2, 0, 0], 1, (2, n, 3))
    groups = np.repeat(np.arange(20), 2)
    return Material(reals, np.full(40, 1 / 40), groups, views)


def test_a_fit_is_the_least_of_its_loss() -> None:
    material = make_material()
    line = material.fit_all()

    def loss(shift: float, place: int) -> float:
        weight = line.weight.copy()
        weight[place] += shift
        moved = Line(weight, line.bias)
        of_reals = np.logaddexp(0, moved.logits(material.reals)).mean()
        of_examples = np.logaddexp(0, -moved.logits(material.views)).mean()
        return float((of_reals + of_examples) / 2 + 1e-3 / 2 * (weight**2).sum())

    for place in range(3):
        assert loss(0, place) < min(loss(0.01, place), loss(-0.01, place))


def test_left_out_logits_are_of_heads_that_had_not_seen_the_picture() -> None:
    material = make_material()
    _, examples = material.left_out()
    moved = material.views.copy()
    moved[1, 2] += 100  # another view of the third example, which its own logit must not know
    _, again = Material(material.reals, material.weights, material.groups, moved).left_out()
    assert again[2] == examples[2]
    assert (again[[0, 1, 3]] != examples[[0, 1, 3]]).all()

    moved_reals = material.reals.copy()
    moved_reals[0] += 5  # of the same group as the second
    reals, _ = material.left_out()
    again_reals, _ = Material(
        moved_reals, material.weights, material.groups, material.views
    ).left_out()
    assert again_reals[1] == reals[1]


def test_many_examples_are_left_out_in_five_parts() -> None:
    material = make_material(23)
    folds = list(material._folds())
    assert len(folds) == 5
    assert np.sum([examples for _, examples in folds], axis=0).tolist() == [1] * 23
    assert np.sum([reals for reals, _ in folds], axis=0).tolist() == [1] * 40
    assert len(list(make_material(10)._folds())) == 10


def test_a_head_comes_on_the_scale_of_the_others() -> None:
    others = np.column_stack([np.arange(100.0), np.arange(100.0) + 10])
    weights = np.ones(100)
    logits = np.arange(100.0) * 3 - 7
    scaling = match_scale(logits, others, weights, threshold=80, rate=0.04)
    # The others' medians are 49 and 59; 2 of 100 new logits lie above that of place 97.
    assert scaling.apply(logits[[49, 97]]) == pytest.approx([54, 80])
    flat = match_scale(np.zeros(100), others, weights, threshold=80, rate=0.04)
    assert flat.apply(np.zeros(1)) == pytest.approx([80])


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    # Newcombe (1998), Table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (29, 29, 0.8830, 1)],
)
def test_intervals_are_wilsons(hits: int, n: int, low: float, high: float) -> None:
    share = wilson(hits, n)
    assert (share.low, share.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def make_config(**changes: object) -> DetectorConfig:
    fit = {"temperature": 2, "bias": 0.5, "false_alarm_rate": 0.05, "alpha": 0.2, "low": 0.1}
    point = OperatingPoint(rate=0.02, threshold=0.5, low=0.1, high=0.6)
    calibration = Calibration.model_validate({**fit, "high": 0.45, "points": (point,), **changes})
    preprocessing = Preprocessing(size=32, pipeline_version=PIPELINE_VERSION)
    return DetectorConfig(
        architecture="trace", preprocessing=preprocessing, calibration=calibration, threshold=0.4
    )


def score_of(logit: float) -> float:
    return 1 / (1 + math.exp(-(logit / 2 + 0.5)))


def test_thresholds_keep_the_rates_of_the_reals() -> None:
    reals = Kinds.of(np.arange(100) / 100, ["a"] * 100, [str(place) for place in range(100)])
    fit, threshold = choose_thresholds(make_config(), reals, 0.05)
    # Of 100 at most 4 may lie above at 5 %, and 1 at 2 %.
    assert threshold == pytest.approx(score_of(0.95))
    assert threshold > score_of(0.95)
    assert (fit.low, fit.high) == (0.1, threshold)
    assert fit.points[0].threshold == fit.points[0].high == pytest.approx(score_of(0.98))
    assert (fit.false_alarm_rate, fit.points[0].rate) == (0.05, 0.02)
    asked, of_rate = choose_thresholds(make_config(), reals, 0.02)
    assert of_rate == pytest.approx(score_of(0.98))
    assert (asked.false_alarm_rate, asked.points) == (0.02, ())


def test_no_threshold_falls() -> None:
    reals = Kinds.of(np.full(100, -9.0), ["a"] * 100, [str(place) for place in range(100)])
    fit, threshold = choose_thresholds(make_config(), reals, 0.05)
    assert (threshold, fit.high, fit.points[0].threshold) == (0.4, 0.45, 0.5)
    _, of_point = choose_thresholds(make_config(), reals, 0.02)
    assert of_point == 0.5
    # Nothing was stated for this rate, so the lower end of the band is the bound.
    _, other = choose_thresholds(make_config(), reals, 0.1)
    assert other == 0.1


def test_too_few_reals_and_the_highest_score_are_told() -> None:
    few = Kinds.of(np.zeros(10), ["a"] * 10, [str(place) for place in range(10)])
    with pytest.raises(LabError, match="cannot be promised"):
        choose_thresholds(make_config(), few, 0.05)
    high = Kinds.of(np.full(100, 1e4), ["a"] * 100, [str(place) for place in range(100)])
    with pytest.raises(LabError, match="would get the highest score there is"):
        choose_thresholds(make_config(), high, 0.05)
