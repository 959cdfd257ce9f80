"""The config of a bundle: its own schema version, and a text that older versions read."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from fauxlab.bundle import folder as folder_module
from fauxlab.bundle.config import (
    SCHEMA_VERSION,
    Calibration,
    DetectorConfig,
    GeneratorConfig,
    Head,
    OodLimits,
    OperatingPoint,
    Preprocessing,
    config_text,
)
from fauxlab.bundle.folder import CARD, CONFIG, GRAPH, read_config, write_bundle
from fauxlab.bundle.opening import PACKAGED, open_detector
from fauxlab.errors import LabError
from fauxlab.io.images import PIPELINE_VERSION
from fauxlab.records import audit, comparison, detection, generation, verdict


def make_config(**changes: object) -> DetectorConfig:
    preprocessing = Preprocessing(size=32, pipeline_version=PIPELINE_VERSION)
    fields = {"architecture": "trace", "preprocessing": preprocessing, **changes}
    return DetectorConfig.model_validate(fields)


def test_each_format_counts_its_own_versions() -> None:
    assert SCHEMA_VERSION == 5
    assert verdict.SCHEMA_VERSION == 7
    records = (audit, comparison, detection, generation)
    assert [module.SCHEMA_VERSION for module in records] == [5, 5, 6, 4]


def test_the_packaged_weights_are_read_and_would_be_written_as_they_are() -> None:
    text = (PACKAGED / CONFIG).read_text(encoding="utf-8")
    assert json.loads(text)["schema_version"] == 4
    config = open_detector("fauxlab").config
    assert config.ood is not None
    assert config.ood.sharpness == pytest.approx(0.0217, abs=1e-4)
    # Letter by letter, so that a model that is written again keeps its hash.
    assert config_text(config) == text


def test_a_config_keeps_the_names_of_version_4(tmp_path: Path) -> None:
    limits = OodLimits(limit=2.0, rate=0.01, n=100, sharpness=0.02)
    fit = Calibration(temperature=1.5, bias=0.25)
    config = make_config(ood=limits, calibration=fit)
    write_bundle(tmp_path / "model", config, GRAPH, b"weights")
    fields = json.loads((tmp_path / "model" / CONFIG).read_text(encoding="utf-8"))
    assert fields["schema_version"] == 5
    assert fields["typicality"] == {"limit": 2.0, "rate": 0.01, "n": 100, "detail": 0.02}
    assert "ood" not in fields
    # New fields that say nothing are not written, so an older bundle keeps its text.
    assert fields.keys().isdisjoint(("name", "version", "heads"))
    assert "points" not in fields["calibration"]
    assert read_config(tmp_path / "model", DetectorConfig, "detector", GRAPH) == config
    # In Python and in other JSON the present names are there.
    assert config.model_dump()["ood"]["sharpness"] == 0.02
    assert DetectorConfig.model_validate(config.model_dump()) == config
    generator = GeneratorConfig(architecture="r3", latent=64, size=32)
    assert json.loads(config_text(generator))["schema_version"] == 4


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_older_configs_are_read(tmp_path: Path, version: int) -> None:
    write_bundle(tmp_path / "model", make_config(), GRAPH, b"weights")
    change_version(tmp_path / "model", version)
    config = read_config(tmp_path / "model", DetectorConfig, "detector", GRAPH)
    assert config.schema_version == version


POINT = OperatingPoint(rate=0.01, threshold=0.9, low=0.2, high=0.9)


@pytest.mark.parametrize(
    "change",
    [
        {"heads": (Head(name="made", manipulation="made"),)},
        {"name": "mine"},
        {"version": "2"},
        {"precision": "float16"},
        {"calibration": Calibration(temperature=1, bias=0, points=(POINT,))},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_older_config_with_a_new_field_becomes_one_of_version_5(
    change: dict[str, object],
) -> None:
    config = make_config(schema_version=4)
    assert json.loads(config_text(config))["schema_version"] == 4
    text = config_text(config.model_copy(update=change))
    assert json.loads(text)["schema_version"] == 5
    assert DetectorConfig.model_validate_json(text) == make_config(schema_version=5, **change)


def test_a_newer_config_says_what_to_do(tmp_path: Path) -> None:
    write_bundle(tmp_path / "model", make_config(), GRAPH, b"weights")
    change_version(tmp_path / "model", 6)
    with pytest.raises(LabError, match=r"schema_version 6, .* up to 5; install a newer fauxlab"):
        read_config(tmp_path / "model", DetectorConfig, "detector", GRAPH)


def change_version(folder: Path, version: int) -> None:
    fields = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    text = json.dumps(fields | {"schema_version": version})
    (folder / CONFIG).write_text(text, encoding="utf-8")


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_failed_write_leaves_the_older_bundle_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool
) -> None:
    old = write_bundle(tmp_path / "model", make_config(), GRAPH, b"weights")
    if not exchanges:
        monkeypatch.setattr("fauxlab.io.files._exchange", lambda *_: False)

    def fail(*_: object) -> str:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(folder_module, "write_card", fail)
        place = re.escape(str(tmp_path))
        with pytest.raises(LabError, match=f"model: No space left .*; make room in {place}, or"):
            write_bundle(tmp_path / "model", make_config(threshold=0.6), GRAPH, b"others")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert folder_module.hash_bundle(tmp_path / "model", GRAPH) == old

    new = write_bundle(tmp_path / "model", make_config(threshold=0.6), GRAPH, b"others")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [CARD, CONFIG, GRAPH]
    assert folder_module.hash_bundle(tmp_path / "model", GRAPH) == new != old


def test_a_place_that_cannot_be_taken_gets_its_bundle_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = write_bundle(tmp_path / "model", make_config(), GRAPH, b"weights")
    monkeypatch.setattr("fauxlab.io.files._exchange", lambda *_: False)
    replace = os.replace

    def fail_for_the_new(source: Path, target: Path) -> None:
        if source.name.endswith(".tmp"):
            raise OSError(13, "Permission denied")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail_for_the_new)
    with pytest.raises(LabError, match="Permission denied"):
        write_bundle(tmp_path / "model", make_config(), GRAPH, b"others")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert folder_module.hash_bundle(tmp_path / "model", GRAPH) == old


def test_the_card_says_what_scores_mean(tmp_path: Path) -> None:
    fit = Calibration(
        temperature=2, bias=0.5, alpha=0.1, low=0.3, high=0.7, n_real={"a": 9}, degraded=True
    )
    limits = OodLimits(limit=2.0, rate=0.01, n=100, sharpness=0.02)
    config = make_config(calibration=fit, ood=limits, precision="int8")
    write_bundle(tmp_path / "model", config, GRAPH, b"weights")
    card = (tmp_path / "model" / CARD).read_text(encoding="utf-8")
    for words in (
        "sigmoid(logit / 2 + 0.5)",
        "before the weights were rounded to 8 bits",
        "Scores from 0.300 to below 0.700 are uncertain",
        "Fitted on 9 a, degraded at random",
        "the model cannot tell",
        "above 2.",
        "sharpness is below 0.02",
        "A score is evidence, not proof",
    ):
        assert words in card
