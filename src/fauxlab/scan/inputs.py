"""What a scan takes: paths, bytes, open files, Pillow pictures and arrays.

`take` reads everything but paths at once. So a caller may close a file, or fill an array anew, as
soon as the scan asks for the next picture.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from fauxlab.io.images import MAX_BYTES, convert
from fauxlab.io.limits import ImageError, Limits
from fauxlab.io.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    # A path that is yet to be read, the bytes of a file, an upright RGB picture, or the reason why
    # there is none.
    Content = str | bytes | Image.Image | ImageError
    Bytes = bytes | bytearray | memoryview
    Input = str | os.PathLike[str] | Bytes | BinaryIO | Image.Image | NDArray[np.uint8]

# The kinds of input, as messages name them.
KINDS = "a path, bytes, a file opened with 'rb', a Pillow image or a NumPy array"
ARRAYS = "uint8 [H, W, 3] RGB, [H, W, 4] RGBA or [H, W] grey"
# Bytes of one read from a file object.
PIECE = 2**20


class Given(NamedTuple):
    """A picture as it was handed in: its name, and what is to be decoded."""

    name: str
    content: Content


def take_all(pictures: Iterable[Input], limits: Limits) -> Iterator[Given]:
    """The pictures of an iterable, each taken when it is asked for.

    Raises TypeError at once for a single picture in the place of an iterable.
    """
    if _is_single(pictures):
        kind = type(pictures).__name__
        raise TypeError(
            f"expected a list or another iterable of pictures, got one {kind}; "
            "put it in a list, or call the scanner with it"
        )
    return _take_each(iter(pictures), limits)


def take(picture: Input, limits: Limits, name: str | None = None) -> Given:
    """One picture, with the name that stands in its verdicts.

    Without a `name` this is the path, the file object's name, or the kind in angle brackets. Raises
    TypeError on what is no picture, and ValueError on an array of another shape.
    """
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name is a {type(name).__name__}, expected a str")
    given = _take(picture, limits)
    return given if name is None else given._replace(name=name)


def _take_each(pictures: Iterator[Input], limits: Limits) -> Iterator[Given]:
    for picture in pictures:
        yield take(picture, limits)


def _is_single(pictures: object) -> bool:
    """Whether this is one picture. An array [N, H, W, C] is an iterable of N."""
    if isinstance(pictures, np.ndarray):
        return pictures.ndim < 4
    is_path = isinstance(pictures, str | os.PathLike)
    is_picture = isinstance(pictures, bytes | bytearray | memoryview | Image.Image)
    return is_path or is_picture or _is_file(pictures)


def _is_file(candidate: object) -> bool:
    return callable(getattr(candidate, "read", None))


def _take(picture: Any, limits: Limits) -> Given:
    if isinstance(picture, str | os.PathLike):
        path = os.fsdecode(picture)
        return Given(path, path)
    if isinstance(picture, bytes | bytearray | memoryview):
        return Given("<bytes>", bytes(picture))
    if isinstance(picture, Image.Image):
        name = getattr(picture, "filename", "")
        return Given(_to_name(name, "<image>"), _convert(picture, limits))
    if isinstance(picture, np.ndarray):
        return Given("<array>", _convert_array(picture, limits))
    if _is_file(picture):
        name = getattr(picture, "name", "")
        return Given(_to_name(name, "<file>"), _read(picture))
    raise TypeError(f"a {type(picture).__name__} is no picture; give {KINDS}")


def _to_name(name: object, otherwise: str) -> str:
    """The name of a file. Some objects have none, or a number in its place."""
    if isinstance(name, str | bytes | os.PathLike):
        return os.fsdecode(name) or otherwise
    return otherwise


def _convert(image: Image.Image, limits: Limits) -> Image.Image | ImageError:
    try:
        return convert(image, limits)
    except ImageError as error:
        # A new one: the first holds the functions that raised it, and with them the picture.
        return ImageError(str(error))


def _convert_array(array: NDArray[Any], limits: Limits) -> Image.Image | ImageError:
    if array.dtype != np.uint8:
        raise TypeError(f"an array of {array.dtype}; expected {ARRAYS}")
    is_grey = array.ndim == 2
    has_channels = array.ndim == 3 and array.shape[2] in (3, 4)
    if not is_grey and not has_channels:
        raise ValueError(f"an array of shape {list(array.shape)}; expected {ARRAYS}")
    if not array.size:
        return ImageError(f"an array of shape {list(array.shape)}: no pixels")
    # A copy, because Pillow would share the memory of an array that its owner may change.
    image = Image.fromarray(array.copy(order="C"))
    return _convert(image, limits)


def _read(file: Any) -> bytes | ImageError:
    """The rest of an open file; no more than one byte above MAX_BYTES is read."""
    if isinstance(file, io.TextIOBase):
        raise TypeError("a file opened as text; open it with 'rb'")
    pieces = []
    left = MAX_BYTES + 1
    try:
        while left > 0:
            piece = file.read(min(left, PIECE))
            if not piece:
                break
            if not isinstance(piece, bytes | bytearray | memoryview):
                kind = type(piece).__name__
                raise TypeError(f"a file whose read() gives {kind}; open it with 'rb'")
            pieces.append(piece)
            left -= len(piece)
    except TypeError:
        raise
    # A file object may be of any library: a member of a damaged zip, an answer that breaks off.
    except Exception as error:
        return ImageError(f"cannot be read: {printable(str(error))}")
    if left <= 0:
        return ImageError(f"above the limit of {MAX_BYTES:,} bytes")
    if not pieces:
        return ImageError("nothing to read; a file that was read or written before needs seek(0)")
    return b"".join(pieces)
