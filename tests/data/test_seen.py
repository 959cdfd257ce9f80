"""Which images a model was trained on: kept beside it, counted in a manifest."""

from __future__ import annotations

from pathlib import Path

import pytest

from fauxlab.data.manifest import Manifest
from fauxlab.data.seen import (
    FILE,
    count_training_images,
    describe_training_images,
    keep_training_images,
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    (folder / "best").mkdir(parents=True)
    return folder


def test_images_of_the_training_are_counted(small: Manifest, run: Path) -> None:
    keep_training_images(run, (row.sha256 for row in small.train.rows))
    assert (run / FILE).stat().st_size == 8 * len(small.train)
    for model in (run / "best", str(run / "best"), run):
        assert count_training_images(model, small) == len(small.train)
        assert count_training_images(model, small.test) == 0
    assert describe_training_images(run / "best", small.test) == ""
    assert f"was trained on {len(small.train)} of these 120 images" in describe_training_images(
        run / "best", small
    )


def test_the_list_has_a_fixed_form(run: Path) -> None:
    hashes = ["ff" * 32, "00" * 31 + "01", "ff" * 32, "0102030405060708" + "ab" * 24]
    keep_training_images(run, hashes)
    assert (run / FILE).read_bytes().hex() == "00" * 8 + "0102030405060708" + "ff" * 8


@pytest.mark.parametrize("content", [b"", b"1234567", b"\0" * 12])
def test_no_list_or_a_damaged_one_counts_nothing(
    small: Manifest, run: Path, content: bytes
) -> None:
    assert count_training_images(run / "best", small) == 0
    assert count_training_images("fauxlab", small) == 0
    (run / FILE).write_bytes(content)
    assert count_training_images(run / "best", small) == 0
