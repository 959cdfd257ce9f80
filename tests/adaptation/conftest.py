"""A model with a reference that tests can adapt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.adaptation.quarters import make_images, make_quarters, paint, save_pictures

from fauxlab.adaptation import adapt as adapting
from fauxlab.adaptation.making import make_reference
from fauxlab.adaptation.reference import Reference, write_reference

Adapt = Callable[..., Any]


@pytest.fixture(scope="session")
def reference() -> Reference:
    """Quarters' reference, with blue fakes as altered."""
    made = make_reference(make_quarters(), make_images())
    manipulations = np.where(made.kinds == "blue", 2, made.manipulations)
    return replace(made, manipulations=manipulations)


@pytest.fixture
def model(tmp_path: Path, reference: Reference, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the reference, which opens as Quarters."""
    folder = tmp_path / "model"
    folder.mkdir()
    write_reference(folder, reference)
    monkeypatch.setattr(
        adapting, "open_adaptable", lambda model, trust: (make_quarters(), Path(model))
    )
    return folder


@pytest.fixture
def adapt(model: Path) -> Adapt:
    """`adapt` on the model, with pictures that are cropped faces."""

    def run(*fakes: Path, name: str = "green", **options: Any) -> adapting.Adapted:
        return adapting.adapt(model, fakes, name=name, crop="none", **options)

    return run


@pytest.fixture
def green(tmp_path: Path) -> Path:
    """Ten pictures of a new generator."""
    return save_pictures(tmp_path / "green", paint(10, 77, "green"))
