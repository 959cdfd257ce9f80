"""Child processes that decode: killed in time, replaced, ended with their parent, silent."""

from __future__ import annotations

import io
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image
from tests.io.test_images import encoded, halves

from fauxlab.io import images
from fauxlab.io.decoding import children
from fauxlab.io.decoding.children import LARGE_PIXELS, Remote
from fauxlab.io.encoding import describe_encoding
from fauxlab.io.images import FORMATS, decode
from fauxlab.io.limits import DEFAULT_LIMITS, ImageError, Limits

TIFF = encoded(halves(), "TIFF")


def child_pids() -> list[int]:
    return [child._process.pid for child in children._children._idle]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP"])
def test_a_child_decodes_the_same_pixels_as_this_process(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(halves(100, 70), form)
    here = decode(data)
    described = describe_encoding(data)
    monkeypatch.setattr(images, "LIGHT_JPEG_PIXELS", 0)
    monkeypatch.setattr(images, "LIGHT_PIXELS", 0)
    with Remote(data, DEFAULT_LIMITS) as remote:
        assert remote.frame(0).tobytes() == here.tobytes()
    assert decode(data).tobytes() == here.tobytes()
    again = describe_encoding(data)
    assert (again.format, again.metadata) == (described.format, described.metadata)
    assert (again.tables is None) == (described.tables is None)


def test_ordinary_pictures_start_no_child() -> None:
    code = """
import io
import sys
from PIL import Image
from fauxlab.io.decoding import children
from fauxlab.io.images import decode
for form in ("JPEG", "PNG", "WEBP", "BMP"):
    stream = io.BytesIO()
    Image.new("RGB", (64, 64)).save(stream, form)
    decode(stream.getvalue())
heavy = {"torch", "onnxruntime", "cv2", "PIL.ImageCms"} & set(sys.modules)
print(len(children._children._idle), sorted(heavy))
"""
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout == "0 []\n"


def test_a_child_is_kept_and_one_that_died_is_replaced() -> None:
    decode(TIFF)
    (first, *_) = reversed(child_pids())
    decode(TIFF)
    assert first in child_pids()
    for pid in child_pids():
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while any(child.is_usable for child in children._children._idle):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert decode(TIFF).size == (64, 32)
    assert first not in child_pids()


def test_a_child_that_hangs_is_killed_and_the_next_picture_is_decoded() -> None:
    with Remote(TIFF, Limits(timeout=0.5)) as remote:
        child = remote._child
        assert child is not None
        os.kill(child._process.pid, signal.SIGSTOP)
        with pytest.raises(ImageError, match=r"^took longer than 0.5 seconds$"):
            remote.frame(0)
    assert not child.is_usable
    assert child not in children._children._idle
    assert decode(TIFF).size == (64, 32)


def test_threads_whose_scan_has_ended_do_not_wait_for_a_child() -> None:
    """The child is stopped, so that it would take the whole timeout; and so would a new one."""
    mine = threading.get_ident()
    with Remote(TIFF, Limits(timeout=600)) as remote:
        child = remote._child
        assert child is not None
        os.kill(child._process.pid, signal.SIGSTOP)
        with children.stop_decoding({mine}):
            with pytest.raises(ImageError):
                remote.frame(0)
            with pytest.raises(ImageError):
                decode(TIFF)
    assert decode(TIFF).size == (64, 32)


def test_a_child_that_crashes_is_one_bad_picture() -> None:
    with Remote(TIFF, DEFAULT_LIMITS) as remote:
        child = remote._child
        assert child is not None
        os.kill(child._process.pid, signal.SIGSEGV)
        with pytest.raises(ImageError, match=r"^cannot be decoded: its decoder crashed$"):
            remote.frame(0)
    assert decode(TIFF).size == (64, 32)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not bound memory this way")
def test_a_picture_of_too_much_memory_is_one_bad_picture() -> None:
    """The child is told to decode a picture of 100 megabytes in 1 megabyte more than it has."""
    side = 10_000
    data = encoded(Image.new("L", (side, side)), "TIFF", compression="tiff_lzw")
    limits = Limits(max_pixels=side * side)
    with Remote(data, limits) as remote:
        child = remote._child
        assert child is not None
        pid = child._process.pid
        status = Path(f"/proc/{pid}/statm").read_text()
        taken = int(status.split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.prlimit(pid, resource.RLIMIT_AS, (taken + 2**20, resource.RLIM_INFINITY))
        with pytest.raises(ImageError, match=r"^cannot be decoded: it takes more memory"):
            remote.frame(0)
    assert decode(data, limits=limits).size == (side, side)


def test_sizes_beyond_the_limit_are_refused_by_the_child() -> None:
    for data in (TIFF, encoded(halves(), "AVIF"), encoded(halves(), "GIF")):
        assert decode(data, limits=Limits(max_pixels=64 * 32)).size == (64, 32)
        with pytest.raises(ImageError, match=r"^64×32 pixels, above the limit of 2,047$"):
            decode(data, limits=Limits(max_pixels=64 * 32 - 1))


def test_threads_share_a_few_children(monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadPoolExecutor(16) as pool:
        sizes = set(pool.map(lambda _: decode(TIFF).size, range(64)))
    assert sizes == {(64, 32)}
    assert len(child_pids()) <= children.MOST


def test_several_open_pictures_of_one_thread_do_not_wait_for_each_other() -> None:
    remotes = [Remote(TIFF, DEFAULT_LIMITS) for _ in range(children.MOST + 2)]
    for remote in remotes:
        remote.__enter__()
    for remote in remotes:
        assert remote.frame(0).size == (64, 32)
    for remote in remotes:
        remote.__exit__(None, None, None)
    assert len(child_pids()) <= children.MOST


def test_large_pictures_are_decoded_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    assert DEFAULT_LIMITS.max_pixels >= LARGE_PIXELS
    running, most, counter = 0, 0, threading.Lock()
    receive = Remote._receive

    def counted(self: Remote, *rest: object) -> Image.Image:
        nonlocal running, most
        with counter:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with counter:
            running -= 1
        return receive(self, *rest)

    monkeypatch.setattr(Remote, "_receive", counted)
    monkeypatch.setattr(children, "LARGE_PIXELS", 64 * 32 - 1)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(decode, [TIFF] * 8))
    assert most == 1


def test_frames_of_a_large_animation_are_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("black", "blue", "white")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    plain = [frame.picture.tobytes() for frame in images.decode_frames(data)]
    monkeypatch.setattr(children, "LARGE_PIXELS", 1)
    with Remote(data, DEFAULT_LIMITS, frames=True) as remote:
        anew = []
        for number in range(remote.count):
            anew.append(remote.frame(number).tobytes())
            assert remote._child is None
    assert anew == plain


def alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_child_ends_with_its_parent_even_if_that_is_killed() -> None:
    code = """
import sys, time
from fauxlab.io.decoding import children
from fauxlab.io.images import decode
decode(sys.stdin.buffer.read())
print(children._children._idle[0]._process.pid, flush=True)
if sys.argv[1] == "wait":
    time.sleep(60)
"""
    for how in ("end", "wait"):
        parent = subprocess.Popen(
            [sys.executable, "-c", code, how], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdin.write(TIFF)
        parent.stdin.close()
        child = int(parent.stdout.readline())
        if how == "wait":
            assert alive(child)
            parent.kill()
        assert parent.wait() == (0 if how == "end" else -signal.SIGKILL)
        parent.stdout.close()
        deadline = time.monotonic() + 20
        while alive(child):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_child_works_without_a_main_guard_and_reads_nothing_of_the_folder(
    tmp_path: Path,
) -> None:
    """From standard input, in a folder of hostile modules, which writes and prints nothing."""
    for name in ("fauxlab", "PIL", "numpy", "json"):
        (tmp_path / f"{name}.py").write_text("open('was-here', 'w')\n")
    (tmp_path / "home").mkdir()
    code = f"""
import os, sys
sys.path.remove("")
os.chdir({str(tmp_path)!r})
from fauxlab.io.images import decode
print(decode({TIFF!r}).size)
"""
    run = subprocess.run(
        [sys.executable],
        input=code,
        text=True,
        capture_output=True,
        check=True,
        env={**os.environ, "HOME": str(tmp_path / "home")},
    )
    assert (run.stdout, run.stderr) == ("(64, 32)\n", "")
    assert not (tmp_path / "was-here").exists()
    assert not list((tmp_path / "home").iterdir())


@pytest.mark.filterwarnings("ignore:Truncated File Read")
def test_what_libraries_say_of_a_broken_tiff_is_not_seen() -> None:
    data = encoded(halves(200, 200), "TIFF", compression="jpeg")
    # Its quantisation tables, at the end, lack a few bytes. libtiff prints a line on each.
    with pytest.raises(OSError, match="decoder error"):
        Image.open(io.BytesIO(data[:-3])).load()
    code = """
import sys
from fauxlab.io.images import decode
from fauxlab.io.limits import ImageError
try:
    decode(sys.stdin.buffer.read())
except ImageError as error:
    print(error)
"""
    run = subprocess.run(
        [sys.executable, "-c", code], input=data[:-3], capture_output=True, check=True
    )
    assert run.stderr == b""
    assert run.stdout.startswith(b"cannot be decoded")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_has_children_of_its_own() -> None:
    code = """
import os, sys
from fauxlab.io.decoding import children
from fauxlab.io.images import decode
data = sys.stdin.buffer.read()
decode(data)
mine = children._children._idle[0]._process.pid
forked = os.fork()
if not forked:
    decode(data)
    os._exit(children._children._idle[0]._process.pid == mine)
_, status = os.waitpid(forked, 0)
size = decode(data).size
print(status, size, children._children._idle[0]._process.pid == mine)
"""
    command = [sys.executable, "-W", "ignore", "-c", code]
    run = subprocess.run(command, input=TIFF, capture_output=True, check=True)
    assert run.stdout == b"0 (64, 32) True\n"


def test_a_program_that_is_no_interpreter_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    children._children.close()
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(ImageError, match="no process can be started to decode it in"):
        decode(TIFF)


def test_every_format_is_bounded_by_the_header_or_by_a_child() -> None:
    here = {form for form in FORMATS if form not in ("AVIF", "HEIF", "GIF", "TIFF")}
    for form in here:
        assert images.strip_still(encoded(halves(), form)) is not None
    for form in ("AVIF", "GIF", "TIFF"):
        assert images.strip_still(encoded(halves(), form)) is None
