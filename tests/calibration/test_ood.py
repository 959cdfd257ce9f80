"""What is typical: the fit against sums done by hand, the limit's promise, and odd pictures told
from those fitted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.detector.ood_images import draw_ood_image

from fauxlab.bundle.config import DetectorConfig, Preprocessing
from fauxlab.bundle.decision import can_tell, has_colours, in_distribution
from fauxlab.calibration.calibrate import calibrate
from fauxlab.calibration.ood import (
    fit_gaussian,
    fit_limit,
    fit_ood,
    fit_sharpness,
    limit_of_distances,
    ood_features,
)
from fauxlab.data.cache import load_images
from fauxlab.data.manifest import Manifest
from fauxlab.datasets.toyfaces import draw, plan
from fauxlab.errors import LabError
from fauxlab.io.images import PIPELINE_VERSION
from fauxlab.io.sharpness import measure_sharpness
from fauxlab.io.tint import measure_tint
from fauxlab.models import create_detector
from fauxlab.models.pretrained import Detector
from fauxlab.transforms.degradations import degrade_repeatably
from fauxlab.transforms.protocol import degrade

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def detector() -> Detector:
    """A small network of random weights: its features tell pages and flat colours from soft
    pictures all the same.
    """
    torch.manual_seed(0)
    options = {"widths": [8, 16], "blocks": [1, 1], "stem": 8}
    preparation = Preprocessing(size=32, pipeline_version=PIPELINE_VERSION)
    config = DetectorConfig(architecture="trace", options=options, preprocessing=preparation)
    return Detector(create_detector("trace", 32, **options).eval(), config)


@pytest.fixture
def halves(small: Manifest) -> Manifest:
    return small.split(0, (0, 0, 0.5, 0.5))


def test_distances_are_those_of_the_shrunk_covariance() -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((400, 3)) * [1, 5, 0.2] + [5, 0, -1]
    features[:, 1] += 3 * features[:, 0]
    fit = fit_gaussian(features)
    assert np.mean(fit.distances(features) ** 2) == pytest.approx(1)

    from sklearn.covariance import LedoitWolf

    reference = LedoitWolf().fit((features - features.mean(0)) / features.std(0))
    squared = reference.mahalanobis((features - features.mean(0)) / features.std(0))
    np.testing.assert_allclose(fit.distances(features) ** 2, squared / squared.mean(), rtol=1e-6)


def test_few_and_constant_features_give_finite_distances() -> None:
    rng = np.random.default_rng(0)
    features = np.hstack([rng.standard_normal((5, 40)), np.zeros((5, 2))])
    fit = fit_gaussian(features)
    assert np.isfinite(fit.root).all()
    odd = features[:1].copy()
    odd[0, -1] = 1  # a channel that never fired
    assert fit.distances(odd)[0] > 3 * fit.distances(features).max()
    assert np.isfinite(fit_gaussian(np.ones((4, 3))).distances(np.ones((2, 3)))).all()


def test_at_most_the_rate_of_new_groups_lies_beyond() -> None:
    beyond = []
    for seed in range(40):
        features = np.random.default_rng(seed).standard_normal((500, 4))
        limit, promised = fit_limit(features[:300], np.array([str(i) for i in range(300)]), 0.05)
        assert promised == 0.05
        beyond.append(np.mean(fit_gaussian(features[:300]).distances(features[300:]) > limit))
    assert np.mean(beyond) == pytest.approx(0.05, abs=0.012)


def test_limits_of_an_exported_detector_are_for_the_distances_of_its_graph() -> None:
    distances = np.arange(1.0, 61.0)
    groups = np.array([str(i) for i in range(60)])
    # Of 60 groups at .05: .05 · 61 - 1 = 2.05, so two may lie beyond.
    assert limit_of_distances(distances, groups, 0.05) == (58.0, 0.05)
    assert limit_of_distances(distances, groups, 0.01) == (60.0, pytest.approx(1 / 61))


def test_a_limit_of_tint_is_passed_by_few_and_refuses_one_colour(
    detector: Detector, halves: Manifest
) -> None:
    images = load_images(halves.calibration, 32)
    found = fit_ood(detector, images, rate=0.05, refuse_tinted=True).config
    assert found.ood is not None
    assert found.ood.tint is not None
    pixels = images.take(np.arange(len(images)))
    tints = [measure_tint(picture) for picture in pixels]
    assert np.mean([tint > found.ood.tint for tint in tints]) <= 1 / 60
    grey = degrade(pixels[0], "saturation", 0)
    for picture, expected in ((pixels[0], True), (grey, True), (degrade(grey, "sepia", 1), False)):
        assert has_colours(found, measure_tint(picture)) == expected
        assert can_tell(found, 0, 1, measure_tint(picture)) == expected
    plain = fit_ood(detector, images, rate=0.05).config
    assert plain.ood is not None
    assert plain.ood.tint is None
    assert has_colours(plain, 1e9)


def test_limits_are_order_statistics_of_groups() -> None:
    features = np.random.default_rng(0).standard_normal((60, 2))
    groups = np.repeat([str(i) for i in range(20)], 3)
    # Of 20 groups 1 % promises nothing: the limit is the largest distance, the promise 1 / 21.
    assert fit_limit(features, groups, 0.01)[1] == pytest.approx(1 / 21)
    # At .1, .1 · 21 - 1 = 1.1 votes may lie beyond: three pictures of one group are one vote.
    highest, limit = fit_limit(features, groups, 0.01)[0], fit_limit(features, groups, 0.1)[0]
    assert limit < highest
    with pytest.raises(LabError, match="one group"):
        fit_limit(features, np.repeat("a", 60))
    with pytest.raises(LabError, match="rate 1"):
        fit_limit(features, groups, 1)


def test_odd_pictures_lie_beyond_and_the_fitted_within(
    detector: Detector, halves: Manifest
) -> None:
    images = load_images(halves.calibration, 32)
    seen: list[int] = []
    found = fit_ood(detector, images, rate=0.05, progress=seen.append)
    assert sum(seen) == len(images)
    told = found.config.ood
    assert told is not None
    assert (told.rate, told.n) == (0.05, 60)
    assert detector.config.ood is None
    assert not detector.predict(images.take(np.arange(4))).ood_distances.any(), (
        "the network that was given is left alone"
    )

    test = load_images(halves.test, 32)
    pixels = test.take(np.arange(len(test)))
    changed = np.stack([degrade_repeatably(picture) for picture in pixels])
    for pictures in (pixels, changed):
        refused = [
            not in_distribution(found.config, distance)
            for distance in found.predict(pictures).ood_distances.tolist()
        ]
        assert np.mean(refused) <= 0.15
    for kind in ("flat", "gradient", "drawing", "interface"):
        odd = np.stack([draw_ood_image(kind, 32, seed) for seed in range(20)])
        refused = [
            not in_distribution(found.config, distance)
            for distance in found.predict(odd).ood_distances.tolist()
        ]
        assert np.mean(refused) >= 0.8, kind
    features = ood_features(detector, images, degrade_repeatably)
    np.testing.assert_allclose(
        fit_gaussian(features).distances(features[:60]),
        found.predict(images.take(np.arange(60))).ood_distances,
        rtol=1e-3,
    )


def test_a_detector_without_a_limit_finds_all_typical(detector: Detector, halves: Manifest) -> None:
    assert in_distribution(detector.config, 1e9)
    plain = Detector(
        create_detector("report-cnn", 32).eval(), detector.config.model_copy(update={"options": {}})
    )
    with pytest.raises(LabError, match="keeps no distances"):
        fit_ood(plain, load_images(halves.calibration, 32))


def test_calibration_fits_it_too_and_the_bundle_keeps_it(
    detector: Detector, halves: Manifest, tmp_path: Path, fauxlab: Command
) -> None:
    found = calibrate(detector, halves, 0.1, 0.2)
    assert found.figures["test"][0].refused is None
    refused = found.figures["test"][1].refused
    assert refused is not None
    assert max(refused) <= 0.1
    assert "reals refused (OOD, blurred)" in found.table()
    again = calibrate(found.detector, halves, 0.1, 0.2)
    assert again.detector.config.ood == found.detector.config.ood

    detector.save_pretrained(tmp_path / "best")
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
    assert fauxlab(*command)[0] == 0
    loaded = Detector.from_pretrained(tmp_path / "best-calibrated")
    assert loaded.config.ood == found.detector.config.ood
    odd = np.stack([draw_ood_image("noise", 32, 0), draw_ood_image("checkerboard", 32, 0)])
    np.testing.assert_allclose(
        loaded.predict(odd).ood_distances, found.detector.predict(odd).ood_distances, rtol=1e-5
    )
    assert "the model cannot tell" in (tmp_path / "best-calibrated" / "README.md").read_text()


def test_detail_is_what_half_the_size_loses() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (3, 64, 64), dtype=np.uint8)
    flat = np.full((3, 64, 64), 90, dtype=np.uint8)
    ramp = np.broadcast_to(np.linspace(0, 255, 64).astype(np.uint8), (3, 64, 64))
    checks = np.indices((64, 64)).sum(0) % 2 * np.uint8(255)
    assert measure_sharpness(flat) == 0
    assert measure_sharpness(ramp) < 0.02
    assert measure_sharpness(np.stack([checks] * 3).astype(np.uint8)) > 0.9, (
        "all of it is above half the resolution"
    )
    assert 0.5 < measure_sharpness(noise) < 1
    assert measure_sharpness(degrade(noise, "blur", 2)) < 0.2 * measure_sharpness(noise)


def test_blurred_pictures_lack_detail_and_the_fitted_do_not(halves: Manifest) -> None:
    photos = plan(60)
    faces = np.stack([draw("wiki", photos, k, 64).transpose(2, 0, 1) for k in range(60)])
    images = replace(load_images(halves.calibration, 32), pixels=faces, slots=np.arange(60))
    least = fit_sharpness(images)
    assert np.mean([measure_sharpness(face) < least for face in faces]) <= 0.02
    assert (
        np.mean([measure_sharpness(degrade(face, "resize", 0.25)) < least for face in faces]) >= 0.9
    )
