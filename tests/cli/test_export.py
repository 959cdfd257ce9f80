"""`fauxlab export`, as a user meets it: a bundle beside the model, the same verdicts, one line for
each fault.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fauxlab.bundle.config import DetectorConfig, Preprocessing
from fauxlab.data.manifest import Manifest
from fauxlab.io.images import PIPELINE_VERSION
from fauxlab.models import create_detector
from fauxlab.models.pretrained import Detector

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    options = {"widths": [8, 16], "blocks": [1, 1], "stem": 8}
    how = Preprocessing(size=32, pipeline_version=PIPELINE_VERSION)
    config = DetectorConfig(architecture="trace", options=options, preprocessing=how)
    Detector(create_detector("trace", 32, **options).eval(), config).save_pretrained(
        tmp_path / "best"
    )
    return tmp_path / "best"


def test_exported_models_scan_alike(fauxlab: Command, small: Manifest, model: Path) -> None:
    manifest = model.parent / "manifest.csv"
    small.save(manifest)
    bad = small.calibration.rows[0].path
    (small.root / bad).write_bytes(b"")
    names = ("best", "best-onnx", "best-int8")
    assert fauxlab("export", model)[0] == 0
    code, out, err = fauxlab("export", model, "--int8", manifest)
    assert (code, out) == (0, "")
    assert "int8" in err.splitlines()[-1]
    assert f"skipped set/{bad}: changed since it was indexed" in err
    code, _, err = fauxlab("export", model.parent / "best-onnx")
    assert (code, len(err.splitlines())) == (1, 1)
    assert "best-onnx is an exported detector (model.onnx), which cannot be" in err
    photo = small.train.rows[0].path
    found = []
    for name in names:
        code, out, err = fauxlab(
            "scan", small.root / photo, "--model", model.parent / name, "--crop", "none", "--json"
        )
        assert code == 0, err
        found += json.loads(out)
    assert found[1]["score"] == pytest.approx(found[0]["score"], abs=1e-4)
    assert found[2]["score"] == pytest.approx(found[0]["score"], abs=0.1)
    assert len({verdict["model_hash"] for verdict in found}) == 3


def test_weights_in_16_bits(fauxlab: Command, model: Path) -> None:
    code, out, err = fauxlab("export", model, "--half")
    assert (code, out) == (0, "")
    assert err.splitlines()[-1].endswith(", float16")
    assert (model.parent / "best-half" / "model.onnx").is_file()


def test_faults_are_one_line(fauxlab: Command, small: Manifest, model: Path) -> None:
    small.in_split("test").save(model.parent / "test.csv")
    for arguments, message in (
        (("--out", model), "no exported model"),
        (("--int8", model.parent / "test.csv"), "calibration split .* is empty"),
        (("--int8", model.parent / "none.csv"), "none.csv"),
        (("--int8", model.parent / "test.csv", "--half"), "exclude each other"),
    ):
        code, _, err = fauxlab("export", model, *arguments)
        assert (code, len(err.splitlines())) == (1, 1), err
        with pytest.raises(AssertionError, match=message):
            raise AssertionError(err)
