"""What a Scanner takes, and what it says of the rest."""

from __future__ import annotations

import gc
import io
import math
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fauxlab.bundle.detector import AnyDetector
from fauxlab.errors import LabError
from fauxlab.scan import inputs
from fauxlab.scan.scanner import Scanner


@pytest.fixture
def scanner(brightness: AnyDetector) -> Scanner:
    return Scanner(brightness, crop="none")


def encode(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def score_of(level: float) -> float:
    """By hand: what the detector says of a picture of this brightness."""
    return 1 / (1 + math.exp(-(level - 128) / 16))


PLAIN = Image.new("RGB", (40, 40), (150, 140, 130))  # brightness 140


def test_the_same_picture_gets_the_same_verdict_in_every_form(
    scanner: Scanner, tmp_path: Path
) -> None:
    path = tmp_path / "a.png"
    data = encode(PLAIN)
    path.write_bytes(data)
    with path.open("rb") as opened, path.open("rb", buffering=0) as raw:
        forms = {
            str(path): [str(path), path, opened, raw],
            "<bytes>": [data, bytearray(data), memoryview(data)],
            "<file>": [io.BytesIO(data)],
            "<image>": [PLAIN],
            "<array>": [np.asarray(PLAIN), np.asarray(PLAIN)[:, ::-1]],
        }
        pictures = [picture for group in forms.values() for picture in group]
        verdicts = list(scanner.scan(pictures))
    names = [name for name, group in forms.items() for _ in group]
    assert [verdict.path for verdict in verdicts] == names
    assert [verdict.score for verdict in verdicts] == pytest.approx([score_of(140)] * len(names))
    with Image.open(path) as lazy:
        assert scanner(lazy).path == str(path)
    assert scanner(data, name="upload\n7").path == "upload\\n7"
    assert scanner(path).path == str(path)


def test_pillow_images_are_treated_as_files_are(scanner: Scanner) -> None:
    grey = Image.new("L", (40, 40), 90)
    half = Image.new("RGBA", (40, 40), (0, 0, 0, 0))  # nothing of it is seen, so white
    turned = Image.new("RGB", (60, 40))
    turned.getexif()[0x0112] = 6
    levels = {
        "L": (grey, 90),
        "RGBA": (half, 255),
        "LA": (half.convert("LA"), 255),
        "P": (Image.new("RGB", (40, 40), (200, 200, 200)).convert("P"), 200),
        "1": (Image.new("1", (40, 40), 1), 255),
        "CMYK": (Image.new("CMYK", (40, 40), (0, 0, 0, 255)), 0),
        "16 bit": (Image.fromarray(np.full((40, 40), 257 * 100, np.uint16)), 100),
        "float": (Image.fromarray(np.full((40, 40), 0.5, np.float32)), 128),
    }
    for name, (image, level) in levels.items():
        verdict = scanner(image)
        assert verdict.status == "ok", name
        assert verdict.score == pytest.approx(score_of(level), abs=0.02), name
    verdict = scanner(turned)
    assert (verdict.width, verdict.height) == (40, 60)
    assert turned.size == (60, 40), "the caller's picture stays as it is"


def test_arrays_are_grey_colour_or_colour_with_alpha(scanner: Scanner) -> None:
    colour = np.full((40, 50, 3), 140, np.uint8)
    transparent = np.zeros((40, 50, 4), np.uint8)
    grey = colour[..., 0]
    found = list(scanner.scan([colour, grey, transparent]))
    assert [verdict.score for verdict in found] == pytest.approx(
        [score_of(140), score_of(140), score_of(255)]
    )
    assert (found[0].width, found[0].height) == (50, 40)
    batch = np.stack([colour, colour])
    assert len(list(scanner.scan(batch))) == 2, "an array of pictures is an iterable of them"
    for wrong in (colour.astype(np.float32), colour > 0, colour.astype(np.int64)):
        with pytest.raises(TypeError, match="expected uint8"):
            scanner(wrong)
    for shape in ((3, 40, 50), (40,), (2, 40, 50, 3), (40, 50, 2), ()):
        with pytest.raises(ValueError, match=r"expected uint8 \[H, W, 3\]"):
            scanner(np.zeros(shape, np.uint8))
    assert "no pixels" in (scanner(np.zeros((0, 50, 3), np.uint8)).message or "")


def test_what_is_no_picture_raises(scanner: Scanner, tmp_path: Path) -> None:
    text = tmp_path / "a.txt"
    text.write_text("text")
    for wrong in (None, 7, 1.5, object(), ["a.jpg"], {"path": "a.jpg"}):
        with pytest.raises(TypeError, match="is no picture; give a path"):
            scanner(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="is no picture"):
            list(scanner.scan([PLAIN, wrong]))  # type: ignore[list-item]
    with text.open() as opened, pytest.raises(TypeError, match="open it with 'rb'"):
        scanner(opened)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="open it with 'rb'"):
        scanner(io.StringIO("text"))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="name is a int"):
        scanner(PLAIN, name=3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "single",
    [
        "a.jpg",
        Path("a.jpg"),
        b"",
        bytearray(),
        PLAIN,
        np.zeros((40, 40, 3), np.uint8),
        io.BytesIO(),
    ],
    ids=lambda single: type(single).__name__,
)
def test_one_picture_in_place_of_a_list_raises_at_once(scanner: Scanner, single: Any) -> None:
    for method in (scanner.scan, scanner.explain):
        with pytest.raises(TypeError, match="expected a list"):
            method(single)


def test_a_picture_is_taken_when_it_is_asked_for(scanner: Scanner, tmp_path: Path) -> None:
    """Callers close their files and fill their arrays anew."""
    path = tmp_path / "a.png"
    path.write_bytes(encode(PLAIN))
    buffer = np.zeros((40, 40, 3), np.uint8)
    data = bytearray(encode(PLAIN))

    def frames() -> Iterator[Any]:
        for level in (0, 100, 200):
            buffer[:] = level
            yield buffer
        with path.open("rb") as opened:
            yield opened
        with Image.open(path) as image:
            yield image
        yield data
        data[:] = b""

    levels = (0, 100, 200, 140, 140, 140)
    found = [verdict.score for verdict in scanner.scan(frames())]
    assert found == pytest.approx([score_of(level) for level in levels])


def test_files_are_read_within_bounds(scanner: Scanner, monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(io.RawIOBase):
        given = 0

        def read(self, size: int = -1) -> bytes:
            assert 0 < size <= inputs.PIECE
            self.given += size
            return bytes(size)

    monkeypatch.setattr(inputs, "MAX_BYTES", 3000)
    endless = Endless()
    verdict = scanner(endless)  # type: ignore[arg-type]
    assert endless.given == 3001
    assert "above the limit of 3,000" in (verdict.message or "")

    written = io.BytesIO()
    PLAIN.save(written, "PNG")
    assert "seek(0)" in (scanner(written).message or "")
    written.seek(0)
    assert scanner(written).status == "ok"
    written.close()
    assert "closed file" in (scanner(written).message or "")


def test_pieces_of_a_slow_file_are_put_together(scanner: Scanner) -> None:
    class Slow(io.BytesIO):
        name = 5  # as of a file opened by its descriptor

        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 0, 10))

    verdict = scanner(Slow(encode(PLAIN)))
    assert (verdict.path, verdict.score) == ("<file>", pytest.approx(score_of(140)))


def test_limits_are_kept_for_every_kind_of_input(brightness: AnyDetector, tmp_path: Path) -> None:
    scanner = Scanner(brightness, crop="none", max_pixels=1600)
    assert (scanner.max_pixels, scanner.timeout, scanner.max_faces) == (1600, 20.0, 256)
    large = Image.new("RGB", (41, 40))
    path = tmp_path / "a.png"
    path.write_bytes(encode(large))
    for picture in (path, path.read_bytes(), large, np.asarray(large)):
        verdict = scanner(picture)
        assert (verdict.status, verdict.label) == ("error", None)
        assert verdict.message == "41×40 pixels, above the limit of 1,600"
        assert scanner(PLAIN).status == "ok"
    small = Image.new("RGB", (15, 40))
    assert "too small" in (scanner(small).message or "")


def test_a_time_without_end_is_refused(brightness: AnyDetector) -> None:
    for endless in (math.inf, 86_401):
        with pytest.raises(LabError, match="at most 86,400 seconds"):
            Scanner(brightness, timeout=endless)
    with pytest.raises(TypeError):
        Scanner(brightness, max_faces=1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("limit", "value"),
    [("max_pixels", 0), ("timeout", 0), ("timeout", math.nan), ("max_faces", 0), ("max_faces", -1)],
)
def test_a_limit_that_is_none_is_refused(brightness: AnyDetector, limit: str, value: Any) -> None:
    with pytest.raises(LabError, match=f"{limit} .*positive number"):
        Scanner(brightness, **{limit: value})


def test_a_broken_image_is_a_row(scanner: Scanner, jpeg: Callable[..., bytes]) -> None:
    broken = Image.open(io.BytesIO(jpeg(2, (256, 256))[:2000]))
    bad, good = scanner.scan([broken, PLAIN])
    assert (bad.path, bad.status, good.status) == ("<image>", "error", "ok")
    assert "cannot be decoded" in (bad.message or "")


def test_long_metadata_of_an_image_are_not_read(scanner: Scanner) -> None:
    image = Image.new("RGB", (60, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.info["exif"] = exif.tobytes() + bytes(2**16)
    verdict = scanner(image)
    assert (verdict.width, verdict.height) == (60, 40)
    assert "exif" in image.info, "the caller's picture stays as it is"
    image.info["exif"] = exif.tobytes()
    assert scanner(image).width == 40


def test_the_first_verdict_comes_before_many_pictures_are_asked_for(scanner: Scanner) -> None:
    asked = []

    def endless() -> Iterator[Image.Image]:
        while True:
            asked.append(PLAIN)
            yield PLAIN

    verdicts = scanner.scan(endless())
    next(verdicts)
    assert len(asked) == 4 + 8
    verdicts.close()  # type: ignore[attr-defined]


def test_a_file_object_that_fails_is_one_bad_picture(scanner: Scanner) -> None:
    class Broken:
        def read(self, _size: int) -> bytes:
            raise EOFError("the answer broke off")

    verdict, sound = scanner.scan([Broken(), encode(PLAIN)])
    assert (verdict.status, verdict.message) == ("error", "cannot be read: the answer broke off")
    assert sound.status == "ok"


def test_a_zip_and_a_folder_say_what_to_give(scanner: Scanner, tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("a.png", encode(PLAIN))
    assert scanner(archive).message == (
        "a zip; unpack it and give the folder, or name a picture in it: ARCHIVE.zip!/NAME"
    )
    assert scanner(f"{archive}!/a.png").status == "ok"
    assert scanner(tmp_path).message == "is a folder; name the pictures in it"


def test_files_that_fail_are_let_go_at_once(scanner: Scanner) -> None:
    """Without waiting for Python to look for circles: each of them may hold 256 MiB."""
    broken = [
        b"\x89PNG\r\n\x1a\n" + bytes(2**16),
        b"RIFF\0\0\0\x10WEBPVP8 " + bytes(2**16),
        b"II*\0\x08\0\0\0" + bytes(2**16),
        b"no picture" + bytes(2**16),
    ]
    scanner(broken[0])
    gc.collect()
    gc.disable()
    try:
        before = [sys.getrefcount(data) for data in broken]
        verdicts = list(scanner.scan(broken))
        after = [sys.getrefcount(data) for data in broken]
    finally:
        gc.enable()
    assert [verdict.status for verdict in verdicts] == ["error"] * 4
    assert after == before
