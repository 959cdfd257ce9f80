"""Make the pictures, archives, tables and models of `benchmarks.safety.cases`."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

PNG_HEADER = 33  # bytes of the signature and of IHDR
# A matrix that turns sRGB's primaries into wider ones stands in a profile of 500 bytes. Pillow can
# write such a profile only for sRGB itself, so its colorants are replaced by those of Display P3.
P3_COLORANTS = {
    b"rXYZ": (0.51512, 0.24120, -0.00105),
    b"gXYZ": (0.29198, 0.69225, 0.04189),
    b"bXYZ": (0.15710, 0.06657, 0.78407),
}


def encoded(picture: Image.Image, file_format: str, **options: Any) -> bytes:
    """The bytes of a picture in a format."""
    stream = io.BytesIO()
    picture.save(stream, file_format, **options)
    return stream.getvalue()


def png_chunk(kind: bytes, body: bytes, checksum: int | None = None) -> bytes:
    """A chunk of a PNG; its checksum can be given to be wrong."""
    if checksum is None:
        checksum = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def with_chunk(png: bytes, chunk: bytes) -> bytes:
    """A PNG with one more chunk before its pixels."""
    return png[:PNG_HEADER] + chunk + png[PNG_HEADER:]


def odd_metadata(face: Image.Image) -> dict[str, bytes]:
    """Sound pixels beside metadata that is broken or long, by file name."""
    png = encoded(face, "PNG")
    jpeg = encoded(face, "JPEG", quality=95)
    workflow = b"workflow\0\0" + zlib.compress(json.dumps(list(range(300_000))).encode())
    garbage = b"this is no TIFF"
    segment = b"\xff\xe1" + struct.pack(">H", 2 + 6 + len(garbage)) + b"Exif\0\0" + garbage
    return {
        "plain.png": png,
        "workflow.png": with_chunk(png, png_chunk(b"zTXt", workflow)),
        "exif.png": with_chunk(png, png_chunk(b"eXIf", garbage)),
        "profile.png": with_chunk(png, png_chunk(b"iCCP", b"icc\0\0" + garbage)),
        "gamma.png": with_chunk(png, png_chunk(b"gAMA", b"\1")),
        "density.png": with_chunk(png, png_chunk(b"pHYs", b"\1\2\3")),
        "checksum.png": with_chunk(png, png_chunk(b"tEXt", b"Title\0x", checksum=1)),
        "exif.webp": encoded(face, "WEBP", quality=95, exif=b"Exif\0\0" + garbage),
        "exif.jpg": jpeg[:2] + segment + jpeg[2:],
    }


def without_end(face: Image.Image) -> dict[str, bytes]:
    """JPEGs of which the last one or two bytes, the end marker, are missing."""
    files = {}
    for progressive in (False, True):
        data = encoded(face, "JPEG", quality=90, progressive=progressive)
        for missing in (1, 2):
            files[f"{'progressive' if progressive else 'baseline'}-{missing}.jpg"] = data[:-missing]
    return files


def in_scene(face: Image.Image, width: int, height: int, side: int) -> Image.Image:
    """A face of `side` pixels in the middle of a picture of soft noise."""
    rng = np.random.default_rng(width)
    coarse = rng.integers(70, 190, (height // 80 + 2, width // 80 + 2, 3), dtype=np.uint8)
    scene = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    resized = face.resize((side, side), Image.Resampling.LANCZOS)
    scene.paste(resized, ((width - side) // 2, (height - side) // 2))
    return scene


def frames(folder: Path) -> None:
    """Frames of twelve videos, stored in three ways below `folder`."""
    ways = {
        "by-source": ("real/youtube/{v:03}/{k:04}.jpg", "fake/swap/{v:03}_{w:03}/{k:04}.jpg"),
        "by-video": ("real/{v:03}/{k:04}.jpg", "fake/swap/{v:03}_{w:03}/{k:04}.jpg"),
        "in-name": ("real/{v:03}_frame{k:04}.jpg", "fake/swap/{v:03}_frame{k:04}.jpg"),
    }
    for way, patterns in ways.items():
        for video in range(12):
            for number in range(12):
                for label, pattern in enumerate(patterns):
                    rng = np.random.default_rng([video, number, label])
                    pixels = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
                    name = pattern.format(v=video, w=(video + 1) % 12, k=number)
                    path = folder / way / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(pixels).save(path, quality=90)


def with_p3_profile(face: Image.Image) -> bytes:
    """A PNG whose numbers are to be read in the colours of Display P3."""
    from PIL import ImageCms

    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(profile[128:132], "big")
    for number in range(count):
        entry = 132 + 12 * number
        tag = bytes(profile[entry : entry + 4])
        if tag in P3_COLORANTS:
            offset = int.from_bytes(profile[entry + 4 : entry + 8], "big") + 8
            values = [round(value * 65536) for value in P3_COLORANTS[tag]]
            profile[offset : offset + 12] = struct.pack(">3i", *values)
    return encoded(face, "PNG", icc_profile=bytes(profile))


def tag_of_many(count: int) -> bytes:
    """EXIF whose orientation is said to be a list of `count` fractions."""
    head = b"II*\0" + struct.pack("<I", 8)
    entry = struct.pack("<HHII", 0x0112, 5, count, 26)
    return head + struct.pack("<H", 1) + entry + bytes(4) + bytes(8 * count)


def write_zip(path: Path, members: Mapping[str, bytes]) -> None:
    """A zip with these members, compressed."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def many_scans(scans: int, side: int) -> bytes:
    """A progressive JPEG of one colour whose last scan is repeated."""
    flat = Image.new("RGB", (side, side), (120, 100, 90))
    data = encoded(flat, "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    scan = data[last:-2]
    return data[:last] + scan * scans + data[-2:]


def jpeg_in_tiff(jpeg: bytes, side: int) -> bytes:
    """A TIFF of one strip, which is a JPEG."""
    tags = [
        (256, 4, 1, side),
        (257, 4, 1, side),
        (258, 3, 1, 8),
        (259, 3, 1, 7),
        (262, 3, 1, 6),
        (273, 4, 1, 0),
        (277, 3, 1, 3),
        (278, 4, 1, side),
        (279, 4, 1, len(jpeg)),
    ]
    offset = 8 + 2 + 12 * len(tags) + 4
    body = struct.pack("<H", len(tags))
    for tag, kind, count, value in tags:
        body += struct.pack("<HHII", tag, kind, count, offset if tag == 273 else value)
    return b"II*\0" + struct.pack("<I", 8) + body + bytes(4) + jpeg


def animation(shown: Iterable[Image.Image], file_format: str) -> bytes:
    """An animation of these frames."""
    # Copies, because Pillow leaves the settings of an earlier encoder on a picture.
    first, *others = [picture.copy() for picture in shown]
    options: dict[str, Any] = {"lossless": True} if file_format == "WEBP" else {}
    if file_format != "TIFF":
        options["duration"] = 100
    return encoded(first, file_format, save_all=True, append_images=others, **options)


def hostile_models(folder: Path, config: str) -> list[Path]:
    """Models of a few hundred bytes that would take gigabytes or minutes, one folder each."""
    from onnx import TensorProto, helper

    def model(nodes: list[Any], constants: list[Any] | None = None) -> bytes:
        image = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, 112, 112])
        logit = helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["n"])
        graph = helper.make_graph(nodes, "graph", [image], [logit], constants or [])
        opset = [helper.make_opsetid("", 17)]
        made: bytes = helper.make_model(graph, opset_imports=opset).SerializeToString()
        return made

    mean = helper.make_node("ReduceMean", ["x"], ["logit"], axes=[1, 2, 3], keepdims=0)
    doubling = [helper.make_node("Concat", ["input", "input"], ["x0"], axis=1)]
    for number in range(24):
        names = [f"x{number}", f"x{number}"]
        last = "x" if number == 23 else f"x{number + 1}"
        doubling.append(helper.make_node("Concat", names, [last], axis=1))

    shape = helper.make_tensor("shape", TensorProto.INT64, [1], [2**32])
    giant = helper.make_node("ConstantOfShape", ["shape"], ["zeros"])
    cosine = helper.make_node("Cos", ["zeros"], ["cosines"])
    total = helper.make_node("ReduceMean", ["cosines"], ["m"], keepdims=1)
    added = helper.make_node("Add", ["input", "m"], ["x"])

    size = helper.make_tensor("size", TensorProto.INT64, [2], [30_000, 30_000])
    square = helper.make_node("ConstantOfShape", ["size"], ["matrix"])
    product = helper.make_node("MatMul", ["matrix", "matrix"], ["product"])
    mean_of = helper.make_node("ReduceMean", ["product"], ["m"], keepdims=1)

    graphs = {
        "doubling": model([*doubling, mean]),
        "constant": model([giant, cosine, total, added, mean], [shape]),
        "product": model([square, product, mean_of, added, mean], [size]),
    }
    paths = []
    for name, data in graphs.items():
        path = folder / name
        path.mkdir(parents=True)
        (path / "model.onnx").write_bytes(data)
        (path / "config.json").write_text(config)
        paths.append(path)
    return paths


def hostile_recipes(folder: Path) -> list[Path]:
    """Recipes that break a parser or a terminal."""
    texts = {
        "long-number.toml": "[train]\nseed = " + "9" * 5000 + "\n",
        "long-hex.toml": "[train]\nseed = 0x" + "f" * 5000 + "\n",
        "escape.toml": '[train]\n"\\u001b[2J\\u001b[31mred" = 1\n',
        "many.toml": "".join(f"[table{number}]\n" for number in range(200_000)),
        "deep.toml": "x = " + "[" * 100_000 + "]" * 100_000 + "\n",
    }
    paths = []
    for name, text in texts.items():
        path = folder / name
        path.write_text(text)
        paths.append(path)
    return paths


def sepia(face: Image.Image) -> Image.Image:
    """A face in the tones of an old print."""
    grey = np.asarray(face.convert("L"), dtype=np.float64)
    gains = np.array([1.07, 0.90, 0.70])
    lifts = np.array([0.0, 5.0, 8.0])
    toned = grey[..., None] * gains + lifts
    return Image.fromarray(np.clip(toned, 0, 255).astype(np.uint8))


def write_all(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files by their names, and give their folder."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder
