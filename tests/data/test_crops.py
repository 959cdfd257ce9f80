"""Pictures for which the crop of their largest face stands."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fauxlab.auditing.audit import audit
from fauxlab.auditing.features import measure_file
from fauxlab.data.cache import load_images
from fauxlab.data.indexing import index
from fauxlab.data.manifest import COLUMNS, CROP_COLUMNS, Manifest
from fauxlab.data.rows import Row
from fauxlab.errors import LabError
from fauxlab.io.images import decode_frames
from fauxlab.io.squares import Square
from fauxlab.scan.finding import faces as finding
from fauxlab.scan.finding.faces import Face, Found
from fauxlab.scan.looking import look_for_faces

Command = Callable[..., tuple[int, str, str]]
SIZE = 32


def draw_scene(seed: int, size: tuple[int, int] = (120, 90)) -> bytes:
    """A picture of smooth noise as PNG."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    stream = io.BytesIO()
    coarse.resize(size, Image.Resampling.BICUBIC).save(stream, "PNG")
    return stream.getvalue()


def place_faces(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Let a face be found where the picture's brightness says; returns sizes of pictures seen.

    What finds faces has its own tests.
    """
    seen = []

    def survey(image: Image.Image, most: int = 256) -> Found:
        seen.append(image.size)
        brightness = int(np.asarray(image).mean())
        if image.size == (64, 64):
            return Found([], 0)
        side = 20 if image.size == (70, 70) else 40
        turn = 90 * (brightness % 4)
        return Found([Face(30 + brightness % 9, 20, side, 0.9, turn)][:most], 0)

    monkeypatch.setattr(finding, "survey_faces", survey)
    monkeypatch.setattr("fauxlab.scan.looking.survey_faces", survey)
    return seen


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    for number, name in enumerate(("real/photos/a", "real/photos/b", "fake/gan/c", "fake/gan/d")):
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(draw_scene(number))
    (folder / "real/photos/empty.png").write_bytes(draw_scene(8, (64, 64)))
    (folder / "real/photos/tiny.png").write_bytes(draw_scene(9, (70, 70)))
    return folder


def test_training_sees_the_pixels_that_a_scan_scores(
    scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place_faces(monkeypatch)
    manifest = index(scenes, crop="face")
    images = load_images(manifest, SIZE)
    assert len(images) == 4
    assert len({row.crop.turn for row in manifest.rows if row.crop}) > 1
    for number, row in enumerate(manifest.rows):
        data = Path(manifest.resolve(row)).read_bytes()
        looked = look_for_faces(decode_frames(data), SIZE, 1, lambda: False)
        (pixels,) = images.take(np.array([number]))
        np.testing.assert_array_equal(pixels, looked.cuts[0].pixels)


def test_pictures_without_a_usable_face_are_listed(
    scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place_faces(monkeypatch)
    assert index(scenes, crop="face").skipped == (
        ("real/photos/empty.png", "no face was found in it"),
        ("real/photos/tiny.png", "its largest face has 20 pixels a side; at least 32 are needed"),
    )
    assert len(index(scenes)) == 6


def test_a_picture_that_breaks_the_search_is_one_that_is_skipped(
    scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def survey(image: Image.Image, most: int = 256) -> Found:
        if image.size == (64, 64):
            raise MemoryError("no room")
        return Found([Face(10, 10, 40, 0.9)], 0)

    monkeypatch.setattr(finding, "survey_faces", survey)
    manifest = index(scenes, crop="face")
    ((path, reason),) = manifest.skipped
    assert path == "real/photos/empty.png"
    assert reason.startswith("faces cannot be looked for")
    assert "no room" in reason

    def lack(image: Image.Image, most: int = 256) -> Found:
        raise LabError("yunet.onnx: No such file or directory; install fauxlab again")

    monkeypatch.setattr(finding, "survey_faces", lack)
    with pytest.raises(LabError, match="install fauxlab again"):
        index(scenes, crop="face")


def test_crops_stand_in_the_manifest_and_are_kept(
    fauxlab: Command, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = place_faces(monkeypatch)
    table = tmp_path / "m.csv"
    command = ("data", "index", scenes, "--out", table)
    assert fauxlab(*command, "--crop", "face")[0] == 0
    manifest = Manifest.load(table)
    assert manifest.columns == (*COLUMNS, *CROP_COLUMNS)
    with table.open() as stream:
        cells = next(csv.DictReader(stream))
    crop = manifest.rows[0].crop
    assert crop is not None
    assert [cells[name] for name in CROP_COLUMNS] == [str(number) for number in crop]
    with (tmp_path / "m-skipped.csv").open() as stream:
        assert [row["path"] for row in csv.DictReader(stream)] == [
            "set/real/photos/empty.png",
            "set/real/photos/tiny.png",
        ]

    (scenes / "real/photos/new.png").write_bytes(draw_scene(5))
    seen.clear()
    code, _, err = fauxlab(*command)
    assert (code, sorted(seen)) == (0, [(64, 64), (70, 70), (120, 90)]), "only those without a crop"
    assert "the manifest that is replaced has crops: --crop face" in err
    again = Manifest.load(table)
    assert {row.path: row.crop for row in manifest.rows}.items() <= {
        row.path: row.crop for row in again.rows
    }.items()
    assert len(again) == 5
    assert fauxlab(*command, "--crop", "none")[0] == 0
    assert not Manifest.load(table).has_crops


def test_another_crop_is_another_picture(scenes: Path) -> None:
    whole = index(scenes)
    row = whole.rows[0]
    cropped = [replace(row, crop=Square(left, 0, 40)) for left in (0, 50)]
    manifest = replace(whole, rows=(row, *cropped))
    images = load_images(manifest, SIZE)
    pixels = images.take(np.arange(3))
    assert len({picture.tobytes() for picture in pixels}) == 3
    assert replace(whole, rows=(row,)).data_hash != replace(whole, rows=(cropped[0],)).data_hash
    decoded: list[int] = []
    load_images(manifest, SIZE, decoded.append)
    assert not decoded, "each has its place in the store"


def test_a_crop_beyond_its_picture_is_left_out(scenes: Path) -> None:
    whole = index(scenes)
    first, second, *_ = whole.rows
    rows = (replace(first, crop=Square(100, 0, 40)), replace(second, crop=Square(0, 0, 40)))
    images = load_images(replace(whole, rows=rows), SIZE)
    assert len(images) == 1
    ((path, reason),) = images.skipped
    assert path == first.path
    assert "its crop, 40 pixels from (100, 0) on, reaches beyond the picture of 120×90" in reason


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ("1,2,30,0", ""),
        (",,,", ""),
        ("1,2,30,45", "crop '1 2 30 45', expected left, top and side in pixels"),
        ("1,2,0,90", "crop '1 2 0 90', expected"),
        ("1,2,,0", "crop '1 2  0', expected"),
        ("-1,2,30,0", "crop '-1 2 30 0', expected"),
        ("1,2,99999999999999999999,0", "crop '1 2 9999"),
        ("a,2,30,0", "crop 'a 2 30 0', expected"),
    ],
)
def test_what_a_manifest_may_say_of_crops(cells: str, problem: str, tmp_path: Path) -> None:
    header = ",".join(("path", "label", "generator", "group", "split", "sha256", *CROP_COLUMNS))
    table = tmp_path / "m.csv"
    table.write_text(f"{header}\na.jpg,real,,g,train,{'1' * 64},{cells}\n")
    if problem:
        with pytest.raises(LabError) as caught:
            Manifest.load(table)
        assert f"m.csv, line 2: {problem}" in str(caught.value)
    else:
        expected = Square(1, 2, 30, 0) if cells[0] == "1" else None
        assert Manifest.load(table).rows[0].crop == expected


def test_an_unknown_crop_is_refused(scenes: Path) -> None:
    with pytest.raises(LabError, match="crop 'eyes': one of none, face"):
        index(scenes, crop="eyes")  # type: ignore[arg-type]


def test_an_audit_measures_the_crops(scenes: Path) -> None:
    data = draw_scene(1)
    whole = measure_file(data)
    cropped = measure_file(data, crop=Square(0, 0, 45))
    assert cropped.looks["size"] == "45×45"
    assert cropped.values["size"] == pytest.approx(np.log2([45, 45]))
    # 45² of 120·90 pixels.
    bytes_whole = 2 ** whole.values["bytes"][0]
    assert 2 ** cropped.values["bytes"][0] == pytest.approx(bytes_whole * 45**2 / 10800, abs=2)
    assert cropped.values["bytes"][1] == whole.values["bytes"][1]
    assert not np.array_equal(cropped.values["colour"], whole.values["colour"])
    np.testing.assert_array_equal(cropped.bits, whole.bits)

    manifest = index(scenes)
    rows = [replace(row, crop=Square(0, 0, 40)) for row in manifest.rows]
    report = audit(replace(manifest, rows=tuple(rows)), bootstrap=10)
    assert (report.n, report.skipped) == (6, [])


def test_fakes_are_made_or_altered(scenes: Path, tmp_path: Path) -> None:
    manifest = index(scenes, altered=["gan"])
    assert {row.label: row.manipulation for row in manifest.rows} == {0: "", 1: "altered"}
    assert {row.manipulation for row in index(scenes).rows} == {"", "made"}
    assert manifest.data_hash != index(scenes).data_hash
    manifest.save(tmp_path / "m.csv")
    assert Manifest.load(tmp_path / "m.csv").rows == tuple(
        replace(row, path=f"set/{row.path}") for row in manifest.rows
    )
    with pytest.raises(LabError, match="no generator 'gam' to mark as altered; there are gan"):
        index(scenes, altered=["gam"])
    assert Row("a.jpg", 1, "gan", "", "", "g", "", "0" * 64).manipulation == "made"


def test_generators_that_alter_are_named_in_lists_too(
    fauxlab: Command, scenes: Path, tmp_path: Path
) -> None:
    (scenes / "fake/swap").mkdir()
    (scenes / "fake/paint").mkdir()
    (scenes / "fake/swap/s.png").write_bytes(draw_scene(20))
    (scenes / "fake/paint/p.png").write_bytes(draw_scene(21))
    table = tmp_path / "m.csv"
    options = ("--altered", "swap,paint", "--altered", "swap")
    code, _, _ = fauxlab("data", "index", scenes, "--out", table, *options)
    found = {row.generator: row.manipulation for row in Manifest.load(table).rows}
    assert (code, found) == (0, {"": "", "gan": "made", "swap": "altered", "paint": "altered"})
    code, _, err = fauxlab("data", "index", scenes, "--out", table, "--altered", "swop")
    assert (code, err.count("\n")) == (1, 1)
    assert "no generator 'swop' to mark as altered" in err


@pytest.mark.parametrize(
    ("label", "manipulation", "expected"),
    [
        ("fake", "Altered", "altered"),
        ("fake", "made", "made"),
        ("fake", "", "made"),
        ("real", " ", ""),
        ("fake", "deepfake", "line 2: manipulation 'deepfake', expected made or altered"),
        ("real", "made", "line 2: manipulation 'made' of a real picture; leave it empty"),
    ],
)
def test_a_table_says_what_was_altered(
    label: str, manipulation: str, expected: str, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(draw_scene(1))
    (tmp_path / "metadata.csv").write_text(
        f"file_name,label,manipulation,age\na.png,{label},{manipulation},31\n"
    )
    if expected.startswith("line"):
        with pytest.raises(LabError, match=f"metadata.csv, {expected}"):
            index(tmp_path)
    else:
        (row,) = index(tmp_path).rows
        assert (row.manipulation, row.extra) == (expected, {"age": "31"})


def test_further_columns_stay_beside_crops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place_faces(monkeypatch)
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "a.png").write_bytes(draw_scene(1))
    (folder / "metadata.csv").write_text("file_name,label,crop_left,age\na.png,real,7,31\n")
    index(folder, crop="face").save(tmp_path / "m.csv")
    manifest = Manifest.load(tmp_path / "m.csv")
    assert manifest.columns == (*COLUMNS, *CROP_COLUMNS, "age")
    assert manifest.rows[0].extra == {"age": "31"}
