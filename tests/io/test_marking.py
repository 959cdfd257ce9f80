"""Marks of generated pictures: what they say, that they survive, and that hostile words cannot
break them.
"""

from __future__ import annotations

import io
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fauxlab import __version__
from fauxlab.errors import LabError
from fauxlab.io.images import decode
from fauxlab.io.marking import Mark, grid, read_mark, save_gif, save_jpeg, save_png

AI = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
SOURCE_TYPE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
HOSTILE = '</rdf:RDF><!DOCTYPE x>]]>&amp;"\'<?xpacket end="w"?> Grüße 顔 \U0001f9d1'


def picture(seed: int = 0, height: int = 24, width: int = 40) -> NDArray[np.uint8]:
    """A smooth random picture uint8 [3, height, width]."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image).transpose(2, 0, 1)


def save_as(kind: str, path: Path, mark: Mark | None) -> bytes:
    if kind == "png":
        save_png(path, picture(), mark)
    elif kind == "jpg":
        save_jpeg(path, picture(), mark)
    else:
        save_gif(path, np.stack([picture(i) for i in range(3)]), mark)
    return path.read_bytes()


def packet(kind: str, data: bytes) -> str:
    """The XMP packet where each format's own rules say that it is."""
    image = Image.open(io.BytesIO(data))
    if kind == "gif":
        start = data.index(b"\x21\xff\x0bXMP DataXMP") + 14
        return data[start : data.index(bytes([1, 255, 254, 253]), start)].decode()
    found = image.info["XML:com.adobe.xmp" if kind == "png" else "xmp"]
    return found if isinstance(found, str) else found.decode()


@pytest.mark.parametrize("kind", ["png", "jpg", "gif"])
@pytest.mark.parametrize(
    "mark", [Mark("r3", "0123456789abcdef", 7), Mark("r3", ""), Mark(HOSTILE, HOSTILE, 0, HOSTILE)]
)
def test_marks_come_back(tmp_path: Path, kind: str, mark: Mark) -> None:
    data = save_as(kind, tmp_path / f"a.{kind}", mark)
    assert read_mark(data) == mark
    root = ElementTree.fromstring(packet(kind, data))
    assert [element.text for element in root.iter(SOURCE_TYPE)] == [AI]
    assert [path.name for path in tmp_path.iterdir()] == [f"a.{kind}"], "nothing is left aside"


@pytest.mark.parametrize("kind", ["png", "jpg", "gif"])
def test_the_mark_leaves_the_pixels_alone(tmp_path: Path, kind: str) -> None:
    marked = save_as(kind, tmp_path / "marked", Mark("r3", "abc", 1))
    plain = save_as(kind, tmp_path / "plain", None)
    assert read_mark(plain) is None
    assert len(plain) < len(marked)
    assert np.array_equal(np.asarray(decode(marked)), np.asarray(decode(plain)))
    if kind == "png":
        assert np.array_equal(np.asarray(decode(marked)).transpose(2, 0, 1), picture())


def test_png_text_can_be_read_without_xmp(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png", picture(), Mark("r3", "abc", 12))
    text = Image.open(tmp_path / "a.png").info
    expected = {"Source": "AI-generated", "model": "r3", "model hash": "abc", "seed": "12"}
    assert {key: text[key] for key in expected} == expected
    assert text["Software"] == f"fauxlab {__version__}"
    save_png(tmp_path / "grid.png", picture(), Mark("r3", "abc"))
    assert "seed" not in Image.open(tmp_path / "grid.png").info


def test_gif_has_its_frames_times_loop_and_comment(tmp_path: Path) -> None:
    frames = np.stack([picture(i) for i in range(4)])
    save_gif(tmp_path / "a.gif", frames, Mark("r3", "abc", 5), duration=70, loop=0)
    image = Image.open(tmp_path / "a.gif")
    assert (image.n_frames, image.info["loop"]) == (4, 0)  # type: ignore[attr-defined]
    assert b"Source: AI-generated; model: r3; model hash: abc; seed: 5" in image.info["comment"]
    for i, frame in enumerate(frames):
        image.seek(i)
        assert image.info["duration"] == 70
        shown = np.asarray(image.convert("RGB"), dtype=np.int16).transpose(2, 0, 1)
        assert np.abs(shown - frame).mean() < 6, "256 colours a frame"


def test_the_gif_packet_can_be_skipped_as_blocks(tmp_path: Path) -> None:
    data = save_as("gif", tmp_path / "a.gif", Mark("r3", "abc", 1))
    start = position = data.index(b"XMP DataXMP") + 11
    while data[position]:  # a reader that knows nothing of XMP goes from length to length
        position += 1 + data[position]
    assert data.index(b"<?xpacket end") < position
    assert position - start == len(packet("gif", data).encode()) + 257
    assert data[position + 1] in b"\x21\x2c", "then comes an extension or a picture"


def test_what_xml_cannot_hold_is_replaced_and_length_is_bounded(tmp_path: Path) -> None:
    save_jpeg(tmp_path / "a.jpg", picture(), Mark("a\0b\nc\x1b\udcffd", "&" * 100_000, 1))
    found = read_mark((tmp_path / "a.jpg").read_bytes())
    assert found is not None
    assert found.model == "a\ufffdb\ufffdc\ufffd\ufffdd"
    assert found.model_hash == "&" * 1000


def test_bytes_without_a_mark_are_no_fault(tmp_path: Path) -> None:
    good = save_as("png", tmp_path / "a.png", Mark("r3", "abc", 1))
    begin, end = good.index(b"<?xpacket begin"), good.index(b"<?xpacket end")
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>'
    for body in (
        b"",
        b"<x>",
        b"\xff\xfe",
        bomb,
        b"<a>" * 20_000,
        b"<a>" * 20_000 + b"</a>" * 20_000,
        b"x" * 10**6,
    ):
        assert read_mark(b'<?xpacket begin=""?>' + body + b'<?xpacket end="r"?>') is None
    foreign = good[begin:end].replace(b"trainedAlgorithmicMedia", b"digitalCapture")
    for data in (
        b"",
        b"<?xpacket begin=" * 3,
        good[:end],
        foreign + b"<?xpacket end=",
        good.replace(b">1<", b">one<"),
    ):
        assert read_mark(data) is None
    assert read_mark(foreign + b"<?xpacket end=" + good) == Mark("r3", "abc", 1), (
        "a second packet is looked at"
    )


def test_properties_as_attributes_are_read_too() -> None:
    body = f"""<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
    <rdf:Description xmlns:i="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
      xmlns:x="http://ns.adobe.com/xap/1.0/"
      xmlns:f="https://github.com/fauxlab/fauxlab/ns/1.0/"
      i:DigitalSourceType="{AI}" x:CreatorTool="t"
      f:model="m" f:modelHash="h" f:seed="3"/></rdf:RDF>"""
    assert read_mark(b"<?xpacket begin=''?>" + body.encode() + b"<?xpacket end='w'?>") == Mark(
        "m", "h", 3, "t"
    )


def test_both_sides_of_a_data_set_get_the_same_jpeg_tables(tmp_path: Path) -> None:
    save_jpeg(tmp_path / "fake.jpg", picture(0), Mark("r3", "abc", 1), quality=80)
    save_jpeg(tmp_path / "real.jpg", picture(1), None, quality=80)
    fake, real = (Image.open(tmp_path / name) for name in ("fake.jpg", "real.jpg"))
    assert fake.quantization == real.quantization  # type: ignore[attr-defined]
    assert fake.layer == real.layer  # type: ignore[attr-defined]


def test_grid_by_hand() -> None:
    pixels = np.arange(5, dtype=np.uint8).repeat(3 * 1 * 2).reshape(5, 3, 1, 2)
    assert grid(pixels, 2)[0].tolist() == [[0, 0, 1, 1], [2, 2, 3, 3], [4, 4, 255, 255]]
    assert grid(pixels)[1].tolist() == [[0, 0, 1, 1, 2, 2], [3, 3, 4, 4, 255, 255]]
    assert grid(pixels, 9)[2].tolist() == [[0, 0, 1, 1, 2, 2, 3, 3, 4, 4]], "no empty columns"
    assert grid(pixels[:1]).shape == (3, 1, 2)
    assert grid(pixels[:4]).shape == (3, 2, 4)
    ramp = np.arange(2 * 3 * 2 * 2, dtype=np.uint8).reshape(2, 3, 2, 2)
    assert np.array_equal(grid(ramp, 2), np.concatenate([ramp[0], ramp[1]], axis=2)), (
        "rows and channels stay in place"
    )
    for n, columns in ((0, None), (3, 0)):
        with pytest.raises(LabError, match="at least 1"):
            grid(pixels[:n], columns)
