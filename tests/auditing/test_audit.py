"""Data sets with a known way to cheat, and without one."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fauxlab.auditing.audit import audit, metadata_baseline, sample_kinds
from fauxlab.data.indexing import index
from fauxlab.data.manifest import Manifest, Row
from fauxlab.errors import LabError
from fauxlab.records import AuditReport, GeneratorAudit

Command = Callable[..., tuple[int, str, str]]

Options = dict[str, object]
ALIKE: Options = {"quality": 85}


def draw(seed: int, side: int = 64, **options: object) -> bytes:
    """JPEG bytes of the same picture at any side."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(40, 210, (8, 8, 3), dtype=np.uint8))
    image = coarse.resize((96, 96), Image.Resampling.BICUBIC).resize(
        (side, side), Image.Resampling.BICUBIC
    )
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


def make_set(
    tmp_path: Path,
    real: Callable[[int], bytes],
    fake: Callable[[int], bytes],
    n: int = 80,
    generator: str = "gan",
) -> Manifest:
    """n reals of one source and n fakes in groups of their own, as folders with a manifest and a
    split.
    """
    rows = []
    for label, make in enumerate((real, fake)):
        for i in range(n):
            data = make(i)
            path = tmp_path / f"{label}-{i:03}.jpg"
            path.write_bytes(data)
            name, source, compare_to = (generator, "", "photos") if label else ("", "photos", "")
            rows.append(
                Row(
                    path.name,
                    label,
                    name,
                    source,
                    compare_to,
                    f"{label}-{i}",
                    "",
                    hashlib.sha256(data).hexdigest(),
                )
            )
    return Manifest(tuple(rows), tmp_path).split(seed=0)


def cues(report: AuditReport) -> dict[str, str]:
    return {family: score.cue for family, score in report.generators[0].shortcut_features.items()}


def test_encodings_that_differ_are_shortcuts(tmp_path: Path) -> None:
    # The same pictures, as a collection of photos and a generator's output come: other size, other
    # quality.
    for i in range(60):
        for folder, data in {
            "wiki": draw(i, 80, quality=92),
            "text2img": draw(i, 64, quality=75),
        }.items():
            path = tmp_path / folder / "10" / f"{i}_1960-01-01_2001.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    report = audit(index(tmp_path).split(seed=0))
    found = cues(report)
    assert {family for family, verdict in found.items() if verdict == "shortcut"} == {
        "size",
        "bytes",
        "encoding",
    }
    assert found["colour"] == found["framing"] == found["aspect"] == found["metadata"] == "none"
    assert report.generators[0].file_features.value == 1
    assert report.generators[0].file_features.low == pytest.approx(0.025 ** (1 / 18)), (
        "the exact bound for 18 pairs"
    )
    texts = {finding.family: finding.text for finding in report.shortcuts}
    assert "reals: 100% JPEG q92 4:2:0; fakes: 100% JPEG q75 4:2:0" in texts["encoding"]
    assert "reals: 100% 80×80; fakes: 100% 64×64" in texts["size"]
    assert "fix before training" in report.summary


def test_pictures_written_alike_have_no_shortcut(tmp_path: Path) -> None:
    report = audit(
        make_set(tmp_path, lambda i: draw(i, **ALIKE), lambda i: draw(1000 + i, **ALIKE))
    )
    assert set(cues(report).values()) == {"none"}
    assert report.summary == "no shortcut found"
    assert "nothing separates them" in report.table()
    auc = report.generators[0].shortcut_features["encoding"].auc
    assert (auc.low, auc.value, auc.high) == (0.5, 0.5, 0.5)


def test_metadata_on_one_side(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "maker"
    manifest = make_set(
        tmp_path, lambda i: draw(i, exif=exif, **ALIKE), lambda i: draw(1000 + i, **ALIKE)
    )
    report = audit(manifest)
    assert {family for family, cue in cues(report).items() if cue != "none"} == {"metadata"}
    assert "reals: 100% exif; fakes: 100% none" in report.shortcuts[0].text


def test_colour_spectrum_and_framing_are_told_apart(tmp_path: Path) -> None:
    def change(i: int, kind: str) -> bytes:
        pixels = np.asarray(Image.open(io.BytesIO(draw(1000 + i, **ALIKE))), dtype=np.int16).copy()
        if kind == "colour":
            pixels[..., 0] += 30
        elif kind == "spectrum":  # the grid that upsampling by transposed convolutions leaves
            pixels[::2, ::2] += 8
        else:
            pixels[:, 32:] = pixels[:, 32:33]
        stream = io.BytesIO()
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(stream, "PNG")
        return stream.getvalue()

    def real(i: int) -> bytes:
        stream = io.BytesIO()
        Image.open(io.BytesIO(draw(i, **ALIKE))).save(stream, "PNG")
        return stream.getvalue()

    expected = {"colour": "content", "spectrum": "trace", "framing": "shortcut"}
    for kind, cue in expected.items():
        folder = tmp_path / kind
        folder.mkdir()
        report = audit(make_set(folder, real, lambda i, kind=kind: change(i, kind)))  # type: ignore[misc]
        assert cues(report)[kind] == cue
        assert kind != "colour" or {cues(report)[name] for name in ("spectrum", "framing")} == {
            "none"
        }


def test_equal_arguments_give_equal_reports(tmp_path: Path) -> None:
    manifest = make_set(
        tmp_path, lambda i: draw(i, **ALIKE), lambda i: draw(1000 + i, quality=80), n=40
    )
    first = audit(manifest, limit=30, workers=1)
    assert audit(manifest, limit=30, workers=4) == first
    assert AuditReport.model_validate_json(first.model_dump_json()) == first
    assert (first.n, first.n_manifest) == (60, 80)
    assert "60 of 80 images, at most 30 of a kind, seed 0" in first.table()
    assert sample_kinds(manifest, 30, 1).rows != sample_kinds(manifest, 30, 0).rows


def test_tiny_sets_have_no_interval_and_no_cue(tmp_path: Path) -> None:
    report = audit(
        make_set(tmp_path, lambda i: draw(i, **ALIKE), lambda i: draw(1000 + i, quality=30), n=8)
    )
    assert set(cues(report).values()) == {"unknown"}
    assert all(score.auc.low is None for score in report.generators[0].shortcut_features.values())
    assert not report.shortcuts
    assert report.summary == "too few groups to tell: gan"
    one = audit(
        make_set(tmp_path, lambda i: draw(i, **ALIKE), lambda i: draw(1000 + i, **ALIKE), n=1)
    )
    assert "n/a" in one.table()


def test_one_class_is_refused(tmp_path: Path) -> None:
    manifest = make_set(tmp_path, draw, lambda i: draw(1000 + i), n=4)
    with pytest.raises(LabError, match=r"holds 4 reals and 0 fakes; .* give a manifest"):
        audit(manifest.reals())
    with pytest.raises(LabError, match="the test part holds 0 reals and 4 fakes"):
        metadata_baseline(manifest, manifest.where(lambda row: row.label == 1))
    with pytest.raises(LabError, match="limit 0"):
        audit(manifest, limit=0)
    for row in manifest.rows[4:]:
        (tmp_path / row.path).write_bytes(b"no picture")
    with pytest.raises(LabError, match=r"4 reals and 0 fakes .*changed since it was indexed"):
        audit(manifest)


def test_bad_files_are_left_out_and_names_stay_printable(tmp_path: Path) -> None:
    manifest = make_set(tmp_path, draw, lambda i: draw(1000 + i), n=20, generator="g\x1b[2J\udcff")
    hostile = Row(
        "../\x1b]0;x\x07.jpg", 1, "g\x1b[2J\udcff", "", "photos", "x\n", "train", "0" * 64
    )
    report = audit(replace(manifest, rows=(*manifest.rows, hostile)))
    assert report.n == 40
    assert report.skipped[0][1] == "no such file"
    printed = report.table() + report.model_dump_json() + report.skipped[0][0]
    assert "\x1b" not in printed
    printed.encode()


def test_leaks_between_splits(tmp_path: Path) -> None:
    def fake(i: int) -> bytes:
        return draw(1000 + i // 2, quality=85 + i % 2)  # each picture twice, hardly changed

    manifest = make_set(tmp_path, lambda i: draw(i, **ALIKE), fake, n=40)
    report = audit(manifest)
    leaks = [finding.text for finding in report.findings if finding.kind == "leak"]
    crossing = sum(
        a.split != b.split for a, b in zip(manifest.rows[40::2], manifest.rows[41::2], strict=True)
    )
    assert crossing > 0
    assert f"{crossing} pairs of near-duplicates stand in two splits" in leaks[0]
    assert "leaks" in report.summary
    rows = tuple(
        replace(row, group="one", sha256=manifest.rows[0].sha256) for row in manifest.rows[:41:40]
    )
    broken = replace(manifest, rows=(*manifest.rows[1:40], *manifest.rows[41:], *rows))
    texts = " ".join(finding.text for finding in audit(broken).findings)
    assert "1 files are labelled real and fake" in texts
    assert ("1 groups stand in more than one split" in texts) == (rows[0].split != rows[1].split)


def test_imbalance_and_missing_pairs_are_told(tmp_path: Path) -> None:
    manifest = make_set(
        tmp_path, lambda i: draw(i, **ALIKE), lambda i: draw(1000 + i, **ALIKE), n=40
    )
    few = manifest.where(lambda row: not row.label or int(row.group[2:]) < 10)
    rows = tuple(
        replace(row, compare_to="", split="") if row.label else replace(row, split="")
        for row in few.rows
    )
    notes = " ".join(f.text for f in audit(replace(few, rows=rows)).findings if f.kind == "note")
    assert "40 reals and 10 fakes" in notes
    assert "no reals are named for gan: compared with all (photos)" in notes
    assert "no splits yet" in notes
    assert "one size (64×64) and one encoding (JPEG q85 4:2:0)" in notes
    uneven = tuple(replace(row, split="test" if row.label else row.split) for row in few.rows)
    notes = " ".join(f.text for f in audit(replace(few, rows=uneven)).findings if f.kind == "note")
    assert "the share of fakes differs between splits" in notes
    assert "gan has no image in train" in notes


def test_metadata_baseline(tmp_path: Path) -> None:
    manifest = make_set(
        tmp_path, lambda i: draw(i, quality=92), lambda i: draw(1000 + i, quality=75)
    )
    train, test = manifest.train, manifest.in_split("val", "calibration", "test")
    assert metadata_baseline(train, test)["gan"].value == 1
    # A figure of other pictures than the detector's beside it is none.
    lost = next(row for row in test.rows if not row.label)
    held = (tmp_path / lost.path).read_bytes()
    (tmp_path / lost.path).unlink()
    assert metadata_baseline(train, test)["gan"].value is None
    (tmp_path / lost.path).write_bytes(held)
    # A generator that the training part does not have is judged by what tells all of its fakes.
    other = replace(
        test, rows=tuple(replace(row, generator="new" if row.label else "") for row in test.rows)
    )
    assert metadata_baseline(train, other)["new"].value == 1


def test_command(tmp_path: Path, fauxlab: Command) -> None:
    manifest = make_set(
        tmp_path, lambda i: draw(i, quality=92), lambda i: draw(1000 + i, quality=75), n=60
    )
    manifest.save(tmp_path / "manifest.csv")
    audit = ("data", "audit", tmp_path / "manifest.csv")
    code, out, _ = fauxlab(*audit)
    assert code == 0
    assert re.search(r"1\.00 \.\d\d–1\.00!", out)
    assert out.splitlines()[-1].startswith(
        "summary: shortcuts: gan (bytes, encoding): fix before training"
    )
    code, out, _ = fauxlab(*audit, "--json", "--fail-on", "shortcut")
    assert code == 3
    audited = json.loads(out)["generators"][0]
    assert audited["shortcut_features"]["encoding"]["cue"] == "shortcut"
    # The names of 0.1 are read.
    former = dict(audited)
    former["traits"] = former.pop("shortcut_features")
    former["file_traits"] = former.pop("file_features")
    assert GeneratorAudit.model_validate(former) == GeneratorAudit.model_validate(audited)
    assert fauxlab(*audit, "--fail-on", "leak")[0] == 0


@pytest.mark.slow
def test_research_faces(faces: Path) -> None:
    pairs = {"stylegan": ["ffhq"], "dfdc-swap": ["dfdc-real"]}
    pairs |= {name: ["ffhq", "celeba"] for name in ("sd21", "generated-photos")}
    kinds = {*pairs, *(name for reals in pairs.values() for name in reals)}
    manifest = index(faces).where(lambda row: (row.generator or row.source) in kinds)
    report = audit(manifest.split(seed=0).pair(pairs))
    told = {
        f.generator: {g.family for g in report.shortcuts if g.generator == f.generator}
        for f in report.shortcuts
    }
    assert told == {"sd21": {"bytes", "framing"}, "generated-photos": {"bytes", "framing"}}


@pytest.mark.parametrize(
    "pattern", ["real/tube/{v:03}/{k}.jpg", "real/{v:03}/{k}.jpg", "real/{v:03}_frame{k}.jpg"]
)
def test_videos_in_two_splits_are_leaks_by_their_names(tmp_path: Path, pattern: str) -> None:
    for v in range(6):
        for k in range(6):
            for side in ("real/", "fake/gan/"):
                path = tmp_path / pattern.format(v=v, k=k).replace("real/", side)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(draw(100 * v + k, quality=80 if side == "real/" else 79))
    left = index(tmp_path, group_by="none").split(seed=0)
    texts = [finding.text for finding in audit(left).findings if finding.kind == "leak"]
    assert any("6 videos or persons, by the names of folders and files" in text for text in texts)
    tied = index(tmp_path).split(seed=0)
    assert [finding for finding in audit(tied).findings if finding.kind == "leak"] == []
