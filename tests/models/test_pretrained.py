"""Bundles: what is saved comes back, and what is not a bundle is refused with one line."""

from __future__ import annotations

import json
import math
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from fauxlab.bundle.config import Calibration, DetectorConfig, Preprocessing
from fauxlab.bundle.decision import compute_scores, decide
from fauxlab.bundle.folder import CONFIG, WEIGHTS
from fauxlab.errors import LabError
from fauxlab.models import create_detector
from fauxlab.models.pretrained import Detector


def make(seed: int = 0, **changes: object) -> Detector:
    torch.manual_seed(seed)
    config = DetectorConfig(
        architecture="report-cnn",
        preprocessing=Preprocessing(size=32, pipeline_version=1),
        **changes,
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


@pytest.mark.parametrize("exchange", [True, False], ids=["at one stroke", "in two"])
def test_saving_again_replaces_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    if not exchange:
        monkeypatch.setattr("fauxlab.io.files._exchange", lambda *_: False)
    first = make(0).save_pretrained(tmp_path / "m")
    second = make(1).save_pretrained(tmp_path / "m")
    assert first.hash != second.hash == Detector.from_pretrained(tmp_path / "m").hash
    assert [p.name for p in tmp_path.iterdir()] == ["m"], "nothing is left lying beside it"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets folders change places")
def test_while_a_bundle_is_replaced_there_always_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(0).save_pretrained(tmp_path / "m")
    monkeypatch.setattr("os.replace", lambda *_: pytest.fail("moved away first"))
    assert (
        Detector.from_pretrained(tmp_path / "m").hash
        != make(1).save_pretrained(tmp_path / "m").hash
    )


@pytest.mark.parametrize("held", [("src/work.py",), ("model.safetensors", "notes.txt"), ()])
def test_a_folder_that_is_no_bundle_is_never_replaced(
    tmp_path: Path, held: tuple[str, ...]
) -> None:
    project = tmp_path / "project"
    for name in held:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("precious")
    project.mkdir(exist_ok=True)
    (project / CONFIG).write_text('{"a": 1}')
    before = sorted(project.rglob("*"))
    with pytest.raises(LabError, match="is no model"):
        make().save_pretrained(project)
    assert sorted(project.rglob("*")) == before
    assert [p.name for p in tmp_path.iterdir()] == ["project"]


def test_a_link_to_a_bundle_stays_one(tmp_path: Path) -> None:
    make(0).save_pretrained(tmp_path / "m")
    (tmp_path / "link").symlink_to("m", target_is_directory=True)
    saved = make(1).save_pretrained(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert Detector.from_pretrained(tmp_path / "m").hash == saved.hash
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "m"]


def test_hash_sees_threshold_and_calibration() -> None:
    hashes = set()
    for i, changes in enumerate(
        [{}, {"threshold": 0.4}, {"calibration": Calibration(temperature=2, bias=0)}]
    ):
        path = Path(os.environ["FAUXLAB_CACHE"]) / str(i)
        hashes.add(make(0, **changes).save_pretrained(path).hash)
    assert len(hashes) == 3


def test_scores_are_the_sigmoid_until_calibrated() -> None:
    logits = np.array([-2.0, 0.0, 2.0], dtype=np.float32)
    fitted = make(calibration=Calibration(temperature=2.0, bias=1.0))
    for scores in (
        Detector.scores,
        lambda detector, logits: compute_scores(detector.config, logits),
    ):
        np.testing.assert_allclose(scores(make(), logits), [0.11920292, 0.5, 0.88079708], rtol=1e-6)
        np.testing.assert_allclose(scores(fitted, logits), [0.5, 0.73105858, 0.88079708], rtol=1e-6)
    assert compute_scores(make().config, np.array([-1e9, 1e9], dtype=np.float32)).tolist() == [0, 1]


FITTED: dict[str, Any] = {
    "temperature": 2.0,
    "bias": 1.0,
    "false_alarm_rate": 0.05,
    "alpha": 0.1,
    "low": 0.3,
    "high": 0.75,
    "n_real": {"photos": 400, "film": 90},
    "n_fake": {"gan": 70},
    "degraded": True,
    "ece_before": 0.2,
    "ece_after": 0.01,
    "data_hash": "0123456789abcdef",
}


def test_calibrated_scores_tell_the_surest_apart_too() -> None:
    logits = np.array([13.5, 14, 15, 20], dtype=np.float32)
    scores = compute_scores(make(calibration=Calibration(temperature=0.8, bias=0.1)).config, logits)
    assert (np.diff(scores) > 0).all()


def test_calibration_comes_back_and_the_card_tells_it(tmp_path: Path) -> None:
    made = make(calibration=Calibration(**FITTED), threshold=0.7).save_pretrained(tmp_path / "m")
    assert Detector.from_pretrained(tmp_path / "m").config == made.config
    card = " ".join((tmp_path / "m/README.md").read_text().split())
    assert "sigmoid(logit / 2 + 1)" in card
    assert "0.200 before, 0.010 after" in card
    assert "At most 0.05 of the reals of each source" in card
    assert "from 0.300 to below 0.750 are uncertain: at most 0.1 of the fakes" in card
    assert "400 photos, 90 film, 70 gan, degraded at random" in card


def test_labels_follow_the_threshold_and_the_band_is_uncertain() -> None:
    fitted = make(calibration=Calibration(**FITTED), threshold=0.7)
    scores = [0.0, 0.29, 0.3, 0.69, 0.7, 0.74, 0.75, 1.0]
    expected = ["real", "real", "real?", "real?", "fake?", "fake?", "fake", "fake"]
    decisions = [decide(fitted.config, score) for score in scores]
    assert [label + "?" * uncertain for label, uncertain in decisions] == expected
    assert decide(make(threshold=0.7).config, 0.69) == ("real", False)
    assert decide(make(threshold=0.7).config, 0.7) == ("fake", False)


@pytest.mark.parametrize("calibration", [None, {"temperature": 2.0, "bias": 1.0}])
def test_bundles_of_the_first_schema_are_read(
    tmp_path: Path, calibration: dict[str, float] | None
) -> None:
    make().save_pretrained(tmp_path / "m")
    edit_config(schema_version=1, calibration=calibration)(tmp_path / "m")
    loaded = Detector.from_pretrained(tmp_path / "m")
    score = 0.5 if calibration is None else 1 / (1 + math.exp(-1))
    assert loaded.scores(np.zeros(1, dtype=np.float32)).item() == pytest.approx(score)
    assert decide(loaded.config, 0.5) == ("fake", False)


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
        chosen = {
            key: torch.full_like(t, value, dtype=kind)
            for key, t in state.items()
            if key.endswith(name)
        }
        assert chosen
        save_file({**state, **chosen}, folder / WEIGHTS)

    return edit


PREPARED = {"size": 32, "pipeline_version": 1}


def name_for_the_terminal(folder: Path) -> None:
    state = load_file(folder / WEIGHTS)
    save_file({**state, "\x1b[31m": torch.zeros(1)}, folder / WEIGHTS)


def replace(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def rewrite(path: Path, old: str, new: str) -> None:
    text = json.dumps(json.loads(path.read_text()), separators=(",", ":"))
    assert old in text
    path.write_text(text.replace(old, new))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda f: (f / CONFIG).unlink(), "no config.json"),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), "no model.safetensors"),
    "config no json": (lambda f: (f / CONFIG).write_text("{"), "is not a detector's config"),
    "config binary": (
        lambda f: (f / CONFIG).write_bytes(b"\xff\xfe\0"),
        "byte 0 is no text in UTF-8",
    ),
    "config nested": (
        lambda f: (f / CONFIG).write_text("[" * 100_000),
        "is not a detector's config",
    ),
    "unknown key": (edit_config(extra=1), "extra"),
    "labels swapped": (edit_config(labels=["fake", "real"]), "labels"),
    "threshold": (edit_config(threshold=2), "threshold"),
    "from the future": (edit_config(schema_version=99), "schema_version"),
    "kind that is none": (edit_config(kind=["generator"]), "kind"),
    "other kind": (edit_config(kind="generator"), "is a generator, no detector"),
    "other range": (edit_config(preprocessing={**PREPARED, "input_range": [0, 1]}), "input_range"),
    "calibration": (edit_config(calibration={"temperature": 1, "bias": float("nan")}), "bias"),
    "calibration of no spread": (
        edit_config(calibration={**FITTED, "temperature": 0}),
        "temperature",
    ),
    "calibration turned round": (
        edit_config(calibration={**FITTED, "temperature": -1}),
        "temperature",
    ),
    "calibration without end": (
        edit_config(calibration={**FITTED, "temperature": float("inf")}),
        "temperature",
    ),
    "calibration beyond float32": (edit_config(calibration={**FITTED, "bias": 1e300}), "bias"),
    "band upside down": (
        edit_config(calibration={**FITTED, "low": 0.9}),
        "calibration: .*low is above high",
    ),
    "band no number": (edit_config(calibration={**FITTED, "high": float("nan")}), "high"),
    "band outside": (edit_config(calibration={**FITTED, "high": 1.5}), "high"),
    "half a band": (edit_config(calibration={**FITTED, "low": None}), "go together"),
    "band without rate": (edit_config(calibration={**FITTED, "alpha": None}), "go together"),
    "rate of all": (edit_config(calibration={**FITTED, "alpha": 1}), "alpha"),
    "counts": (edit_config(calibration={**FITTED, "n_real": {"photos": -1}}), "n_real.photos"),
    "threshold against the band": (
        edit_config(calibration=FITTED, threshold=0.8),
        r"\(value error, the threshold lies",
    ),
    "option taken twice": (
        edit_config(options={"size": 64}),
        "cannot be used .*(multiple values|no option)",
    ),
    "no options at all": (
        edit_config(options={"widths": []}),
        "expected a list of whole numbers above 0",
    ),
    "option of no size": (
        edit_config(options={"widths": [-4]}),
        "cannot be used .*(negative|above 0)",
    ),
    "option beyond memory": (edit_config(options={"widths": [10**11]}), "none may be above 4,096"),
    "network beyond memory": (edit_config(options={"widths": [4096] * 4}), "none may have above"),
    "network of many": (edit_config(options={"widths": [8] * 5000}), "more than 256 blocks"),
    "option no number": (edit_config(options={"slope": "steep"}), "cannot be used"),
    "architecture": (edit_config(architecture="os.system"), "no detector 'os.system'"),
    "options": (edit_config(options={"depth": 9}), "depth"),
    "other network": (edit_config(options={"widths": [64, 128, 256, 256]}), "do not fit"),
    "wrong shape": (wrong_shape, r"head.weight is \(1, 7\), expected \(1, 2048\)"),
    "not finite": (not_finite, "NaN"),
    "no finite score": (reset("running_var", -5), "no finite score"),
    "whole numbers": (reset("head.bias", 1, torch.int32), r"whole \(1,\)"),
    "complex numbers": (reset("head.bias", 1, torch.complex64), r"complex \(1,\)"),
    "blocks beyond time": (edit_config(options={"blocks": [200, 200]}), "more than 256 blocks"),
    "a long list inside": (edit_config(options={"a": {"b": [0] * 300}}), "more than 256 blocks"),
    "option of many digits": (
        lambda f: rewrite(f / CONFIG, '"options":{}', '"options":{"a":' + "9" * 30 + "}"),
        "more than 64 bits",
    ),
    "option of too many digits": (
        lambda f: rewrite(f / CONFIG, '"options":{}', '"options":{"a":' + "9" * 5000 + "}"),
        "is not a detector's config",
    ),
    "a key for the terminal": (edit_config(**{"\x1b[31m": 1}), r"\(\\x1b\[31m: extra inputs"),
    "a long key": (edit_config(**{"k" * 10_000: 1}), r"\(k{100}: extra inputs"),
    "a large config": (edit_config(training={"note": "x" * 2**20}), "above the limit"),
    "weights for the terminal": (name_for_the_terminal, r"\\x1b\[31m is \(1,\)"),
    "a long header": (
        lambda f: (f / WEIGHTS).write_bytes((2**21).to_bytes(8, "little") + b" " * 2**21),
        "header of 2,097,152 bytes is above",
    ),
    "large weights": (lambda f: os.truncate(f / WEIGHTS, 2**40), "are above the limit"),
    "a pipe as weights": (lambda f: replace(f / WEIGHTS, os.mkfifo), "no model.safetensors"),
    "a pipe as config": (lambda f: replace(f / CONFIG, os.mkfifo), "no config.json"),
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
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


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
