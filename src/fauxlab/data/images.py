"""The only place that opens image bytes.

Every picture, whether it is cached for training or scanned for a verdict, passes through `decode` and `to_square`,
so that a detector sees in use exactly what it saw in training.
"""

from __future__ import annotations

import io
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from PIL import (  # the plugins register the decoders of FORMATS; without them Image.open may load all there are
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    ImageOps,
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401
)

from fauxlab.errors import LabError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Increase when the pixels that `to_square` returns change: caches and bundles carry it.
PIPELINE_VERSION = 1
MAX_BYTES = 256 * 2**20
MAX_PIXELS = 2**27  # 134 megapixels: above any phone's default mode, far below what exhausts memory
LARGE_PIXELS = 2**25
MIN_SIDE = 16
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
# Only formats that people keep photos in: other decoders (EPS, for one, starts a program) never see hostile bytes.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")


# Pillow's remarks on odd metadata and large pictures would stand between a command's lines. Set once and for all:
# `warnings.catch_warnings` around each decoding leaves other modules' filters in disorder when threads overlap.
warnings.filterwarnings("ignore", module=r"PIL\.")
# A picture of MAX_PIXELS with transparency takes 3 GB on its way to RGB. One thread of their own decodes the large ones
# of all threads: a lock would not do, as the allocator keeps freed memory for the thread that took it.
_large = ThreadPoolExecutor(1, thread_name_prefix="large-pictures")


class ImageError(LabError):
    """Bytes that are no usable picture; the message is the reason, without the path."""


def decode(data: bytes, at_least: int | None = None) -> Image.Image:
    """Decode to an upright 8-bit RGB picture without metadata.

    With `at_least` a JPEG may come at a reduced scale, no side below that many pixels: fast, for thumbnails only.

    Animations give their first frame, transparency is laid on white, EXIF rotation is applied, 16-bit and float grey
    is scaled to 8 bits. Raises ImageError with the reason on everything else: empty, truncated, not a picture, a format
    outside FORMATS, above MAX_BYTES or MAX_PIXELS, a side below MIN_SIDE pixels.
    """
    if not data:
        raise ImageError("empty file")
    if len(data) > MAX_BYTES:
        raise ImageError(f"file of {len(data):,} bytes, above the limit of {MAX_BYTES:,}")
    # Decoders are written in C against trusted files and raise almost anything on hostile ones.
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        width, height = image.size
        if width * height <= MAX_PIXELS and min(width, height) >= MIN_SIDE:
            if at_least:
                image.draft("RGB", (at_least, at_least))
            if image.width * image.height > LARGE_PIXELS:
                return _large.submit(_upright, image).result()
            return _upright(image)
    except UnidentifiedImageError:
        raise ImageError("not an image in a known format (" + ", ".join(FORMATS) + ")") from None
    except Image.DecompressionBombError:
        raise ImageError(f"above the limit of {MAX_PIXELS:,} pixels") from None
    except Exception as error:
        raise ImageError(f"cannot be decoded: {str(error) or type(error).__name__}") from error
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
    return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))


def fingerprint(image: Image.Image) -> NDArray[np.bool_] | None:
    """256-bit difference hash of the whole picture, bool [256]; None when it has too little contrast to tell.

    Neighbouring cells of a 17×16 grey thumbnail are compared (the "dHash" of N. Krawetz, at four times its usual
    length). Recompression, resizing and small retouches flip few bits.
    """
    grey = np.asarray(image.convert("L").resize((17, 16), Image.Resampling.BOX), dtype=np.int16)
    if grey.std() < 4:
        return None
    return (grey[:, 1:] > grey[:, :-1]).ravel()


def _upright(image: Image.Image) -> Image.Image:
    return _to_rgb(ImageOps.exif_transpose(image))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I;16", "I;16B", "I;16L", "I", "F"):
        grey = np.asarray(image, dtype=np.float32)
        scale = 255 / 65535 if image.mode != "F" or grey.max() > 255 else 1 if grey.max() > 1 else 255
        # Mode I also carries 8-bit values that were widened by a converter.
        scale = 1 if image.mode == "I" and grey.max() <= 255 else scale
        with np.errstate(invalid="ignore"):  # a float picture may hold NaN
            return Image.fromarray(np.clip(np.rint(grey * scale), 0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        canvas = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(canvas, rgba).convert("RGB")
    return image.convert("RGB")
