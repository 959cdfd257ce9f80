"""The only place that opens image bytes.

Every picture, whether it is cached for training or scanned for a verdict, passes through `decode`
and `to_square`. So a detector sees in use exactly what it saw in training.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

# Importing a plugin registers its decoder. Without these, Image.open may load all that there are.
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
    DEFAULT_LIMITS,
    ImageError,
    Limits,
    refuse_chunks,
    refuse_scans,
    refuse_segments,
    refuse_strips,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

# Increase when the pixels that `to_square` returns change: caches and bundles carry it.
PIPELINE_VERSION = 1

MAX_BYTES = 256 * 2**20
MAX_PIXELS = DEFAULT_LIMITS.max_pixels
MIN_SIDE = 16
# Scans of a JPEG cost time but hardly any bytes, since each passes over all pixels. Encoders write
# about 10, rarely above 60. MAX_SCANNED pixels in all take seconds; they leave 16 scans for a
# picture of MAX_PIXELS.
MAX_SCANS = 100
MAX_SCANNED = 2**31
MAX_REASON = 200  # characters of a decoder's message

# HEIF and AVIF are listed even where their decoders are missing, so that no picture is passed over
# without a word.
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
    | {".avif", ".heic", ".heif"}
)
# Only formats in which people keep photos. Hostile bytes never reach the other decoders; the one of
# EPS, for example, starts a program.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "HEIF")
# Brands of HEIC pictures and their containers, from ISO 23008-12 and related standards. A brand
# follows "ftyp" at the start of a file.
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")

MAX_EXIF = 2**16
# Where Pillow keeps the EXIF of a picture. The second is text, two digits a byte.
_EXIF_KEYS = ("exif", "Raw profile type exif")
ORIENTATION = 0x0112  # the EXIF tag
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_DEEP_MODES = frozenset({"I;16", "I;16B", "I;16L", "I", "F"})
_TRANSPARENT_MODES = frozenset({"RGBA", "LA", "PA", "La", "RGBa"})

# Pillow warns of odd metadata and of large pictures. These warnings would stand between the lines
# of a command's output, and `decode` has limits and reasons of its own. The filters name Pillow's
# decoders and their two kinds of warning, so that every other warning stays audible. They are set
# once: before Python 3.14, `warnings.catch_warnings` around each call is not safe in threads.
_DECODERS = r"PIL\.(Image|\w+ImagePlugin)$"
warnings.filterwarnings("ignore", category=UserWarning, module=_DECODERS)
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning, module=_DECODERS)
# Pillow also logs errors of decoders. They still reach whoever set up logging.
logging.getLogger("PIL").addHandler(logging.NullHandler())

LARGE_PIXELS = 2**25
# A picture of MAX_PIXELS with transparency takes 3 GB on its way to RGB. This one thread decodes
# the large pictures of all threads. A lock would not do, because the allocator keeps freed memory
# for the thread that took it.
_large_pictures = ThreadPoolExecutor(1, thread_name_prefix="large-pictures")


@dataclass(frozen=True)
class Frame:
    """An upright RGB picture, and which frame of its file it is: from 0, of `count`."""

    picture: Image.Image
    number: int
    count: int


def decode_frames(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Iterator[Frame]:
    """The frames of an animation or the pages of a TIFF, in order; of other pictures one frame.

    Raises ImageError as `decode` does.
    """
    yield Frame(decode(data, limits=limits), 0, 1)


def decode(
    data: bytes, at_least: int | None = None, limits: Limits = DEFAULT_LIMITS
) -> Image.Image:
    """Decode image bytes to an upright 8-bit RGB picture without metadata.

    An animation gives its first frame. Transparency is laid on white, the EXIF rotation is applied,
    16-bit and float grey is scaled to 8 bits. With `at_least`, a JPEG may come at a reduced scale
    with no side below that many pixels; this is fast, and meant for thumbnails only.

    Raises ImageError with the reason on everything else: empty, truncated, not a picture, a format
    outside FORMATS, above MAX_BYTES or MAX_PIXELS, a side below MIN_SIDE pixels, more scans,
    segments or chunks than encoders write.
    """
    if not data:
        raise ImageError("empty file")
    if len(data) > MAX_BYTES:
        raise ImageError(f"file of {len(data):,} bytes, above the limit of {MAX_BYTES:,}")
    with decoder_errors(data):
        image = open_picture(data)
        _refuse_size(*image.size, limits.max_pixels)
        if isinstance(image, JpegImagePlugin.JpegImageFile):
            affordable = MAX_SCANNED // (image.width * image.height)
            refuse_scans(data, min(MAX_SCANS, affordable))
        if at_least:
            image.draft("RGB", (at_least, at_least))
        if image.width * image.height > LARGE_PIXELS:
            return _large_pictures.submit(_upright, image).result()
        return _upright(image)


def convert(image: Image.Image, limits: Limits = DEFAULT_LIMITS) -> Image.Image:
    """A picture that Pillow has opened or made, as `decode` gives it; the picture itself stays.

    Metadata above MAX_EXIF is not read. Raises ImageError as `decode` does.
    """
    with decoder_errors(b""):
        _refuse_size(*image.size, limits.max_pixels)
        image.load()
        long = [key for key in _EXIF_KEYS if len(image.info.get(key, "")) > MAX_EXIF]
        if long:
            image = image.copy()
            for key in long:
                del image.info[key]
        return _upright(image)


def to_square(image: Image.Image, size: int) -> Pixels:
    """Centre square crop, then antialiased bicubic resize, to uint8 [3, size, size] RGB."""
    width, height = image.size
    side = min(width, height)
    left = (width - side) // 2
    top = (height - side) // 2
    right = left + side
    bottom = top + side
    box = (left, top, right, bottom)
    resized = image.resize((size, size), Image.Resampling.BICUBIC, box=box)
    return to_pixels(resized)


def to_pixels(picture: Image.Image) -> Pixels:
    """An RGB picture as uint8 [3, H, W]."""
    channels_last = np.asarray(picture)
    return np.ascontiguousarray(channels_last.transpose(2, 0, 1))


def to_picture(pixels: Pixels) -> Image.Image:
    """Pixels uint8 [3, H, W] as an RGB picture."""
    channels_last = np.ascontiguousarray(pixels.transpose(1, 2, 0))
    return Image.fromarray(channels_last)


def fingerprint(image: Image.Image) -> NDArray[np.bool_] | None:
    """256-bit difference hash of the whole picture, bool [256]; None for too little contrast.

    Neighbouring cells of a 17×16 grey thumbnail are compared (the "dHash" of N. Krawetz, at four
    times its usual length). Recompression, resizing and small retouches flip few bits.
    """
    luma = image.convert("L")
    thumbnail = luma.resize((17, 16), Image.Resampling.BOX)
    grey = np.asarray(thumbnail, dtype=np.int16)
    if grey.std() < 4:
        return None
    brighter_than_left = grey[:, 1:] > grey[:, :-1]
    return brighter_than_left.ravel()


def open_picture(data: bytes) -> Image.Image:
    """A picture of which only the header is read.

    Raises ImageError on a header of more parts than encoders write, which would take minutes to
    read, and Pillow's own errors on everything else; `decoder_errors` translates those.
    """
    if data.startswith(b"\xff\xd8\xff"):
        refuse_segments(data)
    elif data.startswith(b"\x89PNG\r\n\x1a\n"):
        refuse_chunks(data)
    elif data[:4] in TiffImagePlugin.PREFIXES:
        refuse_strips(data)
    if data[4:8] == b"ftyp":
        _add_heif()
    installed = [form for form in FORMATS if form in Image.OPEN]
    return Image.open(io.BytesIO(data), formats=installed)


@contextmanager
def decoder_errors(data: bytes) -> Iterator[None]:
    """Turn whatever a decoder raises into an ImageError of one line.

    Decoders are written in C for honest files, and raise almost anything on hostile ones.
    """
    try:
        yield
    except UnidentifiedImageError:
        raise ImageError(_describe_unknown(data)) from None
    except Image.DecompressionBombError:
        raise ImageError(f"above the limit of {MAX_PIXELS:,} pixels") from None
    except ImageError:
        raise
    except Exception as error:
        # the message may hold line breaks, and parts of the file
        reason = " ".join(str(error).split())[:MAX_REASON]
        raise ImageError(f"cannot be decoded: {reason or type(error).__name__}") from error


def _refuse_size(width: int, height: int, most: int) -> None:
    if width * height > most:
        raise ImageError(f"{width}×{height} pixels, above the limit of {most:,}")
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"{width}×{height} pixels: too small, each side needs at least {MIN_SIDE}")


@cache
def _add_heif() -> bool:
    """Give Pillow the HEIF decoder of the extra `heic`; False where that is not installed.

    It is imported only once a file needs it.
    """
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener(thumbnails=False)
    return True


def _describe_unknown(data: bytes) -> str:
    """Why no decoder knows these bytes, and what to do where it is a format that could be read."""
    brand = data[8:12] if data[4:8] == b"ftyp" else b""
    if brand in _HEIF_BRANDS and not _add_heif():
        return 'a HEIC picture: pip install "fauxlab[heic]" to read it, or save it as JPEG'
    if brand in _AVIF_BRANDS and not AvifImagePlugin.SUPPORTED:
        return "an AVIF picture, which this build of Pillow does not read; save it as JPEG"
    return f"not an image in a known format ({', '.join(FORMATS)})"


def _upright(image: Image.Image) -> Image.Image:
    # Not ImageOps.exif_transpose: it writes the metadata anew, and fails on entries of odd types.
    image.load()
    orientation = image.getexif().get(ORIENTATION, 1)
    turn = _TURNS.get(orientation)
    if turn is not None:
        image = image.transpose(turn)
    return _to_rgb(image)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in _DEEP_MODES:
        return _deep_grey_to_rgb(image)
    if image.mode in _TRANSPARENT_MODES or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        laid_on_white = Image.alpha_composite(white, rgba)
        return laid_on_white.convert("RGB")
    return image.convert("RGB")


def _deep_grey_to_rgb(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits, scaled to 8 bits."""
    grey = np.asarray(image, dtype=np.float32)
    # A float picture may hold NaN.
    is_number = np.isfinite(grey)
    brightest = float(grey.max(where=is_number, initial=0))
    scale = _scale_to_bytes(image.mode, brightest)
    with np.errstate(invalid="ignore"):
        rounded = np.rint(grey * scale)
        bounded = np.clip(rounded, 0, 255)
        pixels = bounded.astype(np.uint8)
    return Image.fromarray(pixels).convert("RGB")


def _scale_to_bytes(mode: str, brightest: float) -> float:
    """The factor that brings grey of a deep mode to 0 to 255. Files do not state their range."""
    if mode == "F" and brightest <= 1:
        return 255
    # A float picture may hold 8-bit values, and so may mode I where a converter widened them.
    if mode in ("F", "I") and brightest <= 255:
        return 1
    return 255 / 65535
