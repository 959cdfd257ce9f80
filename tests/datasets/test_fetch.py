"""Fetching from the hub, against a server on this machine.

The gate, a whole fetch, interruptions, and what can fail.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import pytest

from fauxlab.data.indexing import index
from fauxlab.datasets.fetch import RECEIPT, SETS, fetch
from fauxlab.errors import LabError

Command = Callable[..., tuple[int, str, str]]

constants = pytest.importorskip("huggingface_hub.constants")
parquet = pytest.importorskip("pyarrow.parquet")

Jpeg = Callable[..., bytes]
REVISION = "0123456789abcdef0123456789abcdef01234567"
FOLDER = "img_align+identity+attr"


class Hub:
    """What the stand-in serves, what it was asked for, and how it misbehaves."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.repo = ""
        self.files: dict[str, bytes] = {}
        self.stated: dict[str, str] = {}  # hashes that differ from the files'
        self.status: dict[str, int] = {}  # file, or the repository, → what it answers instead
        # file → bytes after which a transfer ends, one after the other
        self.cuts: dict[str, list[int]] = {}
        self.stall: dict[str, int] = {}  # file → bytes after which a transfer stands still
        self.sent: list[tuple[str, int, int]] = []  # file, from, bytes
        self.cdn = url  # where files lie: on the real hub, another machine
        # first folder of what was asked for, Authorization
        self.tokens: list[tuple[str, str | None]] = []

    def describe(self) -> bytes:
        siblings = [
            {
                "rfilename": name,
                "size": len(data),
                "lfs": {
                    "sha256": self.stated.get(name, hashlib.sha256(data).hexdigest()),
                    "size": len(data),
                    "pointerSize": 130,
                },
            }
            for name, data in self.files.items()
        ]
        return json.dumps({"id": self.repo, "sha": REVISION, "siblings": siblings}).encode()


class Handler(BaseHTTPRequestHandler):
    """Answers as the hub does: the API, `resolve`, which sends one on, and files in ranges."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.tokens.append((path.split("/")[1], self.headers.get("Authorization")))
        repo, place = self.hub.repo, f"/datasets/{self.hub.repo}/resolve/{REVISION}/"
        if path == f"/api/datasets/{repo}":
            if repo in self.hub.status:
                self.answer(self.hub.status[repo], b"{}")
            else:
                self.answer(200, self.hub.describe())
        elif path.startswith(place) and (name := path.removeprefix(place)) in self.hub.files:
            if name in self.hub.status:
                self.answer(self.hub.status[name], b"")
            else:
                self.answer(302, b"", Location=f"{self.hub.cdn}/cdn/{name}".replace("+", "%2B"))
        elif path.startswith("/cdn/"):
            self.send_file(path.removeprefix("/cdn/"))
        else:
            self.answer(404, b"")

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def send_file(self, name: str) -> None:
        data, cuts = self.hub.files[name], self.hub.cuts.get(name, [])
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(asked[1]) if asked else 0
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        body = (
            data[start : start + cuts.pop(0)]
            if cuts
            else data[start : start + self.hub.stall.get(name, len(data))]
        )
        self.wfile.write(body)
        self.wfile.flush()
        self.hub.sent.append((name, start, len(body)))
        if start + len(body) < len(data):
            if name in self.hub.stall:
                time.sleep(20)
            self.close_connection = True


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub on this machine, which huggingface_hub asks instead of the real one."""
    handler = type("Bound", (Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    handler.hub = made = Hub(f"http://127.0.0.1:{server.server_port}")  # type: ignore[attr-defined]
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    ).start()
    monkeypatch.setattr(constants, "ENDPOINT", made.url)
    template = made.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    # Old versions hold a copy there.
    monkeypatch.setattr(
        "huggingface_hub.file_download.HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False
    )
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    if hasattr(constants, "AGENT_HARNESSES_PATH"):
        monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", str(tmp_path / "harnesses.json"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture
def deepfakeface(hub: Hub, jpeg: Jpeg) -> Hub:
    """Four zips of three pictures each, as of the data set."""
    hub.repo = SETS["deepfakeface"].repo
    hub.files["README.md"] = b"a card"
    for k, part in enumerate(SETS["deepfakeface"].parts):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            for i in range(3):
                archive.writestr(f"{part}/0{i}/{i}_1960-01-01_2000.jpg", jpeg(10 * k + i))
        hub.files[f"{part}.zip"] = stream.getvalue()
    return hub


@pytest.fixture
def celeba(hub: Hub, jpeg: Jpeg) -> Hub:
    """Two shards to train, one each to validate and test, of four pictures of two people."""
    import pyarrow

    hub.repo = SETS["celeba"].repo
    for k, name in enumerate(
        ("train-00000-of-00002", "train-00001-of-00002", "valid-00000-of-00001", "test-0-of-1")
    ):
        images = [
            {"bytes": jpeg(100 + 4 * k + i, (178, 218)), "path": f"{i}.jpg"} for i in range(4)
        ]
        stream = io.BytesIO()
        people = [2 * k, 2 * k + 1, 2 * k, 2 * k + 1]
        parquet.write_table(pyarrow.table({"image": images, "celeb_id": people}), stream)
        hub.files[f"{FOLDER}/{name}.parquet"] = stream.getvalue()
    hub.files["LICENSE"] = b"an agreement"
    return hub


def accepted(name: str, folder: Path, **options: object) -> list[str]:
    """Fetch, and return the lines that were told."""
    lines: list[str] = []
    fetch(name, folder, accept_license=True, tell=lines.append, **options)  # type: ignore[arg-type]
    return lines


def refusal(name: str, folder: Path, **options: object) -> str:
    with pytest.raises(LabError) as caught:
        accepted(name, folder, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def files(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def test_deepfakeface_comes_whole_and_indexes(deepfakeface: Hub, tmp_path: Path) -> None:
    lines = accepted("deepfakeface", tmp_path / "d")
    assert lines[0] == "OpenRL/DeepFakeFace at 0123456: 4 files, 0.00 GB"
    zips = {f"{part}.zip" for part in SETS["deepfakeface"].parts}
    assert set(files(tmp_path / "d")) == zips | {RECEIPT, ".gitignore"}
    manifest = index(tmp_path / "d")
    assert (len(manifest), manifest.generators) == (12, ["inpainting", "insight", "text2img"])
    assert len({row.group for row in manifest.rows}) == 3
    receipt = json.loads((tmp_path / "d" / RECEIPT).read_text())
    assert (receipt["dataset"], receipt["revision"]) == ("OpenRL/DeepFakeFace", REVISION)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\+00:00", receipt["accepted"])
    assert {name: entry["sha256"] for name, entry in receipt["files"].items()} == {
        name: hashlib.sha256(deepfakeface.files[name]).hexdigest() for name in zips
    }
    deepfakeface.sent.clear()
    assert accepted("deepfakeface", tmp_path / "d")[0].endswith("4 of them there")
    assert deepfakeface.sent == []


def test_parts_can_be_added(deepfakeface: Hub, tmp_path: Path) -> None:
    accepted("deepfakeface", tmp_path, only=["wiki", "text2img"])
    assert [name for name in files(tmp_path) if name.endswith(".zip")] == [
        "text2img.zip",
        "wiki.zip",
    ]
    deepfakeface.sent.clear()
    accepted("deepfakeface", tmp_path)
    assert [name for name, _, _ in deepfakeface.sent] == ["inpainting.zip", "insight.zip"]
    assert len(json.loads((tmp_path / RECEIPT).read_text())["files"]) == 4


def test_a_file_that_is_there_is_checked_and_kept_or_left_alone(
    deepfakeface: Hub, tmp_path: Path
) -> None:
    (tmp_path / "wiki.zip").write_bytes(deepfakeface.files["wiki.zip"])
    (tmp_path / "insight.zip").write_bytes(b"of one's own")
    assert "insight.zip is not the file of the hub" in refusal("deepfakeface", tmp_path)
    assert "wiki.zip" not in [name for name, _, _ in deepfakeface.sent]
    assert (tmp_path / "insight.zip").read_bytes() == b"of one's own"


def test_a_new_version_replaces_what_was_fetched(deepfakeface: Hub, tmp_path: Path) -> None:
    accepted("deepfakeface", tmp_path, only=["wiki"])
    deepfakeface.files["wiki.zip"] = deepfakeface.files["text2img.zip"]
    accepted("deepfakeface", tmp_path, only=["wiki"])
    assert (tmp_path / "wiki.zip").read_bytes() == deepfakeface.files["wiki.zip"]


def test_a_cut_connection_is_taken_up_again(deepfakeface: Hub, tmp_path: Path) -> None:
    deepfakeface.cuts["wiki.zip"] = [2500]
    accepted("deepfakeface", tmp_path, only=["wiki"])
    (_, first, _), (_, second, _) = deepfakeface.sent
    assert (first, second) == (0, 2000)  # whole pieces of 1,000 bytes were kept
    assert (tmp_path / "wiki.zip").read_bytes() == deepfakeface.files["wiki.zip"]


def test_a_fetch_goes_on_where_the_last_one_stopped(deepfakeface: Hub, tmp_path: Path) -> None:
    class Down(list[int]):
        def pop(self, at: int = -1) -> int:  # type: ignore[override]
            deepfakeface.status["wiki.zip"] = 503
            return super().pop(at)

    deepfakeface.cuts["wiki.zip"] = Down([2500])
    assert "answered 503 for wiki.zip" in refusal("deepfakeface", tmp_path, only=["wiki"])
    assert not (tmp_path / "wiki.zip").exists()
    assert [path.stat().st_size for path in tmp_path.glob(".wiki.zip.*.part")] == [2000]
    deepfakeface.status.clear()
    accepted("deepfakeface", tmp_path, only=["wiki"])
    size = len(deepfakeface.files["wiki.zip"])
    assert deepfakeface.sent == [("wiki.zip", 0, 2500), ("wiki.zip", 2000, size - 2000)]
    assert files(tmp_path) == [".gitignore", RECEIPT, "wiki.zip"]


def test_a_wrong_checksum_leaves_nothing(deepfakeface: Hub, tmp_path: Path) -> None:
    deepfakeface.stated["wiki.zip"] = "0" * 64
    message = refusal("deepfakeface", tmp_path, only=["wiki"])
    assert (
        "the hub states 000000000000…; what came was deleted, run the same command again" in message
    )
    assert files(tmp_path) == [".gitignore", RECEIPT]
    deepfakeface.stated.clear()
    accepted("deepfakeface", tmp_path, only=["wiki"])
    assert (tmp_path / "wiki.zip").is_file()


def test_a_hash_that_is_none(deepfakeface: Hub, tmp_path: Path) -> None:
    deepfakeface.stated["wiki.zip"] = "../../elsewhere"
    assert "states no SHA-256 of wiki.zip" in refusal("deepfakeface", tmp_path)


def test_a_login_stays_with_the_hub(
    deepfakeface: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", False)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    deepfakeface.cdn = deepfakeface.url.replace("127.0.0.1", "localhost")
    accepted("deepfakeface", tmp_path, only=["wiki"])
    assert set(deepfakeface.tokens) >= {("datasets", "Bearer hf_secret"), ("cdn", None)}
    assert ("cdn", "Bearer hf_secret") not in deepfakeface.tokens


@pytest.mark.parametrize(
    ("what", "status", "message"),
    [
        ("OpenRL/DeepFakeFace", 404, "OpenRL/DeepFakeFace is not on the hub (404)"),
        ("OpenRL/DeepFakeFace", 401, "OpenRL/DeepFakeFace is closed to you (401)"),
        ("wiki.zip", 404, "wiki.zip is not on the hub (404)"),
        ("wiki.zip", 403, "wiki.zip is closed to you (403)"),
        ("wiki.zip", 500, "the hub answered 500 for wiki.zip"),
    ],
)
def test_what_the_hub_refuses(
    deepfakeface: Hub, tmp_path: Path, what: str, status: int, message: str
) -> None:
    deepfakeface.status[what] = status
    assert refusal("deepfakeface", tmp_path, only=["wiki"]).startswith(message)
    assert not list(tmp_path.glob("*.zip"))


def test_no_hub_at_all(deepfakeface: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    message = refusal("deepfakeface", tmp_path)
    assert message.startswith("cannot get OpenRL/DeepFakeFace from http://127.0.0.1:9: ")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "unset HF_HUB_OFFLINE" in refusal("deepfakeface", tmp_path)
    assert files(tmp_path) == []


def test_what_is_no_answer_of_a_hub(
    deepfakeface: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        deepfakeface, "describe", lambda: b"<html>Please log in to this hotel's network</html>"
    )
    assert "cannot get OpenRL/DeepFakeFace" in refusal("deepfakeface", tmp_path)


def test_a_data_set_that_has_changed(deepfakeface: Hub, tmp_path: Path) -> None:
    del deepfakeface.files["insight.zip"]
    assert "OpenRL/DeepFakeFace has no file of insight any more" in refusal(
        "deepfakeface", tmp_path
    )
    assert deepfakeface.sent == []


def test_no_room(deepfakeface: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need = sum(len(data) for name, data in deepfakeface.files.items() if name.endswith(".zip"))
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=need - 1))
    assert "are free; make room" in refusal("deepfakeface", tmp_path / "new" / "folder")
    assert files(tmp_path) == []
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=need))
    accepted("deepfakeface", tmp_path / "new" / "folder")


def test_a_disk_that_fills_up(
    deepfakeface: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("huggingface_hub.file_download.http_get", full)
    assert refusal("deepfakeface", tmp_path).startswith(
        "cannot write wiki.zip: No space left on device"
    )


@pytest.mark.parametrize(
    ("package", "name"), [("huggingface_hub", "deepfakeface"), ("pyarrow", "celeba")]
)
def test_a_missing_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, name: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert refusal(name, tmp_path).endswith(
        f"needs the package {package}; pip install 'fauxlab[hub]'"
    )


def test_requests_that_cannot_be_met(tmp_path: Path) -> None:
    assert "no data set 'ffhq' to fetch; there are deepfakeface, celeba" in refusal(
        "ffhq", tmp_path
    )
    assert "has no part 'wikki'; it has wiki, " in refusal("deepfakeface", tmp_path, only=["wikki"])
    (tmp_path / "metadata.csv").write_text("file_name,label\n")
    assert "holds other data" in refusal("celeba", tmp_path)
    (tmp_path / RECEIPT).write_text(json.dumps({"dataset": "a/b", "files": {}}))
    assert "holds other data" in refusal("deepfakeface", tmp_path)
    for damaged in (
        "{",
        "[]",
        '{"dataset": "a/b", "files": {"a": {}}}',
        '{"dataset": "a/b", "files": [1]}',
    ):
        (tmp_path / RECEIPT).write_text(damaged)
        assert f"{RECEIPT} cannot be read" in refusal("deepfakeface", tmp_path)


def test_celeba_becomes_zips_by_person(celeba: Hub, tmp_path: Path) -> None:
    accepted("celeba", tmp_path)
    zips = ["test-0.zip", "train-00000.zip", "train-00001.zip", "valid-00000.zip"]
    assert [name for name in files(tmp_path) if name.endswith(".zip")] == zips
    assert len(list((tmp_path / "shards").iterdir())) == 4
    manifest = index(tmp_path).split(seed=0)
    assert len(manifest) == 16
    assert sorted({row.group for row in manifest.rows}) == [
        f"celeba {person:05}" for person in range(8)
    ]
    assert all(row.source == "celeba" and not row.label for row in manifest.rows)
    celeba.sent.clear()
    accepted("celeba", tmp_path)
    assert celeba.sent == []


def test_celeba_shards_can_go(celeba: Hub, tmp_path: Path) -> None:
    accepted("celeba", tmp_path, delete_shards=True, only=["train"])
    assert list((tmp_path / "shards").iterdir()) == []
    assert len(index(tmp_path)) == 8
    (tmp_path / "train-00001.zip").unlink()
    celeba.sent.clear()
    accepted("celeba", tmp_path, delete_shards=True)
    assert [Path(name).name.partition("-of-")[0] for name, _, _ in celeba.sent] == [
        "train-00001",
        "valid-00000",
        "test-0",
    ]
    assert len(index(tmp_path)) == 16


def test_celeba_stopped_while_packing(
    celeba: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, left = zipfile.ZipFile.writestr, [6]

    def stop(*arguments: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(zipfile.ZipFile, "writestr", stop)
    with pytest.raises(KeyboardInterrupt):
        accepted("celeba", tmp_path)
    monkeypatch.undo()
    assert [name for name in files(tmp_path) if ".zip" in name] == ["train-00000.zip"]
    assert len(index(tmp_path)) == 4


def test_celeba_goes_on_after_packing_was_stopped(
    celeba: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("fauxlab.datasets.fetch.pack_shard", stop)
        with pytest.raises(KeyboardInterrupt):
            accepted("celeba", tmp_path)
    assert len(celeba.sent) == 1
    accepted("celeba", tmp_path)
    assert len(celeba.sent) == 4  # the shard that had come was not fetched again
    assert len(index(tmp_path)) == 16


def test_celeba_needs_room_for_both(
    celeba: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [len(data) for name, data in celeba.files.items() if name.endswith(".parquet")]
    free = round(1.1 * sum(sizes)) + max(sizes)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=free))
    assert refusal("celeba", tmp_path).endswith("; --delete-shards takes less")
    accepted("celeba", tmp_path, delete_shards=True)


@pytest.mark.parametrize(
    ("name", "words"),
    [("deepfakeface", ["openrail", "Apache-2.0"]), ("celeba", ["non-commercial research only"])],
)
def test_the_terms_come_first(
    name: str, words: list[str], tmp_path: Path, fauxlab: Command
) -> None:
    code, out, err = fauxlab("data", "fetch", name, "--out", tmp_path / "d")
    *terms, last = err.splitlines()
    assert (code, out) == (2, "")
    assert last == (
        f"error: {name} is fetched once you accept its terms: read them, then pass --accept-license"
    )
    assert (
        terms[-1] == f"Read the terms themselves: https://huggingface.co/datasets/{SETS[name].repo}"
    )
    assert all(word in err for word in words)
    assert not (tmp_path / "d").exists()


def test_the_command(
    deepfakeface: Hub, tmp_path: Path, fauxlab: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = fauxlab(
        "data", "fetch", "deepfakeface", "--accept-license", "--only", "wiki,insight"
    )
    assert (code, out) == (0, "")
    assert err.splitlines()[1:] == [
        "fetching wiki.zip, 0.00 GB",
        "fetching insight.zip, 0.00 GB",
        "fetched deepfakeface to data/deepfakeface; next: fauxlab data index data/deepfakeface",
    ]
    assert fauxlab("data", "fetch", "ffhq")[0] == 2


def test_ctrl_c_and_on(deepfakeface: Hub, tmp_path: Path) -> None:
    deepfakeface.stall["wiki.zip"] = 2500
    code = (
        "import huggingface_hub.constants as c; c.DOWNLOAD_CHUNK_SIZE = 1000\n"
        "from fauxlab.cli import main; main()"
    )
    words = ["data", "fetch", "deepfakeface", "--accept-license", "--out", str(tmp_path / "d")]
    environment = {**os.environ, "HF_ENDPOINT": deepfakeface.url, "HF_HOME": str(tmp_path / "home")}
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words], stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        deadline = time.monotonic() + 60
        while not deepfakeface.sent and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert "the same command continues" in err
    assert "Traceback" not in err
    deepfakeface.stall.clear()
    accepted("deepfakeface", tmp_path / "d", only=["wiki"])
    assert [start for _, start, _ in deepfakeface.sent] == [0, 2000]
