"""Bundles: what is saved comes back, and what is not a bundle is refused with one line."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fauxlab.errors import LabError
from fauxlab.models import create_detector
from fauxlab.models.bundle import CONFIG, WEIGHTS, Calibration, Detector, DetectorConfig, Preprocessing


def make(seed: int = 0, **changes: object) -> Detector:
    torch.manual_seed(seed)
    config = DetectorConfig(
        architecture="report-cnn", preprocessing=Preprocessing(size=32, pipeline_version=1), **changes
    )
    return Detector(create_detector("report-cnn", 32).eval(), config)


def test_round_trip(tmp_path: Path) -> None:
    saved = make().save_pretrained(tmp_path / "m")
    loaded = Detector.from_pretrained(tmp_path / "m")
    images = torch.rand(3, 3, 32, 32)
    assert torch.equal(loaded.model(images), saved.model(images))
    assert (loaded.hash, loaded.config) == (saved.hash, saved.config)
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["README.md", CONFIG, WEIGHTS]
    assert loaded.hash in (tmp_path / "m/README.md").read_text()
    assert json.loads((tmp_path / "m" / CONFIG).read_text())["labels"] == ["real", "fake"]


def test_saving_again_replaces_all(tmp_path: Path) -> None:
    first = make(0).save_pretrained(tmp_path / "m")
    second = make(1).save_pretrained(tmp_path / "m")
    assert first.hash != second.hash == Detector.from_pretrained(tmp_path / "m").hash
    assert [p.name for p in tmp_path.iterdir()] == ["m"], "nothing is left lying beside it"


def test_hash_sees_threshold_and_calibration() -> None:
    hashes = set()
    for i, changes in enumerate([{}, {"threshold": 0.4}, {"calibration": Calibration(temperature=2, bias=0)}]):
        path = Path(os.environ["FAUXLAB_CACHE"]) / str(i)
        hashes.add(make(0, **changes).save_pretrained(path).hash)
    assert len(hashes) == 3


def test_scores_are_the_sigmoid_until_calibrated() -> None:
    logits = torch.tensor([-2.0, 0.0, 2.0])
    torch.testing.assert_close(make().scores(logits), torch.sigmoid(logits))
    fitted = make(calibration=Calibration(temperature=2.0, bias=1.0))
    torch.testing.assert_close(fitted.scores(logits), torch.sigmoid(torch.tensor([0.0, 1.0, 2.0])))


def edit_config(**changes: object) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        config = json.loads((folder / CONFIG).read_text())
        (folder / CONFIG).write_text(json.dumps({**config, **changes}))

    return edit


def wrong_shape(folder: Path) -> None:
    state = load_file(folder / WEIGHTS)
    state["head.weight"] = torch.zeros(1, 7)
    save_file(state, folder / WEIGHTS)


def not_finite(folder: Path) -> None:
    state = load_file(folder / WEIGHTS)
    state["head.bias"] = torch.tensor([float("nan")])
    save_file(state, folder / WEIGHTS)


def reset(name: str, value: float, kind: torch.dtype = torch.float32) -> Callable[[Path], None]:
    """Fill the tensors whose names end in `name`."""

    def edit(folder: Path) -> None:
        state = load_file(folder / WEIGHTS)
        chosen = {key: torch.full_like(t, value, dtype=kind) for key, t in state.items() if key.endswith(name)}
        assert chosen
        save_file({**state, **chosen}, folder / WEIGHTS)

    return edit


PREPARED = {"size": 32, "pipeline_version": 1}
DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda f: (f / CONFIG).unlink(), "no config.json"),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), "no model.safetensors"),
    "config no json": (lambda f: (f / CONFIG).write_text("{"), "is not a detector's config"),
    "config binary": (lambda f: (f / CONFIG).write_bytes(b"\xff\xfe\0"), "is not a detector's config"),
    "config nested": (lambda f: (f / CONFIG).write_text("[" * 100_000), "is not a detector's config"),
    "unknown key": (edit_config(extra=1), "extra"),
    "labels swapped": (edit_config(labels=["fake", "real"]), "labels"),
    "threshold": (edit_config(threshold=2), "threshold"),
    "from the future": (edit_config(schema_version=99), "schema_version"),
    "other kind": (edit_config(kind="generator"), "kind"),
    "other range": (edit_config(preprocessing={**PREPARED, "input_range": [0, 1]}), "input_range"),
    "calibration": (edit_config(calibration={"temperature": 1, "bias": float("nan")}), "bias"),
    "option taken twice": (edit_config(options={"size": 64}), "multiple values"),
    "option of no size": (edit_config(options={"widths": [-4]}), "cannot be used .*negative"),
    "option beyond memory": (edit_config(options={"widths": [10**11]}), "cannot be used|do not fit"),
    "option no number": (edit_config(options={"slope": "steep"}), "cannot be used"),
    "architecture": (edit_config(architecture="os.system"), "no detector 'os.system'"),
    "options": (edit_config(options={"depth": 9}), "depth"),
    "other network": (edit_config(options={"widths": [64, 128, 256, 256]}), "do not fit"),
    "wrong shape": (wrong_shape, r"head.weight is \(1, 7\), expected \(1, 2048\)"),
    "not finite": (not_finite, "NaN"),
    "no finite score": (reset("running_var", -5), "no finite score"),
    "whole numbers": (reset("head.bias", 1, torch.int32), r"whole \(1,\)"),
    "complex numbers": (reset("head.bias", 1, torch.complex64), r"complex \(1,\)"),
    "cut weights": (lambda f: os.truncate(f / WEIGHTS, 1000), "damaged"),
    "empty weights": (lambda f: os.truncate(f / WEIGHTS, 0), "damaged"),
    "pickle as weights": (lambda f: (f / WEIGHTS).write_bytes(pickle.dumps({"a": 1})), "damaged"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_bundles(tmp_path: Path, name: str) -> None:
    damage, message = DAMAGE[name]
    make().save_pretrained(tmp_path / "m")
    damage(tmp_path / "m")
    with pytest.raises(LabError, match=message) as caught:
        Detector.from_pretrained(tmp_path / "m")
    assert "\n" not in str(caught.value)


def test_weights_of_another_precision_are_taken(tmp_path: Path) -> None:
    make().save_pretrained(tmp_path / "m")
    state = load_file(tmp_path / "m" / WEIGHTS)
    halved = {name: t.bfloat16() if t.is_floating_point() else t for name, t in state.items()}
    save_file(halved, tmp_path / "m" / WEIGHTS)
    loaded = Detector.from_pretrained(tmp_path / "m")
    assert {t.dtype for t in loaded.model.parameters()} == {torch.float32}


def test_a_pickle_is_not_a_model(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")
    with pytest.raises(LabError, match="never loaded"):
        Detector.from_pretrained(tmp_path / "model.pt")
