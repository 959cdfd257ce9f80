"""Frames of animations, pages of a TIFF, and files that end early."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image
from tests.io.test_images import chunk, encoded, with_scans

from fauxlab.io.images import decode, decode_frames
from fauxlab.io.limits import MAX_FRAMES, ImageError, Limits

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
PICTURE = Image.fromarray(PIXELS).resize((48, 36), Image.Resampling.BICUBIC)
HALF_WHITE = PICTURE.copy()
HALF_WHITE.paste((255, 255, 255), (0, 18, 48, 36))


def shades(count: int, size: tuple[int, int] = (32, 32)) -> list[Image.Image]:
    """Frames whose red is 3 times their number."""
    return [Image.new("RGB", size, (3 * number, 0, 0)) for number in range(count)]


def animation(form: str, frames: list[Image.Image], **options: object) -> bytes:
    first, *rest = frames
    return encoded(first, form, save_all=True, append_images=rest, **options)


def reds(data: bytes) -> list[tuple[int, int, int]]:
    """Number, count and the red that was drawn, in its steps of 3, of each frame."""
    found = []
    for frame in decode_frames(data):
        assert frame.picture.mode == "RGB"
        red, _, _ = frame.picture.getpixel((8, 8))
        found.append((frame.number, frame.count, round(red / 3)))
    return found


FORMS = {
    "GIF": {},
    "PNG": {},
    "WEBP": {"lossless": True},
    "TIFF": {"compression": "tiff_lzw"},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
}


@pytest.mark.parametrize("form", FORMS)
def test_frames_come_in_order(form: str) -> None:
    data = animation(form, shades(3), **FORMS[form])
    assert reds(data) == [(0, 3, 0), (1, 3, 1), (2, 3, 2)]
    assert decode(data).getpixel((8, 8))[0] < 2


def test_pictures_of_a_heif_begin_with_the_one_to_show() -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    shown = animation("HEIF", shades(40)[:40:13], quality=-1, primary_index=2)
    assert [number for number, _, _ in reds(shown)] == [0, 1, 2, 3]
    assert reds(shown)[0][2] == 26


def test_many_frames_are_chosen_evenly() -> None:
    numbers = [number for number, _, _ in reds(animation("GIF", shades(61)))]
    assert len(numbers) == MAX_FRAMES
    assert numbers == list(range(0, 61, 4))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF"])
def test_a_still_picture_is_one_frame(form: str) -> None:
    data = encoded(PICTURE, form)
    (frame,) = decode_frames(data)
    assert (frame.number, frame.count) == (0, 1)
    assert frame.picture.tobytes() == decode(data).tobytes()


def test_further_pictures_of_a_cameras_jpeg_are_no_frames() -> None:
    data = animation("MPO", [PICTURE, *shades(2)])
    (frame,) = decode_frames(data)
    assert frame.count == 1
    assert frame.picture.tobytes() == decode(encoded(PICTURE, "JPEG")).tobytes()


def test_smaller_copies_and_small_pages_of_a_tiff_are_left_out() -> None:
    pages = [PICTURE, PICTURE.resize((24, 18)), PICTURE.rotate(180), PICTURE.resize((8, 6))]
    data = bytearray(animation("TIFF", pages))
    position = struct.unpack("<I", data[4:8])[0]
    kinds = []
    for _ in pages:
        (count,) = struct.unpack_from("<H", data, position)
        kinds.append(position + 2)
        (position,) = struct.unpack_from("<I", data, position + 2 + 12 * count)
    # The first entry of the second page becomes "a smaller copy of another page"; it was the width,
    # which is written once more, in the place of the compression: none is the default.
    for entry in range(kinds[1], kinds[1] + 12 * 9, 12):
        if struct.unpack_from("<H", data, entry)[0] == 259:
            data[entry : entry + 12] = data[kinds[1] : kinds[1] + 12]
    data[kinds[1] : kinds[1] + 12] = struct.pack("<HHII", 254, 4, 1, 1)
    frames = list(decode_frames(bytes(data)))
    # The last is below the smallest side.
    assert [(frame.number, frame.count) for frame in frames] == [(0, 3), (1, 3)]
    assert frames[1].picture.tobytes() == PICTURE.rotate(180).tobytes()


def test_each_page_of_a_tiff_is_turned_as_it_says() -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    stream = io.BytesIO()
    PICTURE.save(stream, "TIFF", exif=turned, save_all=True, append_images=[PICTURE])
    sizes = [frame.picture.size for frame in decode_frames(stream.getvalue())]
    assert sizes[0] == (36, 48)
    assert len(sizes) == 2


def test_directories_in_a_circle_end() -> None:
    data = bytearray(encoded(PICTURE, "TIFF"))
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * count, first)
    assert len(list(decode_frames(bytes(data)))) == 1


def test_an_animation_that_breaks_off_gives_what_is_there() -> None:
    data = animation("GIF", [PICTURE, PICTURE.rotate(180), PICTURE])
    numbers = [frame.number for frame in decode_frames(data[: len(data) * 2 // 3 - 200])]
    assert numbers[0] == 0
    with pytest.raises(ImageError):
        list(decode_frames(data[:100]))


def test_limits_hold_for_each_frame() -> None:
    data = animation("GIF", shades(3))
    with pytest.raises(ImageError, match=r"^32×32 pixels, above the limit of 1,000$"):
        list(decode_frames(data, Limits(max_pixels=1000)))
    with pytest.raises(ImageError, match=r"^took longer than 1e-06 seconds$"):
        list(decode_frames(data, Limits(timeout=1e-6)))


# --- files that end early


@pytest.mark.parametrize("picture", [PICTURE, HALF_WHITE, PICTURE.convert("L")])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"progressive": True},
        {"optimize": True},
        {"subsampling": 0},
        {"restart_marker_blocks": 2},
    ],
)
def test_a_jpeg_without_its_end_is_whole_only_if_no_pixel_is_missing(
    picture: Image.Image, options: dict[str, object]
) -> None:
    options = {key: value for key, value in options.items() if picture.mode == "RGB" or value}
    whole = encoded(picture, "JPEG", quality=90, **options)
    expected = decode(whole).tobytes()
    for cut in (1, 2):
        assert decode(whole[:-cut]).tobytes() == expected
    for cut in (5, 8, 20, 60, len(whole) // 4):
        for behind in (b"", bytes(4096)):
            with pytest.raises(ImageError, match=r"^cannot be decoded: the file ends before"):
                decode(whole[:-cut] + behind)


def test_zeros_behind_a_jpeg_without_end_are_no_pixels() -> None:
    whole = encoded(PICTURE, "JPEG")
    for data in (whole + bytes(4096), whole[:-1] + bytes(4096), whole[:-2] + bytes(4096)):
        assert decode(data).tobytes() == decode(whole).tobytes()


def test_a_progressive_jpeg_without_its_last_scans_is_not_whole() -> None:
    whole = encoded(PICTURE, "JPEG", progressive=True)
    without_last = whole[: whole.rindex(b"\xff\xda")]
    with pytest.raises(ImageError, match=r"^cannot be decoded: the file ends before"):
        decode(without_last)
    assert decode(with_scans(20)[:-2]).size == (64, 64)


@pytest.mark.parametrize(("form", "missing"), [("PNG", 12), ("PNG", 16), ("GIF", 1)])
def test_other_formats_without_their_end(form: str, missing: int) -> None:
    data = encoded(PICTURE, form)
    assert decode(data[:-missing]).tobytes() == decode(data).tobytes()
    with pytest.raises(ImageError):
        decode(data[: len(data) // 2])


def test_a_webp_without_its_padding() -> None:
    whole = encoded(PICTURE, "WEBP", lossless=True)
    (length,) = struct.unpack_from("<I", whole, 16)
    odd = length + 1 - length % 2
    chunk_of_odd_length = whole[12:16] + struct.pack("<I", odd) + whole[20 : 20 + length] + b"\0"
    data = b"RIFF" + struct.pack("<I", 4 + 8 + odd + 1) + b"WEBP" + chunk_of_odd_length
    data = data[: 20 + odd]
    with pytest.raises(OSError, match="could not create decoder"):
        Image.open(io.BytesIO(data))
    assert decode(data).tobytes() == PICTURE.tobytes()
    with pytest.raises(ImageError):
        decode(data[:-2])


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_a_tiff_whose_pixels_are_cut_off_stays_an_error(compression: str) -> None:
    """Its directory stands first, so that the pixels are at the end."""
    data = encoded(PICTURE, "TIFF", compression=compression)
    (directory,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, directory)
    entries = [data[directory + 2 + 12 * n : directory + 14 + 12 * n] for n in range(count)]
    head = 8 + 2 + 12 * count + 4
    moved = b""
    for number, entry in enumerate(entries):
        tag, kind, length, value = struct.unpack("<HHII", entry)
        size = length * {3: 2, 4: 4, 5: 8}[kind]
        if tag == 273:
            assert length == 1
            strip_at = value
            value = head + 128
        elif size > 4:
            body = data[value : value + size]
            value, moved = head + len(moved), moved + body
        elif kind == 3:
            value = struct.unpack_from("<H", entry, 8)[0]
        if tag == 279:
            strip = data[strip_at : strip_at + value]
        entries[number] = struct.pack("<HHII", tag, kind, length, value)
    body = struct.pack("<H", count) + b"".join(entries) + bytes(4)
    whole = b"II*\0" + struct.pack("<I", 8) + body + moved.ljust(128, b"\0") + strip
    assert decode(whole).tobytes() == PICTURE.tobytes()
    for cut in (4, 30, 200):
        with pytest.raises(ImageError):
            decode(whole[:-cut])


def test_a_webp_whose_metadata_is_cut_off() -> None:
    plain = encoded(PICTURE, "WEBP")
    data = encoded(PICTURE, "WEBP", xmp=b"x" * 1000)
    assert decode(data[:-500]).tobytes() == decode(plain).tobytes()


def test_a_png_that_is_cut_off_in_metadata_behind_its_pixels() -> None:
    plain = encoded(PICTURE, "PNG")
    data = plain[:-12] + chunk(b"tEXt", bytes(1000))
    assert decode(data[:-500]).tobytes() == PICTURE.tobytes()
