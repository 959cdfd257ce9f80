"""The store of decoded images: shared by content, safe to kill, honest about changed files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from fauxlab.data.cache import ImageArray, load_images
from fauxlab.data.manifest import Manifest
from fauxlab.errors import LabError
from fauxlab.io.images import PIPELINE_VERSION, decode, to_square
from fauxlab.io.sources import FileReader


def expected(manifest: Manifest, row: int, size: int) -> np.ndarray:
    with FileReader() as reader:
        return to_square(decode(reader.read(manifest.resolve(manifest.rows[row]))), size)


def test_pixels_are_those_that_a_scan_would_see(small: Manifest) -> None:
    images = load_images(small, 32)
    assert (images.pixels.dtype, images.pixels.shape[1:]) == (np.uint8, (3, 32, 32))
    rows = np.array([0, 7, 119])
    for got, row in zip(images.take(rows), rows, strict=True):
        np.testing.assert_array_equal(got, expected(small, int(row), 32))


def test_a_second_manifest_decodes_only_what_is_new(small: Manifest) -> None:
    decoded: list[int] = []
    load_images(small.train, 32, decoded.append)
    assert sum(decoded) == len(small.train)
    load_images(small, 32, decoded.append)
    assert sum(decoded) == len(small)
    load_images(small.test, 32, decoded.append)
    assert sum(decoded) == len(small)


def test_a_writer_killed_at_any_byte_leaves_a_valid_store(small: Manifest, cache: Path) -> None:
    load_images(small.test, 32)
    store = cache / f"32px-v{PIPELINE_VERSION}"
    for name in ("images.u8", "index.sha256"):
        with (store / name).open("ab") as stream:
            stream.write(os.urandom(17))
    images = load_images(small, 32)
    for row in (0, 50, 100):
        np.testing.assert_array_equal(images.take(np.array([row]))[0], expected(small, row, 32))


def test_changed_missing_and_damaged_files_are_left_out(small: Manifest) -> None:
    changed, missing = small.resolve(small.rows[0]), small.resolve(small.rows[1])
    Image.new("RGB", (48, 48), "red").save(changed)
    os.unlink(missing)
    images = load_images(small, 32)
    assert len(images) == len(small) - 2
    reasons = dict(images.skipped)
    assert "changed since it was indexed" in reasons[small.rows[0].path]
    assert "no such file" in reasons[small.rows[1].path]
    np.testing.assert_array_equal(images.take(np.array([0]))[0], expected(small, 2, 32))


@pytest.mark.parametrize("left", [["a.png"], ["b.png"], []])
def test_of_equal_copies_one_is_enough(small: Manifest, left: list[str]) -> None:
    copies = [replace(small.rows[0], path=name) for name in ("a.png", "b.png")]
    for name in left:
        shutil.copy(small.resolve(small.rows[0]), small.root / name)
    images = load_images(replace(small, rows=(*copies, small.rows[1])), 32)
    if left:
        assert (len(images), images.skipped) == (3, ())
        np.testing.assert_array_equal(images.take(np.array([1]))[0], expected(small, 0, 32))
    else:
        assert (len(images), images.skipped) == (
            1,
            (("a.png", "no such file"), ("b.png", "no such file")),
        )


def test_an_empty_manifest_is_an_error(small: Manifest) -> None:
    with pytest.raises(LabError, match="is empty; index more"):
        load_images(small.where(lambda _: False), 32)


def test_a_wait_for_another_process_is_told_once(
    small: Manifest, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("fauxlab.data.cache.PATIENCE", 0.1)
    store = cache / f"32px-v{PIPELINE_VERSION}"
    store.mkdir()
    held = FileLock(store / "lock")
    with ThreadPoolExecutor(1) as pool:
        held.acquire()
        waiting = pool.submit(load_images, small, 32)
        for _ in range(200):
            if caplog.records:
                break
            time.sleep(0.05)
        assert [str(store) in record.getMessage() for record in caplog.records] == [True]
        assert not waiting.done()
        held.release()
        assert len(waiting.result(60)) == len(small)
    assert len(caplog.records) == 1


def test_a_system_without_posix_locks_keeps_a_store_too(small: Manifest, tmp_path: Path) -> None:
    """As on Windows: neither fcntl nor fdatasync."""
    small.save(tmp_path / "manifest.csv")
    code = """
import os, sys
sys.modules["fcntl"] = None
del os.fdatasync
from fauxlab.data.cache import ImageArray, load_images
from fauxlab.data.manifest import Manifest
manifest = Manifest.load(sys.argv[1])
assert len(load_images(manifest.test, 32)) == len(manifest.test)
print(len(load_images(manifest, 32)))
"""
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "manifest.csv")]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(run.stdout) == len(small)


def test_nothing_left_is_an_error(small: Manifest) -> None:
    for row in small.rows:
        os.unlink(small.resolve(row))
    with pytest.raises(
        LabError, match=r"none of the manifest's 120 images .* the first: .*\.png: no such file$"
    ):
        load_images(small, 32)


def test_full_disk_is_said_before_writing(small: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "shutil.disk_usage", lambda _: os.terminal_size((0, 0)) and type("U", (), {"free": 10})
    )
    with pytest.raises(LabError, match="FAUXLAB_CACHE"):
        load_images(small, 32)


def test_a_store_that_cannot_be_made_is_said(
    small: Manifest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("kept")
    monkeypatch.setenv("FAUXLAB_CACHE", str(tmp_path / "file"))
    with pytest.raises(LabError, match="set FAUXLAB_CACHE to a folder"):
        load_images(small, 32)
    assert (tmp_path / "file").read_text() == "kept"


def test_a_disk_that_fills_up_midway_leaves_a_valid_store(
    small: Manifest, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_images(small.test, 32)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(LabError, match="No space left on device; set FAUXLAB_CACHE"):
            load_images(small, 32)
    (store,) = cache.iterdir()
    kept = len({row.sha256 for row in small.test.rows}) * 3 * 32 * 32
    assert (store / "images.u8").stat().st_size == kept, "the room is free again"
    images = load_images(small, 32)
    for row in (0, 50, 100):
        np.testing.assert_array_equal(images.take(np.array([row]))[0], expected(small, row, 32))


def store_of(cache: Path) -> Path:
    return cache / f"32px-v{PIPELINE_VERSION}"


def overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as stream:
        stream.seek(at)
        stream.write(data)


def check_pixels(images: ImageArray, manifest: Manifest, rows: tuple[int, ...]) -> None:
    for row in rows:
        np.testing.assert_array_equal(images.take(np.array([row]))[0], expected(manifest, row, 32))


@pytest.mark.parametrize("at", [0, 3 * 32 * 32 * 7 + 5, 3 * 32 * 32 * 120 - 1])
def test_overwritten_bytes_are_found_and_decoded_again(
    small: Manifest, cache: Path, caplog: pytest.LogCaptureFixture, at: int
) -> None:
    before = load_images(small, 32).take(np.arange(120))
    stored = (store_of(cache) / "images.u8").read_bytes()[at]
    overwrite(store_of(cache) / "images.u8", at, bytes([stored ^ 1]))
    decoded: list[int] = []
    images = load_images(small, 32, decoded.append)
    assert decoded == [1]
    assert [record.getMessage() for record in caplog.records] == [
        f"1 decoded image in {store_of(cache)} damaged: the bytes on disk are not those that were "
        "stored; decoding again"
    ]
    np.testing.assert_array_equal(images.take(np.arange(120)), before)
    caplog.clear()
    load_images(small, 32, decoded.append)
    assert (decoded, caplog.records) == ([1], [])


def test_a_damaged_picture_whose_file_is_gone_is_left_out(small: Manifest, cache: Path) -> None:
    load_images(small, 32)
    overwrite(store_of(cache) / "images.u8", 10, b"\0\1\2\3")
    os.unlink(small.resolve(small.rows[0]))
    for _ in range(2):
        images = load_images(small, 32)
        assert images.skipped == ((small.rows[0].path, "no such file"),)
        check_pixels(images, small.where(lambda row: row != small.rows[0]), (0, 118))


@pytest.mark.parametrize("name", ["index.sha256", "checks.crc32", "images.u8"])
@pytest.mark.parametrize("kept", [0, 1000])
def test_a_truncated_file_of_the_store_is_filled_up(
    small: Manifest, cache: Path, name: str, kept: int
) -> None:
    load_images(small, 32)
    path = store_of(cache) / name
    whole = path.stat().st_size
    os.truncate(path, min(kept, whole // 2))
    check_pixels(load_images(small, 32), small, (0, 50, 119))
    assert path.stat().st_size >= whole


@pytest.mark.parametrize("name", ["index.sha256", "checks.crc32"])
def test_a_list_of_another_store_is_found(small: Manifest, cache: Path, name: str) -> None:
    load_images(small, 32)
    path = store_of(cache) / name
    size = path.stat().st_size // len(small)
    entries = [path.read_bytes()[k * size : (k + 1) * size] for k in range(len(small))]
    path.write_bytes(b"".join(reversed(entries)))
    images = load_images(small, 32)
    assert len(images) == len(small)
    check_pixels(images, small, (0, 50, 119))


def test_a_store_without_checksums_gets_them(small: Manifest, cache: Path) -> None:
    """As fauxlab 0.1 left it."""
    load_images(small, 32)
    checks = store_of(cache) / "checks.crc32"
    stored = checks.read_bytes()
    checks.unlink()
    decoded: list[int] = []
    load_images(small, 32, decoded.append)
    assert (decoded, checks.read_bytes()) == ([], stored)
