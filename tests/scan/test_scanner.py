"""Scanning: one verdict a picture, whatever the pictures are."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from PIL import Image

from fauxlab.bundle.config import Calibration, DetectorConfig, Head, OodLimits, Preprocessing
from fauxlab.datasets.toyfaces import draw, plan
from fauxlab.errors import LabError
from fauxlab.io.images import PIPELINE_VERSION, decode, to_square
from fauxlab.models import create_detector
from fauxlab.models.pretrained import Detector
from fauxlab.records import Verdict
from fauxlab.scan.explain import Explained
from fauxlab.scan.finding.faces import Face, Found, crop_face
from fauxlab.scan.paths import expand_paths
from fauxlab.scan.scanner import BATCH, Scanner
from fauxlab.scan.writers import Form, open_writer

Jpeg = Callable[..., bytes]


@pytest.fixture
def scanner() -> Scanner:
    torch.manual_seed(0)
    config = DetectorConfig(
        architecture="report-cnn",
        preprocessing=Preprocessing(size=32, pipeline_version=PIPELINE_VERSION),
    )
    return Scanner(Detector(create_detector("report-cnn", 32).eval(), config, "abc"), crop="none")


def bomb_png(side: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    packer = zlib.compressobj(9)
    row = bytes(1 + side // 8)  # one bit a pixel: 400 megapixels in 50 kB
    body = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def encode(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def test_every_kind_of_input_gets_a_verdict_or_a_reason(
    scanner: Scanner, tmp_path: Path, jpeg: Jpeg
) -> None:
    colour = Image.open(io.BytesIO(jpeg(1)))
    deep = Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64) * 16)
    frames = [Image.new("RGB", (32, 32), c) for c in ("red", "blue")]
    exif = Image.Exif()
    exif[0x0112] = 8
    good = {
        "plain.jpg": jpeg(1),
        "really-a-png.jpg": encode(colour, "PNG"),
        "cmyk.jpg": encode(colour.convert("CMYK"), "JPEG"),
        "sixteen.png": encode(deep, "PNG"),
        "palette.png": encode(colour.convert("P"), "PNG"),
        "animated.gif": encode(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "rotated.jpg": encode(colour, "JPEG", exif=exif),
    }
    bad = {
        "truncated.jpg": (jpeg(2)[:600], "cannot be decoded"),
        "empty.jpg": (b"", "empty file"),
        "text.jpg": (b"I am not a picture", "not an image"),
        "dot.png": (encode(Image.new("RGB", (1, 1)), "PNG"), "too small"),
        "bomb.png": (bomb_png(20_000), "above the limit"),
    }
    for name, data in {**good, **{k: v for k, (v, _) in bad.items()}}.items():
        (tmp_path / name).write_bytes(data)
    verdicts = {Path(v.path).name: v for v in scanner.scan(expand_paths([str(tmp_path)]))}
    assert set(verdicts) == {*good, *bad}
    for name in good:
        verdict = verdicts[name]
        assert (verdict.status, verdict.calibrated, verdict.model_hash) == ("ok", False, "abc")
        assert verdict.score is not None
        assert 0 <= verdict.score <= 1
        assert verdict.label == ("fake" if verdict.score >= 0.5 else "real")
    for name, (_, reason) in bad.items():
        assert (verdicts[name].status, verdicts[name].label, verdicts[name].score) == (
            "error",
            None,
            None,
        )
        assert reason in (verdicts[name].message or "")
    missing = scanner(tmp_path / "gone.jpg")
    assert (missing.status, missing.message) == ("error", "no such file")


def test_batches_keep_the_order_and_the_scores(
    scanner: Scanner, tmp_path: Path, jpeg: Jpeg
) -> None:
    for i in range(70):
        (tmp_path / f"{i:03}.jpg").write_bytes(b"" if i % 7 == 3 else jpeg(i))
    verdicts = list(scanner.scan(expand_paths([str(tmp_path)])))
    assert [Path(v.path).name for v in verdicts] == [f"{i:03}.jpg" for i in range(70)]
    assert [v.status for v in verdicts] == ["error" if i % 7 == 3 else "ok" for i in range(70)]
    alone = scanner(tmp_path / "040.jpg")
    assert alone.score == pytest.approx(verdicts[40].score, abs=1e-5)


def test_paths_are_expanded(tmp_path: Path, jpeg: Jpeg) -> None:
    os.makedirs(tmp_path / "d/e")
    for name in ("a.jpg", "b.png", "d/c.jpg", "d/e/f.webp", "d/skip.txt"):
        (tmp_path / name).write_bytes(jpeg(0))
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("in/side.jpg", jpeg(1))
        archive.writestr("read.me", b"")
    root = str(tmp_path)

    def names(*arguments: str) -> list[str]:
        return [path.removeprefix(root + "/") for path in expand_paths(arguments)]

    assert names(f"{root}/d") == ["d/c.jpg", "d/e/f.webp"]
    assert names(f"{root}/*.jpg") == ["a.jpg"]
    assert names(f"{root}/**/*.webp") == ["d/e/f.webp"]
    assert names(f"{root}/z.zip") == ["z.zip!/in/side.jpg"]
    assert names(f"{root}/none.jpg") == ["none.jpg"], "reported later, in its place"
    assert names(f"{root}/*.bmp") == ["*.bmp"]
    assert names("") == [""], "not the folder that one stands in"
    (tmp_path / "no.zip").write_bytes(b"text")
    assert names(f"{root}/no.zip", f"{root}/a.jpg") == ["no.zip!/", "a.jpg"]
    (tmp_path / "z.zip").rename(tmp_path / "d/e/z.zip")
    (tmp_path / "no.zip").rename(tmp_path / "d/no.zip")
    (tmp_path / "d/e/phone.HEIC").write_bytes(b"")
    inside = ["d/c.jpg", "d/no.zip!/", "d/e/f.webp", "d/e/phone.HEIC", "d/e/z.zip!/in/side.jpg"]
    assert sorted(names(f"{root}/d")) == sorted(inside), (
        "zips in folders, and pictures that need a decoder"
    )


def test_a_pattern_names_each_picture_once(tmp_path: Path, jpeg: Jpeg) -> None:
    os.makedirs(tmp_path / "d/e")
    for name in ("a.jpg", "d/c.jpg", "d/e/f.jpg", "d-1.jpg"):
        (tmp_path / name).write_bytes(jpeg(0))
    root = str(tmp_path)
    found = [path.removeprefix(root + "/") for path in expand_paths([f"{root}/**"])]
    assert sorted(found) == ["a.jpg", "d-1.jpg", "d/c.jpg", "d/e/f.jpg"]
    (tmp_path / "d e.jpg").write_bytes(jpeg(0))  # sorts between a folder and what lies in it
    (tmp_path / "d.jpg").write_bytes(jpeg(0))
    for pattern in ("**", "**/*", "*"):
        found = [path.removeprefix(root + "/") for path in expand_paths([f"{root}/{pattern}"])]
        assert sorted(found) == ["a.jpg", "d e.jpg", "d-1.jpg", "d.jpg", "d/c.jpg", "d/e/f.jpg"], (
            pattern
        )
    for name in ("d e.jpg", "d.jpg"):
        (tmp_path / name).unlink()
    found = [path.removeprefix(root + "/") for path in expand_paths([f"{root}/d*"])]
    assert sorted(found) == ["d-1.jpg", "d/c.jpg", "d/e/f.jpg"]


def test_a_picture_is_judged_once_however_it_is_named(
    tmp_path: Path, jpeg: Jpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.makedirs("d/e")
    for name in ("a.jpg", "copy.jpg", "d/c.jpg"):
        Path(name).write_bytes(jpeg(0))
    with zipfile.ZipFile("z.zip", "w") as archive:
        archive.writestr("in.jpg", jpeg(1))
        archive.writestr("./in.jpg", jpeg(2))
    Path("link.jpg").symlink_to("a.jpg")
    arguments = ["a.jpg", "d/c.jpg", "./a.jpg", str(tmp_path / "a.jpg"), "d/../a.jpg", "d", "a*"]
    assert list(expand_paths(arguments)) == ["a.jpg", "d/c.jpg"]
    assert list(expand_paths(["gone.jpg", "", "./gone.jpg", ""])) == ["gone.jpg", ""]
    # Links and copies are pictures of their own, and so are the members of a zip.
    assert list(expand_paths(["a.jpg", "link.jpg", "copy.jpg"])) == [
        "a.jpg",
        "link.jpg",
        "copy.jpg",
    ]
    members = ["z.zip!/in.jpg", "z.zip!/./in.jpg"]
    assert list(expand_paths(["z.zip", *members, "./z.zip", "d/../z.zip!/in.jpg"])) == members
    # Behind a link `..` is another folder.
    Path("far").symlink_to("d/e")
    assert list(expand_paths(["c.jpg", "far/../c.jpg", "d/c.jpg"])) == ["c.jpg", "far/../c.jpg"]


def test_leaving_a_scan_drops_what_was_to_come(
    scanner: Scanner, tmp_path: Path, jpeg: Jpeg
) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(0))
    asked: list[str] = []

    def paths() -> Iterator[str]:
        while True:
            asked.append("a.jpg")
            yield str(tmp_path / "a.jpg")

    verdicts = scanner.scan(paths())
    next(verdicts)
    verdicts.close()  # type: ignore[attr-defined]
    assert len(asked) <= 2 * BATCH


def test_a_blurred_face_is_answered_with_cannot_tell_and_why(tmp_path: Path) -> None:
    face = Image.fromarray(draw("wiki", plan(1), 0, 256))
    face.save(tmp_path / "sharp.png")
    face.resize((24, 24)).resize((256, 256)).save(tmp_path / "blurred.png")
    packaged = Scanner.from_pretrained(crop="none")
    assert "blurred" not in (packaged(tmp_path / "sharp.png").message or "")
    verdict = packaged(tmp_path / "blurred.png")
    assert (verdict.decision, verdict.ood) == ("cannot tell", True)
    assert verdict.message == "too blurred or too small"
    assert verdict.score is not None


def test_a_face_in_one_colour_is_answered_with_cannot_tell_and_why(
    scanner: Scanner, tmp_path: Path
) -> None:
    face = draw("wiki", plan(1), 0, 64)
    grey = np.asarray(Image.fromarray(face).convert("L"))
    sepia = np.stack([grey, grey * 0.85, grey * 0.65], axis=-1).astype(np.uint8)
    for name, pixels in (("colour", face), ("grey", grey), ("sepia", sepia)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    limits = OodLimits(limit=9, rate=0.01, n=9, tint=6)
    config = scanner.detector.config.model_copy(update={"ood": limits})
    strict = Scanner(Detector(scanner.detector.model, config, "abc"), crop="none")  # type: ignore[attr-defined]
    for name, decision in (("colour", "real"), ("grey", "real"), ("sepia", "cannot tell")):
        verdict = strict(tmp_path / f"{name}.png")
        assert (verdict.decision == "cannot tell") == (decision == "cannot tell")
        assert (verdict.message is not None) == (decision == "cannot tell")
    assert verdict.message == "nearly one colour, as of a sepia filter"
    assert scanner(tmp_path / "sepia.png").decision != "cannot tell"


def test_what_cannot_be_opened_is_reported_in_its_place(
    scanner: Scanner, tmp_path: Path, jpeg: Jpeg
) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    (tmp_path / "no.zip").write_bytes(b"text")
    good = f"{tmp_path}/a.jpg"
    arguments = [
        good,
        f"{tmp_path}/no.zip",
        f"{tmp_path}/*.bmp",
        f"{tmp_path}/{'n' * 300}",
        "",
        good,
    ]
    verdicts = list(scanner.scan(expand_paths(arguments)))
    # The picture that is named twice is judged once.
    assert [v.status for v in verdicts] == ["ok", "error", "error", "error", "error"]
    assert "not a readable zip" in (verdicts[1].message or "")
    assert verdicts[2].message == verdicts[4].message == "no such file"
    assert "too long" in (verdicts[3].message or "")


def test_a_score_that_is_no_number_is_no_verdict(
    scanner: Scanner, tmp_path: Path, jpeg: Jpeg
) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    with torch.no_grad():
        scanner.detector.model.head.bias.fill_(float("nan"))  # type: ignore[operator, union-attr]
    verdict = scanner(tmp_path / "a.jpg")
    assert (verdict.status, verdict.label, verdict.score) == ("error", None, None)
    assert "no finite score" in (verdict.message or "")
    (explained,) = scanner.explain([str(tmp_path / "a.jpg")])
    assert explained.activation_map is None, "there is nothing to draw"


def test_a_model_of_another_image_pipeline_is_refused(scanner: Scanner) -> None:
    config = scanner.detector.config
    other = config.preprocessing.model_copy(update={"pipeline_version": PIPELINE_VERSION + 1})
    with pytest.raises(LabError, match="train it again"):
        Scanner(
            Detector(scanner.detector.model, config.model_copy(update={"preprocessing": other}))
        )


def test_a_name_cannot_forge_a_verdict(scanner: Scanner, tmp_path: Path, jpeg: Jpeg) -> None:
    (tmp_path / "a.jpg\nreal      0.001  b.jpg").write_bytes(jpeg(1))
    stream = io.StringIO()
    with open_writer("table", stream) as writer:
        for explained in scanner.explain(expand_paths([str(tmp_path)])):
            writer.add(explained)
    assert len(stream.getvalue().splitlines()) == 2


@pytest.mark.parametrize("ends", [KeyboardInterrupt, LabError])
def test_json_is_closed_whatever_happens(
    scanner: Scanner, tmp_path: Path, jpeg: Jpeg, ends: type[BaseException]
) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    stream = io.StringIO()

    def break_off() -> None:
        with open_writer("json", stream) as writer:
            writer.add(Explained(scanner(tmp_path / "a.jpg")))
            raise ends

    with pytest.raises(ends):
        break_off()
    assert [verdict["status"] for verdict in json.loads(stream.getvalue())] == ["ok"]


def test_each_json_line_is_let_out_at_once() -> None:
    class Pipe(io.StringIO):
        let_out = ""

        def flush(self) -> None:
            self.let_out = self.getvalue()

    pipe = Pipe()
    verdict = Verdict(path="a.jpg", status="error", model_hash="0", message="line\nbreak")
    with open_writer("jsonl", pipe) as writer:
        for count in (1, 2, 3):
            writer.add(Explained(verdict))
            lines = pipe.let_out.splitlines()
            assert [json.loads(line)["path"] for line in lines] == ["a.jpg"] * count


def test_an_empty_scan_is_an_empty_array() -> None:
    stream = io.StringIO()
    with open_writer("json", stream):
        assert stream.getvalue() == ""
    assert json.loads(stream.getvalue()) == []


def test_zip_members_are_judged_like_files(scanner: Scanner, tmp_path: Path, jpeg: Jpeg) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(5))
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("a.jpg", jpeg(5))
    inside, outside = scanner.scan([f"{tmp_path}/z.zip!/a.jpg", f"{tmp_path}/a.jpg"])
    assert inside.score == pytest.approx(outside.score, abs=1e-6)


def test_calibrated_scores_and_uncertain_verdicts(
    scanner: Scanner, tmp_path: Path, jpeg: Jpeg
) -> None:
    for i in range(9):
        (tmp_path / f"{i}.jpg").write_bytes(jpeg(i))
    raw = [verdict.score or 0 for verdict in scanner.scan(expand_paths([str(tmp_path)]))]
    by_hand = [1 / (1 + math.exp(-(math.log(p / (1 - p)) / 0.5 + 1.5))) for p in raw]
    # The threshold at the middle score, and uncertain all but the two lowest and the two highest.
    order = sorted(by_hand)
    low, threshold, high = ((order[k - 1] + order[k]) / 2 for k in (2, 5, 7))
    fit = Calibration(temperature=0.5, bias=1.5, alpha=0.1, low=low, high=high)
    config = scanner.detector.config.model_copy(update={"calibration": fit, "threshold": threshold})
    calibrated = Scanner(Detector(scanner.detector.model, config, "abc"), crop="none")
    verdicts = list(calibrated.scan(expand_paths([str(tmp_path)])))
    assert [v.score for v in verdicts] == pytest.approx(by_hand, abs=1e-5)
    assert all(v.calibrated and v.threshold == threshold for v in verdicts)
    ranked = sorted(verdicts, key=lambda v: v.score or 0)
    assert [v.label for v in ranked] == ["real"] * 2 + [None] * 5 + ["fake"] * 2
    assert [v.decision for v in ranked] == ["real"] * 2 + ["uncertain"] * 5 + ["fake"] * 2

    streams: dict[Form, io.StringIO] = {form: io.StringIO() for form in get_args(Form)}
    for form, stream in streams.items():
        with open_writer(form, stream) as writer:
            for verdict in ranked:
                writer.add(Explained(verdict))
    words = [line.split()[0] for line in streams["table"].getvalue().splitlines()]
    assert words == ["verdict", *(v.decision for v in ranked)]
    lines = streams["jsonl"].getvalue().splitlines()
    assert [Verdict.model_validate_json(line) for line in lines] == ranked
    read = [Verdict.model_validate(v) for v in json.loads(streams["json"].getvalue())]
    assert read == ranked
    rows = list(csv.DictReader(io.StringIO(streams["csv"].getvalue())))
    assert [row["uncertain"] for row in rows] == ["False"] * 2 + ["True"] * 5 + ["False"] * 2


def test_verdicts_are_written_and_read_with_the_former_names(tmp_path: Path) -> None:
    verdict = Verdict(
        path="a.jpg", status="ok", label="fake", score=0.9, ood=True, model_hash="abc"
    )
    streams: dict[Form, io.StringIO] = {form: io.StringIO() for form in get_args(Form)}
    for form, stream in streams.items():
        with open_writer(form, stream) as writer:
            writer.add(Explained(verdict))
    (fields,) = json.loads(streams["json"].getvalue())
    assert fields["schema_version"] == 7
    assert list(fields)[:4] == ["schema_version", "path", "decision", "status"]
    assert fields["ood"] is True
    assert fields["decision"] == "cannot tell"
    assert Verdict.model_validate(fields) == verdict
    (row,) = csv.DictReader(io.StringIO(streams["csv"].getvalue()))
    assert (row["ood"], row["decision"]) == ("True", "cannot tell")
    assert set(row) == set(fields)
    assert list(row) == list(fields)
    old = {name: value for name, value in fields.items() if name != "ood"}
    old["atypical"] = True
    assert Verdict.model_validate(old | {"schema_version": 4}).ood


def with_heads(detector: Any, *manipulations: str, **changes: object) -> Any:
    """The detector with two heads: the first speaks for bright pictures, the second for dark."""
    heads = tuple(Head(name=f"head {n}", manipulation=m) for n, m in enumerate(manipulations))
    changes = {"heads": heads, "threshold": 0.1, **changes}
    config = detector.config.model_copy(update=changes)
    return replace(detector, config=config, signs=(1, -1))


def test_a_fake_has_the_manipulation_of_its_loudest_head(brightness: Any) -> None:
    arrays = [np.full((40, 40, 3), level, np.uint8) for level in (200, 110, 30)]
    asking = with_heads(brightness, "made", "altered")
    verdicts = list(Scanner(asking, "none").scan(arrays))
    assert [verdict.decision for verdict in verdicts] == ["fake", "fake", "real"]
    assert [verdict.manipulation for verdict in verdicts] == ["made", "altered", None]
    same = list(Scanner(with_heads(brightness, "made", "made"), "none").scan(arrays))
    assert [verdict.manipulation for verdict in same] == ["made", "made", None]
    alone = list(Scanner(brightness, "none").scan(arrays))
    assert [verdict.manipulation for verdict in alone] == [None] * 3

    streams: dict[Form, io.StringIO] = {form: io.StringIO() for form in get_args(Form)}
    for form, stream in streams.items():
        with open_writer(form, stream) as writer:
            for verdict in verdicts:
                writer.add(Explained(verdict))
    lines = streams["table"].getvalue().splitlines()
    assert [line[:12].strip() for line in lines] == [
        "verdict",
        "fake, made",
        "fake, altere",
        "real",
    ]
    assert {line.index("<array>") for line in lines[1:]} == {lines[0].index("path")}
    assert lines[2].startswith("fake, altered 0.")
    rows = list(csv.DictReader(io.StringIO(streams["csv"].getvalue())))
    assert [row["manipulation"] for row in rows] == ["made", "altered", ""]
    written = [json.loads(line) for line in streams["jsonl"].getvalue().splitlines()]
    assert [fields["manipulation"] for fields in written] == ["made", "altered", None]


def test_heads_that_are_no_numbers_give_no_verdict(brightness: Any) -> None:
    asking = replace(with_heads(brightness, "made", "altered"), signs=(1, math.nan))
    verdict = Scanner(asking, "none")(np.zeros((40, 40, 3), np.uint8))
    assert (verdict.decision, verdict.message) == (
        "error",
        "the model gives no finite score for it",
    )


def test_verdicts_name_their_model(brightness: Any) -> None:
    picture = np.zeros((40, 40, 3), np.uint8)
    plain = Scanner(brightness, "none")
    assert plain(picture).model == "report-cnn"
    assert plain(picture).model_version is None
    assert plain.model == "report-cnn, abc"
    named = with_heads(brightness, "made", "altered", name="mine\n", version="2.1")
    scanner = Scanner(named, "none")
    assert (scanner(picture).model, scanner(picture).model_version) == ("mine\\n", "2.1")
    assert scanner.model == "mine\\n 2.1, abc"
    assert Scanner(named, "none", name="best")(b"no picture").model == "best"


def test_verdicts_of_the_first_schema_are_read() -> None:
    old = (
        '{"schema_version":1,"path":"a.jpg","status":"ok","label":"fake","score":0.9,"calibrated":false,'
        '"threshold":0.5,"width":64,"height":64,"model_hash":"abc","message":null}'
    )
    assert Verdict.model_validate_json(old).decision == "fake"
    assert (
        Verdict(path="a.jpg", status="error", model_hash="abc", message="empty file").decision
        == "error"
    )


# Two rows of a drawn face would not be found: what finds faces has its own tests. Here it is told
# where they are.
def faces_at(monkeypatch: pytest.MonkeyPatch, *faces: Face, left_out: int = 0) -> None:
    monkeypatch.setattr(
        "fauxlab.scan.looking.survey_faces", lambda image, most: Found(list(faces), left_out)
    )


def test_every_face_gets_a_verdict_and_a_picture_without_one_says_so(
    scanner: Scanner, tmp_path: Path, jpeg: Jpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = tmp_path / "a.jpg"
    photo.write_bytes(jpeg(1))
    finder = Scanner(scanner.detector)
    faces_at(monkeypatch, Face(0, 0, 40, 50), Face(30, 10, 32, 20))
    first, second = finder.explain([str(photo)])
    assert (first.first, second.first) == (True, False)
    big, small = first.verdict, second.verdict
    assert (big.face, small.face) == ((0, 0, 40, 40), (30, 10, 62, 42))
    assert big.status == small.status == "ok"
    assert finder(photo) == big
    assert big.left_out == 0
    faces_at(monkeypatch, Face(0, 0, 40, 50), left_out=7)
    assert finder(photo).left_out == 7
    image = decode(photo.read_bytes())
    square = to_square(crop_face(image, Face(30, 10, 32, 20)), 32)
    logits = scanner.detector.predict(square[None]).logits
    assert small.score == pytest.approx(float(scanner.detector.scores(logits)[0]), abs=1e-6)
    faces_at(monkeypatch)
    (none,) = finder.scan([str(photo)])
    assert (none.status, none.decision, none.label, none.score) == (
        "no face",
        "no face",
        None,
        None,
    )
    assert (none.width, none.height) == image.size


def test_a_verdict_comes_with_its_crop_and_activation_map(
    scanner: Scanner, tmp_path: Path, jpeg: Jpeg
) -> None:
    photo, broken = tmp_path / "a.jpg", tmp_path / "b.jpg"
    photo.write_bytes(jpeg(1))
    broken.write_bytes(b"no picture")
    shown, hidden = scanner.explain([str(photo), str(broken)])
    assert shown.picture is not None
    assert shown.activation_map is not None
    np.testing.assert_array_equal(shown.picture, to_square(decode(photo.read_bytes()), 32))
    logit = float(shown.activation_map.sum())
    assert shown.verdict.score == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-5)
    assert hidden.picture is hidden.activation_map is None
    assert hidden.verdict.decision == "error"


def test_pictures_unlike_all_faces_are_not_told(
    scanner: Scanner, tmp_path: Path, jpeg: Jpeg
) -> None:
    photo = tmp_path / "a.jpg"
    photo.write_bytes(jpeg(1))
    torch.manual_seed(0)
    network = create_detector("trace", 32).eval()
    network.typicality.root.copy_(torch.eye(len(network.typicality.mean)))
    config = scanner.detector.config
    distance = float(
        Detector(network, config, "")
        .predict(to_square(decode(photo.read_bytes()), 32)[None])
        .ood_distances[0]
    )
    for limit, decision in ((2 * distance, {"real", "fake"}), (distance / 2, {"cannot tell"})):
        config = config.model_copy(
            update={
                "architecture": "trace",
                "ood": OodLimits(limit=limit, rate=0.01, n=100),
            }
        )
        verdict = Scanner(Detector(network, config, "abc"), crop="none")(photo)
        assert verdict.decision in decision
        assert verdict.status == "ok"
        assert verdict.score is not None
