"""Detection metrics against scikit-learn and against sums done by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from fauxlab.bundle.config import DetectorConfig, Preprocessing
from fauxlab.data.manifest import Manifest
from fauxlab.evaluation.detection import detection_report, evaluate
from fauxlab.evaluation.metrics import (
    accuracy,
    balanced,
    confusion_counts,
    expected_calibration_error,
    expected_ece,
    macro_f1,
)
from fauxlab.evaluation.scoring import score_set
from fauxlab.io.images import PIPELINE_VERSION
from fauxlab.models import create_detector
from fauxlab.models.pretrained import Detector
from fauxlab.records import DetectionReport


def ones(n: int) -> np.ndarray:
    return np.ones((1, n))


@given(st.integers(0, 2**32 - 1), st.integers(2, 100))
@settings(max_examples=50, deadline=None)
def test_threshold_metrics_equal_scikit_learn(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    labels, called = rng.integers(0, 2, n), rng.random(n) < 0.5
    cells = confusion_counts(labels, called, ones(n))
    assert accuracy(cells)[0] == pytest.approx(sk.accuracy_score(labels, called))
    assert (
        cells[0].reshape(2, 2).tolist()
        == sk.confusion_matrix(labels, called, labels=[0, 1]).tolist()
    )
    expected = sk.f1_score(labels, called, labels=[0, 1], average="macro", zero_division=0)
    if 0 < labels.sum() < n:
        assert macro_f1(cells)[0] == pytest.approx(expected)
    else:
        assert np.isnan(macro_f1(cells)[0]), "a class that is not there has no F1"


def test_calibration_error_by_hand() -> None:
    # Two bins: scores .1 with 1 of 2 fake (gap .4), scores .9 with both fake (gap .1).
    labels, scores = np.array([0, 1, 1, 1]), np.array([0.1, 0.1, 0.9, 0.9])
    assert expected_calibration_error(labels, scores, ones(4))[0] == pytest.approx(0.25)


def test_interval_covers_and_widens_with_groups() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 600)
    scores = np.clip(rng.normal(0.4 + 0.2 * labels, 0.2), 0, 1)
    alone = score_set("x", labels, scores, [str(i) for i in range(600)], [])
    tied = score_set("x", labels, scores, [str(i // 20) for i in range(600)], [])
    assert alone.auc.value == tied.auc.value
    assert alone.auc.low is not None
    assert alone.auc.high is not None
    assert alone.auc.low < alone.auc.value < alone.auc.high
    # Binomial standard error of the accuracy: sqrt(p(1-p)/n); the interval is 2 × 1.96 of them
    # wide.
    p = alone.accuracy.value
    assert p is not None
    width = 2 * 1.96 * (p * (1 - p) / 600) ** 0.5
    assert alone.accuracy.high - alone.accuracy.low == pytest.approx(width, rel=0.12)


def test_intervals_over_repeated_groups_are_wider() -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat(rng.integers(0, 2, 60), 10)
    scores = np.repeat(np.clip(rng.normal(0.5, 0.2, 60), 0, 1), 10)
    apart = score_set("x", labels, scores, [str(i) for i in range(600)], []).accuracy
    together = score_set("x", labels, scores, [str(i // 10) for i in range(600)], []).accuracy
    assert together.high - together.low == pytest.approx(
        (apart.high - apart.low) * 10**0.5, rel=0.2
    )


def test_one_class_alone_has_no_ranking_metrics() -> None:
    found = score_set(
        "x", np.ones(30, dtype=int), np.linspace(0, 1, 30), [str(i) for i in range(30)], []
    )
    assert found.auc.value is found.eer.value is found.tpr_at_1_fpr.value is None
    assert found.accuracy.value == 0.5
    assert "n/a" in str(found.auc)


def test_few_groups_have_no_interval() -> None:
    found = score_set("x", np.array([0, 1, 0, 1]), np.array([0.1, 0.9, 0.2, 0.8]), list("abcd"), [])
    assert (found.auc.value, found.auc.low) == (1.0, None)


def test_each_generator_is_compared_with_its_reals(small: Manifest) -> None:
    scores = np.array(
        [{"": 0.1, "grain": 0.9, "speckle": 0.2}[row.generator] for row in small.rows]
    )
    report = detection_report(small, scores, model="m", model_hash="h")
    by_name = {s.name: s for s in report.generators}
    assert by_name["grain"].accuracy.value == 1
    assert (by_name["speckle"].n_real, by_name["speckle"].n_fake) == (40, 40)
    assert by_name["speckle"].accuracy.value == 0.5
    assert by_name["speckle"].confusion.fake_as_real == 40
    assert report.pooled.accuracy.value == pytest.approx(80 / 120)
    assert report.real_accuracy["photos"].value == 1
    assert type(report).model_validate_json(report.model_dump_json()) == report
    assert "speckle" in report.table()


def test_a_right_score_is_expected_to_err_by_chance() -> None:
    assert expected_ece(np.array([0, 1, 1]), np.array([0.0, 1.0, 1.0])) == 0, (
        "what is certain and right never errs"
    )
    assert expected_ece(np.array([0, 1]), np.array([0.5, 0.5])) == 0, (
        "one of each is what such scores say"
    )
    assert expected_ece(np.array([1, 1]), np.array([0.5, 0.5])) is None
    rng = np.random.default_rng(1)

    def right(n: int) -> tuple[np.ndarray, np.ndarray]:
        scores = rng.random(n)
        return (rng.random(n) < scores).astype(int), scores

    drawn = []
    for labels, scores in (right(400) for _ in range(300)):
        drawn.append(expected_calibration_error(labels, scores, balanced(labels)[None])[0])
    assert expected_ece(*right(400)) == pytest.approx(np.mean(drawn), rel=0.1)
    few, many = (expected_ece(*right(n)) for n in (100, 10_000))
    assert few is not None
    assert many is not None
    assert many < few / 5, "chance fades with the number of pictures"


def test_what_never_happened_has_an_exact_bound() -> None:
    labels = np.repeat([0, 1], 50)
    scores = np.where(labels == 1, 0.9, 0.1)
    found = score_set(
        "all right", labels, scores, [str(k) for k in range(100)], ["photos"], bootstrap=50
    )
    # With 100 groups all right, a share of errors of 3.6 % would still show none in 2.5 % of such
    # sets.
    assert found.accuracy.low == pytest.approx(0.025 ** (1 / 100))
    assert found.accuracy.low == pytest.approx(0.964, abs=1e-3)
    assert found.accuracy.high == found.accuracy.value == 1
    assert found.tpr_at_1_fpr.low == pytest.approx(0.025 ** (1 / 50)), "of the fakes"
    # Of as many pairs of a fake and a real that have no picture in common.
    assert (found.auc.value, found.auc.low, found.auc.high) == (
        1,
        pytest.approx(0.025 ** (1 / 50)),
        1,
    )
    assert (found.average_precision.value, found.average_precision.low) == (1, None), (
        "which is no share"
    )
    assert found.ece.low is found.ece.high is None


@pytest.mark.parametrize("n_real", [40, 400])
def test_right_scores_are_well_calibrated_whatever_the_share_of_fakes(n_real: int) -> None:
    rng = np.random.default_rng(2)
    scores = rng.random(40_000)
    labels = (rng.random(40_000) < scores).astype(int)
    kept = np.concatenate(
        [np.flatnonzero(labels == 0)[: 20 * n_real], np.flatnonzero(labels == 1)[:4000]]
    )
    groups = [str(k) for k in kept]
    found = score_set("x", labels[kept], scores[kept], groups, [], bootstrap=1)
    assert found.ece.value == pytest.approx(found.ece_expected, rel=0.4)
    assert found.ece.value < 0.04


def test_one_video_of_swaps_has_no_interval() -> None:
    labels = np.repeat([0, 1], 60)
    groups = [*(f"photo {k}" for k in range(60)), *["video"] * 60]
    found = score_set("x", labels, np.random.default_rng(0).random(120), groups, [], bootstrap=50)
    assert found.auc.value is not None
    assert found.auc.low is found.auc.high is None


def test_fakes_alone_have_no_ranking() -> None:
    found = score_set(
        "alone", np.ones(20, dtype=int), np.linspace(0, 1, 20), [str(k) for k in range(20)], []
    )
    assert found.auc.value is found.average_precision.value is found.tpr_at_1_fpr.value is None


def test_pictures_that_cannot_be_decoded_are_in_the_result(small: Manifest) -> None:
    gone, damaged = small.rows[0], small.rows[50]
    (small.root / gone.path).unlink()
    (small.root / damaged.path).write_bytes(b"no picture")
    preparation = Preprocessing(size=32, pipeline_version=PIPELINE_VERSION)
    config = DetectorConfig(architecture="trace", preprocessing=preparation)
    detector = Detector(create_detector("trace", 32).eval(), config)
    report = evaluate(detector, small, bootstrap=10)
    assert report.n == len(small) - 2
    assert [path for path, _ in report.skipped] == [gone.path, damaged.path]
    assert report.skipped[0][1] == "no such file"
    assert report.table().splitlines()[-1] == ("note: 2 images could not be read and were left out")
    read = DetectionReport.model_validate_json(report.model_dump_json())
    assert read.skipped == report.skipped
    older = report.model_dump(exclude={"skipped"})
    assert DetectionReport.model_validate(older).skipped == [], "a result of 0.1 has no such key"
