"""Thirty kinds of input and fault that users of detectors meet: what happens with each.

    .venv/bin/python -m benchmarks.safety.cases REALS FAKES
    .venv/bin/python -m benchmarks.safety.cases REALS FAKES --only 4 22 25

REALS and FAKES are folders or zips of cropped face photos, real ones and generated ones. Every
input is made anew from them, each command runs in a process of its own, and what it does is
compared with the right answer. Number 12 is missing: what a file says of its origin is not read
yet.

Writes benchmarks/results/cases.json, and ends with 1 where an answer is wrong.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from benchmarks.output import command_line, describe_machine, save_results
from benchmarks.safety import inputs
from benchmarks.safety.command import Ran, run, run_program
from PIL import Image

from fauxlab.io.images import decode
from fauxlab.io.sources import FileReader
from fauxlab.scan.paths import expand_paths
from fauxlab.scan.scanner import Scanner

SLOW = 5.0  # seconds
LARGE = 1024.0  # megabytes
MANY_FACES = 60
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


@dataclass(frozen=True)
class Faces:
    """What the cases are made of."""

    folder: Path  # an empty one for each case
    real: Image.Image  # a face that the detector calls real
    fake: Image.Image  # a face that the detector calls fake
    reals: list[Image.Image]

    def write(self, name: str, picture: Image.Image | None = None) -> Path:
        """Write a picture as a JPEG, the real face by default."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (picture or self.real).save(path, "JPEG", quality=95)
        return path


@dataclass(frozen=True)
class Answer:
    """What happened, and whether that is right."""

    now: str
    right: bool


@dataclass(frozen=True)
class Case:
    """A kind of input, by the number that it has in the table."""

    number: int
    title: str
    before: str  # what happened in version 0.1
    try_out: Callable[[Faces], Answer]


CASES: list[Case] = []


def case(
    number: int, title: str, before: str
) -> Callable[[Callable[[Faces], Answer]], Callable[[Faces], Answer]]:
    """Enter a function in the table."""

    def enter(function: Callable[[Faces], Answer]) -> Callable[[Faces], Answer]:
        CASES.append(Case(number, title, before, function))
        return function

    return enter


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reals")
    parser.add_argument("fakes")
    parser.add_argument("--only", type=int, nargs="*", help="numbers of cases")
    options = parser.parse_args()
    reals, fakes = read_faces(options.reals), read_faces(options.fakes)
    real, fake = choose(reals, "real"), choose(fakes, "fake")
    rows = []
    for entry in CASES:
        if options.only and entry.number not in options.only:
            continue
        with tempfile.TemporaryDirectory() as folder:
            answer = entry.try_out(Faces(Path(folder), real, fake, reals))
        rows.append(
            {
                "case": entry.number,
                "kind": entry.title,
                "before": entry.before,
                "now": answer.now,
                "right": answer.right,
            }
        )
        mark = "right" if answer.right else "WRONG"
        print(f"{entry.number:>3} {mark}  {entry.title}: {answer.now}", flush=True)
    if not options.only:
        result = {"cases": rows, "command": command_line(), "environment": describe_machine()}
        save_results("cases.json", result)
    return 0 if all(row["right"] for row in rows) else 1


def read_faces(place: str) -> list[Image.Image]:
    """The first sixty-odd pictures of a folder or zip, spread over it."""
    paths = list(expand_paths([place]))
    every = max(1, len(paths) // MANY_FACES)
    with FileReader() as reader:
        return [decode(reader.read(path)) for path in paths[::every][:MANY_FACES]]


def choose(pictures: list[Image.Image], decision: str) -> Image.Image:
    """The first picture on which the packaged detector decides so, also inside a scene."""
    scanner = Scanner.from_pretrained()
    for picture in pictures:
        scene = inputs.in_scene(picture, 1080, 1200, 200)
        jpeg = inputs.encoded(scene, "JPEG", quality=93)
        verdicts = [scanner(inputs.encoded(picture, "JPEG", quality=95)), scanner(jpeg)]
        if all(verdict.decision == decision for verdict in verdicts):
            return picture
    raise SystemExit(f"no picture is certainly {decision}; give other pictures")


# --- what the cases ask


def scan_json(*arguments: str | Path) -> Ran:
    return run("scan", "--json", *arguments)


def decisions(ran: Ran) -> str:
    """The decisions of a scan with their counts, in words."""
    counted = Counter(verdict["decision"] for verdict in ran.verdicts())
    return ", ".join(f"{count} {name}" for name, count in sorted(counted.items())) or "none"


def is_cheap(ran: Ran) -> bool:
    return not ran.failed_badly and ran.seconds < SLOW and ran.megabytes < LARGE


def cost(ran: Ran) -> str:
    return f"{ran.seconds:.1f} s, {ran.megabytes:.0f} MB"


def all_real(ran: Ran, count: int) -> bool:
    verdicts = ran.verdicts()
    return len(verdicts) == count and all(item["decision"] == "real" for item in verdicts)


def compile_shim(folder: Path, source: str) -> Path | None:
    """A library that is loaded before all others; None without a compiler."""
    if not shutil.which("gcc"):
        return None
    code, library = folder / "shim.c", folder / "shim.so"
    code.write_text(source)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, code], check=True)
    return library


# --- privacy and verdicts


@case(1, "a scan looks up a host", "asks for a host, writes an id and a queue into the cache")
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


@case(2, "real photos in sepia", "25 of 60 called fake")
def scan_sepia(faces: Faces) -> Answer:
    for number, picture in enumerate(faces.reals):
        inputs.sepia(picture).save(faces.folder / f"{number:03}.png")
    ran = scan_json("--crop", "none", faces.folder)
    accused = sum(verdict["decision"] == "fake" for verdict in ran.verdicts())
    return Answer(decisions(ran), bool(ran.verdicts()) and accused <= 0.05 * len(faces.reals) + 3)


@case(3, "frames of one video in two splits", "12 of 12 videos")
def index_frames(faces: Faces) -> Answer:
    inputs.frames(faces.folder)
    answers = []
    for way in ("by-source", "by-video", "in-name"):
        manifest = faces.folder / f"{way}.csv"
        run("data", "index", faces.folder / way, "--out", manifest)
        splits = defaultdict(set)
        with manifest.open(newline="") as stream:
            for row in csv.DictReader(stream):
                name = re.search(r"(\d{3})(?:_\d{3})?(?:/\d{4}|_frame)", row["path"])
                assert name, row["path"]
                splits[name[1]].add(row["split"])
        divided = sum(len(names) > 1 for names in splits.values())
        answers.append(f"{divided} of {len(splits)} {way}")
    return Answer(", ".join(answers), all(answer.startswith("0 of 12 ") for answer in answers))


# --- files that must not be passed over in silence


@case(4, "odd suffixes, or none", "1 verdict on 9 files, nothing on the others")
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


@case(5, "faces in very large pictures", "no face in a capture of 1080×9000")
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


@case(6, "metadata that is broken or long", "10 of 12 sound pictures refused")
def scan_odd_metadata(faces: Faces) -> Answer:
    files = inputs.odd_metadata(faces.real)
    ran = scan_json("--crop", "none", inputs.write_all(faces.folder, files))
    return Answer(f"{decisions(ran)} of {len(files)} files", all_real(ran, len(files)))


@case(9, "JPEGs without their end marker", "refused")
def scan_without_end(faces: Faces) -> Answer:
    files = inputs.without_end(faces.real)
    ran = scan_json("--crop", "none", inputs.write_all(faces.folder, files))
    return Answer(f"{decisions(ran)} of {len(files)} files", all_real(ran, len(files)))


@case(10, "hidden and system folders", "become generators; `._` files are errors")
def read_hidden(faces: Faces) -> Answer:
    shown = ("real/a.jpg", "fake/gan/f.jpg")
    hidden = (
        "real/.thumbnails/a.jpg",
        "real/@eaDir/a.jpg/thumbnail.jpg",
        "fake/.ipynb_checkpoints/f.jpg",
        "fake/__MACOSX/f.jpg",
        "fake/$RECYCLE.BIN/f.jpg",
    )
    for number, name in enumerate((*shown, *hidden)):
        faces.write(f"set/{name}", faces.real.rotate(number))
    archive = faces.folder / "trip.zip"
    jpeg = inputs.encoded(faces.real, "JPEG", quality=95)
    inputs.write_zip(archive, {"trip/a.jpg": jpeg, "trip/._a.jpg": b"\0\5\x16\7", "._b": b"\0"})
    manifest = faces.folder / "m.csv"
    run("data", "index", faces.folder / "set", "--out", manifest)
    rows = list(csv.DictReader(manifest.open(newline=""))) if manifest.exists() else []
    ran = scan_json(archive)
    now = f"{len(rows)} of {len(shown)} shown pictures indexed; in a zip {decisions(ran)}"
    return Answer(now, len(rows) == len(shown) and all_real(ran, 1))


@case(13, "a container with few cores", "a red error of the inference library")
def scan_with_affinity(faces: Faces) -> Answer:
    shim = compile_shim(faces.folder, AFFINITY_SHIM)
    if shim is None:
        return Answer("not tried: no gcc", True)
    ran = run("scan", faces.write("face.jpg"), environment={"LD_PRELOAD": str(shim)})
    lines = [line for line in ran.stderr.splitlines() if "scanning" not in line]
    now = f"{len(lines)} lines on stderr"
    return Answer(now, ran.code == 0 and "[E:onnxruntime" not in ran.stderr)


@case(14, "the face is only in a later frame", "no face")
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


# --- names and tables


@case(15, "Real/Fake, 0_real/1_fake, metadata.jsonl, img\\1.jpg, [2023]/*.jpg", "refused")
def read_other_layouts(faces: Faces) -> Answer:
    pictures = faces.reals[:4]
    for real, fake in (("Real", "Fake"), ("0_real", "1_fake")):
        for number, picture in enumerate(pictures):
            name = real if number < 2 else fake
            faces.write(f"{real}/{name}/{number}.jpg", picture)
    lines, table = [], ["file_name,label"]
    for number, picture in enumerate(pictures):
        label = "real" if number < 2 else "fake"
        for folder in ("jsonl", "table"):
            faces.write(f"{folder}/img/{number}.jpg", picture)
        lines.append(json.dumps({"file_name": f"img/{number}.jpg", "label": label}))
        table.append(f"img\\{number}.jpg,{label}")
    (faces.folder / "jsonl" / "metadata.jsonl").write_text("\n".join(lines))
    (faces.folder / "table" / "metadata.csv").write_bytes("\r\n".join(table).encode())
    read = []
    for name in ("Real", "0_real", "jsonl", "table"):
        manifest = faces.folder / f"{name}.csv"
        run("data", "index", faces.folder / name, "--out", manifest)
        if manifest.exists() and len(manifest.read_text().splitlines()) == 5:
            read.append(name)
    faces.write("Trip [2023]/a.jpg")
    ran = scan_json(str(faces.folder / "Trip [2023]" / "*.jpg"))
    now = f"{len(read)} of 4 layouts read; pattern: {decisions(ran)}"
    return Answer(now, len(read) == 4 and all_real(ran, 1))


@case(19, "group pictures turned without EXIF", "no face, or a confident verdict on none")
def scan_turned(faces: Faces) -> Answer:
    scene = inputs.in_scene(faces.fake, 1000, 1000, 300)
    for angle in (0, 90, 180, 270):
        scene.rotate(angle, expand=True).save(faces.folder / f"{angle:03}.jpg", quality=93)
    ran = scan_json(faces.folder)
    fakes = sum(verdict["decision"] == "fake" for verdict in ran.verdicts())
    found = sum(verdict["face"] is not None for verdict in ran.verdicts())
    return Answer(f"{found} of 4 found: {decisions(ran)}", found == 4 and fakes >= 3)


@case(20, "pictures in wider colour spaces", "the profile is ignored")
def scan_wide_gamut(faces: Faces) -> Answer:
    data = inputs.with_p3_profile(faces.real)
    plain = np.asarray(faces.real, dtype=np.int16)
    converted = np.asarray(decode(data), dtype=np.int16)
    change = float(np.abs(plain - converted).mean())
    return Answer(f"pixels change by {change:.1f} of 255 on average", 0.5 < change < 30)


@case(21, "a video, an address, a pipe", "no such file")
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


# --- small files that cost much


@case(22, "EXIF of twenty million fractions", "53 s, 3.9 GB")
def scan_long_exif(faces: Faces) -> Answer:
    png = inputs.encoded(faces.real, "PNG")
    chunk = inputs.png_chunk(b"eXIf", inputs.tag_of_many(20_000_000))
    archive = faces.folder / "long.zip"
    inputs.write_zip(archive, {"a.png": inputs.with_chunk(png, chunk)})
    ran = scan_json("--crop", "none", archive)
    return Answer(f"{decisions(ran)}; {cost(ran)}", is_cheap(ran))


@case(23, "38 bytes of 134 million pixels, thirty times", "over 75 s, 2.3 GB")
def scan_flat(faces: Faces) -> Answer:
    flat = Image.new("RGB", (11_585, 11_585), (90, 90, 90))
    webp = inputs.encoded(flat, "WEBP", lossless=True, quality=0, method=0)
    files = {f"{number:02}.webp": webp for number in range(30)}
    ran = scan_json(inputs.write_all(faces.folder, files))
    return Answer(f"{len(webp)} bytes each: {decisions(ran)}; {cost(ran)}", is_cheap(ran))


@case(24, "a JPEG of ninety scans inside a TIFF", "7 to 17 s")
def scan_tiff_of_scans(faces: Faces) -> Answer:
    side = 5000
    path = faces.folder / "scans.tif"
    path.write_bytes(inputs.jpeg_in_tiff(inputs.many_scans(90, side), side))
    ran = scan_json(path)
    return Answer(f"{decisions(ran)}; {cost(ran)}", is_cheap(ran))


@case(25, "models of 400 bytes that compute gigabytes", "over 6 GB or 30 s before a refusal")
def open_hostile_models(faces: Faces) -> Answer:
    import fauxlab

    packaged = Path(fauxlab.__file__).parent / "weights" / "detector" / "config.json"
    face = faces.write("face.jpg")
    answers, right = [], True
    for model in inputs.hostile_models(faces.folder / "models", packaged.read_text()):
        ran = run("scan", face, "--model", model)
        answers.append(f"{model.name}: exit {ran.code}, {cost(ran)}")
        right = right and is_cheap(ran) and ran.code == 1
    return Answer("; ".join(answers), right)


# --- what must not be believed, and what must not be printed


@case(26, "a decoded store with bytes overwritten", "trained on in silence")
def train_on_damaged_store(faces: Faces) -> Answer:
    cache = {"FAUXLAB_CACHE": str(faces.folder / "cache")}
    toy, manifest = faces.folder / "toy", faces.folder / "m.csv"
    run("data", "toyfaces", toy, "--n", "40", "--size", "64")
    run("data", "index", toy, "--out", manifest)
    train = ["detector", "train", manifest, "--recipe", "unified-joint", "--set", "data.size=32"]
    short = ["--set", "train.epochs=1", "--out", faces.folder / "runs"]
    run(*train, *short, "--name", "first", environment=cache)
    largest = max((faces.folder / "cache").rglob("*.*"), key=lambda path: path.stat().st_size)
    with largest.open("r+b") as stream:
        stream.seek(largest.stat().st_size // 2)
        stream.write(bytes(range(256)))
    ran = run(*train, *short, "--name", "second", environment=cache)
    weights = [
        (faces.folder / "runs" / name / "best" / "model.safetensors").read_bytes()
        for name in ("first", "second")
        if (faces.folder / "runs" / name / "best").is_dir()
    ]
    same = len(weights) == 2 and weights[0] == weights[1]
    now = "decoded anew, the same weights" if same else f"exit {ran.code}: {ran.last_line}"
    return Answer(now, same or (ran.code == 1 and not ran.failed_badly))


@case(27, "recipes and logs that break a parser", "tracebacks, a hang, raw escape codes")
def read_hostile_texts(faces: Faces) -> Answer:
    recipes = [*inputs.hostile_recipes(faces.folder), Path("/dev/zero")]
    pipe = faces.folder / "pipe.toml"
    os.mkfifo(pipe)
    recipes.append(pipe)
    toy, manifest = faces.folder / "toy", faces.folder / "m.csv"
    run("data", "toyfaces", toy, "--n", "10", "--size", "64")
    run("data", "index", toy, "--out", manifest)
    right, longest = True, 0
    for recipe in recipes:
        ran = run("detector", "train", manifest, "--recipe", recipe, "--dry-run", limit=30)
        longest = max(longest, len(ran.stderr))
        right = right and ran.code in (1, 2) and not ran.failed_badly and "\x1b" not in ran.stderr
    now = f"{len(recipes)} recipes refused, each in at most {longest:,} characters"
    return Answer(now, right and longest < 3000)


@case(28, "SIGTERM while a page and JSON are written", "left-overs, an open array")
def stop_a_scan(faces: Faces) -> Answer:
    folder = faces.folder / "faces"
    for number in range(1500):
        faces.write(f"faces/{number:04}.jpg")
    page, out = faces.folder / "page.html", faces.folder / "out.json"
    command = [sys.executable, "-m", "fauxlab", "scan", str(folder), "--json", "--html", str(page)]
    with out.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.DEVNULL)
        while out.stat().st_size < 2000 and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
    left = sorted(path.name for path in faces.folder.iterdir())
    count = len(json.loads(out.read_text()))
    now = f"exit {code}, {count} verdicts in whole JSON, beside them {', '.join(left)}"
    return Answer(now, code == 130 and left == ["faces", "out.json"])


@case(29, "names that a spreadsheet computes", "formulas; invisible characters as they are")
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


@case(30, "20,000 generators", "over 60 s")
def plan_many_generators(faces: Faces) -> Answer:
    manifest = faces.folder / "m.csv"
    tiny = faces.folder / "tiny"
    for kind, count in (("real", 50), ("fake", 20_000)):
        for number in range(count):
            name = f"real/a/{number}.png" if kind == "real" else f"fake/g{number:05}/x{number}.png"
            path = tiny / name
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng([count, number]).integers(256, size=(16, 16, 3))
            picture = Image.fromarray(pixels.astype(np.uint8))
            picture.save(path)
    run("data", "index", tiny, "--out", manifest, limit=600)
    ran = run("detector", "train", manifest, "--recipe", "unified-joint", "--dry-run")
    return Answer(
        f"plan in {ran.seconds:.1f} s, exit {ran.code} {ran.last_line}",
        ran.code == 0 and ran.seconds < 30,
    )


@case(31, "unreadable files among others", "exit 0 whatever is asked for")
def scan_some_unreadable(faces: Faces) -> Answer:
    for number in range(4):
        faces.write(f"{number}.jpg")
    inputs.write_all(faces.folder, {"x.jpg": b"no picture", "y.png": b""})
    plain = scan_json(faces.folder)
    strict = scan_json(faces.folder, "--fail-on", "error")
    toy = faces.folder / "toy"
    run("data", "toyfaces", toy, "--n", "5", "--size", "32")
    again = run("data", "toyfaces", toy, "--n", "5", "--size", "32")
    now = (
        f"exit {plain.code}, with --fail-on error {strict.code}; toyfaces twice: {again.last_line}"
    )
    return Answer(now, plain.code == 0 and strict.code == 3 and "already" in now)


if __name__ == "__main__":
    sys.exit(main())
