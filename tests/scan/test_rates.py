"""A scan by another of the false-alarm rates that a detector states."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fauxlab.bundle.config import Calibration, DetectorConfig, OperatingPoint, Preprocessing
from fauxlab.bundle.detector import AnyDetector
from fauxlab.errors import LabError
from fauxlab.io.images import PIPELINE_VERSION
from fauxlab.models import create_detector
from fauxlab.models.pretrained import Detector
from fauxlab.scan.scanner import Scanner

Jpeg = Callable[..., bytes]
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def detector() -> Detector:
    """A detector with scores near .5, which are fake at one rate and uncertain at the other."""
    torch.manual_seed(0)
    further = OperatingPoint(rate=0.01, threshold=0.99, low=0.02, high=0.99)
    fit = Calibration(
        temperature=100,
        bias=0,
        false_alarm_rate=0.02,
        alpha=0.1,
        low=0.01,
        high=0.01,
        points=(further,),
    )
    config = DetectorConfig(
        architecture="report-cnn",
        preprocessing=Preprocessing(size=32, pipeline_version=PIPELINE_VERSION),
        threshold=0.01,
        calibration=fit,
    )
    return Detector(create_detector("report-cnn", 32).eval(), config, "abc")


def test_the_rate_decides(detector: Detector, jpeg: Jpeg) -> None:
    default = Scanner(detector, "none")(jpeg(0))
    named = Scanner(detector, "none", rate=0.02)(jpeg(0))
    stricter = Scanner(detector, "none", rate=0.01)(jpeg(0))
    assert default == named
    assert (default.decision, default.threshold) == ("fake", 0.01)
    assert (stricter.decision, stricter.threshold) == ("uncertain", 0.99)
    assert stricter.score == default.score
    assert stricter.model_hash == default.model_hash


def test_another_rate_is_refused_with_those_there_are(
    detector: Detector, brightness: AnyDetector
) -> None:
    with pytest.raises(LabError, match=r"rate of 0.3; it states: 0.02, 0.01; "):
        Scanner(detector, rate=0.3)
    with pytest.raises(LabError, match="it states: none"):
        Scanner(brightness, rate=0.02)


def test_the_option(detector: Detector, jpeg: Jpeg, tmp_path: Path, fauxlab: Command) -> None:
    folder = tmp_path / "model"
    detector.save_pretrained(folder)
    (tmp_path / "a.jpg").write_bytes(jpeg(0))
    command = ("scan", tmp_path / "a.jpg", "--model", folder, "--crop", "none")
    code, out, err = fauxlab(*command, "--rate", ".01", "--json")
    assert code == 0, err
    assert json.loads(out)[0]["threshold"] == 0.99
    code, out, _ = fauxlab(*command, "--rate", ".01")
    assert code == 0
    assert "threshold 0.990" in out
    assert "at most 1 % of the real ones are called fake" in out
    code, out, err = fauxlab(*command, "--rate", "1")
    assert (code, out) == (1, "")
    assert "no false-alarm rate of 1; it states: 0.02, 0.01" in err
