"""The command line as a user meets it: output, exit codes, one line for each fault."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fauxlab import cli
from fauxlab.data.manifest import Manifest

Command = Callable[..., tuple[int, str, str]]

SETTINGS = ("data.size=32", "model.options.widths=[8, 16]", "train.batch=8", "train.epochs=1")
TINY = [word for setting in SETTINGS for word in ("--set", setting)]


@pytest.fixture
def model(fauxlab: Command, small: Manifest, tmp_path: Path) -> Path:
    """A detector trained for one epoch through the command line."""
    small.save(tmp_path / "manifest.csv")
    code, _, err = fauxlab(
        "detector",
        "train",
        tmp_path / "manifest.csv",
        "--recipe",
        "unified-joint",
        *TINY,
        "--out",
        tmp_path / "runs",
    )
    assert code == 0, err
    assert "training on 84 images: 10 steps of 8, 80 images in all" in err
    assert (tmp_path / "runs" / "latest" / "figures" / "training.png").stat().st_size > 5000
    return tmp_path / "runs" / "latest" / "best"


def test_from_a_folder_to_verdicts(
    fauxlab: Command, small: Manifest, model: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "again.csv"
    code, _, err = fauxlab("data", "index", small.root, "--out", manifest)
    assert code == 0
    assert Manifest.load(manifest).data_hash == small.data_hash
    assert "120 images" in err

    code, out, _ = fauxlab("detector", "eval", model, manifest)
    assert code == 0
    assert "grain" in out
    assert "pooled" in out
    code, out, _ = fauxlab("detector", "eval", model, manifest, "--json")
    assert json.loads(out)["split"] == "test"

    pictures = small.root / "real" / "photos"
    (pictures / "broken.png").write_bytes(b"no picture")
    code, out, err = fauxlab("scan", pictures, "--crop", "none", "--model", model)
    assert code == 0
    table, _, rule = out.partition("\n\n")
    assert len(table.splitlines()) == 42
    model_line, _, rule = rule.partition("\n")
    assert model_line.startswith("model best, ")
    assert rule.startswith("threshold 0.500: real below it, fake from it on\nnot calibrated")
    assert "1 of 41 pictures could not be judged" in err
    code, out, _ = fauxlab("scan", pictures, "--crop", "none", "--model", model, "--json")
    verdicts = json.loads(out)
    assert len(verdicts) == 41
    assert {v["model_hash"] for v in verdicts} == {verdicts[0]["model_hash"]}
    code, out, _ = fauxlab("scan", pictures, "--crop", "none", "--model", model, "--csv")
    assert [row["status"] for row in csv.DictReader(io.StringIO(out))].count("error") == 1
    labels = {v["label"] for v in verdicts} - {None}
    for label in ("real", "fake"):
        code, _, _ = fauxlab(
            "scan", pictures, "--crop", "none", "--model", model, "--fail-on", label
        )
        assert code == (3 if label in labels else 0)


def test_dry_run_trains_nothing(fauxlab: Command, small: Manifest, tmp_path: Path) -> None:
    small.save(tmp_path / "manifest.csv")
    code, out, _ = fauxlab(
        "detector",
        "train",
        tmp_path / "manifest.csv",
        "--recipe",
        "report-unified",
        "--dry-run",
        "--out",
        tmp_path / "r",
    )
    assert code == 0
    assert "stage grain: 28 real, 28 fake" in out
    assert not (tmp_path / "r").exists()


def test_nothing_to_validate_on_is_told(fauxlab: Command, small: Manifest, tmp_path: Path) -> None:
    small.where(lambda row: row.split != "val" or not row.label).save(tmp_path / "m.csv")
    command = ("detector", "train", tmp_path / "m.csv", "--recipe", "unified-joint")
    remark = "no images of both classes to validate on: best/ will be the last epoch"
    assert f"# {remark}" in fauxlab(*command, "--dry-run")[1]
    code, _, err = fauxlab(*command, *TINY, "--out", tmp_path / "runs")
    assert (code, err.startswith(f"warning: {remark}\n")) == (0, True)


def test_dry_run_of_leaving_one_out_shows_every_plan(
    fauxlab: Command, small: Manifest, tmp_path: Path
) -> None:
    small.save(tmp_path / "m.csv")
    command = (
        "detector",
        "train",
        tmp_path / "m.csv",
        "--recipe",
        "unified-joint",
        "--leave-one-out",
    )
    code, out, _ = fauxlab(*command, "--dry-run")
    assert code == 0
    assert [line for line in out.splitlines() if "-without-" in line] == [
        'name = "unified-joint-without-grain"',
        'name = "unified-joint-without-speckle"',
    ]
    code, _, err = fauxlab(*command, "--name", "mine")
    assert (code, "leave out --name" in err) == (1, True)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.crop=300", "train.crop = 300 is more than data.size = 128"),
        ("model.pretrained=inception-fid", "model report-cnn takes no pretrained weights"),
        ("model.pretrained=randconv", "no pretrained weights 'randconv'"),
    ],
)
def test_dry_run_refuses_what_training_would(
    fauxlab: Command, small: Manifest, tmp_path: Path, override: str, message: str
) -> None:
    small.save(tmp_path / "m.csv")
    command = (
        "detector",
        "train",
        tmp_path / "m.csv",
        "--recipe",
        "unified-joint",
        "--set",
        override,
        "--dry-run",
    )
    code, _, err = fauxlab(*command)
    assert (code, message in err) == (1, True)


def test_real_photos_alone_serve_a_gan_and_no_detector(
    fauxlab: Command, small: Manifest, tmp_path: Path
) -> None:
    shutil.rmtree(small.root / "fake")
    manifest = tmp_path / "m.csv"
    assert fauxlab("data", "index", small.root, "--out", manifest)[0] == 0
    code, out, _ = fauxlab(
        "gan", "train", manifest, "--recipe", "r3-32", "--dry-run", "--set", "evaluate.n=28"
    )
    assert (code, "# 28 real images, 4 held out" in out) == (0, True)
    code, _, err = fauxlab("detector", "train", manifest, "--recipe", "unified-joint")
    assert (code, err) == (
        1,
        "error: no fake images to train on: the manifest has none; "
        "a detector needs both real and fake ones\n",
    )


def test_where_no_model_is_the_message_says_where_to_look(
    fauxlab: Command, model: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "manifest.csv"
    _, _, err = fauxlab("detector", "eval", model.parent, manifest)
    assert f"this is a run, its model {model}" in err
    shutil.rmtree(model)
    _, _, err = fauxlab("detector", "eval", model, manifest)
    assert (
        "has no model yet: it was stopped before its first evaluation; go on with --resume" in err
    )
    _, _, err = fauxlab("gan", "eval", tmp_path, manifest)
    assert "a model is a folder such as runs/<name>/best" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["scan", "x.jpg", "--model", "none"], 1, "no config.json in none"),
        (
            ["detector", "train", "none.csv", "--recipe", "unified-joint"],
            1,
            "cannot read manifest none.csv",
        ),
        (["detector", "train", "none.csv", "--recipe", "unified"], 1, "did you mean"),
        (["detector", "eval", "none", "none.csv", "--split", "tset"], 1, "--split 'tset'"),
        (["data", "index", "none"], 1, "is not a folder"),
        (["data", "index"], 1, "name a folder of images, or --real DIR --fake DIR"),
        (["data", "index", "--real", "none"], 1, "none is no folder and no zip"),
        (["data", "index", ".", "--fake", "."], 1, "give one folder with a known layout"),
        (["data", "index", ".", "--split", "a,b"], 1, "give four numbers"),
        (["data", "index", ".", "--pair", "a"], 1, "GENERATOR=SOURCE"),
        (
            ["data", "index", ".", "--out", "photo.JPG"],
            1,
            "--out photo.JPG could write over another file",
        ),
        (["data", "index", ".", "--out", "."], 1, "--out . could write over another file"),
        (["data", "index", ".", "--out", "/dev/null/m.csv"], 1, "/dev/null is no folder"),
        (["data", "index", "none", "--split", ".5,.5,.5,.5"], 1, "give four that sum to 1"),
        (["scan", "--html", "a.jpg", "b.jpg"], 1, "--html a.jpg could write over another file"),
        (
            ["scan", "--html", "a.zip", "b.zip"],
            1,
            "name one that ends in .html or .htm, as verdicts.html",
        ),
        (
            ["detector", "calibrate", "none", "none.csv", "--figure", "a.pdf"],
            1,
            "name one that ends in .png",
        ),
        (
            ["detector", "calibrate", "fauxlab", "none.csv"],
            1,
            "none.csv",
        ),
        (["export", "fauxlab"], 1, "cannot be exported again; give one with model.safetensors"),
        (["recipes", "show", "none"], 1, "no recipe 'none'"),
        (["nonsense"], 2, "No such command"),
        (["scan"], 2, "Missing argument"),
    ],
)
def test_faults_are_one_line_and_an_exit_code(
    fauxlab: Command, arguments: list[str], code: int, message: str
) -> None:
    found, out, err = fauxlab(*arguments)
    assert found == code
    assert message in err
    assert out == ""
    assert "Traceback" not in err
    if code == 1:
        assert len(err.strip().splitlines()) == 1


def test_what_is_there_and_no_manifest_stays(fauxlab: Command, small: Manifest) -> None:
    for name, said in (
        ("metadata.csv", "no manifest"),
        ("m-skipped.csv", "no list of skipped files"),
    ):
        mine = small.root / name
        mine.write_text("file_name,label\n")
        out = mine if said == "no manifest" else small.root / "m.csv"
        code, _, err = fauxlab("data", "index", small.root, "--out", out)
        assert (code, mine.read_text()) == (1, "file_name,label\n")
        assert err == f"error: --out: {mine} is there and is {said}; name another file\n"
        mine.unlink()


def test_what_was_skipped_is_listed_beside_the_manifest(
    fauxlab: Command, small: Manifest, tmp_path: Path
) -> None:
    for i in range(30):
        (small.root / "fake" / "grain" / f"bad{i:02}.png").write_bytes(b"no picture")
    command = ("data", "index", small.root, "--out", tmp_path / "m.csv")
    code, _, err = fauxlab(*command)
    assert code == 0
    assert f"wrote {tmp_path / 'm-skipped.csv'}: 30 skipped" in err
    rows = list(csv.DictReader((tmp_path / "m-skipped.csv").open()))
    assert [row["path"] for row in rows] == [f"set/fake/grain/bad{i:02}.png" for i in range(30)]
    assert all(row["reason"] for row in rows)
    for bad in small.root.rglob("bad*.png"):
        bad.unlink()
    assert fauxlab(*command)[0] == 0
    assert not (tmp_path / "m-skipped.csv").exists(), "an older list"
    assert fauxlab("data", "index", small.root, "--out", "/dev/null")[0] == 0


def test_what_is_added_moves_nothing_that_was_there(
    fauxlab: Command, small: Manifest, tmp_path: Path
) -> None:
    out = tmp_path / "m.csv"
    command = ("data", "index", small.root, "--out", out)
    assert fauxlab(*command)[0] == 0
    before = {row.sha256: row.split for row in Manifest.load(out).rows}
    added = small.root / "fake" / "drawn"
    rng = np.random.default_rng(5)
    added.mkdir()
    for i in range(40):
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(added / f"{i}.png")
    code, _, err = fauxlab(*command)
    assert code == 0
    assert (
        "120 images keep the splits of the manifest that is replaced (--resplit draws all anew)"
        in err
    )
    after = Manifest.load(out)
    assert {row.sha256: row.split for row in after.rows if row.generator != "drawn"} == before
    assert after.counts()["drawn", "train"] == 28
    code, _, err = fauxlab(*command, "--seed", 3, "--resplit")
    assert code == 0
    assert "keep the splits" not in err
    assert {
        row.sha256: row.split for row in Manifest.load(out).rows if row.generator != "drawn"
    } != before
    out.write_text(out.read_text().replace(",train,", ",trian,"))
    code, _, err = fauxlab(*command)
    assert (code, "--resplit replaces it" in err) == (1, True)
    assert fauxlab(*command, "--resplit")[0] == 0


def test_folders_of_either_side_and_the_rule_of_groups(
    fauxlab: Command, small: Manifest, tmp_path: Path
) -> None:
    real, grain, speckle = (
        small.root / name for name in ("real/photos", "fake/grain", "fake/speckle")
    )
    command = ("data", "index", "--real", real, "--fake", grain, "--fake", speckle)
    code, _, err = fauxlab(*command, "--out", tmp_path / "m.csv")
    assert code == 0
    assert "grouped (auto): nothing by folders or starts of names; 120 groups in all" in err
    manifest = Manifest.load(tmp_path / "m.csv")
    assert (manifest.sources, manifest.generators) == (["photos"], ["grain", "speckle"])
    code, _, err = fauxlab(
        "data", "index", small.root, "--out", tmp_path / "n.csv", "--group-by", "folder"
    )
    assert code == 0
    assert "grouped (folder): 40 images by 1 folders" in err
    assert "warning: whole groups do not divide into these splits" in err


def test_evaluating_on_the_training_images_is_told(
    fauxlab: Command, model: Path, small: Manifest, tmp_path: Path
) -> None:
    table = tmp_path / "manifest.csv"
    line = f"warning: {model} was trained on {len(small.train)} of these 120 images"
    assert line in fauxlab("detector", "eval", model, table, "--split", "all")[2]
    assert "was trained on" not in fauxlab("detector", "eval", model, table)[2]


def test_pairs_are_refused_before_files_are_read(
    fauxlab: Command, small: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fauxlab.data.indexing.FileReader", None)
    for pair, said in (
        (
            "grian=photos",
            "no generator 'grian' to pair; there are grain, speckle; did you mean 'grain'?",
        ),
        ("grain=Photos", "no source 'Photos' to pair; there are photos; did you mean 'photos'?"),
    ):
        code, _, err = fauxlab(
            "data", "index", small.root, "--out", tmp_path / "m.csv", "--pair", pair
        )
        assert (code, err) == (1, f"error: {said}\n")


def test_reals_that_are_not_there_are_told(
    fauxlab: Command, small: Manifest, tmp_path: Path
) -> None:
    lines = ["file_name,label,generator,source"]
    for row in small.rows[:80]:
        lines.append(f"{row.path},{row.label},{row.generator},{'ffhq' if row.label else 'FFHQ'}")
    (small.root / "metadata.csv").write_text("\n".join(lines))
    code, _, err = fauxlab("data", "index", small.root, "--out", tmp_path / "m.csv")
    assert code == 0
    told = [line for line in err.splitlines() if line.startswith("warning")]
    assert len(told) == 1
    assert (
        "of ffhq, of which there is none (there are FFHQ; did you mean 'FFHQ'?): compared with none"
        in told[0]
    )
    code, out, _ = fauxlab("data", "audit", tmp_path / "m.csv")
    assert code == 0
    assert told[0].removeprefix("warning: ") in out


def test_all_pictures_bad_is_a_failure(fauxlab: Command, model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    code, out, err = fauxlab(
        "scan", tmp_path / "a.jpg", "--crop", "none", "--model", model, "--json"
    )
    assert code == 1
    assert json.loads(out)[0]["status"] == "error"
    assert "no picture could be judged" in err


def test_recipes_can_be_copied_once(
    fauxlab: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert fauxlab("recipes", "copy", "unified-joint")[0] == 0
    code, _, err = fauxlab("recipes", "copy", "unified-joint")
    assert (code, "exists" in err) == (1, True)
    code, out, _ = fauxlab("recipes", "list")
    assert "unified-joint" in out


def test_leaving_never_imports_a_torch_that_was_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setitem(sys.modules, "torch.distributed", object())  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "torch", None)  # type: ignore[arg-type]
    cli._leave_processes()
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(ImportError):
        cli._leave_processes()


def test_interrupt_says_how_to_go_on(fauxlab: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr("fauxlab.privacy.cache_folder", interrupted)
    monkeypatch.setattr(Manifest, "load", interrupted)
    code, _, err = fauxlab("doctor")
    assert (code, err.strip()) == (130, "interrupted")
    code, _, err = fauxlab("detector", "train", "manifest.csv", "--recipe", "unified-joint")
    assert code == 130
    assert "the same command with --resume goes on" in err


def test_a_closed_pipe_is_quiet() -> None:
    process = subprocess.run(
        f"{sys.executable} -m fauxlab recipes show unified-joint | true",
        shell=True,
        capture_output=True,
        check=False,
    )
    assert b"Traceback" not in process.stderr


TINY_GAN = [
    word
    for setting in (
        "model.generator={ widths = [8, 8, 8, 8] }",
        "model.discriminator={ widths = [8, 8, 8, 8] }",
        "train.batch=8",
        "train.images=64",
        "evaluate.every=32",
        "evaluate.n=20",
        "guard.every=16",
        "guard.n=64",
    )
    for word in ("--set", setting)
]


def test_a_generator_trained_judged_and_sampled(
    fauxlab: Command, small: Manifest, tmp_path: Path
) -> None:
    manifest, runs = tmp_path / "manifest.csv", tmp_path / "runs"
    small.save(manifest)
    train = ("gan", "train", manifest, "--recipe", "r3-32", *TINY_GAN, "--out", runs)
    code, out, _ = fauxlab(*train, "--dry-run")
    assert code == 0
    assert "28 real images, 4 held out" in out
    assert not runs.exists()
    code, out, err = fauxlab(*train)
    assert (code, out) == (0, "")
    assert "training on 28 real images: " in err
    assert "32 images: FD(randconv) " in err
    assert "floor" in err
    figures = runs / "r3-32" / "figures"
    assert {path.name for path in figures.iterdir()} == {
        "distance.png",
        "training.png",
        "guard.png",
    }
    code, _, err = fauxlab(*train)
    assert code == 1
    assert "continue it with --resume" in err

    best = runs / "latest" / "best"
    code, out, _ = fauxlab("gan", "eval", best, manifest, "--n", 20, "--json")
    assert code == 0
    report = json.loads(out)
    logged = [
        json.loads(line)
        for line in (runs / "r3-32" / "log.jsonl").read_text().splitlines()
        if json.loads(line)["event"] == "eval"
    ]
    nearest = min(logged, key=lambda line: line["distance"])
    assert report["distance"] == pytest.approx(nearest["distance"], rel=1e-4), "as during training"
    assert (report["distance_label"], report["n"]) == ("FD(randconv)", 20)
    code, out, _ = fauxlab("gan", "eval", best, manifest, "--n", 20)
    assert "FD(randconv)" in out
    assert "floor" in out
    code, _, err = fauxlab("gan", "eval", best, manifest, "--n", 20, "--sources", "nobody")
    assert code == 1
    assert "no real source 'nobody'" in err


def test_a_run_that_the_guard_stops_has_an_exit_code(
    fauxlab: Command, small: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fauxlab.training.gan import collapse_guard as guard

    monkeypatch.setattr(
        guard, "assess", lambda *_: guard.Assessment(guard.COLLAPSING, "for the test")
    )
    small.save(tmp_path / "manifest.csv")
    train = (
        "gan",
        "train",
        tmp_path / "manifest.csv",
        "--recipe",
        "r3-32",
        *TINY_GAN,
        "--out",
        tmp_path,
    )
    code, _, err = fauxlab(*train, "--on-collapse", "stop")
    assert code == 4
    assert "collapsing: for the test; stop" in err
