"""`fauxlab reproduce`, `demo` and `compare`: the report's experiments, and runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fauxlab.cli.common import (
    AsJson,
    ManifestPath,
    Out,
    Sets,
    Split,
    Weights,
    check_split,
    index_folder,
    report_skipped,
    say,
    step_bar,
    take_split,
)
from fauxlab.errors import LabError
from fauxlab.progress import count_images, show_progress

if TYPE_CHECKING:
    from fauxlab.data.manifest import Manifest
    from fauxlab.records import RunComparison
    from fauxlab.reproduce.gan import GanExperiment

GUARD_LEAST = 64  # images that a check of the guard takes at least
# The demo's generator: about two minutes of one core. The networks are narrow, and so short a
# training needs schedules that move fast.
DEMO_GAN = [
    "train.images=12000",
    "train.batch=32",
    "gan.augment_p=0.8",
    "guard.on_collapse=warn",
    "train.lr={start = 1e-3, end = 2e-4}",
    "train.discriminator_lr={start = 1e-3, end = 2e-4}",
    "model.generator={blocks = 1, widths = [128, 96, 64, 16]}",
    "model.discriminator={blocks = 1, widths = [128, 96, 64, 16]}",
    "train.beta2={start = 0.9, end = 0.99}",
    "evaluate.every=4000",
    "guard.every=1000",
]


class Half(StrEnum):
    """What --only takes."""

    detector = "detector"
    gan = "gan"


class Scale(StrEnum):
    """What --scale takes."""

    full = "full"
    cpu = "cpu"


def demo(
    out: Out = Path("runs/demo"),
    images: Annotated[int, typer.Option(help="images in each of the four folders", min=60)] = 400,
) -> None:
    """Draw the embedded data set, and train the report's detectors and a small GAN on it.

    Writes report.html and gan.html.
    """
    from fauxlab.datasets.toyfaces import write_toyfaces
    from fauxlab.reproduce.gan import plan_gan_experiments

    with show_progress("drawing toyfaces") as show:
        show(0, None, "")
        folder = write_toyfaces(out / "toyfaces", n=images, size=64)
    manifest = index_folder(folder, seed=0)
    manifest.save(out / "manifest.csv")
    n = min(256, len(manifest.reals().train))
    sizes = [f"evaluate.n={n}", f"guard.n={max(GUARD_LEAST, n)}"]
    experiments = plan_gan_experiments("cpu", overrides=[*DEMO_GAN, *sizes], parts=["r3"])
    _reproduce_gan(manifest, out, experiments, own=0)
    _reproduce_detector(manifest, out, ["data.size=64"], extended=False, show_images=True)


def reproduce(
    manifest: ManifestPath,
    only: Annotated[Half | None, typer.Option(help="one half of the report")] = None,
    out: Out = Path("runs/reproduce"),
    sets: Sets = None,
    gan_sets: Annotated[
        list[str] | None,
        typer.Option("--gan-set", metavar="KEY=VALUE", help="as --set, for the GAN half's recipes"),
    ] = None,
    extended: Annotated[
        bool, typer.Option(help="include the ten-epoch stages (report-unified-10)")
    ] = True,
    scale: Annotated[
        Scale | None,
        typer.Option(
            help="GANs at the report's size, for a GPU, or at 32 px; by what the machine has"
        ),
    ] = None,
    sources: Annotated[
        str,
        typer.Option(
            help="real collections, as a,b, that GANs after iteration 1 learn from; all by default"
        ),
    ] = "",
    weights: Weights = None,
    show_images: Annotated[
        bool, typer.Option("--show-images", help="put the worst errors' pictures in the page")
    ] = False,
) -> None:
    """Run the report's experiments in order, and write pages and results; resumes where it stopped.

    The detector half writes report.html and results.json, the GAN half gan.html and
    gan_results.json.
    """
    from fauxlab.data.manifest import Manifest

    data = Manifest.load(manifest)
    experiments: Sequence[GanExperiment] = []
    # What the second half would refuse is refused before the first half trains.
    if only != Half.detector:
        from fauxlab.reproduce.gan import check_gan_half, plan_gan_experiments

        chosen = [name for name in sources.split(",") if name]
        experiments = plan_gan_experiments(_choose_scale(scale), chosen, gan_sets or [])
        check_gan_half(data, experiments, detector_overrides=sets or [], weights=weights)
    if only != Half.gan:
        _reproduce_detector(data, out, sets or [], extended, show_images)
    if experiments:
        _reproduce_gan(data, out, experiments, detector_sets=sets or [], weights=weights)


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN RUN…", help="run folders, or models; fauxlab: the packaged"),
    ],
    manifest: Annotated[
        Path | None,
        typer.Option(
            metavar="MANIFEST",
            help="evaluate detectors on it, too, and say how sure differences are",
        ),
    ] = None,
    split: Split = "test",
    json_: AsJson = False,
) -> None:
    """Put runs side by side: what was set differently, and what came of it."""
    from fauxlab.compare import compare_runs

    check_split(split)
    comparison = compare_runs(runs)
    if manifest is not None:
        comparison = _compare_on(comparison, runs, manifest, split)
    print(comparison.model_dump_json(indent=2) if json_ else comparison.table())


def _compare_on(
    comparison: RunComparison, runs: Sequence[Path], manifest: Path, split: str
) -> RunComparison:
    """The comparison with the detectors' scores on a split of a manifest."""
    from fauxlab.compare import compare_detectors
    from fauxlab.data.manifest import Manifest

    if comparison.runs[0].kind != "detector":
        raise LabError(
            "--manifest evaluates detectors; for generators: `fauxlab gan eval`, one after the "
            "other"
        )
    data = take_split(Manifest.load(manifest), split)
    with count_images("evaluating", len(runs) * len(data)) as advance:
        paired, compared = compare_detectors(runs, data, progress=advance)
    report_skipped(compared.skipped)
    return comparison.model_copy(update={"scored_on": compared.data_hash, "paired": paired})


def _choose_scale(asked: Scale | None) -> str:
    import torch

    if asked is not None:
        return asked.value
    scale = "full" if torch.cuda.is_available() else "cpu"
    say(f"GAN recipes: {scale} (--scale)")
    return scale


def _reproduce_detector(
    manifest: Manifest, out: Path, sets: list[str], extended: bool, show_images: bool
) -> None:
    from fauxlab.config import load_recipe
    from fauxlab.data.cache import load_images
    from fauxlab.pages.detector import write_detector_page
    from fauxlab.reproduce.detector import reproduce_detector

    size = load_recipe("unified-joint", sets).data.size
    with count_images("decoding") as advance:
        report_skipped(load_images(manifest, size, advance).skipped)
    with ExitStack() as stack:
        results = reproduce_detector(
            manifest,
            out,
            overrides=sets,
            extended=extended,
            on_step=lambda name: step_bar(stack, name),
            on_evaluate=lambda name: say(f"evaluating {name} on the test split"),
        )
    page = write_detector_page(results, out, manifest if show_images else None)
    say(f"wrote {page} and {out / 'results.json'}")


def _reproduce_gan(
    manifest: Manifest,
    out: Path,
    experiments: Sequence[GanExperiment],
    own: int | None = None,
    detector_sets: Sequence[str] = (),
    weights: Path | None = None,
) -> None:
    from fauxlab.pages.gan import write_gan_page
    from fauxlab.reproduce.gan import OWN, RESULTS, reproduce_gan

    with ExitStack() as stack:
        results = reproduce_gan(
            manifest,
            out,
            experiments,
            own=OWN if own is None else own,
            detector_overrides=detector_sets,
            weights=weights,
            on_step=lambda name: step_bar(stack, name),
            on_event=say,
        )
    page = write_gan_page(results, out)
    say(f"wrote {page} and {out / RESULTS}")
