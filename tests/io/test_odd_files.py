"""Files that are sound and odd, or broken in one place: the right pixels, or a clear reason."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image
from tests.io.test_frames import animation, reds, shades
from tests.io.test_images import chunk, encoded
from tests.io.test_profiles import WIDE, colours, curve, profile, xyz

from fauxlab.io.images import convert, decode
from fauxlab.io.limits import ImageError, Limits

GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)
RARE = r"^a TIFF that stores numbers of \d+ bits in a rare way; save it as PNG$"


def tiff(tags: dict[int, int], pixels: bytes) -> bytes:
    """A little-endian TIFF of 16×16 pixels in one strip a channel."""
    channels = tags.get(277, 1)
    strips = channels if tags.get(284) == 2 else 1
    size = len(pixels) // strips
    plain = {256: [16], 257: [16], 258: [8] * channels, 259: [1], 262: [1], 277: [1], 278: [16]}
    listed = plain | {tag: [value] for tag, value in tags.items()}
    listed[258] = [tags.get(258, 8)] * channels
    behind = 8 + 2 + 12 * (len(listed) + 2) + 4
    start = behind + 64
    listed[273] = [start + number * size for number in range(strips)]
    listed[279] = [size] * strips
    entries = b""
    lists = b""
    for tag, values in sorted(listed.items()):
        body = struct.pack(f"<{len(values)}I", *values)
        if len(body) > 4:
            place = struct.pack("<I", behind + len(lists))
            lists += body
            body = place
        entries += struct.pack("<HHI", tag, 4, len(values)) + body
    head = b"II*\0" + struct.pack("<IH", 8, len(listed)) + entries + bytes(4) + lists
    return head.ljust(start, b"\0") + pixels


WIDE_GREY = GREY.astype("<u2") * 257


@pytest.mark.parametrize(
    ("tags", "pixels"),
    [
        ({258: 16, 262: 0}, (65535 - WIDE_GREY).astype("<u2").tobytes()),
        ({258: 16, 339: 2}, (WIDE_GREY // 2).astype("<i2").tobytes()),
        ({258: 12}, bytes(384)),
        ({258: 32}, (GREY.astype("<u4") * 16843009).tobytes()),
        ({258: 16, 262: 2, 277: 3, 284: 2}, WIDE_GREY.tobytes() * 3),
    ],
    ids=["white is zero", "signed", "12 bits", "32 bits", "channels apart"],
)
def test_numbers_that_pillow_misreads_are_refused(tags: dict[int, int], pixels: bytes) -> None:
    """Pillow would give other pixels: a negative, or noise."""
    with pytest.raises(ImageError, match=RARE):
        decode(tiff(tags, pixels))


@pytest.mark.parametrize(
    ("tags", "pixels"),
    [
        ({258: 8}, GREY.tobytes()),
        ({258: 8, 262: 0}, (255 - GREY).tobytes()),
        ({258: 16}, WIDE_GREY.tobytes()),
        ({258: 8, 262: 2, 277: 3, 284: 2}, GREY.tobytes() * 3),
        ({258: 16, 262: 2, 277: 3}, np.repeat(WIDE_GREY[..., None], 3, axis=2).tobytes()),
        ({258: 32, 339: 3}, (GREY / 255).astype("<f4").tobytes()),
    ],
)
def test_numbers_in_usual_ways_are_read(tags: dict[int, int], pixels: bytes) -> None:
    assert np.array_equal(np.asarray(decode(tiff(tags, pixels)))[..., 0], GREY)


def test_grey_of_16_bits_with_a_transparent_shade_is_laid_on_white() -> None:
    picture = Image.fromarray(GREY.astype(np.uint16) * 257)
    plain = encoded(picture, "PNG")
    data = plain[:33] + chunk(b"tRNS", struct.pack(">H", 7 * 257)) + plain[33:]
    expected = np.where(GREY == 7, 255, GREY)
    assert np.array_equal(np.asarray(decode(data))[..., 0], expected)


def test_a_palette_beside_full_colours_counts_for_nothing() -> None:
    plain = encoded(colours(), "PNG")
    body = bytes(768)
    broken = chunk(b"PLTE", body)[:-4] + bytes(4)
    for palette in (chunk(b"PLTE", body), broken, chunk(b"PLTE", b"\0")):
        assert decode(plain[:33] + palette + plain[33:]).tobytes() == colours().tobytes()


def test_an_animation_may_claim_more_frames_than_it_holds() -> None:
    plain = encoded(colours(), "PNG")
    claim = chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))
    data = plain[:33] + claim + plain[33:]
    assert decode(data).tobytes() == colours().tobytes()
    assert [number for number, _, _ in reds(data)] == [0]


@pytest.mark.parametrize("missing", [1, 2, 30])
def test_an_animated_webp_that_is_cut_off_gives_its_whole_frames(missing: int) -> None:
    data = animation("WEBP", shades(4), lossless=True, duration=40)
    assert reds(data[:-missing]) == [(0, 3, 0), (1, 3, 1), (2, 3, 2)]


def test_an_animated_webp_that_is_cut_off_in_its_first_frame_is_an_error() -> None:
    data = animation("WEBP", shades(2), lossless=True, duration=40)
    end = data.index(b"ANMF") + 30
    with pytest.raises(ImageError):
        decode(data[:end])


@pytest.mark.parametrize("form", ["WEBP", "AVIF"])
@pytest.mark.parametrize("mode", ["L", "LA"])
def test_a_profile_of_grey_holds_where_the_format_stores_grey_as_colours(
    form: str, mode: str
) -> None:
    linear = profile(b"GRAY", {b"kTRC": curve((1.0,))})
    level = {"L": 55, "LA": (55, 255)}[mode]
    options = {"lossless": True} if form == "WEBP" else {"quality": 100}
    data = encoded(Image.new(mode, (32, 32), level), form, icc_profile=linear, **options)
    # By hand: the curve of sRGB for light of 55/255.
    expected = round(255 * (1.055 * (55 / 255) ** (1 / 2.4) - 0.055))
    assert decode(data).getpixel((8, 8)) == pytest.approx((expected,) * 3, abs=2)


def test_a_profile_of_grey_says_nothing_of_colours() -> None:
    linear = profile(b"GRAY", {b"kTRC": curve((1.0,))})
    data = encoded(colours(), "PNG", icc_profile=linear)
    assert decode(data).tobytes() == colours().tobytes()


def channels(primary: tuple[float, ...], gamma: float) -> bytes:
    tags = dict.fromkeys((b"rXYZ", b"gXYZ", b"bXYZ"), xyz(primary))
    curves = b"curv" + bytes(4) + struct.pack(">IH", 1, round(256 * gamma))
    return profile(b"RGB ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curves))


@pytest.mark.parametrize(
    "broken",
    [channels((0.0, 0.0, 0.0), 2.2), channels((0.3214, 0.3333, 0.275), 0.01)],
    ids=["all black", "all white"],
)
def test_a_profile_without_a_middle_grey_is_ignored(broken: bytes) -> None:
    assert decode(encoded(colours(), "PNG", icc_profile=broken)).tobytes() == colours().tobytes()


def test_a_profile_that_is_too_long_is_ignored_in_every_format() -> None:
    long = WIDE["ProPhoto"] + bytes(2**22)
    with_profile = encoded(colours(), "AVIF", icc_profile=long, quality=100)
    without = encoded(colours(), "AVIF", quality=100)
    assert decode(with_profile).tobytes() == decode(without).tobytes()
    opened = colours()
    opened.info["icc_profile"] = long
    assert convert(opened).tobytes() == colours().tobytes()


def test_premultiplied_grey_of_pillow() -> None:
    grey = Image.merge("LA", (Image.new("L", (20, 20), 90), Image.new("L", (20, 20), 255)))
    assert convert(grey.convert("La")).getpixel((3, 3)) == (90, 90, 90)


def test_a_child_knows_the_bytes_that_it_names() -> None:
    """What it says of one file follows from that file, not from the one before."""
    gif = encoded(colours(), "GIF")
    decode(gif)
    cut = encoded(colours(), "AVIF")[:60]
    with pytest.raises(ImageError, match=r"^cannot be decoded: damaged, cut off or of a rare kind"):
        decode(cut)
    with pytest.raises(ImageError, match=r"^not an image in a known format"):
        decode(b"plain text, and no picture at all")


def test_any_number_of_pixels_may_be_allowed() -> None:
    gif = encoded(colours(), "GIF")
    assert decode(gif, limits=Limits(max_pixels=10**30)).size == colours().size
