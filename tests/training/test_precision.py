"""Which precision a machine trains in, and that a run keeps to it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fauxlab.config import load_recipe
from fauxlab.data.manifest import Manifest
from fauxlab.errors import LabError
from fauxlab.training import session
from fauxlab.training.detector.loop import train_detector
from fauxlab.training.precision import choose_precision

TINY = ["data.size=32", "model.options.widths=[8, 16]", "train.batch=8", "train.epochs=1"]


@pytest.mark.parametrize(
    ("avx512", "amx", "expected"),
    [(False, False, "no"), (True, False, "bf16"), (False, True, "bf16")],
)
def test_auto_is_bf16_where_a_processor_has_instructions_for_it(
    monkeypatch: pytest.MonkeyPatch, avx512: bool, amx: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    assert choose_precision("auto") == expected
    assert choose_precision("no") == "no"
    assert choose_precision("bf16") == "bf16"


def test_auto_asks_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for has_it, expected in ((True, "bf16"), (False, "no")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda has_it=has_it, **_: has_it)
        assert choose_precision("auto") == expected


def test_a_run_goes_on_in_the_precision_that_it_began_in(
    small: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = [*TINY, "train.epochs=2", "train.precision=auto"]
    asked = load_recipe("unified-joint", overrides)

    def train(precision: str, resume: bool) -> object:
        monkeypatch.setattr(session, "choose_precision", lambda _: precision)
        return train_detector(small, asked, tmp_path, resume=resume, max_minutes=1e-9)

    run = train_detector(small, load_recipe("unified-joint", TINY), tmp_path, name="plain")
    assert run.environment["precision"] == "no"
    train("bf16", resume=False)
    with pytest.raises(LabError, match=r"^[^\n]*in precision 'bf16', this machine trains in 'no'"):
        train("no", resume=True)
    while not train("bf16", resume=True).finished:  # type: ignore[attr-defined]
        pass
    train("no", resume=True)  # a finished run is only read
