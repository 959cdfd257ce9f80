"""The report's GAN experiments end to end, small: trained, written, the loop closed.

Called again, nothing is repeated.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fauxlab.cli.experiments import DEMO_GAN, GUARD_LEAST
from fauxlab.data.manifest import Manifest
from fauxlab.errors import LabError
from fauxlab.records import DetectionReport
from fauxlab.reproduce.gan import plan_gan_experiments, reproduce_gan

TINY = [
    "model.generator={ widths = [8, 8, 8, 8] }",
    "model.discriminator={ widths = [8, 8, 8, 8] }",
    "train.batch=8",
    "train.images=48",
    "evaluate.every=24",
    "evaluate.n=20",
    "guard.every=16",
    "guard.n=64",
]
TINY_DETECTOR = ["data.size=32", "model.options.widths=[8, 16]", "train.batch=8", "train.epochs=1"]


def test_plan_follows_the_report() -> None:
    full = plan_gan_experiments("full", ["celeba"])
    assert [(e.part, e.recipe.name) for e in full] == [
        ("v1", "report-v1"),
        ("v2", "report-v2"),
        ("r3", "r3-128"),
    ]
    assert [e.recipe.data.sources for e in full] == [[], ["celeba"], ["celeba"]], (
        "iteration 1 took all kinds of photos"
    )
    assert [e.recipe.train.epochs for e in full if not e.recipe.train.images] == [100, 100, 100]
    for scale, size in (("full", 128), ("cpu", 32)):
        assert [e.recipe.data.size for e in plan_gan_experiments(scale)] == [size] * 3, (
            "or distances do not compare"
        )


def test_the_demo_takes_as_few_images_as_it_says() -> None:
    """Of 60 images 39 reals train, fewer than a check of the guard takes at least."""
    sizes = ["evaluate.n=39", f"guard.n={GUARD_LEAST}"]
    (experiment,) = plan_gan_experiments("cpu", overrides=[*DEMO_GAN, *sizes], parts=["r3"])
    assert experiment.recipe.guard.n == GUARD_LEAST
    with pytest.raises(LabError, match=r"guard\.n"):
        plan_gan_experiments("cpu", overrides=[f"guard.n={GUARD_LEAST - 1}"], parts=["r3"])


def test_experiments_run_once_and_close_the_loop(small: Manifest, tmp_path: Path) -> None:
    def run() -> dict[str, object]:
        experiments = plan_gan_experiments("cpu", overrides=TINY)
        return reproduce_gan(small, tmp_path, experiments, detector_overrides=TINY_DETECTOR, own=60)

    results = run()
    assert json.loads((tmp_path / "gan_results.json").read_text()) == json.loads(
        json.dumps(results)
    )
    assert [run["part"] for run in results["runs"]] == ["v1", "v2", "r3"]  # type: ignore[attr-defined]
    for one in results["runs"]:  # type: ignore[attr-defined]
        assert one["budget"] == 48
        assert one["end"]["reason"] == "budget"
        assert one["evals"]
        assert one["guard"]
        assert all((tmp_path / one["name"] / sample["path"]).is_file() for sample in one["samples"])
    loop = results["loop"]
    for moment in ("before", "after"):
        own = DetectionReport.model_validate(loop[moment]["own"])  # type: ignore[index]
        assert [s.name for s in own.generators] == ["own-r3-32"]
        assert own.generators[0].reals == ["photos-32px"], (
            "compared with reals of the same size and encoding"
        )
        others = DetectionReport.model_validate(loop[moment]["others"])  # type: ignore[index]
        assert [s.name for s in others.generators] == ["grain", "speckle"]
    # Before, the detector had seen none of our own faces; after, it was trained with some.
    assert Manifest.load(tmp_path / "own-faces" / "joint.csv").generators == [
        "grain",
        "speckle",
        "own-r3-32",
    ]
    assert loop["before"]["own"]["model_hash"] != loop["after"]["own"]["model_hash"]  # type: ignore[index]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("model.safetensors")}
    assert run()["runs"] == results["runs"]
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("model.safetensors")}


@pytest.mark.parametrize(
    ("sources", "overrides", "detector_overrides", "message"),
    [
        (["nobody"], [], [], "no real source 'nobody'"),
        ([], ["gan.r1=1.0"], [], "batch normalisation"),
        ([], ["trian.images=2"], [], "unknown key trian"),
        ([], ["evaluate.features=rndconv"], [], "no feature network 'rndconv'"),
        ([], [], ["trian.epochs=2"], "unknown key trian"),
        ([], [], ["data.generators=grain"], "data.generators cannot be set"),
    ],
)
def test_what_cannot_work_is_refused_before_training(
    small: Manifest,
    tmp_path: Path,
    sources: list[str],
    overrides: list[str],
    detector_overrides: list[str],
    message: str,
) -> None:
    def run() -> None:
        experiments = plan_gan_experiments("cpu", sources, [*TINY, *overrides])
        reproduce_gan(small, tmp_path, experiments, detector_overrides=detector_overrides)

    with pytest.raises(LabError, match=message):
        run()
    assert not list(tmp_path.glob("re*"))
