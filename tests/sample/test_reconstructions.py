"""Real training photos drawn anew: which ones, with what rows, continued and never half-written."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from fauxlab.data.manifest import Manifest, Row
from fauxlab.errors import LabError
from fauxlab.io.marking import read_mark
from fauxlab.models.autoencoder import Autoencoder
from fauxlab.sample.reconstructions import (
    choose_evenly,
    re_decode_region,
    write_reconstructions,
)

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def inverting(monkeypatch: pytest.MonkeyPatch) -> Autoencoder:
    """An autoencoder that gives the negative of a picture."""

    def invert(self: Autoencoder, pixels: Tensor) -> Tensor:
        return 255 - pixels

    monkeypatch.setattr(Autoencoder, "reconstruct", invert)
    return Autoencoder(sha256="ab" * 32)


def make_row(k: int, source: str, group: str) -> Row:
    sha256 = hashlib.sha256(str(k).encode()).hexdigest()
    return Row(f"{k}.jpg", 0, "", source, "", group, "train", sha256)


def pixels_of(path: str | Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), dtype=float)


def test_kinds_and_groups_give_alike() -> None:
    rows = [make_row(k, "many", f"video {k % 4}") for k in range(40)]
    rows += [make_row(100 + k, "few", f"person {k}") for k in range(3)]
    chosen = choose_evenly(rows, 11, "salt")
    assert Counter(row.source for row in chosen) == {"many": 8, "few": 3}
    assert Counter(row.group for row in chosen if row.source == "many") == {
        f"video {k}": 2 for k in range(4)
    }
    assert choose_evenly(rows[::-1], 11, "salt") == chosen
    assert choose_evenly(rows, 11, "other") != chosen
    assert len(choose_evenly([*rows, *rows], 100, "salt")) == 43, "each content once"


def test_copies_are_training_fakes_of_their_photo(
    small: Manifest, inverting: Autoencoder, tmp_path: Path
) -> None:
    joined = write_reconstructions(inverting, small, tmp_path / "out", 0.25, 0.5)
    reals = {row.sha256[:24]: row for row in small.train.reals().rows}
    new = joined.rows[len(small) :]
    counts = Counter((row.generator, row.manipulation, row.extra["pseudo"]) for row in new)
    assert counts == {
        ("reconstructed-taef2", "made", "reconstructed"): round(0.25 * len(reals)),
        ("partly-taef2", "altered", "partly"): round(0.5 * len(reals)),
    }
    for row in new:
        photo = reals[Path(row.path).stem]
        assert (row.label, row.split, row.group) == (1, "train", photo.group)
        assert row.compare_to == photo.source
        path = Path(joined.resolve(row))
        data = path.read_bytes()
        assert hashlib.sha256(data).hexdigest() == row.sha256
        mark = read_mark(data)
        assert mark is not None
        assert mark.model == "taef2"
        with Image.open(path) as image:
            assert image.layer[1][1:3] == (1, 1), "halved resolution of colour"
            assert image.layer[0][1:3] == (2, 2)
        before = pixels_of(small.resolve(photo))
        change = np.abs(pixels_of(path) - (255 - before)).mean((0, 1)).mean()
        if row.extra["pseudo"] == "reconstructed":
            assert change < 12
        else:
            assert change > 12
    # What is saved is what is returned, and the old rows are found from the new place.
    saved = Manifest.load(tmp_path / "out" / "manifest.csv")
    assert saved.data_hash == joined.data_hash
    assert all(Path(saved.resolve(row)).is_file() for row in saved.rows)


def test_a_region_is_drawn_anew_and_the_rest_stays(inverting: Autoencoder) -> None:
    picture = np.full((3, 64, 64), 10, np.uint8)
    found = re_decode_region(inverting, picture, seed=3)
    assert found.max() > 235
    assert (found == 10).mean() > 0.3
    assert np.array_equal(found, re_decode_region(inverting, picture, seed=3))


def test_it_continues_where_it_stopped(
    small: Manifest, inverting: Autoencoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"

    def stop(n: int, seen: list[int] = []) -> None:  # noqa: B006
        seen.append(n)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_reconstructions(inverting, small, out, 0.25, progress=stop)
    there = {path: path.stat().st_mtime_ns for path in out.rglob("*.jpg")}
    assert len(there) == 3
    assert not (out / "manifest.csv").exists()
    seen: list[int] = []
    joined = write_reconstructions(inverting, small, out, 0.25, progress=seen.append)
    assert sum(seen) == len(joined) - len(small) == round(0.25 * len(small.train.reals()))
    assert all(path.stat().st_mtime_ns == time for path, time in there.items())

    def fail(self: Autoencoder, pixels: Tensor) -> Tensor:
        raise AssertionError

    monkeypatch.setattr(Autoencoder, "reconstruct", fail)
    assert write_reconstructions(inverting, small, out, 0.25).data_hash == joined.data_hash
    other = Autoencoder(sha256="cd" * 32)
    with pytest.raises(LabError, match="holds pictures of autoencoder"):
        write_reconstructions(other, small, out, 0.25)


def test_bad_photos_are_skipped_and_named(
    small: Manifest, inverting: Autoencoder, tmp_path: Path
) -> None:
    reals = small.train.reals().rows
    Path(small.resolve(reals[0])).write_bytes(b"")
    Path(small.resolve(reals[1])).write_bytes(Path(small.resolve(reals[2])).read_bytes())
    joined = write_reconstructions(inverting, small, tmp_path / "out", 1.0)
    assert {path for path, _ in joined.skipped} == {reals[0].path, reals[1].path}
    assert len(joined) == len(small) + len(reals) - 2
    for row in reals:
        Path(small.resolve(row)).write_bytes(b"")
    with pytest.raises(LabError, match=f"none of {len(reals)} photos can be read; the first"):
        write_reconstructions(inverting, small, tmp_path / "other", 1.0)


def test_large_photos_are_reduced(inverting: Autoencoder, tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("RGB", (1200, 600), (200, 100, 50)).save(path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    row = replace(make_row(0, "photos", "g"), path="large.png", sha256=sha256)
    joined = write_reconstructions(inverting, Manifest((row,), tmp_path), tmp_path / "out", 1.0)
    assert pixels_of(joined.resolve(joined.rows[1])).shape == (256, 512, 3)


def test_what_cannot_be_is_refused_before_anything_is_written(
    small: Manifest, inverting: Autoencoder, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(LabError, match=r"share 1\.5 of reconstructed photos"):
        write_reconstructions(inverting, small, out, 1.5)
    with pytest.raises(LabError, match="nothing to write: 28 real photos"):
        write_reconstructions(inverting, small, out, 0.0)
    joined = write_reconstructions(inverting, small, tmp_path / "first", 0.1)
    with pytest.raises(LabError, match="has a generator reconstructed-taef2 already"):
        write_reconstructions(inverting, joined, out, 0.1)
    assert not out.exists()


def test_the_command(small: Manifest, tmp_path: Path, fauxlab: Command) -> None:
    torch.manual_seed(0)
    network = Autoencoder()
    torch.save(network.encoder.state_dict(), tmp_path / "taef2_encoder.pth")
    torch.save(network.decoder.state_dict(), tmp_path / "taef2_decoder.pth")
    small.save(tmp_path / "manifest.csv")
    words = ["data", "reconstruct", tmp_path / "manifest.csv", "--out", tmp_path / "out"]
    code, out, err = fauxlab(*words, "--autoencoder", tmp_path, "--share", 0.1)
    assert (code, out) == (0, "")
    assert "123 images, 3 of them new" in err
    code, _, err = fauxlab(*words, "--autoencoder", tmp_path / "nowhere")
    assert code == 1
    assert "no weights" in err
