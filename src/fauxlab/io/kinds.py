"""What kind of file this is, by its first bytes, and what to do with kinds that are not read.

The first bytes of a format are from its own standard or from `file`'s database of magic numbers.
"""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from fauxlab.io.reading import open_at_once

HEAD_BYTES = 512  # as many as `kind_of` looks at


class Kind(NamedTuple):
    """A kind of file: what one file is called, what several are called, and what to do."""

    one: str
    many: str
    advice: str = ""
    noun: str = "file"

    @property
    def refusal(self) -> str:
        """Why a file of this kind gets no verdict, and what to do."""
        return f"{self.one}; {self.advice}" if self.advice else self.one


_AS_PICTURE = "save it as JPEG or PNG"

PICTURE = Kind("a picture", "pictures")
OTHER = Kind("no picture", "no pictures")
EMPTY = Kind("an empty file", "empty files")
UNREADABLE = Kind("a file that cannot be opened", "files that cannot be opened")
HIDDEN_PICTURE = Kind("a hidden picture", "hidden pictures", "rename a picture to read it")
HIDDEN_FOLDER = Kind("hidden", "hidden", "rename a folder to read it", "folder")
FOLDER_WITHOUT = Kind("without pictures", "without pictures", noun="folder")
FOLDER_UNNAMED = Kind(
    "neither real nor fake by its name",
    "neither real nor fake by their names",
    "name the folders with --real DIR --fake DIR to read all",
    noun="folder",
)
ZIP_UNNAMED = FOLDER_UNNAMED._replace(noun="zip")
ZIP_WITHOUT = Kind("without pictures", "without pictures", noun="zip")
ZIP = Kind("a zip under another name", "zips under other names", "rename it to end in .zip")
NAMED_ZIP = Kind(
    "a zip", "zips", "unpack it and give the folder, or name a picture in it: ARCHIVE.zip!/NAME"
)
ZIP_IN_ZIP = Kind(
    "a zip inside a zip", "zips inside zips", "unpack the outer zip and give the folder"
)
_VIDEO = Kind(
    "a video", "videos", "save its frames as pictures, as with: ffmpeg -i VIDEO frame%04d.png"
)
_AUDIO = Kind("a sound file", "sound files")
_PDF = Kind("a PDF", "PDFs", "save its pictures or pages as PNG, as with: pdftoppm -png FILE page")
_OFFICE = Kind("an office document", "office documents", "save its pictures as files")
_MAIL = Kind("an e-mail", "e-mails", "save the attached pictures as files")
_WEB = Kind("a web page", "web pages", "save the picture itself, not the page around it")
_ARCHIVE = Kind("an archive", "archives", "unpack it and give the folder")
_RAW = Kind("a RAW photo of a camera", "RAW photos of cameras", "save it as JPEG or TIFF")
_SVG = Kind("an SVG drawing", "SVG drawings", "save it as PNG")
_LAYERED = Kind("a Photoshop or GIMP file", "Photoshop or GIMP files", _AS_PICTURE)
_RARE = Kind(
    "a picture in a format that is not read", "pictures in formats that are not read", _AS_PICTURE
)

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PICTURES = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    *_TIFF,
)
# Sizes of a BMP's second header. "BM" alone also begins ordinary text.
_BMP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
# What the first box of a HEIF, AVIF or MP4 file says of it, in pieces of four letters.
_PICTURE_BRANDS = frozenset(
    {b"avif", b"avis", b"mif1", b"mif2", b"msf1"}
    | {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
)
_AUDIO_BRANDS = frozenset({b"M4A ", b"M4B ", b"M4P "})
_MAGIC: tuple[tuple[int, bytes, Kind], ...] = (
    (0, b"PK\3\4", ZIP),
    (0, b"PK\5\6", ZIP),
    (0, b"Rar!\x1a\7", _ARCHIVE),
    (0, b"7z\xbc\xaf\x27\x1c", _ARCHIVE),
    (0, b"\x1f\x8b\x08", _ARCHIVE),
    (0, b"BZh", _ARCHIVE),
    (0, b"\xfd7zXZ\0", _ARCHIVE),
    (0, b"\x28\xb5\x2f\xfd", _ARCHIVE),
    (257, b"ustar", _ARCHIVE),
    (0, b"%PDF-", _PDF),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _OFFICE),
    (0, b"{\\rtf", _OFFICE),
    (0, b"\x1a\x45\xdf\xa3", _VIDEO),
    (0, b"FLV\1", _VIDEO),
    (0, b"\0\0\1\xba", _VIDEO),
    (0, b"\0\0\1\xb3", _VIDEO),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", _VIDEO),
    (8, b"AVI ", _VIDEO),
    (4, b"moov", _VIDEO),
    (4, b"mdat", _VIDEO),
    (4, b"wide", _VIDEO),
    (8, b"WAVE", _AUDIO),
    (0, b"ID3", _AUDIO),
    (0, b"fLaC", _AUDIO),
    (0, b"OggS", _AUDIO),
    (0, b"8BPS", _LAYERED),
    (0, b"gimp xcf ", _LAYERED),
    (0, b"FUJIFILMCCD-RAW", _RAW),
    (0, b"IIU\0", _RAW),
    (0, b"IIRO", _RAW),
    (0, b"IIRS", _RAW),
    (0, b"MMOR", _RAW),
    (0, b"\0MRM", _RAW),
    (0, b"FOVb", _RAW),
    (0, b"%!PS-Adobe", _RARE),
    (0, b"\xff\x0a", _RARE),
    (0, b"\0\0\0\x0cJXL ", _RARE),
    (0, b"\0\0\0\x0cjP  ", _RARE),
    (0, b"\xff\x4f\xff\x51", _RARE),
    (0, b"\0\0\1\0", _RARE),
    (0, b"\x76\x2f\x31\x01", _RARE),
    (0, b"DDS ", _RARE),
    (0, b"#?RADIANCE", _RARE),
    (0, b"qoif", _RARE),
    (0, b"P5\n", _RARE),
    (0, b"P6\n", _RARE),
    (128, b"DICM", _RARE),
)


def _by_suffix(kind: Kind, suffixes: str) -> dict[str, Kind]:
    return dict.fromkeys(suffixes.split(), kind)


# Files with these suffixes are not opened where folders are listed. They may be many, large, or
# fetched from afar when they are opened.
_KNOWN = (
    _by_suffix(OTHER, ".txt .json .jsonl .csv .tsv .xml .xmp .aae .md .yaml .yml .toml .log .ini")
    | _by_suffix(OTHER, ".html .htm .py .npy .npz .mat .pt .pth .pkl .safetensors .onnx")
    | _by_suffix(_VIDEO, ".mp4 .mov .m4v .avi .mkv .webm .mpg .mpeg .wmv .flv .3gp .mts .m2ts .vob")
    | _by_suffix(_VIDEO, ".ogv")
    | _by_suffix(_AUDIO, ".mp3 .wav .flac .m4a .ogg .aac .wma .opus")
    | _by_suffix(_ARCHIVE, ".rar .7z .tar .gz .tgz .bz2 .tbz .xz .txz .zst .lz4 .cab .iso .dmg")
    | _by_suffix(_OFFICE, ".doc .docx .xls .xlsx .ppt .pptx .odt .ods .odp .epub .rtf")
    | _by_suffix(_MAIL, ".eml .msg .mbox")
    | _by_suffix(_PDF, ".pdf")
)
# RAW photos are TIFFs in which Pillow finds no more than a small preview.
_RAW_SUFFIXES = (
    ".3fr .arw .cr2 .cr3 .crw .dcr .dng .erf .fff .gpr .iiq .kdc .mef .mos .mrw .nef .nrw .orf"
    " .pef .raf .raw .rw2 .rwl .sr2 .srf .srw .x3f"
)
# Formats whose first bytes tell little.
_BY_SUFFIX_ALONE = (
    _by_suffix(_RARE, ".tga .pcx .emf .wmf .pgm .ppm .pbm .pnm .eps .ai .jxl .jp2 .j2k .ico .psb")
    | _by_suffix(_SVG, ".svg .svgz")
    | _by_suffix(_VIDEO, ".ts")
    | _by_suffix(_RAW, _RAW_SUFFIXES)
)


def suffix_of(name: str) -> str:
    """The suffix of a file's name or path in lower case, as `.jpg`."""
    _, suffix = os.path.splitext(name)
    return suffix.lower()


def kind_by_name(name: str) -> Kind | None:
    """The kind of a file that need not be opened to know that it is no picture, else None."""
    return _KNOWN.get(suffix_of(name))


def kind_of(head: bytes, name: str) -> Kind:
    """The kind of a file of this name that begins with these bytes.

    PICTURE stands for the formats that are read; the bytes decide. The name tells apart what looks
    alike inside, such as TIFFs and RAW photos.
    """
    suffix = suffix_of(name)
    kind = _kind_of_content(head)
    if kind == PICTURE:
        is_named_raw = _BY_SUFFIX_ALONE.get(suffix) == _RAW
        is_canon_raw = head[8:10] == b"CR"
        is_raw = is_named_raw or is_canon_raw
        return _RAW if is_raw and head.startswith(_TIFF) else PICTURE
    by_name = kind_by_name(name) or _BY_SUFFIX_ALONE.get(suffix)
    # Office documents are zips, too.
    if by_name and kind in (OTHER, ZIP):
        return by_name
    return NAMED_ZIP if kind == ZIP and suffix == ".zip" else kind


def kind_of_file(path: str) -> Kind:
    """The kind of a file by its first bytes. Pipes and devices are not waited for."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return OTHER
        with open_at_once(path) as stream:
            head = stream.read(HEAD_BYTES)
    except OSError:
        return UNREADABLE
    return kind_of(head, path)


def _kind_of_content(head: bytes) -> Kind:
    if not head:
        return EMPTY
    if _is_picture(head):
        return PICTURE
    if head[4:8] == b"ftyp":
        return _kind_by_brands(head)
    for place, magic, kind in _MAGIC:
        if head.startswith(magic, place):
            return kind
    return _kind_of_text(head)


def _is_picture(head: bytes) -> bool:
    is_webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    return head.startswith(_PICTURES) or is_webp or _is_bmp(head)


def _is_bmp(head: bytes) -> bool:
    header_bytes = int.from_bytes(head[14:18], "little")
    return head[:2] == b"BM" and header_bytes in _BMP_HEADERS


def _kind_by_brands(head: bytes) -> Kind:
    length = int.from_bytes(head[:4], "big")
    end = min(length, len(head))
    brands = {head[place : place + 4] for place in range(8, end, 4)}
    if brands & _PICTURE_BRANDS:
        return PICTURE
    if b"crx " in brands:
        return _RAW
    return _AUDIO if head[8:12] in _AUDIO_BRANDS else _VIDEO


def _kind_of_text(head: bytes) -> Kind:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    is_markup = text.startswith(b"<")
    if is_markup and b"<svg" in text:
        return _SVG
    if text.startswith((b"<!doctype html", b"<html")):
        return _WEB
    if text.startswith((b"received: ", b"return-path: ", b"mime-version: ", b"delivered-to: ")):
        return _MAIL
    return OTHER
