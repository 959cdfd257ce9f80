"""What one picture may cost, and the error of a picture that costs more or cannot be used."""

from __future__ import annotations

from dataclasses import dataclass

from fauxlab.errors import LabError

MAX_BYTES = 256 * 2**20
MIN_SIDE = 16
# Frames of an animation, or pages of a TIFF, that are decoded. More are chosen evenly.
MAX_FRAMES = 16
# Scans of a JPEG cost time but hardly any bytes, since each passes over all pixels. Encoders write
# about 10, rarely above 60. MAX_SCANNED pixels in all take seconds; they leave 32 scans for a
# picture of 64 million pixels.
MAX_SCANS = 100
MAX_SCANNED = 2**31


class ImageError(LabError):
    """Bytes that are no usable picture; the message is the reason, without the path."""


@dataclass(frozen=True)
class Limits:
    """What one picture may cost: pixels of its largest frame, and seconds until it is decoded.

    Raises LabError on a limit that is not positive.
    """

    max_pixels: int = 2**26
    timeout: float = 20.0

    def __post_init__(self) -> None:
        if self.max_pixels < 1:
            raise LabError(f"max_pixels {self.max_pixels}: a positive number")
        if not self.timeout > 0:
            raise LabError(f"timeout {self.timeout}: a positive number of seconds")


# For a desk. docs/operating.md says what a server sets.
DEFAULT_LIMITS = Limits()


def refuse_bytes(data: bytes) -> None:
    """Raise ImageError for an empty file, or one of more than MAX_BYTES."""
    if not data:
        raise ImageError("empty file")
    if len(data) > MAX_BYTES:
        raise ImageError(f"file of {len(data):,} bytes, above the limit of {MAX_BYTES:,}")


def refuse_size(width: int, height: int, most: int) -> None:
    """Raise ImageError for more than `most` pixels, or a side below MIN_SIDE."""
    if width * height > most:
        raise ImageError(f"{width}×{height} pixels, above the limit of {most:,}")
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"{width}×{height} pixels: too small, each side needs at least {MIN_SIDE}")


def most_scans(pixels: int) -> int:
    """How many scans a JPEG of that many pixels may have."""
    affordable = MAX_SCANNED // max(pixels, 1)
    # A picture too large for one scan is refused for its size.
    return min(MAX_SCANS, max(affordable, 1))
