"""An exported detector learns a new generator, from files to files, with its own graph."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.adaptation.quarters import make_images, paint, save_pictures

from fauxlab.adaptation.making import make_reference
from fauxlab.adaptation.reference import read_reference, write_reference
from fauxlab.bundle.config import Calibration, DetectorConfig, Head, Preprocessing
from fauxlab.bundle.folder import CONFIG, REFERENCE
from fauxlab.bundle.onnx import OnnxDetector
from fauxlab.io.images import PIPELINE_VERSION
from fauxlab.models import create_detector
from fauxlab.models.export import export_onnx
from fauxlab.models.pretrained import Detector

Command = Callable[..., tuple[int, str, str]]
SMALL = {"widths": [8, 16], "blocks": [1, 1], "stem": 8, "heads": 2}
HEADS = (Head(name="made", manipulation="made"), Head(name="altered", manipulation="altered"))


def make_detector() -> Detector:
    """A detector of random weights with two heads and a threshold that few pictures reach."""
    torch.manual_seed(0)
    network = create_detector("trace", 32, **SMALL)
    with torch.no_grad():
        for _ in range(5):
            network(torch.rand(8, 3, 32, 32) * 2 - 1)
    fit = Calibration(temperature=1, bias=0, false_alarm_rate=0.05, alpha=0.1, low=0.4, high=0.9)
    config = DetectorConfig(
        architecture="trace",
        options=SMALL,
        preprocessing=Preprocessing(size=32, pipeline_version=PIPELINE_VERSION),
        heads=HEADS,
        calibration=fit,
        threshold=0.85,
    )
    return Detector(network.eval(), config)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "model"
    export_onnx(make_detector(), folder)
    detector = OnnxDetector.from_pretrained(folder)
    write_reference(folder, make_reference(detector, make_images()))
    return folder


@pytest.fixture
def fakes(tmp_path: Path) -> Path:
    return save_pictures(tmp_path / "my.green", paint(12, 77, "green", by=100))


def test_the_command_writes_a_bundle_that_scans(
    fauxlab: Command, exported: Path, fakes: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new"
    code, table, told = fauxlab(
        "detector", "adapt", str(exported), str(fakes), "--crop", "none", "--out", str(out)
    )
    assert code == 0, told
    assert table.startswith("my: learned from 12 examples as made")
    assert f"wrote {out}: model hash" in told
    before = OnnxDetector.from_pretrained(exported)
    after = OnnxDetector.from_pretrained(out)
    assert [head.name for head in after.config.heads] == ["made", "altered", "my"]
    assert after.config.training["adaptations"][0]["adapted_from"] == before.hash
    # The heads that were there give what they gave.
    pictures = paint(20, 5, "green", by=100)
    old, new = before.predict(pictures), after.predict(pictures)
    assert new.head_logits[:, :2] == pytest.approx(old.head_logits, abs=1e-4)
    assert (new.head_logits.argmax(1) == 2).mean() > 0.9
    assert new.logits == pytest.approx(np.logaddexp.reduce(new.head_logits, 1), abs=1e-4)
    scores = after.scores(new.logits)
    assert (scores >= after.config.threshold).mean() > 0.9

    code, verdicts, _ = fauxlab("scan", str(fakes), "--model", str(out), "--crop", "none", "--json")
    assert code == 0
    assert json.loads(verdicts)
    more = save_pictures(tmp_path / "dark", paint(12, 78, "green", by=-60))
    code, _, told = fauxlab(
        "detector", "adapt", str(out), str(more), "--crop", "none", "--name", "dark",
        "--real", str(save_pictures(tmp_path / "real", paint(12, 79))), "--json",
        "--out", str(tmp_path / "third"),
    )  # fmt: skip
    assert code == 0, told
    assert len(OnnxDetector.from_pretrained(tmp_path / "third").config.heads) == 4


def test_what_cannot_be_written_is_refused_first(
    fauxlab: Command, exported: Path, fakes: Path, tmp_path: Path
) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "note.txt").write_text("mine")
    code, _, told = fauxlab("detector", "adapt", str(exported), str(fakes), "--out", str(taken))
    assert code == 1
    assert "is there and is no model" in told
    code, _, told = fauxlab(
        "detector", "adapt", str(exported), str(fakes), "--crop", "none", "--name", "made"
    )
    assert (code, "has a head 'made' already" in told) == (1, True)
    assert not (exported.parent / "model-made").exists()
    code, _, told = fauxlab("detector", "adapt", str(exported), str(fakes))
    assert code == 1
    assert "no face in 12 picture(s)" in told


def test_a_reference_stays_when_the_bundle_is_saved_anew(exported: Path, tmp_path: Path) -> None:
    OnnxDetector.from_pretrained(exported).save_pretrained(tmp_path / "copy")
    assert (tmp_path / "copy" / REFERENCE).read_bytes() == (exported / REFERENCE).read_bytes()


def test_weights_for_torch_and_graphs_without_heads_are_refused(
    fauxlab: Command, exported: Path, fakes: Path, tmp_path: Path
) -> None:
    make_detector().save_pretrained(tmp_path / "torch")
    code, _, told = fauxlab("detector", "adapt", str(tmp_path / "torch"), str(fakes))
    assert (code, "write it with `fauxlab export`" in told) == (1, True)
    code, _, told = fauxlab("detector", "adapt", "no-such-model", str(fakes))
    assert (code, "no config.json in no-such-model" in told) == (1, True)


def test_adapting_needs_no_torch(exported: Path, fakes: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from fauxlab.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "assert 'torch' not in sys.modules and 'onnx' not in sys.modules\n"
    )
    words = ["detector", "adapt", str(exported), str(fakes), "--crop", "none"]
    out = ["--out", str(tmp_path / "new")]
    done = subprocess.run(
        [sys.executable, "-c", code, *words, *out], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "new" / CONFIG).is_file()


def test_a_calibration_keeps_a_reference(
    fauxlab: Command, exported: Path, fakes: Path, tmp_path: Path
) -> None:
    pictures = tmp_path / "pictures"
    for seed, kind in enumerate(("real/here", "real/there", "fake/red")):
        bright = "red" if kind == "fake/red" else ""
        save_pictures(pictures / kind, paint(80, seed + 20, bright))
    manifest = tmp_path / "manifest.csv"
    code, _, told = fauxlab(
        "data", "index", pictures, "--out", manifest, "--split", "0,.1,.8,.1"
    )  # fmt: skip
    assert code == 0, told
    calibrated = tmp_path / "calibrated"
    code, _, told = fauxlab(
        "detector", "calibrate", exported, manifest, "--rate", ".1", "--alpha", ".1",
        "--reference", "--out", calibrated,
    )  # fmt: skip
    assert code == 0, told
    assert "kept the features of 192 pictures" in told
    reference = read_reference(calibrated)
    assert sorted(set(reference.kinds.tolist())) == ["here", "red", "there"]
    code, _, told = fauxlab(
        "detector", "adapt", calibrated, fakes, "--crop", "none", "--out", tmp_path / "new"
    )
    assert code == 0, told
