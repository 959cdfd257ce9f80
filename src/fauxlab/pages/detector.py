"""The detector page, report.html: one self-contained file, made from what results.json holds."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fauxlab.pages.detector_curves import draw_losses, draw_training
from fauxlab.pages.detector_figures import (
    Matrix,
    draw_confusions,
    draw_matrices,
    draw_overview,
)
from fauxlab.pages.detector_results import (
    SUMMARY,
    TrainedDetector,
    collect_series,
    find_interval,
    list_generators,
    list_specialists,
    list_unified,
)
from fauxlab.pages.detector_tables import collect_facts
from fauxlab.pages.figures import name_colours
from fauxlab.pages.html import (
    EmbeddedFigure,
    data_uri,
    embed_figure,
    escape_unprintable,
    write_page,
)
from fauxlab.records import DetectionReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fauxlab.data.manifest import Manifest

PICTURE = 96  # side of an error's picture, pixels
# Numbers of the figures of losses, confusion matrices and forgetting, by part of the experiments;
# they are the report's own where it has such a figure.
NUMBERS = {
    "sequential": ("2", "3", "4"),
    "extended": ("2b", "3b", "4b"),
    "joint": ("5", "6", "4"),
}


def write_detector_page(
    results: dict[str, Any], out: Path, manifest: Manifest | None = None
) -> Path:
    """Write `out/report.html`, and its figures as PNG into `out/figures/`; returns the page's path.

    `results` is what results.json holds. With the manifest that the results were made from, the
    page also shows the pictures of the worst errors.
    """
    pictures = [] if manifest is None else _load_pictures(results["worst"], manifest)
    results = escape_unprintable(results)
    runs = [TrainedDetector.read(run) for run in results["runs"]]
    folder = out / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "figures": _Figures(runs, folder).embed(),
        "pictures": pictures,
        **collect_facts(results, runs),
    }
    return write_page(out, "report.html", "detector.html.j2", facts)


class _Figures:
    """Draws the page's figures, saves each as PNG in `folder`, and collects them by key."""

    def __init__(self, runs: list[TrainedDetector], folder: Path) -> None:
        self.runs = runs
        self.folder = folder
        self.generators = list_generators(runs)
        self.specialists = list_specialists(runs)
        # The first stage is dark blue, whatever its place in the manifest.
        stages = [name for run in list_unified(runs) for name, _ in run.stages]
        self.colours = name_colours([*stages, *self.generators])
        self.embedded: dict[str, EmbeddedFigure] = {}

    def embed(self) -> dict[str, EmbeddedFigure]:
        """All figures, by the key that the template has for each."""
        self._add_overview()
        if self.specialists:
            self._add_specialists()
        for run in list_unified(self.runs):
            self._add_unified(run)
        self._add_cross()
        return self.embedded

    def _add(self, key: str, number: str, file: str, figure: Figure, alt: str) -> None:
        path = self.folder / f"{file}.png"
        self.embedded[key] = embed_figure(figure, number, alt, path)

    def _add_overview(self) -> None:
        series = {}
        for heading, metric in SUMMARY.items():
            series[heading] = collect_series(self.runs, metric)
        figure = draw_overview(self.generators, series)
        alt = "AUC and accuracy by generator"
        self._add("overview", "At a glance", "overview", figure, alt)

    def _add_specialists(self) -> None:
        own = []
        curves = []
        for name, run in self.specialists.items():
            curves.append((name, run.steps, run.epochs))
            for scores in run.test.generators:
                if scores.name == name:
                    own.append((name, scores.confusion))
        self._add(
            "confusion-specialists",
            "Fig. 1",
            "fig1-confusion-specialists",
            draw_confusions(own),
            "confusion matrix of each specialist on its own generator",
        )
        self._add(
            "losses-specialists",
            "Fig. 1b",
            "fig1b-losses-specialists",
            draw_losses(curves, self.colours),
            "loss of each specialist during training",
        )

    def _add_unified(self, run: TrainedDetector) -> None:
        losses, confusion, forgetting = NUMBERS.get(run.part, NUMBERS["sequential"])
        self._add(
            f"losses-{run.part}",
            f"Fig. {losses}",
            f"fig{losses}-losses-{run.part}",
            draw_training(run.steps, run.epochs, self.colours),
            f"loss of the {run.label} detector",
        )
        all_scores = (run.test.pooled, *run.test.generators)
        parts = [(scores.name, scores.confusion) for scores in all_scores]
        self._add(
            f"confusion-{run.part}",
            f"Fig. {confusion}",
            f"fig{confusion}-confusion-{run.part}",
            draw_confusions(parts),
            f"confusion matrices of the {run.label} detector",
        )
        if run.stages:
            self._add(
                f"forgetting-{run.part}",
                f"Fig. {forgetting}",
                f"fig{forgetting}-forgetting-{run.part}",
                draw_matrices(_forgetting_matrices(run, self.generators)),
                f"accuracy and AUC of the {run.label} detector on each generator after each stage",
            )

    def _add_cross(self) -> None:
        self._add(
            "cross",
            "Fig. 7",
            "fig7-specialists-against-unified",
            draw_matrices(_cross_matrices(self.runs)),
            "AUC and accuracy of every detector on every generator",
        )


def _forgetting_matrices(run: TrainedDetector, generators: list[str]) -> list[Matrix]:
    """The detector after each stage (rows) on each generator, the stage's own generator framed."""
    rows = []
    for number, (name, report) in enumerate(run.stages, start=1):
        rows.append((f"after {number}. {name}", report))
    stages = [name for name, _ in run.stages]
    framed = _own_cells(stages, generators)
    accuracy = _make_matrix("accuracy", rows, generators, framed)
    auc = _make_matrix("AUC", rows, generators, framed)
    return [accuracy, auc]


def _cross_matrices(runs: Sequence[TrainedDetector]) -> list[Matrix]:
    """Every detector (rows) on every generator, a specialist's own generator framed."""
    generators = list_generators(runs)
    specialists = list_specialists(runs)
    detectors = [*specialists.values(), *list_unified(runs)]
    rows = [(run.label, run.test) for run in detectors]
    framed = _own_cells(list(specialists), generators)
    first_unified = len(specialists) or None
    matrices = []
    for heading in ("AUC", "accuracy"):
        matrices.append(_make_matrix(heading, rows, generators, framed, first_unified))
    return matrices


def _own_cells(names: Sequence[str], generators: list[str]) -> list[tuple[int, int]]:
    """Row and column of each generator's cell in the row that is named after it."""
    cells = []
    for row, name in enumerate(names):
        if name in generators:
            cells.append((row, generators.index(name)))
    return cells


def _make_matrix(
    heading: str,
    rows: Sequence[tuple[str, DetectionReport]],
    generators: list[str],
    framed: list[tuple[int, int]],
    line_above: int | None = None,
) -> Matrix:
    values = []
    for _, report in rows:
        intervals = [find_interval(report, name, SUMMARY[heading]) for name in generators]
        values.append([interval.value if interval else None for interval in intervals])
    names = [name for name, _ in rows]
    return Matrix(heading, names, generators, values, framed, line_above)


def _load_pictures(worst: Sequence[Mapping[str, Any]], manifest: Manifest) -> list[str | None]:
    """The worst errors' pictures as JPEG data URIs.

    None for one that is not in the manifest or cannot be read.
    """
    from fauxlab.io.images import decode, to_picture, to_square
    from fauxlab.io.limits import ImageError
    from fauxlab.io.sources import FileReader
    from fauxlab.io.squares import cut_square

    rows = {row.path: row for row in manifest.rows}
    pictures: list[str | None] = []
    with FileReader() as reader:
        for item in worst:
            try:
                row = rows[item["path"]]
                data = reader.read(manifest.resolve(row))
                image = decode(data, at_least=None if row.crop else PICTURE)
                if row.crop:
                    image = cut_square(image, row.crop)
                pixels = to_square(image, PICTURE)
            except (KeyError, ImageError):
                pictures.append(None)
                continue
            stream = io.BytesIO()
            to_picture(pixels).save(stream, "JPEG", quality=85)
            pictures.append(data_uri(stream.getvalue(), "jpeg"))
    return pictures
