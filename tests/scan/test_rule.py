"""How the scores of a model are read, in words."""

from __future__ import annotations

from typing import Any

import pytest

from fauxlab.bundle.config import Calibration, DetectorConfig, Preprocessing
from fauxlab.scan.rule import describe_rule


def config(threshold: float = 0.5, **calibration: Any) -> DetectorConfig:
    fit = Calibration(temperature=1, bias=0, **calibration) if calibration else None
    return DetectorConfig(
        architecture="report-cnn",
        preprocessing=Preprocessing(size=32, pipeline_version=1),
        threshold=threshold,
        calibration=fit,
    )


BAND = {"low": 0.3, "high": 0.8, "alpha": 0.1}
PREFIX = "of pictures like those of its calibration at most"


@pytest.mark.parametrize(
    ("given", "scores", "rates"),
    [
        (
            config(),
            "threshold 0.500: real below it, fake from it on",
            "not calibrated: scores are raw, and no error rate is stated",
        ),
        (
            config(0.8, **BAND, false_alarm_rate=0.025),
            "threshold 0.800: real below 0.300, "
            "uncertain from 0.300 to below 0.800, fake from 0.800 on",
            f"{PREFIX} 2.5 % of the real ones are called fake, and 10 % of the fakes real",
        ),
        (
            config(0.6, **BAND),
            "threshold 0.600: real below 0.300, "
            "uncertain from 0.300 to below 0.800, fake from 0.800 on",
            f"{PREFIX} 10 % of the real ones are called fake, and 10 % of the fakes real",
        ),
        (
            config(0.6, false_alarm_rate=0.05),
            "threshold 0.600: real below it, fake from it on",
            f"{PREFIX} 5 % of the real ones are called fake",
        ),
        (
            config(0.6, n_real={"a": 3}),
            "threshold 0.600: real below it, fake from it on",
            "its calibration states no error rate",
        ),
    ],
)
def test_rule(given: DetectorConfig, scores: str, rates: str) -> None:
    assert describe_rule(given) == [scores, rates]
