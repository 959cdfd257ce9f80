"""Good and bad picture bytes: each gives the right pixels or one clear reason."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageOps

from fauxlab.io import encoding, limits
from fauxlab.io.decoding import opening
from fauxlab.io.encoding import describe_encoding
from fauxlab.io.images import FORMATS, MAX_BYTES, decode, fingerprint, to_square
from fauxlab.io.limits import ImageError


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


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that claims a size without holding the pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
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


def test_a_heic_picture_without_its_decoder_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heic = b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf" + bytes(200)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    opening._add_heif.cache_clear()
    reason = r"^a HEIC picture: pip install \"fauxlab\[heic\]\""
    with pytest.raises(ImageError, match=reason), opening.decoder_errors(heic):
        opening.open_image(heic)
    opening._add_heif.cache_clear()


def test_exif_rotation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate 90° clockwise to view"
    image = decode(encoded(halves(), "JPEG", exif=exif, quality=95))
    assert image.size == (32, 64)
    assert image.getpixel((16, 4))[0] > 200, "what was left is on top"


@pytest.mark.parametrize("tag", [0x0100, 0x0106, 0x011A])
def test_a_rotated_photo_may_have_metadata_of_odd_types(tag: int) -> None:
    # numbers by the standard; here text
    entries = sorted([(0x0112, 3, 1, b"\6\0\0\0"), (tag, 2, 4, b"odd\0")])
    body = b"".join(struct.pack("<HHI4s", *entry) for entry in entries)
    odd = encoded(halves(), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\2\0" + body + bytes(4))
    with pytest.raises((TypeError, struct.error)):  # what writes the metadata anew stumbles over it
        ImageOps.exif_transpose(Image.open(io.BytesIO(odd)))
    assert decode(odd).size == (32, 64)


@pytest.mark.parametrize("form", [form for form in FORMATS if form not in ("GIF", "BMP")])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_sides_are_described_as_they_are_decoded(form: str, orientation: int) -> None:
    if form == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener(thumbnails=False)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(halves(80, 48), form, exif=exif)
    described = describe_encoding(data)
    assert (described.width, described.height) == decode(data).size
    if form != "HEIF":  # whose own rotation counts, not the one in EXIF
        assert decode(data).size == ((80, 48) if orientation < 5 else (48, 80))


def with_scans(count: int, side: int = 64) -> bytes:
    """A progressive grey JPEG, its last scan repeated until there are `count`."""
    data = encoded(Image.new("L", (side, side), 120), "JPEG", progressive=True)
    start, end = data.rfind(b"\xff\xda"), data.rfind(b"\xff\xd9")
    return data[:end] + data[start:end] * (count - data.count(b"\xff\xda")) + data[end:]


def test_scans_are_bounded_by_number_and_by_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    assert decode(with_scans(100)).size == (64, 64)
    with pytest.raises(ImageError, match=r"^a JPEG of more than 100 scans$"):
        decode(with_scans(101))
    # no length follows one
    behind_restarts = with_scans(101).replace(b"\xff\xda", b"\xff\xd0\xff\xda")
    with pytest.raises(ImageError, match=r"^a JPEG of more than 100 scans$"):
        decode(behind_restarts)
    monkeypatch.setattr(limits, "MAX_SCANNED", 20 * 64 * 64)
    assert decode(with_scans(20)).size == (64, 64)
    with pytest.raises(ImageError, match=r"^a JPEG of more than 20 scans$"):
        decode(with_scans(21))


def test_scans_of_thumbnails_and_of_pictures_behind_do_not_count() -> None:
    thumbnails = 3 * segment(0xE1, b"Exif\0\0" + b"\xff\xda\0\2" * 100)
    # thousands of them
    restarts = encoded(halves(512, 512), "JPEG", progressive=True, restart_marker_blocks=1)
    for good in (with_scans(90), encoded(halves(), "JPEG"), restarts):
        data = good[:2] + thumbnails + good[2:]
        assert decode(data + data * 3).tobytes() == decode(good).tobytes()
    assert decode(encoded(halves(), "MPO", save_all=True, append_images=[halves()] * 150)).size == (
        64,
        32,
    )


def test_a_scan_by_scan_picture_that_is_not_progressive_is_bounded_too() -> None:
    data = encoded(halves(), "JPEG")
    start, end = data.find(b"\xff\xda"), data.rfind(b"\xff\xd9")
    one = segment(0xDA, b"\1\1\0\0\x3f\0") + data[start + 14 : end]  # of luma alone
    with pytest.raises(ImageError, match=r"^a JPEG of more than 100 scans$"):
        decode(data[:start] + one * 101 + data[end:])


def segment(code: int, body: bytes = b"") -> bytes:
    return bytes([0xFF, code]) + struct.pack(">H", len(body) + 2) + body


def test_what_a_header_may_hold_is_bounded() -> None:
    jpeg, png = encoded(halves(), "JPEG"), encoded(halves(), "PNG")
    many = "a JPEG with more than 1,000 segments before its picture"
    between = "a JPEG with more than 65,536 bytes between the segments of its header"
    cases = [
        (jpeg[:2], segment(0xFE), jpeg[2:], 980, many),
        (jpeg[:2], b"\xff\xd0" + segment(0xFE), jpeg[2:], 490, many),
        (jpeg[:20], b"\xff", jpeg[20:], 60_000, between),
        (jpeg[:20], b"\0", jpeg[20:], 60_000, between),
        (
            png[:33],
            chunk(b"tIME", bytes(7)),
            png[33:],
            990,
            "a PNG of more than 1,000 chunks beside its pixels",
        ),
        (png[:33], chunk(b"IDAT"), png[33:], 49_900, "a PNG of more than 50,000 chunks"),
    ]
    for before, part, after, fine, reason in cases:
        assert decode(before + part * fine + after).tobytes() == decode(before + after).tobytes()
        for read in (decode, describe_encoding):
            with pytest.raises(ImageError) as caught:
                read(before + part * (fine + fine // 9) + after)
            assert str(caught.value) == reason


@pytest.mark.parametrize(("order", "wide"), [("<", False), (">", False), ("<", True)])
def test_strips_of_a_tiff_are_bounded(order: str, wide: bool) -> None:
    """16 rows of grey, one strip each, and more places of strips behind those."""

    place, count = (8, "Q") if wide else (4, "I")

    def tiff(strips: int) -> bytes:
        sizes, start = (
            [16] * strips,
            (16 if wide else 8) + (8 if wide else 2) + 9 * (4 + 2 * place) + place,
        )
        offsets = [start + 8 * strips + 16 * min(row, 15) for row in range(strips)]
        plain = {
            256: [16],
            257: [16],
            258: [8],
            259: [1],
            262: [1],
            273: offsets,
            277: [1],
            278: [1],
            279: sizes,
        }
        entries, behind = b"", b""
        for tag, values in plain.items():
            body = struct.pack(f"{order}{len(values)}I", *values)
            if len(body) > place:
                body, behind = struct.pack(order + count, start + len(behind)), behind + body
            entries += struct.pack(f"{order}HH{count}", tag, 4, len(values)) + body.ljust(
                place, b"\0"
            )
        head = (
            struct.pack(f"{order}HHHQQ", 43, 8, 0, 16, 9)
            if wide
            else struct.pack(f"{order}HIH", 42, 8, 9)
        )
        return (
            (b"II" if order == "<" else b"MM")
            + head
            + entries
            + bytes(place)
            + behind
            + bytes(range(256))
        )

    assert np.asarray(decode(tiff(16)))[..., 0].ravel().tolist() == list(range(256))
    assert decode(tiff(60_000)).size == (16, 16)
    for read in (decode, describe_encoding):
        with pytest.raises(ImageError, match=r"^a TIFF of more than 65,536 strips or tiles$"):
            read(tiff(70_000))


def test_segments_between_scans_are_bounded() -> None:
    good = with_scans(20)
    last = good.rfind(b"\xff\xda")
    assert decode(good[:last] + segment(0xFE) * 1900 + good[last:]).size == (64, 64)
    with pytest.raises(ImageError, match=r"^a JPEG of more than 2,000 segments$"):
        decode(good[:last] + segment(0xFE) * 2000 + good[last:])


def test_what_follows_a_picture_is_of_any_length() -> None:
    for form in ("JPEG", "PNG"):
        data = encoded(halves(), form)
        assert decode(data + bytes(10**6)).tobytes() == decode(data).tobytes()
        assert describe_encoding(data + bytes(10**6)).format == form


def test_a_decoders_message_becomes_one_short_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError("bad box " + "x" * 10_000 + "\r\n\tat 0x7f12")

    monkeypatch.setattr(opening, "read_orientation", fail)
    monkeypatch.setattr(encoding, "_jpeg_tables", fail)
    for read in (decode, describe_encoding):
        with pytest.raises(ImageError) as caught:
            read(encoded(halves(), "JPEG"))
        assert str(caught.value) == "cannot be decoded: bad box " + "x" * 192 + "…"


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
    ids=[
        "empty",
        "zeros",
        "text",
        "eps",
        "cut jpeg",
        "cut png",
        "bomb",
        "huge bomb",
        "1x1",
        "strip",
        "big file",
    ],
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


def test_neither_importing_nor_decoding_touches_the_warning_filters() -> None:
    """In a process of its own, as pytest replaces the filters."""
    code = """
import io
import sys
import warnings
import numpy
from PIL import Image
before = list(warnings.filters)
from fauxlab.io.images import decode
stream = io.BytesIO()
Image.new("RGB", (32, 32)).save(stream, sys.argv[1])
decode(stream.getvalue())
print(list(warnings.filters) == before)
"""
    for form in ("JPEG", "TIFF"):
        command = [sys.executable, "-c", code, form]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        assert run.stdout == "True\n"


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


def test_fingerprint_survives_recompression_and_tells_pictures_apart(
    jpeg: Callable[..., bytes],
) -> None:
    def bits(seed: int, **options: object) -> np.ndarray:
        found = fingerprint(decode(jpeg(seed, (160, 160), **options)))
        assert found is not None
        return found

    assert (bits(1) != bits(1, quality=40)).sum() <= 24
    assert (bits(1) != bits(2)).sum() > 60
    assert fingerprint(Image.new("RGB", (64, 64), "grey")) is None
