"""Good and bad picture bytes: each gives the right pixels or one clear reason."""

from __future__ import annotations

import io
import struct
import sys
import threading
import time
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from fauxlab.data import images
from fauxlab.data.images import FORMATS, MAX_BYTES, ImageError, decode, describe_encoding, fingerprint, to_square


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def halves(width: int = 64, height: int = 32) -> Image.Image:
    """Left half red, right half blue."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[:, : width // 2] = (255, 0, 0)
    pixels[:, width // 2 :] = (0, 0, 255)
    return Image.fromarray(pixels)


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that claims a size without holding the pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("form", FORMATS)
def test_formats(form: str) -> None:
    if form == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    image = decode(encoded(halves(), form))
    assert (image.mode, image.size) == ("RGB", (64, 32))
    red, blue = image.getpixel((8, 16)), image.getpixel((56, 16))
    assert red[0] > 200
    assert red[2] < 60
    assert blue[2] > 200
    assert blue[0] < 60


def test_a_heic_picture_without_its_decoder_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    heic = b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf" + bytes(200)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    images._add_heif.cache_clear()
    for read in (decode, describe_encoding):
        with pytest.raises(ImageError, match=r"^a HEIC picture: pip install \"fauxlab\[heic\]\""):
            read(heic)
    images._add_heif.cache_clear()


def test_exif_rotation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate 90° clockwise to view"
    image = decode(encoded(halves(), "JPEG", exif=exif, quality=95))
    assert image.size == (32, 64)
    assert image.getpixel((16, 4))[0] > 200, "what was left is on top"


def test_cmyk_becomes_rgb() -> None:
    image = decode(encoded(halves().convert("CMYK"), "JPEG", quality=95))
    assert image.mode == "RGB"
    assert image.getpixel((8, 16))[0] > 200


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    ramp = (np.arange(64 * 64, dtype=np.uint32).reshape(64, 64) * 16).astype(np.uint16)
    pixels = np.asarray(decode(encoded(Image.fromarray(ramp), "PNG")))
    expected = np.rint(ramp / 65535 * 255)
    assert np.abs(pixels[..., 0] - expected).max() <= 1


def test_palette_with_transparency_is_laid_on_white() -> None:
    image = Image.new("P", (32, 32), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.paste(1, (16, 0, 32, 32))
    pixels = np.asarray(decode(encoded(image, "PNG", transparency=0)))
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[0, 31].tolist() == [255, 0, 0]


def test_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    image = decode(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert image.getpixel((5, 5)) == (255, 0, 0) or image.getpixel((5, 5))[0] > 250


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"\0" * 1000, "not an image"),
        (b"hello, I am a text file named photo.jpg", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n", "not an image"),
        (encoded(halves(), "JPEG")[:400], "cannot be decoded|not an image"),
        (encoded(halves(), "PNG")[:60], "cannot be decoded|not an image"),
        (png_of_size(20_000, 20_000), "above the limit"),
        (png_of_size(2**31 - 1, 2**31 - 1), "above the limit|cannot be decoded|not an image"),
        (encoded(Image.new("RGB", (1, 1)), "PNG"), "too small"),
        (encoded(Image.new("RGB", (400, 4)), "PNG"), "too small"),
        (b"\xff" * (MAX_BYTES + 1), "above the limit"),
    ],
    ids=["empty", "zeros", "text", "eps", "cut jpeg", "cut png", "bomb", "huge bomb", "1x1", "strip", "big file"],
)
def test_bad_bytes_give_one_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason) as caught:
        decode(data)
    assert "\n" not in str(caught.value)


def test_any_flipped_bit_gives_a_picture_or_an_image_error(jpeg: Callable[..., bytes]) -> None:
    good = jpeg(1)
    rng = np.random.default_rng(0)
    outcomes = set()
    for _ in range(300):
        data = bytearray(good)
        for position in rng.integers(0, len(data), 3):
            data[position] ^= 1 << int(rng.integers(8))
        try:
            outcomes.add(decode(bytes(data)).mode)
        except ImageError:
            outcomes.add("refused")
    assert outcomes == {"RGB", "refused"}


def test_large_pictures_are_decoded_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    running, most, counter = 0, 0, threading.Lock()

    def convert(image: Image.Image) -> Image.Image:
        nonlocal running, most
        with counter:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with counter:
            running -= 1
        return image

    monkeypatch.setattr(images, "_to_rgb", convert)
    data = [encoded(halves(), "PNG")] * 8
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(decode, data))
        assert most > 1
        most = 0
        monkeypatch.setattr(images, "LARGE_PIXELS", 64 * 32 - 1)
        list(pool.map(decode, data))
        assert most == 1


def test_decoding_in_threads_leaves_the_warning_filters_alone(jpeg: Callable[..., bytes]) -> None:
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(decode, [jpeg(1)] * 400))
    assert list(warnings.filters) == before


def test_to_square_takes_the_centre() -> None:
    square = to_square(halves(96, 32), 16)
    assert (square.shape, square.dtype) == ((3, 16, 16), np.uint8)
    # The centre 32 columns of 96 are half red, half blue.
    assert square[:, 8, 2].tolist() == [255, 0, 0]
    assert square[:, 8, 13].tolist() == [0, 0, 255]


def test_to_square_is_antialiased() -> None:
    stripes = np.zeros((256, 256, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    assert abs(int(to_square(Image.fromarray(stripes), 32)[:, 4:-4, 4:-4].mean()) - 127) <= 2


def test_fingerprint_survives_recompression_and_tells_pictures_apart(jpeg: Callable[..., bytes]) -> None:
    def bits(seed: int, **options: object) -> np.ndarray:
        found = fingerprint(decode(jpeg(seed, (160, 160), **options)))
        assert found is not None
        return found

    assert (bits(1) != bits(1, quality=40)).sum() <= 24
    assert (bits(1) != bits(2)).sum() > 60
    assert fingerprint(Image.new("RGB", (64, 64), "grey")) is None
