"""Robustness: the clean row is the plain report, both classes are treated alike, figures agree with
sums by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fauxlab.bundle.config import DetectorConfig, Preprocessing
from fauxlab.data.cache import ImageArray
from fauxlab.data.manifest import Manifest, Row
from fauxlab.errors import LabError
from fauxlab.evaluation import predicting, robustness
from fauxlab.evaluation.detection import detection_report
from fauxlab.evaluation.predicting import predict_decisions
from fauxlab.evaluation.robustness import robustness_report
from fauxlab.io.images import PIPELINE_VERSION
from fauxlab.models import create_detector
from fauxlab.models.detectors import TensorPrediction
from fauxlab.models.pretrained import Detector
from fauxlab.records import RobustnessReport
from fauxlab.transforms.protocol import list_degradations

Command = Callable[..., tuple[int, str, str]]


def predict(model: nn.Module, images: Tensor) -> TensorPrediction:
    logits = model(images)
    no_heads = logits[:, None][:, :0]
    return TensorPrediction(
        logits, logits[:, None, None], torch.zeros_like(logits), no_heads, no_heads
    )


class Brightness(nn.Module):
    """Logit = mean of the input in [-1, 1]: pictures above mid-grey are called fake."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        return self.scale * images.mean(dim=(1, 2, 3))

    def predict(self, images: Tensor) -> TensorPrediction:
        return predict(self, images)


class Roughness(nn.Module):
    """Logit = mean difference of neighbours: blind to all but fine detail."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        return self.scale * images.diff(dim=3).abs().mean(dim=(1, 2, 3))

    def predict(self, images: Tensor) -> TensorPrediction:
        return predict(self, images)


def detector(model: nn.Module, size: int = 16) -> Detector:
    config = DetectorConfig(
        architecture="by-hand",
        preprocessing=Preprocessing(size=size, pipeline_version=PIPELINE_VERSION),
    )
    return Detector(model.eval(), config, "hash")


def array(
    pixels: np.ndarray, labels: Sequence[int], generators: Sequence[str] | None = None
) -> ImageArray:
    """Pictures in memory as if they came from a manifest; each a group of its own."""
    rows = tuple(
        Row(
            str(i),
            label,
            (generators[i] if generators else "g") if label else "",
            "" if label else "photos",
            "",
            f"group{i}",
            "test",
            f"{i:064x}",
        )
        for i, label in enumerate(labels)
    )
    return ImageArray(Manifest(rows, Path("/")), pixels.shape[-1], pixels, np.arange(len(rows)))


def flats(levels: Sequence[int]) -> np.ndarray:
    """One flat grey picture uint8 [3, 16, 16] a level."""
    return np.array(levels, dtype=np.uint8)[:, None, None, None] * np.ones(
        (1, 3, 16, 16), dtype=np.uint8
    )


def test_a_detector_of_brightness_by_hand() -> None:
    # Reals at 180 … 199, fakes at 200 … 219: all told apart (AUC 1). × 1.3, values from 196 on are
    # all 255: the fakes tie with the reals 196 … 199, so that 16 of 20 reals stand below every fake
    # and 4 tie with all: .8 + .1.
    images = array(flats(range(180, 220)), [0] * 20 + [1] * 20)
    report = robustness_report(detector(Brightness()), images, ["brightness"])
    darker, lighter = report.degraded
    assert report.clean.pooled.auc.value == 1
    assert (darker.name, lighter.name) == ("brightness ×0.7", "brightness ×1.3")
    assert lighter.pooled.auc.value == pytest.approx(0.9)
    assert lighter.auc_change.value == pytest.approx(-0.1)
    assert report.worst == "brightness ×1.3"
    # The threshold is mid-grey, 127.5. Clean, all are called fake; × .7 makes 126 … 153 of them:
    # the reals 180, 181 and 182 (126, 126.7 → 127, 127.4 → 127) fall below it.
    assert report.clean.real_accuracy["photos"].value == 0
    assert darker.real_accuracy["photos"].value == pytest.approx(3 / 20)
    assert darker.pooled.accuracy.value == pytest.approx(23 / 40)


def test_a_change_is_paired() -> None:
    # Flat pictures survive recompression unchanged, so that the AUC's own interval is wide and the
    # change's is not.
    rng = np.random.default_rng(0)
    images = array(flats(rng.integers(60, 200, 80).tolist()), ([0, 1] * 40))
    (row,) = robustness_report(detector(Brightness()), images, ["screenshot"]).degraded
    assert row.pooled.auc.high - row.pooled.auc.low > 0.15
    assert row.auc_change.high - row.auc_change.low < 0.03


def test_fine_detail_is_lost_to_blur_and_small_sizes() -> None:
    rng = np.random.default_rng(1)
    smooth = np.repeat(np.repeat(rng.integers(60, 190, (60, 3, 4, 4)), 4, axis=2), 4, axis=3)
    smooth = smooth + rng.integers(-2, 3, smooth.shape)
    smooth[30:] += rng.integers(-12, 13, smooth[30:].shape)  # the fakes' grain
    images = array(smooth.astype(np.uint8), [0] * 30 + [1] * 30)
    report = robustness_report(
        detector(Roughness()), images, ["blur", "resize", "brightness"], bootstrap=50
    )
    after = {row.name: row.pooled.auc.value for row in report.degraded}
    assert after["blur σ0.5"] > after["blur σ1"] > after["blur σ2"] - 0.05
    assert after["resize ×2"] > after["resize ×0.5"]
    assert report.worst in ("blur σ1", "blur σ2", "resize ×0.25", "resize ×0.5")


def test_the_clean_row_is_the_plain_report(small: Manifest) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (len(small), 3, 16, 16), dtype=np.uint8)
    images = ImageArray(small, 16, pixels, rng.permutation(len(small)))
    model, calls = detector(Brightness()), []
    report = robustness_report(
        model, images, ["crop"], bootstrap=100, seed=3, progress=calls.append
    )
    scores, decided = predict_decisions(model, images)
    plain = detection_report(
        small,
        scores,
        decided=decided,
        model="by-hand",
        model_hash="hash",
        bootstrap=100,
        seed=3,
    )
    assert report.clean == plain
    assert sum(calls) == 4 * len(small)
    assert [s.name for s in report.degraded[0].generators] == small.generators


def test_both_classes_are_treated_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []
    predict = robustness.predict_decisions

    def watch(model: Detector, images: ImageArray, change=None, progress=None) -> np.ndarray:
        pixels = images.take(np.arange(len(images)))
        seen.append((change(pixels) if change else pixels).tobytes())
        return predict(model, images, change, progress)

    monkeypatch.setattr(robustness, "predict_decisions", watch)
    pixels = np.random.default_rng(2).integers(0, 256, (12, 3, 16, 16), dtype=np.uint8)
    labels = [0, 1] * 6
    robustness_report(detector(Brightness()), array(pixels, labels), bootstrap=10)
    before = seen.copy()
    seen.clear()
    robustness_report(
        detector(Brightness()), array(pixels, [1 - label for label in labels]), bootstrap=10
    )
    assert seen == before
    assert len(seen) == 1 + len(list_degradations())


def test_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (40, 3, 16, 16), dtype=np.uint8)
    images = array(pixels, [0, 1] * 20)
    whole = robustness_report(detector(Brightness()), images, ["noise"], bootstrap=20)
    monkeypatch.setattr(predicting, "BATCH", 7)
    assert robustness_report(detector(Brightness()), images, ["noise"], bootstrap=20) == whole


def test_table_and_json() -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (40, 3, 16, 16), dtype=np.uint8)
    images = array(pixels, [0, 1] * 20, [("grain", "speckle")[i % 4 // 2] for i in range(40)])
    report = robustness_report(detector(Brightness()), images, bootstrap=50)
    assert RobustnessReport.model_validate_json(report.model_dump_json()) == report
    head, *lines = report.table().splitlines()
    assert head.split() == [
        "pooled",
        "AUC",
        "change",
        "grain",
        "speckle",
        "reals",
        "called",
        "real",
    ]
    assert len(lines) == 1 + len(list_degradations()) + 1
    assert lines[0].startswith(f"clean             {report.clean.pooled.auc}")
    jpeg = next(line for line in lines if line.startswith("jpeg q30"))
    row = next(row for row in report.degraded if row.name == "jpeg q30")
    confusion = row.pooled.confusion
    assert jpeg.split()[-3:] == [
        f"{row.generators[0].auc.value:.3f}",
        f"{row.generators[1].auc.value:.3f}",
        f"{confusion.real_as_real / 20:.3f}",
    ]
    assert lines[-1] == f"worst: {report.worst}"


def test_one_class_alone_has_no_worst() -> None:
    report = robustness_report(
        detector(Brightness()), array(flats(range(100, 120)), [0] * 20), ["jpeg"]
    )
    assert report.worst is None
    assert "n/a" in report.table()
    assert report.degraded[0].real_accuracy["photos"].value == 1


def test_the_command_prints_both_tables(small: Manifest, tmp_path: Path, fauxlab: Command) -> None:
    small.save(tmp_path / "manifest.csv")
    config = DetectorConfig(
        architecture="report-cnn",
        options={"widths": [8, 16]},
        preprocessing=Preprocessing(size=32, pipeline_version=PIPELINE_VERSION),
    )
    Detector(create_detector("report-cnn", 32, widths=[8, 16]).eval(), config).save_pretrained(
        tmp_path / "model"
    )

    def run(*options: str) -> str:
        return fauxlab("detector", "eval", tmp_path / "model", tmp_path / "manifest.csv", *options)[
            1
        ]

    plain, both = run(), run("--robustness")
    assert both.startswith(plain.rstrip())
    report = RobustnessReport.model_validate_json(run("--robustness", "--json"))
    assert both == f"{report.clean.table()}\n\n{report.table()}\n"
    assert report.clean.n == len(small.test)


def test_faults_are_said() -> None:
    images = array(flats(range(100, 120)), [0, 1] * 10)
    with pytest.raises(LabError, match="no degradation 'rain'"):
        robustness_report(detector(Brightness()), images, ["rain"])
    with pytest.raises(LabError, match="images of 16 px for a detector of 32 px"):
        robustness_report(detector(Brightness(), 32), images)
    empty = replace(
        images, manifest=replace(images.manifest, rows=()), slots=np.zeros(0, dtype=np.int64)
    )
    with pytest.raises(LabError, match="no image to evaluate"):
        robustness_report(detector(Brightness()), empty)
