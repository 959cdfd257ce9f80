"""Shortcut features of files whose encoder, edges and frequencies are known."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from fauxlab.auditing.features import colour, framing, measure_file, spectrum
from fauxlab.io.encoding import describe_encoding, ijg_tables
from fauxlab.io.images import to_square
from fauxlab.io.limits import ImageError
from fauxlab.io.marking import Mark, save_jpeg

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"></x:xmpmeta>'


def encoded(
    form: str, size: tuple[int, int] = (48, 32), mode: str = "RGB", **options: object
) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size, "grey").save(stream, form, **options)
    return stream.getvalue()


@pytest.mark.parametrize("quality", [1, 30, 75, 92, 100])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_quality_of_a_jpeg(quality: int, mode: str) -> None:
    found = describe_encoding(encoded("JPEG", mode=mode, quality=quality))
    assert found.quality == quality
    assert found.tables is not None
    assert (found.tables == ijg_tables(quality)).all()


def test_quality_of_tables_that_are_no_encoders_is_the_nearest() -> None:
    tables = ijg_tables(80)
    tables[0, 5] += 1
    found = describe_encoding(encoded("JPEG", qtables=tables.tolist()))
    assert found.quality == 80
    assert found.tables is not None
    assert found.tables[0, 5] == tables[0, 5]


def test_subsampling_and_scans() -> None:
    names = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}
    for option, name in names.items():
        assert (
            measure_file(encoded("JPEG", quality=90, subsampling=option)).looks["encoding"]
            == f"JPEG q90 {name}"
        )
    assert describe_encoding(encoded("JPEG", subsampling=1)).subsampling == (2, 1)
    assert describe_encoding(encoded("JPEG", progressive=True)).progressive
    assert measure_file(encoded("PNG")).looks["encoding"] == "PNG"


def test_metadata_may_claim_more_bytes_than_the_file_has(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded("AVIF")
    twice = replace(describe_encoding(data), metadata=(("exif", len(data)), ("xmp", len(data))))
    monkeypatch.setattr("fauxlab.auditing.features.describe_encoding", lambda _: twice)
    assert np.isfinite(measure_file(data).values["bytes"]).all()


def test_metadata_by_kind() -> None:
    exif = Image.Exif()
    exif[0x010F] = "maker"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    jpeg = encoded("JPEG", exif=exif, icc_profile=profile, comment="hello", xmp=XMP)
    kinds = dict(describe_encoding(jpeg).metadata)
    assert set(kinds) == {"exif", "icc", "xmp", "text"}
    assert kinds["text"] == 5
    assert kinds["icc"] >= len(profile)
    text = PngInfo()
    text.add_text("prompt", "a face")
    text.add_itxt("XML:com.adobe.xmp", XMP.decode())
    png = encoded("PNG", pnginfo=text, exif=exif)
    assert {kind for kind, _ in describe_encoding(png).metadata} == {"text", "xmp", "exif"}
    assert {
        kind for kind, _ in describe_encoding(encoded("WEBP", exif=exif, xmp=XMP)).metadata
    } == {"exif", "xmp"}
    for form in ("JPEG", "PNG", "WEBP", "BMP"):
        assert measure_file(encoded(form)).looks["metadata"] == "none"
        assert not measure_file(encoded(form)).values["metadata"].any()


def test_bytes_leave_out_the_metadata() -> None:
    plain, told = encoded("JPEG"), encoded("JPEG", comment="x" * 30_000)
    assert measure_file(told).values["bytes"][0] == pytest.approx(
        measure_file(plain).values["bytes"][0], abs=0.02
    )


def test_a_chunk_that_claims_more_than_the_file_holds_counts_as_what_is_there() -> None:
    plain = encoded("PNG")
    measured = measure_file(plain + b"\xff\xff\xff\x00tEXtjunk")
    assert all(np.isfinite(values).all() for values in measured.values.values())
    assert measured.values["bytes"][0] < measure_file(plain).values["bytes"][0] + 0.1


def test_the_labs_own_mark_is_no_metadata(tmp_path: Path) -> None:
    pixels = np.full((3, 32, 32), 90, dtype=np.uint8)
    save_jpeg(tmp_path / "marked.jpg", pixels, Mark("gan", "0123"))
    save_jpeg(tmp_path / "plain.jpg", pixels, None)
    marked, plain = (
        measure_file((tmp_path / f"{name}.jpg").read_bytes()) for name in ("marked", "plain")
    )
    assert (marked.values["metadata"] == plain.values["metadata"]).all()


def test_sides_are_the_upright_pictures() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    found = describe_encoding(encoded("JPEG", exif=exif))
    assert (found.width, found.height) == (32, 48)
    assert measure_file(encoded("JPEG", exif=exif)).values["aspect"].tolist() == pytest.approx(
        [np.log2(2 / 3), -np.log2(2 / 3)]
    )


def test_colour_of_a_red_picture() -> None:
    image = Image.new("RGB", (40, 30), (255, 0, 0))
    assert colour(image, to_square(image, 64)).tolist() == [
        1,
        0,
        0,
        0,
        0,
        0,
        0,
        1,
        1,
        1,
        0,
        0,
        1,
        0,
    ]


def test_spectrum_has_its_peak_at_the_noises_frequencies() -> None:
    # Noise of 0.25 ± 0.01 periods a pixel in all directions: ring 0.25 / √0.5 · 32 = 11.3.
    noise = np.fft.fft2(np.random.default_rng(0).normal(size=(160, 160)))
    radius = np.hypot(np.fft.fftfreq(160)[:, None], np.fft.fftfreq(160))
    wave = np.fft.ifft2(noise * (np.abs(radius - 0.25) < 0.01)).real
    image = Image.fromarray((128 + 40 * wave / wave.std()).clip(0, 255).astype(np.uint8)).convert(
        "RGB"
    )
    assert spectrum(image).argmax() == 11


def test_spectrum_knows_no_contrast_and_takes_any_size() -> None:
    noise = np.random.default_rng(0).normal(size=(64, 64))
    weak, strong = (
        Image.fromarray((128 + a * noise).clip(0, 255).astype(np.uint8)).convert("RGB")
        for a in (15, 30)
    )
    assert np.abs(spectrum(weak) - spectrum(strong)).max() < 0.15
    for image in (Image.new("RGB", (16, 16)), Image.new("RGB", (17, 300), "white")):
        assert np.isfinite(spectrum(image)).all()


def test_framing_says_where_edges_lie_and_not_how_strong() -> None:
    pixels = np.full((3, 64, 64), 100, dtype=np.uint8)
    pixels[:, 4:12, 36:44] = 140
    faint = framing(pixels).reshape(4, 4)
    assert np.unravel_index(faint.argmax(), faint.shape) == (0, 2)
    assert faint[0, 2] > 0.99
    pixels[:, 4:12, 36:44] = 255
    assert framing(pixels) == pytest.approx(faint.ravel(), abs=0.02)
    assert framing(np.zeros((3, 64, 64), dtype=np.uint8)).tolist() == [0.25] * 16


def test_any_flipped_bit_gives_features_or_an_image_error(jpeg: Callable[..., bytes]) -> None:
    rng = np.random.default_rng(0)
    for good in (
        jpeg(1, comment="text"),
        encoded("PNG"),
        encoded("WEBP"),
        encoded("TIFF"),
        encoded("GIF"),
    ):
        for _ in range(60):
            data = bytearray(good)
            for position in rng.integers(0, min(len(data), 700), 3):
                data[position] ^= 1 << int(rng.integers(8))
            try:
                found = measure_file(bytes(data))
            except ImageError:
                continue
            assert all(np.isfinite(value).all() for value in found.values.values())
    for nothing in (b"", b"no picture"):
        with pytest.raises(ImageError):
            describe_encoding(nothing)
