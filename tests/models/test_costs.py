"""What a network costs is known before it is computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fauxlab.bundle.config import DetectorConfig, GeneratorConfig, Preprocessing
from fauxlab.errors import LabError
from fauxlab.models import costs, create_detector, create_generator
from fauxlab.models.costs import measure_costs
from fauxlab.models.pretrained import Detector, Generator


def test_the_costs_of_two_layers() -> None:
    """By hand: maps of 8·16² and 4·14² numbers, products 8·3·9·16² and 4·8/2·9·14²."""
    first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
    second = nn.Conv2d(8, 4, 3, groups=2)
    with measure_costs(nn.Sequential(first, second)) as found:
        second(first(torch.zeros(1, 3, 32, 32)))
    assert found.largest == 8 * 16**2
    assert found.products == 8 * 3 * 9 * 16**2 + 4 * 4 * 9 * 14**2
    assert found.pictures_at_once == 2**27 // (8 * 16**2)
    second(first(torch.zeros(1, 3, 320, 320)))
    assert found.largest == 8 * 16**2, "nothing is counted afterwards"


@pytest.mark.parametrize(
    ("name", "message"), [("MOST_NUMBERS", "numbers of one picture"), ("MOST_PRODUCTS", "minutes")]
)
def test_a_costly_bundle_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    how = Preprocessing(size=32, pipeline_version=1)
    config = DetectorConfig(architecture="report-cnn", preprocessing=how)
    Detector(create_detector("report-cnn", 32), config).save_pretrained(tmp_path / "d")
    of_generator = GeneratorConfig(architecture="r3", latent=8, size=32)
    Generator(create_generator("r3", 32, 8), of_generator).save_pretrained(tmp_path / "g")
    monkeypatch.setattr(costs, name, 2**10)
    for kind, folder in ((Detector, "d"), (Generator, "g")):
        with pytest.raises(LabError, match=message):
            kind.from_pretrained(tmp_path / folder)  # type: ignore[attr-defined]


def test_a_wide_layer_is_refused_before_it_is_computed(tmp_path: Path) -> None:
    """Its map of one picture of 1,024 pixels would take 4 GiB."""
    options: dict[str, Any] = {"widths": [4096, 1], "norm": "none"}
    how = Preprocessing(size=1024, pipeline_version=1)
    config = DetectorConfig(architecture="report-cnn", options=options, preprocessing=how)
    Detector(create_detector("report-cnn", 1024, **options), config).save_pretrained(tmp_path)
    with pytest.raises(LabError, match="makes 1,073,741,824 numbers of one picture"):
        Detector.from_pretrained(tmp_path)


def test_pictures_are_divided_and_predicted_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = Preprocessing(size=32, pipeline_version=1)
    config = DetectorConfig(architecture="trace", preprocessing=how)
    made = Detector(create_detector("trace", 32).eval(), config).save_pretrained(tmp_path)
    monkeypatch.setattr(costs, "MOST_AT_ONCE", 2 * 32 * 16**2)
    loaded = Detector.from_pretrained(tmp_path)
    assert loaded.most == 2
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 32, 32), dtype=np.uint8)
    for expected, found in zip(made.predict(pixels), loaded.predict(pixels), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
