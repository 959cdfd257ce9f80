"""Pictures that users meet, one function a kind: what a scan makes of them."""

from __future__ import annotations

import csv
import io
import sys

import numpy as np
from benchmarks.safety import inputs
from benchmarks.safety.answers import (
    Answer,
    Faces,
    Table,
    all_real,
    compile_shim,
    cost,
    decisions,
    is_cheap,
    scan_json,
)
from benchmarks.safety.command import run, run_program
from PIL import Image

from fauxlab.io.images import decode

# Looks nothing up, and notes who asks.
LOOKUP_SHIM = """
#define _GNU_SOURCE
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
int getaddrinfo(const char *n, const char *s, const struct addrinfo *h, struct addrinfo **r)
{ FILE *f = fopen(getenv("LOOKED_UP"), "a"); if (f) { fprintf(f, "%s\\n", n ? n : "-"); fclose(f); }
  return EAI_FAIL; }
"""
# As in a container with few cores: no thread may choose its core.
AFFINITY_SHIM = """
#define _GNU_SOURCE
#include <pthread.h>
#include <errno.h>
int pthread_setaffinity_np(pthread_t t, size_t n, const cpu_set_t *s) { return EINVAL; }
"""

TABLE = Table()


@TABLE.case(1, "a scan looks up a host", "asks for a host, writes an id and a queue into the cache")
def scan_in_private(faces: Faces) -> Answer:
    shim = compile_shim(faces.folder, LOOKUP_SHIM)
    if shim is None:
        return Answer("not tried: no gcc", True)
    home, log = faces.folder / "home", faces.folder / "looked-up"
    home.mkdir()
    face = faces.write("face.jpg")
    script = (
        "import time; from fauxlab import Scanner; "
        f"print(Scanner.from_pretrained()({str(face)!r}).decision); time.sleep(30)"
    )
    names = {"HOME": str(home), "LD_PRELOAD": str(shim), "LOOKED_UP": str(log)}
    unset = {"CI": None, "ORT_DISABLE_TELEMETRY": None, "XDG_CACHE_HOME": None}
    ran = run_program([sys.executable, "-c", script], environment={**names, **unset})
    hosts = log.read_text().split() if log.exists() else []
    files = [path for path in home.rglob("*") if path.is_file()]
    now = f"{ran.stdout.strip()}; {len(hosts)} hosts asked for, {len(files)} files in the home"
    return Answer(now, ran.code == 0 and not hosts and not files)


@TABLE.case(2, "real photos in sepia", "25 of 60 called fake")
def scan_sepia(faces: Faces) -> Answer:
    for number, picture in enumerate(faces.reals):
        inputs.sepia(picture).save(faces.folder / f"{number:03}.png")
    ran = scan_json("--crop", "none", faces.folder)
    accused = sum(verdict["decision"] == "fake" for verdict in ran.verdicts())
    return Answer(decisions(ran), bool(ran.verdicts()) and accused <= 0.05 * len(faces.reals) + 3)


@TABLE.case(4, "odd suffixes, or none", "1 verdict on 9 files, nothing on the others")
def scan_odd_names(faces: Faces) -> Answer:
    jpeg = inputs.encoded(faces.real, "JPEG", quality=95)
    names = ["a.jpg", "b.jpg_large", "c", "d.jpg.1", "e.pjpeg", "f.jpg~", "g?format=jpg&name=large"]
    files = dict.fromkeys(names, jpeg)
    files["h.mpo"] = inputs.encoded(faces.real, "MPO", quality=95)
    folder = inputs.write_all(faces.folder / "files", files)
    inputs.write_zip(faces.folder / "files.zip", files)
    on_disk, zipped = scan_json(folder), scan_json(faces.folder / "files.zip")
    now = f"{decisions(on_disk)} of {len(files)} files; in a zip {decisions(zipped)}"
    return Answer(now, all_real(on_disk, len(files)) and all_real(zipped, len(files)))


@TABLE.case(5, "faces in very large pictures", "no face in a capture of 1080×9000")
def scan_large(faces: Faces) -> Answer:
    sizes = {
        "phone": (8064, 6048, 160),
        "panorama": (12_000, 3000, 260),
        "capture": (1080, 9000, 200),
        "cut-out": (1080, 1200, 200),
    }
    for name, size in sizes.items():
        inputs.in_scene(faces.fake, *size).save(faces.folder / f"{name}.jpg", quality=93)
    ran = scan_json(faces.folder)
    found = [verdict for verdict in ran.verdicts() if verdict["face"]]
    fakes = sum(verdict["decision"] == "fake" for verdict in found)
    now = f"{len(found)} of {len(sizes)} faces found, {fakes} called fake"
    return Answer(now, len(found) == len(sizes) and fakes >= 3)


@TABLE.case(6, "metadata that is broken or long", "10 of 12 sound pictures refused")
def scan_odd_metadata(faces: Faces) -> Answer:
    files = inputs.odd_metadata(faces.real)
    ran = scan_json("--crop", "none", inputs.write_all(faces.folder, files))
    return Answer(f"{decisions(ran)} of {len(files)} files", all_real(ran, len(files)))


@TABLE.case(9, "JPEGs without their end marker", "refused")
def scan_without_end(faces: Faces) -> Answer:
    files = inputs.without_end(faces.real)
    ran = scan_json("--crop", "none", inputs.write_all(faces.folder, files))
    return Answer(f"{decisions(ran)} of {len(files)} files", all_real(ran, len(files)))


@TABLE.case(13, "a container with few cores", "a red error of the inference library")
def scan_with_affinity(faces: Faces) -> Answer:
    shim = compile_shim(faces.folder, AFFINITY_SHIM)
    if shim is None:
        return Answer("not tried: no gcc", True)
    ran = run("scan", faces.write("face.jpg"), environment={"LD_PRELOAD": str(shim)})
    lines = [line for line in ran.stderr.splitlines() if "scanning" not in line]
    now = f"{len(lines)} lines on stderr"
    return Answer(now, ran.code == 0 and "[E:onnxruntime" not in ran.stderr)


@TABLE.case(14, "the face is only in a later frame", "no face")
def scan_later_frame(faces: Faces) -> Answer:
    blank = Image.new("RGB", faces.fake.size)
    shown = [blank, faces.fake, faces.fake]
    files = {}
    for suffix, file_format in (("webp", "WEBP"), ("gif", "GIF"), ("tif", "TIFF"), ("png", "PNG")):
        files[f"fade.{suffix}"] = inputs.animation(shown, file_format)
    ran = scan_json(inputs.write_all(faces.folder, files))
    found = [verdict for verdict in ran.verdicts() if verdict["face"]]
    now = f"{len(found)} of {len(files)} faces found: {decisions(ran)}"
    return Answer(now, len(found) == len(files))


@TABLE.case(19, "group pictures turned without EXIF", "no face, or a confident verdict on none")
def scan_turned(faces: Faces) -> Answer:
    scene = inputs.in_scene(faces.fake, 1000, 1000, 300)
    for angle in (0, 90, 180, 270):
        scene.rotate(angle, expand=True).save(faces.folder / f"{angle:03}.jpg", quality=93)
    ran = scan_json(faces.folder)
    fakes = sum(verdict["decision"] == "fake" for verdict in ran.verdicts())
    found = sum(verdict["face"] is not None for verdict in ran.verdicts())
    return Answer(f"{found} of 4 found: {decisions(ran)}", found == 4 and fakes >= 3)


@TABLE.case(20, "pictures in wider colour spaces", "the profile is ignored")
def scan_wide_gamut(faces: Faces) -> Answer:
    data = inputs.with_p3_profile(faces.real)
    plain = np.asarray(faces.real, dtype=np.int16)
    converted = np.asarray(decode(data), dtype=np.int16)
    change = float(np.abs(plain - converted).mean())
    return Answer(f"pixels change by {change:.1f} of 255 on average", 0.5 < change < 30)


@TABLE.case(21, "a video, an address, a pipe", "no such file")
def scan_no_pictures(faces: Faces) -> Answer:
    video = faces.folder / "clip.mp4"
    video.write_bytes(b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + bytes(64))
    messages = []
    for argument in (str(video), "https://example.org/face.jpg"):
        ran = scan_json(argument)
        verdicts = ran.verdicts()
        messages.append(verdicts[0]["message"] if verdicts else ran.last_line)
    jpeg = inputs.encoded(faces.real, "JPEG", quality=95)
    piped = run("scan", "--json", "-", stdin=jpeg)
    now = f"{' | '.join(messages)} | - gives {decisions(piped)}"
    return Answer(now, "no such file" not in now and all_real(piped, 1))


@TABLE.case(22, "EXIF of twenty million fractions", "53 s, 3.9 GB")
def scan_long_exif(faces: Faces) -> Answer:
    png = inputs.encoded(faces.real, "PNG")
    chunk = inputs.png_chunk(b"eXIf", inputs.tag_of_many(20_000_000))
    archive = faces.folder / "long.zip"
    inputs.write_zip(archive, {"a.png": inputs.with_chunk(png, chunk)})
    ran = scan_json("--crop", "none", archive)
    return Answer(f"{decisions(ran)}; {cost(ran)}", is_cheap(ran))


@TABLE.case(23, "38 bytes of 134 million pixels, thirty times", "over 75 s, 2.3 GB")
def scan_flat(faces: Faces) -> Answer:
    flat = Image.new("RGB", (11_585, 11_585), (90, 90, 90))
    webp = inputs.encoded(flat, "WEBP", lossless=True, quality=0, method=0)
    files = {f"{number:02}.webp": webp for number in range(30)}
    ran = scan_json(inputs.write_all(faces.folder, files))
    return Answer(f"{len(webp)} bytes each: {decisions(ran)}; {cost(ran)}", is_cheap(ran))


@TABLE.case(24, "a JPEG of ninety scans inside a TIFF", "7 to 17 s")
def scan_tiff_of_scans(faces: Faces) -> Answer:
    side = 5000
    path = faces.folder / "scans.tif"
    path.write_bytes(inputs.jpeg_in_tiff(inputs.many_scans(90, side), side))
    ran = scan_json(path)
    return Answer(f"{decisions(ran)}; {cost(ran)}", is_cheap(ran))


@TABLE.case(29, "names that a spreadsheet computes", "formulas; invisible characters as they are")
def write_formula_names(faces: Faces) -> Answer:
    names = ["=1+1.jpg", "+1.jpg", "@SUM(A1).jpg", "-2.jpg", "a\u200bb\U000e0041.jpg"]
    for name in names:
        faces.write(name)
    ran = run("scan", "--csv", "--crop", "none", "--", *names, folder=faces.folder)
    rows = list(csv.DictReader(io.StringIO(ran.stdout)))
    paths = [row["path"] for row in rows]
    formulas = [path for path in paths if path[:1] in "=+-@\t\r"]
    invisible = [path for path in paths if not path.isascii()]
    now = f"{len(paths)} paths, {len(formulas)} formulas, {len(invisible)} invisible characters"
    return Answer(now, len(paths) == len(names) and not formulas and not invisible)
