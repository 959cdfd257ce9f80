"""A seed is a picture, paths stay where latents lie, and samples become a fair data set."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import fauxlab as fl
from fauxlab.bundle.config import DetectorConfig, GeneratorConfig, Preprocessing
from fauxlab.cli.gan import parse_seeds
from fauxlab.data.cache import load_images
from fauxlab.data.manifest import Manifest
from fauxlab.errors import LabError
from fauxlab.io.images import PIPELINE_VERSION, decode
from fauxlab.io.marking import Mark, grid, read_mark
from fauxlab.io.sources import FileReader
from fauxlab.models import create_detector, create_generator
from fauxlab.models.gans import draw_latents
from fauxlab.models.pretrained import Detector, Generator
from fauxlab.sample.dataset import write_dataset
from fauxlab.sample.files import write_samples
from fauxlab.sample.images import interpolate, sample_images

SIZE, LATENT = 32, 8
Command = Callable[..., tuple[int, str, str]]


def make_generator(sources: list[str] | None = None) -> Generator:
    torch.manual_seed(0)
    widths = [8, 8, 8, 8]
    model = create_generator("r3", SIZE, LATENT, widths=widths).eval()
    config = GeneratorConfig(
        architecture="r3",
        latent=LATENT,
        size=SIZE,
        options={"widths": widths},
        training={} if sources is None else {"sources": sources},
    )
    return Generator(model, config, "abc")


@pytest.fixture
def generator() -> Generator:
    return make_generator()


class Spy(nn.Module):
    """Notes the latents that it is given, and draws grey."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.seen: list[Tensor] = []

    def forward(self, latents: Tensor) -> Tensor:
        self.seen.append(latents)
        return torch.zeros(len(latents), 3, SIZE, SIZE)

    @property
    def latents(self) -> Tensor:
        return torch.cat(self.seen)


def spy() -> tuple[Generator, Spy]:
    model = Spy()
    return Generator(model, GeneratorConfig(architecture="r3", latent=64, size=SIZE)), model


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_seed_is_a_picture_in_any_batch(
    generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = sample_images(generator, range(20))
    assert together.shape == (20, 3, SIZE, SIZE)
    assert together.dtype == np.uint8
    assert np.array_equal(together, generator.sample(0, 20).numpy())
    monkeypatch.setattr("fauxlab.sample.images.BATCH_PIXELS", 3 * SIZE**2)
    shuffled = [7, 19, 0, 3, 12]
    apart = sample_images(generator, shuffled)
    assert np.abs(apart.astype(int) - together[shuffled].astype(int)).max() <= 1
    assert np.abs(together[0].astype(int) - together[1].astype(int)).max() > 20, (
        "and another seed is another picture"
    )


def test_truncation_scales_the_latents() -> None:
    lab, model = spy()
    sample_images(lab, [4, 9], truncation=0.5)
    assert torch.equal(model.latents, draw_latents([4, 9], 64) / 2)


def test_path_goes_through_the_seeds_and_home(generator: Generator) -> None:
    seeds = [5, 2, 11]
    frames = interpolate(generator, seeds, 10).astype(int)
    assert len(frames) == 10
    own = sample_images(generator, seeds).astype(int)
    for k, stop in enumerate((0, 3, 6)):  # ⌊10k/3⌋
        assert np.abs(frames[stop] - own[k]).max() <= 1
    steps = np.abs(frames - np.roll(frames, -1, axis=0)).mean(axis=(1, 2, 3))
    jump = np.abs(own[0] - own[2]).mean()
    assert steps[-1] < jump / 2, "the last frame is a step away from the first"


def test_path_keeps_the_norm_and_turns_evenly() -> None:
    lab, model = spy()
    interpolate(lab, [1, 2], 40)
    path, (start, end) = model.latents.double(), draw_latents([1, 2], 64).double()
    assert torch.equal(path[0], start)
    assert torch.equal(path[20], end)
    norms = path.norm(dim=1)
    low, high = sorted((start.norm().item(), end.norm().item()))
    assert norms.min() >= low - 1e-5
    assert norms.max() <= high + 1e-5
    assert ((start + end) / 2).norm() < 0.85 * low, "which a straight line would not"
    units = path / norms[:, None]
    cosines = (units * units.roll(-1, 0)).sum(dim=1)
    expected = torch.cos(torch.acos(start @ end / start.norm() / end.norm()) / 20)
    assert torch.allclose(cosines, expected.expand(40), atol=1e-6)


def test_path_in_one_dimension_has_no_plane_to_turn_in() -> None:
    model = Spy()
    interpolate(
        Generator(model, GeneratorConfig(architecture="r3", latent=1, size=SIZE)), range(4), 16
    )
    assert torch.isfinite(model.latents).all()


@pytest.mark.parametrize(
    ("seeds", "truncation", "message"),
    [
        ([], 1.0, "0 images"),
        ([-1], 1.0, "from 0 to 4294967295"),
        ([2**32], 1.0, "from 0 to 4294967295"),
        ([1, 2, 1], 1.0, "more than once"),
        (range(10**7), 1.0, "from 1 to 1,000,000"),
        ([1], 0.0, "truncation 0.0"),
        ([1], 1.1, "truncation 1.1"),
        ([1], float("nan"), "truncation nan"),
    ],
)
def test_what_cannot_be_drawn(
    generator: Generator, seeds: list[int], truncation: float, message: str
) -> None:
    with pytest.raises(LabError, match=message):
        sample_images(generator, seeds, truncation)


def test_paths_that_cannot_be_walked(generator: Generator) -> None:
    for seeds, frames, message in (
        ([1], 5, "two seeds"),
        ([1, 2, 3], 2, "a frame for each"),
        ([1, 2], 10**6, "above the limit"),
    ):
        with pytest.raises(LabError, match=message):
            interpolate(generator, seeds, frames)


def test_samples_are_written_with_marks(generator: Generator, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    paths = write_samples(generator, folder, [3, 12345, 7], columns=2, frames=6)
    assert [p.name for p in paths] == [
        "seed0003.png",
        "seed12345.png",
        "seed0007.png",
        "grid.png",
        "interpolation.gif",
    ]
    assert sorted(os.listdir(folder)) == sorted([*(p.name for p in paths), "samples.json"])
    images = sample_images(generator, [3, 12345, 7])
    assert np.array_equal(np.asarray(Image.open(paths[1])).transpose(2, 0, 1), images[1])
    assert np.array_equal(np.asarray(Image.open(paths[3])).transpose(2, 0, 1), grid(images, 2))
    assert Image.open(paths[4]).n_frames == 6  # type: ignore[attr-defined]
    seeds = [3, 12345, 7, None, None]
    assert [read_mark(path.read_bytes()) for path in paths] == [
        Mark("r3", "abc", seed) for seed in seeds
    ]


def test_only_what_this_wrote_is_replaced(generator: Generator, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    write_samples(generator, folder, [0, 1])
    first = files(folder)
    write_samples(generator, folder, [0, 1])
    assert files(folder) == first, "the same again"
    write_samples(generator, folder, [1, 2])
    assert set(files(folder)) == {*first, "seed0002.png"}, "further seeds join"
    shown = grid(sample_images(generator, [0, 1, 2]))
    assert np.array_equal(np.asarray(Image.open(folder / "grid.png")).transpose(2, 0, 1), shown)
    write_samples(generator, folder, [2], with_grid=False, frames=None)
    write_samples(generator, folder, [0, 1], frames=4)
    with pytest.raises(LabError, match=r"interpolation\.gif is there; move it, or give another"):
        write_samples(generator, folder, [1, 2], frames=4)
    first = files(folder)

    other = replace(generator, hash="def")
    for lab, options in (
        (other, {}),
        (generator, {"truncation": 0.5}),
        (generator, {"mark": False}),
    ):
        with pytest.raises(LabError, match="give another folder"):
            write_samples(lab, folder, [0], **options)
    (folder / "seed0009.png").write_bytes(b"mine")
    with pytest.raises(LabError, match=r"seed0009.png was not written by this"):
        write_samples(generator, folder, range(10))
    assert files(folder) == first | {"seed0009.png": b"mine"}

    with pytest.raises(LabError, match="not empty"):
        write_samples(generator, tmp_path, [0])
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LabError, match="not empty"):
        write_samples(generator, tmp_path / "file", [0])
    for damage in ("", "[]", '{"what": 3, "files": []}', '{"what": {}}', "[" * 100_000):
        (folder / "samples.json").write_text(damage)
        with pytest.raises(LabError, match="is damaged"):
            write_samples(generator, folder, [0])


def test_faults_leave_no_folder(generator: Generator, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    for options in ({"columns": 0}, {"frames": 0}, {"frames": 1}, {"truncation": 2.0}):
        with pytest.raises(LabError):
            write_samples(generator, folder, [0, 1], **options)
    with pytest.raises(LabError, match="a grid of 400 × 400 images"):
        write_samples(generator, folder, range(160_000))
    assert not folder.exists()


def test_leaving_out_the_mark_is_noted(generator: Generator, tmp_path: Path) -> None:
    paths = write_samples(generator, tmp_path / "out", [0, 1], mark=False)
    assert all(read_mark(path.read_bytes()) is None for path in paths)
    (line,) = (tmp_path / "out/unmarked.log").read_text().splitlines()
    assert line.endswith("3 files of model hash abc written without a mark")
    write_samples(generator, tmp_path / "out", [0, 1], mark=False)
    assert len((tmp_path / "out/unmarked.log").read_text().splitlines()) == 2


def test_samples_become_a_fair_data_set(small: Manifest, tmp_path: Path) -> None:
    folder = tmp_path / "ours"
    manifest = write_dataset(
        make_generator(["photos"]), folder, 30, "r3-tiny", small, quality=85, first_seed=100
    )
    assert manifest.generators == ["r3-tiny"]
    assert manifest.sources == ["photos-32px"] == manifest.matched_reals("r3-tiny")
    again = Manifest.load(folder / "manifest.csv")
    assert (again.rows, again.data_hash) == (manifest.rows, manifest.data_hash)
    images = load_images(again, SIZE)  # compares every hash with its file
    assert not images.skipped

    looks = Counter()  # type: ignore[var-annotated]
    for row in again.rows:
        path = folder / row.path
        picture = Image.open(path)
        tables = json.dumps(picture.quantization)  # type: ignore[attr-defined]
        looks[picture.size, picture.mode, tables, str(picture.layer)] += 1  # type: ignore[attr-defined]
        seed = int(path.stem.removeprefix("seed")) if row.label else None
        assert read_mark(path.read_bytes()) == (Mark("r3", "abc", seed) if row.label else None)
    assert list(looks.values()) == [70], "one size, one encoder for both sides"

    olds = [row for row in small.rows if not row.label]
    news = [row for row in manifest.rows if not row.label]
    assert [(row.group, row.split) for row in news] == [(row.group, row.split) for row in olds]
    with FileReader() as reader:
        before = load_images(small, SIZE).take(np.array([small.rows.index(olds[0])]))[0]
        after = np.asarray(decode(reader.read(manifest.resolve(news[0])))).transpose(2, 0, 1)
    assert np.abs(before.astype(int) - after).mean() < 4, "the same picture, recompressed"
    fakes = [row for row in manifest.rows if row.label]
    assert {row.path for row in fakes} == {
        f"fake/r3-tiny/seed{seed:06}.jpg" for seed in range(100, 130)
    }
    assert all(row.group.startswith("r3-tiny seed 1") for row in fakes)
    assert {row.split for row in fakes} == {"train", "val", "calibration", "test"}


def test_joint_manifest_holds_both_and_resolves(small: Manifest, tmp_path: Path) -> None:
    folder = tmp_path / "ours"
    manifest = write_dataset(make_generator(["photos"]), folder, 12, "r3-tiny", small)
    joint = Manifest.load(folder / "joint.csv")  # refuses a group on two sides
    assert len(joint) == len(small) + len(manifest)
    assert joint.generators == ["grain", "speckle", "r3-tiny"]
    assert joint.sources == ["photos", "photos-32px"]
    assert joint.matched_reals("r3-tiny") == ["photos-32px"]
    assert small.matched_reals("grain") == joint.matched_reals("grain") == ["photos"], (
        "no copies beside the others"
    )
    assert not load_images(joint, SIZE).skipped
    assert not any(os.path.isabs(row.path) for row in joint.rows[len(small) :]), (
        "ours move with the folder"
    )
    with pytest.raises(LabError, match="a generator 'r3-tiny' already"):
        write_dataset(make_generator(), tmp_path / "more", 12, "r3-tiny", joint)
    second = write_dataset(make_generator(), tmp_path / "more", 12, "r3-other", joint)
    assert second.sources == ["photos-32px_", "photos-32px-32px"], "no name is used twice"


def test_fakes_that_look_alike_stay_on_one_side(tmp_path: Path) -> None:
    class Repeating(nn.Module):
        """Four pictures, whatever the latent, with a little noise."""

        def __init__(self) -> None:
            super().__init__()
            self.pictures = nn.Parameter(
                torch.rand(4, 3, 6, 6, generator=torch.Generator().manual_seed(0)) * 2 - 1
            )
            self.count = 0

        def forward(self, latents: Tensor) -> Tensor:
            numbers = torch.arange(self.count, self.count + len(latents)) % 4
            self.count += len(latents)
            smooth = nn.functional.interpolate(self.pictures[numbers], SIZE, mode="bilinear")
            return smooth + 0.01 * latents[:, :3, None, None]

    config = GeneratorConfig(architecture="r3", latent=LATENT, size=SIZE)
    manifest = write_dataset(Generator(Repeating(), config), tmp_path / "ours", 20, "collapsed")
    groups = [row.group for row in manifest.rows]
    assert groups == [f"collapsed seed {i % 4}" for i in range(20)]
    assert len({(row.group, row.split) for row in manifest.rows}) == 4


def test_a_data_set_alone_and_again(generator: Generator, tmp_path: Path) -> None:
    folder = tmp_path / "ours"
    manifest = write_dataset(generator, folder, 10, "r3-tiny")
    assert [row.label for row in manifest.rows] == [1] * 10
    assert not manifest.sources
    assert not (folder / "joint.csv").exists()
    first = files(folder)
    write_dataset(generator, folder, 10, "r3-tiny")
    assert files(folder) == first
    for n, options in (
        (11, {}),
        (10, {"quality": 50}),
        (10, {"first_seed": 5}),
        (10, {"mark": False}),
    ):
        with pytest.raises(LabError, match="give another folder"):
            write_dataset(generator, folder, n, "r3-tiny", **options)
    assert files(folder) == first
    write_dataset(generator, tmp_path / "bare", 10, "r3-tiny", mark=False)
    assert "10 files" in (tmp_path / "bare/unmarked.log").read_text()
    assert read_mark((tmp_path / "bare/fake/r3-tiny/seed000000.jpg").read_bytes()) is None


def test_a_whole_data_set_can_stay_as_it_is(generator: Generator, tmp_path: Path) -> None:
    first = write_dataset(generator, tmp_path / "own", 4, "own")
    picture = tmp_path / "own" / first.rows[0].path
    written = picture.stat().st_mtime_ns
    again = write_dataset(generator, tmp_path / "own", 4, "own", keep=True)
    assert (again.data_hash, picture.stat().st_mtime_ns) == (first.data_hash, written)
    picture.write_bytes(b"changed")
    mended = write_dataset(generator, tmp_path / "own", 4, "own", keep=True)
    assert mended.data_hash == first.data_hash
    assert picture.read_bytes() != b"changed"


def test_hostile_source_names_stay_in_the_folder(small: Manifest, tmp_path: Path) -> None:
    odd = {0: "../../out", 1: "a;b", 2: "a/b", 3: "", 4: "ü" * 300}
    rows = tuple(
        replace(row, source=odd[i % 5]) if not row.label else row
        for i, row in enumerate(small.rows)
    )
    manifest = write_dataset(
        make_generator([]), tmp_path / "deep/ours", 10, "r3-tiny", replace(small, rows=rows)
    )
    assert len(manifest.matched_reals("r3-tiny")) == 5
    assert len(os.listdir(tmp_path / "deep/ours/real")) == 5
    assert os.listdir(tmp_path / "deep") == ["ours"]
    assert len(Manifest.load(tmp_path / "deep/ours/joint.csv")) == len(small) + 50


@pytest.mark.parametrize("name", ["", "..", "a/b", "a;b", "-x", "a b", "x" * 65, "naïve", "a\n"])
def test_names_that_are_none(generator: Generator, tmp_path: Path, name: str) -> None:
    with pytest.raises(LabError, match="generator name"):
        write_dataset(generator, tmp_path / "ours", 4, name)


def test_data_sets_that_cannot_be(small: Manifest, tmp_path: Path) -> None:
    bare = replace(small, rows=tuple(replace(row, split="") for row in small.rows))
    for sources, beside, options, message in (
        (["celeba"], small, {}, "celeba.*it has photos"),
        ([], small.where(lambda row: bool(row.label)), {}, "any.*it has none"),
        ([], bare, {}, "has no splits"),
        ([], small, {"quality": 0}, "quality 0"),
        ([], small, {"truncation": 0.0}, "truncation 0.0"),
        ([], small, {"first_seed": -1}, "from 0 to"),
        ([], small, {"n": 0}, "0 images"),
        ([], small, {"n": 10**30}, "n must be"),
        ([], small, {"name": "grain"}, "'grain' already"),
    ):
        arguments = {"n": 4, "name": "r3-tiny", "beside": beside, **options}
        with pytest.raises(LabError, match=message):
            write_dataset(make_generator(sources), tmp_path / "ours", **arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "ours").exists()


def test_unreadable_reals_are_left_out(small: Manifest, tmp_path: Path) -> None:
    victim = next(row for row in small.rows if not row.label)
    Path(small.resolve(victim)).write_bytes(b"")
    manifest = write_dataset(make_generator(), tmp_path / "ours", 4, "r3-tiny", small)
    assert manifest.skipped == (
        (victim.path, "changed since it was indexed; index the folder again"),
    )
    assert sum(row.label == 0 for row in manifest.rows) == 39


def test_seeds_are_parsed() -> None:
    assert parse_seeds("3,5,9") == [3, 5, 9]
    assert parse_seeds("0-3, 10-10") == [0, 1, 2, 3, 10]
    for text in (
        "",
        "a",
        "1,",
        "-1",
        "1-",
        "1--3",
        "١",
        "5-3",
        "0-9999999999",
        "1e3",
        "1" * 5000,
        "0-999999,2000000",
    ):
        with pytest.raises(LabError, match="--seeds"):
            parse_seeds(text)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    make_generator(["photos"]).save_pretrained(tmp_path / "bundle")
    return tmp_path / "bundle"


def test_command_writes_samples(fauxlab: Command, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, text, err = fauxlab(
        "gan", "sample", bundle, "--seeds", "0-5,9", "--out", out, "--interpolate", 14
    )
    assert (code, text) == (0, "")
    found = fl.Generator.from_pretrained(bundle).hash
    assert f"wrote {out}/seed0000.png … seed0009.png" in err
    assert f"marked as AI-generated by model {found}: 9 images" in err
    assert read_mark((out / "seed0009.png").read_bytes()) == Mark("r3", found, 9)
    assert Image.open(out / "grid.png").size == (3 * SIZE, 3 * SIZE)
    code, _, err = fauxlab("gan", "sample", bundle, "--n", 2, "--out", out, "--no-mark")
    assert (code, "give another folder" in err) == (1, True)
    code, _, err = fauxlab(
        "gan", "sample", bundle, "--n", 2, "--out", tmp_path / "bare", "--no-mark", "--no-grid"
    )
    assert (code, f"NOT marked as AI-generated: 2 images of model {found}" in err) == (0, True)
    assert sorted(os.listdir(tmp_path / "bare")) == [
        "samples.json",
        "seed0000.png",
        "seed0001.png",
        "unmarked.log",
    ]


def test_command_closes_the_loop(
    fauxlab: Command, bundle: Path, small: Manifest, tmp_path: Path
) -> None:
    small.save(tmp_path / "manifest.csv")
    ours = tmp_path / "ours"
    arguments = (
        "--as-dataset",
        ours,
        "--name",
        "tiny",
        "--beside",
        tmp_path / "manifest.csv",
        "--n",
        20,
    )
    code, text, err = fauxlab("gan", "sample", bundle, *arguments)
    assert (code, text) == (0, "")
    assert "do not pass them on" in err
    assert "60 images" in err
    assert fauxlab("gan", "sample", bundle, *arguments)[0] == 0, "the same again"
    config = DetectorConfig(
        architecture="report-cnn",
        preprocessing=Preprocessing(size=32, pipeline_version=PIPELINE_VERSION),
    )
    Detector(create_detector("report-cnn", 32), config).save_pretrained(tmp_path / "detector")
    code, text, err = fauxlab(
        "detector", "eval", tmp_path / "detector", ours / "joint.csv", "--split", "all", "--json"
    )
    assert code == 0, err
    scores = {part["name"]: part for part in json.loads(text)["generators"]}
    assert (scores["tiny"]["reals"], scores["tiny"]["n_real"], scores["tiny"]["n_fake"]) == (
        ["photos-32px"],
        40,
        20,
    )
    code, _, err = fauxlab("gan", "sample", tmp_path / "detector", "--out", tmp_path / "out")
    assert (code, "is a detector, no generator" in err) == (1, True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--n", "0"], "n must be from 1"),
        (["--n", "9" * 30], "n must be from 1"),
        (["--n", "3", "--seeds", "3"], "exclude each other"),
        (["--seeds", "3-"], "write it as 0-63"),
        (["--truncation", "0"], "truncation 0.0"),
        (["--columns", "0"], "at least 1"),
        (["--interpolate", "3"], "a frame for each"),
        (["--name", "x"], "need --as-dataset"),
        (["--as-dataset", "d"], "needs --name"),
        (["--as-dataset", "d", "--name", "x", "--out", "o"], "excludes --out"),
        (["--as-dataset", "d", "--name", "x", "--seeds", "1,3"], "without gaps"),
        (["--as-dataset", "d", "--name", "../x"], "generator name"),
        (
            ["--as-dataset", "d", "--name", "x", "--beside", "none.csv"],
            "cannot read manifest none.csv",
        ),
    ],
)
def test_faults_are_one_line(  # type: ignore[no-untyped-def]
    fauxlab: Command, bundle: Path, tmp_path: Path, monkeypatch, arguments: list[str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    code, out, err = fauxlab("gan", "sample", bundle, *arguments)
    assert (code, out) == (1, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not list((tmp_path / "empty").iterdir())
