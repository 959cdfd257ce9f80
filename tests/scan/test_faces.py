"""Finding faces, and crops that stay inside the picture."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image, ImageDraw

from fauxlab.errors import LabError
from fauxlab.io.images import decode
from fauxlab.io.sources import FileReader, zip_images
from fauxlab.scan import haar, windows
from fauxlab.scan.faces import Face, Found, crop_face, find_faces, survey_faces


def draw_face(side: int = 200) -> Image.Image:
    """A face as the cascades know it: dark eyes and brows on a lighter oval, a ridge of light
    between, a mouth.
    """
    image = Image.new("RGB", (200, 200), (70, 80, 90))
    draw = ImageDraw.Draw(image)
    draw.ellipse((40, 15, 160, 190), fill=(60, 40, 30))
    draw.ellipse((48, 30, 152, 185), fill=(215, 175, 150))
    for x in (75, 125):
        draw.ellipse((x - 16, 76, x + 16, 100), fill=(150, 105, 85))
        draw.ellipse((x - 10, 82, x + 10, 96), fill=(50, 35, 30))
        draw.rectangle((x - 18, 68, x + 18, 74), fill=(70, 50, 40))
    draw.polygon(((96, 80), (104, 80), (111, 126), (89, 126)), fill=(235, 200, 178))
    draw.rectangle((89, 124, 111, 129), fill=(140, 95, 80))
    draw.ellipse((78, 143, 122, 158), fill=(130, 60, 60))
    return image.resize((side, side), Image.Resampling.LANCZOS)


def photo() -> Image.Image:
    """Faces of 100, 200 and 320 pixels, with hair and air, at (900, 100), (100, 300) and (900,
    700).
    """
    image = Image.new("RGB", (1600, 1200), (70, 80, 90))
    for side, place in ((200, (100, 300)), (320, (900, 700)), (100, (900, 100))):
        image.paste(draw_face(side), place)
    return image


def textures() -> dict[str, Image.Image]:
    rng = np.random.default_rng(0)
    ramp = np.broadcast_to(np.linspace(0, 255, 400).astype(np.uint8)[:, None, None], (400, 300, 3))
    page = Image.new("RGB", (600, 400), "white")
    for line in range(20):
        ImageDraw.Draw(page).text(
            (20, 10 + 19 * line), "Face to face with a page of plain text. " * 2, fill="black"
        )
    blobs = Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).resize((600, 400))
    noise = Image.fromarray(rng.integers(0, 256, (200, 200, 3), dtype=np.uint8))
    return {"noise": noise, "ramp": Image.fromarray(ramp), "page": page, "blobs": blobs}


@pytest.mark.parametrize("side", [48, 64, 100, 160, 400])
def test_a_face_is_found_where_it_is(side: int) -> None:
    (face,) = find_faces(draw_face(side))
    assert face.score > 100
    # In 200 pixels the oval lies at 48 to 152 across, brows to the nose's tip at 68 to 129 down.
    assert face.left + face.side / 2 == pytest.approx(side / 2, abs=0.03 * side)
    assert face.top < 0.34 * side < 0.65 * side < face.top + face.side
    assert 0.6 * side < face.side < 0.85 * side


def test_the_largest_comes_first_and_no_more_than_asked() -> None:
    faces = find_faces(photo())
    assert [face.side for face in faces] == pytest.approx([240, 155, 80], rel=0.1)
    assert [face.left + face.side / 2 for face in faces] == pytest.approx([1060, 200, 950], abs=10)
    assert survey_faces(photo()) == Found(faces, 0)
    assert survey_faces(photo(), most=2) == Found(faces[:2], 1)


def test_a_crowd_is_found_whole() -> None:
    image = Image.new("RGB", (480, 400), (70, 80, 90))
    for place in range(40):
        image.paste(draw_face(56), (60 * (place % 8), 80 * (place // 8)))
    faces, left_out, _ = survey_faces(image)
    assert (len(faces), left_out) == (40, 0)
    middles = {
        ((face.left + face.side // 2) // 60, (face.top + face.side // 2) // 80) for face in faces
    }
    assert len(middles) == 40


@pytest.mark.parametrize(("bound", "looks"), [("MOST", 1), ("IN_VAIN", 0)])
def test_what_is_not_looked_at_is_counted(
    monkeypatch: pytest.MonkeyPatch, bound: str, looks: int
) -> None:
    look = Mock(wraps=haar._look_closer)
    monkeypatch.setattr(haar, "_look_closer", look)
    monkeypatch.setattr(haar, bound, looks)
    monkeypatch.setattr(haar, "_PROFILE", haar._FRONTAL)  # the drawn face has no profile
    faces, left_out, _ = survey_faces(photo())
    assert (len(faces), look.call_count) == (looks, looks)
    assert left_out >= 3 - looks


def crowd_of_windows(faces: int, each: int, seed: int = 0) -> np.ndarray:
    """Windows as a cascade gives them, [faces · each, 3]: scattered around faces that stand in a
    square of rows.
    """
    rng = np.random.default_rng(seed)
    row = int(np.ceil(np.sqrt(faces)))
    middles = 60.0 * np.stack(np.divmod(np.arange(faces), row), axis=1)
    windows = np.column_stack([middles, np.full(faces, 40.0)]).repeat(each, axis=0)
    windows[:, :2] += rng.normal(0, 6, (len(windows), 2)).round()
    windows[:, 2] = (windows[:, 2] * 1.2 ** rng.integers(-3, 4, len(windows))).round()
    return windows[rng.permutation(len(windows))]


@pytest.mark.parametrize(("faces", "each"), [(1, 1), (1, 200), (9, 30), (36, 8), (100, 1)])
def test_groups_are_those_of_comparing_all_with_all(faces: int, each: int) -> None:
    crowd = crowd_of_windows(faces, each, seed=faces)
    found = list(windows.group_windows(crowd))
    for square in found:
        gap = np.abs(crowd[:, None, :2] - crowd[None, :, :2])
        side, other = crowd[:, None, 2], crowd[None, :, 2]
        near = (gap < np.minimum(side, other)[..., None] / 4).all(axis=2)
        near &= (side < np.sqrt(2) * other) & (other < np.sqrt(2) * side)
        group = near[near.sum(axis=1).argmax()]
        assert square.tolist() == np.median(crowd[group], axis=0).tolist()
        crowd = crowd[~group]
    assert not len(crowd)


def test_comparisons_grow_as_the_windows_do_and_few_are_made_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alike = Mock(wraps=windows.alike)
    monkeypatch.setattr(windows, "alike", alike)

    def compared(crowd: np.ndarray) -> int:
        alike.reset_mock()
        assert sum(1 for _ in windows.group_windows(crowd))
        sizes = [len(call.args[0]) for call in alike.call_args_list]
        assert max(sizes) <= windows.PAIRS
        return sum(sizes)

    few, many = compared(crowd_of_windows(36, 12)), compared(crowd_of_windows(324, 12))
    assert many < 10 * few
    assert many < 150 * 324 * 12, "a fraction of the 3,888 a window that all with all are"
    assert compared(crowd_of_windows(1, 600)) <= 2 * 600**2 + 50 * 600


def test_no_windows_are_no_groups() -> None:
    assert list(windows.group_windows(np.empty((0, 3)))) == []


def test_scale_of_a_large_photo_is_undone() -> None:
    small, large = find_faces(photo()), find_faces(photo().resize((4800, 3600)))
    assert [face.side / 3 for face in large] == pytest.approx(
        [face.side for face in small], rel=0.1
    )


@pytest.mark.parametrize("name", ["noise", "ramp", "page", "blobs"])
def test_no_face_in_textures(name: str) -> None:
    assert find_faces(textures()[name]) == []


@pytest.mark.parametrize("size", [(16, 16), (17, 300), (9000, 16), (16, 9000), (1, 1), (23, 24)])
def test_any_size_is_looked_at(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    assert find_faces(Image.fromarray(pixels)) == []


def test_a_face_that_the_picture_cuts_is_found_and_cropped_inside() -> None:
    tight = draw_face(200).crop((40, 40, 160, 160))
    (face,) = find_faces(tight)
    assert face.side > 120
    assert crop_face(tight, face).size == (120, 120)


def test_threads_find_the_same() -> None:
    image = photo()
    expected = find_faces(image)
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(find_faces, [image] * 6)) == [expected] * 6


@pytest.mark.parametrize(
    ("face", "margin", "box"),
    [
        # Middle at (300, 200), the square's 7 above: 150 pixels around (300, 193).
        (Face(250, 150, 100, 50), 1.5, (225, 118, 375, 268)),
        (Face(0, 0, 100, 50), 1.5, (0, 0, 150, 150)),
        (Face(540, 340, 100, 50), 1.5, (490, 290, 640, 440)),
        (Face(-20, -30, 100, 50), 1.0, (0, 0, 100, 100)),
        # 1.25 · 1.5 · 240 = 450 ≥ 440: the whole of the shorter side, around x = 320; 1.25 · 1.5 ·
        # 234 < 440.
        (Face(200, 100, 240, 50), 1.5, (100, 0, 540, 440)),
        (Face(200, 100, 234, 50), 1.5, (142, 25, 493, 376)),
        (Face(0, 0, 1000, 50), 1.5, (200, 0, 640, 440)),
    ],
)
def test_crops_lie_inside_the_picture(
    face: Face, margin: float, box: tuple[int, int, int, int]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (440, 640, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    crop = crop_face(image, face, margin)
    assert crop.size == (box[2] - box[0], box[3] - box[1])
    assert crop.tobytes() == image.crop(box).tobytes()


@pytest.mark.parametrize("side", [64, 160, 400])
def test_a_face_crop_stays_whole(side: int) -> None:
    image = draw_face(side)
    assert crop_face(image, find_faces(image)[0]).tobytes() == image.tobytes()


def test_opencv_gets_its_threads_back(monkeypatch: pytest.MonkeyPatch) -> None:
    cv2 = pytest.importorskip("cv2")
    before = cv2.getNumThreads()
    during: list[int] = []
    look = haar._look_closer

    def note(*arguments: Any) -> haar.Candidate:
        during.append(cv2.getNumThreads())
        return look(*arguments)

    monkeypatch.setattr(haar, "_look_closer", note)
    cv2.setNumThreads(3)
    try:
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(find_faces, [photo()] * 4))
        assert set(during) == {1}
        assert cv2.getNumThreads() == 3
        monkeypatch.setattr(haar, "_look_closer", Mock(side_effect=ValueError("seen")))
        with pytest.raises(ValueError, match="seen"):
            find_faces(photo())
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)


def test_a_photograph() -> None:
    cbook = pytest.importorskip("matplotlib.cbook")
    with cbook.get_sample_data("grace_hopper.jpg") as file:  # a US Navy photograph, public domain
        (face,) = find_faces(decode(file.read()))
    assert (face.left, face.top, face.side) == pytest.approx((145, 97, 238), abs=15)


def test_missing_opencv_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(
        LabError, match="needs OpenCV, which is not installed: pip install 'opencv-python-headless"
    ):
        find_faces(draw_face())
    monkeypatch.setitem(sys.modules, "cv2", SimpleNamespace(__version__="5.0"))
    with pytest.raises(LabError, match=r"OpenCV 5\.0 comes without the cascades"):
        find_faces(draw_face())


def test_research_faces_are_found_once_and_stay_whole(faces: Path) -> None:
    archive = faces / "ffhq.zip"
    with FileReader() as reader:
        images = [decode(reader.read(f"{archive}!/{name}")) for name in zip_images(archive)[:25]]
    found = [find_faces(image) for image in images]
    assert sum(len(one) == 1 for one in found) >= 23
    whole = [
        crop_face(image, one[0]).size == image.size
        for image, one in zip(images, found, strict=True)
        if one
    ]
    assert sum(whole) >= 22
