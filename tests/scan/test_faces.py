"""Finding faces, and crops that stand upright and stay inside the picture."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image, ImageDraw

from fauxlab.errors import LabError
from fauxlab.io.images import decode
from fauxlab.io.limits import ImageError
from fauxlab.io.sources import FileReader, zip_images
from fauxlab.scan.finding import closeups, networks, search, views
from fauxlab.scan.finding.boxes import Boxes, one_a_face, turn_boxes, turn_pixels
from fauxlab.scan.finding.faces import (
    Face,
    Found,
    _to_face,
    crop_face,
    find_faces,
    frame_face,
    frame_largest_face,
    survey_faces,
)

TURNS = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}


def draw_face(side: int = 200) -> Image.Image:
    """A face as the networks know it: dark eyes and brows on a lighter oval, a ridge of light
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


def scene(width: int, height: int, side: int) -> Image.Image:
    """A plain picture with a drawn face of this side in its middle."""
    image = Image.new("RGB", (width, height), (70, 80, 90))
    image.paste(draw_face(side), ((width - side) // 2, (height - side) // 2))
    return image


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


def middle(face: Face) -> tuple[float, float]:
    return face.left + face.side / 2, face.top + face.side / 2


@pytest.mark.parametrize("side", [48, 64, 100, 160, 400])
def test_a_face_is_found_where_it_is(side: int) -> None:
    (face,) = find_faces(draw_face(side))
    assert 0.8 < face.score <= 1
    # In 200 pixels the oval lies at 48 to 152 across, the eyes and the mouth at 68 to 158 down.
    assert middle(face)[0] == pytest.approx(side / 2, abs=0.03 * side)
    assert face.top < 0.34 * side < 0.65 * side < face.top + face.side
    assert 0.55 * side < face.side < 0.95 * side


def test_the_largest_comes_first_and_no_more_than_asked() -> None:
    faces = find_faces(photo())
    assert [face.side / 320 for face in faces] == pytest.approx(
        [faces[0].side / 320 * part for part in (1, 200 / 320, 100 / 320)], rel=0.15
    )
    assert [middle(face)[0] for face in faces] == pytest.approx([1060, 200, 950], abs=10)
    assert survey_faces(photo()) == Found(faces, 0)
    assert survey_faces(photo(), most=2) == Found(faces[:2], 1)


def test_a_crowd_is_found_whole_and_each_face_once() -> None:
    image = Image.new("RGB", (480, 400), (70, 80, 90))
    for place in range(40):
        image.paste(draw_face(56), (60 * (place % 8), 80 * (place // 8)))
    faces, left_out, coarse = survey_faces(image)
    assert (len(faces), left_out, coarse) == (40, 0, False)
    middles = {
        tuple(int(value) // step for value, step in zip(middle(f), (60, 80), strict=True))
        for f in faces
    }
    assert len(middles) == 40


@pytest.mark.parametrize("size", [(6000, 2000), (2000, 6000), (800, 14000), (30000, 200)])
def test_a_small_face_in_a_large_picture_is_found(size: tuple[int, int]) -> None:
    image = scene(*size, 120)
    faces, left_out, coarse = survey_faces(image)
    assert (len(faces), left_out, coarse) == (1, 0, False)
    assert middle(faces[0]) == pytest.approx((size[0] / 2, size[1] / 2), abs=15)


def test_tiles_cover_a_picture_and_overlap_and_are_bounded() -> None:
    image = Image.new("RGB", (3000, 2500))
    covered = np.zeros((2500, 3000), dtype=int)
    for tile in views.tiles(image):
        height, width, _ = tile.pixels.shape
        assert max(height, width) <= views.TILE
        left, top = round(tile.left), round(tile.top)
        covered[
            top : round(top + height / tile.scale), left : round(left + width / tile.scale)
        ] += 1
    # Rounding of a tile's sides may leave out a pixel at the far edges.
    assert covered[:-1, :-1].min() == 1
    assert covered.max() == 4
    assert views.tile_scale(Image.new("L", (1200, 900))) is None


@pytest.mark.parametrize(
    ("size", "scale", "coarse"),
    [
        ((2048, 2048), 1.0, False),  # 2**22 pixels
        ((4096, 4096), 0.5, False),
        ((8192, 8192), 0.5, False),  # a quarter of it is 2**24
        ((16384, 8192), 0.5**1.5, True),
    ],
)
def test_how_closely_a_large_picture_is_seen(
    size: tuple[int, int], scale: float, coarse: bool
) -> None:
    image = Mock(size=size, width=size[0], height=size[1])
    assert views.tile_scale(image) == pytest.approx(scale)
    assert views.is_coarse(image) is coarse


@pytest.mark.parametrize("turn", TURNS)
def test_a_turned_picture_gives_the_same_upright_crop(turn: int) -> None:
    image = scene(500, 400, 160)
    (face,) = find_faces(image)
    lying = image.transpose(TURNS[360 - turn])
    (found,) = find_faces(lying)
    assert found.turn == turn
    assert found.side == face.side
    expected = crop_face(image, face)
    crop = crop_face(lying, found)
    assert crop.size == expected.size
    difference = np.abs(np.asarray(crop, dtype=float) - np.asarray(expected))
    # The square may have moved by a pixel, where halves were rounded.
    assert difference.mean() < 5


@pytest.mark.parametrize("turn", [0, *TURNS])
def test_a_crop_of_a_turned_picture_is_that_of_the_upright_one(turn: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (440, 640, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    face = Face(250, 150, 100, 0.9)
    lying = image if turn == 0 else image.transpose(TURNS[360 - turn])
    square = np.array([[face.left, face.top, face.side, face.side]])
    ((left, top, _, _),) = turn_boxes(square, -turn % 360, 640, 440)
    found = Face(int(left), int(top), 100, 0.9, turn)
    assert crop_face(lying, found).tobytes() == crop_face(image, face).tobytes()


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_boxes_turn_as_pixels_do(turn: int) -> None:
    pixels = np.zeros((30, 50, 3), dtype=np.uint8)
    pixels[4:10, 20:35] = 255
    turned = turn_pixels(pixels, turn)
    ((left, top, width, height),) = turn_boxes(np.array([[20, 4, 15, 6]]), turn, 50, 30)
    assert turned[top : top + height, left : left + width].min() == 255
    assert turned.sum() == pixels.sum() == 255 * 3 * width * height
    rows, columns, _ = turned.shape
    back = turn_boxes(np.array([[left, top, width, height]]), -turn % 360, columns, rows)
    assert back.tolist() == [[20, 4, 15, 6]]


def test_one_box_a_face() -> None:
    boxes = [[0, 0, 100, 100], [5, 5, 100, 100], [20, 20, 40, 40], [80, 80, 60, 60], [300, 0, 9, 9]]
    scores = [0.6, 0.9, 0.95, 0.5, 0.3]
    kept = one_a_face(Boxes(np.array(boxes, dtype=float), np.array(scores)))
    # The third lies in both of the first two; the fourth shares less than half with each.
    assert kept.scores.tolist() == [0.95, 0.5, 0.3]


def test_windows_stay_inside_and_are_black_beyond_a_small_picture() -> None:
    image = Image.new("RGB", (100, 40), "white")
    window = views.place_window(image.size, np.array([80.0, 10, 20, 20]), zoom=2)
    assert window == (60, 0, 40)
    assert views.cut_window(image, window, 64).min() == 255
    wide = views.place_window(image.size, np.array([40.0, 10, 20, 20]), zoom=9)
    assert wide == (0, -30, 100)
    pixels = views.cut_window(image, wide, 50)
    assert pixels.shape == (50, 50, 3)
    assert pixels[15:35].min() == 255
    assert pixels[:14].max() == pixels[36:].max() == 0
    inside = views.boxes_in_window(np.array([[40.0, 10, 20, 20]]), wide, 50)
    assert inside.tolist() == [[20, 20, 10, 10]]


def test_a_weak_place_is_looked_at_and_a_sure_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    look = Mock(wraps=closeups.confirm_faces)
    monkeypatch.setattr(closeups, "confirm_faces", look)
    assert len(find_faces(scene(400, 400, 160))) == 1
    assert look.call_count == 0
    monkeypatch.setattr(search, "SURE", 1.1)
    (face,) = find_faces(scene(400, 400, 160))
    assert look.call_count > 0
    assert face.score < 1


def test_what_is_not_looked_at_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "SURE", 1.1)
    monkeypatch.setattr(search, "MOST_GLANCES", 0)
    monkeypatch.setattr(search, "choose_turn", lambda image, found: 0)
    faces, left_out, _ = survey_faces(photo())
    assert not faces
    assert left_out >= 3


def test_neighbours_share_a_window() -> None:
    image = Image.new("RGB", (400, 400))
    boxes = np.array(
        [[100.0, 100, 20, 20], [110, 105, 22, 22], [125, 125, 60, 60], [300, 300, 20, 20]]
    )
    plan = closeups._plan(image.size, boxes, closeups.WindowSize(face=32, side=160))
    assert [shared.boxes.tolist() for shared in plan] == [[0, 1], [2], [3]]
    answers, not_seen = closeups.look_closer(
        image, boxes, closeups.WindowSize(face=32, side=160), most=1
    )
    assert (len(answers), not_seen) == (4, 2)


def test_log_odds() -> None:
    places = Boxes(np.array([[0, 0, 30, 32.0], [0, 0, 64, 20]]), np.array([0.5, 0.9]))
    # In a picture 1024 long: ln 1 = 0 and 0 for the score of a half; ln 9 = 2.197, ln 2 = .693.
    odds = search.log_odds(places, np.array([0.5, 0.9]), 1024)
    assert odds == pytest.approx([3.3, 3.3 + 0.67 * 2.197 + 1.03 * 2.197 - 0.64 * 0.693], abs=1e-3)


@pytest.mark.parametrize("name", textures())
def test_no_face_in_textures(name: str) -> None:
    assert survey_faces(textures()[name]) == Found([], 0)


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (1, 1000), (1000, 1), (40, 4000), (33, 31)])
def test_pictures_of_any_shape(size: tuple[int, int]) -> None:
    assert survey_faces(Image.new("RGB", size, "white")) == Found([], 0)


def test_threads_find_the_same() -> None:
    image = photo()
    expected = find_faces(image)
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(find_faces, [image] * 6)) == [expected] * 6


@pytest.mark.parametrize(
    ("face", "box"),
    [
        # Middle at (300, 200), the crop's 3 above: 157 pixels around (300, 197).
        (Face(250, 150, 100, 0.9), (222, 118, 379, 275)),
        (Face(0, 0, 100, 0.9), (0, 0, 157, 157)),
        (Face(540, 340, 100, 0.9), (483, 283, 640, 440)),
        (Face(-20, -30, 100, 0.9), (0, 0, 157, 157)),
        # 1.15 · 1.57 · 244 = 440.5 ≥ 440: the whole of the shorter side, around x = 322.
        # With 243 it is 438.7, and the crop has 1.57 · 243 = 381.5 pixels.
        (Face(200, 100, 244, 0.9), (102, 0, 542, 440)),
        (Face(200, 100, 243, 0.9), (130, 23, 512, 405)),
        (Face(0, 0, 1000, 0.9), (200, 0, 640, 440)),
    ],
)
def test_crops_lie_inside_the_picture(face: Face, box: tuple[int, int, int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (440, 640, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    left, top, right, _ = box
    assert frame_face(face, image.size) == (left, top, right - left, 0)
    assert crop_face(image, face).tobytes() == image.crop(box).tobytes()


def test_the_square_of_a_face_has_the_middle_and_the_longer_side_of_its_box() -> None:
    assert _to_face(np.array([10.2, 20, 30, 41]), 0.9, 90) == Face(5, 20, 41, 0.9, 90)


def test_the_largest_face_is_framed_or_the_reason_told() -> None:
    image = photo()
    assert frame_largest_face(image) == frame_face(find_faces(image)[0], image.size)
    with pytest.raises(ImageError, match=r"^no face was found in it$"):
        frame_largest_face(Image.new("RGB", (64, 64)))
    with pytest.raises(ImageError, match=r"^its largest face has \d\d pixels a side; at least 32"):
        frame_largest_face(scene(200, 200, 32))


@pytest.mark.parametrize("side", [64, 160, 400])
def test_a_face_crop_stays_whole(side: int) -> None:
    image = draw_face(side)
    assert crop_face(image, find_faces(image)[0]).tobytes() == image.tobytes()


def test_a_photograph() -> None:
    cbook = pytest.importorskip("matplotlib.cbook")
    with cbook.get_sample_data("grace_hopper.jpg") as file:  # a US Navy photograph, public domain
        (face,) = find_faces(decode(file.read()))
    assert (face.left, face.top, face.side) == pytest.approx((145, 97, 238), abs=25)


@pytest.mark.parametrize("name", ["YUNET", "CENTERFACE"])
def test_a_network_is_checked_when_it_is_loaded(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = getattr(networks, name)
    content = networks._read(network)
    monkeypatch.setattr(networks, "FOLDER", tmp_path)
    with pytest.raises(LabError, match=r"onnx: No such file or directory; install fauxlab again"):
        networks._read(network)
    (tmp_path / network.file).write_bytes(content[:-1] + b"!")
    with pytest.raises(LabError, match="is not the file that fauxlab comes with"):
        networks._read(network)


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
