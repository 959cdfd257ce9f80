"""The grids of faces among the results: no file twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.gan import pictures


def test_the_last_grid_is_stored_where_it_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "RESULTS", tmp_path / "results")
    for images_seen, content in ((10, b"good"), (20, b"bad"), (30, b"good")):
        (tmp_path / f"fakes{images_seen:09}.png").write_bytes(content)
    entry = {"name": "run", "best_images": 10, "last_images": 20}
    pictures.store_grids(entry, tmp_path)
    assert pictures.find_grid("run", "best").read_bytes() == b"good"
    assert pictures.find_grid("run", "last").read_bytes() == b"bad"
    pictures.store_grids(entry | {"last_images": 30}, tmp_path)
    assert pictures.find_grid("run", "last").name == "faces-run-best.png"
    assert not (tmp_path / "results" / "faces-run-last.png").exists(), "of the former last"


def test_every_run_among_the_results_has_its_grids() -> None:
    from benchmarks.output import load_results

    for entry in load_results("gan_recipes.json"):
        if entry["ablation"] != "no EMA":
            for moment in ("best", "last"):
                assert pictures.find_grid(entry["name"], moment).exists()
