"""Colours of pictures with a profile: converted to sRGB, and left alone where they are sRGB."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageCms
from tests.io.test_images import chunk, encoded

from fauxlab.io.images import decode, decode_frames

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
Curve = tuple[float, ...]
# The curve of sRGB: IEC 61966-2-1, as the parameters of an ICC parametric curve of type 3.
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
# Primaries in XYZ under D50, columns red, green, blue, as their usual profiles state them.
P3 = [(0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841)]
ADOBE = [(0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446)]
PROPHOTO = [(0.7977, 0.2880, 0.0), (0.1352, 0.7119, 0.0), (0.0313, 0.0001, 0.8249)]
WHITE = (0.9642, 1.0, 0.8249)


def fixed(number: float) -> bytes:
    return struct.pack(">i", round(number * 65536))


def curve(parameters: Curve) -> bytes:
    kind = 3 if len(parameters) > 1 else 0
    return b"para" + bytes(4) + struct.pack(">HH", kind, 0) + b"".join(map(fixed, parameters))


def xyz(values: Curve) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(map(fixed, values))


def profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile (version 4.3) of a monitor."""
    text = "made for a test".encode("utf-16-be")
    named = b"mluc" + bytes(4) + struct.pack(">IIHHII", 1, 12, 0x656E, 0x5553, len(text), 28) + text
    tags = {b"desc": named, b"cprt": named, b"wtpt": xyz(WHITE), **tags}
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += name + struct.pack(">II", start + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    head = struct.pack(
        ">I4sI4s4s4s", start + len(body), bytes(4), 0x04300000, b"mntr", space, b"XYZ "
    )
    head += bytes(12) + b"acsp" + bytes(28) + b"".join(map(fixed, WHITE)) + bytes(48)
    assert len(head) == 128
    return head + table + body


def rgb_profile(primaries: list[Curve], gamma: Curve) -> bytes:
    red, green, blue = map(xyz, primaries)
    tags = {b"rXYZ": red, b"gXYZ": green, b"bXYZ": blue}
    return profile(b"RGB ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve(gamma)))


WIDE = {
    "Display P3": rgb_profile(P3, SRGB_CURVE),
    "Adobe RGB": rgb_profile(ADOBE, (563 / 256,)),
    "ProPhoto": rgb_profile(PROPHOTO, (1.8,)),
}
# A skin tone of sRGB, and its numbers in these spaces, from their matrices and curves: computed
# with NumPy by the formulas of their standards, not by the library under test.
SKIN = (224, 172, 141)


def in_space(colour: Curve, primaries: list[Curve], encode: Callable[[float], float]) -> list[int]:
    srgb = np.array([(0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)])
    encoded_light = np.array(colour) / 255
    light = np.where(
        encoded_light <= 0.04045, encoded_light / 12.92, ((encoded_light + 0.055) / 1.055) ** 2.4
    )
    values = np.linalg.solve(np.array(primaries).T, srgb.T @ light)
    return [round(255 * encode(float(value))) for value in values]


def srgb_encode(value: float) -> float:
    return 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055


SKINS = {
    "Display P3": in_space(SKIN, P3, srgb_encode),
    "Adobe RGB": in_space(SKIN, ADOBE, lambda value: value ** (256 / 563)),
    "ProPhoto": in_space(SKIN, PROPHOTO, lambda value: value ** (1 / 1.8)),
}
LOSSLESS = {"PNG": {}, "WEBP": {"lossless": True}, "TIFF": {}, "JPEG": {"quality": 100}}


@pytest.mark.parametrize("name", WIDE)
@pytest.mark.parametrize("form", LOSSLESS)
def test_wide_colours_become_those_of_srgb(name: str, form: str) -> None:
    wide = tuple(SKINS[name])
    assert max(abs(a - b) for a, b in zip(wide, SKIN, strict=True)) > 6
    data = encoded(Image.new("RGB", (32, 32), wide), form, icc_profile=WIDE[name], **LOSSLESS[form])
    for picture in (decode(data), next(decode_frames(data)).picture):
        assert picture.getpixel((8, 8)) == pytest.approx(SKIN, abs=3)


@pytest.mark.parametrize("form", ["AVIF", "HEIF"])
def test_wide_colours_of_phones(form: str) -> None:
    if form == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    wide = Image.new("RGB", (64, 64), tuple(SKINS["Display P3"]))
    data = encoded(wide, form, icc_profile=WIDE["Display P3"], quality=95)
    assert decode(data).getpixel((8, 8)) == pytest.approx(SKIN, abs=4)


def colours() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


USELESS = {
    "sRGB": SRGB,
    "sRGB in another writing": rgb_profile(
        [(0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)], SRGB_CURVE
    ),
    "broken": b"no profile at all",
    "cut off": WIDE["ProPhoto"][:200],
    "of another kind of picture": profile(b"CMYK", {}),
    "grey, of a colour picture": profile(b"GRAY", {b"kTRC": curve((1.8,))}),
    "too long": WIDE["ProPhoto"] + bytes(2**22),
}


@pytest.mark.parametrize("name", USELESS)
@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_profiles_that_change_nothing_leave_every_bit(name: str, form: str) -> None:
    data = encoded(colours(), form, icc_profile=USELESS[name], **LOSSLESS[form])
    assert decode(data).tobytes() == colours().tobytes()


def test_a_profile_that_unpacks_to_a_bomb_is_ignored() -> None:
    plain = encoded(colours(), "PNG")
    bomb = zlib.compress(WIDE["ProPhoto"] + bytes(2**26))
    data = plain[:33] + chunk(b"iCCP", b"bomb\0\0" + bomb) + plain[33:]
    assert decode(data).tobytes() == colours().tobytes()


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_grey_with_a_profile(mode: str) -> None:
    gamma = profile(b"GRAY", {b"kTRC": curve((1.8,))})
    # Light of half the range under this curve, and the same light under the curve of sRGB.
    light = (128 / 255) ** 1.8
    expected = round(255 * srgb_encode(light))
    assert expected > 128 + 10
    level = {"L": 128, "LA": (128, 255), "I;16": 128 * 257}[mode]
    data = encoded(Image.new(mode, (32, 32), level), "PNG", icc_profile=gamma)
    assert decode(data).getpixel((8, 8)) == pytest.approx((expected,) * 3, abs=1)


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_ink_with_a_profile(form: str) -> None:
    """A press whose lightness falls with the mean of three inks, and with the fourth."""
    corners = []
    for ink in itertools.product((0, 1), repeat=4):
        lightness = (1 - sum(ink[:3]) / 3) * (1 - ink[3])
        corners += [round(255 * lightness), 128, 128]
    ramp = bytes(range(256))
    table = (
        b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + b"".join(map(fixed, (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    )
    table += 4 * ramp + bytes(corners) + 3 * ramp
    press = bytearray(profile(b"CMYK", {b"A2B0": table, b"A2B1": table}))
    press[12:16], press[20:24] = b"prtr", b"Lab "
    picture = Image.new("CMYK", (32, 32), (255, 0, 0, 0))
    data = encoded(picture, form, icc_profile=bytes(press), **LOSSLESS[form])
    # Lightness 66.7 is luminance 0.362.
    expected = round(255 * srgb_encode(((66.7 + 16) / 116) ** 3))
    assert decode(data).getpixel((8, 8)) == pytest.approx((expected,) * 3, abs=3)
    assert decode(encoded(picture, form)).getpixel((8, 8))[0] < 8


def test_transparency_and_palettes_keep_their_colours() -> None:
    wide = tuple(SKINS["ProPhoto"])
    clear = Image.new("RGBA", (32, 32), (*wide, 255))
    clear.paste((0, 0, 0, 0), (16, 0, 32, 32))
    palette = Image.new("P", (32, 32), 1)
    palette.putpalette([0, 0, 0, *wide])
    for picture in (clear, palette):
        image = decode(encoded(picture, "PNG", icc_profile=WIDE["ProPhoto"]))
        assert image.getpixel((8, 8)) == pytest.approx(SKIN, abs=3)
    assert decode(encoded(clear, "PNG")).getpixel((24, 8)) == (255, 255, 255)


def test_the_parts_of_a_jpegs_profile_are_joined_in_their_order() -> None:
    stream = io.BytesIO()
    wide = Image.new("RGB", (32, 32), tuple(SKINS["ProPhoto"]))
    # It takes two segments.
    long = WIDE["ProPhoto"] + bytes(70_000)
    wide.save(stream, "JPEG", quality=100, icc_profile=long)
    assert decode(stream.getvalue()).getpixel((8, 8)) == pytest.approx(SKIN, abs=3)
