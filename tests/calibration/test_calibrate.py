"""A detector calibrated on a manifest, from Python and from the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fauxlab.bundle.config import DetectorConfig, Preprocessing
from fauxlab.bundle.opening import open_detector
from fauxlab.calibration.calibrate import calibrate
from fauxlab.calibration.fit import fit_calibration
from fauxlab.calibration.ood import fit_ood
from fauxlab.data.cache import load_images
from fauxlab.data.manifest import Manifest
from fauxlab.errors import LabError
from fauxlab.evaluation.detection import evaluate
from fauxlab.io.images import PIPELINE_VERSION
from fauxlab.models import create_detector
from fauxlab.models.export import export_onnx
from fauxlab.models.pretrained import Detector
from fauxlab.transforms.degradations import degrade_repeatably

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def detector() -> Detector:
    torch.manual_seed(0)
    preparation = Preprocessing(size=32, pipeline_version=PIPELINE_VERSION)
    return Detector(
        create_detector("report-cnn", 32).eval(),
        DetectorConfig(architecture="report-cnn", preprocessing=preparation),
    )


@pytest.fixture
def halves(small: Manifest) -> Manifest:
    """The small set again, half of it to calibrate on and half to test on."""
    return small.split(0, (0, 0, 0.5, 0.5))


def test_pseudo_fakes_take_no_part(detector: Detector, halves: Manifest) -> None:
    """Neither in a calibration nor in an evaluation."""
    rows = []
    for row in halves.rows:
        is_chosen = row.generator == "grain"
        rows.append(replace(row, extra={"pseudo": "blend"}) if is_chosen else row)
    marked = replace(halves, rows=tuple(rows))
    without = halves.where(lambda row: row.generator != "grain")
    found = calibrate(detector, marked, 0.1, 0.2)
    fit = found.detector.config.calibration
    assert fit is not None
    assert (fit.n_fake, fit.data_hash) == ({"speckle": 20}, without.calibration.data_hash)
    report = evaluate(detector, marked.test, bootstrap=10)
    assert report == evaluate(detector, without.test, bootstrap=10)
    assert (report.n, [scores.name for scores in report.generators]) == (40, ["speckle"])


def test_fitted_on_one_split_and_measured_on_two(detector: Detector, halves: Manifest) -> None:
    seen: list[int] = []
    found = calibrate(detector, halves, 0.1, 0.2, progress=seen.append)
    assert sum(seen) == len(halves)
    config, fit = found.detector.config, found.detector.config.calibration
    assert fit is not None
    assert (fit.n_real, fit.n_fake) == ({"photos": 20}, {"grain": 20, "speckle": 20})
    assert (fit.false_alarm_rate, fit.points, fit.degraded) == (0.1, (), False)
    # Random weights cannot tell: a band for .2 would hold too many reals, and half of the fakes is
    # the most that may lie below. Of 40 it is 19, and one more for the next picture.
    assert fit.alpha == pytest.approx(20 / 41)
    assert "up to 0.488 of the fakes" in found.notes[-1]
    assert "nothing can be said of other kinds" in found.notes[0]
    assert fit.left_out is None
    assert fit.data_hash == halves.calibration.data_hash
    assert fit.low is not None
    assert fit.high is not None
    assert fit.low <= config.threshold <= fit.high
    assert detector.config.calibration is None

    before, after = found.figures["calibration"]
    # Of 20 reals .1 · 21 = 2, so one may be called fake.
    assert after.called_fake["photos"] == after.wrong[0] == 1 / 20
    assert after.wrong[1] == 19 / 40
    assert (before.ece, after.ece) == (fit.ece_before, fit.ece_after)
    assert after.log_loss < before.log_loss
    assert before.uncertain == (0, 0)
    report = evaluate(found.detector, halves.test, bootstrap=10)
    called_real = report.real_accuracy["photos"].value
    assert found.figures["test"][1].called_fake["photos"] == pytest.approx(1 - (called_real or 0))
    assert "real photos called fake" in found.table()
    assert found.table().count("20 real, 40 fake") == 2


def test_calibrating_again_starts_from_the_logits(detector: Detector, halves: Manifest) -> None:
    once = calibrate(detector, halves, 0.1, 0.2)
    twice = calibrate(once.detector, halves, 0.1, 0.2)
    assert twice.figures["test"][0] == once.figures["test"][1] == twice.figures["test"][1]
    assert once.reliability["test"][1] == twice.reliability["test"][0]


def test_degraded_pictures_are_what_is_fitted(detector: Detector, halves: Manifest) -> None:
    shapes = []

    def halve(pixels: np.ndarray) -> np.ndarray:
        shapes.append((pixels.shape, pixels.dtype))
        return pixels // 2

    plain, degraded = (
        calibrate(detector, halves, 0.1, 0.2),
        calibrate(detector, halves, 0.1, 0.2, halve),
    )
    assert shapes == [((3, 32, 32), np.uint8)] * len(halves)
    fits = [x.detector.config.calibration for x in (plain, degraded)]
    assert fits[0] is not None
    assert fits[1] is not None
    assert fits[1].degraded
    assert fits[0].bias != fits[1].bias
    assert plain.figures["test"][0].log_loss != degraded.figures["test"][0].log_loss


def test_pictures_of_one_group_count_once(detector: Detector, halves: Manifest) -> None:
    from fauxlab.data.cache import load_images
    from fauxlab.evaluation.predicting import predict_logits

    part = halves.calibration
    rows = (
        *part.rows,
        *(row for row in part.rows if row.label),
        *(row for row in part.rows if row.label),
    )
    tripled = Manifest(rows, part.root)
    images = load_images(part, 32)
    logits = predict_logits(detector.model, images, np.arange(len(images))).astype(float)
    expected = fit_calibration(logits, part.labels)
    fit = calibrate(detector, tripled, 0.1, 0.2).detector.config.calibration
    assert fit is not None
    assert (fit.temperature, fit.bias) == pytest.approx(
        (expected.temperature, expected.bias), rel=1e-5
    )
    assert fit.n_fake == {"grain": 60, "speckle": 60}


def test_pictures_that_are_gone_are_listed(detector: Detector, halves: Manifest) -> None:
    gone = [halves.calibration.rows[0], halves.test.rows[0]]
    for row in gone:
        (halves.root / row.path).unlink()
    found = calibrate(detector, halves, 0.1, 0.2)
    assert found.skipped == tuple((row.path, "no such file") for row in gone)
    assert (
        sum(found.figures["test"][0].n_fake.values())
        + sum(found.figures["test"][0].n_real.values())
        == 59
    )


def with_limits(halves: Manifest) -> Detector:
    """A detector whose network measures distances, with limits for the set."""
    torch.manual_seed(0)
    options = {"widths": [8, 16], "blocks": [1, 1], "stem": 8}
    preparation = Preprocessing(size=32, pipeline_version=PIPELINE_VERSION)
    config = DetectorConfig(architecture="trace", options=options, preprocessing=preparation)
    detector = Detector(create_detector("trace", 32, **options).eval(), config)
    return fit_ood(detector, load_images(halves.calibration, 32), rate=0.1)


def test_an_exported_detector_is_fitted_as_the_one_it_came_from(
    halves: Manifest, tmp_path: Path, fauxlab: Command
) -> None:
    trained = with_limits(halves).save_pretrained(tmp_path / "best")
    exported = export_onnx(trained, tmp_path / "onnx")
    expected = calibrate(trained, halves, 0.1, 0.2).detector.config
    found = calibrate(exported, halves, 0.1, 0.2)
    config, fit = found.detector.config, found.detector.config.calibration
    assert fit is not None
    assert expected.calibration is not None
    assert fit.temperature == pytest.approx(expected.calibration.temperature, rel=1e-3)
    assert config.threshold == pytest.approx(expected.threshold, rel=1e-3)
    assert (fit.n_real, fit.alpha) == ({"photos": 20}, expected.calibration.alpha)
    # Its distances stay; of 30 groups at 1 % none may lie beyond the new limit.
    pixels = load_images(halves.calibration, 32).take(np.arange(60))
    both = [pixels, np.stack([degrade_repeatably(picture) for picture in pixels])]
    distances = [exported.predict(pictures).ood_distances.max() for pictures in both]
    assert config.ood is not None
    assert config.ood.limit == pytest.approx(max(distances))
    before, _ = found.figures["test"]
    assert before.refused is not None, "the distances before and after are of the same graph"

    halves.save(tmp_path / "manifest.csv")
    command = ("detector", "calibrate", tmp_path / "onnx", tmp_path / "manifest.csv")
    code, _, err = fauxlab(*command, "--fpr", "0.1", "--alpha", "0.2")
    assert code == 0, err
    made = open_detector(tmp_path / "onnx-calibrated")
    assert made.config == config
    assert made.hash != exported.hash
    assert open_detector(tmp_path / "onnx").hash == exported.hash


def test_an_exported_detector_without_limits_gets_none(
    detector: Detector, halves: Manifest, tmp_path: Path
) -> None:
    exported = export_onnx(detector.save_pretrained(tmp_path / "best"), tmp_path / "onnx")
    found = calibrate(exported, halves, 0.1, 0.2).detector
    assert found.config.ood is None
    assert found.config.calibration is not None


def test_too_few_pictures_are_told_before_any_is_scored(
    detector: Detector, small: Manifest, halves: Manifest
) -> None:
    seen: list[int] = []
    with pytest.raises(LabError, match=r"4 group.* it takes 19, of about 190 .* --rate 0.2$"):
        calibrate(detector, small, 0.05, progress=seen.append)
    with pytest.raises(LabError, match=r"0.02 .* 40 .* of fakes .* takes 49, .* --alpha 0.025$"):
        calibrate(detector, halves, 0.1, 0.02, progress=seen.append)
    with pytest.raises(LabError, match=r"0.01 .* 20 .* of reals .* takes 99, .* --also 0.048$"):
        calibrate(detector, halves, 0.1, 0.2, also=[0.01], progress=seen.append)
    assert seen == []
    # What the messages advise works.
    for data, rate, alpha in ((small, 0.2, 0.2), (halves, 0.1, 0.025)):
        assert calibrate(detector, data, rate, alpha).detector.config.calibration is not None


def test_what_cannot_be_calibrated_is_refused(detector: Detector, small: Manifest) -> None:
    with pytest.raises(
        LabError, match=r"rate of 0.05 cannot be promised from 4 group\(s\) of reals"
    ):
        calibrate(detector, small, 0.05)
    with pytest.raises(LabError, match="calibration split is empty"):
        calibrate(detector, small.split(0, (0.5, 0, 0, 0.5)))
    with pytest.raises(LabError, match="no reals to calibrate on"):
        calibrate(detector, small.where(lambda row: row.label == 1))
    other = detector.config.preprocessing.model_copy(
        update={"pipeline_version": PIPELINE_VERSION + 1}
    )
    with pytest.raises(LabError, match="train it again"):
        calibrate(
            Detector(detector.model, detector.config.model_copy(update={"preprocessing": other})),
            small,
        )


def two_sources(manifest: Manifest) -> Manifest:
    """The manifest with its reals as of two sources."""
    rows = []
    for number, row in enumerate(manifest.rows):
        is_film = not row.label and number % 2
        rows.append(replace(row, source="film") if is_film else row)
    return replace(manifest, rows=tuple(rows))


def test_small_sets_get_the_lowest_rates_that_they_can_promise(
    detector: Detector, small: Manifest, halves: Manifest
) -> None:
    few = calibrate(detector, small)
    fit = few.detector.config.calibration
    assert fit is not None
    # 4 reals: 1 in 5; 8 fakes: 1 in 9, if the band needs no cap.
    assert fit.false_alarm_rate == 0.2
    assert fit.points == ()
    assert "4 group(s) of real photos cannot promise a false-alarm rate of 0.02" in few.notes[0]
    assert "8 group(s) of fakes" in few.notes[1]

    found = calibrate(detector, two_sources(halves), 0.1, 0.2, also=[0.05, 0.1])
    fit = found.detector.config.calibration
    assert fit is not None
    assert [point.rate for point in fit.points] == [0.05]
    assert fit.left_out is not None
    assert fit.left_out.of == "calibration"
    assert set(fit.left_out.called_fake) == {"film", "photos"}
    # 10 groups of a kind that is left cannot promise .05.
    assert fit.points[0].left_out is None
    assert "in 2 of 3 cases" in found.notes[0]
    assert "kinds of reals left out of calibration, at 0.1" in found.table()
    assert fit.points[0].threshold > found.detector.config.threshold


def test_a_detector_trained_without_a_source_scores_it(
    detector: Detector, halves: Manifest, tmp_path: Path, fauxlab: Command
) -> None:
    data = two_sources(halves)
    found = calibrate(detector, data, 0.1, 0.2, left_out={"film": detector})
    fit = found.detector.config.calibration
    assert fit is not None
    assert fit.left_out is not None
    assert fit.left_out.of == "training"
    assert set(fit.left_out.called_fake) == {"film"}
    for wrong, message in (
        ({"files": detector}, "no real photos of 'files' .* there are film, photos"),
        ({"film": detector, "photos": detector}, "some sources must be known to both"),
    ):
        with pytest.raises(LabError, match=message):
            calibrate(detector, data, 0.1, 0.2, left_out=wrong)

    detector.save_pretrained(tmp_path / "best")
    data.save(tmp_path / "manifest.csv")
    best = tmp_path / "best"
    command = ("detector", "calibrate", best, tmp_path / "manifest.csv", "--rate", ".1")
    code, out, err = fauxlab(*command, "--left-out", f"film={best}")
    assert code == 0, err
    assert "kinds of reals left out of training, at 0.1" in out
    code, _, err = fauxlab(*command, "--left-out", "film")
    assert code == 1
    assert "--left-out film: give SOURCE=MODEL" in err
    code, _, err = fauxlab(*command, "--left-out", f"film,film={best}")
    assert code == 1
    assert "film has a model already" in err


def test_command_writes_a_new_bundle_beside(
    detector: Detector, halves: Manifest, tmp_path: Path, fauxlab: Command
) -> None:
    old = detector.save_pretrained(tmp_path / "best")
    halves.save(tmp_path / "manifest.csv")
    command = (
        "detector",
        "calibrate",
        tmp_path / "best",
        tmp_path / "manifest.csv",
        "--fpr",
        "0.1",
        "--alpha",
        "0.2",
    )

    (halves.root / halves.test.rows[0].path).unlink()
    code, out, err = fauxlab(*command, "--figure", str(tmp_path / "reliability.png"))
    assert code == 0, err
    assert f"skipped set/{halves.test.rows[0].path}: no such file" in err
    assert "calibration: 20 real, 40 fake" in out
    assert "best-calibrated: model hash" in err
    assert (tmp_path / "reliability.png").stat().st_size > 5000
    assert Detector.from_pretrained(tmp_path / "best").hash == old.hash
    made = Detector.from_pretrained(tmp_path / "best-calibrated")
    assert made.config.calibration is not None
    assert made.config.calibration.false_alarm_rate == 0.1

    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "keep.txt").write_text("mine")
    code, out, err = fauxlab(*command, "--out", str(tmp_path / "photos"))
    assert (code, out) == (1, "")
    assert "is no model" in err
    assert (tmp_path / "photos" / "keep.txt").read_text() == "mine"
    for name in ("a", "b", "best"):
        assert fauxlab(*command, "--degraded", "--out", str(tmp_path / name))[0] == 0
    configs = [Detector.from_pretrained(tmp_path / name).config for name in ("a", "b", "best")]
    assert configs[0] == configs[1] == configs[2], "the same pictures are degraded in the same way"
    assert configs[2].calibration is not None
    assert configs[2].calibration.degraded


def test_reliability_is_drawn_as_measured() -> None:
    from fauxlab.calibration.fit import Bin
    from fauxlab.pages.detector_figures import draw_reliability
    from fauxlab.pages.figures import render

    figure = draw_reliability(
        {"before": [Bin(0.2, 0.5, 30), Bin(0.9, 0.8, 10)], "after $x$": []}, "test split"
    )
    curve = figure.axes[0].lines[1]
    assert [*zip(*curve.get_data(), strict=True)] == [(0.2, 0.5), (0.9, 0.8)]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "before (N = 40)",
        "after $x$ (N = 0)",
    ]
    assert len(render(figure, "png")) > 5000
