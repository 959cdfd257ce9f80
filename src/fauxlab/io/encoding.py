"""How a file encodes its picture: format, quality, subsampling and metadata, read from its header.

The audit looks for shortcuts here: where real and fake pictures were saved by different programs,
a network can tell them apart by the traces of the encoder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from fauxlab.io.images import ORIENTATION, decoder_errors, open_picture
from fauxlab.io.limits import MAX_CHUNKS, png_chunks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Tables = NDArray[np.int64]

Entries = Iterator[tuple[str, int]]  # kind of metadata, and bytes

# The kinds of metadata entries.
METADATA = ("exif", "icc", "xmp", "text", "other")
# PNG chunks that describe the picture. `decode` lets none of them change a pixel.
_PNG_METADATA = {
    b"tEXt": "text",
    b"zTXt": "text",
    b"iTXt": "text",
    b"eXIf": "exif",
    b"iCCP": "icc",
    b"caBX": "other",
    b"gAMA": "other",
    b"cHRM": "other",
    b"sRGB": "other",
    b"pHYs": "other",
    b"tIME": "other",
}
_PNG_XMP = b"XML:com.adobe.xmp\0"
# How the body of a JPEG's application segment begins.
_JPEG_METADATA = {b"Exif\0": "exif", b"http://ns.adobe.com": "xmp", b"ICC_PROFILE\0": "icc"}
# Segments that say how to read the pixels, not where they come from.
_JPEG_NEEDED = (b"JFIF\0", b"JFXX\0", b"Adobe")
# Entries of Pillow's `info`, for the other formats.
_INFO_METADATA = {
    "exif": "exif",
    "icc_profile": "icc",
    "xmp": "xmp",
    "comment": "text",
}
# EXIF orientations that lay a picture on its side.
_ON_ITS_SIDE = (5, 6, 7, 8)

# Annex K of ITU-T T.81: the tables for luma and chroma that nearly every encoder scales.
_STANDARD_LUMA = (
    "16 11 10 16 24 40 51 61  12 12 14 19 26 58 60 55  14 13 16 24 40 57 69 56 "
    "14 17 22 29 51 87 80 62  18 22 37 56 68 109 103 77  24 35 55 64 81 104 113 92 "
    "49 64 78 87 103 121 120 101  72 92 95 98 112 100 103 99"
)
_STANDARD_CHROMA = (
    f"17 18 24 47{' 99' * 4} 18 21 26 66{' 99' * 4} 24 26 56{' 99' * 5} 47 66{' 99' * 38}"
)


@dataclass(frozen=True)
class Encoding:
    """How a file encodes its picture. Width and height are of the upright picture, in pixels.

    Three fields are of a JPEG alone, and None or (1, 1) elsewhere. `tables` are the quantisation
    tables of luma and of the first chroma, int64 [2, 64] in natural order; for a grey picture,
    chroma has the table of its luma's quality. `quality`, 1 to 100, is the nearest one of the IJG
    encoder. `subsampling` is how many luma samples share a chroma sample (across, down).

    `metadata` holds the kind, one of METADATA, and the number of bytes of each entry.
    """

    format: str
    width: int
    height: int
    tables: Tables | None
    quality: int | None
    subsampling: tuple[float, float]
    progressive: bool
    metadata: tuple[tuple[str, int], ...]


def describe_encoding(data: bytes) -> Encoding:
    """Read from a file's header how it is encoded, without decoding a pixel.

    Raises ImageError on bytes that are no picture.
    """
    with decoder_errors(data):
        image = open_picture(data)
        width, height = _upright_size(image)
        if isinstance(image, JpegImageFile):
            tables = _jpeg_tables(image)
            return Encoding(
                "JPEG",
                width,
                height,
                tables,
                quality=None if tables is None else _nearest_quality(tables),
                subsampling=_jpeg_subsampling(image),
                progressive="progressive" in image.info,
                metadata=tuple(_jpeg_metadata(image.applist)),
            )
        is_png = image.format == "PNG"
        metadata = _png_metadata(data) if is_png else _other_metadata(image.info)
        return Encoding(
            image.format or "",
            width,
            height,
            tables=None,
            quality=None,
            subsampling=(1, 1),
            progressive=False,
            metadata=tuple(metadata),
        )


def ijg_tables(quality: int) -> Tables:
    """Quantisation tables of the Independent JPEG Group's encoder, int64 [2, 64]: luma, chroma.

    `quality` is from 1 to 100.
    """
    luma = _STANDARD_LUMA.split()
    chroma = _STANDARD_CHROMA.split()
    standard = np.array([luma, chroma], dtype=np.int64)
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    scaled = (standard * percent + 50) // 100
    return np.clip(scaled, 1, 255)


_ALL_TABLES = np.stack([ijg_tables(quality) for quality in range(1, 101)])


def _nearest_quality(tables: Tables) -> int:
    """The quality whose tables [2, 64], or luma table [1, 64], differ least."""
    differences = _ALL_TABLES[:, : len(tables)] - tables
    distances = np.abs(differences).sum(axis=(1, 2))
    return 1 + int(distances.argmin())


def _upright_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    # Pillow turns a TIFF while it opens it.
    if image.format == "TIFF":
        return width, height
    # The base class's method: the one of PNG decodes the picture to look for entries behind it.
    orientation = Image.Image.getexif(image).get(ORIENTATION, 1)
    if orientation in _ON_ITS_SIDE:
        return height, width
    return width, height


def _jpeg_tables(image: JpegImageFile) -> Tables | None:
    """Tables of luma and first chroma, or None where the header lacks one."""
    luma = _table_of(image, 0)
    if luma is None:
        return None
    if len(image.layer) == 1:
        # A grey picture has no chroma: take what its luma's quality would give.
        quality = _nearest_quality(luma[None])
        _, grey_chroma = ijg_tables(quality)
        return np.stack([luma, grey_chroma])
    chroma = _table_of(image, 1)
    if chroma is None:
        return None
    return np.stack([luma, chroma])


def _table_of(image: JpegImageFile, component: int) -> Tables | None:
    number = image.layer[component][3]
    table = image.quantization.get(number, ())
    if len(table) != 64:
        return None
    return np.array(table, dtype=np.int64)


def _jpeg_subsampling(image: JpegImageFile) -> tuple[float, float]:
    if len(image.layer) != 3:
        return 1, 1
    _, across, down, _ = image.layer[0]
    _, chroma_across, chroma_down, _ = image.layer[1]
    # A hostile header may say 0.
    ratio_across = across / max(chroma_across, 1)
    ratio_down = down / max(chroma_down, 1)
    return ratio_across, ratio_down


def _jpeg_metadata(segments: list[tuple[str, bytes]]) -> Entries:
    for name, body in segments:
        if name in ("APP0", "APP14") and body[:5] in _JPEG_NEEDED:
            continue
        kind = "text" if name == "COM" else _kind_of_segment(body)
        yield kind, len(body)


def _kind_of_segment(body: bytes) -> str:
    for start, kind in _JPEG_METADATA.items():
        if body.startswith(start):
            return kind
    return "other"


def _png_metadata(data: bytes) -> Entries:
    # Some entries follow the pixels, or even the end of the picture, which Pillow does not read
    # with the header.
    for kind, start, length in islice(png_chunks(data), MAX_CHUNKS):
        if kind not in _PNG_METADATA:
            continue
        is_xmp = data.startswith(_PNG_XMP, start)
        # A chunk may claim to be longer than the file.
        present = min(length, len(data) - start)
        yield "xmp" if is_xmp else _PNG_METADATA[kind], present


def _other_metadata(info: Mapping[str | tuple[int, int], object]) -> Entries:
    for key, kind in _INFO_METADATA.items():
        value = info.get(key)
        if isinstance(value, bytes | str) and value:
            yield kind, len(value)
