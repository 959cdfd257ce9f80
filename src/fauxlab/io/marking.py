"""Generated pictures as files, each marked as AI-generated in a machine-readable way.

The mark stands beside the pixels: as text entries where the format has them, and as an XMP packet
whose `Iptc4xmpExt:DigitalSourceType` is the IPTC's term for media made by a trained model.

The pixels themselves carry no watermark. A detector that is trained on them would learn the
watermark and nothing about generators. Whoever copies only the pixels loses the mark. So it informs
honest people, and does not protect against others.
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

    Pixels = NDArray[np.uint8]

SOURCE = "AI-generated"
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
MOST_TEXT = 1000  # characters of a name: a JPEG segment holds 64 kB in all
MOST_PACKET = 2**16  # bytes

# Namespaces of the properties in a packet.
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_XMP = "http://ns.adobe.com/xap/1.0/"
_OWN = "https://github.com/fauxlab/fauxlab/ns/1.0/"
# The frame of a packet, from section 7.3.2 of the XMP specification, part 1: this id, and a byte
# order mark that says UTF-8. The "r" forbids editors to change the packet in place.
_BEGIN = b"<?xpacket begin="
_END = b"<?xpacket end="
_HEAD = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
_TAIL = '<?xpacket end="r"?>'
# Control characters and halves of surrogate pairs, which neither XML nor PNG can hold.
_NO_TEXT = re.compile("[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Mark:
    """Where a generated picture comes from. `seed` is None where it shows several."""

    model: str
    model_hash: str
    seed: int | None = None
    software: str = f"fauxlab {__version__}"


def save_png(path: Path, pixels: Pixels, mark: Mark | None) -> None:
    """Write pixels uint8 [3, H, W] as PNG, as a whole or not at all.

    `mark` None is for pictures that no model made.
    """
    text = PngInfo()
    if mark:
        for key, value in _text_entries(mark).items():
            text.add_text(key, value)
        # Pillow's `xmp` argument does not reach PNG; this is the entry that the XMP standard names.
        text.add_itxt("XML:com.adobe.xmp", _packet(mark))
    stream = io.BytesIO()
    to_picture(pixels).save(stream, "PNG", pnginfo=text)
    replace_file(path, stream.getvalue(), durable=False)


def save_jpeg(
    path: Path,
    pixels: Pixels,
    mark: Mark | None,
    quality: int = 92,
    halved_colour: bool = False,
) -> None:
    """Write pixels uint8 [3, H, W] as JPEG, as a whole or not at all.

    Colours keep their full resolution, or with `halved_colour` half of it (4:2:0). Equal quality
    gives equal quantisation tables, marked or not.
    """
    packet = _packet(mark).encode() if mark else b""
    stream = io.BytesIO()
    to_picture(pixels).save(
        stream,
        "JPEG",
        quality=quality,
        subsampling="4:2:0" if halved_colour else "4:4:4",
        xmp=packet,
    )
    replace_file(path, stream.getvalue(), durable=False)


def save_gif(
    path: Path,
    frames: Pixels,
    mark: Mark | None,
    duration: int = 50,
    loop: int = 0,
) -> None:
    """Write frames uint8 [N, 3, H, W] as an animation of 256 colours a frame, as a whole or not.

    `duration` of a frame is in milliseconds, rounded down to hundredths of a second. `loop` is how
    often the animation repeats; 0 is for ever.
    """
    first, *rest = map(to_picture, frames)
    stream = io.BytesIO()
    first.save(
        stream,
        "GIF",
        save_all=True,
        append_images=rest,
        duration=duration,
        loop=loop,
        comment=_gif_comment(mark) if mark else b"",
    )
    data = stream.getvalue()
    if mark:
        data = _with_gif_packet(data, _packet(mark).encode())
    replace_file(path, data)


def read_mark(data: bytes) -> Mark | None:
    """The mark in a file's bytes, None where there is none of this lab's. Never raises.

    XMP packets can be found in any file without knowing its format, so no decoder sees the bytes.
    """
    start = data.find(_BEGIN)
    while start >= 0:
        end = data.find(_END, start)
        if end < 0:
            return None
        if end - start <= MOST_PACKET:
            mark = _parse_packet(data[start:end])
            if mark:
                return mark
        start = data.find(_BEGIN, end)
    return None


def grid(pixels: Pixels, columns: int | None = None) -> Pixels:
    """Images uint8 [N, 3, H, W] row by row in one, uint8 [3, rows·H, columns·W].

    Places that are left over are white. By default the grid is as square as can be. Raises LabError
    without images or with fewer than one column.
    """
    rows, columns = grid_shape(len(pixels), columns)
    n, channels, height, width = pixels.shape
    shape = (rows * columns, channels, height, width)
    cells = np.full(shape, 255, dtype=np.uint8)
    cells[:n] = pixels
    cells = cells.reshape(rows, columns, channels, height, width)
    # rows of cells beside rows of pixels, columns beside columns
    joined = cells.transpose(2, 0, 3, 1, 4)
    return joined.reshape(channels, rows * height, columns * width)


def grid_shape(n: int, columns: int | None = None) -> tuple[int, int]:
    """Rows and columns of the grid of n images. Raises LabError as `grid` does."""
    has_no_column = columns is not None and columns < 1
    if n < 1 or has_no_column:
        raise LabError(f"a grid of {n} images in {columns} columns: both must be at least 1")
    square_side = math.isqrt(n - 1) + 1
    columns = min(columns or square_side, n)
    rows = math.ceil(n / columns)
    return rows, columns


def _text_entries(mark: Mark) -> dict[str, str]:
    """The mark as plain text: the keywords Software and Source of PNG, then the lab's own."""
    entries = {
        "Software": mark.software,
        "Source": SOURCE,
        "model": mark.model,
        "model hash": mark.model_hash,
    }
    if mark.seed is not None:
        entries["seed"] = str(mark.seed)
    return {key: _clean(value) for key, value in entries.items()}


def _clean(text: str) -> str:
    """Text without what XML and PNG cannot hold, cut to MOST_TEXT characters."""
    return _NO_TEXT.sub("\ufffd", text[:MOST_TEXT])


def _packet(mark: Mark) -> str:
    """The XMP packet of a mark."""
    own = {"model": mark.model, "modelHash": mark.model_hash, "seed": mark.seed}
    properties = ""
    for name, value in own.items():
        if value is not None:
            text = escape(_clean(str(value)))
            properties += f"<fauxlab:{name}>{text}</fauxlab:{name}>"
    software = escape(_clean(mark.software))
    body = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="{_IPTC}" xmlns:xmp="{_XMP}" xmlns:fauxlab="{_OWN}">
<Iptc4xmpExt:DigitalSourceType>{SOURCE_TYPE}</Iptc4xmpExt:DigitalSourceType>
<xmp:CreatorTool>{software}</xmp:CreatorTool>
{properties}
</rdf:Description>
</rdf:RDF></x:xmpmeta>
"""
    return _HEAD + body + _TAIL


def _parse_packet(packet: bytes) -> Mark | None:
    """The mark that a packet holds, its frame's tail cut off; None for anything else."""
    body = packet[packet.find(b"?>") + 2 :]
    # No declarations: entities can be made to fill memory.
    if b"<!" in body:
        return None
    try:
        root = ElementTree.fromstring(body.decode("utf-8"))
        properties = _properties(root)
        if properties.get(f"{{{_IPTC}}}DigitalSourceType") != SOURCE_TYPE:
            return None
        seed = properties.get(f"{{{_OWN}}}seed")
        return Mark(
            model=properties[f"{{{_OWN}}}model"],
            model_hash=properties[f"{{{_OWN}}}modelHash"],
            seed=None if seed is None else int(seed),
            software=properties[f"{{{_XMP}}}CreatorTool"],
        )
    except (ElementTree.ParseError, ValueError, KeyError):
        return None


def _properties(root: ElementTree.Element) -> dict[str, str]:
    """All properties by qualified name. Some editors rewrite them from elements to attributes."""
    properties: dict[str, str] = {}
    for element in root.iter():
        properties.update(element.attrib)
        properties[element.tag] = element.text or ""
    return properties


def _gif_comment(mark: Mark) -> bytes:
    entries = [f"{key}: {value}" for key, value in _text_entries(mark).items()]
    # the format allows no more than ASCII
    return "; ".join(entries).encode("ascii", "backslashreplace")


def _with_gif_packet(data: bytes, packet: bytes) -> bytes:
    """A GIF with an XMP packet before its first frame (XMP specification, part 3, 1.1.2).

    Written by hand because Pillow writes no XMP to GIF. The packet stands in the file as it is, not
    in blocks of up to 255 bytes. A reader that knows nothing of XMP takes its bytes for the lengths
    of blocks. Wherever it jumps, it lands in the trailer of falling values, which leads it to the
    end of the extension.
    """
    flags = data[10]
    header = 13
    has_colour_table = bool(flags & 0x80)
    if has_colour_table:
        colours = 2 ** ((flags & 7) + 1)
        header += 3 * colours
    falling = bytes(range(255, -1, -1))
    trailer = b"\x01" + falling + b"\x00"
    extension = b"\x21\xff\x0bXMP DataXMP" + packet + trailer
    return data[:header] + extension + data[header:]
