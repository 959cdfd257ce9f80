"""Decodes pictures in this process; `images` decides which pictures go to a child process instead.

Nothing here bounds time. What is decoded is bounded by the header, and by whoever calls.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

# Importing a plugin registers its decoder. Without these, Image.open may load all that there are.
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    ImageChops,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401
)

from fauxlab.io.decoding import heif, jpeg, png, tiff, webp
from fauxlab.io.decoding.messages import bands
from fauxlab.io.decoding.metadata import MAX_EXIF, ORIENTATION, Stripped, read_orientation
from fauxlab.io.decoding.profiles import to_srgb
from fauxlab.io.kinds import PICTURE, kind_of
from fauxlab.io.limits import ImageError, refuse_size

# Only formats in which people keep photos. Hostile bytes never reach the other decoders; the one of
# EPS, for example, starts a program.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "HEIF")
BMP_START = b"BM"
MAX_REASON = 200  # characters of a decoder's message
# Brands of HEIC pictures and their containers, from ISO 23008-12 and related standards. A brand
# follows "ftyp" at the start of a file.
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")

# Where Pillow keeps the EXIF of a picture. The second is text, two digits a byte.
_EXIF_KEYS = ("exif", "Raw profile type exif")
_OF_GREY = b"GRAY"  # in a profile
_OLD_BMP_HEADER = 12  # bytes

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
# Modes that a colour profile may be for.
_PROFILED_MODES = frozenset({"RGB", "L", "CMYK"})


class Opened:
    """A picture file of which only the header is read.

    `count` is the number of its frames or pages; 1 where the others were not asked for.
    """

    def __init__(self, image: Image.Image, metadata: Stripped, frames: bool) -> None:
        self.image = image
        # The image holds the file.
        self._metadata = replace(metadata, data=b"")
        self.count = 1
        # Of the pictures of a HEIF, the one that it says to show is the first.
        self._shown = image.tell()
        if frames:
            self.count = int(getattr(image, "n_frames", 1))

    def frame(self, number: int, max_pixels: int) -> Upright:
        """A frame, decoded; it holds until the next one is.

        Raises ImageError for a frame of more pixels, and whatever decoders raise.
        """
        image = self.image
        if self.count > 1:
            image.seek(self._place(number))
        refuse_size(*image.size, max_pixels)
        image.load()
        if self.count == 1 and isinstance(image, ImageFile.ImageFile):
            # The file is not needed any more.
            image.fp = None
        orientation = read_orientation(self._metadata.exif, self._metadata.xmp)
        return _turn(image, orientation, self._metadata.profile)

    def _place(self, number: int) -> int:
        """Where in the file a frame stands. No list of all: a file may claim billions."""
        if number == 0:
            return self._shown
        return number - 1 if number <= self._shown else number


@dataclass(frozen=True)
class Upright:
    """A decoded picture, still in the mode and the colours of its file.

    `scale` brings grey of more than 8 bits to 0 to 255.
    """

    image: Image.Image
    profile: bytes
    scale: float

    def to_rgb(self) -> Image.Image:
        """The picture, of mode RGB, in the colours of sRGB, laid on white."""
        return self._convert(self.image)

    def rows(self, top: int, bottom: int) -> Image.Image:
        """As `to_rgb`, some rows: converted in parts, a large picture takes less memory."""
        part = self.image.crop((0, top, self.image.width, bottom))
        return self._convert(part)

    def _convert(self, image: Image.Image) -> Image.Image:
        if image.mode in _DEEP_MODES:
            image = _shallow_grey(image, self.scale)
        elif image.mode in _TRANSPARENT_MODES or "transparency" in image.info:
            return _lay_on_white(image, self.profile)
        elif self.profile and image.mode not in _PROFILED_MODES:
            image = image.convert("RGB")
        return to_srgb(image, self.profile).convert("RGB")


def upright(image: Image.Image) -> Upright:
    """A picture that somebody opened with Pillow, or made. EXIF above MAX_EXIF is not read."""
    orientation = 1
    longest = max(len(image.info.get(key, "")) for key in _EXIF_KEYS)
    if longest <= MAX_EXIF:
        orientation = image.getexif().get(ORIENTATION, 1)
    return _turn(image, orientation, image.info.get("icc_profile") or b"")


def strip(data: bytes, frames: bool) -> Stripped:
    """Cut the metadata out of a file of any format. Without `frames`, later frames may go, too.

    Raises ImageError for files of more parts than encoders write.
    """
    if data.startswith(jpeg.START):
        return jpeg.strip_jpeg(data)
    if data.startswith(png.START):
        return png.strip_png(data, frames)
    if data.startswith(tiff.PREFIXES):
        return tiff.strip_tiff(data, frames)
    if webp.is_webp(data):
        return webp.strip_webp(data)
    if heif.is_heif(data):
        return Stripped(heif.strip_heif(data))
    if data.startswith(BMP_START):
        return Stripped(data, _bmp_size(data))
    return Stripped(data)


def open_frames(
    metadata: Stripped,
    max_pixels: int,
    at_least: int | None = None,
    frames: bool = False,
) -> Opened:
    """Read the header of a stripped file.

    Raises ImageError for a picture beyond the limits, and whatever decoders raise on all else.
    """
    if metadata.size:
        refuse_size(*metadata.size, max_pixels)
    image = open_image(metadata.data)
    refuse_size(*image.size, max_pixels)
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        if jpeg.lacks_end(metadata.data):
            metadata = replace(metadata, data=_complete(metadata.data))
            image = open_image(metadata.data)
        if at_least:
            image.draft("RGB", (at_least, at_least))
    else:
        metadata = with_decoder_metadata(metadata, image)
    return Opened(image, metadata, frames)


def open_image(data: bytes) -> Image.Image:
    """Pillow's picture, of which only the header is read. Raises whatever decoders raise."""
    if heif.is_heif(data):
        _add_heif()
    installed = [form for form in FORMATS if form in Image.OPEN]
    return Image.open(io.BytesIO(data), formats=installed)


def with_decoder_metadata(stripped: Stripped, image: Image.Image) -> Stripped:
    """With the entries of AVIF and HEIF, which their decoders find and check."""
    if image.format not in ("AVIF", "HEIF"):
        return stripped
    profile = image.info.get("icc_profile", b"")
    if image.format == "HEIF":
        # Its decoder turns the picture.
        return replace(stripped, profile=profile)
    # The rotation that an AVIF states in its boxes, which Pillow writes as EXIF.
    exif = image.info.get("exif", b"")
    xmp = image.info.get("xmp", b"")
    return replace(stripped, exif=exif, xmp=xmp, profile=profile)


@contextmanager
def decoder_errors(data: bytes) -> Iterator[None]:
    """Turn whatever a decoder raises into an ImageError of one line.

    Decoders are written in C for honest files, and raise almost anything on hostile ones.
    """
    try:
        yield
    except UnidentifiedImageError:
        raise ImageError(_describe_unknown(data)) from None
    except ImageError:
        raise
    except MemoryError:
        raise ImageError("cannot be decoded: it takes more memory than a picture may") from None
    except Exception as error:
        # the message may hold line breaks, and parts of the file
        reason = " ".join(str(error).split())[:MAX_REASON]
        raise ImageError(f"cannot be decoded: {reason or type(error).__name__}") from error


def _turn(image: Image.Image, orientation: object, profile: bytes) -> Upright:
    scale = _scale_of_deep_grey(image) if image.mode in _DEEP_MODES else 1
    # Not ImageOps.exif_transpose: it writes the metadata anew, and fails on odd entries.
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    turned = image if turn is None else image.transpose(turn)
    if profile[16:20] == _OF_GREY and image.mode in ("RGB", "RGBA"):
        turned = _without_channels(turned)
    return Upright(turned, profile, scale)


def _without_channels(image: Image.Image) -> Image.Image:
    """A grey picture that its format stores as RGB, as WebP does, in one channel; others as is."""
    red, green, blue = image.split()[:3]
    for other in (green, blue):
        if ImageChops.difference(red, other).getbbox():
            return image
    return image.convert("LA" if image.mode == "RGBA" else "L")


def _bmp_size(data: bytes) -> tuple[int, int] | None:
    header_bytes = int.from_bytes(data[14:18], "little")
    if header_bytes == _OLD_BMP_HEADER:
        width = int.from_bytes(data[18:20], "little")
        height = int.from_bytes(data[20:22], "little")
    else:
        width = int.from_bytes(data[18:22], "little")
        # below 0 where the rows run from top to bottom
        height = abs(int.from_bytes(data[22:26], "little", signed=True))
    return width, height


@cache
def _add_heif() -> bool:
    """Give Pillow the HEIF decoder of the extra `heic`; False where that is not installed.

    It is imported only once a file needs it.
    """
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener(thumbnails=False, decode_threads=1)
    return True


def _describe_unknown(data: bytes) -> str:
    """Why no decoder knows these bytes, and what to do where it is a format that could be read."""
    brand = data[8:12] if heif.is_heif(data) else b""
    if brand in _HEIF_BRANDS and not _add_heif():
        return 'a HEIC picture: pip install "fauxlab[heic]" to read it, or save it as JPEG'
    if brand in _AVIF_BRANDS and not AvifImagePlugin.SUPPORTED:
        return "an AVIF picture, which this build of Pillow does not read; save it as JPEG"
    if kind_of(data, "") == PICTURE:
        return "cannot be decoded: damaged, cut off or of a rare kind; save it as JPEG or PNG"
    return f"not an image in a known format ({', '.join(FORMATS)})"


def _complete(data: bytes) -> bytes:
    """A JPEG whose last marker is missing, with that marker.

    Raises ImageError where pixels are missing, too. They are if what follows the end of the file
    changes the picture: a decoder that has all pixels reads no further.
    """
    data = jpeg.without_padding(data)
    pictures = set()
    for filler in jpeg.FILLERS:
        image = open_image(data + filler + jpeg.END_MARKER)
        digest = hashlib.sha256(image.tobytes())
        pictures.add(digest.digest())
        if len(pictures) > 1:
            break
    if len(pictures) > 1 or not jpeg.has_all_scans(data):
        raise ImageError("cannot be decoded: the file ends before its picture does")
    return data + jpeg.END_MARKER


def _lay_on_white(image: Image.Image, profile: bytes) -> Image.Image:
    if image.mode == "La":
        image = image.convert("LA")
    rgba = image.convert("RGBA")
    if profile:
        # A profile of grey is for a single channel.
        is_grey = image.mode in ("L", "LA")
        colours = image.convert("LA").convert("L") if is_grey else rgba.convert("RGB")
        alpha = rgba.getchannel("A")
        rgba = to_srgb(colours, profile).convert("RGB")
        rgba.putalpha(alpha)
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    laid_on_white = Image.alpha_composite(white, rgba)
    return laid_on_white.convert("RGB")


def _shallow_grey(image: Image.Image, scale: float) -> Image.Image:
    """Grey of more than 8 bits, scaled to 8 bits."""
    grey = np.asarray(image, dtype=np.float32)
    # A float picture may hold NaN.
    with np.errstate(invalid="ignore"):
        rounded = np.rint(grey * scale)
        bounded = np.clip(rounded, 0, 255)
        pixels = bounded.astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        pixels[grey == transparent] = 255
    return Image.fromarray(pixels)


def _scale_of_deep_grey(image: Image.Image) -> float:
    width, height = image.size
    brightest = 0.0
    for top, bottom in bands(width, height):
        rows = image.crop((0, top, width, bottom))
        grey = np.asarray(rows, dtype=np.float32)
        is_number = np.isfinite(grey)
        brightest = max(brightest, float(grey.max(where=is_number, initial=0)))
    return _scale_to_bytes(image.mode, brightest)


def _scale_to_bytes(mode: str, brightest: float) -> float:
    """The factor that brings grey of a deep mode to 0 to 255. Files do not state their range."""
    if mode == "F" and brightest <= 1:
        return 255
    # A float picture may hold 8-bit values, and so may mode I where a converter widened them.
    if mode in ("F", "I") and brightest <= 255:
        return 1
    return 255 / 65535
