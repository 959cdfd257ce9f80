"""The only place that opens image bytes.

Every picture, whether it is cached for training or scanned for a verdict, passes through `decode`
and `to_square`, so that a detector sees in use exactly what it saw in training.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

# the plugins register the decoders of FORMATS; without them Image.open may load all there are
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    JpegImagePlugin,
    PngImagePlugin,  # noqa: F401
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401
)

from fauxlab.io.limits import (
    MAX_CHUNKS,
    ImageError,
    png_chunks,
    refuse_chunks,
    refuse_scans,
    refuse_segments,
    refuse_strips,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Increase when the pixels that `to_square` returns change: caches and bundles carry it.
PIPELINE_VERSION = 1
MAX_BYTES = 256 * 2**20
MAX_PIXELS = 2**27  # 134 megapixels: above any phone's default mode, far below what exhausts memory
LARGE_PIXELS = 2**25
MIN_SIDE = 16
# What decoders take time for though it takes no bytes. Encoders write about 10 scans, rarely above
# 60, and each passes over all pixels: MAX_SCANNED of them take seconds, and leave a picture of
# MAX_PIXELS 16.
MAX_SCANS = 100
MAX_SCANNED = 2**31
MAX_REASON = 200  # characters of a decoder's message
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
)
# listed even where their decoder is missing, so that none is passed over
SUFFIXES |= {".avif", ".heic", ".heif"}
# Only formats that people keep photos in: other decoders (EPS, for one, starts a program) never see
# hostile bytes.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "HEIF")
# What ISO 23008-12 and its relatives say of themselves after "ftyp": HEIC by phones, and the
# containers of either.
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


# Pillow's remarks on odd metadata and large pictures would stand between a command's lines. Set
# once and for all: `warnings.catch_warnings` around each decoding leaves other modules' filters in
# disorder when threads overlap.
warnings.filterwarnings("ignore", module=r"PIL\.")
# reaches whoever set up logging, not a bare terminal
logging.getLogger("PIL").addHandler(logging.NullHandler())
# A picture of MAX_PIXELS with transparency takes 3 GB on its way to RGB. One thread of their own
# decodes the large ones of all threads: a lock would not do, as the allocator keeps freed memory
# for the thread that took it.
_large = ThreadPoolExecutor(1, thread_name_prefix="large-pictures")


# Annex K of ITU-T T.81, luma and chroma: what nearly every encoder scales by its quality.
_STANDARD_LUMA = """
    16 11 10 16 24 40 51 61  12 12 14 19 26 58 60 55  14 13 16 24 40 57 69 56  14 17 22 29 51 87 80 62
    18 22 37 56 68 109 103 77  24 35 55 64 81 104 113 92  49 64 78 87 103 121 120 101  72 92 95 98 112 100 103 99"""
_STANDARD_CHROMA = (
    f"17 18 24 47{' 99' * 4} 18 21 26 66{' 99' * 4} 24 26 56{' 99' * 5} 47 66{' 99' * 38}"
)
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Chunks that say something about the picture and change none of its pixels as they are decoded
# here.
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
METADATA = ("exif", "icc", "xmp", "text", "other")


@dataclass(frozen=True)
class Encoding:
    """How a file writes its picture down; width and height are of the upright picture, in pixels.

    `tables` are a JPEG's quantisation tables of luma and first chroma, natural order, int64 [2, 64]
    (of a grey picture, chroma's are those of its luma's quality), `quality` 1 to 100 the nearest of
    the IJG encoder's, `subsampling` how many luma samples stand beside one of chroma (across,
    down). `metadata` names each entry's kind, one of METADATA, and its bytes.
    """

    format: str
    width: int
    height: int
    tables: NDArray[np.int64] | None
    quality: int | None
    subsampling: tuple[float, float]
    progressive: bool
    metadata: tuple[tuple[str, int], ...]


def decode(data: bytes, at_least: int | None = None) -> Image.Image:
    """Decode to an upright 8-bit RGB picture without metadata.

    With `at_least` a JPEG may come at a reduced scale, no side below that many pixels: fast, for
    thumbnails only.

    Animations give their first frame, transparency is laid on white, EXIF rotation is applied,
    16-bit and float grey is scaled to 8 bits. Raises ImageError with the reason on everything else:
    empty, truncated, not a picture, a format outside FORMATS, above MAX_BYTES or MAX_PIXELS, a side
    below MIN_SIDE pixels, more scans, segments or chunks than encoders write.
    """
    if not data:
        raise ImageError("empty file")
    if len(data) > MAX_BYTES:
        raise ImageError(f"file of {len(data):,} bytes, above the limit of {MAX_BYTES:,}")
    # Decoders are written in C against trusted files and raise almost anything on hostile ones.
    try:
        image = _open(data)
        width, height = image.size
        if width * height <= MAX_PIXELS and min(width, height) >= MIN_SIDE:
            if isinstance(image, JpegImagePlugin.JpegImageFile):
                refuse_scans(data, min(MAX_SCANS, MAX_SCANNED // (width * height)))
            if at_least:
                image.draft("RGB", (at_least, at_least))
            if image.width * image.height > LARGE_PIXELS:
                return _large.submit(_upright, image).result()
            return _upright(image)
    except UnidentifiedImageError:
        raise _unknown(data) from None
    except Image.DecompressionBombError:
        raise ImageError(f"above the limit of {MAX_PIXELS:,} pixels") from None
    except ImageError:
        raise
    except Exception as error:
        raise _undecodable(error) from error
    if width * height > MAX_PIXELS:
        raise ImageError(f"{width}×{height} pixels, above the limit of {MAX_PIXELS:,}")
    raise ImageError(f"{width}×{height} pixels: too small, each side needs at least {MIN_SIDE}")


def to_square(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """Centre square crop, then antialiased bicubic resize, to uint8 [3, size, size] RGB."""
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    box = (left, top, left + side, top + side)
    resized = image.resize((size, size), Image.Resampling.BICUBIC, box=box)
    return to_pixels(resized)


def to_pixels(picture: Image.Image) -> NDArray[np.uint8]:
    """An RGB picture as uint8 [3, H, W]."""
    return np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1))


def to_picture(pixels: NDArray[np.uint8]) -> Image.Image:
    """Pixels uint8 [3, H, W] as an RGB picture."""
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def fingerprint(image: Image.Image) -> NDArray[np.bool_] | None:
    """256-bit difference hash of the whole picture, bool [256]; None when it has too little
    contrast to tell.

    Neighbouring cells of a 17×16 grey thumbnail are compared (the "dHash" of N. Krawetz, at four
    times its usual length). Recompression, resizing and small retouches flip few bits.
    """
    grey = np.asarray(image.convert("L").resize((17, 16), Image.Resampling.BOX), dtype=np.int16)
    if grey.std() < 4:
        return None
    return (grey[:, 1:] > grey[:, :-1]).ravel()


def describe_encoding(data: bytes) -> Encoding:
    """What a file's header tells of its encoder, without decoding a pixel. Raises ImageError on
    what is no picture.
    """
    try:
        image = _open(data)
        width, height = image.size
        # The base class's: the one of PNG decodes the picture to look for more behind it. A TIFF is
        # upright already.
        if image.format != "TIFF" and Image.Image.getexif(image).get(_ORIENTATION, 1) in (
            5,
            6,
            7,
            8,
        ):
            width, height = height, width
        if isinstance(image, JpegImagePlugin.JpegImageFile):
            tables, ratio = _jpeg_tables(image), _jpeg_subsampling(image)
            progressive = "progressive" in image.info
            entries = tuple(_jpeg_metadata(image.applist))
            return Encoding(
                "JPEG", width, height, tables, _quality(tables), ratio, progressive, entries
            )
        entries = tuple(
            _png_metadata(data) if image.format == "PNG" else _other_metadata(image.info)
        )
        return Encoding(image.format or "", width, height, None, None, (1, 1), False, entries)
    except UnidentifiedImageError:
        raise _unknown(data) from None
    except ImageError:
        raise
    except Exception as error:
        raise _undecodable(error) from error


def ijg_tables(quality: int) -> NDArray[np.int64]:
    """Quantisation tables of the Independent JPEG Group's encoder at a quality of 1 to 100, int64
    [2, 64].
    """
    standard = np.array([_STANDARD_LUMA.split(), _STANDARD_CHROMA.split()], dtype=np.int64)
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((standard * scale + 50) // 100, 1, 255)


_ALL_TABLES = np.stack([ijg_tables(q) for q in range(1, 101)])


def _quality(tables: NDArray[np.int64] | None) -> int | None:
    return (
        None if tables is None else 1 + int(np.abs(_ALL_TABLES - tables).sum(axis=(1, 2)).argmin())
    )


def _jpeg_tables(image: JpegImagePlugin.JpegImageFile) -> NDArray[np.int64] | None:
    components = [image.layer[min(k, len(image.layer) - 1)] for k in (0, 1)]
    tables = [list(image.quantization.get(component[3], ())) for component in components]
    if any(len(table) != 64 for table in tables):
        return None
    # a grey picture says nothing of chroma: as its luma's quality would have it
    if len(image.layer) == 1:
        tables[1] = ijg_tables(1 + int(np.abs(_ALL_TABLES[:, 0] - tables[0]).sum(axis=1).argmin()))[
            1
        ].tolist()
    return np.array(tables, dtype=np.int64)


def _jpeg_subsampling(image: JpegImagePlugin.JpegImageFile) -> tuple[float, float]:
    if len(image.layer) != 3:
        return 1, 1
    (_, across, down, _), (_, chroma_across, chroma_down, _) = image.layer[:2]
    return across / max(chroma_across, 1), down / max(chroma_down, 1)


def _jpeg_metadata(segments: list[tuple[str, bytes]]) -> Iterator[tuple[str, int]]:
    for name, body in segments:
        if name in ("APP0", "APP14") and body[:5] in (b"JFIF\0", b"JFXX\0", b"Adobe"):
            continue  # how to read the pixels, not where they come from
        starts = {b"Exif\0": "exif", b"http://ns.adobe.com": "xmp", b"ICC_PROFILE\0": "icc"}
        kind = next((kind for start, kind in starts.items() if body.startswith(start)), "other")
        yield "text" if name == "COM" else kind, len(body)


def _png_metadata(data: bytes) -> Iterator[tuple[str, int]]:
    # Some follow the pixels, or even the picture's end, where a header's reader does not come.
    for kind, start, length in islice(png_chunks(data), MAX_CHUNKS):
        if kind in _PNG_METADATA:
            is_xmp = data.startswith(b"XML:com.adobe.xmp\0", start)
            # A chunk may claim to be longer than the file is.
            yield "xmp" if is_xmp else _PNG_METADATA[kind], min(length, len(data) - start)


def _other_metadata(info: dict[str | tuple[int, int], object]) -> Iterator[tuple[str, int]]:
    for key, kind in {
        "exif": "exif",
        "icc_profile": "icc",
        "xmp": "xmp",
        "comment": "text",
    }.items():
        if isinstance(value := info.get(key), bytes | str) and value:
            yield kind, len(value)


def _open(data: bytes) -> Image.Image:
    """The picture, its header read; a decoder that is not installed knows no picture.

    Raises ImageError on headers of more parts than encoders write, which would take minutes to
    read.
    """
    if data.startswith(b"\xff\xd8\xff"):
        refuse_segments(data)
    elif data.startswith(b"\x89PNG\r\n\x1a\n"):
        refuse_chunks(data)
    elif data[:4] in TiffImagePlugin.PREFIXES:
        refuse_strips(data)
    if data[4:8] == b"ftyp":
        _add_heif()
    return Image.open(io.BytesIO(data), formats=[form for form in FORMATS if form in Image.OPEN])


def _undecodable(error: Exception) -> ImageError:
    # decoders' messages may hold line breaks, and parts of the file
    reason = " ".join(str(error).split())
    return ImageError(f"cannot be decoded: {reason[:MAX_REASON] or type(error).__name__}")


@cache
def _add_heif() -> bool:
    """Give Pillow the decoder of the extra `heic`, where that is installed; imported only for such
    files.
    """
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener(thumbnails=False)
    return True


def _unknown(data: bytes) -> ImageError:
    brand = data[8:12] if data[4:8] == b"ftyp" else b""
    if brand in _HEIF_BRANDS and not _add_heif():
        return ImageError(
            'a HEIC picture: pip install "fauxlab[heic]" to read it, or save it as JPEG'
        )
    if brand in (b"avif", b"avis") and not AvifImagePlugin.SUPPORTED:
        return ImageError(
            "an AVIF picture, which this build of Pillow does not read; save it as JPEG"
        )
    return ImageError("not an image in a known format (" + ", ".join(FORMATS) + ")")


def _upright(image: Image.Image) -> Image.Image:
    # Not ImageOps.exif_transpose, which also writes the metadata anew and stumbles over entries of
    # odd types in it.
    image.load()
    turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    return _to_rgb(image if turn is None else image.transpose(turn))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I;16", "I;16B", "I;16L", "I", "F"):
        grey = np.asarray(image, dtype=np.float32)
        most = grey.max(where=np.isfinite(grey), initial=0)  # a float picture may hold NaN
        scale = 255 / 65535 if image.mode != "F" or most > 255 else 1 if most > 1 else 255
        # Mode I also carries 8-bit values that were widened by a converter.
        scale = 1 if image.mode == "I" and most <= 255 else scale
        with np.errstate(invalid="ignore"):
            return Image.fromarray(np.clip(np.rint(grey * scale), 0, 255).astype(np.uint8)).convert(
                "RGB"
            )
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        canvas = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(canvas, rgba).convert("RGB")
    return image.convert("RGB")
