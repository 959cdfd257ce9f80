"""Layouts, hostile folders and archives, duplicates."""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fauxlab.data.indexing import index
from fauxlab.data.manifest import COLUMNS, Manifest
from fauxlab.errors import LabError
from fauxlab.io.limits import ImageError
from fauxlab.io.sources import FileReader, walk_images

Jpeg = Callable[..., bytes]


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def summary(manifest: Manifest) -> set[tuple[str, int, str, str]]:
    return {(row.path, row.label, row.generator, row.source) for row in manifest.rows}


def pack(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def test_real_fake_layout(tmp_path: Path, jpeg: Jpeg) -> None:
    put(tmp_path / "real/a.jpg", jpeg(1))
    put(tmp_path / "real/flickr/b.jpg", jpeg(2))
    put(tmp_path / "fake/gan/a.jpg", jpeg(3))
    put(tmp_path / "fake/notes.txt", b"no picture")
    put(tmp_path / "fake/c.jpg", jpeg(4))
    manifest = index(tmp_path)
    assert summary(manifest) == {
        ("real/a.jpg", 0, "", "real"),
        ("real/flickr/b.jpg", 0, "", "flickr"),
        ("fake/gan/a.jpg", 1, "gan", ""),
        ("fake/c.jpg", 1, "fake", ""),
    }
    group = {row.path: row.group for row in manifest.rows}
    assert group["real/a.jpg"] == group["fake/gan/a.jpg"] != group["real/flickr/b.jpg"]


def test_collections_of_the_real_fake_layout_may_be_zips(tmp_path: Path, jpeg: Jpeg) -> None:
    (tmp_path / "a/real").mkdir(parents=True)
    for name, members in (
        ("real/ffhq", ("ffhq/1.jpg", "2.jpg")),
        ("fake", ("fake/gan/1.jpg", "4.jpg")),
    ):
        with zipfile.ZipFile(tmp_path / f"a/{name}.zip", "w") as archive:
            for member in members:
                archive.writestr(member, jpeg(len(name) + len(member)))
    manifest = index(tmp_path / "a")
    assert summary(manifest) == {
        ("real/ffhq.zip!/ffhq/1.jpg", 0, "", "ffhq"),
        ("real/ffhq.zip!/2.jpg", 0, "", "ffhq"),
        ("fake.zip!/fake/gan/1.jpg", 1, "gan", ""),
        ("fake.zip!/4.jpg", 1, "fake", ""),
    }
    assert len({row.group for row in manifest.rows}) == 3, "1.jpg is one picture in two versions"


@pytest.mark.parametrize("zipped", [False, True])
def test_deepfakeface_folders_and_zips(tmp_path: Path, jpeg: Jpeg, zipped: bool) -> None:
    names = [
        "10/110_1960-01-01_2001.jpg",
        "10/110_1960-01-01_2005.jpg",
        "20/220_1970-01-01_2002.jpg",
        "30/330_1_2.jpg",
    ]
    for k, folder in enumerate(("wiki", "inpainting", "insight", "text2img")):
        for i, name in enumerate(names):
            put(tmp_path / folder / name, jpeg(10 * k + i))
    (tmp_path / "insight_pairs.csv").write_text(f"file_name,scene\n{names[0]},{names[2]}\n")
    if zipped:
        for folder in ("wiki", "inpainting", "insight", "text2img"):
            with zipfile.ZipFile(tmp_path / f"{folder}.zip", "w") as archive:
                for name in names:
                    archive.write(tmp_path / folder / name, f"{folder}/{name}")
                    (tmp_path / folder / name).unlink()
            os.rename(tmp_path / folder, tmp_path / f"emptied-{folder}")
    manifest = index(tmp_path)
    assert len(manifest) == 16
    assert manifest.generators == ["inpainting", "insight", "text2img"]
    assert {(row.label, row.source, row.compare_to) for row in manifest.rows} == {
        (0, "wiki", ""),
        (1, "", "wiki"),
    }
    group = {
        row.path.replace(".zip!/", "/").replace("wiki/wiki", "wiki"): row.group
        for row in manifest.rows
    }
    # Persons 110 and 220 meet in an insight picture; 330 stands alone.
    assert len(set(group.values())) == 2
    assert sum(g == group[next(p for p in group if "330" in p)] for g in group.values()) == 4


def test_imagefolder_with_metadata(tmp_path: Path, jpeg: Jpeg) -> None:
    for i, name in enumerate(("r/0.jpg", "r/1.jpg", "f/0.jpg")):
        put(tmp_path / name, jpeg(i))
    (tmp_path / "metadata.csv").write_text(
        "file_name,label,generator,group\nr/0.jpg,real,,p1;p2\nr/1.jpg,0,,p2\nf/0.jpg,Fake,gan,p9\n"
    )
    manifest = index(tmp_path)
    assert summary(manifest) == {
        ("r/0.jpg", 0, "", "r"),
        ("r/1.jpg", 0, "", "r"),
        ("f/0.jpg", 1, "gan", ""),
    }
    assert [row.group for row in manifest.rows] == ["p1", "p1", "p9"]


def test_zips_with_metadata(tmp_path: Path, jpeg: Jpeg) -> None:
    for name in ("photos", "gan"):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            archive.writestr(f"{name}/0.jpg", jpeg(len(name)))
    (tmp_path / "metadata.csv").write_text("file_name,label\nphotos/0.jpg,real\ngan/0.jpg,fake\n")
    manifest = index(tmp_path)
    assert summary(manifest) == {
        ("photos.zip!/photos/0.jpg", 0, "", "photos"),
        ("gan.zip!/gan/0.jpg", 1, "gan", ""),
    }


def test_zips_below_a_collection_belong_to_it(tmp_path: Path, jpeg: Jpeg) -> None:
    put(tmp_path / "real/photos/0.jpg", jpeg(0))
    pack(tmp_path / "real/photos/part1.zip", {"1.jpg": jpeg(1), "deep/2.jpg": jpeg(2)})
    pack(tmp_path / "real/photos/old/part2.zip", {"part2/3.jpg": jpeg(3)})
    pack(tmp_path / "fake/gan/part1.zip", {"gan/1.jpg": jpeg(4)})
    pack(tmp_path / "fake/gan/part2.zip", {"deep/2.jpg": jpeg(5)})
    manifest = index(tmp_path)
    assert summary(manifest) == {
        ("real/photos/0.jpg", 0, "", "photos"),
        ("real/photos/part1.zip!/1.jpg", 0, "", "photos"),
        ("real/photos/part1.zip!/deep/2.jpg", 0, "", "photos"),
        ("real/photos/old/part2.zip!/part2/3.jpg", 0, "", "photos"),
        ("fake/gan/part1.zip!/gan/1.jpg", 1, "gan", ""),
        ("fake/gan/part2.zip!/deep/2.jpg", 1, "gan", ""),
    }
    assert [row.group for row in manifest.rows] == ["0", "1", "deep", "old", "1", "deep"]


def test_parts_of_deepfakeface_may_be_several_zips(tmp_path: Path, jpeg: Jpeg) -> None:
    pack(tmp_path / "wiki/00.zip", {"00/1_1960-01-01_2001.jpg": jpeg(1)})
    pack(tmp_path / "wiki/01.zip", {"wiki/2_1960-01-01_2001.jpg": jpeg(2)})
    pack(tmp_path / "text2img.zip", {"1_1960-01-01_2001.jpg": jpeg(3)})
    manifest = index(tmp_path)
    assert [row.label for row in manifest.rows] == [0, 0, 1]
    assert manifest.rows[0].group == manifest.rows[2].group != manifest.rows[1].group


@pytest.mark.parametrize("place", ["real/photos/part1.zip", "real/part1.zip", "fake/part1.zip"])
def test_a_damaged_zip_is_skipped_and_the_rest_is_indexed(
    tmp_path: Path, jpeg: Jpeg, place: str
) -> None:
    put(tmp_path / "real/photos/0.jpg", jpeg(0))
    put(tmp_path / "fake/gan/1.jpg", jpeg(1))
    put(tmp_path / place, b"no zip")
    manifest = index(tmp_path)
    assert [row.path for row in manifest.rows] == ["real/photos/0.jpg", "fake/gan/1.jpg"]
    assert [path for path, _ in manifest.skipped] == [place]
    assert "is not a readable zip" in manifest.skipped[0][1]


def test_hidden_folders_are_no_collections(
    tmp_path: Path, jpeg: Jpeg, caplog: pytest.LogCaptureFixture
) -> None:
    for number, name in enumerate(
        (
            "real/photos/a.jpg",
            "real/.thumbnails/a.jpg",
            "real/photos/@eaDir/a.jpg",
            "fake/gan/b.jpg",
            "fake/.git/b.jpg",
            "fake/__MACOSX/b.jpg",
            "fake/._c.jpg",
        )
    ):
        put(tmp_path / name, jpeg(number))
    assert summary(index(tmp_path)) == {
        ("real/photos/a.jpg", 0, "", "photos"),
        ("fake/gan/b.jpg", 1, "gan", ""),
    }
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [
        f"2 folders passed over (hidden): {tmp_path}/real/.thumbnails, "
        f"{tmp_path}/real/photos/@eaDir; rename a folder to read it",
        f"2 folders passed over (hidden): {tmp_path}/fake/.git, {tmp_path}/fake/__MACOSX; "
        "rename a folder to read it",
    ]


def test_a_hidden_folder_that_is_named_is_indexed(tmp_path: Path, jpeg: Jpeg) -> None:
    put(tmp_path / ".faces/real/a.jpg", jpeg(1))
    assert len(index(tmp_path / ".faces")) == 1


TABLE = """file_name,label,generator,source,compare_to,group,age,split,,sex
r/0.jpg,real,,museum,ignored,p1,56,test,x,male
r/1.jpg,real,,,,p2,,,,
f/0.jpg,fake,gan,a web service,museum;r,p3,,,,
f/1.jpg,fake,gan2,,,p4,31,train,,female
"""


def test_a_table_names_sources_comparisons_and_further_columns(tmp_path: Path, jpeg: Jpeg) -> None:
    for number, name in enumerate(("r/0.jpg", "r/1.jpg", "f/0.jpg", "f/1.jpg")):
        put(tmp_path / name, jpeg(number))
    put(tmp_path / "metadata.csv", TABLE.encode())
    made = index(tmp_path)
    made.split(seed=0).save(tmp_path / "manifest.csv")
    for manifest in (made, Manifest.load(tmp_path / "manifest.csv")):
        assert [(row.source, row.compare_to) for row in manifest.rows] == [
            ("museum", ""),
            ("r", ""),
            ("a web service", "museum;r"),
            ("", ""),
        ]
        assert [row.extra for row in manifest.rows] == [
            {"age": "56", "sex": "male"},
            {"age": "", "sex": ""},
            {"age": "", "sex": ""},
            {"age": "31", "sex": "female"},
        ]
        assert manifest.columns == (*COLUMNS, "age", "sex")
        assert manifest.sources == ["museum", "r"]
    assert made.matched_reals("gan") == ["museum", "r"]
    assert {row.split for row in made.rows} == {""}, "the table's own split is no split of ours"
    first_line = (tmp_path / "manifest.csv").read_text().partition("\n")[0]
    assert first_line == (
        "path,label,generator,manipulation,source,compare_to,group,split,sha256,age,sex"
    )


def test_a_table_of_the_first_version_pairs_by_source(tmp_path: Path, jpeg: Jpeg) -> None:
    put(tmp_path / "r/0.jpg", jpeg(1))
    put(tmp_path / "f/0.jpg", jpeg(2))
    table = b"file_name,label,generator,source\nr/0.jpg,real,,ffhq\nf/0.jpg,fake,gan,ffhq;celeba\n"
    put(tmp_path / "metadata.csv", table)
    manifest = index(tmp_path)
    assert [(row.source, row.compare_to) for row in manifest.rows] == [
        ("ffhq", ""),
        ("", "ffhq;celeba"),
    ]
    assert manifest.matched_reals("gan") == ["ffhq"]


def test_metadata_as_spreadsheets_save_it(tmp_path: Path, jpeg: Jpeg) -> None:
    """A byte order mark, CRLF, empty groups, names that are no UTF-8."""
    put(tmp_path / "a.jpg", jpeg(1))
    put(tmp_path / "b.jpg", jpeg(2))
    table = b"\xef\xbb\xbffile_name,label,generator,group\r\na.jpg,real,,;\r\nb.jpg,fake,g\xff,\r\n"
    put(tmp_path / "metadata.csv", table)
    manifest = index(tmp_path)
    assert summary(manifest) == {("a.jpg", 0, "", "real"), ("b.jpg", 1, "g\\xff", "")}
    assert [row.group for row in manifest.rows] == ["a.jpg", "b.jpg"]


NAMES_OF_SIDES = [
    ("Real", "Fake"),
    ("REAL", "FAKE"),
    ("0_real", "1_fake"),
    ("original", "manipulated"),
    ("training_real", "training_fake"),
    ("real_images", "fake_images"),
    ("RealFaces", "FakeFaces"),
    ("originals", "deepfakes"),
    ("nature", "ai"),
    ("authentic", "synthetic"),
    ("real", "generated"),
    ("train/real", "train/fake"),
    ("faces/test/0_real", "faces/test/1_fake"),
    ("real_vs_fake/real-vs-fake/train/real", "real_vs_fake/real-vs-fake/train/fake"),
]


@pytest.mark.parametrize(("real", "fake"), NAMES_OF_SIDES)
def test_other_names_of_real_and_fake(tmp_path: Path, jpeg: Jpeg, real: str, fake: str) -> None:
    put(tmp_path / real / "a.jpg", jpeg(1))
    put(tmp_path / real / "flickr/b.jpg", jpeg(2))
    put(tmp_path / fake / "gan/c.jpg", jpeg(3))
    put(tmp_path / fake / "d.jpg", jpeg(4))
    assert summary(index(tmp_path)) == {
        (f"{real}/a.jpg", 0, "", "real"),
        (f"{real}/flickr/b.jpg", 0, "", "flickr"),
        (f"{fake}/gan/c.jpg", 1, "gan", ""),
        (f"{fake}/d.jpg", 1, "fake", ""),
    }


def test_sides_may_lie_below_their_generators(tmp_path: Path, jpeg: Jpeg) -> None:
    """As in the test set of CNNDetection, and zips beside folders."""
    put(tmp_path / "progan/car/0_real/1.png", jpeg(1))
    put(tmp_path / "progan/car/1_fake/1.png", jpeg(2))
    put(tmp_path / "stylegan/0_real/1.png", jpeg(3))
    pack(tmp_path / "stylegan/1_fake.zip", {"1_fake/1.png": jpeg(4)})
    manifest = index(tmp_path)
    assert [(row.generator, row.source) for row in manifest.rows] == [
        ("", "progan"),
        ("progan", ""),
        ("", "stylegan"),
        ("stylegan", ""),
    ]
    groups = [row.group for row in manifest.rows]
    assert groups[0] == groups[1] != groups[2] == groups[3]


def test_several_folders_of_reals_keep_their_names(tmp_path: Path, jpeg: Jpeg) -> None:
    """As in Celeb-DF."""
    put(tmp_path / "Celeb-real/a.jpg", jpeg(1))
    put(tmp_path / "YouTube-real/b.jpg", jpeg(2))
    put(tmp_path / "Celeb-synthesis/c.jpg", jpeg(3))
    manifest = index(tmp_path)
    assert manifest.sources == ["Celeb-real", "YouTube-real"]
    assert manifest.generators == ["Celeb-synthesis"]


def test_plain_names_of_sides_come_first(
    tmp_path: Path, jpeg: Jpeg, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path / "real/a.jpg", jpeg(1))
    put(tmp_path / "real_old/b.jpg", jpeg(2))
    put(tmp_path / "fake/gan/c.jpg", jpeg(3))
    put(tmp_path / "real_or_fake/d.jpg", jpeg(4))
    caplog.clear()
    assert [row.path for row in index(tmp_path).rows] == ["real/a.jpg", "fake/gan/c.jpg"]
    [warning] = caplog.messages
    assert warning.startswith("2 folders passed over (neither real nor fake by their names): ")
    assert "real_old" in warning
    assert "real_or_fake" in warning


def test_pairs_are_checked_before_a_picture_is_read(
    tmp_path: Path, jpeg: Jpeg, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path / "real/a.jpg", jpeg(1))
    put(tmp_path / "fake/gan/c.jpg", jpeg(3))
    put(tmp_path / "fake/gan/notes.txt", b"text")
    read: list[int] = []
    with pytest.raises(LabError, match="no source 'b' to pair; there are real"):
        index(tmp_path, read.append, pairs={"gan": ["b"]})
    assert read == []
    caplog.clear()
    manifest = index(tmp_path, pairs={"gan": ["real"]})
    assert [row.compare_to for row in manifest.rows] == ["", "real"]
    assert len(caplog.messages) == 1, "what is passed over is told once"


def test_methods_of_faceforensics_beside_the_originals(tmp_path: Path, jpeg: Jpeg) -> None:
    put(tmp_path / "original/a.jpg", jpeg(1))
    for k, name in enumerate(("Deepfakes", "Face2Face", "NeuralTextures")):
        put(tmp_path / name / "a.jpg", jpeg(2 + k))
    assert index(tmp_path).generators == ["Deepfakes", "Face2Face", "NeuralTextures"]


def test_pictures_of_a_fake_video_with_real_sound_are_fake(tmp_path: Path, jpeg: Jpeg) -> None:
    """As in FakeAVCeleb."""
    put(tmp_path / "RealVideo-FakeAudio/a.jpg", jpeg(1))
    put(tmp_path / "FakeVideo-RealAudio/a.jpg", jpeg(2))
    assert [row.label for row in index(tmp_path).rows] == [0, 1]


def test_folders_of_either_side_may_be_named(tmp_path: Path, jpeg: Jpeg) -> None:
    put(tmp_path / "photos/a.jpg", jpeg(1))
    put(tmp_path / "photos/train/b.jpg", jpeg(2))
    put(tmp_path / "more/ffhq/c.jpg", jpeg(3))
    put(tmp_path / "stylegan/d.jpg", jpeg(4))
    put(tmp_path / "made/sd21/e.jpg", jpeg(5))
    put(tmp_path / "made/sdxl/f.jpg", jpeg(6))
    for number in (999, 1000):
        put(tmp_path / f"big/{number // 1000:05}/{number:06}.png", jpeg(number))
    pack(tmp_path / "packed.zip", {"g.jpg": jpeg(7)})
    manifest = index(
        reals=[tmp_path / "photos", tmp_path / "more", tmp_path / "photos"],
        fakes=[tmp_path / name for name in ("stylegan", "made", "big", "packed.zip")],
    )
    assert manifest.root == tmp_path
    assert summary(manifest) == {
        ("photos/a.jpg", 0, "", "photos"),
        ("photos/train/b.jpg", 0, "", "photos"),
        ("more/ffhq/c.jpg", 0, "", "ffhq"),
        ("stylegan/d.jpg", 1, "stylegan", ""),
        ("made/sd21/e.jpg", 1, "sd21", ""),
        ("made/sdxl/f.jpg", 1, "sdxl", ""),
        ("big/00000/000999.png", 1, "big", ""),
        ("big/00001/001000.png", 1, "big", ""),
        ("packed.zip!/g.jpg", 1, "packed", ""),
    }


def test_folders_of_either_side_that_cannot_be_used(tmp_path: Path, jpeg: Jpeg) -> None:
    real = put(tmp_path / "a/x.jpg", jpeg(1)).parent
    fake = put(tmp_path / "a/b/y.jpg", jpeg(2)).parent
    other = put(tmp_path / "c/z.jpg", jpeg(3)).parent
    with pytest.raises(LabError, match="and they share images; name separate folders"):
        index(reals=[real], fakes=[other, fake])
    with pytest.raises(LabError, match="name it with --real DIR"):
        index(fakes=[fake])
    with pytest.raises(LabError, match="no folder and no zip"):
        index(reals=[tmp_path / "nowhere"])
    with pytest.raises(LabError, match="give one folder with a known layout, or"):
        index(tmp_path, reals=[real])


def table_of(tmp_path: Path, jpeg: Jpeg, name: str, content: bytes) -> Manifest:
    for number in range(2):
        put(tmp_path / f"set/img/{number}.jpg", jpeg(number))
    put(tmp_path / "set" / name, content)
    return index(tmp_path / "set")


ROWS = {("img/0.jpg", 0, "", "img"), ("img/1.jpg", 1, "img", "")}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metadata.csv", b"file_name,label\r\nimg\\0.jpg,real\r\n.\\img\\1.jpg,fake\r\n"),
        ("metadata.csv", b"\xef\xbb\xbffile_name;label\r\nimg/0.jpg;real\r\nimg/1.jpg;fake\r\n"),
        ("metadata.csv", b"sep=;\r\nfile_name;label\r\nimg/0.jpg;0\r\nimg/1.jpg;1\r\n"),
        ("metadata.csv", b"file_name\tlabel\nimg/0.jpg\tREAL\nimg/1.jpg\tFAKE\n"),
        ("metadata.csv", b'"File_Name","Label "\n"img/0.jpg",real\n"img/1.jpg",fake\n'),
        (
            "metadata.jsonl",
            b'{"file_name": "img/0.jpg", "label": 0}\r\n\r\n'
            b'{"file_name":"img/1.jpg","label":"fake"}',
        ),
        (
            "metadata.jsonl",
            b'\xef\xbb\xbf{"label": "Real", "file_name": "img\\\\0.jpg"}\n'
            b'{"file_name": "img/1.jpg", "label": 1.0, "generator": null}\n',
        ),
    ],
)
def test_tables_of_windows_spreadsheets_and_programs(
    tmp_path: Path, jpeg: Jpeg, name: str, content: bytes
) -> None:
    assert summary(table_of(tmp_path, jpeg, name, content)) == ROWS


def test_json_lines_have_the_columns_of_a_table(tmp_path: Path, jpeg: Jpeg) -> None:
    manifest = table_of(
        tmp_path,
        jpeg,
        "metadata.jsonl",
        b'{"file_name": "img/0.jpg", "label": "real", "source": "museum", "group": ["p", "q"]}\n'
        b'{"file_name": "img/1.jpg", "label": "fake", "generator": "gan", "compare_to": "museum",'
        b' "age": 31, "boxes": [1, 2], "ok": true, "half": "\\ud800"}\n',
    )
    real, fake = manifest.rows
    assert (real.source, real.group, fake.generator, fake.compare_to) == (
        ("museum", "p", "gan", "museum")
    )
    assert fake.extra == {"age": "31", "boxes": "[1, 2]", "ok": "true", "half": "\\ud800"}


def test_each_split_may_have_a_table(tmp_path: Path, jpeg: Jpeg) -> None:
    """As the imagefolders of Hugging Face."""
    for number, (split, label) in enumerate((("train", "real"), ("test", "fake"))):
        put(tmp_path / split / "0.jpg", jpeg(number))
        line = f'{{"file_name": "0.jpg", "label": "{label}"}}'
        put(tmp_path / split / "metadata.jsonl", line.encode())
    manifest = index(tmp_path)
    assert summary(manifest) == {("test/0.jpg", 1, "fake", ""), ("train/0.jpg", 0, "", "real")}
    assert [row.group for row in manifest.rows] == ["test/0.jpg", "train/0.jpg"]


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_manifest_that_a_spreadsheet_saved_is_read(
    tmp_path: Path, jpeg: Jpeg, delimiter: str
) -> None:
    put(tmp_path / "real/a.jpg", jpeg(1))
    put(tmp_path / "fake/gan/b.jpg", jpeg(2))
    made = index(tmp_path)
    made.save(tmp_path / "m.csv")
    text = (tmp_path / "m.csv").read_text().replace(",", delimiter).replace("\n", "\r\n")
    (tmp_path / "m.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert Manifest.load(tmp_path / "m.csv").rows == made.rows


def test_a_name_in_the_letters_of_windows_is_found(tmp_path: Path, jpeg: Jpeg) -> None:
    """As spreadsheets of western Europe save tables, in cp1252."""
    put(tmp_path / "Köln/Müller.jpg", jpeg(1))
    put(tmp_path / "metadata.csv", "file_name;label\nKöln\\Müller.jpg;real\n".encode("cp1252"))
    manifest = index(tmp_path)
    assert [row.path for row in manifest.rows] == ["Köln/Müller.jpg"]


def test_a_backslash_may_be_part_of_a_name(tmp_path: Path, jpeg: Jpeg) -> None:
    put(tmp_path / "a\\b.jpg", jpeg(1))
    put(tmp_path / "metadata.csv", b"file_name,label\na\\b.jpg,real\n")
    assert [row.path for row in index(tmp_path).rows] == ["a\\b.jpg"]


def test_a_manifest_that_windows_wrote_finds_its_files(tmp_path: Path, jpeg: Jpeg) -> None:
    put(tmp_path / "real/a/0.jpg", jpeg(1))
    index(tmp_path).save(tmp_path / "m.csv")
    text = (tmp_path / "m.csv").read_text().replace("real/a/0.jpg", r"real\a\0.jpg")
    (tmp_path / "m.csv").write_text(text)
    manifest = Manifest.load(tmp_path / "m.csv")
    with FileReader() as reader:
        assert reader.read(manifest.resolve(manifest.rows[0])) == jpeg(1)


@pytest.mark.parametrize(
    "name",
    ["../secret.jpg", "img/../../secret.jpg", "{outside}", r"..\secret.jpg", r"C:\secret.jpg"],
)
def test_names_that_lead_out_of_a_table_are_refused(tmp_path: Path, jpeg: Jpeg, name: str) -> None:
    secret = put(tmp_path / "secret.jpg", jpeg(9))
    written = name.format(outside=secret)
    content = f"file_name,label\nimg/0.jpg,real\n{written},fake\n"
    manifest = table_of(tmp_path, jpeg, "metadata.csv", content.encode())
    assert [row.path for row in manifest.rows] == ["img/0.jpg"]
    assert [reason for _, reason in manifest.skipped] == [
        "refused: the name in the table leads outside its folder; name files from the table on"
    ]


def test_an_absolute_name_below_the_table_is_read(tmp_path: Path, jpeg: Jpeg) -> None:
    inside = tmp_path / "set/img/0.jpg"
    content = f"file_name,label\n{inside},real\n"
    manifest = table_of(tmp_path, jpeg, "metadata.csv", content.encode())
    assert [row.path for row in manifest.rows] == ["img/0.jpg"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no known layout"),
        ({"a.jpg": b""}, "no known layout"),
        ({"metadata.csv": b"file,label\n"}, "lacks the column file_name"),
        ({"metadata.csv": b"file_name,label\na.jpg,not real\n"}, "line 2: label 'not real'"),
        ({"metadata.csv": b"file_name,label\n" + b"a" * 2**21}, "line 2 has more than 1,048,576"),
        ({"metadata.jsonl": b'{"file_name": "' + b"a" * 2**21}, "line 1 has more than 1,048,576"),
        ({"metadata.csv": "file_name,label\n".encode("utf-16")}, "lacks the column"),
        ({"metadata.csv": b"\x00\r\x1b[2J" * 100}, "lacks the column|not CSV"),
        ({"metadata.csv": b"x" * 200_000}, "not CSV"),
        ({"metadata.jsonl": b"{}\n"}, "line 1 lacks file_name and label"),
        ({"metadata.jsonl": b'{"file_name": "a"'}, "line 1 is not JSON"),
        ({"metadata.jsonl": b"[" * 200_000}, "line 1 is not JSON"),
        ({"metadata.jsonl": b"1" * 5_000}, "line 1 is not JSON|holds no object"),
        ({"metadata.jsonl": b"\n[1]\n"}, "line 2 holds no object"),
        ({"metadata.jsonl": b'{"file_name": "a", "label": true}'}, "line 1: label 'true'"),
        ({"metadata.parquet": b"PAR1"}, "metadata.parquet is a table that fauxlab does not read"),
        ({"original/a.jpg": b"", "other/b.jpg": b""}, "no known layout"),
        ({"real/a.jpg": b"", "fake/g/b.jpg": b"x"}, "no usable image"),
        ({"wiki.zip": b"no zip at all", "insight.zip": b""}, "not a readable zip"),
    ],
)
def test_unusable_folders(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    for name, data in files.items():
        put(tmp_path / name, data)
    with pytest.raises(LabError, match=message) as caught:
        index(tmp_path)
    assert str(caught.value).isprintable(), "one line"


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_a_table_that_is_a_pipe_or_a_lost_link_is_named(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(LabError, match=f"cannot read table .*{name}: it is no regular file"):
        index(tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("nowhere")
    with pytest.raises(LabError, match=f"cannot read table .*{name}: no such file"):
        index(tmp_path)


@pytest.mark.parametrize(
    ("real", "fake"),
    [("genuine", "Deepfake"), ("0_real", "1_fake"), ("Original", "AI-generated"), ("0", "1")],
)
def test_labels_in_other_words(tmp_path: Path, jpeg: Jpeg, real: str, fake: str) -> None:
    content = f"file_name,label\nimg/0.jpg,{real}\nimg/1.jpg,{fake}\n"
    manifest = table_of(tmp_path, jpeg, "metadata.csv", content.encode())
    assert [row.label for row in manifest.rows] == [0, 1]


def test_an_address_in_a_table_is_told(tmp_path: Path, jpeg: Jpeg) -> None:
    content = b"file_name,label\nimg/0.jpg,real\nhttps://a.org/x.jpg,fake\n"
    manifest = table_of(tmp_path, jpeg, "metadata.csv", content)
    [(_, reason)] = manifest.skipped
    assert reason.startswith("an address; pictures are not downloaded")


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="is not a folder"):
        index(tmp_path / "nowhere")


def test_bad_files_are_listed_and_the_rest_is_indexed(tmp_path: Path, jpeg: Jpeg) -> None:
    put(tmp_path / "real/good.jpg", jpeg(1))
    put(tmp_path / "real/cut.jpg", jpeg(2)[:500])
    put(tmp_path / "real/empty.png", b"")
    put(tmp_path / "fake/gan/text.jpg", b"text")
    put(tmp_path / "fake/gan/good.jpg", jpeg(3))
    manifest = index(tmp_path)
    assert sorted(row.path for row in manifest.rows) == ["fake/gan/good.jpg", "real/good.jpg"]
    assert {path for path, _ in manifest.skipped} == {
        "real/cut.jpg",
        "real/empty.png",
        "fake/gan/text.jpg",
    }


def test_symlink_loop_ends(tmp_path: Path, jpeg: Jpeg) -> None:
    put(tmp_path / "real/a.jpg", jpeg(1))
    (tmp_path / "real/again").symlink_to(tmp_path / "real", target_is_directory=True)
    (tmp_path / "real/up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "real/dead.jpg").symlink_to(tmp_path / "gone.jpg")
    names = [path.name for path in walk_images(tmp_path / "real")]
    assert names.count("a.jpg") == 1
    with FileReader() as reader, pytest.raises(ImageError, match="no such file"):
        reader.read(str(tmp_path / "real/dead.jpg"))


def test_a_link_to_itself_is_no_folder(tmp_path: Path, jpeg: Jpeg) -> None:
    put(tmp_path / "real/a.jpg", jpeg(1))
    put(tmp_path / "train/real/a.jpg", jpeg(1))
    for name in ("loop", "fake", "real/loop", "loop.zip", "train/fake"):
        (tmp_path / name).symlink_to(Path(name).name)
    assert [row.path for row in index(tmp_path).rows] == ["real/a.jpg"]


def test_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with FileReader() as reader, pytest.raises(ImageError, match="not a regular file"):
        reader.read(str(tmp_path / "pipe.jpg"))


def test_names_that_are_no_utf8_survive(tmp_path: Path, jpeg: Jpeg) -> None:
    raw = os.fsencode(tmp_path) + b"/real/caf\xe9.jpg"
    os.makedirs(os.path.dirname(raw))
    Path(os.fsdecode(raw)).write_bytes(jpeg(1))
    put(tmp_path / "fake/gan/b.jpg", jpeg(2))
    index(tmp_path).split().save(tmp_path / "manifest.csv")
    manifest = Manifest.load(tmp_path / "manifest.csv")
    real = next(row for row in manifest.rows if not row.label)
    assert os.fsencode(real.path) == b"real/caf\xe9.jpg"
    with FileReader() as reader:
        assert reader.read(manifest.resolve(real)) == jpeg(1)


@pytest.mark.parametrize("mark", ["\r", "\n", "\r\n", '"', ",", "; "])
def test_a_name_of_any_characters_comes_back_from_the_file(
    tmp_path: Path, jpeg: Jpeg, mark: str
) -> None:
    put(tmp_path / f"set/real/od{mark}d.jpg", jpeg(1))
    put(tmp_path / "set/fake/gan/b.jpg", jpeg(2))
    made = index(tmp_path / "set").split(seed=0)
    made.save(tmp_path / "m.csv")
    loaded = Manifest.load(tmp_path / "m.csv")
    assert [loaded.resolve(row) for row in loaded.rows] == [made.resolve(row) for row in made.rows]


def test_members_keep_the_names_that_open_them(tmp_path: Path, jpeg: Jpeg) -> None:
    """As bsdtar and others pack: with "./" and "//", which no path of the system would keep."""
    (tmp_path / "set/fake").mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "set/real.zip", "w") as archive:
        archive.writestr("./real/photos/a.jpg", jpeg(1))
        archive.writestr("./b.jpg", jpeg(2))
    with zipfile.ZipFile(tmp_path / "set/fake/gan.zip", "w") as archive:
        archive.writestr(".//gan//photos//a.jpg", jpeg(3))
    index(tmp_path / "set").split(seed=0).save(str(tmp_path / "m.csv"))
    manifest = Manifest.load(tmp_path / "m.csv")
    assert summary(manifest) == {
        ("set/real.zip!/./real/photos/a.jpg", 0, "", "photos"),
        ("set/real.zip!/./b.jpg", 0, "", "real"),
        ("set/fake/gan.zip!/.//gan//photos//a.jpg", 1, "gan", ""),
    }
    with FileReader() as reader:
        assert [reader.read(manifest.resolve(row)) for row in manifest.rows] == [
            jpeg(1),
            jpeg(2),
            jpeg(3),
        ]


def test_folders_may_look_like_members(tmp_path: Path, jpeg: Jpeg) -> None:
    put(tmp_path / "a.zip!/real/!/a.jpg", jpeg(1))
    put(tmp_path / "a.zip!/fake/x.zip!/b.jpg", jpeg(2))
    manifest = index(tmp_path / "a.zip!")
    assert [row.path for row in manifest.rows] == ["real/!/a.jpg", "fake/x.zip!/b.jpg"]


def test_tables_may_name_files_from_here(tmp_path: Path, jpeg: Jpeg) -> None:
    """As `find . -name …` writes them, beside folders and zips."""
    put(tmp_path / "photos/a.jpg", jpeg(1))
    put(tmp_path / "b.jpg", jpeg(2))
    with zipfile.ZipFile(tmp_path / "gan.zip", "w") as archive:
        archive.writestr("./0.jpg", jpeg(3))
        archive.writestr("./gan/1.jpg", jpeg(4))
    names = ["./photos/a.jpg,real", "./b.jpg,real", "./gan/0.jpg,fake", "gan//1.jpg,fake"]
    (tmp_path / "metadata.csv").write_text("\n".join(["file_name,label", *names]))
    assert summary(index(tmp_path)) == {
        ("photos/a.jpg", 0, "", "photos"),
        ("b.jpg", 0, "", "real"),
        ("gan.zip!/./0.jpg", 1, "gan", ""),
        ("gan.zip!/./gan/1.jpg", 1, "gan", ""),
    }


def test_a_zip_may_shout(tmp_path: Path, jpeg: Jpeg) -> None:
    put(tmp_path / "real/a.jfif", jpeg(1))
    (tmp_path / "fake").mkdir()
    with zipfile.ZipFile(tmp_path / "fake/STYLEGAN.ZIP", "w") as archive:
        archive.writestr("x.jpg", jpeg(2))
    assert summary(index(tmp_path)) == {
        ("real/a.jfif", 0, "", "real"),
        ("fake/STYLEGAN.ZIP!/x.jpg", 1, "STYLEGAN", ""),
    }


def test_hostile_zip_members_are_refused(tmp_path: Path, jpeg: Jpeg) -> None:
    path = tmp_path / "wiki.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("wiki/../../outside.jpg", jpeg(1))
        archive.writestr("/absolute.jpg", jpeg(2))
        archive.writestr("bomb.bmp", b"\0" * 20_000_000)
        archive.writestr("good.jpg", jpeg(3))
    put(tmp_path / "text2img/1_b_c.jpg", jpeg(4))
    manifest = index(tmp_path)
    assert {row.path for row in manifest.rows} == {"wiki.zip!/good.jpg", "text2img/1_b_c.jpg"}
    reasons = dict(manifest.skipped)
    assert "outside" in reasons.pop("wiki.zip!/bomb.bmp").replace("unpack", "outside")
    assert len(reasons) == 2
    assert all("points outside" in reason for reason in reasons.values())
    assert not (tmp_path.parent / "outside.jpg").exists()


def test_damaged_and_lying_zip_members_are_skipped(tmp_path: Path, jpeg: Jpeg) -> None:
    path = tmp_path / "wiki.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jpg", jpeg(1))
        archive.writestr("b.jpg", jpeg(2))
    data = bytearray(path.read_bytes())
    start = data.index(b"a.jpg") + 60
    data[start : start + 50] = bytes(50)
    # The second central entry claims two gigabytes.
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = struct.pack("<I", 2**31)
    path.write_bytes(data)
    put(tmp_path / "insight/1_b_c.jpg", jpeg(4))
    manifest = index(tmp_path)
    assert len(manifest) == 1
    assert len(manifest.skipped) == 2


def test_copies_share_a_group_and_ambiguous_bytes_are_left_out(tmp_path: Path, jpeg: Jpeg) -> None:
    put(tmp_path / "real/a.jpg", jpeg(1, (160, 160)))
    put(tmp_path / "real/recompressed.jpg", jpeg(1, (160, 160), quality=50))
    put(tmp_path / "real/copy.jpg", jpeg(1, (160, 160)))
    put(tmp_path / "real/other.jpg", jpeg(2, (160, 160)))
    put(tmp_path / "real/both.jpg", jpeg(3))
    put(tmp_path / "fake/gan/both-too.jpg", jpeg(3))
    put(tmp_path / "fake/gan/own.jpg", jpeg(4))
    manifest = index(tmp_path)
    group = {Path(row.path).name: row.group for row in manifest.rows}
    assert group["a.jpg"] == group["copy.jpg"] == group["recompressed.jpg"] != group["other.jpg"]
    assert {Path(path).name for path, _ in manifest.skipped} == {"both.jpg", "both-too.jpg"}


def test_a_collection_of_reals_has_no_separator_in_its_name(tmp_path: Path, jpeg: Jpeg) -> None:
    put(tmp_path / "real/a;b/1.jpg", jpeg(1))
    put(tmp_path / "fake/g/2.jpg", jpeg(2))
    paired = index(tmp_path).pair({"g": ["a_b"]})
    assert paired.sources == ["a_b"]
    assert [(row.source, row.compare_to) for row in paired.rows] == [("a_b", ""), ("", "a_b")]


def test_generators_have_names_that_can_be_printed(tmp_path: Path, jpeg: Jpeg) -> None:
    os.makedirs(os.fsencode(tmp_path) + b"/fake/g\xff\n")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/fake/g\xff\n/a.jpg")).write_bytes(jpeg(1))
    put(tmp_path / "real/b.jpg", jpeg(2))
    indexed = index(tmp_path)
    indexed.save(tmp_path / "manifest.csv")
    manifest = Manifest.load(tmp_path / "manifest.csv")
    assert manifest.generators == indexed.generators == ["g\\xff\\n"]
    assert manifest.data_hash == indexed.data_hash
    with FileReader() as reader:
        assert reader.read(manifest.resolve(manifest.rows[1])) == jpeg(1)
