"""How a file encodes its picture: format, quality, subsampling and metadata, read from its header.

The audit looks for shortcuts here: where real and fake pictures were saved by different programs,
a network can tell them apart by the traces of the encoder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL.JpegImagePlugin import JpegImageFile

from fauxlab.io.decoding import heif, jpeg, png, tiff, webp
from fauxlab.io.decoding.children import describe
from fauxlab.io.decoding.metadata import Stripped, read_orientation
from fauxlab.io.decoding.opening import decoder_errors, open_image, strip, with_decoder_metadata
from fauxlab.io.images import is_light, strip_still
from fauxlab.io.limits import DEFAULT_LIMITS

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

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

    Formats that can be made to explode are opened in a child process. Raises ImageError on bytes
    that are no picture.
    """
    with decoder_errors(data):
        stripped = strip_still(data)
        if stripped and is_light(stripped):
            return describe_here(data)
    answer = describe(data, DEFAULT_LIMITS)
    with decoder_errors(data):
        return _from_json(answer)


def describe_here(data: bytes) -> Encoding:
    """As `describe_encoding`, in this process. Raises whatever decoders raise."""
    stripped = strip(data, frames=False)
    image = _open_whole(data, stripped)
    metadata = tuple(_metadata(data, image))
    width, height = _upright_size(image, stripped)
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
            metadata=metadata,
        )
    return Encoding(
        image.format or "",
        width,
        height,
        tables=None,
        quality=None,
        subsampling=(1, 1),
        progressive=False,
        metadata=metadata,
    )


def to_json(encoding: Encoding) -> dict[str, Any]:
    """An encoding as JSON values, for the way from a child process."""
    values = asdict(encoding)
    if encoding.tables is not None:
        values["tables"] = encoding.tables.tolist()
    return values


def _from_json(values: dict[str, Any]) -> Encoding:
    """An encoding from JSON values. Raises ValueError and others on anything else."""
    tables = values["tables"]
    across, down = values["subsampling"]
    return Encoding(
        str(values["format"]),
        int(values["width"]),
        int(values["height"]),
        None if tables is None else np.array(tables, dtype=np.int64).reshape(-1, 64),
        quality=None if values["quality"] is None else int(values["quality"]),
        subsampling=(float(across), float(down)),
        progressive=bool(values["progressive"]),
        metadata=tuple((str(kind), int(length)) for kind, length in values["metadata"]),
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


def _open_whole(data: bytes, stripped: Stripped) -> Image.Image:
    """Pillow's picture with its metadata, where Pillow finds them; without where it cannot."""
    if not heif.is_heif(data):
        return open_image(stripped.data)
    try:
        return open_image(data)
    except Exception:
        return open_image(stripped.data)


def _upright_size(image: Image.Image, stripped: Stripped) -> tuple[int, int]:
    width, height = image.size
    # Pillow turns a TIFF while it opens it.
    if image.format == "TIFF":
        return width, height
    found = with_decoder_metadata(stripped, image)
    if read_orientation(found.exif, found.xmp) in _ON_ITS_SIDE:
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


def _metadata(data: bytes, image: Image.Image) -> Entries:
    """The entries of a file, read from its bytes where a decoder might stumble over them."""
    if image.format == "JPEG":
        return _jpeg_metadata(jpeg.header_segments(data))
    if image.format == "PNG":
        return _png_metadata(data)
    if image.format == "WEBP":
        return webp.webp_metadata(data)
    if image.format == "TIFF":
        return tiff.tiff_metadata(data)
    return _other_metadata(image.info)


def _jpeg_metadata(segments: Iterable[jpeg.Segment]) -> Entries:
    for segment in segments:
        code = segment.code
        body = segment.body
        is_needed = code in (jpeg.APP0, jpeg.APP14) and body[:5] in _JPEG_NEEDED
        if code not in jpeg.METADATA or is_needed:
            continue
        kind = "text" if code == jpeg.COMMENT else _kind_of_segment(body)
        yield kind, len(body)


def _kind_of_segment(body: bytes) -> str:
    for start, kind in _JPEG_METADATA.items():
        if body.startswith(start):
            return kind
    return "other"


def _png_metadata(data: bytes) -> Entries:
    # Some entries follow the pixels, or even the end of the picture, which Pillow does not read
    # with the header.
    for kind, start, length in islice(png.png_chunks(data), png.MAX_CHUNKS):
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
