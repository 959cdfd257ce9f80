"""The large detector is calibrated and adapted, on a tower that only measures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from fauxlab.adaptation.reference import read_reference
from fauxlab.bundle import tower as module
from fauxlab.bundle.config import DetectorConfig, Head, Preprocessing
from fauxlab.bundle.heads import HeadWeights
from fauxlab.bundle.opening import open_detector
from fauxlab.bundle.tower import ARCHITECTURE, TOWER_FEATURES, TowerDetector, save_tower_bundle
from fauxlab.bundle.tower_session import EMBEDDING, Tokens
from fauxlab.bundle.tower_store import TOWER_SHA256
from fauxlab.bundle.tower_weights import TowerWeights
from fauxlab.data.manifest import Manifest
from fauxlab.io.images import PIPELINE_VERSION
from fauxlab.models import create_detector
from fauxlab.models.export import trace_graph

Command = Callable[..., tuple[int, str, str]]

ROUGHNESS = TOWER_FEATURES - EMBEDDING  # the place of the first number of the embedding
GREEN = ROUGHNESS + 1
TEXTURE = 16


class MeasuringTower:
    """In place of the tower: an embedding of a picture's roughness and greenness, and no blocks."""

    def run(self, picture: NDArray[np.uint8]) -> Tokens:
        image = picture.astype(np.float32)
        embedding = np.zeros(EMBEDDING, np.float32)
        embedding[0] = np.abs(np.diff(image)).mean()
        embedding[1] = (image[1] - image.mean(0)).mean() / 10
        blocks = [np.zeros((197, 768), np.float32) for _ in range(4)]
        return Tokens(blocks, embedding)


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The bundle of a large detector whose head "made" looks for roughness, "altered" for red."""
    monkeypatch.setattr(module, "Tower", lambda content, norms: MeasuringTower())
    monkeypatch.setattr(module, "read_tower", lambda: b"")
    torch.manual_seed(0)
    network = create_detector("trace", 32, widths=[8, TEXTURE], blocks=[1, 1], stem=8)
    weight = np.zeros((2, TOWER_FEATURES + TEXTURE), np.float32)
    weight[0, ROUGHNESS] = 1
    weight[1, GREEN] = -0.1
    zeros, ones = np.zeros(2, np.float32), np.ones(2, np.float32)
    config = DetectorConfig(
        architecture=ARCHITECTURE,
        options={"tower": TOWER_SHA256},
        precision="int8",
        preprocessing=Preprocessing(size=224, pipeline_version=PIPELINE_VERSION),
        heads=(
            Head(name="made", manipulation="made"),
            Head(name="altered", manipulation="altered"),
        ),
    )
    heads = HeadWeights(weight, zeros, zeros, ones)
    folder = tmp_path / "large"
    save_tower_bundle(folder, config, TowerWeights(heads, {}), trace_graph(network, 32))
    return folder


def save_green_pictures(folder: Path) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(7)
    for number in range(6):
        coarse = rng.integers(60, 190, (5, 5, 3))
        coarse[:, :, 1] += 60
        picture = Image.fromarray(coarse.astype(np.uint8))
        picture.resize((48, 48), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    return folder


def test_it_is_calibrated_and_learns_a_new_generator(
    large: Path, small: Manifest, tmp_path: Path, fauxlab: Command
) -> None:
    small.split(0, (0, 0, 0.5, 0.5)).save(tmp_path / "manifest.csv")
    ready = tmp_path / "ready"
    words = ["--rate", "0.1", "--alpha", "0.2", "--reference", "--out", ready]
    code, out, err = fauxlab("detector", "calibrate", large, tmp_path / "manifest.csv", *words)
    assert code == 0, err
    assert "calibration: 20 real, 40 fake" in out
    calibrated = open_detector(ready, trust=True)
    assert isinstance(calibrated, TowerDetector)
    assert calibrated.config.calibration is not None
    assert calibrated.config.calibration.false_alarm_rate == 0.1
    reference = read_reference(ready)
    assert len(reference) == 60
    assert reference.head_logits.shape == (60, 2)
    before = open_detector(large, trust=True)
    assert isinstance(before, TowerDetector)
    np.testing.assert_array_equal(calibrated.weights.heads.weight, before.weights.heads.weight)

    green = save_green_pictures(tmp_path / "green")
    adapted = tmp_path / "adapted"
    code, _, err = fauxlab(
        "detector", "adapt", ready, green, "--crop", "none", "--trust-model", "--out", adapted
    )
    assert code == 0, err
    detector = open_detector(adapted, trust=True)
    assert isinstance(detector, TowerDetector)
    assert [head.name for head in detector.config.heads] == ["made", "altered", "green"]
    assert detector.weights.heads.weight[2, GREEN] > 0
    np.testing.assert_array_equal(detector.weights.heads.weight[:2], before.weights.heads.weight)
    code, out, err = fauxlab(
        "scan", green, "--model", adapted, "--crop", "none", "--trust-model", "--csv"
    )
    assert code == 0, err
    assert out.count(",fake,ok,") == 6, out
