"""Threshold and band at a stated rate, and what kinds that are left out would have got."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from fauxlab.bundle.config import Calibration, DetectorConfig, Preprocessing
from fauxlab.bundle.decision import compute_scores
from fauxlab.calibration.kinds import Kinds, bound_for_next_kind
from fauxlab.calibration.points import (
    MOST_UNCERTAIN,
    Reals,
    find_level,
    fit_limits,
    fit_point,
    leave_kinds_out,
    to_scale,
)
from fauxlab.errors import LabError


def kinds_of(values: Sequence[np.ndarray], name: str = "real") -> Kinds:
    names = np.repeat([f"{name} {i}" for i in range(len(values))], [len(own) for own in values])
    logits = np.concatenate(values)
    return Kinds.of(logits, names.tolist(), [str(i) for i in range(len(logits))])


def draw(seed: int, means: Sequence[float], n: int = 60) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [mean + rng.standard_normal(n) for mean in means]


def config(temperature: float = 1.0) -> DetectorConfig:
    return DetectorConfig(
        architecture="report-cnn",
        preprocessing=Preprocessing(size=32, pipeline_version=1),
        calibration=Calibration(temperature=temperature, bias=0.5),
    )


MEANS = np.linspace(-1, 1, 8).tolist()


def test_the_band_goes_from_the_fakes_to_the_threshold() -> None:
    reals = Reals(kinds_of(draw(0, MEANS)))
    fakes = kinds_of(draw(1, [3.0, 4.0]), "fake")
    low, threshold = fit_limits(reals, fakes, 0.02, 0.1)
    assert threshold == bound_for_next_kind(reals.known, 0.02)
    # Of 120 fakes, .1 · 121 - 1 = 11.1 may lie below the band.
    ranked = np.sort(fakes.values)
    assert low == ranked[11]

    point = fit_point(config(2.0), reals, fakes, 0.02, 0.1)
    scores = compute_scores(config(2.0), np.array([low, threshold]))
    assert (point.rate, point.alpha) == (0.02, 0.1)
    assert (point.low, point.threshold) == pytest.approx(scores.tolist())
    assert point.high == point.threshold


def test_where_few_fakes_lie_below_the_threshold_nothing_is_uncertain() -> None:
    reals = Reals(kinds_of(draw(0, MEANS)))
    fakes = kinds_of(draw(1, [30.0]), "fake")
    low, threshold = fit_limits(reals, fakes, 0.02, 0.1)
    assert low == threshold


def test_no_more_reals_are_uncertain_than_the_cap_and_alpha_says_so() -> None:
    reals = Reals(kinds_of(draw(0, MEANS)))
    # A tenth of the fakes looks like the lowest reals.
    odd = draw(1, [-1.0], 20)[0]
    fakes = kinds_of([np.concatenate([odd, draw(2, [3.0], 80)[0]])], "fake")
    low, threshold = fit_limits(reals, fakes, 0.02, 0.1)
    values = reals.known.values
    inside = (values >= low) & (values < threshold)
    assert MOST_UNCERTAIN - 0.02 < reals.known.share(inside) <= MOST_UNCERTAIN
    point = fit_point(config(), reals, fakes, 0.02, 0.1)
    assert point.alpha == pytest.approx(fakes.share(fakes.values < low), abs=0.01)
    assert point.alpha > 0.15


def test_of_a_detector_that_cannot_tell_more_stays_uncertain() -> None:
    reals = Reals(kinds_of(draw(0, MEANS)))
    fakes = kinds_of(draw(1, MEANS), "fake")
    low, threshold = fit_limits(reals, fakes, 0.02, 0.1)
    assert fakes.share(fakes.values < low) == pytest.approx(0.5, abs=0.01)
    values = reals.known.values
    assert reals.known.share((values >= low) & (values < threshold)) > MOST_UNCERTAIN


def test_a_lower_rate_has_a_higher_threshold() -> None:
    reals = Reals(kinds_of(draw(0, MEANS)))
    fakes = kinds_of(draw(1, [3.0]), "fake")
    points = [fit_point(config(), reals, fakes, rate, 0.1) for rate in (0.1, 0.02, 0.01)]
    thresholds = [point.threshold for point in points]
    assert thresholds == sorted(set(thresholds))


def test_kinds_left_out_are_judged_without_them() -> None:
    values = draw(0, [0.0] * 6)
    values[2] += 20  # a kind as no other
    reals = Reals(kinds_of(values))
    fakes = kinds_of(draw(1, [3.0]), "fake")
    found = leave_kinds_out(reals, fakes, 0.02, 0.1)
    assert found is not None
    assert found.of == "calibration"
    assert found.called_fake["real 2"] == 1
    assert found.worst == ("real 2", 1)
    assert found.mean_called_fake == pytest.approx(1 / 6, abs=0.01)
    own = values[1]
    others = Reals(kinds_of([*values[:1], *values[2:]]))
    low, threshold = fit_limits(others, fakes, 0.02, 0.1)
    assert found.called_fake["real 1"] == pytest.approx(np.mean(own >= threshold))
    is_uncertain = (own >= low) & (own < threshold)
    assert found.uncertain["real 1"] == pytest.approx(np.mean(is_uncertain))


def test_left_out_figures_need_enough_pictures() -> None:
    fakes = kinds_of(draw(1, [3.0]), "fake")
    one = Reals(kinds_of(draw(0, [0.0])))
    assert leave_kinds_out(one, fakes, 0.02, 0.1) is None
    # 50 groups of two kinds can promise .02, the 25 of one of them cannot.
    two = Reals(kinds_of(draw(0, [0.0, 1.0], 25)))
    assert leave_kinds_out(two, fakes, 0.02, 0.1) is None
    assert leave_kinds_out(two, fakes, 0.05, 0.1) is not None


def test_kinds_left_out_of_training_raise_the_threshold_to_keep_the_rate() -> None:
    known = kinds_of(draw(0, MEANS))
    shifted = kinds_of([own + 4 for own in draw(2, MEANS)])
    fakes = kinds_of(draw(1, [6.0, 8.0]), "fake")
    reals = Reals(known, shifted)
    level = find_level(reals, fakes, 0.02, 0.1)
    assert level <= 0.02
    found = leave_kinds_out(reals, fakes, level, 0.1)
    assert found is not None
    assert found.of == "training"
    assert found.mean_called_fake <= 0.02
    _, threshold = fit_limits(reals, fakes, level, 0.1)
    assert threshold > fit_limits(Reals(known), fakes, 0.02, 0.1).threshold + 1
    point = fit_point(config(), reals, fakes, 0.02, 0.1)
    assert point.left_out == found

    # Kinds left out that are no harder than the known ones do not lower it.
    easy = Reals(known, kinds_of([own - 4 for own in draw(2, MEANS)]))
    lowest = fit_limits(Reals(known), fakes, 0.02, 0.1).threshold
    assert fit_limits(easy, fakes, 0.02, 0.1).threshold == lowest


def test_another_detectors_logits_come_on_our_scale() -> None:
    ours = kinds_of(draw(0, MEANS))
    theirs = replace(ours, values=10 * ours.values - 3)
    unseen = kinds_of(draw(3, [0.5]))
    moved = to_scale(kinds_of([10 * unseen.values - 3]), theirs, ours)
    np.testing.assert_allclose(moved.values, unseen.values, atol=1e-9)


def test_reals_at_the_end_of_the_scale_leave_no_threshold() -> None:
    reals = Reals(kinds_of([np.full(60, 900.0)]))
    with pytest.raises(LabError, match="highest score there is"):
        fit_point(config(), reals, kinds_of(draw(1, [3.0]), "fake"), 0.02, 0.1)
