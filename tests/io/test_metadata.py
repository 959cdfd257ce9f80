"""Sound pixels beside broken, huge or hostile metadata: the pixels count, the rest is ignored."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from tests.io.test_images import chunk, encoded, segment

from fauxlab.io.decoding.metadata import inflate, read_orientation
from fauxlab.io.encoding import describe_encoding
from fauxlab.io.images import decode
from fauxlab.io.limits import ImageError

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
PICTURE = Image.fromarray(PIXELS).resize((48, 36), Image.Resampling.BICUBIC)


def exif(orientation: int, kind: int = 3, count: int = 1, order: str = "<") -> bytes:
    """A TIFF header and one directory with the orientation."""
    start = b"II*\0" if order == "<" else b"MM\0*"
    value = struct.pack(order + ("H2x" if kind == 3 else "I"), orientation)
    entry = struct.pack(order + "HHI", 0x0112, kind, count) + value
    return start + struct.pack(order + "IH", 8, 1) + entry + bytes(4)


LONG = zlib.compress(b'{"nodes": [' + b"1," * 600_000 + b"]}")
BROKEN_CHUNKS = {
    "long iTXt": chunk(b"iTXt", b"workflow\0\1\0\0\0" + LONG),
    "long zTXt": chunk(b"zTXt", b"workflow\0\0" + LONG),
    "broken zTXt": chunk(b"zTXt", b"workflow\0\0no zlib"),
    "unknown method": chunk(b"zTXt", b"workflow\0\7" + LONG),
    "broken exif": chunk(b"eXIf", b"no tiff at all"),
    "empty exif": chunk(b"eXIf", b""),
    "exif as text": chunk(b"eXIf", b"b'Exif\\x00\\x00II*\\x00'"),
    "raw profile": chunk(b"tEXt", b"Raw profile type exif\0\nexif\n  8\n67617262\nxyz\n"),
    "short gAMA": chunk(b"gAMA", b"\0"),
    "short pHYs": chunk(b"pHYs", b"\0\0"),
    "short cHRM": chunk(b"cHRM", b"\0"),
    "wrong checksum": struct.pack(">I", 2) + b"tEXthi" + bytes(4),
    "broken profile": chunk(b"iCCP", b"name\0\0" + zlib.compress(b"no profile")),
    "broken zlib": chunk(b"iCCP", b"name\0\0no zlib"),
    "no zero": chunk(b"iCCP", b"name"),
    "broken sRGB": chunk(b"sRGB", b""),
    "broken transparency": chunk(b"tRNS", b"\0"),
    "broken animation": chunk(b"acTL", b"\0") + chunk(b"fcTL", b"\0"),
    "broken xmp": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0"),
}


@pytest.mark.parametrize("name", BROKEN_CHUNKS)
def test_chunks_beside_the_pixels_of_a_png(name: str) -> None:
    plain = encoded(PICTURE, "PNG")
    ends = plain.rindex(b"IEND") - 4
    extra = BROKEN_CHUNKS[name]
    for data in (plain[:33] + extra + plain[33:], plain[:ends] + extra + plain[ends:]):
        assert decode(data).tobytes() == PICTURE.tobytes()
        assert describe_encoding(data).width == 48


BROKEN_SEGMENTS = {
    "exif": segment(0xE1, b"Exif\0\0no tiff at all"),
    "empty exif": segment(0xE1, b"Exif\0\0"),
    "xmp": segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<no xml"),
    "profile": segment(0xE2, b"ICC_PROFILE\0"),
    "part of a profile": segment(0xE2, b"ICC_PROFILE\0\1\2abc"),
    "further pictures": segment(0xE2, b"MPF\0no tiff"),
    "photoshop": segment(0xED, b"Photoshop 3.0\x008BIM\xff"),
    "jfif": segment(0xE0, b"JFIF"),
    "adobe": segment(0xEE, b"Adobe"),
    "comment": segment(0xFE),
    "other": segment(0xEB, b"\xff" * 1000),
}


@pytest.mark.parametrize("name", BROKEN_SEGMENTS)
def test_segments_beside_the_pixels_of_a_jpeg(name: str) -> None:
    for options in ({}, {"progressive": True}):
        plain = encoded(PICTURE, "JPEG", **options)
        data = plain[:2] + BROKEN_SEGMENTS[name] + plain[2:]
        assert decode(data).tobytes() == decode(plain).tobytes()
        assert describe_encoding(data).width == 48


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF", "JPEG", "AVIF", "HEIF"])
@pytest.mark.parametrize("broken", ["exif", "icc_profile", "xmp"])
def test_broken_entries_of_every_format(form: str, broken: str) -> None:
    if form == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    if (form, broken) == ("PNG", "xmp"):
        pytest.skip("written by hand above")
    # Encoders refuse EXIF that is broken, so a sound one is broken in the file.
    maker = Image.Exif()
    maker[0x010F] = "a maker of cameras"
    body = maker.tobytes() if broken == "exif" else b"MARK" * 9
    plain = encoded(PICTURE, form)
    data = encoded(PICTURE, form, **{broken: body})
    if broken == "exif" and form != "TIFF":
        start = maker.tobytes()[6:20]
        assert start in data
        data = data.replace(start, b"\xff" * len(start))
    assert decode(data).tobytes() == decode(plain).tobytes()
    assert describe_encoding(data).width == 48


@pytest.mark.parametrize("form", ["PNG", "WEBP", "JPEG"])
def test_rotation_is_read_from_sound_exif_and_from_xmp(form: str) -> None:
    turned = PICTURE.transpose(Image.Transpose.ROTATE_180)
    for order in "<>":
        for kind in (3, 4):
            data = encoded(PICTURE, form, exif=b"Exif\0\0" + exif(3, kind, order=order), quality=95)
            difference = np.asarray(decode(data), int) - np.asarray(turned)
            assert np.abs(difference).mean() < 12
    packet = b'<x tiff:Orientation="6"/>'
    if form == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", packet.decode())
        assert decode(encoded(PICTURE, form, pnginfo=info)).size == (36, 48)
    else:
        assert decode(encoded(PICTURE, form, xmp=packet)).size == (36, 48)


def test_rotation_in_a_raw_profile_of_a_png() -> None:
    digits = (b"Exif\0\0" + exif(6)).hex().encode()
    text = b"Raw profile type exif\0\nexif\n      38\n" + digits + b"\n"
    plain = encoded(PICTURE, "PNG")
    data = plain[:33] + chunk(b"tEXt", text) + plain[33:]
    assert decode(data).size == (36, 48)


def test_orientation_of_absurd_entries_is_ignored() -> None:
    assert read_orientation(exif(6), b"") == 6
    assert read_orientation(b"Exif\0\0" + exif(6, order=">"), b"") == 6
    for absurd in (
        exif(6, count=2),
        exif(6, kind=5),
        exif(6, kind=99),
        exif(6, kind=4, count=20_000_000),
        exif(6)[:20],
        exif(6)[:9],
        exif(6) + bytes(2**16),  # too long
        b"",
    ):
        assert read_orientation(absurd, b"") == 1
    assert read_orientation(b"broken", b"<tiff:Orientation>8<") == 8
    assert read_orientation(b"", b" " * 2**20 + b'tiff:Orientation="8"') == 1


def test_what_zlib_packs_is_bounded() -> None:
    assert inflate(zlib.compress(bytes(100)), 100) == bytes(100)
    assert inflate(zlib.compress(bytes(101)), 100) == b""
    assert inflate(b"no zlib", 100) == b""


def test_exif_that_unpacks_to_millions_of_numbers_is_ignored() -> None:
    """The orientation as 4 million rationals, which take a minute to parse."""
    many = 4_000_000
    body = b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHII", 0x0112, 5, many, 26) + bytes(4 + 8 * many)
    png, webp = encoded(PICTURE, "PNG"), encoded(PICTURE, "WEBP", lossless=True, exif=body)
    for data in (png[:33] + chunk(b"eXIf", body) + png[33:], webp):
        assert decode(data).tobytes() == PICTURE.tobytes()


def tiff(*entries: tuple[int, int, int, int], behind: bytes = b"", order: str = "<") -> bytes:
    """A grey TIFF of 16 × 16 in one strip, which has further entries."""
    plain = [(256, 4, 1, 16), (257, 4, 1, 16), (258, 4, 1, 8), (262, 4, 1, 1), (273, 4, 1, 8)]
    plain += [(277, 4, 1, 1), (278, 4, 1, 16), (279, 4, 1, 256)]
    all_entries = sorted([*plain, *entries])
    directory = struct.pack(order + "H", len(all_entries))
    for entry in all_entries:
        directory += struct.pack(order + "HHII", *entry)
    start = b"II*\0" if order == "<" else b"MM\0*"
    pixels = bytes(range(256))
    head = start + struct.pack(order + "I", 8 + 256 + len(behind))
    return head + pixels + behind + directory + bytes(4)


@pytest.mark.parametrize("order", "<>")
def test_entries_of_a_tiff_that_do_not_concern_pixels(order: str) -> None:
    rows = np.arange(256, dtype=np.uint8).reshape(16, 16)
    absurd = [
        (270, 2, 2**31, 8),  # a text beyond the file
        (274, 5, 20_000_000, 8),
        (282, 5, 20_000_000, 8),
        (34665, 4, 1, 2**31),  # EXIF
        (34675, 7, 16, 8),  # a broken profile
        (700, 1, 2**30, 8),
        (65000, 12, 2**29, 8),
    ]
    for entries in ([entry] for entry in absurd):
        pixels = np.asarray(decode(tiff(*entries, order=order)))
        assert (pixels[..., 0] == rows).all()
    assert (np.asarray(decode(tiff(*absurd, order=order)))[..., 1] == rows).all()
    with pytest.raises(ImageError, match=r"^a TIFF of more than 64 numbers for its tag 317$"):
        decode(tiff((317, 3, 1000, 8), order=order))


def test_jpegs_inside_a_tiff_may_have_no_more_scans_than_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from fauxlab.io.decoding import tiff as module

    stream = io.BytesIO()
    Image.new("L", (16, 16), 120).save(stream, "JPEG", progressive=True)
    jpeg = stream.getvalue()
    start, end = jpeg.rfind(b"\xff\xda"), jpeg.rfind(b"\xff\xd9")

    def with_scans(count: int) -> bytes:
        body = jpeg[:end] + jpeg[start:end] * (count - jpeg.count(b"\xff\xda")) + jpeg[end:]
        plain = tiff((259, 3, 1, 7), behind=body)
        # the strip is the JPEG
        strip, length = struct.pack("<HHII", 273, 4, 1, 8), struct.pack("<HHII", 279, 4, 1, 256)
        plain = plain.replace(strip, struct.pack("<HHII", 273, 4, 1, 8 + 256))
        return plain.replace(length, struct.pack("<HHII", 279, 4, 1, len(body)))

    for fine in (20, 90):
        assert decode(with_scans(fine)).getpixel((8, 8)) == (120, 120, 120)
    with pytest.raises(ImageError, match=r"^a JPEG of more than 100 scans$"):
        decode(with_scans(101))
    # Many strips may name one JPEG.
    monkeypatch.setattr(module, "MAX_SCANNED", 20 * 256)
    module.strip_tiff(with_scans(20), pages=False)
    with pytest.raises(ImageError, match="scans over more than 5,120 pixels"):
        module.strip_tiff(with_scans(21), pages=False)
