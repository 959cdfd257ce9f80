"""Folders, models, recipes and faults of the machine, one function a kind."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from benchmarks.safety import inputs
from benchmarks.safety.answers import (
    Answer,
    Faces,
    Table,
    all_real,
    cost,
    decisions,
    is_cheap,
    scan_json,
)
from benchmarks.safety.command import run
from PIL import Image

TABLE = Table()


@TABLE.case(3, "frames of one video in two splits", "12 of 12 videos")
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


@TABLE.case(10, "hidden and system folders", "become generators; `._` files are errors")
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


@TABLE.case(15, "Real/Fake, 0_real/1_fake, metadata.jsonl, img\\1.jpg, [2023]/*.jpg", "refused")
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


@TABLE.case(25, "models of 400 bytes that compute gigabytes", "over 6 GB or 30 s before a refusal")
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


@TABLE.case(26, "a decoded store with bytes overwritten", "trained on in silence")
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


@TABLE.case(27, "recipes and logs that break a parser", "tracebacks, a hang, raw escape codes")
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


@TABLE.case(28, "SIGTERM while a page and JSON are written", "left-overs, an open array")
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


@TABLE.case(30, "20,000 generators", "over 60 s")
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


@TABLE.case(31, "unreadable files among others", "exit 0 whatever is asked for")
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
