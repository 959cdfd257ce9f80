"""`fauxlab models`: what is there, and what the large model has to fetch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from fauxlab.bundle import opening
from fauxlab.bundle import tower_store as store

Command = Callable[..., tuple[int, str, str]]
TOWER = b"tower"


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Path:
    monkeypatch.delenv(store.STORE, raising=False)
    monkeypatch.setattr(store, "TOWER_BYTES", len(TOWER))
    monkeypatch.setattr(store, "TOWER_SHA256", hashlib.sha256(TOWER).hexdigest())
    return cache / "models" / store.TOWER_NAME


def test_both_models_are_listed(
    fauxlab: Command, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = tmp_path / "large"
    large.mkdir()
    (large / "heads.npz").write_bytes(bytes(1_200_000))
    monkeypatch.setattr(opening, "LARGE", large)
    code, out, _ = fauxlab("models", "list")
    assert code == 0
    small, other, *networks = out.splitlines()
    assert small.split()[:2] == ["model", "fauxlab"]
    assert "MB in the package (Apache-2.0)" in small
    assert other.split()[:2] == ["model", "fauxlab-large"]
    assert "1.2 MB in the package (Apache-2.0); tower 0.0 MB (MIT) not here" in other
    assert other.endswith("fauxlab models fetch fauxlab-large")
    assert "detector  inception" in networks
    place.parent.mkdir()
    place.write_bytes(TOWER)
    assert f"(MIT) in {place}" in fauxlab("models", "list")[1]


def test_the_tower_from_a_file_and_then_again(
    fauxlab: Command, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "fetch_tower", lambda: pytest.fail("asked the network"))
    (tmp_path / "t.onnx").write_bytes(TOWER)
    first = fauxlab("models", "fetch", "fauxlab-large", "--from", tmp_path / "t.onnx")
    assert first == (0, f"{place}: 0.0 MB\n", "")
    again = fauxlab("models", "fetch", "fauxlab-large")
    assert again == (0, f"{place}: 0.0 MB\n", "fauxlab-large has its tower already\n")


def test_another_file_is_refused(fauxlab: Command, place: Path, tmp_path: Path) -> None:
    (tmp_path / "t.onnx").write_bytes(b"other")
    code, out, error = fauxlab("models", "fetch", "fauxlab-large", "--from", tmp_path / "t.onnx")
    assert (code, out) == (1, "")
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert "not the tower" in error
    assert not place.exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [("fauxlab", "comes whole with the package"), ("other", "no model 'other' to fetch")],
)
def test_nothing_else_is_fetched(fauxlab: Command, name: str, words: str) -> None:
    code, out, error = fauxlab("models", "fetch", name)
    assert (code, out) == (1, "")
    assert words in error
