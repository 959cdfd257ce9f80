"""The manifest's own file, its splits and its pairs."""

from __future__ import annotations

import csv
import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fauxlab.data.indexing import index
from fauxlab.data.manifest import COLUMNS, REQUIRED, Manifest
from fauxlab.errors import LabError

Jpeg = Callable[..., bytes]


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_saved_manifest_moves_with_its_data(small: Manifest, tmp_path: Path) -> None:
    small.save(tmp_path / "manifest.csv")
    os.makedirs(tmp_path / "moved")
    for name in ("set", "manifest.csv"):
        os.rename(tmp_path / name, tmp_path / "moved" / name)
    again = Manifest.load(tmp_path / "moved/manifest.csv")
    assert again.data_hash == small.data_hash
    assert all(os.path.isfile(again.resolve(row)) for row in again.rows)


def test_manifest_elsewhere_keeps_absolute_paths(small: Manifest, tmp_path: Path) -> None:
    small.save(tmp_path / "else/where/manifest.csv")
    again = Manifest.load(tmp_path / "else/where/manifest.csv")
    assert all(os.path.isfile(again.resolve(row)) for row in again.rows)


def test_data_hash_sees_content_labels_and_splits(small: Manifest) -> None:
    assert small.split(seed=0).data_hash == small.data_hash
    assert small.split(seed=1).data_hash != small.data_hash


def test_tied_images_of_two_earlier_splits_go_to_the_one_nearer_to_training(
    small: Manifest,
) -> None:
    held = [
        next(row for row in small.rows if row.split == split) for split in ("test", "train", "val")
    ]
    tied = {held[0].group: "one", held[1].group: "one", held[2].group: held[2].group}
    rows = tuple(replace(row, group=tied.get(row.group, row.group)) for row in small.rows)
    again = Manifest(rows, small.root).split(seed=1, earlier=small)
    splits = {row.sha256: row.split for row in again.rows}
    assert [splits[row.sha256] for row in held] == ["train", "train", "val"]


def test_pictures_with_other_bytes_and_new_ones_of_a_group_stay_on_its_side(
    small: Manifest,
) -> None:
    anew = tuple(replace(row, sha256=f"{i:064}") for i, row in enumerate(small.rows))
    again = Manifest((*anew, replace(anew[0], path="new.png", sha256="f" * 64)), small.root).split(
        1, earlier=small
    )
    assert [row.split for row in again.rows] == [
        *(row.split for row in small.rows),
        small.rows[0].split,
    ]


def test_matched_reals(small: Manifest) -> None:
    assert small.matched_reals("grain") == ["photos"]
    assert small.missing_reals() == {}
    elsewhere = small.where(lambda row: row.label == 1 or row.split == "train").test
    assert elsewhere.matched_reals("grain") == []
    with pytest.raises(LabError, match="no source 'nothing'"):
        small.pair({"grain": ["nothing"]})
    with pytest.raises(LabError, match="no generator 'nothing'"):
        small.pair({"nothing": ["photos"]})


def test_reals_that_are_not_there_are_no_reason_to_take_others(small: Manifest) -> None:
    rows = [
        replace(row, compare_to="ffhq;flickr" if row.generator == "grain" else row.compare_to)
        for row in small.rows
    ]
    manifest = replace(small, rows=tuple(rows))
    assert manifest.matched_reals("grain") == []
    assert manifest.matched_reals("speckle") == ["photos"]
    assert manifest.missing_reals() == {"grain": ["ffhq", "flickr"]}
    rows = [replace(row, source="flickr" if not row.label else row.source) for row in rows]
    manifest = replace(small, rows=tuple(rows))
    assert manifest.matched_reals("grain") == ["flickr"]
    assert manifest.missing_reals() == {"grain": ["ffhq"]}


def test_a_manifest_of_the_first_version_is_read_with_its_pairs_and_hash(tmp_path: Path) -> None:
    """A fake's source then named what to compare it with. The hash is of fauxlab 0.1."""
    lines = [
        "path,label,generator,source,group,split,sha256",
        f"a.jpg,real,,ffhq,g1,train,{'1' * 64}",
        f"b.jpg,real,,celeba,g2,train,{'2' * 64}",
        f"c.jpg,fake,gan,ffhq;celeba,g3,test,{'3' * 64}",
        f"d.jpg,fake,sd,,g4,test,{'4' * 64}",
    ]
    (tmp_path / "old.csv").write_text("\n".join(lines))
    manifest = Manifest.load(tmp_path / "old.csv")
    assert [(row.source, row.compare_to) for row in manifest.rows] == [
        ("ffhq", ""),
        ("celeba", ""),
        ("", "ffhq;celeba"),
        ("", ""),
    ]
    assert manifest.data_hash == "81305c0087b3cce3"
    manifest.save(tmp_path / "new.csv")
    again = Manifest.load(tmp_path / "new.csv")
    assert again == manifest
    assert again.data_hash == manifest.data_hash


def test_further_columns_stay_with_their_rows(small: Manifest, tmp_path: Path) -> None:
    rows = [replace(row, extra={"note": f'{i}, "é"\n'}) for i, row in enumerate(small.rows[:3])]
    manifest = replace(small, rows=(*rows, *small.rows[3:]))
    assert manifest.columns == (*COLUMNS, "note")
    assert manifest.data_hash == small.data_hash, "they describe, and no result depends on them"
    manifest.save(tmp_path / "manifest.csv")
    again = Manifest.load(tmp_path / "manifest.csv")
    assert [row.extra["note"] for row in again.rows[:4]] == [
        '0, "é"\n',
        '1, "é"\n',
        '2, "é"\n',
        "",
    ]
    assert len({hash(row) for row in again.rows}) == len(again)


GOOD = {
    "path": "a.jpg",
    "label": "real",
    "generator": "",
    "group": "g",
    "split": "train",
    "sha256": "0" * 64,
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "genuine"}, "line 2: label 'genuine'"),
        ({"split": "tset"}, "split 'tset'"),
        ({"sha256": "abc"}, "64 hex digits"),
        ({"label": "fake"}, "a fake without generator"),
        ({"path": ""}, "no path"),
        ({"group": ""}, "no group"),
    ],
)
def test_bad_manifest_rows(tmp_path: Path, change: dict[str, str], message: str) -> None:
    path = tmp_path / "manifest.csv"
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, GOOD)
        writer.writeheader()
        writer.writerow({**GOOD, **change})
    with pytest.raises(LabError, match=message):
        Manifest.load(path)


@pytest.mark.parametrize("missing", REQUIRED)
def test_missing_columns_are_named(tmp_path: Path, missing: str) -> None:
    columns = [c for c in COLUMNS if c != missing]
    (tmp_path / "manifest.csv").write_text(
        ",".join(columns) + "\n" + ",".join("x" for _ in columns) + "\n"
    )
    with pytest.raises(LabError, match=f"lacks the column {missing}"):
        Manifest.load(tmp_path / "manifest.csv")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "lacks the column"),
        (",".join(COLUMNS).encode(), "holds no images"),
        (random.Random(0).randbytes(64).replace(b"\n", b"x"), "lacks the column|not CSV"),
        (b"\x1b[2J\x85\xff," * 500, "lacks the column"),
    ],
)
def test_manifest_that_is_none(tmp_path: Path, data: bytes, message: str) -> None:
    path = put(tmp_path / "manifest.csv", data)
    with pytest.raises(LabError, match=message) as caught:
        Manifest.load(path)
    assert "fauxlab data index DIR" in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_manifest_as_a_spreadsheet_saves_it(small: Manifest, tmp_path: Path) -> None:
    small.save(tmp_path / "manifest.csv")
    data = (tmp_path / "manifest.csv").read_bytes().replace(b"\n", b"\r\n")
    put(tmp_path / "manifest.csv", b"\xef\xbb\xbf" + data)
    assert Manifest.load(tmp_path / "manifest.csv").data_hash == small.data_hash


def test_manifest_that_would_never_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "manifest.csv")
    with pytest.raises(LabError, match="no regular file"):
        Manifest.load(tmp_path / "manifest.csv")


def test_group_on_two_sides_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, GOOD)
        writer.writeheader()
        writer.writerow(GOOD)
        writer.writerow({**GOOD, "split": "test"})
    with pytest.raises(LabError, match="more than one split"):
        Manifest.load(path)


def test_pseudo_fakes_are_trained_on_and_listed_nowhere(small: Manifest, tmp_path: Path) -> None:
    photo = next(row for row in small.rows if not row.label and row.split == "train")
    changed = replace(photo, label=1, generator="blends", source="", extra={"pseudo": "blend"})
    manifest = replace(small, rows=(*small.rows, changed))
    assert (photo.kind, changed.kind) == ("photos", "blends")
    assert (photo.is_pseudo, changed.is_pseudo) == (False, True)
    assert replace(changed, extra={"pseudo": ""}).is_pseudo is False
    assert manifest.generators == small.generators == ["grain", "speckle"]
    assert manifest.sources == small.sources == ["photos"]
    assert len(manifest.train) == len(small.train) + 1
    assert manifest.without_pseudo() == small
    assert small.without_pseudo() is small
    manifest.save(tmp_path / "manifest.csv")
    assert Manifest.load(tmp_path / "manifest.csv").rows[-1].is_pseudo


def test_splits_must_sum_to_one(small: Manifest) -> None:
    with pytest.raises(LabError, match="sum to 1"):
        small.split(fractions=(0.5, 0.1, 0.1, 0.1))
    with pytest.raises(LabError, match="sum to 1"):
        small.split(fractions=(float("nan"), 0.1, 0.1, 0.1))
    with pytest.raises(LabError, match="seed -1"):
        small.split(seed=-1)


def test_unsplit_manifest_says_so(small: Manifest) -> None:
    bare = index(small.root)
    with pytest.raises(LabError, match="has no splits"):
        _ = bare.train


@pytest.mark.slow
def test_the_research_faces(faces: Path) -> None:
    manifest = index(faces).split(seed=0)
    assert len(manifest) == 15_275
    assert not manifest.skipped
    assert (len(manifest.sources), len(manifest.generators)) == (20, 16)
    counts = Counter(row.generator or row.source for row in manifest.rows)
    assert (counts["ffhq"], counts["utkface"], counts["actors-film"]) == (1600, 1077, 85)
    assert (counts["stylegan"], counts["dfdc-swap"], counts["flux"]) == (1600, 1465, 124)
    matched = {name: manifest.matched_reals(name) for name in manifest.generators}
    assert matched["stylegan"] == ["ffhq"]
    assert matched["dfdc-swap"] == ["dfdc-real"]
    assert matched["sd21"] == manifest.sources
    assert manifest.columns[-3:] == ("age", "sex", "ethnicity")
    described = [row for row in manifest.rows if row.extra["age"]]
    assert {row.source for row in described} == {"utkface"}
    splits: dict[str, set[str]] = {}
    for row in manifest.rows:
        splits.setdefault(row.group, set()).add(row.split)
    assert all(len(s) == 1 for s in splits.values())


def test_spaces_around_the_names_in_compare_to_are_none_of_them(small: Manifest) -> None:
    rows = [replace(row, compare_to=" photos ; " if row.label else "") for row in small.rows]
    spaced = replace(small, rows=tuple(rows))
    assert spaced.matched_reals("grain") == ["photos"]
    assert spaced.missing_reals() == {}


def test_a_column_that_stands_twice_is_refused(small: Manifest, tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    small.save(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    repeated = [f"{lines[0]},split", *(f"{line},test" for line in lines[1:])]
    path.write_text("\n".join(repeated), encoding="utf-8")
    with pytest.raises(LabError, match="has 2 columns 'split'; keep one"):
        Manifest.load(path)
