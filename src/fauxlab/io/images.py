"""The only place that opens image bytes.

Every picture, whether it is cached for training or scanned for a verdict, passes through `decode`
and `to_square`. So a detector sees in use exactly what it saw in training.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fauxlab.io import limits as bounds
from fauxlab.io.decoding import heif, jpeg, opening, png, tiff, webp
from fauxlab.io.decoding.children import Remote
from fauxlab.io.decoding.metadata import Stripped
from fauxlab.io.decoding.opening import BMP_START, decoder_errors, open_frames, strip
from fauxlab.io.limits import (
    DEFAULT_LIMITS,
    MAX_FRAMES,
    ImageError,
    Limits,
    refuse_bytes,
    refuse_size,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

# Increase when the pixels that `to_square` returns change: caches and bundles carry it.
# 2: colours of a profile are converted to sRGB. Pictures without a profile are as in version 1.
PIPELINE_VERSION = 2
# What models may have learned from: pictures of these versions differ only where a file carries a
# profile, which version 1 did not read.
READABLE_PIPELINES = frozenset({1, 2})

FORMATS = opening.FORMATS
MAX_BYTES = bounds.MAX_BYTES
MIN_SIDE = bounds.MIN_SIDE
MAX_PIXELS = DEFAULT_LIMITS.max_pixels

# HEIF and AVIF are listed even where their decoders are missing, so that no picture is passed over
# without a word.
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
    | {".avif", ".heic", ".heif"}
)

# What this process decodes itself, since it takes no second: pictures of up to so many pixels,
# every scan of them counted. A JPEG takes the least memory.
LIGHT_JPEG_PIXELS = 2**24
LIGHT_PIXELS = 2**22
LIGHT_SCANNED = 2**28


@dataclass(frozen=True)
class Frame:
    """An upright RGB picture, and which frame of its file it is: from 0, of `count`."""

    picture: Image.Image
    number: int
    count: int


def decode_frames(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Iterator[Frame]:
    """The frames of an animation or the pages of a TIFF, in order; of other pictures one frame.

    Of more than MAX_FRAMES frames so many are chosen evenly, the first and the last among them;
    `count` says how many there are. A smaller copy of a page, and the further pictures of a
    camera's JPEG, are no frames. All frames together must be decoded within the timeout.

    Raises ImageError as `decode` does on the first frame. A later frame that cannot be decoded is
    left out.
    """
    refuse_bytes(data)
    if not _may_have_frames(data):
        yield Frame(decode(data, limits=limits), 0, 1)
        return
    with Remote(data, limits, frames=True) as remote:
        for number in _choose_frames(remote.count):
            try:
                picture = remote.frame(number)
            except ImageError:
                if number == 0:
                    raise
            else:
                yield Frame(picture, number, remote.count)


def decode(
    data: bytes, at_least: int | None = None, limits: Limits = DEFAULT_LIMITS
) -> Image.Image:
    """Decode image bytes to an upright 8-bit RGB picture without metadata, in sRGB colours.

    An animation gives its first frame. Transparency is laid on white, the EXIF rotation is applied,
    16-bit and float grey is scaled to 8 bits, and the colours of a profile are converted. With
    `at_least`, a JPEG may come at a reduced scale with no side below that many pixels; this is
    fast, and meant for thumbnails only.

    A file of which only metadata or the last marker is broken or missing is decoded all the same.
    Large pictures, and formats that can be made to explode, are decoded in a child process.

    Raises ImageError with the reason on everything else: empty, truncated, not a picture, a format
    outside FORMATS, above MAX_BYTES or the limits, a side below MIN_SIDE pixels, more scans,
    segments or chunks than encoders write.
    """
    refuse_bytes(data)
    with decoder_errors(data):
        stripped = strip_still(data)
        if stripped and stripped.size:
            refuse_size(*stripped.size, limits.max_pixels)
        if stripped is None or not is_light(stripped):
            with Remote(data, limits, at_least) as remote:
                return remote.frame(0)
        opened = open_frames(stripped, limits.max_pixels, at_least)
        return opened.frame(0, limits.max_pixels).to_rgb()


def strip_still(data: bytes) -> Stripped | None:
    """The file without its metadata; None for formats and animations that only a child opens.

    Raises ImageError for files of more parts than encoders write.
    """
    is_still_webp = webp.is_webp(data) and not webp.is_animated(data)
    if is_still_webp or data.startswith((jpeg.START, png.START, BMP_START)):
        return strip(data, frames=False)
    return None


def is_light(stripped: Stripped) -> bool:
    """Whether this process may decode a picture itself."""
    if stripped.size is None:
        return False
    width, height = stripped.size
    pixels = width * height
    is_jpeg = stripped.data.startswith(jpeg.START)
    most = LIGHT_JPEG_PIXELS if is_jpeg else LIGHT_PIXELS
    return pixels <= most and pixels * stripped.scans <= LIGHT_SCANNED


def convert(image: Image.Image, limits: Limits = DEFAULT_LIMITS) -> Image.Image:
    """A picture that Pillow has opened or made, as `decode` gives it; the picture itself stays.

    Raises ImageError as `decode` does.
    """
    with decoder_errors(b""):
        refuse_size(*image.size, limits.max_pixels)
        image.load()
        return opening.upright(image).to_rgb()


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


def _may_have_frames(data: bytes) -> bool:
    if data.startswith(png.START):
        return png.is_animated(data)
    if webp.is_webp(data):
        return webp.is_animated(data)
    return data.startswith((b"GIF8", *tiff.PREFIXES)) or heif.is_heif(data)


def _choose_frames(count: int) -> list[int]:
    """The numbers of the frames that are decoded, in order."""
    if count <= MAX_FRAMES:
        return list(range(count))
    last = count - 1
    return [round(step * last / (MAX_FRAMES - 1)) for step in range(MAX_FRAMES)]
