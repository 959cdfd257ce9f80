"""Does every damaged picture end as a verdict or a clear status, without a crash or a hang?

    .venv/bin/python -m benchmarks.safety.mutated_images --n 10000

Encodes pictures of the embedded data set in every format that is read (HEIC included, by the extra
`fauxlab[heic]`): stills, animations, pages, some with a colour profile, EXIF and XMP. Each is
damaged in one of seven ways, from single bits to lengths in headers and pieces of other files. All
frames are decoded, the header is described, and the packaged detector scans the file.

Writes benchmarks/results/mutated_images.json: statuses by damage and by kind of file, and counts of
what must not be: decoders that crashed, pictures of more than 5 seconds, errors of the wrong kind;
and the most memory that a process took.
"""

from __future__ import annotations

import argparse
import io
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pillow_heif
from benchmarks.output import command_line, describe_machine, print_results, save_results
from PIL import Image, ImageCms

from fauxlab.bundle.opening import DEFAULT_MODEL
from fauxlab.datasets.toyfaces import draw, plan
from fauxlab.io.encoding import describe_encoding
from fauxlab.io.images import decode_frames
from fauxlab.io.limits import ImageError
from fauxlab.scan.scanner import Scanner

SLOW = 5.0  # seconds
MEMORY = 2**30  # bytes
HEADER = 600  # bytes
CRASHED = "its decoder crashed"
FRAMES = 3

Rng = np.random.Generator
Options = dict[str, object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    options = parser.parse_args()
    pillow_heif.register_heif_opener()  # so that Pillow also writes HEIC
    rng = np.random.default_rng(options.seed)
    files = encode_all(draw_pictures())
    kinds = list(files)
    scanner = Scanner.from_pretrained(options.model)
    by_damage: Counter[str] = Counter()
    by_kind: Counter[str] = Counter()
    faults: dict[str, list[str]] = {"crashes": [], "hangs": [], "tracebacks": []}
    slowest = 0.0
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.n):
            kind = kinds[number % len(kinds)]
            damage = DAMAGES[number // len(kinds) % len(DAMAGES)]
            choice = files[kind]
            data = bytearray(choice[number % len(choice)])
            damaged = damage(data, rng, any_of(files, rng))
            name = f"{number} {kind} {damage.__name__}"
            status, seconds = try_out(scanner, damaged, Path(folder) / "picture", name, faults)
            by_damage[f"{damage.__name__}: {status}"] += 1
            by_kind[f"{kind}: {status}"] += 1
            slowest = max(slowest, seconds)
            if seconds > SLOW:
                faults["hangs"].append(name)
    memory = peak_memory()
    result = {
        "n": options.n,
        "seed": options.seed,
        "crashes": len(faults["crashes"]),
        "hangs_over_5_s": len(faults["hangs"]),
        "tracebacks": len(faults["tracebacks"]),
        "memory_over_1_GB": sum(size > MEMORY for size in memory.values()),
        "peak_bytes": memory,
        "slowest_seconds": slowest,
        "seconds": round(time.monotonic() - start),
        "faults": faults,
        "statuses": dict(sorted(by_damage.items())),
        "by_kind": dict(sorted(by_kind.items())),
        "model": scanner.detector.hash,
        "command": command_line(),
        "environment": describe_machine(),
    }
    save_results("mutated_images.json", result)
    print_results(result)


def draw_pictures() -> list[Image.Image]:
    """Twelve photos of the embedded data set."""
    photos = plan(12)
    pictures = []
    for number in range(len(photos)):
        pixels = draw("wiki", photos, number, 128)
        pictures.append(Image.fromarray(pixels))
    return pictures


def encode_all(pictures: list[Image.Image]) -> dict[str, list[bytes]]:
    """Each kind of file, three files of it: name → bytes."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "a maker"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    entries: Options = {"exif": exif, "icc_profile": profile}
    packet: Options = {**entries, "xmp": b'<x tiff:Orientation="3"/>'}
    kinds: dict[str, tuple[str, bool, Options]] = {
        "JPEG": ("JPEG", False, {}),
        "JPEG progressive": ("JPEG", False, {"progressive": True, **packet}),
        "JPEG restarts": ("JPEG", False, {"restart_marker_blocks": 2, "subsampling": 0}),
        "MPO": ("MPO", True, {}),
        "PNG": ("PNG", False, entries),
        "APNG": ("PNG", True, {}),
        "WebP": ("WEBP", False, packet),
        "WebP lossless": ("WEBP", False, {"lossless": True}),
        "WebP animation": ("WEBP", True, packet),
        "BMP": ("BMP", False, {}),
        "GIF": ("GIF", False, {"comment": b"a comment"}),
        "GIF animation": ("GIF", True, {}),
        "TIFF": ("TIFF", False, entries),
        "TIFF JPEG": ("TIFF", False, {"compression": "jpeg"}),
        "TIFF LZW pages": ("TIFF", True, {"compression": "tiff_lzw"}),
        "TIFF deflate pages": ("TIFF", True, {"compression": "tiff_adobe_deflate"}),
        "AVIF": ("AVIF", False, packet),
        "AVIF animation": ("AVIF", True, {}),
        "HEIF": ("HEIF", False, packet),
        "HEIF pictures": ("HEIF", True, {}),
    }
    files = {}
    for name, (file_format, frames, options) in kinds.items():
        files[name] = [encode(pictures[n:], file_format, frames, options) for n in range(3)]
    return files


def encode(pictures: list[Image.Image], form: str, frames: bool, options: Options) -> bytes:
    stream = io.BytesIO()
    # Pillow leaves options of an earlier format on a picture.
    first, *others = [picture.copy() for picture in pictures[:FRAMES]]
    if frames:
        options = {**options, "save_all": True, "append_images": others}
    first.save(stream, form, **options)
    return stream.getvalue()


def try_out(
    scanner: Scanner, data: bytes, path: Path, name: str, faults: dict[str, list[str]]
) -> tuple[str, float]:
    """The first verdict's status, and the seconds spent on all; faults are listed by name."""
    start = time.monotonic()
    status = "traceback"
    try:
        for read in (describe_encoding, decode_all):
            with suppress_image_error(name, faults):
                read(data)
        path.write_bytes(data)
        verdicts = list(scanner.scan([str(path)]))
        status = verdicts[0].status
        for verdict in verdicts:
            assert verdict.status != "error" or verdict.message
    except Exception as error:
        faults["tracebacks"].append(f"{name}: {type(error).__name__}: {error}")
    return status, time.monotonic() - start


def decode_all(data: bytes) -> None:
    for frame in decode_frames(data):
        assert frame.picture.mode == "RGB"


class suppress_image_error(suppress):  # noqa: N801 (as `suppress` is written)
    """Passes over the errors that a bad picture may raise, and lists a decoder's crash."""

    def __init__(self, name: str, faults: dict[str, list[str]]) -> None:
        super().__init__(ImageError)
        self._name = name
        self._crashes = faults["crashes"]

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if CRASHED in str(error):
            self._crashes.append(self._name)
        return bool(super().__exit__(kind, error, trace))  # type: ignore[arg-type]


def peak_memory() -> dict[str, int]:
    """The most memory in bytes that this process took, and any of its children."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    ended = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    children = [ended]
    for task in Path("/proc/self/task").iterdir():
        for pid in (task / "children").read_text().split():
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmHWM"):
                    children.append(int(line.split()[1]) * 1024)
    return {"this process": own, "largest child": max(children)}


def any_of(files: dict[str, list[bytes]], rng: Rng) -> bytes:
    kinds = list(files.values())
    chosen = kinds[int(rng.integers(len(kinds)))]
    return chosen[int(rng.integers(len(chosen)))]


# --- damages; their names stand in the results


def flip(data: bytearray, rng: Rng, other: bytes) -> bytes:
    """Flip 1 to 29 bits anywhere."""
    count = rng.integers(1, 30)
    for place in rng.integers(len(data), size=count):
        bit = int(rng.integers(8))
        data[place] ^= 1 << bit
    return bytes(data)


def cut(data: bytearray, rng: Rng, other: bytes) -> bytes:
    """Keep the beginning."""
    length = rng.integers(len(data))
    return bytes(data[:length])


def overwrite(data: bytearray, rng: Rng, other: bytes) -> bytes:
    """Overwrite 1 to 11 bytes of the header, mostly with values at the edge of a range."""
    header = min(HEADER, len(data))
    count = rng.integers(1, 12)
    for place in rng.integers(header, size=count):
        values = [0, 1, 0x7F, 0x80, 0xFF, rng.integers(256)]
        data[place] = int(rng.choice(values))
    return bytes(data)


def resize(data: bytearray, rng: Rng, other: bytes) -> bytes:
    """Overwrite 1 to 3 numbers of 2 or 4 bytes: lengths, sizes and places stand in such."""
    for _ in range(rng.integers(1, 4)):
        size = int(rng.choice([2, 4]))
        place = int(rng.integers(min(HEADER, len(data) - size)))
        edge = [0, 1, 2**31 - 1, 2**31, 2**32 - 1, len(data), int(rng.integers(2**16))]
        number = int(rng.choice(edge)) % 2 ** (8 * size)
        order = "big" if rng.integers(2) else "little"
        data[place : place + size] = number.to_bytes(size, order)
    return bytes(data)


def move(data: bytearray, rng: Rng, other: bytes) -> bytes:
    """Swap two neighbouring pieces."""
    places = rng.integers(len(data), size=3)
    a, b, c = sorted(int(place) for place in places)
    return bytes(data[:a] + data[b:c] + data[a:b] + data[c:])


def repeat(data: bytearray, rng: Rng, other: bytes) -> bytes:
    """Write a piece of up to 2,000 bytes up to 500 times."""
    start = int(rng.integers(len(data)))
    end = start + int(rng.integers(1, 2000))
    times = int(rng.integers(2, 500))
    return bytes(data[:start] + data[start:end] * times + data[end:])


def splice(data: bytearray, rng: Rng, other: bytes) -> bytes:
    """Put a piece of another file in, over what was there or between."""
    start, end = sorted(int(place) for place in rng.integers(len(other), size=2))
    place = int(rng.integers(len(data)))
    behind = place + (end - start) * int(rng.integers(2))
    return bytes(data[:place] + other[start:end] + data[behind:])


DAMAGES: tuple[Callable[[bytearray, Rng, bytes], bytes], ...] = (
    flip,
    cut,
    overwrite,
    resize,
    move,
    repeat,
    splice,
)


if __name__ == "__main__":
    main()
