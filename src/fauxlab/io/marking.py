"""Generated pictures as files, each marked as AI-generated in a machine-readable way.

The mark stands beside the pixels: text entries where the format has them, and an XMP packet whose
`Iptc4xmpExt:DigitalSourceType` is IPTC's term for media made by a trained model. The pixels
themselves carry no watermark: a detector that is trained on them would learn the watermark and
nothing about generators. Whoever copies the pixels without the metadata loses the mark, so it is a
courtesy to the honest and no protection against others.
"""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import numpy as np
from PIL.PngImagePlugin import PngInfo

from fauxlab.errors import LabError
from fauxlab.io.images import to_picture
from fauxlab.io.text import replace_file
from fauxlab.version import __version__

if TYPE_CHECKING:
    from numpy.typing import NDArray

SOURCE = "AI-generated"
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_XMP = "http://ns.adobe.com/xap/1.0/"
_OWN = "https://github.com/fauxlab/fauxlab/ns/1.0/"
# XMP specification, part 1, 7.3.2: this id, and a byte order mark that says UTF-8. `r`: not to be
# edited in place.
_BEGIN, _END = b"<?xpacket begin=", b"<?xpacket end="
_ENVELOPE = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n', '<?xpacket end="r"?>'
MOST_TEXT = 1000  # characters of a name: a JPEG segment holds 64 kB in all
MOST_PACKET = 2**16


@dataclass(frozen=True)
class Mark:
    """Where a generated picture comes from. `seed` is None where it shows several."""

    model: str
    model_hash: str
    seed: int | None = None
    software: str = f"fauxlab {__version__}"


def save_png(path: Path, pixels: NDArray[np.uint8], mark: Mark | None) -> None:
    """Write pixels uint8 [3, H, W] as PNG, whole or not at all. `mark` None is for pictures that no
    model made.
    """
    text = PngInfo()
    if mark:
        for key, value in _entries(mark).items():
            text.add_text(key, value)
        text.add_itxt("XML:com.adobe.xmp", _packet(mark))
    stream = io.BytesIO()
    to_picture(pixels).save(stream, "PNG", pnginfo=text)
    replace_file(path, stream.getvalue())


def save_jpeg(path: Path, pixels: NDArray[np.uint8], mark: Mark | None, quality: int = 92) -> None:
    """Write pixels uint8 [3, H, W] as JPEG without subsampling of colours, whole or not at all.

    Equal quality gives equal tables, marked or not.
    """
    stream = io.BytesIO()
    to_picture(pixels).save(stream, "JPEG", quality=quality, subsampling=0)
    data = stream.getvalue()
    if mark:
        body = b"http://ns.adobe.com/xap/1.0/\0" + _packet(mark).encode()
        # start of image, then the header that must come first
        after_jfif = 4 + int.from_bytes(data[4:6], "big")
        segment = b"\xff\xe1" + (2 + len(body)).to_bytes(2, "big") + body
        data = data[:after_jfif] + segment + data[after_jfif:]
    replace_file(path, data)


def save_gif(
    path: Path, frames: NDArray[np.uint8], mark: Mark | None, duration: int = 50, loop: int = 0
) -> None:
    """Write frames uint8 [N, 3, H, W] as an animation of 256 colours a frame, whole or not at all.

    `duration` of a frame is in milliseconds, rounded down to hundredths of a second; `loop` 0 is
    for ever.
    """
    first, *rest = map(to_picture, frames)
    comment = "; ".join(f"{key}: {value}" for key, value in _entries(mark).items()) if mark else ""
    stream = io.BytesIO()
    first.save(
        stream,
        "GIF",
        save_all=True,
        append_images=rest,
        duration=duration,
        loop=loop,
        comment=comment.encode("ascii", "backslashreplace"),  # all that the format allows
    )
    data = stream.getvalue()
    replace_file(path, _with_gif_packet(data, _packet(mark).encode()) if mark else data)


def read_mark(data: bytes) -> Mark | None:
    """The mark in a file's bytes, None where there is none of this lab's. Never raises, whatever
    the bytes are.

    XMP packets are made to be found in any file without knowing its format, so no decoder sees the
    bytes.
    """
    start = data.find(_BEGIN)
    while start >= 0:
        end = data.find(_END, start)
        if end < 0:
            return None
        if end - start <= MOST_PACKET and (found := _parse(data[start:end])):
            return found
        start = data.find(_BEGIN, end)
    return None


def grid(pixels: NDArray[np.uint8], columns: int | None = None) -> NDArray[np.uint8]:
    """Images uint8 [N, 3, H, W] row by row in one, uint8 [3, rows·H, columns·W]; what is left over
    is white.

    By default the grid is as square as can be. Raises LabError without images or with fewer than
    one column.
    """
    rows, columns = grid_shape(len(pixels), columns)
    n, channels, height, width = pixels.shape
    cells = np.full((rows * columns, channels, height, width), 255, dtype=np.uint8)
    cells[:n] = pixels
    cells = cells.reshape(rows, columns, channels, height, width)
    return cells.transpose(2, 0, 3, 1, 4).reshape(channels, rows * height, columns * width)


def grid_shape(n: int, columns: int | None = None) -> tuple[int, int]:
    """Rows and columns of the grid of n images; errors as of `grid`."""
    if n < 1 or (columns is not None and columns < 1):
        raise LabError(f"a grid of {n} images in {columns} columns: both must be at least 1")
    columns = min(columns or math.isqrt(n - 1) + 1, n)
    return -(-n // columns), columns


def _entries(mark: Mark) -> dict[str, str]:
    """What plain text says: PNG's own keywords Software and Source, then ours."""
    found = {
        "Software": mark.software,
        "Source": SOURCE,
        "model": mark.model,
        "model hash": mark.model_hash,
    }
    if mark.seed is not None:
        found["seed"] = str(mark.seed)
    return {key: _plain(value) for key, value in found.items()}


def _packet(mark: Mark) -> str:
    own = {"model": mark.model, "modelHash": mark.model_hash, "seed": mark.seed}
    lines = [
        f"<fauxlab:{k}>{escape(_plain(str(v)))}</fauxlab:{k}>"
        for k, v in own.items()
        if v is not None
    ]
    body = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="{_IPTC}" xmlns:xmp="{_XMP}" xmlns:fauxlab="{_OWN}">
<Iptc4xmpExt:DigitalSourceType>{SOURCE_TYPE}</Iptc4xmpExt:DigitalSourceType>
<xmp:CreatorTool>{escape(_plain(mark.software))}</xmp:CreatorTool>
{"".join(lines)}
</rdf:Description>
</rdf:RDF></x:xmpmeta>
"""
    return body.join(_ENVELOPE)


def _plain(text: str) -> str:
    """Text without what XML and PNG cannot hold (control characters, halves of surrogate pairs),
    cut to MOST_TEXT.
    """
    return re.sub("[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text[:MOST_TEXT])


def _parse(packet: bytes) -> Mark | None:
    body = packet[packet.find(b"?>") + 2 :]
    if b"<!" in body:  # no declarations: entities can be made to fill memory
        return None
    try:
        root = ElementTree.fromstring(body.decode("utf-8"))
        found: dict[str, str] = {}
        for element in root.iter():  # editors rewrite properties as attributes
            found |= {**element.attrib, element.tag: element.text or ""}
        if found.get(f"{{{_IPTC}}}DigitalSourceType") != SOURCE_TYPE:
            return None
        seed = found.get(f"{{{_OWN}}}seed")
        return Mark(
            found[f"{{{_OWN}}}model"],
            found[f"{{{_OWN}}}modelHash"],
            None if seed is None else int(seed),
            found[f"{{{_XMP}}}CreatorTool"],
        )
    except (ElementTree.ParseError, ValueError, KeyError):
        return None


def _with_gif_packet(data: bytes, packet: bytes) -> bytes:
    """A GIF with an XMP packet before its first frame (XMP specification, part 3, 1.1.2).

    The packet stands in the file as it is, not in blocks of up to 255 bytes: a reader that takes
    its bytes for block lengths lands, wherever it jumps, in the trailer of falling values, which
    leads it to the end of the extension.
    """
    flags = data[10]
    # header, then the colour table if there is one
    start = 13 + (3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0)
    trailer = b"\x01" + bytes(range(255, -1, -1)) + b"\x00"
    return data[:start] + b"\x21\xff\x0bXMP DataXMP" + packet + trailer + data[start:]
