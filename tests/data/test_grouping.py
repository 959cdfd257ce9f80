"""Which pictures names tie: frames of videos and pictures of persons, and no unrelated ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from fauxlab.data.entries import Entry
from fauxlab.data.grouping import GroupBy, group_entries, tied_by_names
from fauxlab.data.indexing import index
from fauxlab.data.layouts import find_images
from fauxlab.data.names import parse_frame, subjects
from fauxlab.data.split import connected_components
from fauxlab.errors import LabError

Jpeg = Callable[..., bytes]


def components(entries: list[Entry]) -> dict[str, int]:
    """By path the number of the component that an entry's groups put it into."""
    keys = [entry.groups or (entry.path,) for entry in entries]
    tied = connected_components(keys)
    return {entry.path: first for entry, first in zip(entries, tied, strict=True)}


def below(folder: Path, names: Iterable[str], rule: GroupBy = "auto") -> list[Entry]:
    """The grouped entries of a folder that holds empty files of these names."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    entries, _ = group_entries(list(find_images(folder, rule)), rule)
    return entries


def count_groups(entries: list[Entry]) -> int:
    return len(set(components(entries).values()))


def in_collection(names: Iterable[str], rule: GroupBy = "auto") -> list[Entry]:
    """Grouped fakes of one generator with these names."""
    entries = [Entry(f"/{name}", 1, "gan", name=name) for name in names]
    grouped, _ = group_entries(entries, rule)
    return grouped


SIDES = ("real", "fake")
VIDEOS = range(6)
FRAMES = range(5)
WAYS = {
    "below a source": ("real/tube/{v:03}/{k:04}.jpg", "fake/swap/{v:03}/{k:04}.jpg"),
    "directly": ("real/{v:03}/{k:04}.jpg", "fake/swap/{v:03}/{k:04}.jpg"),
    "fakes directly": ("real/{v:03}/{k:04}.jpg", "fake/{v:03}/{k:04}.jpg"),
    "in names": ("real/{v:03}_frame{k:04}.jpg", "fake/swap/{v:03}_frame{k:04}.jpg"),
    "mixed": ("real/tube/{v:03}/{k:04}.png", "fake/swap/{v:03}_frame{k}.jpg"),
    "clips": ("real/clip-{v}_{k:04}.png", "fake/swap/clip-{v}_{k:04}.png"),
    "suffix": ("real/v{v}.mp4_{k:06}.jpg", "fake/swap/v{v}.mp4_{k:06}.jpg"),
    "suffix of folders": ("real/{v:03}.mp4/{k}.jpg", "fake/swap/{v:03}/{k}.jpg"),
    "frame first": ("real/frame{k:04}_clip{v}.jpg", "fake/swap/frame_{k}_clip{v}.png"),
    "hashes": ("real/abcdefgh{v}x_{k}.jpg", "fake/swap/abcdefgh{v}x_{k}.jpg"),
    "crops": ("real/v{v}_frame_{k}_face_0.jpg", "fake/s/v{v}_frame_{k}_face_1.jpg"),
    "aligned": ("real/{v:03}_{k:04}_aligned.jpg", "fake/s/{v:03}_{k:04}_fake.jpg"),
    "compressed": (
        "original_sequences/tube/c23/images/{v:03}/{k:04}.png",
        "manipulated_sequences/Deepfakes/c23/images/{v:03}/{k:04}.png",
    ),
    "split before": ("train/real/{v:03}_{k:04}.jpg", "test/fake/{v:03}_{k:04}.jpg"),
    "dots": ("real/0{v}.{k:03}.jpg", "fake/swap/0{v}.{k:03}.jpg"),
}


@pytest.mark.parametrize("way", WAYS)
def test_frames_of_one_video_are_one_group(tmp_path: Path, way: str) -> None:
    patterns = list(WAYS[way])
    if way == "split before":
        patterns += ["train/fake/{v:03}_{k:04}.jpg", "test/real/{v:03}_{k:04}.jpg"]
    names = [pattern.format(v=v, k=k) for pattern in patterns for v in VIDEOS for k in FRAMES]
    assert count_groups(below(tmp_path, names)) == len(VIDEOS)


def test_swaps_belong_to_both_videos(tmp_path: Path) -> None:
    """As FaceForensics++ names them: six videos that are swapped in pairs."""
    reals = [f"real/tube/{v:03}/{k:04}.jpg" for v in VIDEOS for k in FRAMES]
    fakes = [f"fake/swap/{v:03}_{v ^ 1:03}/{k:04}.jpg" for v in VIDEOS for k in FRAMES]
    group = components(below(tmp_path, reals + fakes))
    assert len(set(group.values())) == 3
    swap = str(tmp_path / "fake/swap/001_000/0003.jpg")
    assert group[swap] == group[str(tmp_path / "real/tube/000/0000.jpg")]
    assert group[swap] != group[str(tmp_path / "real/tube/002/0003.jpg")]


def test_all_videos_of_one_person_are_one_group(tmp_path: Path) -> None:
    """As Celeb-DF and VoxCeleb name them."""
    celeb = [
        f"real/celeb/id{p}_000{v}_{k:05}.jpg" for p in range(8) for v in (0, 1) for k in (0, 9)
    ]
    swaps = [f"fake/swap/id{p}_id{p ^ 1}_0000_{k:05}.jpg" for p in range(8) for k in (0, 9)]
    assert count_groups(below(tmp_path / "a", celeb + swaps)) == 4
    vox = [f"real/id1000{p}/v{v}/{k:05}.jpg" for p in range(8) for v in (0, 1) for k in (0, 9)]
    entries = below(tmp_path / "b", vox)
    assert count_groups(entries) == 8
    assert {entry.source for entry in entries} == {"real"}


def test_pictures_named_by_their_person_are_one_group(tmp_path: Path) -> None:
    names = [f"real/lfw/{name}_{name}son_{k:04}.jpg" for name in ("Al", "Bo", "Cy") for k in (1, 2)]
    assert count_groups(below(tmp_path, names)) == 3


def test_many_small_folders_are_no_sources_and_few_large_ones_are(tmp_path: Path) -> None:
    persons = [f"real/person {chr(65 + p)}/{k}.jpg" for p in range(12) for k in range(3)]
    entries = below(tmp_path / "a", persons)
    assert {entry.source for entry in entries} == {"real"}
    assert count_groups(entries) == 12
    sources = [f"real/{name}/{k}.jpg" for name in ("ffhq", "celeba") for k in range(30)]
    entries = below(tmp_path / "b", sources)
    assert {entry.source for entry in entries} == {"ffhq", "celeba"}
    assert count_groups(entries) == 30, "equal names may be versions of one picture"


def test_folders_of_drawn_names_are_videos_on_either_side(tmp_path: Path) -> None:
    """As in DFDC."""
    letters = "abcdefghijkl"
    names = [f"{side}/{a}q{side}xyza/{k}.jpg" for side in SIDES for a in letters for k in FRAMES]
    entries = below(tmp_path, names)
    assert {entry.generator for entry in entries if entry.label} == {"fake"}
    assert count_groups(entries) == 2 * len(letters)


def test_generators_with_few_pictures_stay_generators(tmp_path: Path) -> None:
    names = [f"fake/gen{g:02}/{k}.jpg" for g in range(20) for k in range(2)]
    entries = below(tmp_path, [*names, "real/a.jpg"])
    assert len({entry.generator for entry in entries if entry.label}) == 20


@pytest.mark.parametrize(("generators", "groups"), [(100, 1), (101, 101)])
def test_a_name_that_very_many_share_says_nothing(generators: int, groups: int) -> None:
    entries = [Entry(f"/{g}", 1, f"gen{g}", name="1.jpg") for g in range(generators)]
    assert count_groups(group_entries(entries, "auto")[0]) == groups


TRAPS = {
    "FFHQ": [f"{k:05}.jpg" for k in range(3000)],
    "FFHQ in folders": [f"{k // 1000 * 1000:05}/{k:05}.png" for k in range(500, 3000)],
    "StyleGAN's tool": [f"{k // 1000:05}/img{k:08}.png" for k in range(3000)],
    "IMDB-WIKI": [f"{k % 100:02}/{k}_1960-01-01_2001.jpg" for k in range(1000, 1300)],
    "hashes": [f"{k % 16:x}/{k % 16:x}{k:031x}.jpg" for k in range(300)],
    "camera": [f"img_{k:04}.jpg" for k in range(300)],
    "cameras": [f"{name}_{k:04}.jpg" for name in ("IMG", "DSC", "DSCN", "PXL") for k in range(80)],
    "phone": [f"IMG_20240{k % 9 + 1}01_{k:06}.jpg" for k in range(300)],
    "days": [f"202401{k % 28 + 1:02}_{k:06}.jpg" for k in range(300)],
    "days with dashes": [f"2024-01-{k % 28 + 1:02}_{k:03}.jpg" for k in range(300)],
    "small sets in one": [f"{x}_{k}.png" for x in ("ffhq", "lfw", "sd15") for k in range(20)],
    "seeds": [f"seed{k:04}.png" for k in range(300)],
    "seeds apart": [f"seed_{k:04}.png" for k in range(300)],
    "one prefix": [f"sd21-{k:05}.png" for k in range(300)],
    "two prefixes": [f"{name}_{k:05}.png" for name in ("ffhq", "celeba") for k in range(300)],
    "numbers of eight digits": [f"SFHQ_pt{k % 4}_{k:08}.jpg" for k in range(300)],
    "UTKFace": [f"25_0_1_201701161745{k:05}.jpg.chip.jpg" for k in range(300)],
    "number and seed": [f"{k:05}-{k + 10**9}.png" for k in range(300)],
    "large prefixes": [f"v{name}_{k:05}.png" for name in "123456" for k in range(1200)],
    "one folder": [f"samples-of-today/{k:05}.png" for k in range(300)],
    "one folder in another": [f"a/b/seed{k:05}.png" for k in range(300)],
    "splits": [f"{name}/{k:05}.png" for name in ("train", "val") for k in range(300)],
}


@pytest.mark.parametrize("trap", TRAPS)
def test_numbered_pictures_of_a_collection_are_not_tied(trap: str) -> None:
    names = TRAPS[trap]
    assert count_groups(in_collection(names)) == len(names)


def test_a_folder_of_thousands_is_no_group_unless_it_is_said() -> None:
    names = [f"{folder}/{k:05}.png" for folder in ("men", "women") for k in range(1500)]
    grouped, found = group_entries([Entry(n, 1, "gan", name=n) for n in names], "auto")
    assert count_groups(grouped) == 3000
    assert found.large == ("gan/men", "gan/women")
    lines = found.describe([entry.groups[0] for entry in grouped])
    assert "3,000 groups in all, the largest of 1 images" in lines[0]
    assert lines[1].startswith("note: 2 folders of more than 1,000 images")
    assert count_groups(in_collection(names, "folder")) == 2


def test_rules_apply_alone() -> None:
    names = [f"{v:03}/{w}_frame{k}.jpg" for v in range(3) for w in "ab" for k in range(4)]
    counts = {rule: count_groups(in_collection(names, rule)) for rule in ("auto", "folder", "stem")}
    assert counts == {"auto": 3, "folder": 3, "stem": 2}
    assert count_groups(in_collection(names, "none")) == 24


def test_without_rules_only_bytes_and_looks_tie(tmp_path: Path, jpeg: Jpeg) -> None:
    for number, name in enumerate(("real/a.jpg", "fake/gan/a.jpg", "fake/gan/b.jpg")):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(min(number, 1)))
    groups = [row.group for row in index(tmp_path, group_by="none").rows]
    assert groups == ["real/a.jpg", "fake/gan/a.jpg", "fake/gan/a.jpg"]


def test_declared_groups_come_first(tmp_path: Path, jpeg: Jpeg) -> None:
    rows = ["file_name,label,group"]
    for number in range(4):
        path = tmp_path / f"000/{number:04}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(jpeg(number))
        rows.append(f"000/{number:04}.jpg,{'fake' if number % 2 else 'real'},p{number}")
    (tmp_path / "metadata.csv").write_text("\n".join(rows))
    assert [row.group for row in index(tmp_path).rows] == ["p0", "p1", "p2", "p3"]


def test_a_table_without_groups_ties_videos_and_no_collections(tmp_path: Path) -> None:
    videos = [f"set/tube/{v:03}/{k:04}.jpg" for v in VIDEOS for k in FRAMES]
    photos = [f"set/{name}/{k:04}.jpg" for name in ("men", "women") for k in range(9)]
    lines = ["file_name,label", *(f"{name},real" for name in videos + photos)]
    (tmp_path / "metadata.csv").write_text("\n".join(lines))
    entries, _ = group_entries(list(find_images(tmp_path)), "auto")
    assert count_groups(entries) == len(VIDEOS) + len(photos)


def test_an_unknown_rule_is_said(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="group by 'folders': one of auto, folder, stem, none"):
        index(tmp_path, group_by="folders")  # type: ignore[arg-type]


def test_names_alone_tell_what_is_tied() -> None:
    entries = [
        Entry(f"/{v}{k}", 0, name=f"{v:03}/{k}.jpg", is_free=True) for v in (1, 2) for k in (1, 2)
    ]
    assert tied_by_names(entries) == [("001",), ("001",), ("002",), ("002",)]


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("003_frame0007.jpg", "003"),
        ("id0_id1_0000_00012.jpg", "id0_id1_0000"),
        ("video.mp4_000123.jpg", "video"),
        ("clip-12_0001", "clip-12"),
        ("00001.jpg", None),
        ("seed0001.png", None),
        ("frame0001.jpg", None),
        ("photo_20170116174525125.jpg", None),
        ("a.jpg", None),
        ("", None),
        ("_" * 60_000 + "1", None),
        ("1_" * 30_000 + "1.jpg", None),
    ],
)
def test_names_of_frames(name: str, stem: str | None) -> None:
    frame = parse_frame(name)
    assert (frame.stem if frame else None) == stem


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("000_003", ("000", "003")),
        ("01_27__meeting_serious__YVGY8LOK", ("01", "27")),
        ("01__meeting_serious", ("01",)),
        ("id3_id12_0004", ("id3", "id12")),
        ("2023_01", ("2023_01",)),
        ("007.mp4", ("007",)),
        ("idea7_1", ("idea7_1",)),
    ],
)
def test_names_of_videos(name: str, expected: tuple[str, ...]) -> None:
    assert subjects(name) == expected
