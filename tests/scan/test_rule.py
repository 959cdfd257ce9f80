"""How the scores of a model are read, in words."""

from __future__ import annotations

from typing import Any

import pytest

from fauxlab.bundle.config import (
    Calibration,
    DetectorConfig,
    LeftOut,
    OperatingPoint,
    Preprocessing,
)
from fauxlab.bundle.decision import at_rate, decide
from fauxlab.errors import LabError
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


LEFT_OUT = LeftOut(
    of="training",
    called_fake={"press": 0.01, "stock": 0.05, "film": 0.0},
    uncertain={"press": 0.03, "stock": 0.06, "film": 0.0},
)


def test_a_rate_for_the_next_kind_is_told_with_the_kinds_left_out() -> None:
    given = config(0.8, low=0.3, high=0.8, alpha=0.1, false_alarm_rate=0.02, left_out=LEFT_OUT)
    _, stated, measured = describe_rule(given)
    assert stated == (
        "stated false-alarm rate: 2 % of real photos; at most 10 % of the fakes of known "
        "generators are called real"
    )
    assert measured == (
        "of 3 kinds of real photos, each left out of the training: 2 % called fake on average, "
        "5 % at worst (stock), 3 % uncertain"
    )


def test_another_stated_rate_has_its_own_threshold_and_band() -> None:
    further = OperatingPoint(
        rate=0.01, threshold=0.9, low=0.4, high=0.9, alpha=0.2, left_out=LEFT_OUT
    )
    given = config(0.8, **BAND, false_alarm_rate=0.02, points=(further,))
    assert at_rate(given, None) is given
    assert at_rate(given, 0.02) is given
    stricter = at_rate(given, 0.01)
    assert (stricter.threshold, stricter.band) == (0.9, (0.4, 0.9))
    assert [decide(used, 0.85) for used in (given, stricter)] == [("fake", False), ("real", True)]
    assert "1 % of real photos; at most 20 % of the fakes" in describe_rule(stricter)[1]
    # It is a config like any other.
    assert DetectorConfig.model_validate(stricter.model_dump()) == stricter

    with pytest.raises(LabError, match=r"no false-alarm rate of 0.05; it states: 0.02, 0.01; "):
        at_rate(given, 0.05)
    with pytest.raises(LabError, match=r"no false-alarm rate of 0.01; it states: none; "):
        at_rate(config(), 0.01)


def test_a_further_rate_in_the_wrong_order_is_refused() -> None:
    with pytest.raises(ValueError, match="not in this order"):
        OperatingPoint(rate=0.01, threshold=0.9, low=0.95, high=0.97)
