"""Toyfaces: its layout, reproducibility and difficulty, which the rest of the lab relies on."""

from __future__ import annotations

import csv
import errno
import os
import re
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression

from fauxlab.datasets.toyfaces import FOLDERS, draw, plan, write_toyfaces
from fauxlab.errors import LabError

N = 90
NAME = re.compile(r"(\d\d)/(\d+)_(19[3-9]\d)-(0[1-9]|1[0-2])-([0-2]\d)_(\d{4})\.jpg")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toyfaces(tmp_path_factory.mktemp("toy") / "faces", n=N, size=64, seed=3)


def _names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg"))


def _person(name: str) -> str:
    return Path(name).name.split("_")[0]


def _pixels(faces: Path, folder: str) -> NDArray[np.uint8]:
    return np.stack(
        [np.asarray(Image.open(faces / folder / name)) for name in _names(faces / folder)]
    )


def test_four_folders_share_their_names_in_deepfakeface_form(faces: Path) -> None:
    names = _names(faces / "wiki")
    assert len(names) == N
    for folder in FOLDERS:
        assert _names(faces / folder) == names
    for name in names:
        match = NAME.fullmatch(name)
        assert match, name
        assert match[1] == match[2].zfill(2)[-2:]
        assert int(match[6]) >= int(match[3]) + 18
    persons = [_person(name) for name in names]
    assert {persons.count(person) for person in persons} == {1, 2, 3}


def test_pictures_share_size_encoder_and_metadata(faces: Path) -> None:
    seen = set()
    for folder in FOLDERS:
        for name in _names(faces / folder)[:10]:
            with Image.open(faces / folder / name) as image:
                tables = tuple(tuple(table) for table in image.quantization.values())  # type: ignore[attr-defined]
                seen.add((image.size, image.mode, tuple(sorted(image.info)), tables))
    assert len(seen) == 1
    assert next(iter(seen))[0] == (64, 64)


def test_insight_pairs_name_another_person_s_photo(faces: Path) -> None:
    with (faces / "insight_pairs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["file_name"] for row in rows) == _names(faces / "wiki")
    for row in rows:
        assert (faces / "wiki" / row["scene"]).is_file()
        assert _person(row["file_name"]) != _person(row["scene"])


def test_insight_keeps_the_scene_outside_the_face(faces: Path) -> None:
    """The corners are the scene photo's, but for the editor's sharpening.

    They are not those of the photo that lent the face.
    """
    photos = plan(N, seed=3)
    from_scene, from_face = [], []
    for photo in photos[:20]:
        fake = draw("insight", photos, photo.number, 64, 3)[:8, :16].astype(float)
        from_scene.append(np.abs(fake - draw("wiki", photos, photo.scene, 64, 3)[:8, :16]).mean())
        from_face.append(np.abs(fake - draw("wiki", photos, photo.number, 64, 3)[:8, :16]).mean())
    assert np.mean(from_scene) < 5
    assert np.mean(from_face) > 20


def test_inpainting_keeps_the_photo_outside_the_region() -> None:
    photos = plan(20, seed=3)
    corner, middle = [], []
    for photo in photos:
        real, fake = (
            draw(folder, photos, photo.number, 64, 3).astype(float)
            for folder in ("wiki", "inpainting")
        )
        change = np.abs(fake - real)
        corner.append(change[:8, :16].mean())
        middle.append(change[24:48, 20:44].mean())
    assert np.mean(corner) < 5
    assert np.mean(middle) > 8


def test_same_parameters_give_the_same_bytes_and_a_shorter_set_is_a_prefix(
    faces: Path, tmp_path: Path
) -> None:
    short = write_toyfaces(tmp_path / "short", n=12, size=64, seed=3)
    for photo in plan(12, seed=3):
        for folder in FOLDERS:
            assert (short / folder / photo.name).read_bytes() == (
                faces / folder / photo.name
            ).read_bytes()
    assert plan(12, seed=3) == plan(N, seed=3)[:12]
    other = write_toyfaces(tmp_path / "other", n=12, size=64, seed=4)
    first, second = (
        np.asarray(Image.open(root / "wiki" / _names(root / "wiki")[0])) for root in (short, other)
    )
    assert not np.array_equal(first, second)


def test_a_picture_does_not_depend_on_those_drawn_before_it() -> None:
    photos = plan(30, seed=3)
    late = draw("insight", photos, 29, 64, 3)
    for number in range(29):
        draw("wiki", photos, number, 64, 3)
    assert np.array_equal(draw("insight", photos, 29, 64, 3), late)


def test_complete_set_is_left_alone_and_half_written_one_is_redrawn(tmp_path: Path) -> None:
    out = write_toyfaces(tmp_path / "set", n=4, size=32)
    picture = out / "wiki" / plan(4)[0].name
    original = picture.read_bytes()
    picture.write_bytes(b"touched")
    assert write_toyfaces(out, n=4, size=32) == out
    assert picture.read_bytes() == b"touched"  # complete: not looked into
    (out / "toyfaces.json").rename(out / "toyfaces.json.part")  # as if stopped before the end
    write_toyfaces(out, n=4, size=32)
    assert picture.read_bytes() == original
    assert not (out / "toyfaces.json.part").exists()


def test_foreign_folder_and_other_parameters_are_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "holiday"
    (foreign / "wiki").mkdir(parents=True)
    (foreign / "wiki" / "mine.jpg").write_bytes(b"precious")
    with pytest.raises(LabError, match="did not draw"):
        write_toyfaces(foreign, n=4, size=32)
    assert (foreign / "wiki" / "mine.jpg").read_bytes() == b"precious"
    write_toyfaces(tmp_path / "set", n=4, size=32)
    with pytest.raises(LabError, match="another set"):
        write_toyfaces(tmp_path / "set", n=5, size=32)
    with pytest.raises(LabError, match="multiple of 4"):
        write_toyfaces(tmp_path / "odd", n=4, size=33)


def test_a_full_disk_is_named_and_the_set_is_drawn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", refuse)
        with pytest.raises(LabError, match=f"cannot write .*toy: .*; make room in {tmp_path},"):
            write_toyfaces(tmp_path / "toy", n=4, size=32)
    write_toyfaces(tmp_path / "toy", n=4, size=32)
    assert len(list((tmp_path / "toy").glob("*/*/*.jpg"))) == 16


def test_two_processes_do_not_draw_into_one_folder(tmp_path: Path) -> None:
    out = tmp_path / "toy"
    out.mkdir()
    with (
        FileLock(out / "toyfaces.json.lock"),
        pytest.raises(LabError, match="another process is drawing into"),
    ):
        write_toyfaces(out, n=4, size=32)
    write_toyfaces(out, n=4, size=32)
    assert sorted(path.name for path in out.iterdir()) == [
        "inpainting",
        "insight",
        "insight_pairs.csv",
        "text2img",
        "toyfaces.json",
        "wiki",
    ]


def test_means_agree_between_folders(faces: Path) -> None:
    means = {folder: _pixels(faces, folder).mean((0, 1, 2)) for folder in FOLDERS}
    for folder in FOLDERS[1:]:
        assert np.abs(means[folder] - means["wiki"]).max() < 8  # of 255


def test_file_sizes_do_not_tell_fake_from_real(faces: Path) -> None:
    names = _names(faces / "wiki")
    sizes = {
        folder: np.array([(faces / folder / name).stat().st_size for name in names])
        for folder in FOLDERS
    }
    for folder in FOLDERS[1:]:
        # the area under the ROC curve
        above = (sizes[folder][:, None] > sizes["wiki"][None]).mean()
        assert 0.25 < above < 0.75, folder


@pytest.mark.parametrize("generator", FOLDERS[1:])
def test_linear_model_on_pixels_is_of_little_use(faces: Path, generator: str) -> None:
    names = _names(faces / "wiki")
    persons = np.array([_person(name) for name in names])
    shuffled = np.random.default_rng(0).permutation(np.unique(persons))
    held_out = np.isin(persons, shuffled[: len(shuffled) // 3])
    both = np.concatenate([_pixels(faces, "wiki"), _pixels(faces, generator)]).astype(np.float32)
    pixels = both.reshape(2 * N, 32, 2, 32, 2, 3).mean((2, 4)).reshape(2 * N, -1)
    label, test = np.repeat([0, 1], N), np.tile(held_out, 2)
    centre, spread = pixels[~test].mean(0), pixels[~test].std(0) + 1e-3
    model = LogisticRegression(C=1e-3, max_iter=100).fit(
        (pixels[~test] - centre) / spread, label[~test]
    )
    assert model.score((pixels[test] - centre) / spread, label[test]) < 0.8
